/* What UniRec's masks promise, as perturbations: what may not be seen changes no bit, what may be seen changes some.
 *
 *   the order of the fields does not matter
 *   after one layer, an event changes no earlier event, whatever the events see of the features
 *   without M_SF that holds at any depth, and no feature changes an event
 *   without M_FS no event changes a feature
 *   with queries of 0 every slot is the mean of the events
 *   candidates that share one reading of the history change no other's logit
 *
 * That no padding and no company of a batch matters is checked for every spec (models.c). */
#include "../support/model.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder, *std_dir;
static int failures;
static Pool *pool;

static void check(bool ok, const char *what, const char *variant)
{
    printf("%s %s%s%s\n", ok ? "ok  " : "FAIL", what, variant ? ", " : "", variant ? variant : "");
    failures += !ok;
}

typedef struct {
    Model *m;
    Session *s;
    Batch b;
} Probe;

#define SIZES                                                                                                          \
    {"n", "7"}, {"heads", "2"}, {"D", "6"}, {"E", "3"}, {"Y.max", "3"}, {"O.max", "3"}, {"item", "13"},                \
        {"action", "3"}, {"tag", "5"},                                                                                 \
    {                                                                                                                  \
        "user", "4"                                                                                                    \
    }
enum { NSIZES = 10, EVENTS = 7 };

/* A batch of one example with seven events. */
static Probe probe(const char *spec, const char *variant, const char *first, const int64_t *field_sizes)
{
    Define defines[NSIZES + 1] = {SIZES, {"first", first}};
    char path[1024];
    Error e = {0};
    Text why = {0};
    snprintf(path, sizeof path, "%s/%s.heddle", folder, spec);
    ModelOptions o = {.spec = path,
                      .std_dir = std_dir,
                      .variant = variant,
                      .ndefines = first ? NSIZES + 1 : NSIZES,
                      .defines = defines,
                      .real = DT_F64,
                      .field_sizes = field_sizes};
    Probe p = {.m = model_compile(&o, FORM_RANK, &why)};
    p.s = p.m ? session_new(p.m->plan, pool, 11, &e) : NULL;
    if (!p.s) {
        printf("%s %s: %s%s\n", spec, variant ? variant : "", why.s ? why.s : "", e.text);
        exit(1);
    }
    model_fill(p.m, p.s, 7);
    p.b = batch_of(p.m, 1, (int64_t[]){2}); /* the row with as many events as there may be */
    for (int i = 0; i < p.b.n; i++) {
        for (int64_t k = 0; strncmp(p.b.arrays[i].name, "safe", 4) == 0 && k < array_count(&p.b.arrays[i]); k++) {
            array_set(&p.b.arrays[i], k, 1);
        }
    }
    return p;
}

static void drop(Probe *p)
{
    batch_drop(&p->b);
    session_free(p->s);
    model_free(p->m);
}

static Array run(Probe *p, const char *output)
{
    Error e = {0};
    Array a = {0};
    if (!session_run(p->s, &p->b, 3, &e) || !session_fetch(p->s, output, &a, &e)) {
        printf("%s: %s\n", output, e.text);
        exit(1);
    }
    return a;
}

static const Array *input(const Probe *p, const char *name)
{
    const Array *a = batch_find(&p->b, name);
    if (!a) {
        printf("there is no input %s\n", name);
        exit(1);
    }
    return a;
}

static void bump(const Probe *p, const char *name, int64_t cell, int64_t below)
{
    const Array *a = input(p, name);
    array_set(a, cell, below ? (double)(((int64_t)array_get(a, cell) + 1) % below) : array_get(a, cell) + 0.5);
}

/* Rows of `output` that change when the input does; a bit per row. */
static unsigned changed_rows(Probe *p, const char *output, int64_t rows, const char *name, int64_t cell, int64_t below)
{
    Array before = run(p, output);
    double old = array_get(input(p, name), cell);
    bump(p, name, cell, below);
    Array after = run(p, output);
    array_set(input(p, name), cell, old);
    unsigned changed = 0;
    size_t row = (size_t)(array_count(&before) / rows) * sizeof(double);
    for (int64_t r = 0; r < rows; r++) {
        changed |=
            (unsigned)(memcmp((char *)before.data + (size_t)r * row, (char *)after.data + (size_t)r * row, row) != 0)
            << r;
    }
    free(before.data);
    free(after.data);
    return changed;
}

static void masks(void)
{
    static const char *const variants[] = {NULL, "no_sf", "no_fs", "towers"};
    for (int v = 0; v < 4; v++) {
        bool sf = !variants[v] || strcmp(variants[v], "no_fs") == 0,
             fs = !variants[v] || strcmp(variants[v], "no_sf") == 0;
        Probe one = probe("rows", variants[v], "1", NULL), deep = probe("rows", variants[v], "3", NULL);
        const unsigned all = (1u << EVENTS) - 1, later = all & ~7u;
        check(changed_rows(&one, "events", EVENTS, "item", 3, 13) == later, "one layer: event 3 changes 3 to 6 alone",
              variants[v]);
        unsigned changed = changed_rows(&deep, "events", EVENTS, "item", 3, 13);
        check(changed == (sf && fs ? all : later),
              sf && fs ? "three layers: event 3 changes all" : "three layers: still", variants[v]);
        changed = changed_rows(&deep, "events", EVENTS, "fv", 0, 3);
        check(changed == (sf ? all : 0), sf ? "a field changes the events" : "a field changes no event", variants[v]);
        changed = changed_rows(&deep, "events", EVENTS, "ctx", 0, 0);
        check(changed == (sf ? all : 0), sf ? "a number changes the events" : "a number changes no event", variants[v]);
        changed = changed_rows(&deep, "fields", 3, "item", 3, 13);
        check(changed == (fs ? 7 : 0), fs ? "an event changes the fields" : "an event changes no field", variants[v]);
        changed = changed_rows(&deep, "numbers", 2, "item", 3, 13);
        check(changed == (fs ? 3 : 0), fs ? "an event changes the numbers" : "an event changes no number", variants[v]);
        drop(&one);
        drop(&deep);
    }
    /* What is not flagged as visible reaches the events through what is, but not at once. */
    Probe one = probe("rows", NULL, "1", NULL);
    int64_t field = 0; /* that has the first value */
    while (array_get(input(&one, "O.offsets"), field + 1) == 0) {
        field++;
    }
    for (int f = 0; f < 2; f++) {
        for (int flag = 0; flag < 2; flag++) {
            array_set(input(&one, f ? "safe_num" : "safe"), f ? 0 : field, flag);
            unsigned changed = f ? changed_rows(&one, "events", EVENTS, "ctx", 0, 0)
                                 : changed_rows(&one, "events", EVENTS, "fv", 0, 3);
            check(changed == (flag ? (1u << EVENTS) - 1 : 0),
                  flag ? "one layer: events see what is flagged" : "one layer: events do not see what is not flagged",
                  f ? "a number" : "a field");
        }
    }
    drop(&one);
}

/* The fields in another order, their tables and flags with them. */
static void order(void)
{
    static const int64_t sizes[] = {4, 3, 5}, other_sizes[] = {5, 4, 3};
    static const int from[] = {2, 0, 1};
    Probe a = probe("../../../models/unified/unirec", NULL, "1", sizes);
    Probe b = probe("../../../models/unified/unirec", NULL, "1", other_sizes);
    const int64_t *have = input(&a, "O.offsets")->data, first[] = {0, 4, 7};
    int64_t n, at = 0, row = 0, *lists = input(&b, "O.offsets")->data;
    double *ef = session_param(a.s, "ef", &n), *other = session_param(b.s, "ef", &n);
    Array *fv = (Array *)(uintptr_t)input(&b, "fv");
    fv->data = realloc(fv->data, (size_t)have[3] * sizeof(double) + 1);
    fv->dims[0] = have[3];
    for (int f = 0; f < 3; f++) {
        lists[f] = at;
        for (int64_t k = have[from[f]]; k < have[from[f] + 1]; k++) {
            array_set(fv, at++, array_get(input(&a, "fv"), k));
        }
        array_set(input(&b, "safe"), f, array_get(input(&a, "safe"), from[f]));
        memcpy(other + row * 6, ef + first[from[f]] * 6, (size_t)sizes[from[f]] * 6 * sizeof *ef);
        row += sizes[from[f]];
    }
    lists[3] = at;
    Array x = run(&a, "logit"), y = run(&b, "logit");
    check(fabs(array_get(&x, 0) - array_get(&y, 0)) < 1e-12 && row * 6 == n, "the order of the fields changes nothing",
          NULL);
    free(x.data);
    free(y.data);
    drop(&a);
    drop(&b);
}

static void slots(void)
{
    Probe raw = probe("rows", NULL, "0", NULL), p = probe("slots", NULL, NULL, NULL);
    int64_t n;
    double *q = session_param(p.s, "stage.0.compress.0.Q0", &n), mean[6] = {0}, worst = 0;
    memset(q, 0, (size_t)n * sizeof *q);
    Array events = run(&raw, "events"), pool_ = run(&p, "pool");
    for (int64_t k = 0; k < EVENTS * 6; k++) {
        mean[k % 6] += array_get(&events, k) / EVENTS;
    }
    for (int64_t k = 0; k < 12; k++) { /* the largest, then the smallest */
        worst = fmax(worst, fabs(array_get(&pool_, k) - mean[k % 6]));
    }
    check(worst < 1e-12, "queries of 0 make every slot the mean of the events", NULL);
    free(events.data);
    free(pool_.data);
    drop(&raw);
    drop(&p);
}

static void candidates(void)
{
    Probe p = probe("candidates", NULL, "2", NULL);
    int64_t n = array_count(input(&p, "cands"));
    unsigned all = (1u << n) - 1;
    check(n > 2 && n < 32, "there are several candidates", NULL);
    for (int64_t k = 0; k < n; k++) {
        check(changed_rows(&p, "logit", n, "cands", k, 13) == 1u << k, "a candidate changes its own logit alone", NULL);
    }
    check(changed_rows(&p, "logit", n, "item", 3, 13) == all, "an event changes the logit of every candidate", NULL);
    drop(&p);
}

int main(int argc, char **argv)
{
    Error e = {0};
    if (argc != 3) {
        fprintf(stderr, "usage: test_invariants PROBES_DIR STD_DIR\n");
        return 2;
    }
    folder = argv[1];
    std_dir = argv[2];
    pool = pool_new(2, &e);
    masks();
    order();
    slots();
    candidates();
    pool_free(pool);
    return failures != 0;
}
