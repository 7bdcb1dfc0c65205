/* bf16 matrix products on AMX against sums in double precision: sizes and strides of every kind, intervals by row, one
 * pass and three, within the errors that product_amx.h states; and the promises on bits: the exact sum of the rounded
 * operands where it is exact, the same element wherever it stands. Skips (77) where there is no AMX. */
#include "../../runtime/amx.h"
#include "product_jit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t state = 1;
static int failures, cases;
static double worst[4]; /* by passes: error, in units of the bound */

static double uniform(void)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (double)(int64_t)(state >> 11) / 4503599627370496.0 - 1.0;
}

static int64_t pick(int64_t n)
{
    return (int64_t)((uniform() * 0.5 + 0.5) * (double)n);
}

/* Ends where a page ends that may not be touched; `slack` floats behind it hold no numbers. */
typedef struct {
    float *x;
    int64_t n;
    char *map;
    size_t bytes;
} Matrix;

static Matrix matrix_new(int64_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = ((size_t)n * 4 + page - 1) / page * page;
    Matrix m = {.n = n, .bytes = bytes + page};
    m.map = mmap(NULL, m.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m.map == MAP_FAILED || mprotect(m.map + bytes, page, PROT_NONE)) {
        perror("mmap");
        exit(1);
    }
    m.x = (float *)(void *)(m.map + bytes - (size_t)n * 4);
    for (int64_t i = 0; i < n; i++) {
        m.x[i] = (float)uniform();
    }
    return m;
}

static void matrix_free(Matrix *m)
{
    munmap(m->map, m->bytes);
}

static int64_t extent(int64_t n1, int64_t s1, int64_t n2, int64_t s2)
{
    return n1 && n2 ? (n1 - 1) * s1 + (n2 - 1) * s2 + 1 : 0;
}

static bool inside(const JitRange *r, int64_t i, int64_t j)
{
    return j >= r->lo_mul * i + r->lo_add && j < r->hi_mul * i + r->hi_add;
}

static float rounded(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
    memcpy(&x, &u, 4);
    return x;
}

static void run(int passes, const int64_t *s, unsigned known, bool accumulate, JitRange r, int64_t k_first)
{
    Product p = product_compile_amx(passes, s, known, accumulate, r, k_first);
    Matrix a = matrix_new(extent(s[M_], s[AM_], s[K_], s[AK_])), b = matrix_new(extent(s[K_], s[BK_], s[N_], s[BN_]));
    Matrix c = matrix_new(extent(s[M_], s[CM_], s[N_], s[CN_]));
    float *before = malloc((size_t)c.n * 4 + 4);
    char *written = calloc((size_t)c.n + 1, 1);
    memcpy(before, c.x, (size_t)c.n * 4);
    /* Values of k that no row takes part in may be anything. */
    for (int64_t k = 0; r.kind == RANGE_K && k < s[K_]; k++) {
        bool used = false;
        for (int64_t i = 0; i < s[M_]; i++) {
            used = used || inside(&r, i, k);
        }
        for (int64_t j = 0; !used && j < s[N_]; j++) {
            b.x[k * s[BK_] + j * s[BN_]] = NAN;
        }
    }
    p.fn(a.x, b.x, c.x, s);
    bool bad = false;
    for (int64_t i = 0; i < s[M_]; i++) {
        for (int64_t j = 0; j < s[N_]; j++) {
            int64_t at = i * s[CM_] + j * s[CN_];
            double want = before[at], scale = 0;
            written[at] = 1;
            if (r.kind != RANGE_N || inside(&r, i, j)) {
                want = accumulate ? want : 0;
                scale = fabs(want);
                for (int64_t k = 0; k < s[K_]; k++) {
                    double x = a.x[i * s[AM_] + k * s[AK_]], y = b.x[k * s[BK_] + j * s[BN_]];
                    if (r.kind != RANGE_K || inside(&r, i, k)) {
                        want += x * y;
                        scale += fabs(x * y);
                    }
                }
            }
            double bound = ((passes == 1 ? 1.01 * exp2(-7) : 3.1 * exp2(-16)) + (double)s[K_] * exp2(-24)) * scale;
            double error = fabs((double)c.x[at] - want);
            if (bound > 0 && error / bound > worst[passes]) {
                worst[passes] = error / bound;
            }
            if (!(error <= bound) && !bad) {
                bad = true;
                failures++;
                printf(
                    "%d passes, m %ld n %ld k %ld strides %ld %ld | %ld %ld | %ld %ld known %x add %d range %d first "
                    "%ld: C[%ld,%ld] is %.9g, not %.9g (bound %.3g)\n",
                    passes, s[M_], s[N_], s[K_], s[AM_], s[AK_], s[BK_], s[BN_], s[CM_], s[CN_], known, accumulate,
                    r.kind, k_first, i, j, (double)c.x[at], want, bound);
            }
        }
    }
    for (int64_t i = 0; i < c.n; i++) {
        if (!written[i] && c.x[i] != before[i] && !bad) {
            bad = true;
            failures++;
            printf("m %ld n %ld k %ld: wrote between the rows of C\n", s[M_], s[N_], s[K_]);
        }
    }
    cases++;
    free(before);
    free(written);
    matrix_free(&a);
    matrix_free(&b);
    matrix_free(&c);
    product_free(&p);
}

/* layout bits: 1 A transposed, 2 B transposed, 4 C transposed, 8 gaps between rows. */
static void lay_out(int64_t *s, int64_t m, int64_t n, int64_t k, int layout)
{
    int64_t gap = layout & 8 ? 3 : 0;
    s[M_] = m, s[N_] = n, s[K_] = k;
    s[AM_] = layout & 1 ? 1 : k + gap, s[AK_] = layout & 1 ? m + gap : 1;
    s[BK_] = layout & 2 ? 1 : n + gap, s[BN_] = layout & 2 ? k + gap : 1;
    s[CM_] = layout & 4 ? 1 : n + gap, s[CN_] = layout & 4 ? m + gap : 1;
}

/* What strides must be known to be 1. */
static unsigned units(const int64_t *s)
{
    unsigned known = 0;
    for (int i = AM_; i < NSIZES; i++) {
        known |= s[i] == 1 ? 1u << i : 0;
    }
    return known;
}

/* Small whole numbers: every sum is exact, so one pass must give exactly the product of the rounded operands. */
static void check_rounding(void)
{
    int64_t s[NSIZES];
    lay_out(s, 37, 21, 70, 0);
    Product p = product_compile_amx(1, s, units(s), false, (JitRange){RANGE_NONE, 0, 0, 0, 0}, 0);
    Matrix a = matrix_new(37 * 70), b = matrix_new(70 * 21), c = matrix_new(37 * 21);
    for (int64_t i = 0; i < a.n; i++) {
        a.x[i] = (float)(257 + pick(512)); /* nine or ten bits: rounded */
    }
    for (int64_t i = 0; i < b.n; i++) {
        b.x[i] = (float)(pick(5) - 2);
    }
    p.fn(a.x, b.x, c.x, s);
    bool differs = false;
    for (int64_t i = 0; i < 37; i++) {
        for (int64_t j = 0; j < 21; j++) {
            float want = 0, plain = 0;
            for (int64_t k = 0; k < 70; k++) {
                want += rounded(a.x[i * 70 + k]) * rounded(b.x[k * 21 + j]);
                plain += a.x[i * 70 + k] * b.x[k * 21 + j];
            }
            differs = differs || want != plain;
            if (c.x[i * 21 + j] != want) {
                failures++;
                printf("rounding: C[%ld,%ld] is %.9g, not %.9g\n", i, j, (double)c.x[i * 21 + j], (double)want);
            }
        }
    }
    if (!differs) {
        failures++;
        printf("rounding: nothing was rounded\n");
    }
    matrix_free(&a);
    matrix_free(&b);
    matrix_free(&c);
    product_free(&p);
}

/* A causal product whole, and each of its rows by itself, over the values of k that it has: the same bits. */
static void check_places(int passes)
{
    enum { M = 75, N = 20, K = 75 };
    int64_t s[NSIZES], one[NSIZES];
    lay_out(s, M, N, K, 0);
    Matrix a = matrix_new(M * K), b = matrix_new(K * N), c = matrix_new(M * N), d = matrix_new(N);
    Product p = product_compile_amx(passes, s, units(s), false, (JitRange){RANGE_K, 0, 3, 1, 4}, 0);
    p.fn(a.x, b.x, c.x, s);
    product_free(&p);
    for (int64_t first = 0; first < 4; first += 3) { /* the rows see nothing before 3, so a product may begin there */
        memcpy(one, s, sizeof one);
        one[M_] = 1;
        Product r = product_compile_amx(passes, one, units(one), false, (JitRange){RANGE_NONE, 0, 0, 0, 0}, first);
        for (int64_t i = 0; i < M; i += 7) {
            float *row = calloc(K, sizeof *row); /* before its interval: zeros */
            for (int64_t k = 3; k < K; k++) {
                row[k] = a.x[i * K + k];
            }
            one[K_] = (i + 4 < K ? i + 4 : K) - first;
            r.fn(row + first, b.x + first * N, d.x, one);
            if (memcmp(d.x, c.x + i * N, N * sizeof(float)) != 0) {
                failures++;
                printf("%d passes: row %ld from k = %ld on has other bits by itself\n", passes, i, first);
            }
            free(row);
        }
        product_free(&r);
    }
    matrix_free(&a);
    matrix_free(&b);
    matrix_free(&c);
    matrix_free(&d);
}

int main(int argc, char **argv)
{
    static const int64_t sizes[] = {0, 1, 2, 3, 5, 15, 16, 17, 31, 32, 33, 50, 63, 64, 65, 80, 100, 200};
    static const JitRange ranges[] = {{RANGE_K, 0, 0, 1, 1},    {RANGE_K, 1, -7, 1, 3},  {RANGE_K, 1, 0, 0, 9999},
                                      {RANGE_N, 0, 0, 1, 1},    {RANGE_N, 1, -20, 1, 1}, {RANGE_N, 1, 1, 0, 9999},
                                      {RANGE_K, -1, 50, 0, 60}, {RANGE_N, 2, -30, 1, 9}, {RANGE_K, 3, 0, 3, 1}};
    const int nsizes = sizeof sizes / sizeof *sizes, rounds = argc > 1 ? atoi(argv[1]) : 14;
    const JitRange none = {RANGE_NONE, 0, 0, 0, 0};
    Error e = {0};
    if (!amx_request(&e)) {
        printf("skipped: %s\n", e.text);
        return 77;
    }
    int64_t s[NSIZES];
    for (int passes = 1; passes <= 3; passes += 2) {
        for (int round = 0; round < rounds; round++) {
            JitRange r = round % 2 ? ranges[pick(9)] : none;
            lay_out(s, sizes[pick(nsizes)], sizes[pick(nsizes)], sizes[pick(nsizes)],
                    (int)pick(16) & (r.kind == RANGE_NONE ? 15 : 11));
            unsigned known = units(s);
            for (int i = 0; i < NSIZES; i++) {
                known |= uniform() > 0 ? 1u << i : 0;
            }
            run(passes, s, known, uniform() > 0, r, round % 3 ? 0 : pick(40));
        }
        /* More than one block of k and of columns, more rows than intervals are kept for. */
        static const int64_t large[][4] = {{35, 50, 1100, 1}, {40, 600, 33, 2}, {20, 530, 700, 8}, {300, 40, 300, 3}};
        for (unsigned i = 0; i < sizeof large / sizeof *large; i++) {
            lay_out(s, large[i][0], large[i][1], large[i][2], (int)large[i][3]);
            run(passes, s, units(s), i % 2, none, 0);
            run(passes, s, units(s), !(i % 2), ranges[i % 2 ? 0 : 3], 5);
        }
        check_places(passes);
    }
    check_rounding();
    printf("%d products, %d wrong; largest errors %.2f (1 pass), %.2f (3 passes) of the bounds\n", cases, failures,
           worst[1], worst[3]);
    return failures ? 1 : 0;
}
