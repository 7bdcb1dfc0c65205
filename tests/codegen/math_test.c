/* The generated elementary functions against the C library, through whole compiled graphs.
 *
 * f32: every 977th bit pattern of the whole range (all exponents, denormals, both infinities, NaNs) against libm in
 * double. f64: random bit patterns and a dense grid where the function lives, against libm in long double. The error
 * Sessions refuse inputs that are no finite numbers, so those are made inside: x / d with d = 0. The error
 * is counted in units in the last place of the exact result; results below the smallest normal number may be flushed.
 * The bounds are those that codegen/math.c states. */
#include "codegen.h"
#include "passes.h"
#include "random.h"
#include "runtime.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROW = 4096 };

static long double sigmoid(long double x)
{
    return 1 / (1 + expl(-x));
}

typedef struct {
    const char *name;
    long double (*reference)(long double);
    double bound32, bound64; /* ulp */
    double lo, hi;           /* where the dense grid lies */
    double range;            /* bounds hold for |x| up to this */
} Function;

static const Function functions[] = {
    {"exp", expl, 1, 1, -750, 720, INFINITY}, {"log", logl, 1, 1, 0, 10, INFINITY},
    {"tanh", tanhl, 3, 3, -20, 20, INFINITY}, {"sigmoid", sigmoid, 3, 3, -80, 80, INFINITY},
    {"erf", erfl, 1, 3, -6, 6, INFINITY},     {"sin", sinl, 1, 2, -100, 100, 1e6},
    {"cos", cosl, 1, 2, -100, 100, 1e6},      {"sqrt", sqrtl, 0.51, 0.51, 0, 100, INFINITY},
};

typedef struct {
    Plan *plan;
    Session *session;
    Pool *pool;
    Arena *arena;
    Diag *diag;
} Compiled;

static Text last_ir; /* of the kernel compiled last, where that was wanted */
static bool wants_ir;
static bool one_by_one; /* kernels whose loops nobody widens */

static void keep_ir(void *ctx, const char *kernel, const char *ir)
{
    (void)ctx, (void)kernel;
    text_free(&last_ir);
    text_append(&last_ir, ir, strlen(ir));
}

static Compiled compile(const char *body, const char *inputs, DType real, const char *cpu)
{
    Compiled c = {.arena = arena_new(), .diag = diag_new()};
    Text text = {0}, why = {0};
    Error e = {0};
    text_printf(&text, "graph math\naxis N = %d\n%svalue y[N] : real per_example output\ny[i] = %s  over i: N\n", ROW,
                inputs, body);
    Graph *g = graph_parse(c.arena, c.diag, "math", text.s);
    PipelineOptions o = {.verify = true};
    if (!g || !pipeline_run(g, &o)) {
        diag_print(c.diag, &why);
        fprintf(stderr, "%s\n", why.s);
        exit(1);
    }
    CodegenOptions co = {
        .real = real, .threads = 1, .cpu = cpu, .dump = wants_ir ? keep_ir : NULL, .quick = one_by_one};
    c.plan = codegen_compile(pass_plan(g), &co, NULL, &why);
    c.pool = pool_new(1, &e);
    c.session = c.plan ? session_new(c.plan, c.pool, 1, &e) : NULL;
    if (!c.session) {
        fprintf(stderr, "%s%s\n", why.s ? why.s : "", e.text);
        exit(1);
    }
    text_free(&text);
    return c;
}

static void discard(Compiled *c)
{
    session_free(c->session);
    pool_free(c->pool);
    c->plan->destroy(c->plan);
    diag_free(c->diag);
    arena_free(c->arena);
}

/* y = f(x...) over rows * ROW values; the result is to be freed. */
static void *apply(Compiled *c, int n, const char *const *names, void *const *data, DType type, int64_t rows)
{
    Array arrays[3], out = {0};
    Error e = {0};
    for (int i = 0; i < n; i++) {
        arrays[i] = (Array){.name = names[i], .dtype = type, .ndim = 2, .dims = {rows, ROW}, .data = data[i]};
    }
    Batch b = {.n = n, .arrays = arrays, .batch = rows};
    if (!session_run(c->session, &b, 1, &e) || !session_fetch(c->session, "y", &out, &e)) {
        fprintf(stderr, "%s\n", e.text);
        exit(1);
    }
    return out.data;
}

/* Distance in ulp of the type at the exact value; infinite for a wrong kind of result. */
static double distance(long double have, long double want, bool f32)
{
    long double least = f32 ? FLT_MIN : DBL_MIN, most = f32 ? FLT_MAX : DBL_MAX;
    if (isnan(want) || isnan(have)) {
        return isnan(want) && isnan(have) ? 0 : INFINITY;
    }
    if (fabsl(want) < least) {
        return fabsl(have) <= least ? 0 : INFINITY;
    }
    if (fabsl(want) > most || isinf(have)) {
        bool near = fabsl(want) > most * (1 - (f32 ? 1e-6L : 1e-14L)); /* rounding may go either way there */
        return near && fabsl(have) > most * (1 - (f32 ? 1e-6L : 1e-14L)) && (have > 0) == (want > 0) ? 0 : INFINITY;
    }
    int exponent;
    frexpl(want, &exponent);
    return (double)(fabsl(have - want) / ldexpl(1, exponent - (f32 ? 24 : 53)));
}

static int failures;
static const char inputs[] = "input x[N] : real per_example\ninput d[N] : real per_example\n";

static void report(const char *name, const char *type, double worst, long double at, double bound)
{
    bool bad = !(worst <= bound);
    printf("%-8s %s  %.3g ulp at %.9Lg (bound %.3g)%s\n", name, type, worst, at, bound, bad ? "  FAILED" : "");
    failures += bad;
}

static void check32(const Function *f, const char *cpu)
{
    char body[64];
    snprintf(body, sizeof body, "%s(x[i] / d[i])", f->name);
    Compiled c = compile(body, inputs, DT_F32, cpu);
    int64_t rows = 1073, n = rows * ROW;
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)(i * 977);
        memcpy(&x[i], &bits, sizeof bits);
    }
    float edges[] = {INFINITY,  -INFINITY,   NAN,        0,        -0.0f,   FLT_MIN, -FLT_MIN, FLT_MAX, -FLT_MAX,
                     88.72283f, 88.7228394f, -87.33654f, -103.97f, -104.5f, -1e30f,  1,        -1};
    memcpy(x, edges, sizeof edges);
    float *d = malloc((size_t)n * sizeof *d);
    for (int64_t i = 0; i < n; i++) {
        d[i] = isfinite(x[i]) ? 1 : 0;
        x[i] = isfinite(x[i]) ? x[i] : isnan(x[i]) ? 0 : copysignf(1, x[i]);
    }
    float *y = apply(&c, 2, (const char *[]){"x", "d"}, (void *[]){x, d}, DT_F32, rows);
    double worst = 0;
    long double at = 0;
    for (int64_t i = 0; i < n; i++) {
        float v = (fabsf(x[i]) < FLT_MIN ? copysignf(0, x[i]) : x[i]) / d[i]; /* inputs are flushed too */
        double far = fabs((double)v) > f->range && !isinf(v) ? 0 : distance(y[i], f->reference(v), true);
        if (!(far <= worst)) {
            worst = far;
            at = v;
        }
    }
    report(f->name, "f32", worst, at, f->bound32);
    free(x);
    free(d);
    free(y);
    discard(&c);
}

static void check64(const Function *f, const char *cpu)
{
    char body[64];
    snprintf(body, sizeof body, "%s(x[i] / d[i])", f->name);
    Compiled c = compile(body, inputs, DT_F64, cpu);
    int64_t rows = 200, n = rows * ROW;
    double *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = random_fold(17, i);
        memcpy(&x[i], &bits, sizeof bits);
        if (i % 2) {
            x[i] = f->lo + (f->hi - f->lo) * (double)(bits >> 11) * 0x1p-53;
        }
        if (i % 16 == 3) { /* small ones */
            x[i] = ldexp((double)(int64_t)bits, -70 - (int)(bits % 50));
        }
    }
    double edges[] = {INFINITY, -INFINITY, NAN, 0, -0.0, DBL_MIN, -DBL_MIN, DBL_MAX, -DBL_MAX, 709.78, -708.39, 1, -1};
    memcpy(x, edges, sizeof edges);
    double *d = malloc((size_t)n * sizeof *d);
    for (int64_t i = 0; i < n; i++) {
        d[i] = isfinite(x[i]) ? 1 : 0;
        x[i] = isfinite(x[i]) ? x[i] : isnan(x[i]) ? 0 : copysign(1, x[i]);
    }
    double *y = apply(&c, 2, (const char *[]){"x", "d"}, (void *[]){x, d}, DT_F64, rows);
    double worst = 0;
    long double at = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = (fabs(x[i]) < DBL_MIN ? copysign(0, x[i]) : x[i]) / d[i];
        double far = fabs(v) > f->range && !isinf(v) ? 0 : distance(y[i], f->reference(v), false);
        if (!(far <= worst)) {
            worst = far;
            at = v;
        }
    }
    report(f->name, "f64", worst, at, f->bound64);
    free(d);
    free(x);
    free(y);
    discard(&c);
}

static void put(void *data, int64_t i, bool f32, double v)
{
    if (f32) {
        ((float *)data)[i] = (float)v;
    } else {
        ((double *)data)[i] = v;
    }
}

static double get(const void *data, int64_t i, bool f32)
{
    return f32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
}

/* A base and an exponent of a kind that i chooses: all sorts, or a base near 1 with a power of any size up to 2^+-most.
 */
static void draw_powers(int64_t i, bool f32, double most, double *a, double *b)
{
    double u = random_uniform(random_fold(1, i)) - 0.5, w = random_uniform(random_fold(2, i)) - 0.5;
    *a = exp(40 * u);
    *b = 30 * w;
    if (i % 2) {
        *a = 1 + u * (i % 4 == 1 ? 0.9 : exp2(-(double)(i % 97) / 4));
        *a = f32 ? (float)*a : *a;
        *b = *a == 1 ? 3 : 2 * most * w / log2(*a);
    }
}

static void *powers(DType type, const char *cpu, void *const *data, int64_t rows)
{
    static const char *const names[] = {"x", "d", "z"};
    Compiled c = compile("pow(x[i] / d[i], z[i])",
                         "input x[N] : real per_example\ninput d[N] : real per_example\n"
                         "input z[N] : real per_example\n",
                         type, cpu);
    void *y = apply(&c, 3, names, data, type, rows);
    discard(&c);
    return y;
}

/* pow: bases and exponents of all kinds, also infinite bases and NaN; f64 to 200 ulp, f32 to 1. One by one or many at a
 * time, the bits are the same. */
static void check_pow(DType type, const char *cpu)
{
    static const double special[] = {0,    -0.0, 1,     -1, 2,        -2,        0.5, -0.5,  3,     -3,        1.5,
                                     1e10, 1e30, -1e30, -7, INFINITY, -INFINITY, NAN, -0.25, 1e-30, -16777217, 101};
    enum { S = sizeof special / sizeof *special };
    bool f32 = type == DT_F32;
    int64_t rows = 300, n = rows * ROW;
    void *x = calloc((size_t)n, 8), *d = calloc((size_t)n, 8), *z = calloc((size_t)n, 8);
    for (int64_t i = 0; i < n; i++) {
        double a = special[i / S % S], b = special[i % S];
        if (i >= S * S) {
            draw_powers(i, f32, f32 ? 125 : 150, &a, &b);
        }
        put(x, i, f32, isfinite(a) ? a : isnan(a) ? 0 : copysign(1, a));
        put(d, i, f32, isfinite(a));
        put(z, i, f32, isfinite(b) ? b : 2.5);
    }
    void *y = powers(type, cpu, (void *[]){x, d, z}, rows);
    one_by_one = true;
    void *single = powers(type, cpu, (void *[]){x, d, z}, rows);
    one_by_one = false;
    if (memcmp(y, single, (size_t)n * (f32 ? sizeof(float) : sizeof(double))) != 0) {
        printf("pow      %s  differs where it is computed one by one  FAILED\n", f32 ? "f32" : "f64");
        failures++;
    }
    double worst = 0;
    long double at = 0;
    for (int64_t i = 0; i < n; i++) {
        long double a = get(x, i, f32) / get(d, i, f32);
        double far = distance(get(y, i, f32), powl(a, get(z, i, f32)), f32);
        if (!(far <= worst)) {
            worst = far;
            at = a;
        }
    }
    report("pow", f32 ? "f32" : "f64", worst, at, f32 ? 1 : 200);
    free(x);
    free(d);
    free(z);
    free(y);
    free(single);
}

/* Where a function is made of AVX-512's instructions, a loop of it has them for 16 floats, and no calls. */
static void check_widened(const char *function, const char *body, const char *cpu)
{
    wants_ir = true;
    Compiled c = compile(body, "input x[N] : real per_example\n", DT_F32, cpu);
    wants_ir = false;
    discard(&c);
    if (!strstr(last_ir.s, "llvm.x86.avx512")) {
        printf("%-8s f32  no AVX-512\n", function);
        return;
    }
    bool good = strstr(last_ir.s, "scalef.ps.512") && !strstr(last_ir.s, "@wide.");
    printf("%-8s f32  %s\n", function, good ? "16 at a time" : "not 16 at a time  FAILED");
    failures += !good;
}

int main(int argc, char **argv)
{
    const char *cpu = argc > 1 ? argv[1] : NULL;
    check_widened("exp", "exp(x[i])", cpu);
    check_widened("sigmoid", "sigmoid(x[i])", cpu);
    check_widened("tanh", "tanh(x[i])", cpu);
    check_widened("pow", "pow(x[i], 1.7)", cpu);
    text_free(&last_ir);
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        check32(&functions[i], cpu);
        check64(&functions[i], cpu);
    }
    check_pow(DT_F32, cpu);
    check_pow(DT_F64, cpu);
    return failures > 0;
}
