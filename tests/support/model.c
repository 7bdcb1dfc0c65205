/* Compiling a spec for a test, and the checks that need nothing but the spec. */
#include "model.h"
#include "random.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const form_name[] = {"gradients", "noise", "step", "rank"};

/* ---- compiling ---- */

static int64_t vocab_size(void *ctx, const char *vocab)
{
    const ModelOptions *o = ctx;
    for (int i = 0; i < o->ndefines; i++) {
        if (strcmp(o->defines[i].name, vocab) == 0) {
            return strtoll(o->defines[i].value, NULL, 10);
        }
    }
    return -1;
}

/* Groups of fields: "num" has widths, every other group has vocabularies. */
static int64_t fields(void *ctx, const char *name, const char *const **names, const int64_t **sizes)
{
    static const char *const field_names[] = {"field_a", "field_b", "field_c"};
    static const int64_t widths[] = {1, 3}, vocabs[] = {4, 3, 5};
    const ModelOptions *o = ctx;
    bool numbers = strcmp(name, "num") == 0;
    *names = field_names;
    *sizes = numbers ? widths : o->field_sizes ? o->field_sizes : vocabs;
    return numbers ? 2 : 3;
}

Graph *model_lower(const ModelOptions *o, Form form, Arena *arena, Diag *diag)
{
    SpecOptions so = {.ndefines = o->ndefines, .defines = o->defines, .variant = o->variant, .std_dir = o->std_dir};
    LowerOptions lo = {.mode = form == FORM_RANK    ? MODE_RANK
                               : form == FORM_GRADS ? MODE_RUN
                                                    : MODE_TRAIN,
                       .vocab_size = vocab_size,
                       .fields = fields,
                       .ctx = (void *)o,
                       .nwanted = o->noutputs,
                       .wanted = o->outputs};
    Spec *spec = spec_load(arena, diag, o->spec, &so);
    Graph *g = spec && diag_errors(diag) == 0 ? spec_lower(spec, arena, &lo) : NULL;
    if (g && form != FORM_STEP) {
        g->optimizer = NULL;
    }
    return g && diag_errors(diag) == 0 ? g : NULL;
}

Model *model_compile(const ModelOptions *o, Form form, Text *why)
{
    Model *m = calloc(1, sizeof *m);
    if (!m) {
        return NULL;
    }
    m->arena = arena_new();
    m->diag = diag_new();
    PipelineOptions all = {.training = form != FORM_RANK, .grads_are_outputs = form != FORM_STEP, .verify = true};
    PipelineOptions plain = all;
    plain.skip = "simplify,lookup,split,clean,recompute,resum,contract,fuse-map";
    CodegenOptions co = {.real = o->real, .products = o->products, .cpu = o->cpu, .threads = 1};
    CodegenStats stats;
    Graph *g = model_lower(o, form, m->arena, m->diag);
    m->plain = g ? model_lower(o, form, m->arena, m->diag) : NULL;
    Schedule *s = m->plain && pipeline_run(m->plain, &plain) && pipeline_run(g, &all) ? pass_plan(g) : NULL;
    m->plan = s ? codegen_compile(s, &co, &stats, why) : NULL;
    if (!m->plan) {
        diag_print(m->diag, why);
        model_free(m);
        return NULL;
    }
    return m;
}

void model_free(Model *m)
{
    if (m) {
        if (m->plan) {
            m->plan->destroy(m->plan);
        }
        diag_free(m->diag);
        arena_free(m->arena);
        free(m);
    }
}

/* ---- values ---- */

double array_get(const Array *a, int64_t i)
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

void array_set(const Array *a, int64_t i, double v)
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

int64_t array_count(const Array *a)
{
    int64_t n = 1;
    for (int d = 0; d < a->ndim; d++) {
        n *= a->dims[d];
    }
    return n;
}

/* The storage of a param, seen as an array without a shape; data is NULL if the session has none. */
static Array param_array(const Model *m, Session *s, const char *name)
{
    Array a = {.name = name, .ndim = 1};
    a.data = session_param(s, name, &a.dims[0]);
    if (a.data) {
        a.dtype = m->plan->tensors[plan_find(m->plan, name)].dtype;
    }
    return a;
}

void model_fill(const Model *m, Session *s, uint64_t seed)
{
    for (int i = 0; i < m->plain->ntensors; i++) {
        const Tensor *t = m->plain->tensors[i];
        bool state = t->role == ROLE_STATE && !t->per_example && plan_find(m->plan, t->name) >= 0;
        Array a = t->role == ROLE_PARAM || state ? param_array(m, s, t->name) : (Array){0};
        for (int64_t k = 0; a.data && k < a.dims[0]; k++) {
            double u = random_uniform(random_fold(random_key(seed, 0, t->name), k));
            bool absent = t->init && t->init->cond && array_get(&a, k) == 0; /* cells outside the param's domain */
            array_set(&a, k,
                      absent    ? 0
                      : state   ? 0.5 + u
                      : u < 0.5 ? u - 0.6
                                : u - 0.4); /* a state may be a variance */
        }
    }
}

/* ---- checks ---- */

Comparison model_oracle(const Model *m, Session *s, const Batch *b, uint64_t step)
{
    Comparison c = {0};
    Interp *in = interp_new(m->plain, b->batch);
    interp_strict(in, true);
    interp_seed(in, session_seed(s), step);
    Error e = {0};
    if (oracle_bind(in, m->plain, s, m->plan, b, &c)) { /* before the run, which leaves other states behind */
        if (!session_run(s, b, step, &e)) {
            snprintf(c.error, sizeof c.error, "%.900s", e.text);
        } else if (oracle_run(in, m->plain, b)) {
            oracle_compare(in, m->plain, s, m->plan, &c);
        } else {
            snprintf(c.error, sizeof c.error, "interpreter: %s", interp_error(in));
        }
    }
    interp_free(in);
    if (!c.error[0] && c.compared == 0) {
        snprintf(c.error, sizeof c.error, "nothing was compared");
    }
    return c;
}

/* Loss with one cell of a param moved. */
static double loss_at(Session *s, const Batch *b, const Array *param, int64_t cell, double value, Error *e)
{
    array_set(param, cell, value);
    return session_run(s, b, 1, e) ? session_scalar(s, "loss") : NAN;
}

int model_differences(const Model *m, Session *s, const Batch *b, int cells,
                      bool (*is_kink)(void *ctx, const char *param, int64_t cell), void *ctx)
{
    const double h = 1e-5;
    int bad = 0, checked = 0;
    Error e = {0};
    for (int i = 0; i < m->plain->ntensors; i++) {
        const Tensor *t = m->plain->tensors[i];
        Array p = t->role == ROLE_PARAM && t->grad ? param_array(m, s, t->name) : (Array){0}, g;
        char name[256];
        snprintf(name, sizeof name, "grad.%s", t->name);
        if (!p.data) {
            continue;
        }
        if (!session_run(s, b, 1, &e) || !session_fetch(s, name, &g, &e)) {
            printf("  %s: %s\n", name, e.text);
            return bad + 1;
        }
        /* Some cells spread over the param, and among them the one with the largest gradient. */
        int64_t largest = 0;
        for (int64_t k = 0; k < p.dims[0]; k++) {
            largest = fabs(array_get(&g, k)) > fabs(array_get(&g, largest)) ? k : largest;
        }
        for (int c = 0; c < cells && c < p.dims[0]; c++) {
            int64_t k = c == 0 ? largest : (int64_t)(((double)c + 0.5) / cells * (double)p.dims[0]);
            if (is_kink && is_kink(ctx, t->name, k)) {
                continue;
            }
            double at = array_get(&p, k);
            double up = loss_at(s, b, &p, k, at + h, &e), down = loss_at(s, b, &p, k, at - h, &e);
            double want = (up - down) / (2 * h), have = array_get(&g, k);
            array_set(&p, k, at);
            checked++;
            if (!(fabs(have - want) <= 1e-6 * fmax(1, fabs(want)))) {
                printf("  %s[%lld] is %.10g, differences say %.10g %s\n", name, (long long)k, have, want, e.text);
                bad++;
            }
        }
        free(g.data);
    }
    if (!checked) {
        printf("  no param has a gradient\n");
    }
    return bad + !checked;
}
