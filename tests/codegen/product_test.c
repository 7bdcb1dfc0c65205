/* Equations that are matrix products, each as one kernel: what product.c makes of them against the interpreter, in
 * f64, on lists of different lengths, cut into several calls in several ways. Each case states how it must be cut, so
 * that a change which sends an equation back to the plain loops is seen. */
#include "../../codegen/internal.h"
#include "../../codegen/product_match.h"
#include "../../ir/interp.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXAMPLES = 5 };
static const int64_t lengths_T[EXAMPLES] = {4, 0, 13, 1, 40}, lengths_U[EXAMPLES] = {3, 7, 0, 2, 5};

static const char axes[] = "graph test batched\n"
                           "axis D = 9\naxis E = 5\naxis H = 3\naxis V = 70\naxis W = 4000\n"
                           "axis T : ragged(max = 40)\naxis U : ragged(max = 7)\naxis Z = T | H | U\n"
                           "input row[batch] : i64 per_example\n";

typedef struct {
    const char *name, *a, *b, *c; /* tensors: dims and flags as in the text form */
    const char *equation;
    int split; /* Split, or -1: no product */
    const char *item;
    const char *scan; /* letter that stands still in one call, or NULL */
} Case;

#define EACH " : real per_example"
static const Case cases[] = {
    {"token product", "[batch, T, D]" EACH, "[D, E]", "[batch, T, E]" EACH,
     "c[b, i, e] sum= x[b, i, d] * y[d, e]  over b: batch, i: T(b), e: E, d: D", SPLIT_ROWS, "i", NULL},
    {"token product, two column letters", "[batch, T, D]" EACH, "[D, H, E]", "[batch, T, H, E]" EACH,
     "c[b, i, h, e] sum= x[b, i, d] * y[d, h, e]  over b: batch, i: T(b), h: H, e: E, d: D", SPLIT_ROWS, "i", NULL},
    {"token product, heads apart", "[batch, T, D]" EACH, "[H, D, E]", "[batch, T, H, E]" EACH,
     "c[b, i, h, e] sum= x[b, i, d] * y[h, d, e]  over b: batch, i: T(b), h: H, e: E, d: D", SPLIT_ROWS, "i", NULL},
    {"token product, two summed letters", "[batch, T, H, E]" EACH, "[H, E, D]", "[batch, T, D]" EACH,
     "c[b, i, d] sum= x[b, i, h, e] * y[h, e, d]  over b: batch, i: T(b), d: D, h: H, e: E", SPLIT_ROWS, "i", NULL},
    {"token product, transposed weights", "[batch, T, E]" EACH, "[D, E]", "[batch, T, D]" EACH,
     "c[b, i, d] sum= x[b, i, e] * y[d, e]  over b: batch, i: T(b), d: D, e: E", SPLIT_ROWS, "i", NULL},
    {"token product, summed letters in another order", "[batch, T, H, E]" EACH, "[E, H, D]", "[batch, T, D]" EACH,
     "c[b, i, d] sum= x[b, i, h, e] * y[e, h, d]  over b: batch, i: T(b), d: D, h: H, e: E", SPLIT_ROWS, "i", NULL},
    {"token product, weights first", "[D, E]", "[batch, T, D]" EACH, "[batch, T, E]" EACH,
     "c[b, i, e] sum= x[d, e] * y[b, i, d]  over b: batch, i: T(b), e: E, d: D", SPLIT_ROWS, "i", NULL},
    {"rows and a row letter", "[batch, T, H, D]" EACH, "[D, E]", "[batch, T, H, E]" EACH,
     "c[b, i, h, e] sum= x[b, i, h, d] * y[d, e]  over b: batch, i: T(b), h: H, e: E, d: D", SPLIT_ROWS, "i", NULL},
    {"rows of a sum of axes", "[batch, Z, D]" EACH, "[D, E]", "[batch, Z, E]" EACH,
     "c[b, z, e] sum= x[b, z, d] * y[d, e]  over b: batch, z: Z(b), e: E, d: D", SPLIT_ROWS, "z", NULL},
    {"one part of a sum of axes", "[batch, U, D]" EACH, "[D, E]", "[batch, Z, E]" EACH,
     "c[b, inject(Z, 2; u, b), e] sum= x[b, u, d] * y[d, e]  over b: batch, u: U(b), e: E, d: D", SPLIT_BATCH, "b",
     NULL},
    {"dense rows", "[batch, D]" EACH, "[D, V]", "[batch, V]" EACH,
     "c[b, v] sum= x[b, d] * y[d, v]  over b: batch, v: V, d: D", SPLIT_BATCH, "b", NULL},
    {"dense rows, table of rows", "[batch, D]" EACH, "[V, D]", "[batch, V]" EACH,
     "c[b, v] sum= x[b, d] * y[v, d]  over b: batch, v: V, d: D", SPLIT_BATCH, "b", NULL},
    {"scores", "[batch, T, H, E]" EACH, "[batch, T, H, E]" EACH, "[batch, H, T, T]" EACH,
     "c[b, h, i, j] sum= x[b, i, h, e] * y[b, j, h, e]  over b: batch, h: H, i: T(b), j: T(b), e: E", SPLIT_BATCH, "b",
     NULL},
    {"causal scores", "[batch, T, H, E]" EACH, "[batch, T, H, E]" EACH, "[batch, H, T, T]" EACH,
     "c[b, h, i, j] sum= x[b, i, h, e] * y[b, j, h, e]  over b: batch, h: H, i: T(b), j: T(b), e: E  where j <= i",
     SPLIT_BATCH, "b", NULL},
    {"scores of a window", "[batch, T, E]" EACH, "[batch, T, E]" EACH, "[batch, T, T]" EACH,
     "c[b, i, j] sum= x[b, i, e] * y[b, j, e]  over b: batch, i: T(b), j: T(b), e: E  where j <= i, i < j + 4",
     SPLIT_BATCH, "b", NULL},
    {"outputs", "[batch, H, T, T]" EACH, "[batch, T, H, E]" EACH, "[batch, T, H, E]" EACH,
     "c[b, i, h, e] sum= x[b, h, i, j] * y[b, j, h, e]  over b: batch, i: T(b), h: H, e: E, j: T(b)  where j <= i",
     SPLIT_BATCH, "b", NULL},
    {"outputs, strictly before", "[batch, T, T]" EACH, "[batch, T, E]" EACH, "[batch, T, E]" EACH,
     "c[b, i, e] sum= x[b, i, j] * y[b, j, e]  over b: batch, i: T(b), e: E, j: T(b)  where j < i, not i - 9 > j",
     SPLIT_BATCH, "b", NULL},
    {"adjoint of values", "[batch, H, T, T]" EACH, "[batch, T, H, E]" EACH, "[batch, T, H, E]" EACH,
     "c[b, j, h, e] sum= x[b, h, i, j] * y[b, i, h, e]  over b: batch, j: T(b), h: H, e: E, i: T(b)  where j <= i",
     SPLIT_BATCH, "b", NULL},
    {"two axes", "[batch, T, E]" EACH, "[batch, U, E]" EACH, "[batch, T, U]" EACH,
     "c[b, i, u] sum= x[b, i, e] * y[b, u, e]  over b: batch, i: T(b), u: U(b), e: E", SPLIT_BATCH, "b", NULL},
    {"one channel of several", "[batch, T, E]" EACH, "[batch, T, E]" EACH, "[batch, H, T, T]" EACH,
     "c[b, 1, i, j] sum= x[b, i, e] * y[b, j, e]  over b: batch, i: T(b), j: T(b), e: E  where j <= i", SPLIT_BATCH,
     "b", NULL},
    {"the last positions", "[batch, T, D]" EACH, "[D, E]", "[batch, T, E]" EACH,
     "c[b, i, e] sum= x[b, i, d] * y[d, e]  over b: batch, i: T(b), e: E, d: D  where 2 <= i", SPLIT_BATCH, "b", NULL},
    {"shifted rows", "[batch, T, D]" EACH, "[D, E]", "[batch, T, E]" EACH,
     "c[b, i, e] sum= x[b, i - 1, d] * y[d, e]  over b: batch, i: T(b), e: E, d: D  where 1 <= i", SPLIT_BATCH, "b",
     NULL},
    {"only long lists", "[batch, T, D]" EACH, "[D, E]", "[batch, T, E]" EACH,
     "c[b, i, e] sum= x[b, i, d] * y[d, e]  over b: batch, i: T(b), e: E, d: D  where 3 < size(T; b)", SPLIT_BATCH, "b",
     NULL},
    {"weight gradient", "[batch, T, D]" EACH, "[batch, T, E]" EACH, "[D, E]",
     "c[d, e] sum= x[b, i, d] * y[b, i, e]  over d: D, e: E, b: batch, i: T(b)", SPLIT_REDUCE, "i", NULL},
    {"weight gradient, heads", "[batch, T, D]" EACH, "[batch, T, H, E]" EACH, "[D, H, E]",
     "c[d, h, e] sum= x[b, i, d] * y[b, i, h, e]  over d: D, h: H, e: E, b: batch, i: T(b)", SPLIT_REDUCE, "i", NULL},
    {"weight gradient, heads apart", "[batch, T, D]" EACH, "[batch, T, H, E]" EACH, "[H, D, E]",
     "c[h, d, e] sum= x[b, i, d] * y[b, i, h, e]  over h: H, d: D, e: E, b: batch, i: T(b)", SPLIT_REDUCE, "i", NULL},
    {"weight gradient, transposed", "[batch, T, D]" EACH, "[batch, T, E]" EACH, "[E, D]",
     "c[e, d] sum= x[b, i, d] * y[b, i, e]  over e: E, d: D, b: batch, i: T(b)", SPLIT_REDUCE, "i", NULL},
    {"gradient of dense weights", "[batch, D]" EACH, "[batch, V]" EACH, "[D, V]",
     "c[d, v] sum= x[b, d] * y[b, v]  over d: D, v: V, b: batch", SPLIT_REDUCE, "b", NULL},
    {"gradient of a large table", "[batch, T, W]" EACH, "[batch, T, V]" EACH, "[W, V]",
     "c[w, v] sum= x[b, i, w] * y[b, i, v]  over w: W, v: V, b: batch, i: T(b)", SPLIT_FIXED, "w", NULL},
    {"gradient over conditions", "[batch, T, D]" EACH, "[batch, T, E]" EACH, "[D, E]",
     "c[d, e] sum= x[b, i, d] * y[b, i, e]  over d: D, e: E, b: batch, i: T(b)  where i < 7", SPLIT_REDUCE, "b", NULL},
    {"params alone", "[V, D]", "[D, E]", "[V, E]", "c[v, e] sum= x[v, d] * y[d, e]  over v: V, e: E, d: D", SPLIT_NONE,
     "", NULL},
    {"a condition on the data of a row", "[batch, T, D]" EACH, "[D, E]", "[batch, T, E]" EACH,
     "c[b, i, e] sum= x[b, i, d] * y[d, e]  over b: batch, i: T(b), e: E, d: D  where 0.1 < x[b, i, 0]", SPLIT_BATCH,
     "b", NULL},
    {"gathered rows", "[V, D]", "[D, E]", "[batch, T, E]" EACH,
     "c[b, i, e] sum= x[mod(i * 7, 70), d] * y[d, e]  over b: batch, i: T(b), e: E, d: D", SPLIT_BATCH, "b", NULL},
    {"a step of a recurrence", "[batch, T, D]" EACH, "[D, E]", "[batch, T, E]" EACH,
     "c[b, i, e] sum= x[b, i - 1, d] * y[d, e]  over b: batch, i: T(b), e: E, d: D  where 1 <= i", SPLIT_BATCH, "b",
     "i"},
    {"a step of a recurrence, weights first", "[E, D]", "[batch, T, D]" EACH, "[batch, T, E]" EACH,
     "c[b, i, e] sum= x[e, d] * y[b, i, d]  over b: batch, i: T(b), e: E, d: D  where i < 9", SPLIT_BATCH, "b", "i"},
    {"a step with several rows", "[batch, T, H, D]" EACH, "[D, E]", "[batch, T, H, E]" EACH,
     "c[b, i, h, e] sum= x[b, i, h, d] * y[d, e]  over b: batch, i: T(b), h: H, e: E, d: D", SPLIT_BATCH, "b", "i"},
    {"not a letter of both", "[batch, T, D]" EACH, "[D, E]", "[batch, E]" EACH,
     "c[b, e] sum= x[b, i, d] * y[d, e]  over b: batch, e: E, i: T(b), d: D", -1, "", NULL},
};

static int64_t axis_length(const Axis *a, int b)
{
    if (a->kind == AXIS_FIXED) {
        return a->size;
    }
    int64_t n = 0;
    for (int i = 0; i < a->nparts; i++) {
        n += axis_length(a->parts[i], b);
    }
    return a->kind == AXIS_SUM ? n : !strcmp(a->name, "T") ? lengths_T[b] : lengths_U[b];
}

/* Prefix sums over the examples of the product of the sizes of some axes. */
static void signature(const OffsetInfo *o, int64_t *out)
{
    out[0] = 0;
    for (int b = 0; b < EXAMPLES; b++) {
        int64_t n = 1;
        for (int i = 0; i < o->naxes; i++) {
            n *= axis_length(o->axes[i], b);
        }
        out[b + 1] = out[b] + n;
    }
}

static Kernel compile(KernelInfo *k, const Target *t, Jit *jit)
{
    LLVMContextRef ctx = LLVMContextCreate();
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext("kernel", ctx);
    char *triple = LLVMGetDefaultTargetTriple(), *message = NULL;
    Text why = {0};
    LLVMTargetMachineRef tm = target_machine(t, &why);
    if (!tm) {
        fprintf(stderr, "%s\n", why.s);
        exit(1);
    }
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
    LLVMSetTarget(module, triple);
    LLVMSetModuleDataLayout(module, layout);
    Emit x;
    emit_start(&x, k, t, module);
    product_emit(&x);
    emit_finish(&x);
    if (LLVMVerifyModule(module, LLVMReturnStatusAction, &message)) {
        LLVMDumpModule(module);
        fprintf(stderr, "%s\n", message);
        exit(1);
    }
    LLVMDisposeMessage(message);
    LLVMMemoryBufferRef object;
    if (LLVMTargetMachineEmitToMemoryBuffer(tm, module, LLVMObjectFile, &message, &object)) {
        fprintf(stderr, "%s\n", message);
        exit(1);
    }
    CodegenOptions options = {.real = DT_F64, .threads = 1};
    void *address = NULL;
    if (!product_link_parts(1, &object, &options, t, jit, &why) || !jit_add(jit, object, &why) ||
        !(address = jit_find(jit, k->name, &why))) {
        fprintf(stderr, "%s\n", why.s);
        exit(1);
    }
    LLVMDisposeTargetData(layout);
    LLVMDisposeTargetMachine(tm);
    LLVMDisposeMessage(triple);
    LLVMDisposeModule(module);
    LLVMContextDispose(ctx);
    Kernel fn;
    memcpy(&fn, &address, sizeof fn);
    return fn;
}

static int64_t items_of(const KernelInfo *k)
{
    const Axis *a = k->item >= 0 ? k->e->letters[k->item].axis : NULL;
    if (!a) {
        return 1;
    }
    if (k->split == SPLIT_BATCH || a->kind == AXIS_BATCH) {
        return EXAMPLES;
    }
    int64_t n = 0;
    for (int b = 0; b < EXAMPLES && a->kind != AXIS_FIXED; b++) {
        n += axis_length(a, b);
    }
    return a->kind == AXIS_FIXED ? a->size : n;
}

/* Runs the kernel in calls of `step` items. */
static void run(const KernelInfo *k, Kernel fn, void **tensors, int64_t step)
{
    int64_t offsets[8][EXAMPLES + 1];
    const int64_t *pointers[8];
    for (int i = 0; i < k->noffsets; i++) {
        signature(&k->offsets[i], offsets[i]);
        pointers[i] = offsets[i];
    }
    int64_t n = items_of(k), positions = k->scan >= 0 ? 40 : 1;
    for (int64_t t = 0; t < positions; t++) {
        for (int64_t lo = 0; lo < n; lo += step) {
            KernelArgs args = {.tensors = tensors,
                               .offsets = pointers,
                               .batch = EXAMPLES,
                               .lo = lo,
                               .hi = lo + step < n ? lo + step : n,
                               .t = t,
                               .last = k->scan >= 0 ? positions : 0};
            fn(&args);
        }
    }
}

static double *values(Interp *in, const Tensor *t, int64_t *n, uint64_t seed)
{
    *n = interp_count(in, t);
    if (*n < 0) {
        fprintf(stderr, "%s\n", interp_error(in));
        exit(1);
    }
    double *v = malloc((size_t)(*n + 1) * sizeof *v);
    for (int64_t i = 0; i < *n; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        v[i] = (double)(int64_t)(seed >> 11) / 4503599627370496.0 - 1;
    }
    return v;
}

static bool run_case(const Case *c, const Target *target, Jit *jit)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Text text = {0}, why = {0};
    text_printf(&text, "%s", axes);
    const char *const roles[3] = {"x", "y", "c"}, *const dims[3] = {c->a, c->b, c->c};
    for (int i = 0; i < 3; i++) {
        bool each = strstr(dims[i], "per_example") != NULL;
        text_printf(&text, "%s %s%s%s%s\n",
                    i == 2 ? "value"
                    : each ? "input"
                           : "param",
                    roles[i], dims[i], each ? "" : " : real",
                    i == 2 ? " output"
                    : each ? ""
                           : " ~ const(0)");
    }
    text_printf(&text, "%s\n", c->equation);
    Graph *g = graph_parse(arena, diag, c->name, text.s);
    if (!g) {
        Text out = {0};
        diag_print(diag, &out);
        printf("%s:\n%s%s\n", c->name, text.s, out.s);
        return false;
    }
    const Equation *e = g->equations[0];
    KernelInfo k = {.e = e, .g = g, .real = DT_F64, .scan = -1, .item = -1, .key_dim = -1, .sole = true};
    bool ok = true;
    for (int l = 0; c->scan && l < e->nletters; l++) {
        k.scan = strcmp(e->letters[l].name, c->scan) ? k.scan : l;
    }
    if (!product_choose(&k)) {
        Product p;
        const char *reason = "too narrow";
        product_match(e, k.scan, &p, &reason);
        if (c->split >= 0) {
            printf("%s: no product: %s\n", c->name, reason);
            ok = false;
        }
        goto done;
    }
    const char *item = k.item >= 0 ? e->letters[k.item].name : "";
    if ((int)k.split != c->split || strcmp(item, c->item)) {
        printf("%s: split %d over '%s', not %d over '%s'\n", c->name, (int)k.split, item, c->split, c->item);
        ok = false;
    }
    if (!kernel_describe(&k, NULL, target, &why)) {
        printf("%s: %s\n", c->name, why.s);
        ok = false;
        goto done;
    }
    Kernel fn = compile(&k, target, jit);
    Interp *in = interp_new(g, EXAMPLES);
    for (int i = 0; i < g->naxes; i++) {
        if (g->axes[i]->kind == AXIS_RAGGED) {
            int64_t offsets[EXAMPLES + 1];
            signature(&(OffsetInfo){.naxes = 1, .axes = {g->axes[i]}}, offsets);
            interp_offsets(in, g->axes[i], EXAMPLES, offsets);
        }
    }
    const Tensor *tensor[3] = {graph_find(g, "x"), graph_find(g, "y"), graph_find(g, "c")};
    double *v[3];
    int64_t n[3];
    for (int i = 0; i < 3; i++) {
        v[i] = values(in, tensor[i], &n[i], (uint64_t)i + 1);
        if (i < 2) {
            interp_set(in, tensor[i], n[i], v[i]);
        }
    }
    if (!interp_run(in) || !interp_get(in, tensor[2], n[2], v[2])) {
        printf("%s: %s\n", c->name, interp_error(in));
        exit(1);
    }
    double *got = malloc((size_t)(n[2] + 1) * sizeof *got), *first = malloc((size_t)(n[2] + 1) * sizeof *first);
    void *arguments[3];
    for (int i = 0; i < k.ntensors; i++) {
        arguments[i] = k.tensors[i] == tensor[2] ? got : k.tensors[i] == tensor[0] ? v[0] : v[1];
    }
    static const int64_t steps[] = {1000000, 7, 1};
    for (int s = 0; s < 3 && ok; s++) {
        for (int64_t i = 0; i < n[2]; i++) {
            got[i] = k.zero ? 0 : NAN;
        }
        run(&k, fn, arguments, steps[s]);
        for (int64_t i = 0; i < n[2] && ok; i++) {
            if (!(fabs(got[i] - v[2][i]) <= 1e-12 * (1 + fabs(v[2][i])))) {
                printf("%s: cell %ld is %.17g, not %.17g (calls of %ld)\n", c->name, (long)i, got[i], v[2][i],
                       (long)steps[s]);
                ok = false;
            }
            if (s > 0 && k.split != SPLIT_REDUCE && memcmp(&got[i], &first[i], sizeof *got)) {
                printf("%s: cell %ld depends on the cut\n", c->name, (long)i);
                ok = false;
            }
        }
        memcpy(s == 0 ? first : got, got, (size_t)n[2] * sizeof *got);
    }
    interp_free(in);
    free(got);
    free(first);
    for (int i = 0; i < 3; i++) {
        free(v[i]);
    }
done:
    kernel_info_free(&k);
    text_free(&text);
    text_free(&why);
    diag_free(diag);
    arena_free(arena);
    return ok;
}

int main(void)
{
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    Target target;
    Text why = {0};
    if (!target_init(&target, "native", &why)) {
        fprintf(stderr, "%s\n", why.s);
        return 1;
    }
    int wrong = 0, n = sizeof cases / sizeof *cases;
    for (int i = 0; i < n; i++) {
        Jit *jit = jit_new(&why);
        if (!jit) {
            fprintf(stderr, "%s\n", why.s);
            return 1;
        }
        wrong += !run_case(&cases[i], &target, jit);
        jit_free(jit);
    }
    target_free(&target);
    printf("%d equations, %d wrong\n", n, wrong);
    return wrong > 0;
}
