/* convolve and correlate against the sums as they are written down, every variant this CPU can run. */
#include "convolve.h"
#include "convolve_variants.h"
#include "test.h"
#include <math.h>

enum { N = 800, STRIDE = 71, CANARY = 12345 };
static const double tolerance[] = {1e-6, 8e-16}; /* f32, f64: of the largest sum of |w| |x| */

/* What a call sees: element i of an array is at base + i * step. */
typedef struct {
    const Variant *v;
    int64_t n, columns, first, weight_step, x_step, y_step;
} Case;

static double weight[3 * N], x[N * STRIDE + 16], y[N * STRIDE + 16], got[N * STRIDE + 16];
static void *scratch;
static size_t scratch_bytes;
static uint32_t state = 1;

static double uniform(void)
{
    state = state * 1664525 + 1013904223;
    return (double)(int32_t)state / 2147483648.0;
}

static double at(const void *p, int64_t i, bool wide)
{
    return wide ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

static void put(void *p, int64_t i, bool wide, double value)
{
    if (wide) {
        ((double *)p)[i] = value;
    } else {
        ((float *)p)[i] = (float)value;
    }
}

/* Where position 0 lies: at the end if the list runs backward. */
static int64_t start(int64_t step, int64_t n)
{
    return step < 0 ? -step * (n - 1) : 0;
}

static void *address(void *p, int64_t i, bool wide)
{
    return (char *)p + i * (wide ? 8 : 4);
}

static void call(const Case *t, bool correlate, void *w, void *from, void *to)
{
    bool wide = t->v->wide;
    size_t allowed = (size_t)(t->n * convolve_scratch_row(t->columns) + CONVOLVE_SCRATCH);
    CHECK(allowed + 64 <= scratch_bytes);
    memset(scratch, 0xff, allowed + 64);
    ConvolveArgs c = {t->n,           t->columns,
                      t->first,       address(w, start(t->weight_step, t->n), wide),
                      t->weight_step, address(from, start(t->x_step, t->n), wide),
                      t->x_step,      address(to, start(t->y_step, t->n), wide),
                      t->y_step,      scratch};
    (correlate ? t->v->correlate : t->v->convolve)(&c);
    for (size_t i = 0; i < 64; i++) {
        CHECK(((unsigned char *)scratch)[allowed + i] == 0xff);
    }
}

/* Cells beside the columns hold values that are no numbers: none may be used. */
static void fill(double *p, const Case *t, int64_t step)
{
    for (int64_t i = 0; i < N * STRIDE + 16; i++) {
        put(p, i, t->v->wide, NAN);
    }
    for (int64_t i = 0; i < t->n; i++) {
        for (int64_t k = 0; k < t->columns; k++) {
            put(p, start(step, t->n) + i * step + k, t->v->wide, uniform());
        }
    }
}

static void fill_weight(const Case *t, double scale, double beside)
{
    for (int64_t i = 0; i < 3 * N; i++) {
        put(weight, i, t->v->wide, beside);
    }
    for (int64_t lag = t->first; lag < t->n; lag++) {
        put(weight, start(t->weight_step, t->n) + lag * t->weight_step, t->v->wide, scale * uniform());
    }
}

static double w(const Case *t, int64_t lag)
{
    return at(weight, start(t->weight_step, t->n) + lag * t->weight_step, t->v->wide);
}

static double cell(const double *p, const Case *t, int64_t step, int64_t i, int64_t column)
{
    return at(p, start(step, t->n) + i * step + column, t->v->wide);
}

static void say(const Case *t, const char *what, double error, double size)
{
    printf("%s %s: n %d columns %d first %d steps %d %d %d: off by %.3g of %.3g\n", t->v->name, what, (int)t->n,
           (int)t->columns, (int)t->first, (int)t->weight_step, (int)t->x_step, (int)t->y_step, error, size);
}

static double worst[2][2];

static void judge(const Case *t, bool correlate, double error, double size)
{
    if (size > 0 && !(error / size <= worst[t->v->wide][correlate])) {
        worst[t->v->wide][correlate] = error / size;
    }
    if (!(error <= tolerance[t->v->wide] * size)) {
        say(t, correlate ? "correlate" : "convolve", error, size);
        failures++;
    }
}

static double larger(double a, double b)
{
    return a >= b ? a : b; /* b if either is no number */
}

static void compare_convolve(const Case *t)
{
    bool wide = t->v->wide;
    double error = 0, size = 0;
    for (int64_t i = 0; i < N * STRIDE + 16; i++) {
        put(y, i, wide, CANARY);
    }
    call(t, false, weight, x, y);
    for (int64_t i = 0; i < t->n; i++) {
        for (int64_t k = 0; k < t->columns; k++) {
            double sum = 0, sizes = 0;
            for (int64_t j = 0; j <= i - t->first; j++) {
                double term = w(t, i - j) * cell(x, t, t->x_step, j, k);
                sum += term;
                sizes += fabs(term);
            }
            double off = fabs(cell(y, t, t->y_step, i, k) - sum);
            error = off <= error ? error : off;
            size = larger(size, sizes);
            put(y, start(t->y_step, t->n) + i * t->y_step + k, wide, CANARY);
        }
    }
    judge(t, false, error, size);
    int64_t touched = 0;
    for (int64_t i = 0; i < N * STRIDE + 16; i++) {
        touched += at(y, i, wide) != CANARY;
    }
    CHECK(touched == 0);
}

static void compare_correlate(const Case *t)
{
    bool wide = t->v->wide;
    double error = 0, size = 0;
    static double sums[3 * N];
    int64_t at0 = start(t->weight_step, t->n);
    memcpy(sums, weight, sizeof sums);
    fill(y, t, t->y_step);
    call(t, true, sums, x, y);
    for (int64_t lag = t->first; lag < t->n; lag++) {
        double sum = 0, sizes = 0;
        for (int64_t i = lag; i < t->n; i++) {
            for (int64_t k = 0; k < t->columns; k++) {
                double term = cell(y, t, t->y_step, i, k) * cell(x, t, t->x_step, i - lag, k);
                sum += term;
                sizes += fabs(term);
            }
        }
        double off = fabs(at(sums, at0 + lag * t->weight_step, wide) - w(t, lag) - sum);
        error = off <= error ? error : off;
        size = larger(size, sizes);
        put(sums, at0 + lag * t->weight_step, wide, w(t, lag));
    }
    judge(t, true, error, size);
    CHECK(memcmp(sums, weight, sizeof sums) == 0); /* other weights were not touched */
}

static void compare(const Case *t)
{
    fill(x, t, t->x_step);
    fill_weight(t, 1, NAN);
    compare_convolve(t);
    fill_weight(t, 0.01, CANARY);
    compare_correlate(t);
}

static void sizes(const Variant *v)
{
    static const int64_t ns[] = {1, 2, 31, 32, 33, 63, 64, 65, 100, 200, 257};
    static const int64_t columns[] = {1, 2, 16, 17, 32, 50, 64};
    static const int64_t firsts[] = {0, 1, 5, 40};
    for (size_t i = 0; i < sizeof ns / sizeof *ns; i++) {
        for (size_t k = 0; k < sizeof columns / sizeof *columns; k++) {
            for (size_t f = 0; f < sizeof firsts / sizeof *firsts; f++) {
                static const int64_t weight_steps[] = {1, -1, 3};
                int64_t step = columns[k] + (int64_t)(f * i % 8), way = (i + k) % 2 ? -1 : 1;
                compare(&(Case){v, ns[i], columns[k], firsts[f], weight_steps[(i + k + f) % 3], way * step,
                                (k + f) % 3 ? way * STRIDE : way * step});
            }
        }
    }
    compare(&(Case){v, N, 50, 1, 1, 50, 64});
    compare(&(Case){v, N, 3, 0, 3, -STRIDE, -STRIDE});
    compare(&(Case){v, N, 1, 100, -1, 1, 1});
}

static bool same_rows(const Case *t, int64_t rows)
{
    for (int64_t i = 0; i < rows; i++) {
        size_t bytes = (size_t)t->columns * (t->v->wide ? 8 : 4);
        if (memcmp(address(y, i * t->y_step, t->v->wide), address(got, i * t->y_step, t->v->wide), bytes) != 0) {
            return false;
        }
    }
    return true;
}

/* No value behind i, no length of the list, reaches a bit of y[i]. */
static void causality(const Variant *v)
{
    for (int64_t first = 0; first <= 2; first++) {
        Case t = {v, N, 50, first, 1, 50, STRIDE};
        fill(x, &t, t.x_step);
        fill_weight(&t, 1, NAN);
        call(&t, false, weight, x, y);
        call(&t, false, weight, x, got);
        CHECK(same_rows(&t, N));
        for (int64_t n = 1; n < N; n += n < 140 ? 1 : 37) {
            Case part = t;
            part.n = n;
            memset(got, 0, sizeof got);
            call(&part, false, weight, x, got);
            CHECK(same_rows(&t, n));
        }
        for (int64_t j = N - 1; j >= 0; j -= j > 660 ? 1 : 29) {
            for (int64_t k = 0; k < t.columns; k++) {
                put(x, j * t.x_step + k, v->wide, j % 2 ? NAN : 1e30);
            }
            call(&t, false, weight, x, got);
            CHECK(same_rows(&t, j + (first > 0))); /* the row itself sees x[j] only at distance 0 */
            CHECK(j + first >= N || !same_rows(&t, j + first + 1));
        }
    }
}

int main(void)
{
    scratch_bytes = (size_t)(N * convolve_scratch_row(64) + CONVOLVE_SCRATCH + 64);
    scratch = aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
    if (!scratch) {
        return 1;
    }
    for (int v = 0; v < VARIANTS; v++) {
        if (runs_here(&variants[v])) {
            sizes(&variants[v]);
            causality(&variants[v]);
        }
    }
    for (int wide = 0; wide < 2; wide++) {
        printf("largest errors, f%d: convolve %.2g, correlate %.2g\n", wide ? 64 : 32, worst[wide][0], worst[wide][1]);
    }
    free(scratch);
    return report("convolve");
}
