/* Generated matrix products against plain loops: every size of tail, every order of strides, f32 and f64, every CPU
 * level the host has; and the promise that an element's bits depend on its row and column alone. */
#include "product_jit.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t state = 1;
static int failures, cases;

static double uniform(void)
{
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    return (double)(int64_t)(state >> 11) / 4503599627370496.0 - 1.0;
}

typedef union {
    void *p;
    float *f;
    double *d;
} Array;

static double get(Array x, bool is_double, int64_t i)
{
    return is_double ? x.d[i] : (double)x.f[i];
}

static void set(Array x, bool is_double, int64_t i, double v)
{
    if (is_double) {
        x.d[i] = v;
    } else {
        x.f[i] = (float)v;
    }
}

/* With so many bytes behind it that may be read, and hold no numbers. */
static Array array_new(bool is_double, int64_t n, size_t slack)
{
    /* Ends where a page ends that may not be touched: generated code has no sanitizer of its own. */
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (size_t)n * (is_double ? 8 : 4) + slack;
    size_t whole = (bytes + page - 1) / page * page;
    char *p = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED || mprotect(p + whole, page, PROT_NONE)) {
        perror("mmap");
        exit(1);
    }
    Array x = {p + whole - bytes};
    memset(p + whole - slack, 0xff, slack);
    for (int64_t i = 0; i < n; i++) {
        set(x, is_double, i, uniform());
    }
    return x;
}

static void array_free(Array x, bool is_double, int64_t n, size_t slack)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (size_t)n * (is_double ? 8 : 4) + slack;
    size_t whole = (bytes + page - 1) / page * page;
    munmap((char *)x.p + bytes - whole, whole + page);
}

static int64_t extent(int64_t n1, int64_t s1, int64_t n2, int64_t s2)
{
    return n1 && n2 ? (n1 - 1) * s1 + (n2 - 1) * s2 + 1 : 0;
}

static bool inside(const JitRange *r, int64_t i, int64_t j)
{
    return j >= r->lo_mul * i + r->lo_add && j < r->hi_mul * i + r->hi_add;
}

/* One chain of fused multiply-adds over ascending k, as the generated code promises. */
static double expected(bool is_double, bool fused, const int64_t *s, Array a, Array b, double c, int64_t i, int64_t j,
                       const JitRange *r)
{
    for (int64_t k = 0; k < s[K_]; k++) {
        if ((r->kind == RANGE_K && !inside(r, i, k)) || (r->kind == RANGE_N_OF_K && !inside(r, k, j))) {
            continue;
        }
        double x = get(a, is_double, i * s[AM_] + k * s[AK_]), y = get(b, is_double, k * s[BK_] + j * s[BN_]);
        if (is_double) {
            c = fused ? fma(x, y, c) : x * y + c;
        } else {
            c = fused ? fmaf((float)x, (float)y, (float)c) : (float)((float)x * (float)y) + (float)c;
            c = (float)c;
        }
    }
    return c;
}

static void run_as(const char *cpu, bool is_double, const int64_t *s, unsigned known, bool accumulate, JitRange r,
                   bool turned)
{
    Product p = (turned ? product_compile_turned : product_compile)(cpu, is_double, s, known, accumulate, r);
    int64_t na = extent(s[M_], s[AM_], s[K_], s[AK_]), nb = extent(s[K_], s[BK_], s[N_], s[BN_]);
    int64_t nc = extent(s[M_], s[CM_], s[N_], s[CN_]);
    Array a = array_new(is_double, na, GEMM_SLACK), b = array_new(is_double, nb, GEMM_SLACK),
          c = array_new(is_double, nc, 0);
    Array before = array_new(is_double, nc, 0);
    for (int64_t j = 0; r.kind == RANGE_K && s[K_] > 0 && j < s[N_]; j++) { /* rows that leave k out must not see it */
        set(b, is_double, s[K_] / 2 * s[BK_] + j * s[BN_], j % 2 ? (double)INFINITY : (double)NAN);
    }
    for (int64_t k = 0; r.kind == RANGE_N_OF_K && k < s[K_]; k++) { /* nor columns values of k that leave them out */
        for (int64_t j = 0; j < s[N_]; j++) {
            if (!inside(&r, k, j)) {
                set(b, is_double, k * s[BK_] + j * s[BN_], j % 2 ? (double)INFINITY : (double)NAN);
            }
        }
    }
    product_sums = turned ? calloc((size_t)PRODUCT_SUMS(s[M_], s[N_]), sizeof(double)) : NULL;
    char *written = calloc((size_t)nc + 1, 1);
    memcpy(before.p, c.p, (size_t)nc * (is_double ? 8 : 4));
    p.fn(a.p, b.p, c.p, s);
    bool fused = strcmp(cpu, "x86-64") != 0, bad = false;
    for (int64_t i = 0; i < s[M_]; i++) {
        for (int64_t j = 0; j < s[N_]; j++) {
            int64_t at = i * s[CM_] + j * s[CN_];
            double old = get(before, is_double, at), want = old, got = get(c, is_double, at);
            written[at] = 1;
            if (r.kind != RANGE_N || inside(&r, i, j)) {
                want = expected(is_double, fused, s, a, b, accumulate && !turned ? old : 0, i, j, &r);
                want = !accumulate || !turned ? want : is_double ? old + want : (float)((float)old + (float)want);
            }
            if (got != want && !(isnan(got) && isnan(want)) && !bad) {
                bad = true;
                failures++;
                printf("%s %s m %ld n %ld k %ld strides %ld %ld | %ld %ld | %ld %ld known %x add %d range %d: "
                       "C[%ld,%ld] is %.9g, not %.9g\n",
                       cpu, is_double ? "f64" : "f32", s[M_], s[N_], s[K_], s[AM_], s[AK_], s[BK_], s[BN_], s[CM_],
                       s[CN_], known, accumulate, r.kind, i, j, got, want);
            }
        }
    }
    for (int64_t i = 0; i < nc; i++) {
        if (!written[i] && get(c, is_double, i) != get(before, is_double, i) && !bad) {
            bad = true;
            failures++;
            printf("%s m %ld n %ld k %ld: wrote between the rows of C\n", cpu, s[M_], s[N_], s[K_]);
        }
    }
    cases++;
    array_free(a, is_double, na, GEMM_SLACK);
    array_free(b, is_double, nb, GEMM_SLACK);
    array_free(c, is_double, nc, 0);
    array_free(before, is_double, nc, 0);
    free(written);
    free(product_sums);
    product_free(&p);
}

static void run(const char *cpu, bool is_double, const int64_t *s, unsigned known, bool accumulate, JitRange r)
{
    run_as(cpu, is_double, s, known, accumulate, r, false);
}

/* layout bits: 1 A transposed, 2 B transposed, 4 C transposed, 8 gaps between rows, 16 no unit stride in B and C. */
static void lay_out(int64_t *s, int64_t m, int64_t n, int64_t k, int layout)
{
    int64_t gap = layout & 8 ? 3 : 0, unit = layout & 16 ? 2 : 1;
    s[M_] = m, s[N_] = n, s[K_] = k;
    s[AM_] = layout & 1 ? 1 : k + gap, s[AK_] = layout & 1 ? m + gap : 1;
    s[BK_] = layout & 2 ? unit : n * unit + gap, s[BN_] = layout & 2 ? k * unit + gap : unit;
    s[CM_] = layout & 4 ? unit : n * unit + gap, s[CN_] = layout & 4 ? m * unit + gap : unit;
    if (unit == 1) {
        return;
    }
    s[BK_] += layout & 2 ? 0 : 1; /* strides that share no factor */
}

/* Summed transposed: rows, columns and values of k, each beyond one block or panel, too; conditions that cut every
 * panel, leave out values of k at either end, and let whole ones through more than once. */
static void run_turned(const char *cpu, int round)
{
    static const int64_t sizes[][3] = {{50, 130, 32}, {19, 70, 5},   {3, 200, 200}, {25, 96, 48},
                                       {8, 17, 400},  {64, 300, 16}, {1, 48, 1},    {120, 5, 0}};
    static const JitRange ranges[] = {{RANGE_NONE, 0, 0, 0, 0},        {RANGE_N_OF_K, 0, 0, 1, 1},
                                      {RANGE_N_OF_K, 1, -20, 1, 1},    {RANGE_N_OF_K, 1, 0, 0, 9999},
                                      {RANGE_N_OF_K, -1, 90, 0, 9999}, {RANGE_N_OF_K, 0, -5, 3, -40}};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t s[NSIZES];
        lay_out(s, sizes[i][0], sizes[i][1], sizes[i][2], 1 | 4 | (round % 2 ? 8 : 0));
        unsigned known = 1u << AM_ | 1u << BN_ | 1u << CM_ | (round % 3 ? 1u << M_ : 0) | (i % 2 ? 1u << AK_ : 0);
        run_as(cpu, uniform() > 0, s, known, uniform() > 0, ranges[(i + (unsigned)round) % 6], true);
    }
}

static bool host_has(const char *cpu)
{
    __builtin_cpu_init();
    return !strcmp(cpu, "x86-64-v4")   ? __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
           : !strcmp(cpu, "x86-64-v3") ? __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
                                       : true;
}

static int64_t pick(int64_t n)
{
    return (int64_t)((uniform() * 0.5 + 0.5) * (double)n);
}

int main(int argc, char **argv)
{
    static const char *const cpus[] = {"x86-64-v4", "x86-64-v3", "x86-64"};
    static const int64_t sizes[] = {0, 1, 2, 3, 5, 6, 7, 13, 15, 16, 17, 31, 33, 50, 64, 65, 80, 100, 200};
    const int nsizes = sizeof sizes / sizeof *sizes, rounds = argc > 1 ? atoi(argv[1]) : 30;
    const JitRange none = {RANGE_NONE, 0, 0, 0, 0};
    const unsigned strides = 1u << AM_ | 1u << AK_ | 1u << BK_ | 1u << BN_ | 1u << CM_ | 1u << CN_;
    for (int c = 0; c < 3; c++) {
        if (!host_has(cpus[c])) {
            printf("%s: not this host\n", cpus[c]);
            continue;
        }
        int64_t s[NSIZES];
        for (int round = 0; round < rounds; round++) {
            lay_out(s, sizes[pick(nsizes)], sizes[pick(nsizes)], sizes[pick(nsizes)], (int)pick(32));
            unsigned known = 0;
            for (int i = 0; i < NSIZES; i++) {
                known |= uniform() > 0 ? 1u << i : 0;
            }
            /* What codegen knows: unit strides always. */
            for (int i = AM_; i < NSIZES; i++) {
                known |= s[i] == 1 && round % 4 ? 1u << i : 0;
            }
            JitRange r = none;
            if (round % 3 == 1) {
                static const JitRange ranges[] = {{RANGE_K, 0, 0, 1, 1},    {RANGE_K, 1, -7, 1, 3},
                                                  {RANGE_K, 1, 0, 0, 9999}, {RANGE_N, 0, 0, 1, 1},
                                                  {RANGE_N, 1, -20, 1, 1},  {RANGE_N, 1, 1, 0, 9999},
                                                  {RANGE_K, -1, 50, 0, 60}, {RANGE_N, 2, -30, 1, 9}};
                r = ranges[pick(8)];
            }
            run(cpus[c], uniform() > 0, s, known, uniform() > 0, r);
        }
        for (int round = 0; round < (rounds + 4) / 5; round++) {
            run_turned(cpus[c], round);
        }
        /* Blocks: k, n and m beyond one block; weights whose rows thrash a cache. */
        static const int64_t large[][4] = {{3, 50, 1000, 1},  {400, 20, 30, 0},  {30, 600, 20, 2},  {20, 600, 700, 2},
                                           {193, 256, 64, 0}, {61, 512, 300, 3}, {50, 50, 1025, 5}, {200, 300, 600, 0},
                                           {600, 20, 300, 1}, {517, 70, 3, 1}};
        for (unsigned i = 0; i < sizeof large / sizeof *large; i++) {
            for (int d = 0; d < 2; d++) {
                lay_out(s, large[i][0], large[i][1], large[i][2], (int)large[i][3]);
                run(cpus[c], d, s, i % 2 ? strides : strides | 1u << N_ | 1u << K_, d, none);
                run(cpus[c], d, s, strides, !d, (JitRange){i % 2 ? RANGE_K : RANGE_N, 0, 0, 1, 1});
            }
        }
    }
    printf("%d products, %d wrong\n", cases, failures);
    return failures ? 1 : 0;
}
