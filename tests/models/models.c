/* Every spec under models/: compiled against interpreted, gradients against differences, and the two promises that
 * results depend neither on the company of a batch nor on the number of threads.
 *
 *   test_models MODELS_DIR SPEC EXPECTED_DIR     SPEC relative to MODELS_DIR; a spec that specs.c does not know fails
 *
 * Outputs, loss and gradients are also compared with NAME.expect, of a variant NAME-VARIANT.expect, which independent
 * PyTorch programs wrote (reference.py, reference_ctr.py, reference_sequential.py).
 *
 * Batches hold lists of the least length, of 1, of the bound and between (tests/support/batch.c); params are random
 * everywhere (model_fill). Bounds: f64 1e-10 of max(1, |value|); f32 1e-4, because cosine scores are divided by a
 * temperature of 0.05 and then exponentiated, which turns one rounding of 6e-8 into some 1e-5 of a gradient that sums
 * over all tokens. */
#include "../support/expected.h"
#include "specs.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NROWS = 7 };
static const int64_t all_rows[NROWS] = {4, 0, 2, 1, 3, 6, 5};

typedef struct {
    const SpecCase *c;
    const char *expected; /* directory */
    ModelOptions options;
    Pool *one, *two;
    int failures;
} Test;

static void fail(Test *t, const char *what, const char *why)
{
    printf("FAIL %s%s%s, %s in %s: %s\n", t->c->spec, t->c->variant ? " --variant " : "",
           t->c->variant ? t->c->variant : "", what, t->options.real == DT_F64 ? "f64" : "f32", why);
    t->failures++;
}

static Model *compile(Test *t, Form form, DType real)
{
    Text why = {0};
    t->options.real = real;
    Model *m = model_compile(&t->options, form, &why);
    if (!m) {
        fail(t, form_name[form], why.s ? why.s : "not compiled");
    }
    if (m && t->c->needs && !graph_find(m->plain, t->c->needs)) {
        fail(t, "there is no param", t->c->needs);
    }
    text_free(&why);
    return m;
}

static Session *session(Test *t, const Model *m, Pool *pool, Form form)
{
    Error e = {0};
    Session *s = session_new(m->plan, pool, 11, &e);
    if (s) {
        session_limit_tiles(s, 3);
    }
    if (!s) {
        fail(t, form_name[form], e.text);
        return NULL;
    }
    model_fill(m, s, 7);
    return s;
}

/* ---- against PyTorch ---- */

static void check_expected(Test *t, const Model *m)
{
    char path[1024], name[128];
    const char *file = strrchr(t->c->spec, '/') + 1;
    const char *variant = t->c->variant;
    snprintf(name, sizeof name, "%.*s%s%s", (int)strcspn(file, "."), file, variant ? "-" : "", variant ? variant : "");
    snprintf(path, sizeof path, "%s/%s.expect", t->expected, name);
    if (variant && access(path, R_OK) != 0) { /* of a variant they may be missing */
        return;
    }
    Expected x = {.name = name, .options = t->options, .pool = t->two};
    if (expected_read(&x, path)) {
        expected_check(&x, m, 1e-4, 3);
    }
    t->failures += x.failures;
    expected_free(&x);
}

/* ---- against the interpreter, and against differences ---- */

static void check_oracle(Test *t, Form form, DType real)
{
    Model *m = compile(t, form, real);
    Session *s = m ? session(t, m, t->two, form) : NULL;
    if (s) {
        Batch b = batch_of(m, NROWS, all_rows);
        Comparison c = model_oracle(m, s, &b, 3);
        if (c.error[0] || !(c.worst <= (real == DT_F64 ? 1e-10 : 1e-4))) {
            fail(t, form_name[form], c.error[0] ? c.error : c.where);
        } else {
            printf("ok   %s, %s in %s: %d tensors, worst %.2g\n", t->c->spec, form_name[form],
                   real == DT_F64 ? "f64" : "f32", c.compared, c.worst);
        }
        if (form == FORM_GRADS && real == DT_F64 && model_differences(m, s, &b, 4, NULL, NULL) > 0) {
            fail(t, form_name[form], "gradients and differences disagree");
        }
        batch_drop(&b);
        if (form == FORM_GRADS) {
            check_expected(t, m);
        }
    }
    session_free(s);
    model_free(m);
}

/* ---- alone and in company ---- */

/* Bytes of all outputs that belong to examples, for one batch; NULL after an error. */
typedef struct {
    int n;
    Array outputs[32];
} Outputs;

static bool fetch(Test *t, const Model *m, Session *s, int64_t n, const int64_t *rows, Outputs *out)
{
    Error e = {0};
    Batch b = batch_of(m, n, rows);
    bool ok = session_run(s, &b, 3, &e);
    out->n = 0;
    for (int i = 0; ok && i < m->plan->ntensors && out->n < 32; i++) {
        const PlanTensor *x = &m->plan->tensors[i];
        bool of_loss = strncmp(x->name, "grad.", 5) == 0; /* by a given state: of a mean over the batch */
        if (x->role == PT_OUTPUT && x->per_example && !of_loss) {
            ok = session_fetch(s, x->name, &out->outputs[out->n], &e);
            out->n += ok;
        }
    }
    if (!ok) {
        fail(t, "alone and in company", e.text);
    }
    batch_drop(&b);
    return ok;
}

static void drop(Outputs *o)
{
    for (int i = 0; i < o->n; i++) {
        free(o->outputs[i].data);
    }
}

/* Examples lie one after another, so what they have alone must be a stretch of what they have together. */
static void check_company(Test *t, Form form, DType real)
{
    Model *m = compile(t, form, real);
    Session *s = m ? session(t, m, t->two, form) : NULL;
    Outputs whole = {0};
    size_t at[32] = {0};
    if (s && fetch(t, m, s, NROWS, all_rows, &whole)) {
        if (whole.n == 0) {
            fail(t, "alone and in company", "no output belongs to an example");
        }
        for (int r = 0; r < NROWS; r++) {
            Outputs alone = {0};
            if (fetch(t, m, s, 1, &all_rows[r], &alone)) {
                for (int i = 0; i < alone.n; i++) {
                    const Array *a = &alone.outputs[i], *w = &whole.outputs[i];
                    size_t n = (size_t)array_count(a) * dtype_size[a->dtype];
                    if (at[i] + n > (size_t)array_count(w) * dtype_size[w->dtype] ||
                        memcmp(a->data, (const char *)w->data + at[i], n) != 0) {
                        char text[400];
                        snprintf(text, sizeof text, "'%s' of row %lld is another one alone", a->name,
                                 (long long)all_rows[r]);
                        fail(t, form_name[form], text);
                    }
                    at[i] += n;
                }
            }
            drop(&alone);
        }
    }
    drop(&whole);
    session_free(s);
    model_free(m);
}

/* ---- one and two threads ---- */

/* Three training steps; false after an error. */
static bool train(Test *t, const Model *m, Session *s)
{
    Error e = {0};
    enum { STEPS = 3, EXAMPLES = 45 };
    for (int step = 0; step < STEPS; step++) {
        int64_t rows[EXAMPLES];
        for (int i = 0; i < EXAMPLES; i++) {
            rows[i] = step * EXAMPLES + i;
        }
        Batch b = batch_of(m, EXAMPLES, rows);
        session_set_scalar(s, "opt.lr", 0.01);
        bool ok = session_run(s, &b, (uint64_t)step, &e);
        batch_drop(&b);
        if (!ok) {
            fail(t, "training", e.text);
            return false;
        }
    }
    return true;
}

static void check_threads(Test *t, DType real)
{
    Model *m = compile(t, FORM_STEP, real);
    Session *one = m ? session(t, m, t->one, FORM_STEP) : NULL, *two = m ? session(t, m, t->two, FORM_STEP) : NULL;
    if (one && two && train(t, m, one) && train(t, m, two)) {
        int compared = 0, moved = 0;
        Session *fresh = session(t, m, t->one, FORM_STEP);
        for (int i = 0; i < m->plan->ntensors; i++) {
            const PlanTensor *x = &m->plan->tensors[i];
            int64_t n = 0;
            if ((x->role != PT_PARAM && x->role != PT_STATE) || x->per_example) {
                continue;
            }
            const void *a = session_param(one, x->name, &n), *b = session_param(two, x->name, &n);
            if (memcmp(a, b, (size_t)n * dtype_size[x->dtype]) != 0) {
                fail(t, "with 1 and 2 threads these differ", x->name);
            }
            compared++;
            moved += x->role == PT_PARAM && fresh && memcmp(a, session_param(fresh, x->name, &n), (size_t)n * 4) != 0;
        }
        if (compared == 0 || moved == 0) {
            fail(t, "training", "no param moved");
        }
        session_free(fresh);
    }
    session_free(one);
    session_free(two);
    model_free(m);
}

static void use_defines(Test *t, const Define *defines)
{
    t->options.defines = defines;
    t->options.ndefines = 0;
    while (defines[t->options.ndefines].name) {
        t->options.ndefines++;
    }
}

static int run(const SpecCase *c, const char *models, const char *expected)
{
    char path[1024], std[1024];
    Error e = {0};
    snprintf(path, sizeof path, "%s/%s", models, c->spec);
    snprintf(std, sizeof std, "%s/std", models);
    Test t = {.c = c, .expected = expected, .one = pool_new(1, &e), .two = pool_new(2, &e)};
    int nscores = 0;
    while (nscores < 4 && c->scores[nscores]) {
        nscores++;
    }
    t.options = (ModelOptions){.spec = path, .std_dir = std, .variant = c->variant, .outputs = c->scores};
    use_defines(&t, c->defines);
    check_oracle(&t, FORM_GRADS, DT_F64);
    check_oracle(&t, FORM_NOISY, DT_F64);
    if (c->ranks) {
        t.options.noutputs = nscores;
        check_oracle(&t, FORM_RANK, DT_F64);
    }
    if (!c->variant) {
        check_oracle(&t, FORM_GRADS, DT_F32);
        t.options.noutputs = nscores; /* scores belong to the rank section */
        check_oracle(&t, FORM_RANK, DT_F64);
        check_oracle(&t, FORM_RANK, DT_F32);
        use_defines(&t, c->wide[0].name ? c->wide : c->defines);
        check_company(&t, FORM_RANK, DT_F32);
        t.options.noutputs = 0;
        if (!c->coupled) {
            check_company(&t, FORM_GRADS, DT_F32);
        }
        check_threads(&t, DT_F32);
    }
    pool_free(t.one);
    pool_free(t.two);
    return t.failures;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: test_models MODELS_DIR SPEC EXPECTED_DIR\n");
        return 2;
    }
    int known = 0, failures = 0;
    for (int i = 0; i < nspec_cases; i++) {
        if (strcmp(spec_cases[i].spec, argv[2]) == 0) {
            known++;
            failures += run(&spec_cases[i], argv[1], argv[3]);
        }
    }
    if (!known) {
        printf("%s: no test: add its sizes to tests/models/specs.c\n", argv[2]);
    }
    return failures || !known;
}
