/* Every row of ir/scalar.def, as a compiled graph of one equation.
 *
 *   test_scalar [--cpu NAME]
 *
 *   y[i] = NAME(a[i], b[i], c[i])          value: against the C library in long double, in ulp (cases.c)
 *   loss = sum[i] w[i] * (y[i] + a[i] + b[i] + c[i])
 *                                          gradient: w times (derivative + 1), the derivative by central differences
 *                                          of the meaning, |error| <= 1e-6 max(1, |derivative|) in f64, 1e-4 in f32
 *
 * A step function or an integer has y as a number in the loss, so the same check says that no gradient flows there.
 * Gradients and values are also compared with the interpreter (f64, 1e-10). A row without a case is a failure. */
#include "../support/oracle.h"
#include "cases.h"
#include "codegen.h"
#include "passes.h"
#include "random.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CELLS = 211, MAX_ARGS = 3 };
static const char *const arg_name[MAX_ARGS] = {"a", "b", "c"};

typedef struct {
    const Case *c;
    DType real;
    int nargs;
    double arg[MAX_ARGS][CELLS], weight[CELLS];
    int failures;
} Test;

static void fail(Test *t, const char *what, int cell, double have, double want)
{
    if (t->failures++ < 3) {
        printf("%s(%s) in %s: %s at cell %d (%.17g, %.17g, %.17g): %.17g, expected %.17g\n", op_info[t->c->op].name,
               t->c->args, t->real == DT_F64 ? "f64" : "f32", what, cell, t->arg[0][cell], t->arg[1][cell],
               t->arg[2][cell], have, want);
    }
}

static long double meaning(const Test *t, int cell)
{
    return t->c->meaning(t->arg[0][cell], t->arg[1][cell], t->arg[2][cell]);
}

/* ---- arguments ---- */

static void draw_arguments(Test *t)
{
    const Case *c = t->c;
    for (int k = 0; k < t->nargs; k++) {
        for (int i = 0; i < CELLS; i++) {
            double u = random_uniform(random_fold(random_key((uint64_t)c->op, (uint64_t)k, c->args), i));
            double v = c->lo[k] + (c->hi[k] - c->lo[k]) * u;
            if (c->args[k] != 'r') {
                v = fmin(floor(c->lo[k] + (c->hi[k] - c->lo[k] + 1) * u), c->hi[k]);
            } else if (i < c->nat) {
                v = c->at[i][k];
            }
            t->arg[k][i] = t->real == DT_F32 && c->args[k] == 'r' ? (double)(float)v : v;
        }
    }
    for (int i = 0; i < CELLS; i++) {
        t->weight[i] = 0.5 + (i % 7) * 0.125;
    }
}

static void put(void *data, DType type, int i, double v)
{
    switch (type) {
    case DT_BOOL:
        ((unsigned char *)data)[i] = v != 0;
        break;
    case DT_I32:
        ((int32_t *)data)[i] = (int32_t)v;
        break;
    case DT_I64:
        ((int64_t *)data)[i] = (int64_t)v;
        break;
    case DT_F32:
        ((float *)data)[i] = (float)v;
        break;
    case DT_F64:
        ((double *)data)[i] = v;
        break;
    }
}

static double take(const Array *a, int i)
{
    switch (a->dtype) {
    case DT_BOOL:
        return ((const unsigned char *)a->data)[i];
    case DT_I32:
        return ((const int32_t *)a->data)[i];
    case DT_I64:
        return (double)((const int64_t *)a->data)[i];
    case DT_F32:
        return (double)((const float *)a->data)[i];
    case DT_F64:
        break;
    }
    return ((const double *)a->data)[i];
}

/* ---- the graph ---- */

static void write_graph(const Test *t, Text *out)
{
    const Case *c = t->c;
    const char *result = c->result == 'r' ? "real" : c->result == 'i' ? "i64" : "bool";
    text_printf(out, "graph scalar\naxis N = %d\ninput w[N] : real per_example\n", CELLS);
    for (int k = 0; k < t->nargs; k++) {
        if (c->args[k] == 'r') {
            text_printf(out, "param %s[N] : real ~ const(0.0)\n", arg_name[k]);
        } else {
            text_printf(out, "input %s[N] : %s per_example\n", arg_name[k], c->args[k] == 'i' ? "i64" : "bool");
        }
    }
    text_printf(out, "value y[N] : %s per_example output\nvalue loss : real output\nloss loss\ny[i] = %s%s(", result,
                c->op == OP_f32 ? "real(" : "", op_info[c->op].name);
    for (int k = 0; k < t->nargs; k++) {
        text_printf(out, "%s%s[i]", k ? ", " : "", arg_name[k]);
    }
    text_printf(out, ")%s  over i: N\nloss[] sum= w[i] * (%s", c->op == OP_f32 ? ")" : "",
                c->result == 'b' ? "select(y[i], 1.0, 0.0)" : "real(y[i])");
    for (int k = 0; k < t->nargs; k++) {
        if (c->args[k] == 'r') {
            text_printf(out, " + %s[i]", arg_name[k]);
        }
    }
    text_printf(out, ")  over b: batch, i: N\n");
}

/* ---- checks ---- */

static void check_values(Test *t, Session *s)
{
    Array y;
    Error e = {0};
    const Case *c = t->c;
    double bound = t->real == DT_F64 ? c->ulp64 : c->ulp32;
    if (!session_fetch(s, "y", &y, &e)) {
        printf("%s\n", e.text);
        t->failures++;
        return;
    }
    for (int i = 0; i < CELLS; i++) {
        long double want = meaning(t, i);
        double have = take(&y, i);
        int exponent;
        frexpl(want, &exponent);
        int least = t->real == DT_F64 || c->result != 'r' ? DBL_MIN_EXP : FLT_MIN_EXP;
        long double ulp = ldexpl(1, (exponent < least ? least : exponent) - (least == DBL_MIN_EXP ? 53 : 24));
        if (!(fabsl(have - want) <= bound * ulp)) {
            fail(t, "value", i, have, (double)want);
        }
    }
    free(y.data);
}

/* Derivative of the meaning by argument k. */
static double difference(const Test *t, int cell, int k)
{
    long double x[MAX_ARGS] = {t->arg[0][cell], t->arg[1][cell], t->arg[2][cell]}, h = 1e-5L, at = x[k];
    x[k] = at + h;
    long double up = t->c->meaning(x[0], x[1], x[2]);
    x[k] = at - h;
    return (double)((up - t->c->meaning(x[0], x[1], x[2])) / (2 * h));
}

static void check_gradient(Test *t, Session *s, int k)
{
    Array g;
    Error e = {0};
    char name[16];
    const Case *c = t->c;
    double bound = t->real == DT_F64 ? 1e-6 : 1e-4;
    snprintf(name, sizeof name, "grad.%s", arg_name[k]);
    if (!session_fetch(s, name, &g, &e)) {
        printf("%s\n", e.text);
        t->failures++;
        return;
    }
    for (int i = 0; i < CELLS; i++) {
        double want;
        if (i < c->nat) {
            want = c->at_derivative[i][k];
        } else if (c->kink && c->kink(t->arg[0][i], t->arg[1][i], t->arg[2][i]) < 1e-3L) {
            continue;
        } else {
            want = difference(t, i, k);
        }
        double have = take(&g, i) / t->weight[i] - 1;
        if (!(fabs(have - want) <= bound * fmax(1, fabs(want)))) {
            fail(t, name, i, have, want);
        }
    }
    free(g.data);
}

static void check_oracle(Test *t, const Graph *plain, Session *s, const Plan *plan, const Batch *b)
{
    Comparison c = {0};
    Interp *in = interp_new(plain, 1);
    interp_strict(in, true);
    if (oracle_bind(in, plain, s, plan, b, &c)) {
        if (interp_run(in)) {
            oracle_compare(in, plain, s, plan, &c);
        } else {
            snprintf(c.error, sizeof c.error, "%s", interp_error(in));
        }
    }
    interp_free(in);
    if (c.error[0] || !(c.worst <= 1e-10)) {
        printf("%s(%s): %s%s\n", op_info[t->c->op].name, t->c->args, c.error, c.where);
        t->failures++;
    }
}

static void run_compiled(Test *t, const Graph *plain, const Plan *plan, Pool *pool)
{
    Error e = {0};
    Session *s = session_new(plan, pool, 1, &e);
    Array arrays[MAX_ARGS + 1];
    Batch b = {.arrays = arrays, .batch = 1};
    for (int k = -1; s && k < t->nargs; k++) {
        const char *name = k < 0 ? "w" : arg_name[k];
        const double *from = k < 0 ? t->weight : t->arg[k];
        DType type = plan->tensors[plan_find(plan, name)].dtype;
        int64_t n;
        void *data = k >= 0 && t->c->args[k] == 'r' ? session_param(s, name, &n) : NULL;
        if (!data) {
            data = calloc(CELLS, sizeof(double));
            arrays[b.n++] = (Array){.name = name, .dtype = type, .ndim = 2, .dims = {1, CELLS}, .data = data};
        }
        for (int i = 0; i < CELLS; i++) {
            put(data, type, i, from[i]);
        }
    }
    if (!s || !session_run(s, &b, 1, &e)) {
        printf("%s(%s): %s\n", op_info[t->c->op].name, t->c->args, e.text);
        t->failures++;
    } else {
        check_values(t, s);
        for (int k = 0; k < t->nargs; k++) {
            if (t->c->args[k] == 'r') {
                check_gradient(t, s, k);
            }
        }
        if (t->real == DT_F64) {
            check_oracle(t, plain, s, plan, &b);
        }
    }
    for (int i = 0; i < b.n; i++) {
        free(arrays[i].data);
    }
    session_free(s);
}

static int run_case(const Case *c, DType real, const char *cpu, Pool *pool)
{
    Test t = {.c = c, .real = real, .nargs = (int)strlen(c->args)};
    Arena *arena = arena_new(), *other = arena_new();
    Diag *diag = diag_new();
    Text text = {0}, why = {0};
    draw_arguments(&t);
    write_graph(&t, &text);
    Graph *g = graph_parse(arena, diag, "scalar", text.s), *plain = graph_parse(other, diag, "scalar", text.s);
    PipelineOptions o = {.training = strchr(c->args, 'r') != NULL, .grads_are_outputs = true, .verify = true};
    PipelineOptions unchanged = o;
    unchanged.skip = "simplify,clean,recompute,resum,contract,fuse-map";
    Schedule *schedule = g && plain && pipeline_run(g, &o) && pipeline_run(plain, &unchanged) ? pass_plan(g) : NULL;
    CodegenOptions co = {.real = real, .threads = 1, .cpu = cpu};
    CodegenStats stats;
    Plan *plan = schedule ? codegen_compile(schedule, &co, &stats, &why) : NULL;
    if (plan) {
        run_compiled(&t, plain, plan, pool);
        plan->destroy(plan);
    } else {
        diag_print(diag, &why);
        printf("%s(%s): %s\n%s", op_info[c->op].name, c->args, why.s ? why.s : "no plan", text.s);
        t.failures++;
    }
    text_free(&text);
    text_free(&why);
    diag_free(diag);
    arena_free(arena);
    arena_free(other);
    return t.failures;
}

int main(int argc, char **argv)
{
    const char *cpu = argc == 3 && strcmp(argv[1], "--cpu") == 0 ? argv[2] : NULL;
    Error e = {0};
    Pool *pool = pool_new(1, &e);
    int failures = 0, seen[OP_COUNT] = {0};
    for (int i = 0; i < ncases; i++) {
        seen[cases[i].op]++;
        failures += run_case(&cases[i], DT_F64, cpu, pool);
        failures += run_case(&cases[i], DT_F32, cpu, pool);
    }
    for (int op = OP_STEP + 1; op < OP_COUNT; op++) {
        if (!seen[op]) {
            printf("%s: no test\n", op_info[op].name);
            failures++;
        }
    }
    pool_free(pool);
    printf("%d cases of %d functions, %d failures\n", ncases, OP_COUNT - OP_STEP - 1, failures);
    return failures > 0;
}
