/* Results of a step, in the packed form that files hold: rows first, then the axes as on the left-hand side. */
#include "convert.h"
#include "session_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *from;
    char *to;
    size_t size;
} Gather;

static bool gather_run(void *ctx, int64_t own, int64_t own_stride, int64_t packed, int64_t count)
{
    Gather *g = ctx;
    if (own_stride == 1 && count > 0) {
        memcpy(g->to + packed * (int64_t)g->size, g->from + own * (int64_t)g->size, (size_t)count * g->size);
        return true;
    }
    for (int64_t i = 0; i < count; i++) {
        memcpy(g->to + (packed + i) * (int64_t)g->size, g->from + (own + i * own_stride) * (int64_t)g->size, g->size);
    }
    return true;
}

bool session_fetch(Session *s, const char *name, Array *out, Error *e)
{
    *out = (Array){0};
    const Plan *p = s->plan;
    int t = plan_find(p, name);
    if (t < 0) {
        return error_set(e, EXIT_USAGE, "'%s' computes nothing called '%s'", p->name, name);
    }
    const PlanTensor *x = &p->tensors[t];
    bool is_kept = s->kept[s->root[t]] != NULL && (x->role != PT_VALUE || s->root[t] != t);
    if (is_kept) {
        tables_settle(s);
    }
    if (!is_kept && (!s->ran || !s->data[t] || s->last[s->root[t]] < p->nsteps - 1)) {
        return error_set(e, EXIT_USAGE, "'%s' %s", name,
                         s->ran ? "is not an output: declare it with `output` to see its values"
                                : "has no values: the step has not been run, or it failed");
    }
    int64_t count = tensor_count(&s->shapes, t);
    int64_t cells = 1;
    bool fits = packed_dims(&s->shapes, t, &out->ndim, out->dims, e);
    if (!fits) {
        return false;
    }
    for (int i = 0; i < out->ndim; i++) {
        fits = fits && size_mul(cells, out->dims[i], &cells);
    }
    out->dtype = x->dtype;
    out->name = x->name;
    size_t size = dtype_size[x->dtype];
    int64_t bytes = 0;
    fits = fits && size_mul(cells, (int64_t)size, &bytes) && count >= 0;
    out->data = fits ? calloc(cells > 0 ? (size_t)cells : 1, size) : NULL;
    if (!out->data) {
        return error_set(e, EXIT_RESOURCES, "no memory for the values of '%s' (%lld cells): use a smaller batch", name,
                         (long long)cells);
    }
    Gather g = {.from = is_kept ? s->kept[s->root[t]] : s->data[t], .to = out->data, .size = size};
    packed_walk(&s->shapes, t, &s->layouts[t], gather_run, &g);
    return true;
}

double session_scalar(Session *s, const char *name)
{
    int t = plan_find(s->plan, name);
    if (t < 0 || s->plan->tensors[t].ndim != 0) {
        return NAN;
    }
    int root = s->root[t];
    const void *at = s->kept[root];
    if (!at) {
        at = s->ran && s->last[root] >= s->plan->nsteps - 1 ? s->data[t] : NULL;
    }
    return at ? element_real(at, s->plan->tensors[t].dtype, 0) : NAN;
}
