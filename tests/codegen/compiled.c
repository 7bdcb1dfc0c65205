/* Generated code against the oracle, equation by equation.
 *
 *   compiled [--skip PASSES] [--dump] [--fused] [--quick] [--training] [--f32] [--cpu NAME] FILE.hir ...
 *
 * A file is a graph of one example. It is batched (and differentiated with --training; with --fused only what the file
 * calls output is kept), compiled, run on batches of
 * several sizes with random inputs and params, and every tensor that any equation defines is compared with the
 * interpreter on the same graph: to 1e-9 in f64, and to 2e-3 in f32, where sums round differently. */
#include "../support/oracle.h"
#include "codegen.h"
#include "passes.h"
#include "random.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *file, *cpu, *skip;
    bool training, f32, dump, fused, quick;
    int failures;
} Test;

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *s = calloc(1, 1 << 20);
    if (!f || !s || fread(s, 1, (1 << 20) - 1, f) == 0) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    fclose(f);
    return s;
}

static double uniform(const char *name, int64_t i)
{
    return random_uniform(random_fold(random_key(11, 0, name), i));
}

/* ---- the batch ---- */

static int64_t length(const PlanAxis *a, int64_t batch, int64_t list)
{
    static const int64_t some[] = {4, 0, 3, 1};
    int64_t n = batch <= 4 ? some[list % 4] : (int64_t)(uniform(a->name, list) * (double)(a->size + 1));
    n = n < a->min ? a->min : n;
    return n > a->size ? a->size : n;
}

static Array *add_array(Batch *b, const char *name, DType type)
{
    b->arrays = realloc(b->arrays, (size_t)(b->n + 1) * sizeof *b->arrays);
    Array *a = &b->arrays[b->n++];
    *a = (Array){.name = strdup(name), .dtype = type};
    return a;
}

static const int64_t *offsets_of(const Batch *b, const char *axis, int64_t *n)
{
    char name[256];
    snprintf(name, sizeof name, "%s.offsets", axis);
    const Array *a = batch_find(b, name);
    *n = a ? a->dims[0] - 1 : 0;
    return a ? a->data : NULL;
}

static void add_offsets(Batch *b, const Plan *p, const PlanAxis *a)
{
    char name[256];
    int64_t n = b->batch;
    if (a->parent >= 0) {
        const PlanAxis *parent = &p->axes[a->parent];
        const int64_t *rows = offsets_of(b, parent->name, &n);
        n = rows ? rows[n] : b->batch * parent->size;
    }
    snprintf(name, sizeof name, "%s.offsets", a->name);
    Array *x = add_array(b, name, DT_I64);
    int64_t *data = calloc((size_t)n + 1, sizeof *data);
    for (int64_t k = 0; k < n; k++) {
        data[k + 1] = data[k] + length(a, b->batch, a->parent >= 0 ? k + 1 : k);
    }
    x->ndim = 1;
    x->dims[0] = n + 1;
    x->data = data;
}

static size_t element(DType t)
{
    return t == DT_BOOL ? 1 : t == DT_I32 || t == DT_F32 ? 4 : 8;
}

static void store(Array *a, int64_t i, double v)
{
    switch (a->dtype) {
    case DT_BOOL:
        ((unsigned char *)a->data)[i] = v != 0;
        break;
    case DT_I32:
        ((int32_t *)a->data)[i] = (int32_t)v;
        break;
    case DT_I64:
        ((int64_t *)a->data)[i] = (int64_t)v;
        break;
    case DT_F32:
        ((float *)a->data)[i] = (float)v;
        break;
    case DT_F64:
        ((double *)a->data)[i] = v;
        break;
    }
}

static double value_for(const Tensor *t, int64_t i)
{
    double u = uniform(t->name, i);
    switch (elem_type(t->elem)) {
    case TYPE_BOOL:
        return u < 0.6;
    case TYPE_INT:
        return t->lo <= t->hi ? (double)t->lo + floor(u * (double)(t->hi - t->lo + 1)) : floor(u * 1000);
    default:
        return (u < 0.5 ? -1.2 + u : u + 0.2) * 0.5;
    }
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void sort_lists(const Array *a, int64_t lists, const int64_t *rows)
{
    for (int64_t l = 0; l < lists; l++) {
        qsort((int64_t *)a->data + rows[l], (size_t)(rows[l + 1] - rows[l]), sizeof(int64_t), by_value);
    }
}

/* An input: packed rows of its list first, then its other dims. */
static void add_input(Batch *b, const Plan *p, const Tensor *t, const PlanTensor *x)
{
    Array *a = add_array(b, t->name, x->dtype);
    int64_t count = 1;
    int ragged = -1;
    for (int d = 0; d < x->ndim; d++) { /* the deepest list */
        if (p->axes[x->dims[d]].kind == PAX_RAGGED) {
            ragged = d;
        }
    }
    for (int d = 0; d < x->ndim; d++) {
        const PlanAxis *axis = &p->axes[x->dims[d]];
        bool covered =
            ragged >= 0 && (d == 0 || axis->kind == PAX_RAGGED || x->dims[d] == p->axes[x->dims[ragged]].parent);
        if (covered) {
            continue;
        }
        a->dims[a->ndim++] = d == 0 && x->per_example ? b->batch : axis->size;
    }
    if (ragged >= 0) {
        int64_t n;
        const int64_t *rows = offsets_of(b, p->axes[x->dims[ragged]].name, &n);
        memmove(a->dims + 1, a->dims, (size_t)a->ndim * sizeof *a->dims);
        a->dims[0] = rows[n];
        a->ndim++;
    }
    for (int d = 0; d < a->ndim; d++) {
        count *= a->dims[d];
    }
    a->data = calloc((size_t)count + 1, element(a->dtype));
    for (int64_t i = 0; i < count; i++) {
        store(a, i, value_for(t, i));
    }
    if (t->is_ascending && a->dtype == DT_I64) {
        int64_t n;
        const int64_t *rows = offsets_of(b, p->axes[x->dims[ragged]].name, &n);
        sort_lists(a, n, rows);
    }
}

static Batch make_batch(const Plan *p, const Graph *g, int64_t size)
{
    Batch b = {.batch = size};
    for (int nested = 0; nested < 2; nested++) {
        for (int i = 0; i < p->naxes; i++) {
            if (p->axes[i].kind == PAX_RAGGED && (p->axes[i].parent >= 0) == (nested == 1)) {
                add_offsets(&b, p, &p->axes[i]);
            }
        }
    }
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        if (t->role == ROLE_INPUT && t != g->row && !(t->ndim == 0 && !t->per_example)) {
            add_input(&b, p, t, &p->tensors[plan_find(p, t->name)]);
        }
    }
    return b;
}

static void free_batch(Batch *b)
{
    for (int i = 0; i < b->n; i++) {
        free((char *)b->arrays[i].name);
        free(b->arrays[i].data);
    }
    free(b->arrays);
}

/* ---- one run ---- */

static void fail(Test *t, const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", t->file, what, why);
    t->failures++;
}

/* Tensors over two lists come padded, rows of the first list leading: each cell by its indices. Cells outside the lists
 * are not looked at, absent ones must be 0. */
static void compare_padded(Test *test, const char *what, Interp *in, Session *s, const Batch *b, const Graph *g,
                           double limit)
{
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        int lists[MAX_DIMS], n = 0;
        for (int d = 1; d < t->ndim; d++) {
            bool plain = t->dims[d]->kind == AXIS_RAGGED && !t->dims[d]->parent;
            n = plain ? (lists[n] = d, n + 1) : axis_is_ragged(t->dims[d]) ? MAX_DIMS : n;
            if (n >= MAX_DIMS) {
                break;
            }
        }
        Array a;
        Error e = {0};
        if (n != 2 || t->role != ROLE_VALUE || !t->is_output || !session_fetch(s, t->name, &a, &e)) {
            continue;
        }
        int64_t count, ignored, k = 0;
        const int64_t *rows = offsets_of(b, t->dims[lists[0]]->name, &ignored);
        const int64_t *other = offsets_of(b, t->dims[lists[1]]->name, &ignored);
        for (count = 1, n = 0; n < a.ndim; n++) {
            count *= a.dims[n];
        }
        for (; k < count; k++) {
            int64_t index[MAX_DIMS], rest = k, at = a.ndim - 1, example = 0;
            for (int d = t->ndim - 1; d > 0; d--) {
                if (d != lists[0]) {
                    index[d] = rest % a.dims[at];
                    rest /= a.dims[at--];
                }
            }
            while (rows[example + 1] <= rest) {
                example++;
            }
            index[0] = example;
            index[lists[0]] = rest - rows[example];
            double want = 0, have = a.dtype == DT_F32   ? (double)((float *)a.data)[k]
                                    : a.dtype == DT_F64 ? ((double *)a.data)[k]
                                                        : (double)((int64_t *)a.data)[k];
            if (a.dtype == DT_BOOL || a.dtype == DT_I32 || index[lists[1]] >= other[example + 1] - other[example]) {
                continue;
            }
            if (!interp_cell(in, t, index, &want, NULL) || !(fabs(want - have) <= limit * fmax(1, fabs(want)))) {
                char text[300];
                snprintf(text, sizeof text, "%s cell %lld is %.12g, oracle %.12g", t->name, (long long)k, have, want);
                fail(test, what, text);
                break;
            }
        }
        free(a.data);
    }
}

static void check_batch(Test *test, const Graph *g, const Plan *plan, int64_t size)
{
    Error e = {0};
    Comparison c = {0};
    Pool *pool = pool_new(2, &e);
    Session *s = session_new(plan, pool, 5, &e);
    if (!s) {
        fail(test, "no session", e.text);
        pool_free(pool);
        return;
    }
    session_limit_tiles(s, size % 8); /* several tiles of even the short lists here */
    Batch b = make_batch(plan, g, size);
    Interp *in = interp_new(g, size);
    interp_seed(in, 5, 3);
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        int64_t n;
        void *p = t->role == ROLE_PARAM || t->role == ROLE_STATE ? session_param(s, t->name, &n) : NULL;
        if (p && t->role == ROLE_STATE) {
            Array a = {.dtype = plan->tensors[plan_find(plan, t->name)].dtype, .data = p};
            double *v = malloc((size_t)(n + 1) * sizeof *v);
            for (int64_t k = 0; k < n; k++) {
                v[k] = a.dtype == DT_F64 ? ((double *)p)[k] : (double)((float *)p)[k];
            }
            interp_set(in, t, n, v);
            free(v);
            continue;
        }
        for (int64_t k = 0; p && k < n; k++) {
            Array a = {.dtype = plan->tensors[plan_find(plan, t->name)].dtype, .data = p};
            store(&a, k, value_for(t, k));
        }
        if (t->role == ROLE_INPUT && t->ndim == 0 && !t->per_example) {
            double v = 0.01; /* opt.lr */
            session_set_scalar(s, t->name, v);
            interp_set(in, t, 1, &v);
        }
    }
    char what[64];
    snprintf(what, sizeof what, "batch of %lld%s%s", (long long)size, test->f32 ? ", f32" : "",
             test->training ? ", training" : "");
    double limit = test->f32 ? 2e-3 : 1e-9;
    if (!oracle_bind(in, g, s, plan, &b, &c)) {
        fail(test, what, c.error);
    } else if (!interp_run(in)) {
        fail(test, what, interp_error(in));
    } else if (!session_run(s, &b, 3, &e)) {
        fail(test, what, e.text);
    } else {
        oracle_compare(in, g, s, plan, &c);
        if (getenv("VERBOSE")) {
            printf("  %s: %d tensors, worst %.3g %s\n", what, c.compared, c.worst, c.where);
        }
        if (c.error[0]) {
            fail(test, what, c.error);
        } else if (!(c.worst <= limit)) {
            fail(test, what, c.where);
        }
        compare_padded(test, what, in, s, &b, g, limit);
    }
    interp_free(in);
    free_batch(&b);
    session_free(s);
    pool_free(pool);
}

/* Gradients are wanted for themselves here. */
static void keep_gradients(void *ctx, const char *pass, const Graph *g)
{
    (void)ctx;
    for (int i = 0; i < g->ntensors && strcmp(pass, "differentiate") == 0; i++) {
        if (g->tensors[i]->grad) {
            g->tensors[i]->grad->is_output = true;
        }
    }
}

static void dump_ir(void *ctx, const char *kernel, const char *ir)
{
    (void)ctx;
    fprintf(stderr, "; ---- %s\n%s", kernel, ir);
}

static void check_file(Test *test)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    char *text = read_file(test->file);
    Graph *g = graph_parse(arena, diag, test->file, text);
    for (int i = 0; g && !test->fused && i < g->ntensors; i++) {
        g->tensors[i]->is_output = g->tensors[i]->role == ROLE_VALUE;
    }
    PipelineOptions po = {.training = test->training, .verify = true, .skip = test->skip, .dump = keep_gradients};
    if (!g || !pipeline_run(g, &po)) {
        Text message = {0};
        diag_print(diag, &message);
        fail(test, "front", message.s ? message.s : "failed");
        text_free(&message);
    } else {
        for (int i = 0; i < g->nequations; i++) {
            const Equation *e = g->equations[i];
            Tensor *dst = e->dst;
            bool is_row = test->fused && e->by_rows && dst->per_example && dst->id % 2 == 1;
            dst->is_output = dst->tile_dim == 0 && !is_row; /* of a tiled one only a tile exists at a time */
        }
        Schedule *schedule = pass_plan(g);
        CodegenOptions o = {.quick = test->quick,
                            .real = test->f32 ? DT_F32 : DT_F64,
                            .threads = 2,
                            .cpu = test->cpu,
                            .dump = test->dump ? dump_ir : NULL};
        Text why = {0};
        CodegenStats stats = {0};
        Plan *plan = schedule ? codegen_compile(schedule, &o, &stats, &why) : NULL;
        if (!plan) {
            fail(test, "codegen", why.s ? why.s : "no schedule");
        } else {
            static const int64_t sizes[] = {1, 4, 37};
            for (int i = 0; i < 3; i++) {
                check_batch(test, g, plan, sizes[i]);
            }
            if (getenv("VERBOSE")) {
                printf("%s: %d calls, %d kernels, %.3f s\n", test->file, stats.kernels, stats.unique, stats.seconds);
            }
            plan->destroy(plan);
        }
        text_free(&why);
    }
    free(text);
    diag_free(diag);
    arena_free(arena);
}

int main(int argc, char **argv)
{
    Test test = {0};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--training") == 0) {
            test.training = true;
        } else if (strcmp(argv[i], "--quick") == 0) {
            test.quick = true;
        } else if (strcmp(argv[i], "--fused") == 0) {
            test.fused = true;
        } else if (strcmp(argv[i], "--f32") == 0) {
            test.f32 = true;
        } else if (strcmp(argv[i], "--dump") == 0) {
            test.dump = true;
        } else if (strcmp(argv[i], "--cpu") == 0 && i + 1 < argc) {
            test.cpu = argv[++i];
        } else if (strcmp(argv[i], "--skip") == 0 && i + 1 < argc) {
            test.skip = argv[++i];
        } else {
            test.file = argv[i];
            check_file(&test);
        }
    }
    return test.failures > 0;
}
