/* bf16 products in whole models, at sizes where they are used: outputs, loss and gradients beside those of f64 by the
 * norm of their difference, twenty training steps beside those of f32, and the promises on bits: threads, the size of
 * tiles, the company of a batch. Skips (77) where there is no AMX.
 *
 *   test_products MODELS_DIR
 *
 * Bounds, of |difference| / |value|: a product rounds each operand by at most 2^-8 (bf16x3: 2^-16), layers pass that on
 * and add theirs; a gradient sums signs that cancel. */
#include "../../runtime/amx.h"
#include "../support/model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *spec;
    Define defines[10];
    double output, gradient, loss[2]; /* bounds for bf16, and of the loss after twenty steps, for both */
    bool coupled;                     /* batch norm: an example depends on its company */
} Case;

#define SEQUENCE                                                                                                       \
    {                                                                                                                  \
        {"layers", "2"}, {"heads", "2"}, {"negatives", "33"}, {"N", "101"}, {"D", "33"}, {"E", "17"}, {"G", "35"},     \
            {"T.max", "90"}, {"item", "70"},                                                                           \
    }
static const Case cases[] = {
    {"sequential/fuxi_alpha.heddle", SEQUENCE, 0.02, 0.06, {0.004, 1e-5}, false},
    {"sequential/sasrec.heddle", SEQUENCE, 0.02, 0.06, {0.004, 1e-5}, false},
    {"interaction/deepfm.heddle", {{"D", "19"}, {"mlp", "[50, 41]"}, {"p", "0"}}, 0.02, 0.3, {0.05, 1e-5}, true},
};
enum { FINER = 100, NROWS = 40, STEPS = 20 }; /* FINER: the bounds of bf16x3 are so many times smaller */

static int failures;
static const char *models;

static void check(bool ok, const Case *c, Products products, const char *what, double value)
{
    printf("%s %s, %s: %s %.3g\n", ok ? "ok  " : "FAIL", c->spec, products_name[products], what, value);
    failures += !ok;
}

typedef struct {
    Model *m;
    Session *s;
} Run;

static Run start(const Case *c, Form form, DType real, Products products, Pool *pool, int64_t tiles)
{
    char path[1024], std[1024];
    Text why = {0};
    Error e = {0};
    snprintf(path, sizeof path, "%s/%s", models, c->spec);
    snprintf(std, sizeof std, "%s/std", models);
    ModelOptions o = {.spec = path, .std_dir = std, .defines = c->defines, .real = real, .products = products};
    while (o.ndefines < 10 && c->defines[o.ndefines].name) {
        o.ndefines++;
    }
    Run r = {.m = model_compile(&o, form, &why)};
    r.s = r.m ? session_new(r.m->plan, pool, 11, &e) : NULL;
    if (!r.s) {
        printf("%s: %s%s\n", c->spec, why.s ? why.s : "", e.text);
        exit(1);
    }
    if (tiles > 0) {
        session_limit_tiles(r.s, tiles);
    }
    return r;
}

static void stop(Run *r)
{
    session_free(r->s);
    model_free(r->m);
}

static void run(Run *r, int64_t n, int64_t first, uint64_t step)
{
    int64_t rows[NROWS];
    Error e = {0};
    for (int64_t i = 0; i < n; i++) {
        rows[i] = first + i;
    }
    Batch b = batch_of(r->m, n, rows);
    if (!session_run(r->s, &b, step, &e)) {
        printf("%s\n", e.text);
        exit(1);
    }
    batch_drop(&b);
}

static Array fetch(const Run *r, const char *name)
{
    Array a = {0};
    Error e = {0};
    if (!session_fetch(r->s, name, &a, &e)) {
        printf("%s\n", e.text);
        exit(1);
    }
    return a;
}

static double norm(const Run *r, const char *name)
{
    Array a = fetch(r, name);
    double n = 0;
    for (int64_t i = 0; i < array_count(&a); i++) {
        n += array_get(&a, i) * array_get(&a, i);
    }
    free(a.data);
    return sqrt(n);
}

/* The largest of all outputs' (or gradients') |difference| / |value|. A gradient that cancels to next to nothing (of a
 * bias that a softmax or a batch norm takes out again) is measured by a thousandth of the largest one. */
static double distance(const Run *r, const Run *exact, bool gradients)
{
    double worst = 0, least = 0;
    for (int t = 0; gradients && t < r->m->plan->ntensors; t++) {
        const PlanTensor *x = &r->m->plan->tensors[t];
        if (x->role == PT_OUTPUT && strncmp(x->name, "grad.", 5) == 0) {
            least = fmax(least, 1e-3 * norm(exact, x->name));
        }
    }
    for (int t = 0; t < r->m->plan->ntensors; t++) {
        const PlanTensor *x = &r->m->plan->tensors[t];
        if (x->role != PT_OUTPUT || (strncmp(x->name, "grad.", 5) == 0) != gradients) {
            continue;
        }
        Array a = fetch(r, x->name), b = fetch(exact, x->name);
        double d = 0, n;
        for (int64_t i = 0; i < array_count(&a); i++) {
            double p = array_get(&a, i), q = array_get(&b, i);
            d += (p - q) * (p - q);
        }
        n = fmax(least, norm(exact, x->name));
        worst = n > 0 ? fmax(worst, sqrt(d) / n) : worst;
        free(a.data);
        free(b.data);
    }
    return worst;
}

static int count_products(const Plan *p, Products products)
{
    int n = 0;
    for (int i = 0; i < p->nsteps; i++) {
        const PlanStep *step = &p->steps[i];
        for (int j = 0; j < step->ncalls; j++) {
            n += step->calls[j].products == products;
        }
        n += step->kind == STEP_CALL && step->call.products == products;
    }
    return n;
}

static void check_values(const Case *c, Products products, Pool *pool)
{
    Run r = start(c, FORM_GRADS, DT_F32, products, pool, 0);
    Run exact = start(c, FORM_GRADS, DT_F64, PRODUCTS_F32, pool, 0);
    double finer = products == PRODUCTS_BF16 ? 1 : FINER;
    run(&r, NROWS, 0, 3);
    run(&exact, NROWS, 0, 3);
    int n = count_products(r.m->plan, products);
    check(n >= 6, c, products, "products of that precision", n);
    double d = distance(&r, &exact, false), g = distance(&r, &exact, true);
    check(d > 0 && d <= c->output / finer, c, products, "outputs", d);
    check(g > 0 && g <= c->gradient / finer, c, products, "gradients", g);
    stop(&exact);
    stop(&r);
}

/* Whether an output has the same bits in two runs. */
static bool same_output(const Run *p, const Run *q, const char *name)
{
    Array a = fetch(p, name), b = fetch(q, name);
    bool same = memcmp(a.data, b.data, (size_t)array_count(&a) * dtype_size[a.dtype]) == 0;
    free(a.data);
    free(b.data);
    return same;
}

/* What does not depend on the size of tiles in f32 (sums of several terms that meet in one cell do) does not in bf16.
 */
static void check_tiles(const Case *c, Products products, Pool *pool)
{
    Run r[2][2]; /* in f32, in bf16; tiles as they come, small ones */
    for (int i = 0; i < 4; i++) {
        r[i / 2][i % 2] = start(c, FORM_GRADS, DT_F32, i / 2 ? products : PRODUCTS_F32, pool, i % 2 ? 5 : 0);
        run(&r[i / 2][i % 2], NROWS, 0, 3);
    }
    int compared = 0, wrong = 0;
    for (int t = 0; t < r[1][0].m->plan->ntensors; t++) {
        const PlanTensor *x = &r[1][0].m->plan->tensors[t];
        if (x->role == PT_OUTPUT && same_output(&r[0][0], &r[0][1], x->name)) {
            bool same = same_output(&r[1][0], &r[1][1], x->name);
            printf(same ? "" : "'%s' differs\n", x->name);
            compared++;
            wrong += !same;
        }
    }
    check(compared > 0 && wrong == 0, c, products, "other tiles, the same bits: outputs", compared);
    for (int i = 0; i < 4; i++) {
        stop(&r[i / 2][i % 2]);
    }
}

static double loss_of(const Run *r)
{
    Array a = fetch(r, r->m->plan->tensors[r->m->plan->loss].name);
    double v = array_get(&a, 0);
    free(a.data);
    return v;
}

static void train(Run *r)
{
    for (int step = 0; step < STEPS; step++) {
        session_set_scalar(r->s, "opt.lr", 1e-3);
        run(r, NROWS, (step % 4) * NROWS, (uint64_t)step);
    }
}

static bool same_params(const Run *a, const Run *b)
{
    for (int t = 0; t < a->m->plan->ntensors; t++) {
        const PlanTensor *x = &a->m->plan->tensors[t];
        int64_t n = 0;
        if (x->role == PT_PARAM && !x->per_example) {
            const void *p = session_param(a->s, x->name, &n), *q = session_param(b->s, x->name, &n);
            if (memcmp(p, q, (size_t)n * dtype_size[x->dtype]) != 0) {
                printf("'%s' differs\n", x->name);
                return false;
            }
        }
    }
    return true;
}

static void check_training(const Case *c, Products products, Pool *one, Pool *two)
{
    Run f32 = start(c, FORM_STEP, DT_F32, PRODUCTS_F32, two, 0), r = start(c, FORM_STEP, DT_F32, products, two, 0);
    Run alone = start(c, FORM_STEP, DT_F32, products, one, 0);
    train(&f32);
    train(&r);
    train(&alone);
    double d = fabs(loss_of(&r) - loss_of(&f32)) / fabs(loss_of(&f32));
    check(d <= c->loss[products == PRODUCTS_BF16X3], c, products, "loss after twenty steps", d);
    check(same_params(&r, &alone), c, products, "one thread and two, the same bits", 0);
    check(!same_params(&r, &f32), c, products, "other bits than in f32", 0);
    stop(&f32);
    stop(&r);
    stop(&alone);
}

/* Examples lie one after another: what one has alone is a stretch of what it has in company. */
static void check_company(const Case *c, Products products, Pool *pool)
{
    Run r = start(c, FORM_RANK, DT_F32, products, pool, 0);
    for (int t = 0; t < r.m->plan->ntensors; t++) {
        const PlanTensor *x = &r.m->plan->tensors[t];
        if (x->role != PT_OUTPUT || !x->per_example) {
            continue;
        }
        run(&r, NROWS, 0, 3);
        Array all = fetch(&r, x->name);
        size_t at = 0;
        bool same = true;
        for (int64_t i = 0; i < NROWS; i++) {
            run(&r, 1, i, 3);
            Array one = fetch(&r, x->name);
            size_t n = (size_t)array_count(&one) * dtype_size[one.dtype];
            same = same && memcmp(one.data, (char *)all.data + at, n) == 0;
            at += n;
            free(one.data);
        }
        check(same, c, products, "alone as in company", 0);
        free(all.data);
    }
    stop(&r);
}

int main(int argc, char **argv)
{
    Error e = {0};
    if (argc != 2) {
        fprintf(stderr, "usage: test_products MODELS_DIR\n");
        return 2;
    }
    if (!amx_request(&e)) {
        printf("skipped: %s\n", e.text);
        return 77;
    }
    const char *cpu = getenv("HEDDLE_CPU");
    if (cpu && strcmp(cpu, "native") != 0) {
        printf("skipped: this CPU has AMX, but HEDDLE_CPU is %s\n", cpu);
        return 77;
    }
    models = argv[1];
    Pool *one = pool_new(1, &e), *two = pool_new(2, &e);
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (Products p = PRODUCTS_BF16; p <= PRODUCTS_BF16X3; p++) {
            check_values(&cases[i], p, two);
            check_tiles(&cases[i], p, two);
            check_training(&cases[i], p, one, two);
            if (!cases[i].coupled) {
                check_company(&cases[i], p, two);
            }
        }
    }
    pool_free(one);
    pool_free(two);
    return failures ? 1 : 0;
}
