/* A session: params and states of one compiled model, and the run of a step.
 *
 *   session_run = bind_sizes (offsets, which arrays) -> memory_reserve -> bind_inputs -> exec_steps
 *
 * A failure before the steps leaves params and states as they were. */
#include "amx.h"
#include "inits.h"
#include "session_impl.h"
#include <stdlib.h>
#include <string.h>

/* The plan comes from the compiler or from a shared object; numbers in it are used as indices, so they are checked. */
static bool check_call(const Plan *p, const PlanCall *c, Error *e)
{
    bool good = c->ntensors > 0 && c->fn && c->rows_of >= -1 && c->rows_of < p->noffsets;
    for (int i = 0; good && i < c->ntensors; i++) {
        good = c->tensors[i] >= 0 && c->tensors[i] < p->ntensors;
    }
    for (int i = 0; good && i < c->noffsets; i++) {
        good = c->offsets[i] >= 0 && c->offsets[i] < p->noffsets;
    }
    if (good && c->split == SPLIT_ROWS && c->rows_of < 0) {
        good = false;
    }
    return good || error_set(e, EXIT_SPEC, "internal error: kernel '%s' of plan '%s' names what does not exist",
                             c->name ? c->name : "?", p->name);
}

static bool check_plan(const Plan *p, Error *e)
{
    for (int t = 0; t < p->ntensors; t++) {
        const PlanTensor *x = &p->tensors[t];
        bool good = x->ndim >= 0 && x->ndim <= PLAN_DIMS && (!x->per_example || (x->ndim > 0 && x->offsets >= 0)) &&
                    x->offsets < p->noffsets && x->fixed >= 0;
        for (int d = 0; good && d < x->ndim; d++) {
            good = x->dims[d] >= 0 && x->dims[d] < p->naxes;
        }
        if (!good) {
            return error_set(e, EXIT_SPEC, "internal error: tensor '%s' of plan '%s' is malformed", x->name, p->name);
        }
    }
    for (int k = 0; k < p->nsteps; k++) {
        const PlanCall *calls;
        const PlanStep *step = &p->steps[k];
        int n = step_calls(step, &calls);
        for (int i = 0; i < n; i++) {
            if (!check_call(p, &calls[i], e)) {
                return false;
            }
        }
        bool good = step->kind != STEP_LEVELS || (step->nsteps >= 0 && step->nsteps < p->nsteps - k);
        for (int i = 0; good && step->kind == STEP_LEVELS && i < step->ncarries; i++) {
            int from = step->carries[i].from, to = step->carries[i].to;
            good = from >= 0 && from < p->ntensors && to >= 0 && to < p->ntensors && p->tensors[from].per_example &&
                   p->tensors[to].per_example;
        }
        if (!good) {
            return error_set(e, EXIT_SPEC, "internal error: the levels of plan '%s' are malformed", p->name);
        }
    }
    return true;
}

static bool new_calls(Session *s, Error *e)
{
    const Plan *p = s->plan;
    s->call_of = calloc((size_t)p->nsteps + 1, sizeof(int));
    s->externs = calloc((size_t)p->nsteps + 1, sizeof(Extern));
    s->row_of = calloc((size_t)p->nsteps + 1, sizeof(int));
    if (!s->call_of || !s->externs || !s->row_of) {
        return error_set(e, EXIT_RESOURCES, "no memory for the steps of '%s'", p->name);
    }
    for (int k = 0; k < p->nsteps; k++) {
        const PlanCall *calls;
        int n = step_calls(&p->steps[k], &calls);
        s->call_of[k] = s->ncalls;
        s->row_of[k] = s->nrows;
        s->ncalls += n;
        s->nrows += step_is_tiled(&p->steps[k]) ? n : 1;
    }
    s->calls = calloc((size_t)s->ncalls + 1, sizeof(CallArgs));
    s->profile = calloc((size_t)s->nrows + 1, sizeof(StepProfile));
    if (!s->calls || !s->profile) {
        return error_set(e, EXIT_RESOURCES, "no memory for the steps of '%s'", p->name);
    }
    for (int k = 0; k < p->nsteps; k++) {
        const PlanCall *calls;
        int n = step_calls(&p->steps[k], &calls);
        for (int i = 0; i < n; i++) {
            CallArgs *a = &s->calls[s->call_of[k] + i];
            a->tensors = calloc((size_t)calls[i].ntensors + 1, sizeof(void *));
            a->offsets = calloc((size_t)calls[i].noffsets + 1, sizeof(int64_t *));
            a->keys = calloc((size_t)calls[i].nkeys + 1, sizeof(uint64_t));
            if (!a->tensors || !a->offsets || !a->keys) {
                return error_set(e, EXIT_RESOURCES, "no memory for the steps of '%s'", p->name);
            }
        }
        StepProfile *rows = &s->profile[s->row_of[k]];
        int nrows = step_is_tiled(&p->steps[k]) ? n : 1;
        for (int i = 0; i < nrows; i++) {
            rows[i].step = k;
            rows[i].equation = -1;
        }
        for (int i = 0; i < nrows && i < n; i++) {
            rows[i].label = calls[i].label ? calls[i].label : calls[i].name;
            rows[i].line = calls[i].line;
            rows[i].equation = calls[i].equation;
        }
        if (p->steps[k].kind == STEP_EXTERN) {
            rows->label = p->steps[k].ext->symbol;
            if (!extern_open(&s->externs[k], s, p->steps[k].ext, e)) {
                return false;
            }
        }
    }
    return true;
}

/* Rows of a tensor seen as a matrix, for the orthogonal initialiser. */
static int64_t first_size(const Session *s, int t)
{
    const Layout *l = &s->layouts[t];
    return l->n > 0 ? l->groups[0].size : 1;
}

static bool new_kept(Session *s, Error *e)
{
    const Plan *p = s->plan;
    for (int t = 0; t < p->ntensors; t++) {
        const PlanTensor *x = &p->tensors[t];
        bool begins = x->role == PT_PARAM || x->role == PT_STATE;
        if (s->root[t] != t || !outlives_step(p, t)) {
            continue;
        }
        int64_t bytes = tensor_bytes(&s->shapes, t);
        s->kept[t] = memory_new(bytes);
        if (!s->kept[t]) {
            return error_set(e, EXIT_RESOURCES, "no memory for '%s' (%.1f MiB)", x->name, (double)bytes / 1048576);
        }
        s->kept_bytes[t] = bytes;
        s->kept_total += bytes;
        if (begins && !init_fill(x, s->seed, tensor_count(&s->shapes, t), first_size(s, t), s->kept[t], e)) {
            return false;
        }
    }
    return true;
}

Session *session_new(const Plan *plan, Pool *pool, uint64_t seed, Error *e)
{
    Session *s = calloc(1, sizeof *s);
    if (!s) {
        error_set(e, EXIT_RESOURCES, "no memory for a session of '%s'", plan->name);
        return NULL;
    }
    s->plan = plan;
    s->pool = pool;
    s->seed = seed;
    size_t n = (size_t)plan->ntensors + 1;
    s->layouts = calloc(n, sizeof *s->layouts);
    s->kept = calloc(n, sizeof *s->kept);
    s->kept_bytes = calloc(n, sizeof *s->kept_bytes);
    s->data = calloc(n, sizeof *s->data);
    s->is_set = calloc(n, sizeof *s->is_set);
    s->given = calloc(n, sizeof *s->given);
    if (!s->layouts || !s->kept || !s->kept_bytes || !s->data || !s->is_set || !s->given) {
        error_set(e, EXIT_RESOURCES, "no memory for a session of '%s'", plan->name);
        session_free(s);
        return NULL;
    }
    bool good =
        (plan->products == PRODUCTS_F32 || amx_request(e)) && check_plan(plan, e) && shapes_new(&s->shapes, plan, e);
    for (int t = 0; good && t < plan->ntensors; t++) {
        good = layout_of(&s->shapes, t, &s->layouts[t], e);
    }
    good = good && memory_init(s, e) && new_kept(s, e) && new_calls(s, e) && tables_new(s, e) && tiles_init(s, e);
    if (!good) {
        session_free(s);
        return NULL;
    }
    s->peak = s->kept_total;
    return s;
}

void session_free(Session *s)
{
    if (!s) {
        return;
    }
    for (int t = 0; s->kept && t < s->plan->ntensors; t++) {
        free(s->kept[t]);
    }
    for (int i = 0; s->calls && i < s->ncalls; i++) {
        free(s->calls[i].tensors);
        free(s->calls[i].offsets);
        free(s->calls[i].keys);
    }
    for (int k = 0; s->externs && k < s->plan->nsteps; k++) {
        extern_close(&s->externs[k]);
    }
    tables_free(s);
    memory_free(s);
    shapes_free(&s->shapes);
    free(s->layouts);
    free(s->kept);
    free(s->kept_bytes);
    free(s->data);
    free(s->is_set);
    free(s->given);
    free(s->call_of);
    free(s->calls);
    free(s->externs);
    for (int k = 0; s->tiles && k < s->plan->nsteps; k++) {
        tile_step_free(s->tiles[k]);
    }
    free(s->tiles);
    free(s->row_of);
    free(s->profile);
    free(s->levels);
    free(s);
}

bool session_run(Session *s, const Batch *b, uint64_t step, Error *e)
{
    s->ran = false;
    s->step = step;
    s->batch = b;
    bool good = bind_sizes(s, b, e) && memory_reserve(s, e) && bind_inputs(s, b, e) && exec_steps(s, e);
    s->batch = NULL;
    s->ran = good;
    return good;
}

void session_limit_tiles(Session *s, int64_t positions)
{
    s->tile_limit = positions;
}

void *session_param(Session *s, const char *name, int64_t *count)
{
    int t = plan_find(s->plan, name);
    if (t < 0 || !s->kept[s->root[t]]) {
        return NULL;
    }
    tables_settle(s);
    if (count) {
        *count = tensor_count(&s->shapes, s->root[t]);
    }
    return s->kept[s->root[t]];
}

bool session_set_scalar(Session *s, const char *name, double v)
{
    int t = plan_find(s->plan, name);
    if (t < 0 || s->plan->tensors[t].role != PT_INPUT || s->plan->tensors[t].ndim != 0) {
        return false;
    }
    void *at = s->kept[t];
    switch (s->plan->tensors[t].dtype) {
    case DT_F32:
        *(float *)at = (float)v;
        break;
    case DT_F64:
        *(double *)at = v;
        break;
    case DT_I32:
        *(int32_t *)at = (int32_t)v;
        break;
    case DT_I64:
        *(int64_t *)at = (int64_t)v;
        break;
    case DT_BOOL:
        *(uint8_t *)at = v != 0;
        break;
    }
    s->is_set[t] = true;
    return true;
}

bool session_adopt(Session *s, Session *from, Error *e)
{
    tables_settle(s);
    for (int t = 0; t < s->plan->ntensors; t++) {
        const PlanTensor *x = &s->plan->tensors[t];
        if (!s->kept[t] || x->role == PT_INPUT) {
            continue;
        }
        int64_t count;
        int other = plan_find(from->plan, x->name);
        const void *values = session_param(from, x->name, &count);
        if (!values) {
            if (x->role == PT_STATE) {
                continue; /* a state that only one of the two plans has keeps its value */
            }
            return error_set(e, EXIT_DATA, "param '%s' is not in plan '%s'", x->name, from->plan->name);
        }
        if (count != tensor_count(&s->shapes, t) || from->plan->tensors[other].dtype != x->dtype) {
            return error_set(e, EXIT_DATA, "'%s' has another size or type in plan '%s'", x->name, from->plan->name);
        }
        memcpy(s->kept[t], values, (size_t)s->kept_bytes[t]);
    }
    return true;
}

int64_t session_peak_bytes(const Session *s)
{
    return s->peak;
}

const Plan *session_plan(const Session *s)
{
    return s->plan;
}

uint64_t session_seed(const Session *s)
{
    return s->seed;
}

int session_profile(const Session *s, const StepProfile **rows)
{
    *rows = s->profile;
    return s->nrows;
}

void session_profile_begin(Session *s)
{
    s->is_profiled = true;
    for (int k = 0; k < s->nrows; k++) {
        s->profile[k].runs = 0;
        s->profile[k].seconds = s->profile[k].least = s->profile[k].flop = 0;
    }
}
