/* Externs end to end: a spec that calls a C library against the same spec in equations (values, loss, gradients),
 * against the interpreter with the same library, and against central differences; rows of length 0 included.
 *
 *   test_extern DIR STD      DIR holds smooth.heddle, closed.heddle and libsmooth.so */
#include "../support/model.h"
#include <dlfcn.h>
#include <ffi.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NROWS = 7 };
static const int64_t rows[NROWS] = {4, 0, 2, 1, 3, 6, 5}; /* row 0 has empty lists, row 2 full ones */
static const Define defines[] = {{"item", "11"}, {"mark", "5"}};
static int failures;

static void fail(const char *what, const char *why)
{
    printf("FAIL %s: %s\n", what, why);
    failures++;
}

/* The interpreter's hook: it computes in double. */
static bool call_extern(void *ctx, const Extern *x, int n, double *const *tensors, int nsizes, const int64_t *sizes)
{
    char symbol[64];
    void (*fn)(void);
    ffi_cif cif;
    ffi_type *types[64];
    void *args[64], *library = dlopen(x->library, RTLD_NOW | RTLD_LOCAL);
    (void)ctx;
    snprintf(symbol, sizeof symbol, "%s_f64", x->symbol);
    void *address = library ? dlsym(library, symbol) : NULL;
    memcpy(&fn, &address, sizeof fn);
    for (int k = 0; k < n + nsizes; k++) {
        types[k] = k < n ? &ffi_type_pointer : &ffi_type_sint64;
        args[k] = k < n ? (void *)(uintptr_t)&tensors[k] : (void *)(uintptr_t)&sizes[k - n];
    }
    bool ok = fn && ffi_prep_cif(&cif, FFI_DEFAULT_ABI, (unsigned)(n + nsizes), &ffi_type_void, types) == FFI_OK;
    if (ok) {
        ffi_call(&cif, fn, NULL, args);
    }
    if (library) {
        dlclose(library);
    }
    return ok;
}

static Model *compile(const char *dir, const char *std, const char *spec, DType real, Form form)
{
    char path[1024];
    Text why = {0};
    snprintf(path, sizeof path, "%s/%s", dir, spec);
    Model *m = model_compile(
        &(ModelOptions){.spec = path, .std_dir = std, .ndefines = 2, .defines = defines, .real = real}, form, &why);
    if (!m) {
        fail(spec, why.s);
    }
    text_free(&why);
    return m;
}

static Session *run(const Model *m, Pool *pool, const Batch *b)
{
    Error e = {0};
    Session *s = session_new(m->plan, pool, 11, &e);
    if (s) {
        model_fill(m, s, 7);
    }
    if (!s || !session_run(s, b, 1, &e)) {
        fail("run", e.text);
        session_free(s);
        return NULL;
    }
    return s;
}

static void check_oracle(const Model *m, Session *s, const Batch *b, double bound)
{
    Comparison c = {0};
    Interp *in = interp_new(m->plain, b->batch);
    interp_strict(in, true);
    interp_seed(in, session_seed(s), 1);
    interp_externs(in, call_extern, NULL);
    if (oracle_bind(in, m->plain, s, m->plan, b, &c)) {
        if (interp_run(in)) {
            oracle_compare(in, m->plain, s, m->plan, &c);
        } else {
            fail("interpreter", interp_error(in));
        }
    }
    interp_free(in);
    if (c.error[0] || c.compared < 10 || !(c.worst <= bound)) {
        fail("against the interpreter", c.error[0] ? c.error : c.where);
    }
}

static void check_closed(Session *a, Session *b, double bound)
{
    static const char *const names[] = {"x", "y", "p", "n", "q", "z", "loss", "grad.emb", "grad.w", "grad.head"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        Array have, want;
        Error e = {0};
        if (!session_fetch(a, names[k], &have, &e) || !session_fetch(b, names[k], &want, &e)) {
            fail(names[k], e.text);
            continue;
        }
        double worst = array_count(&have) == array_count(&want) ? 0 : INFINITY;
        for (int64_t i = 0; i < array_count(&want) && worst < INFINITY; i++) {
            double x = array_get(&have, i), y = array_get(&want, i);
            worst = fmax(worst, fabs(x - y) / fmax(1, fabs(y)));
        }
        if (!(worst <= bound)) {
            printf("  %s differs by %g\n", names[k], worst);
            fail(names[k], "not what the equations say");
        }
        free(have.data);
        free(want.data);
    }
}

static void check(const char *dir, const char *std, Pool *pool, DType real)
{
    double bound = real == DT_F64 ? 1e-10 : 1e-4;
    Model *m = compile(dir, std, "smooth.heddle", real, FORM_GRADS);
    Model *closed = compile(dir, std, "closed.heddle", real, FORM_GRADS);
    if (m && closed) {
        Batch b = batch_of(m, NROWS, rows);
        Session *s = run(m, pool, &b), *want = run(closed, pool, &b);
        if (s && want) {
            check_oracle(m, s, &b, bound);
            check_closed(s, want, bound);
            if (real == DT_F64) {
                failures += model_differences(m, s, &b, 12, NULL, NULL);
            }
        }
        session_free(s);
        session_free(want);
        batch_drop(&b);
    }
    model_free(m);
    model_free(closed);
}

/* The graph with its externs reads back from its text as the same text. */
static void check_text(const char *dir, const char *std)
{
    Model *m = compile(dir, std, "smooth.heddle", DT_F64, FORM_STEP);
    if (!m) {
        return;
    }
    Text first = {0}, second = {0};
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    graph_print(m->plain, &first);
    Graph *again = graph_parse(arena, diag, "text", first.s);
    if (again) {
        graph_print(again, &second);
    } else {
        diag_print(diag, &second);
    }
    if (!again || strcmp(first.s, second.s) != 0) {
        fail("text form", second.s);
    }
    text_free(&first);
    text_free(&second);
    diag_free(diag);
    arena_free(arena);
    model_free(m);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: test_extern DIR STD\n");
        return 2;
    }
    Error e = {0};
    Pool *pool = pool_new(2, &e);
    check(argv[1], argv[2], pool, DT_F64);
    check(argv[1], argv[2], pool, DT_F32);
    check_text(argv[1], argv[2]);
    pool_free(pool);
    printf("%d failures\n", failures);
    return failures > 0;
}
