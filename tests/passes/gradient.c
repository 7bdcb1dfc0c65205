/* Gradients against central differences, and every pass against the values before it, all through the interpreter in
 * double precision.
 *
 *   gradient FILE.hir ...
 *
 * A file is a graph of one example with a loss. It gets a batch of four examples with lists of 4, 0, 3 and 1 elements
 * (as far as its axes allow), random params and inputs, and then, for every element of every param (at most 60 of
 * each): |analytic - difference| <= 1e-6 * (1 + |difference|), the bound of a difference quotient of step 1e-5 in
 * double precision. After each pass of the pipeline the loss, the gradients and all outputs must be the same to
 * 1e-10: passes change how, not what. */
#include "interp.h"
#include "passes.h"
#include "random.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 4, MAX_ELEMENTS = 60 };
static const int64_t lengths[BATCH] = {4, 0, 3, 1};
static const double step = 1e-5;

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    char *s = calloc(1, 1 << 20);
    if (!s || fread(s, 1, (1 << 20) - 1, f) == 0) {
        exit(2);
    }
    fclose(f);
    return s;
}

static double uniform(const char *name, int64_t i)
{
    return random_uniform(random_fold(random_key(7, 0, name), i));
}

/* ---- the batch ---- */

static int64_t length(const Axis *a, int64_t list)
{
    int64_t n = lengths[list % BATCH];
    n = n < a->min ? a->min : n;
    return n > a->size ? a->size : n;
}

static bool set_lists(Interp *in, const Graph *g)
{
    for (int i = 0; i < g->naxes; i++) {
        const Axis *a = g->axes[i];
        if (a->kind != AXIS_RAGGED) {
            continue;
        }
        int64_t n = BATCH, offsets[256] = {0};
        if (a->parent) { /* one list per row of the parent */
            n = 0;
            for (int64_t b = 0; b < BATCH; b++) {
                n += a->parent->kind == AXIS_FIXED ? a->parent->size : length(a->parent, b);
            }
        }
        for (int64_t k = 0; k < n; k++) {
            offsets[k + 1] = offsets[k] + length(a, a->parent ? k + 1 : k);
        }
        if (!interp_offsets(in, a, n, offsets)) {
            return false;
        }
    }
    return true;
}

static bool set_tensor(Interp *in, const Tensor *t)
{
    int64_t n = interp_count(in, t);
    if (n < 0) {
        return false;
    }
    double *v = malloc((size_t)(n + 1) * sizeof *v);
    for (int64_t i = 0; v && i < n; i++) {
        double u = uniform(t->name, i);
        switch (elem_type(t->elem)) {
        case TYPE_BOOL:
            v[i] = u < 0.6;
            break;
        case TYPE_INT:
            v[i] = t->lo <= t->hi ? (double)t->lo + floor(u * (double)(t->hi - t->lo + 1)) : floor(u * 1000);
            break;
        default: /* params away from 0, where kinks like to be */
            v[i] = t->role == ROLE_STATE || u >= 0.5 ? u + 0.2 : u - 1.2; /* sums of squares are positive */
            break;
        }
    }
    if (!strcmp(t->name, "opt.lr")) {
        v[0] = 0.01;
    }
    bool ok = v && interp_set(in, t, n, v);
    free(v);
    return ok;
}

/* Sets everything and runs; the difference of one element of one param is added to it. */
static bool run(Interp *in, const Graph *g, const Tensor *param, int64_t element, double add)
{
    if (!set_lists(in, g)) {
        return false;
    }
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        if (t != g->row && t->role != ROLE_VALUE && !set_tensor(in, t)) {
            return false;
        }
    }
    if (param) {
        int64_t n = interp_count(in, param);
        double *v = malloc((size_t)n * sizeof *v);
        if (!v || !interp_get(in, param, n, v)) {
            return false;
        }
        v[element] += add;
        interp_set(in, param, n, v);
        free(v);
    }
    return interp_run(in);
}

static bool get(Interp *in, const Tensor *t, double **values, int64_t *n)
{
    *n = interp_count(in, t);
    *values = *n < 0 ? NULL : malloc((size_t)(*n + 1) * sizeof **values);
    return *values && interp_get(in, t, *n, *values);
}

/* ---- what was computed, to compare with after the next pass ---- */

typedef struct {
    char name[200];
    int64_t n;
    double *values;
} Result;

typedef struct {
    const char *file;
    Result results[300];
    int n;
    int failures;
} Test;

static void fail(Test *t, const char *what)
{
    fprintf(stderr, "%s: %s\n", t->file, what);
    t->failures++;
}

static void compare(Test *test, Interp *in, const Tensor *t, const char *pass)
{
    Result now = {.n = 0};
    snprintf(now.name, sizeof now.name, "%s", t->name);
    if (!get(in, t, &now.values, &now.n)) {
        fail(test, interp_error(in));
        return;
    }
    for (int i = 0; i < test->n; i++) {
        Result *old = &test->results[i];
        if (strcmp(old->name, t->name)) {
            continue;
        }
        for (int64_t k = 0; k < now.n; k++) {
            double a = old->values[k], b = now.values[k];
            if (old->n != now.n || !(fabs(a - b) <= 1e-10 * (1 + fabs(a)))) {
                char text[400];
                snprintf(text, sizeof text, "after %s: %s[%lld] is %.12g and was %.12g", pass, t->name, (long long)k, b,
                         a);
                fail(test, text);
                break;
            }
        }
        free(now.values);
        return;
    }
    if (test->n < 300) {
        test->results[test->n++] = now;
    }
}

static void compare_all(Test *test, Interp *in, const Graph *g, const char *pass)
{
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        if (t->is_output) {
            compare(test, in, t, pass);
        }
        if (t->next) {
            compare(test, in, t->next, pass);
        }
    }
    if (g->loss) {
        compare(test, in, g->loss, pass);
    }
}

/* ---- differences ---- */

static void check_param(Test *test, const Graph *g, const Tensor *p)
{
    Interp *in = interp_new(g, BATCH);
    double *grad = NULL, loss[2], *v = NULL;
    int64_t n, one;
    if (!run(in, g, NULL, 0, 0) || !get(in, p->grad, &grad, &n)) {
        fail(test, interp_error(in));
        interp_free(in);
        return;
    }
    for (int64_t i = 0; i < n && i < MAX_ELEMENTS; i++) {
        for (int side = 0; side < 2; side++) {
            v = NULL;
            if (!run(in, g, p, i, side ? -step : step) || !get(in, g->loss, &v, &one)) {
                fail(test, interp_error(in));
                break;
            }
            loss[side] = v[0];
            free(v);
        }
        double difference = (loss[0] - loss[1]) / (2 * step);
        if (!(fabs(grad[i] - difference) <= 1e-6 * (1 + fabs(difference)))) {
            char text[300];
            snprintf(text, sizeof text, "grad.%s[%lld] is %.9g, differences say %.9g", p->name, (long long)i, grad[i],
                     difference);
            fail(test, text);
            break;
        }
    }
    free(grad);
    interp_free(in);
}

static void after_pass(void *ctx, const char *pass, const Graph *g)
{
    Test *test = ctx;
    if (getenv("VERBOSE")) {
        Text text = {0};
        graph_print(g, &text);
        fprintf(stderr, "---- %s\n%s", pass, text.s);
        text_free(&text);
    }
    if (!g->batched) {
        return;
    }
    if (!strcmp(pass, "differentiate")) {
        int checked = 0;
        for (int i = 0; i < g->ntensors; i++) {
            Tensor *p = g->tensors[i];
            if (p->role == ROLE_PARAM && p->grad) {
                p->grad->is_output = true;
                check_param(test, g, p);
                checked++;
            }
        }
        if (!checked) {
            fail(test, "no param has a gradient");
        }
    }
    Interp *in = interp_new(g, BATCH);
    interp_strict(in, true);
    if (run(in, g, NULL, 0, 0)) {
        compare_all(test, in, g, pass);
    } else {
        char text[500];
        snprintf(text, sizeof text, "after %s: %s", pass, interp_error(in));
        fail(test, text);
    }
    interp_free(in);
}

static int check_file(const char *path)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    char *text = read_file(path);
    Test test = {.file = path};
    Graph *g = graph_parse(arena, diag, path, text);
    PipelineOptions o = {.training = true, .verify = true, .dump = after_pass, .ctx = &test};
    if (!g || !pipeline_run(g, &o)) {
        Text message = {0};
        diag_print(diag, &message);
        fail(&test, message.s ? message.s : "failed");
        text_free(&message);
    } else if (!pass_plan(g)) {
        fail(&test, "cannot be planned");
    }
    for (int i = 0; i < test.n; i++) {
        free(test.results[i].values);
    }
    free(text);
    diag_free(diag);
    arena_free(arena);
    return test.failures;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        failed += check_file(argv[i]) != 0;
    }
    if (failed) {
        fprintf(stderr, "%d of %d files failed\n", failed, argc - 1);
    }
    return failed != 0;
}
