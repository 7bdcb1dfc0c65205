/* Binding a batch: which arrays there are, how long the lists are, and every value in its place and type. What a
 * batch holds comes from a file, so nothing in it is believed; each message names the array, the place and the
 * remedy. Ids are checked here once, so that kernels may gather without looking. */
#include "convert.h"
#include "inits.h"
#include "session_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- which arrays ----------------------------------------------------------------------------------------- */

static const char offsets_suffix[] = ".offsets";

static bool names_offsets(const char *name, const char *axis)
{
    size_t n = strlen(axis);
    return strncmp(name, axis, n) == 0 && strcmp(name + n, offsets_suffix) == 0;
}

static const Array *find_offsets(const Batch *b, const char *axis)
{
    for (int i = 0; i < b->n; i++) {
        if (names_offsets(b->arrays[i].name, axis)) {
            return &b->arrays[i];
        }
    }
    return NULL;
}

static bool takes_values(const PlanTensor *t)
{
    return t->role == PT_INPUT || t->role == PT_STATE || t->is_draw;
}

static bool is_wanted(const Plan *p, const char *name)
{
    int t = plan_find(p, name);
    if (t >= 0 && takes_values(&p->tensors[t])) {
        return true;
    }
    for (int i = 0; i < p->naxes; i++) {
        if (p->axes[i].kind == PAX_RAGGED && names_offsets(name, p->axes[i].name)) {
            return true;
        }
    }
    return strcmp(name, "row") == 0 || strcmp(name, "levels") == 0;
}

static void list_inputs(const Plan *p, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (int t = 0; t < p->ntensors && at + 1 < size; t++) {
        if (p->tensors[t].role == PT_INPUT && strncmp(p->tensors[t].name, "opt.", 4) != 0) {
            int n = snprintf(out + at, size - at, "%s%s", at ? ", " : "", p->tensors[t].name);
            at += n > 0 ? (size_t)n : 0;
        }
    }
}

static bool check_names(const Session *s, const Batch *b, Error *e)
{
    for (int i = 0; i < b->n; i++) {
        const char *name = b->arrays[i].name;
        if (!is_wanted(s->plan, name)) {
            char known[600];
            list_inputs(s->plan, known, sizeof known);
            return error_set(e, EXIT_DATA, "the batch holds '%s', which '%s' does not read: its inputs are %s", name,
                             s->plan->name, known);
        }
        for (int k = 0; k < i; k++) {
            if (strcmp(b->arrays[k].name, name) == 0) {
                return error_set(e, EXIT_DATA, "the batch holds '%s' twice: remove one", name);
            }
        }
    }
    return true;
}

/* ---- sizes ------------------------------------------------------------------------------------------------ */

static void mark_axis(const Plan *p, int axis, bool *needed)
{
    if (needed[axis]) {
        return;
    }
    needed[axis] = true;
    const PlanAxis *a = &p->axes[axis];
    if ((a->kind == PAX_RAGGED || a->kind == PAX_TABLE) && a->parent >= 0) {
        mark_axis(p, a->parent, needed);
    }
    for (int i = 0; a->kind == PAX_SUM && i < a->nparts; i++) {
        mark_axis(p, a->parts[i], needed);
    }
}

static void mark_offsets(const Plan *p, int k, bool *needed)
{
    for (int i = 0; i < p->offsets[k].naxes; i++) {
        mark_axis(p, p->offsets[k].axes[i], needed);
    }
}

/* Axes whose lists must be given: those of whatever a step touches. */
static void mark_axes(const Session *s, bool *needed)
{
    const Plan *p = s->plan;
    for (int t = 0; t < p->ntensors; t++) {
        if (p->tensors[t].per_example && (p->tensors[t].role != PT_INPUT || s->is_read[t])) {
            mark_offsets(p, p->tensors[t].offsets, needed);
        }
    }
    for (int k = 0; k < p->nsteps; k++) {
        const PlanCall *calls;
        int n = step_calls(&p->steps[k], &calls);
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < calls[i].noffsets; j++) {
                mark_offsets(p, calls[i].offsets[j], needed);
            }
            if (calls[i].rows_of >= 0) {
                mark_offsets(p, calls[i].rows_of, needed);
            }
        }
        if (p->steps[k].kind == STEP_SCAN) {
            mark_axis(p, p->steps[k].scan_axis, needed);
        }
    }
}

/* Reads "AXIS.offsets" into a new array of lists + 1 entries. */
static bool read_offsets(Session *s, const Batch *b, int axis, int64_t lists, int64_t **out, Error *e)
{
    const PlanAxis *a = &s->plan->axes[axis];
    const char *of = a->parent < 0 ? "example" : "row";
    const Array *given = find_offsets(b, a->name);
    if (!given) {
        return error_set(e, EXIT_DATA,
                         "the batch lacks '%s%s': the first row of each %s's list on axis '%s' (int64, %lld entries)",
                         a->name, offsets_suffix, of, a->name, (long long)lists + 1);
    }
    if (array_elements(given) != lists + 1) {
        char shape[160];
        return error_set(e, EXIT_DATA, "'%s' has shape %s: with %lld %ss it needs %lld entries", given->name,
                         shape_text(given->ndim, given->dims, shape, sizeof shape), (long long)lists, of,
                         (long long)lists + 1);
    }
    int64_t *v = malloc(((size_t)lists + 1) * sizeof *v), bad;
    if (!v) {
        return error_set(e, EXIT_RESOURCES, "no memory for '%s'", given->name);
    }
    ConvertStatus status = convert(v, DT_I64, 1, given->data, given->dtype, 1, lists + 1, &bad);
    if (status != CONVERT_OK) {
        free(v);
        return error_set(e, EXIT_DATA, "'%s', entry %lld %s: offsets are row numbers", given->name, (long long)bad,
                         convert_text(status));
    }
    *out = v; /* freed with the shapes */
    if (v[0] != 0) {
        return error_set(e, EXIT_DATA, "'%s' begins with %lld: the first entry must be 0", given->name,
                         (long long)v[0]);
    }
    for (int64_t i = 0; i < lists; i++) {
        if (v[i + 1] < v[i]) {
            return error_set(e, EXIT_DATA, "'%s', entry %lld is %lld after %lld: offsets must not descend", given->name,
                             (long long)i + 1, (long long)v[i + 1], (long long)v[i]);
        }
        if (v[i + 1] - v[i] > a->size) {
            return error_set(e, EXIT_DATA,
                             "%s %lld has %lld rows on axis '%s', whose bound is %lld: cut the list, or set -D "
                             "%s.max=%lld",
                             of, (long long)i, (long long)(v[i + 1] - v[i]), a->name, (long long)a->size, a->name,
                             (long long)(v[i + 1] - v[i]));
        }
        if (v[i + 1] - v[i] < a->min) {
            return error_set(e, EXIT_DATA, "%s %lld has %lld rows on axis '%s', which has at least %lld: leave it out",
                             of, (long long)i, (long long)(v[i + 1] - v[i]), a->name, (long long)a->min);
        }
    }
    return true;
}

/* Reads the lists of a ragged axis, its parent's first. nrows[axis] becomes the number of its rows; -1: not read. */
static bool read_axis(Session *s, const Batch *b, int axis, int64_t *nrows, Error *e)
{
    const Plan *p = s->plan;
    const PlanAxis *a = &p->axes[axis];
    if (nrows[axis] >= 0 || a->kind != PAX_RAGGED) {
        return true;
    }
    int64_t lists = s->shapes.batch;
    int64_t **into = &s->shapes.rows[axis];
    if (a->parent >= 0) {
        const PlanAxis *parent = &p->axes[a->parent];
        into = &s->shapes.lists[axis];
        if (parent->kind == PAX_RAGGED) {
            if (!read_axis(s, b, a->parent, nrows, e)) {
                return false;
            }
            lists = nrows[a->parent];
        } else if (parent->kind != PAX_FIXED || !size_mul(lists, parent->size, &lists)) {
            return error_set(e, EXIT_SPEC,
                             "axis '%s' is a list per element of '%s': nest it in a ragged or a numbered "
                             "axis",
                             a->name, parent->name);
        }
    }
    if (!read_offsets(s, b, axis, lists, into, e)) {
        return false;
    }
    nrows[axis] = (*into)[lists];
    return true;
}

/* Where each level of the batch begins; a batch that does not say has one. An example that follows another stands as
 * far behind the beginning of its level as that one in the level before, so levels do not grow. */
static bool read_levels(Session *s, const Batch *b, Error *e)
{
    const Array *given = batch_find(b, "levels");
    int64_t n = given ? array_elements(given) : 2, bad = 0;
    if (n < 2) {
        return error_set(e, EXIT_DATA,
                         "'levels' has %lld entries: it says where each level begins, and where the last ends",
                         (long long)n);
    }
    free(s->levels);
    s->levels = malloc((size_t)n * sizeof *s->levels);
    if (!s->levels) {
        return error_set(e, EXIT_RESOURCES, "no memory for the levels of a batch");
    }
    s->nlevels = n - 1;
    s->levels[0] = 0;
    s->levels[n - 1] = b->batch;
    if (!given) {
        return true;
    }
    if (convert(s->levels, DT_I64, 1, given->data, given->dtype, 1, n, &bad) != CONVERT_OK) {
        return error_set(e, EXIT_DATA, "'levels', entry %lld is not a whole number", (long long)bad);
    }
    if (s->levels[0] != 0 || s->levels[n - 1] != b->batch) {
        return error_set(e, EXIT_DATA, "'levels' runs from %lld to %lld: the batch has examples 0 to %lld",
                         (long long)s->levels[0], (long long)s->levels[n - 1], (long long)b->batch);
    }
    int64_t before = b->batch;
    for (int64_t k = 0; k < s->nlevels; k++) {
        int64_t size = s->levels[k + 1] - s->levels[k];
        if (size < 1 || size > before) {
            return error_set(e, EXIT_DATA,
                             "level %lld has %lld examples after one with %lld: there is at least one and no "
                             "level is larger than the one before",
                             (long long)k, (long long)size, (long long)before);
        }
        before = size;
    }
    return true;
}

bool bind_sizes(Session *s, const Batch *b, Error *e)
{
    const Plan *p = s->plan;
    if (b->batch < 1) {
        return error_set(e, EXIT_DATA, "the batch holds no examples");
    }
    shapes_begin(&s->shapes, b->batch);
    if (!check_names(s, b, e) || !read_levels(s, b, e)) {
        return false;
    }
    bool *needed = calloc((size_t)p->naxes + 1, sizeof *needed);
    int64_t *nrows = malloc(((size_t)p->naxes + 1) * sizeof *nrows);
    bool good = needed && nrows;
    if (!good) {
        error_set(e, EXIT_RESOURCES, "no memory for the axes of a batch");
    } else {
        mark_axes(s, needed);
    }
    for (int i = 0; good && i < p->naxes; i++) {
        nrows[i] = -1;
    }
    for (int i = 0; good && i < p->naxes; i++) {
        good = (!needed[i] && !find_offsets(b, p->axes[i].name)) || read_axis(s, b, i, nrows, e);
    }
    free(needed);
    free(nrows);
    good = good && shapes_finish(&s->shapes, e);
    /* Sizes of dims over the batch are part of a layout. */
    for (int t = 0; good && t < p->ntensors; t++) {
        good = p->tensors[t].batch_dims == 0 || layout_of(&s->shapes, t, &s->layouts[t], e);
    }
    return good;
}

/* ---- values ----------------------------------------------------------------------------------------------- */

/* Rows of a batch are numbered when it does not say which rows they are. */
static void number_rows(Session *s, int tensor)
{
    for (int64_t b = 0; b < s->shapes.batch; b++) {
        if (s->plan->tensors[tensor].dtype == DT_I32) {
            ((int32_t *)s->data[tensor])[b] = (int32_t)b;
        } else {
            ((int64_t *)s->data[tensor])[b] = b;
        }
    }
}

/* The state of which an input called "u.known" tells whether an example has it; -1: it is an input like any other. */
static int known_state(const Plan *p, int tensor)
{
    const char *name = p->tensors[tensor].name;
    size_t n = strlen(name), suffix = strlen(".known");
    for (int t = 0; n > suffix && strcmp(name + n - suffix, ".known") == 0 && t < p->ntensors; t++) {
        const PlanTensor *x = &p->tensors[t];
        if (x->role == PT_STATE && x->per_example && strlen(x->name) == n - suffix &&
            strncmp(x->name, name, n - suffix) == 0) {
            return p->tensors[tensor].dtype == DT_BOOL && p->tensors[tensor].ndim == 1 ? t : -1;
        }
    }
    return -1;
}

/* Examples behind the first level go on from the one before them: their state is known. */
static void know_followers(Session *s, int tensor)
{
    if (known_state(s->plan, tensor) >= 0 && s->nlevels > 1) {
        memset((char *)s->data[tensor] + s->levels[1], 1, (size_t)(s->shapes.batch - s->levels[1]));
    }
}

/* A state per example that the batch does not give starts at its initial value in every example. */
static bool start_state(Session *s, int tensor, Error *e)
{
    const PlanTensor *t = &s->plan->tensors[tensor];
    int64_t block = tensor_count(&s->shapes, tensor) / s->shapes.batch;
    for (int64_t b = 0; b < s->shapes.batch; b++) {
        char *at = (char *)s->data[tensor] + b * block * (int64_t)dtype_size[t->dtype];
        if (!init_fill(t, s->seed, block, 1, at, e)) {
            return false;
        }
    }
    return true;
}

bool bind_inputs(Session *s, const Batch *b, Error *e)
{
    const Plan *p = s->plan;
    s->ngiven = 0;
    for (int t = 0; t < p->ntensors; t++) {
        const PlanTensor *x = &p->tensors[t];
        if (!takes_values(x)) {
            continue;
        }
        const Array *given = batch_find(b, x->name);
        if (x->is_draw && x->role != PT_INPUT) { /* copied in after the step that computes it */
            if (given) {
                s->given[s->ngiven++] = t;
            }
            continue;
        }
        if (given) {
            if (!bind_copy(s, t, given, e)) {
                return false;
            }
            know_followers(s, t);
        } else if (t == p->row) {
            number_rows(s, t);
        } else if (known_state(p, t) >= 0) { /* given states are known, the others begin */
            bool known = batch_find(b, p->tensors[known_state(p, t)].name) != NULL;
            memset(s->data[t], known, (size_t)s->shapes.batch);
            know_followers(s, t);
        } else if (x->role == PT_STATE) {
            if (x->per_example && !start_state(s, t, e)) {
                return false;
            }
        } else if (!s->is_set[t] && s->is_read[t]) {
            int ndim;
            int64_t dims[PLAN_DIMS];
            char want[160];
            if (!packed_dims(&s->shapes, t, &ndim, dims, e)) {
                return false;
            }
            return error_set(e, EXIT_DATA, "the batch lacks input '%s' (%s, shape %s)", x->name, dtype_name[x->dtype],
                             shape_text(ndim, dims, want, sizeof want));
        }
    }
    return true;
}

bool bind_draw(Session *s, int tensor, Error *e)
{
    return bind_copy(s, tensor, batch_find(s->batch, s->plan->tensors[tensor].name), e);
}
