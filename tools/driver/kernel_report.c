/* Times beside predictions; see kernel_report.h. */
#include "kernel_report.h"
#include "count.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINES = 64, NEAR_BYTES = 1 << 20 };

/* ---- what it should take ---------------------------------------------------------------------------------- */

/* What a vectorised node costs, in operations at the multiply-add peak: from throughputs of AVX-512 code, one thread
 * (exp 4.2, a table look-up 5.9 elements per ns, ...) beside a peak of 157 operations per ns. */
enum {
    COST_EXP = 37,
    COST_LONG = 50,
    COST_DIVIDE = 16,
    COST_RANDOM = 60,
    COST_GATHER = 27,
    COST_LOAD = 4,
    COST_OP = 2
};
static const double PRODUCT_SHARE = 0.75;  /* of the peak that a blocked product reaches */
static const double CONVOLVE_SHARE = 0.35; /* and a convolution: half of its operations are sums alone */

static void add_cost(const Scalar *s, void *ctx)
{
    double *cost = ctx;
    switch (s->op) {
    case OP_CONST:
    case OP_LETTER:
    case OP_SIZE:
        return;
    case OP_LOAD:
        *cost += load_is_by_data(s) ? COST_GATHER : COST_LOAD;
        return;
    case OP_RAND:
        *cost += COST_RANDOM;
        return;
    case OP_div:
    case OP_sqrt:
    case OP_rsqrt:
        *cost += COST_DIVIDE;
        return;
    case OP_exp:
    case OP_sigmoid:
        *cost += COST_EXP;
        return;
    default:
        *cost += s->op == OP_STEP || (s->op > OP_STEP && !(op_info[s->op].flags & CHEAP)) ? COST_LONG : COST_OP;
    }
}

static const PlanCall *call_of(const Kernels *k, const Equation *e)
{
    return k->calls && e->id >= 0 && e->id < k->g->nequations ? k->calls[e->id] : NULL;
}

/* Multiply-adds in f32 that take the machine as long as one operation of the equation in its precision. */
static double slowness(const Kernels *k, const Equation *e, const Machine *m)
{
    const PlanCall *call = call_of(k, e);
    if (!call || call->products == PRODUCTS_F32 || m->bf16 <= 0) {
        return 1;
    }
    return (call->products == PRODUCTS_BF16X3 ? 3 : 1) * m->gflops / m->bf16;
}

/* Operations at the peak that one equation is worth. */
static double weight(const Kernels *k, const Equation *e, const Machine *m)
{
    const char *reason;
    if (strcmp(kernel_kind(k->g, e, &reason), "product") == 0) {
        return count_equation(k->g, e, k->batch, k->lengths) * slowness(k, e, m) / PRODUCT_SHARE;
    }
    if (strcmp(kernel_kind(k->g, e, &reason), "convolve") == 0) {
        return count_equation(k->g, e, k->batch, k->lengths) / CONVOLVE_SHARE;
    }
    double cost = e->op == RED_NONE ? 0 : COST_OP;
    sc_walk(e->body, add_cost, &cost);
    for (int i = 0; i < e->nconds; i++) {
        sc_walk(e->conds[i], add_cost, &cost);
    }
    return cost * count_tuples(k->g, e, k->batch, k->lengths);
}

/* Bytes per second from where so many lie. */
static double rate(double bytes, const Machine *m)
{
    return 1e9 * (bytes > (double)NEAR_BYTES * m->threads ? m->memory : m->near);
}

/* Seconds that one equation takes for its operations, in multiply-adds, and for rows that it gathers. */
static double equation_seconds(const Kernels *k, const Equation *e, double operations, const Machine *m)
{
    double table, gathered = kernel_gathered(k, e, &table);
    return fmax(operations / (1e9 * m->gflops), gathered / rate(table, m));
}

static double equation_predicted(const Kernels *k, const Equation *e, const Machine *m)
{
    return equation_seconds(k, e, weight(k, e, m), m);
}

/* Seconds a kernel should take: the slower of its equations, each operation weighed by what it costs beside a
 * multiply-add, and its bytes. */
static double kernel_predicted(const Kernels *k, const KernelFacts *x, const Machine *m)
{
    double seconds = 0, bytes = kernel_bytes(k, x);
    for (int i = 0; i < x->n; i++) {
        seconds += equation_predicted(k, x->members[i], m);
    }
    return fmax(seconds, bytes / rate(bytes, m));
}

/* The least that the machine allows, with every operation a multiply-add. */
static double kernel_limit(const Kernels *k, const KernelFacts *x, const Machine *m)
{
    double seconds = 0, bytes = kernel_bytes(k, x);
    for (int i = 0; i < x->n; i++) {
        const Equation *e = x->members[i];
        double operations = count_equation(k->g, e, k->batch, k->lengths) * slowness(k, e, m);
        seconds += equation_seconds(k, e, operations, m);
    }
    return fmax(seconds, bytes / rate(bytes, m));
}

/* ---- lines -------------------------------------------------------------------------------------------------- */

typedef struct {
    const KernelFacts *x; /* NULL: none of the spec's equations, as an extern or a copy */
    const char *label;
    int line, first, n; /* rows of the profile */
    double seconds;     /* a step */
} Line;

static int by_seconds(const void *a, const void *b)
{
    double x = ((const Line *)a)->seconds, y = ((const Line *)b)->seconds;
    return x < y ? 1 : x > y ? -1 : ((const Line *)a)->first - ((const Line *)b)->first;
}

/* Rows of one plan step are one line. */
static int make_lines(const Kernels *k, const StepProfile *rows, int nrows, int64_t steps, Line *lines)
{
    int n = 0;
    for (int i = 0; i < nrows; i++) {
        bool is_new = i == 0 || rows[i].step != rows[i - 1].step;
        if (rows[i].runs == 0) {
            continue; /* stands for the steps inside it, which have rows of their own */
        }
        if (is_new) {
            int id = rows[i].equation >= 0 && rows[i].equation < k->g->nequations ? k->of[rows[i].equation] : -1;
            lines[n++] =
                (Line){.x = id >= 0 ? &k->kernels[id] : NULL, .label = rows[i].label, .line = rows[i].line, .first = i};
        }
        lines[n - 1].n = i + 1 - lines[n - 1].first;
        lines[n - 1].seconds += rows[i].seconds / (double)steps;
    }
    return n;
}

/* Lines as ranges: 34-36,38 */
static void print_lines(const KernelFacts *x, bool own, const char *spec, Text *out)
{
    int lines[MAX_LINES], n = kernel_lines(x, own, MAX_LINES, lines);
    Span at = x->members[0]->span;
    for (int i = 0; i < n; i++) {
        int first = i;
        while (i + 1 < n && lines[i + 1] == lines[i] + 1) {
            i++;
        }
        at.line = lines[first];
        text_append(out, ",", first > 0);
        kernel_place(at, spec, out);
        if (i > first) {
            text_printf(out, "-%d", lines[i]);
        }
    }
}

/* Why the results are in memory: of the one sink, or of all if it is the same. */
static const char *why_in_memory(const Kernels *k, const KernelFacts *x)
{
    const char *why = NULL;
    for (int i = 0; i < x->n; i++) {
        const Equation *e = x->members[i];
        if (!k->is_virtual[e->dst->id]) {
            if (why && k->why[e->id] != why) {
                return NULL;
            }
            why = k->why[e->id];
        }
    }
    return why;
}

/* A product whose kernel is loops, because no blocked one serves its shape. */
static bool runs_as_loops(const Kernels *k, const Session *s, const StepProfile *r, int call)
{
    const PlanStep *step = &session_plan(s)->steps[r->step];
    const PlanCall *c = step->kind == STEP_CALL ? &step->call : step_is_tiled(step) ? &step->calls[call] : NULL;
    const char *reason;
    return c && !c->is_product && strcmp(kernel_kind(k->g, k->g->equations[r->equation], &reason), "product") == 0;
}

/* The precision of a product where it was asked for, and why it is not the one; that it is summed transposed. */
static void print_how(const Kernels *k, const Equation *e, Text *out)
{
    const PlanCall *call = call_of(k, e);
    if (call && call->products != PRODUCTS_F32) {
        text_printf(out, "; in %s", products_name[call->products]);
    } else if (call && call->why_f32) {
        text_printf(out, "; in f32: %s", call->why_f32);
    }
    if (call && call->ends) {
        text_printf(out, "; summed transposed: as few columns as it has would leave lanes idle");
    }
}

static void print_row(const Kernels *k, const Session *s, const Line *l, const KernelRun *run, const StepProfile *rows,
                      Text *out)
{
    Text where = {0}, with = {0}, along = {0};
    if (!l->x) {
        text_printf(out, "%-12d %-8s %-30s %9s %9s %9s %9.3f %6.1f %%\n", l->line, "copy", l->label, "", "", "",
                    1e3 * l->seconds, 100 * l->seconds / run->seconds);
        return;
    }
    bool together = l->x->n > 1;
    if (together) {
        const char *what = strcmp(l->x->kind, "scan") == 0 ? "positions" : l->x->by_rows ? "rows" : "tiles";
        text_printf(&along, "%s along %s", what, l->x->axis->name);
    }
    print_lines(l->x, true, run->spec, &where);
    print_lines(l->x, false, run->spec, &with);
    double limit = kernel_limit(k, l->x, &run->machine), predicted = kernel_predicted(k, l->x, &run->machine);
    const char *why = l->x->reason ? l->x->reason : why_in_memory(k, l->x);
    text_printf(out, "%-12s %-8s %-30s %9.2f %9.3f %9.3f %9.3f %6.1f %% %5.0f %%", where.n ? where.s : "", l->x->kind,
                together ? along.s : l->label, kernel_flop(k, l->x) / 1e6, kernel_bytes(k, l->x) / 1e6, 1e3 * predicted,
                1e3 * l->seconds, 100 * l->seconds / run->seconds, 100 * limit / l->seconds);
    text_printf(out, "%s%s%s%s%s", with.n ? "  with " : "", with.n ? with.s : "", why ? "; " : "", why ? why : "",
                !together && runs_as_loops(k, s, &rows[l->first], 0) ? "; as loops" : "");
    if (!together) {
        print_how(k, l->x->members[0], out);
    }
    text_append(out, "\n", 1);
    for (int i = 0; together && l->n > 1 && i < l->n; i++) {
        const StepProfile *r = &rows[l->first + i];
        Equation *e = k->g->equations[r->equation];
        const char *reason;
        KernelFacts one = {.n = 1, .members = &e};
        where.n = 0;
        kernel_place(e->span, run->spec, &where);
        text_printf(out, "  %-10s %-8s %-30s %9.2f %9s %9.3f %9.3f %6.1f %%%s%s", where.s,
                    kernel_kind(k->g, e, &reason), r->label, kernel_flop(k, &one) / 1e6, "",
                    1e3 * equation_predicted(k, e, &run->machine), 1e3 * r->seconds / (double)run->steps,
                    100 * r->seconds / (double)run->steps / run->seconds,
                    k->is_virtual[e->dst->id] ? "          a tile at a time" : "",
                    runs_as_loops(k, s, r, i) ? "; as loops" : "");
        print_how(k, e, out);
        text_append(out, "\n", 1);
    }
    text_free(&where);
    text_free(&with);
    text_free(&along);
}

static void print_numbers(const int *v, int n, Text *out)
{
    for (int i = 0; i < n; i++) {
        text_printf(out, "%s%d", i ? "," : "", v[i]);
    }
}

static void print_json_how(const Kernels *k, const Equation *e, Text *out)
{
    const PlanCall *call = call_of(k, e);
    text_printf(out, call && call->ends ? ",\"transposed\":true" : "");
    if (call && (call->products != PRODUCTS_F32 || call->why_f32)) {
        text_printf(out, ",\"products\":\"%s\"", products_name[call->products]);
        text_printf(out, call->why_f32 ? ",\"why_f32\":\"%s\"" : "", call->why_f32);
    }
}

static void print_json_row(const Kernels *k, const Line *l, const KernelRun *run, const StepProfile *rows, Text *out)
{
    int lines[MAX_LINES], n = l->x ? kernel_lines(l->x, true, MAX_LINES, lines) : 0;
    text_printf(out, "{\"id\":%d,\"kind\":\"%s\",\"name\":\"%s\",\"lines\":[", l->x ? (int)(l->x - k->kernels) : -1,
                l->x ? l->x->kind : "copy", l->label);
    print_numbers(lines, n, out);
    n = l->x ? kernel_lines(l->x, false, MAX_LINES, lines) : 0;
    text_printf(out, "],\"fused_lines\":[");
    print_numbers(lines, n, out);
    text_printf(out, "],\"ms\":%.9g,\"share\":%.9g", 1e3 * l->seconds, l->seconds / run->seconds);
    if (l->x) {
        const char *why = l->x->reason ? l->x->reason : why_in_memory(k, l->x);
        double limit = kernel_limit(k, l->x, &run->machine);
        text_printf(out, ",\"flop\":%.17g,\"bytes\":%.17g,\"predicted_ms\":%.9g,\"limit_ms\":%.9g,\"of_limit\":%.9g",
                    kernel_flop(k, l->x), kernel_bytes(k, l->x), 1e3 * kernel_predicted(k, l->x, &run->machine),
                    1e3 * limit, limit / l->seconds);
        text_printf(out, why ? ",\"unfused\":\"%s\"" : "", why);
        if (l->x->n == 1) {
            print_json_how(k, l->x->members[0], out);
        }
    }
    text_printf(out, ",\"members\":[");
    for (int i = 0; l->n > 1 && i < l->n; i++) {
        const StepProfile *r = &rows[l->first + i];
        text_printf(out, "%s{\"name\":\"%s\",\"line\":%d,\"ms\":%.9g", i ? "," : "", r->label, r->line,
                    1e3 * r->seconds / (double)run->steps);
        if (r->equation >= 0 && r->equation < k->g->nequations) {
            const Equation *e = k->g->equations[r->equation];
            text_printf(out, ",\"predicted_ms\":%.9g", 1e3 * equation_predicted(k, e, &run->machine));
            print_json_how(k, e, out);
        }
        text_append(out, "}", 1);
    }
    text_printf(out, "]}");
}

void kernel_report(const Kernels *k, const Session *s, const KernelRun *run, bool json, Text *out)
{
    const StepProfile *rows;
    int nrows = session_profile(s, &rows);
    Line *lines = arena_alloc(k->g->arena, (size_t)(nrows + 1) * sizeof *lines);
    int n = make_lines(k, rows, nrows, run->steps, lines);
    qsort(lines, (size_t)n, sizeof *lines, by_seconds);
    double sum = 0, flop = 0, bytes = 0, predicted = 0, limit = 0;
    if (!json) {
        text_printf(out, "%-12s %-8s %-30s %9s %9s %9s %9s %8s %7s\n", "lines", "kernel", "defines", "Mop", "MB",
                    "expected", "ms", "of step", "limit");
    }
    for (int i = 0; i < n; i++) {
        const KernelFacts *x = lines[i].x;
        sum += lines[i].seconds;
        flop += x ? kernel_flop(k, x) : 0;
        bytes += x ? kernel_bytes(k, x) : 0;
        predicted += x ? kernel_predicted(k, x, &run->machine) : 0;
        limit += x ? kernel_limit(k, x, &run->machine) : 0;
        if (json) {
            text_printf(out, i ? "," : "{\"kernels\":[");
            print_json_row(k, &lines[i], run, rows, out);
        } else {
            print_row(k, s, &lines[i], run, rows, out);
        }
    }
    double other = run->seconds - sum;
    const Machine *m = &run->machine;
    if (json) {
        text_printf(out,
                    "],\"step_ms\":%.9g,\"predicted_ms\":%.9g,\"limit_ms\":%.9g,\"other_ms\":%.9g,\"other_share\":%.9g,"
                    "\"peak_gflops\":%.6g,"
                    "\"peak_bf16_gflops\":%.6g,\"memory_gb_per_s\":%.6g,\"cache_gb_per_s\":%.6g,\"threads\":%d}\n",
                    1e3 * run->seconds, 1e3 * predicted, 1e3 * limit, 1e3 * other, other / run->seconds, m->gflops,
                    m->bf16, m->memory, m->near, m->threads);
        return;
    }
    text_printf(out, "%-12s %-8s %-30s %9s %9s %9s %9.3f %6.1f %%\n", "", "other", "binding, updates written back", "",
                "", "", 1e3 * other, 100 * other / run->seconds);
    text_printf(out, "%-12s %-8s %-30s %9.2f %9.3f %9.3f %9.3f %6.1f %% %5.0f %%\n", "", "step", "all of these",
                flop / 1e6, bytes / 1e6, 1e3 * predicted, 1e3 * run->seconds, 100.0, 100 * limit / run->seconds);
    for (int i = 0; i < k->g->nstored; i++) {
        const Tensor *t = k->g->stored[i].tensor;
        text_printf(out, "line %d: %s is stored: %s\n", t->span.line, t->name, k->g->stored[i].reason);
    }
    for (int i = 0; i < k->g->ndense; i++) {
        const Tensor *t = k->g->dense[i].tensor;
        text_printf(out, "line %d: %s is not summed by runs: %s\n", t->span.line, t->name, k->g->dense[i].reason);
    }
    text_printf(out,
                "%d kernels, %.3f ms a step of %lld examples on %d threads; multiply-add peak %.1f GFLOP/s, memory "
                "%.1f GB/s, near caches %.1f GB/s\n",
                n, 1e3 * run->seconds, (long long)k->batch, m->threads, m->gflops, m->memory, m->near);
    if (m->bf16 > 0) {
        text_printf(out, "peak of bf16 products %.1f GFLOP/s, of bf16x3 a third of it\n", m->bf16);
    }
}
