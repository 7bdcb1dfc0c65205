/* Binding an interpreter to the batch of a session, and comparing. */
#include "oracle.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double value_of(const Array *a, int64_t i)
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

static bool set_values(Interp *in, const Tensor *t, const Array *a, int64_t n)
{
    bool ok;
    if (a->dtype == DT_I64) {
        return interp_set_int(in, t, n, a->data);
    }
    double *v = malloc((size_t)(n + 1) * sizeof *v);
    for (int64_t i = 0; v && i < n; i++) {
        v[i] = value_of(a, i);
    }
    ok = v && interp_set(in, t, n, v);
    free(v);
    return ok;
}

static bool bound(Comparison *c, Interp *in, bool ok)
{
    if (!ok) {
        snprintf(c->error, sizeof c->error, "interpreter: %s", interp_error(in));
    }
    return ok;
}

static const Array *find(const Batch *b, const char *name)
{
    for (int i = 0; i < b->n; i++) {
        if (strcmp(b->arrays[i].name, name) == 0) {
            return &b->arrays[i];
        }
    }
    return NULL;
}

bool oracle_bind(Interp *in, const Graph *plain, Session *s, const Plan *plan, const Batch *b, Comparison *c)
{
    c->batch = b;
    for (int nested = 0; nested < 2; nested++) { /* parents first */
        for (int i = 0; i < plain->naxes; i++) {
            const Axis *a = plain->axes[i];
            char name[256];
            snprintf(name, sizeof name, "%s.offsets", a->name);
            const Array *o = find(b, name);
            bool is_nested = a->parent && a->parent->kind != AXIS_BATCH;
            if (a->kind == AXIS_RAGGED && o && is_nested == (nested == 1) &&
                !bound(c, in, interp_offsets(in, a, o->dims[0] - 1, o->data))) {
                return false;
            }
        }
    }
    for (int i = 0; i < plain->ntensors; i++) {
        const Tensor *t = plain->tensors[i];
        const Array *a = find(b, t->name);
        int64_t n;
        if (a && t->role != ROLE_PARAM) {
            int64_t count = 1;
            for (int d = 0; d < a->ndim; d++) {
                count *= a->dims[d];
            }
            if (!bound(c, in, set_values(in, t, a, count))) {
                return false;
            }
        }
        bool kept = t->role == ROLE_PARAM || (t->role == ROLE_STATE && !t->per_example);
        if (kept && plan_find(plan, t->name) >= 0 && session_param(s, t->name, &n)) {
            Array p = {.dtype = plan->tensors[plan_find(plan, t->name)].dtype, .data = session_param(s, t->name, &n)};
            if (!bound(c, in, set_values(in, t, &p, n))) {
                return false;
            }
        }
    }
    return true;
}

/* ---- levels ---- */

enum { MAX_CARRIED = 8 };

typedef struct {
    const Tensor *from, *to;
    int64_t n;      /* cells of `to` */
    double *values; /* what it is given */
} HandOn;

static bool start(Interp *in, const Batch *b, HandOn *h)
{
    const Array *given = find(b, h->to->name);
    h->n = interp_count(in, h->from);
    h->values = h->n >= 0 ? calloc((size_t)h->n + 1, sizeof *h->values) : NULL;
    for (int64_t k = 0; h->values && given && k < h->n; k++) {
        h->values[k] = value_of(given, k);
    }
    return h->values && interp_set(in, h->to, h->n, h->values);
}

/* Rows of a level that has run become rows of the level about to. */
static bool hand_on(Interp *in, const Batch *b, HandOn *h, int64_t ran, int64_t level)
{
    const int64_t *at = find(b, "levels")->data;
    int64_t width = h->n / b->batch, rows = at[level + 1] - at[level], most = at[ran + 1] - at[ran];
    double *out = malloc((size_t)(h->n + 1) * sizeof *out);
    bool ok = out && interp_get(in, h->from, h->n, out);
    if (ok) {
        memcpy(h->values + at[level] * width, out + at[ran] * width,
               (size_t)((rows < most ? rows : most) * width) * sizeof *out);
    }
    free(out);
    return ok && interp_set(in, h->to, h->n, h->values);
}

/* What follows another example has a state. */
static bool know(Interp *in, const Graph *plain, const Batch *b, const Tensor *state, int64_t first)
{
    char name[256];
    snprintf(name, sizeof name, "%s.known", state->name);
    const Tensor *known = graph_find(plain, name);
    const Array *given = find(b, name);
    int64_t *values = known ? calloc((size_t)b->batch, sizeof *values) : NULL;
    for (int64_t k = 0; values && k < b->batch; k++) {
        values[k] = k >= first || (given && value_of(given, k) != 0);
    }
    bool ok = values && interp_set_int(in, known, b->batch, values);
    free(values);
    return ok || !known;
}

bool oracle_run(Interp *in, const Graph *plain, const Batch *b)
{
    const Array *levels = find(b, "levels");
    int64_t n = levels ? levels->dims[0] - 1 : 1;
    HandOn up[MAX_CARRIED], down[MAX_CARRIED];
    int nup = 0, ndown = 0;
    bool ok = true;
    for (int i = 0; i < plain->ntensors && ok; i++) {
        const Tensor *t = plain->tensors[i];
        if (t->is_carried && nup < MAX_CARRIED) {
            up[nup] = (HandOn){.from = t->next, .to = t};
            ok = start(in, b, &up[nup++]) && know(in, plain, b, t, levels ? ((int64_t *)levels->data)[1] : b->batch);
        }
        if (ok && t->pull && ndown < MAX_CARRIED) {
            down[ndown] = (HandOn){.from = t->grad, .to = t->pull};
            ok = start(in, b, &down[ndown++]);
        }
    }
    ok = ok && interp_run(in);
    for (int64_t k = 1; k < n && ok && nup > 0; k++) {
        for (int i = 0; i < nup && ok; i++) {
            ok = hand_on(in, b, &up[i], k - 1, k);
        }
        ok = ok && interp_run(in);
    }
    for (int64_t k = n - 2; k >= 0 && ok && ndown > 0; k--) {
        for (int i = 0; i < ndown && ok; i++) {
            ok = hand_on(in, b, &down[i], k + 1, k);
        }
        ok = ok && interp_run(in);
    }
    for (int i = 0; i < nup; i++) {
        free(up[i].values);
    }
    for (int i = 0; i < ndown; i++) {
        free(down[i].values);
    }
    return ok;
}

/* ---- comparing ---- */

static void compare_cell(Comparison *c, const char *name, int64_t k, double x, double y)
{
    double diff = fabs(x - y) / fmax(1, fabs(y));
    if (!(diff <= c->worst) && !(isnan(x) && isnan(y)) && x != y) {
        c->worst = isnan(diff) ? INFINITY : diff;
        snprintf(c->where, sizeof c->where, "%s cell %lld: %.17g, oracle %.17g", name, (long long)k, x, y);
    }
}

static int64_t axis_size(const Batch *b, const Axis *a, int64_t example)
{
    int64_t n = 0;
    char name[256];
    if (a->kind == AXIS_RAGGED) {
        snprintf(name, sizeof name, "%s.offsets", a->name);
        const Array *o = find(b, name);
        const int64_t *at = o ? o->data : NULL;
        return at ? at[example + 1] - at[example] : 0;
    }
    for (int i = 0; a->kind == AXIS_SUM && i < a->nparts; i++) {
        n += axis_size(b, a->parts[i], example);
    }
    return a->kind == AXIS_SUM ? n : a->size;
}

/* A tensor with several lists comes as the rows of the first of them and the other dims padded to their bounds. Lists
 * in lists are left out. */
static void compare_padded(Interp *in, const Tensor *t, const Array *have, Comparison *c)
{
    int lead = 0, other[MAX_DIMS], n = 0;
    for (int d = 1; d < t->ndim; d++) {
        const Axis *a = t->dims[d];
        if (a->kind == AXIS_BATCH || a->kind == AXIS_TABLE || (a->parent && a->parent->kind != AXIS_BATCH)) {
            return;
        }
        if (!lead && axis_is_ragged(a)) {
            lead = d;
        } else {
            other[n++] = d;
        }
    }
    int64_t inner = 1, at = 0;
    for (int i = 0; i < n; i++) {
        inner *= have->dims[i + 1];
    }
    for (int64_t b = 0; b < c->batch->batch; b++) {
        int64_t rows = axis_size(c->batch, t->dims[lead], b);
        for (int64_t k = 0; k < rows * inner; k++, at++) {
            int64_t index[MAX_DIMS] = {b}, rest = k % inner;
            bool inside = true;
            index[lead] = k / inner;
            for (int i = n - 1; i >= 0; i--) {
                index[other[i]] = rest % have->dims[i + 1];
                rest /= have->dims[i + 1];
                inside = inside && index[other[i]] < axis_size(c->batch, t->dims[other[i]], b);
            }
            double want = 0;
            if (inside && !interp_cell(in, t, index, &want, NULL)) {
                snprintf(c->error, sizeof c->error, "%s: %s", t->name, interp_error(in));
                return;
            }
            compare_cell(c, t->name, at, value_of(have, at), want);
        }
    }
    if (lead && at != have->dims[0] * inner) {
        snprintf(c->error, sizeof c->error, "%s has %lld cells, the oracle %lld", t->name,
                 (long long)(have->dims[0] * inner), (long long)at);
    }
}

/* What a state of the model has become. */
static void compare_state(Interp *in, const Tensor *t, Session *s, const Plan *plan, Comparison *c)
{
    int at = plan_find(plan, t->name);
    int64_t n = 0, count = interp_count(in, t->next);
    Array have = {.data = at >= 0 ? session_param(s, t->name, &n) : NULL};
    if (!have.data) {
        return;
    }
    have.dtype = plan->tensors[at].dtype;
    double *want = malloc((size_t)(n + 1) * sizeof *want);
    if (count != n || !want || !interp_get(in, t->next, n, want)) {
        snprintf(c->error, sizeof c->error, "%s': %s", t->name, interp_error(in));
    }
    for (int64_t k = 0; k < n && !c->error[0]; k++) {
        compare_cell(c, t->name, k, value_of(&have, k), want[k]);
    }
    free(want);
}

void oracle_compare(Interp *in, const Graph *plain, Session *s, const Plan *plan, Comparison *c)
{
    for (int i = 0; i < plan->ntensors && !c->error[0]; i++) {
        const PlanTensor *p = &plan->tensors[i];
        const Tensor *t = graph_find(plain, p->name);
        if (p->role != PT_OUTPUT || !t) {
            continue;
        }
        Array have;
        Error e = {0};
        int64_t n = interp_count(in, t);
        double *want = malloc((size_t)(n > 0 ? n + 1 : 1) * sizeof *want);
        if (n < 0 || !want || !interp_get(in, t, n, want)) {
            snprintf(c->error, sizeof c->error, "%s: %s", p->name, interp_error(in));
        } else if (!session_fetch(s, p->name, &have, &e)) {
            snprintf(c->error, sizeof c->error, "%s: %.900s", p->name, e.text);
        } else {
            c->compared++;
            int64_t count = 1;
            for (int d = 0; d < have.ndim; d++) {
                count *= have.dims[d];
            }
            int ragged = 0;
            for (int d = 0; d < t->ndim; d++) {
                ragged += axis_is_ragged(t->dims[d]) && !(t->dims[d]->parent && t->dims[d]->parent->kind != AXIS_BATCH);
            }
            if (count != n && ragged < 2) { /* several lists: the fetched form is padded, the packed one is not */
                snprintf(c->error, sizeof c->error, "%s has %lld cells, the oracle %lld", p->name, (long long)count,
                         (long long)n);
            }
            if (ragged >= 2) {
                compare_padded(in, t, &have, c);
            } else {
                for (int64_t k = 0; k < n && count == n; k++) {
                    compare_cell(c, p->name, k, value_of(&have, k), want[k]);
                }
            }
            free(have.data);
        }
        free(want);
    }
    for (int i = 0; i < plain->ntensors && !c->error[0]; i++) {
        const Tensor *t = plain->tensors[i];
        if (t->role == ROLE_STATE && !t->per_example && t->next && strncmp(t->name, "opt.", 4) != 0) {
            compare_state(in, t, s, plan, c);
        }
    }
}
