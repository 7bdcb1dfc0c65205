/* Steps whose examples follow each other (levels), compiled and interpreted. The interpreter knows no levels: it runs
 * the whole batch once per level, and what the examples of a level hand on is set before the next run, states upwards,
 * then pulls downwards. After that everything must agree: outputs, loss, gradients. Gradients are compared with
 * differences too, through all levels. A step cut into one step per level has the same outputs to the bit, and so has
 * one on two threads. */
#include "../support/model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 7, NLEVELS = 3 };
static const int64_t rows[N] = {4, 0, 2, 1, 3, 6, 5};
static int64_t levels[NLEVELS + 1] = {0, 3, 5, 7}; /* chains 4-1-6, 0-3-5, 2 */
static const char *spec_file;
static int failures;

static void fail(const char *what, const char *why)
{
    printf("FAIL %s, %s: %s\n", spec_file, what, why);
    failures++;
}

static void add_levels(Batch *b)
{
    b->arrays = realloc(b->arrays, (size_t)(b->n + 1) * sizeof *b->arrays);
    int64_t *copy = malloc(sizeof levels);
    memcpy(copy, levels, sizeof levels);
    b->arrays[b->n++] = (Array){strdup("levels"), DT_I64, 1, {NLEVELS + 1}, copy};
}

static void check_oracle(const Model *m, Session *s, const Batch *b, const char *what)
{
    int carried = 0;
    for (int i = 0; i < m->plain->ntensors; i++) {
        carried += m->plain->tensors[i]->is_carried;
    }
    Comparison c = model_oracle(m, s, b, 3);
    if (carried == 0 || c.error[0] || !(c.worst <= 1e-10)) {
        fail(what, carried == 0 ? "nothing is carried" : c.error[0] ? c.error : c.where);
    } else {
        printf("ok   %s, %s: %d tensors, %d states carried, worst %.2g\n", spec_file, what, c.compared, carried,
               c.worst);
    }
}

/* Every output per example, and the gradients, equal to the bit. */
static void check_equal(const Model *m, Session *a, Session *b, const char *what)
{
    Error e = {0};
    int compared = 0;
    for (int i = 0; i < m->plan->ntensors; i++) {
        const PlanTensor *x = &m->plan->tensors[i];
        Array p, q;
        if (x->role != PT_OUTPUT) {
            continue;
        }
        if (!session_fetch(a, x->name, &p, &e) || !session_fetch(b, x->name, &q, &e)) {
            fail(what, e.text);
            return;
        }
        if (memcmp(p.data, q.data, (size_t)array_count(&p) * dtype_size[p.dtype]) != 0) {
            fail(what, x->name);
        }
        compared++;
        free(p.data);
        free(q.data);
    }
    if (compared == 0) {
        fail(what, "there is no output");
    }
}

/* One step per level: the same states, outputs and next states. */
static void check_steps(const Model *m, Session *whole, Session *s)
{
    Error e = {0};
    int compared = 0;
    for (int64_t k = 0; k < NLEVELS; k++) {
        int64_t n = levels[k + 1] - levels[k];
        Batch b = batch_of(m, n, rows + levels[k]);
        for (int i = 0; i < b.n && k > 0; i++) {
            char name[128];
            Array next;
            int t = plan_find(m->plan, b.arrays[i].name);
            const char *dot = strrchr(b.arrays[i].name, '.');
            for (int64_t r = 0; dot && strcmp(dot, ".known") == 0 && r < n; r++) {
                array_set(&b.arrays[i], r, 1);
            }
            if (t < 0 || m->plan->tensors[t].role != PT_STATE) {
                continue;
            }
            snprintf(name, sizeof name, "%s'", b.arrays[i].name);
            if (!session_fetch(whole, name, &next, &e)) {
                fail("one step per level", e.text);
                break;
            }
            int64_t width = array_count(&b.arrays[i]) / n;
            for (int64_t c = 0; c < n * width; c++) {
                array_set(&b.arrays[i], c, array_get(&next, levels[k - 1] * width + c));
            }
            free(next.data);
        }
        if (!session_run(s, &b, 3, &e)) {
            fail("one step per level", e.text);
        }
        for (int i = 0; i < m->plan->ntensors; i++) {
            const PlanTensor *x = &m->plan->tensors[i];
            Array p, q;
            bool is_gradient = strncmp(x->name, "grad.", 5) == 0;
            if (x->role != PT_OUTPUT || !x->per_example || is_gradient || !session_fetch(whole, x->name, &p, &e) ||
                !session_fetch(s, x->name, &q, &e)) {
                continue;
            }
            size_t bytes = (size_t)array_count(&q) * dtype_size[q.dtype];
            compared += p.dims[0] == N;
            if (p.dims[0] == N && memcmp((char *)p.data + bytes / (size_t)n * (size_t)levels[k], q.data, bytes) != 0) {
                fail("one step per level", x->name);
            }
            free(p.data);
            free(q.data);
        }
        batch_drop(&b);
    }
    if (compared == 0) {
        fail("one step per level", "no output could be compared");
    }
}

static void check(const ModelOptions *o, Form form, Pool *one, Pool *two)
{
    Error e = {0};
    Text why = {0};
    Model *m = model_compile(o, form, &why);
    Session *s = m ? session_new(m->plan, two, 11, &e) : NULL, *t = s ? session_new(m->plan, one, 11, &e) : NULL;
    if (!t) {
        fail(form_name[form], m ? e.text : why.s);
    } else {
        Batch b = batch_of(m, N, rows);
        add_levels(&b);
        model_fill(m, s, 7);
        model_fill(m, t, 7);
        if (!session_run(s, &b, 3, &e) || !session_run(t, &b, 3, &e)) {
            fail(form_name[form], e.text);
        } else {
            if (o->real == DT_F64) {
                check_oracle(m, s, &b, form_name[form]);
            }
            check_equal(m, s, t, "1 and 2 threads");
            check_steps(m, s, t);
            if (form == FORM_GRADS && o->real == DT_F64 && model_differences(m, s, &b, 4, NULL, NULL) > 0) {
                fail(form_name[form], "gradients and differences disagree");
            }
        }
        batch_drop(&b);
    }
    text_free(&why);
    session_free(s);
    session_free(t);
    model_free(m);
}

int main(int argc, char **argv)
{
    static const Define small[] = {{"user", "4"}};
    static const Define unirec[] = {
        {"n", "7"},     {"first", "1"}, {"per", "1"},   {"slots", "[4, 3]"}, {"heads", "2"}, {"D", "6"},   {"E", "3"},
        {"Y.max", "3"}, {"O.max", "3"}, {"item", "13"}, {"action", "3"},     {"tag", "5"},   {"user", "4"}};
    static const struct {
        bool is_model;
        const char *spec;
        int n;
        const Define *defines;
    } cases[] = {{false, "two.heddle", 1, small},
                 {false, "apart.heddle", 1, small},
                 {true, "unified/unirec.heddle", 13, unirec}};
    char path[1024], std[1024];
    Error e = {0};
    if (argc != 3) {
        fprintf(stderr, "usage: test_levels MODELS_DIR SPECS_DIR\n");
        return 2;
    }
    Pool *one = pool_new(1, &e), *two = pool_new(2, &e);
    snprintf(std, sizeof std, "%s/std", argv[1]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        spec_file = cases[i].spec;
        snprintf(path, sizeof path, "%s/%s", argv[cases[i].is_model ? 1 : 2], spec_file);
        ModelOptions o = {
            .spec = path, .std_dir = std, .ndefines = cases[i].n, .defines = cases[i].defines, .real = DT_F64};
        check(&o, FORM_GRADS, one, two);
        if (!cases[i].is_model) {
            check(&o, FORM_NOISY, one, two);
            o.real = DT_F32;
            check(&o, FORM_GRADS, one, two);
        }
    }
    pool_free(one);
    pool_free(two);
    return failures != 0;
}
