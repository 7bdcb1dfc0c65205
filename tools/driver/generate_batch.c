/* Generated batches. */
#include "generate_batch.h"
#include "../../ir/random.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double uniform(uint64_t *state)
{
    *state = random_mix(*state + RANDOM_STEP);
    return random_uniform(*state);
}

static bool add(Batch *b, const char *name, DType type, int ndim, const int64_t *dims, Error *e)
{
    Array *grown = realloc(b->arrays, ((size_t)b->n + 1) * sizeof *grown);
    int64_t n = 1;
    for (int d = 0; d < ndim; d++) {
        n *= dims[d];
    }
    void *data = calloc((size_t)n + 1, 8);
    char *copy = strdup(name);
    if (grown) {
        b->arrays = grown;
    }
    if (!grown || !data || !copy) {
        free(data);
        free(copy);
        return error_set(e, EXIT_RESOURCES, "out of memory");
    }
    Array *a = &b->arrays[b->n++];
    *a = (Array){.name = copy, .dtype = type, .ndim = ndim, .data = data};
    memcpy(a->dims, dims, (size_t)ndim * sizeof *dims);
    return true;
}

/* Number of elements of a nested list in generated data: the middle of what is allowed, at least one. */
static int64_t list_length(const PlanAxis *a)
{
    int64_t n = (a->min + a->size) / 2;
    return n > 0 ? n : 1;
}

static bool add_offsets(const Plan *plan, Batch *b, const int64_t *lengths, Error *e)
{
    for (int i = 0; i < plan->naxes; i++) {
        const PlanAxis *a = &plan->axes[i];
        if (a->kind != PAX_RAGGED) {
            continue;
        }
        char name[256];
        snprintf(name, sizeof name, "%s.offsets", a->name);
        int64_t lists = b->batch;
        const PlanAxis *parent = a->parent >= 0 ? &plan->axes[a->parent] : NULL;
        if (parent && parent->kind == PAX_RAGGED) {
            lists = 0;
            for (int64_t k = 0; k < b->batch; k++) {
                lists += lengths[k];
            }
        } else if (parent && parent->kind == PAX_FIXED) {
            lists = b->batch * parent->size;
        }
        if (!add(b, name, DT_I64, 1, &(int64_t){lists + 1}, e)) {
            return false;
        }
        int64_t *o = b->arrays[b->n - 1].data;
        for (int64_t k = 0; k < lists; k++) {
            o[k + 1] = o[k] + (lists == b->batch && !parent ? lengths[k] : list_length(a));
        }
    }
    return true;
}

static int64_t rows_of(const Batch *b, const char *axis)
{
    char name[256];
    snprintf(name, sizeof name, "%s.offsets", axis);
    const Array *a = batch_find(b, name);
    return a ? ((const int64_t *)a->data)[a->dims[0] - 1] : 0;
}

/* Ids of a vocabulary per field: how many the field of an element has. The field is the element's position along the
 * table's parent; where that is no dimension of its own, the smallest vocabulary holds for all. */
typedef struct {
    const PlanAxis *table; /* NULL: one bound for all */
    int64_t stride, fields, smallest;
} FieldIds;

static FieldIds field_ids(const Plan *plan, const PlanTensor *t, int ndim, const int64_t *dims)
{
    FieldIds f = {.smallest = 2};
    for (int i = 0; t->vocab && i < plan->naxes; i++) {
        const PlanAxis *a = &plan->axes[i];
        if (a->kind == PAX_TABLE && !a->vocab && strcmp(a->name, t->vocab) == 0) {
            f.table = a;
            f.smallest = INT64_MAX;
            for (int64_t k = 0; k < plan->axes[a->parent].size; k++) {
                int64_t n = a->rows[k + 1] - a->rows[k];
                f.smallest = n < f.smallest ? n : f.smallest;
            }
            for (int d = 0; d < t->ndim; d++) {
                int at = ndim - (t->ndim - d); /* dims end like the tensor's own */
                if (at >= 0 && t->dims[d] == a->parent && dims[at] == plan->axes[a->parent].size) {
                    f.fields = dims[at];
                    f.stride = 1;
                    for (int k = at + 1; k < ndim; k++) {
                        f.stride *= dims[k];
                    }
                }
            }
            break;
        }
    }
    return f;
}

static int64_t id_bound(const FieldIds *f, int64_t element)
{
    if (f->fields == 0) {
        return f->smallest;
    }
    int64_t k = element / f->stride % f->fields;
    return f->table->rows[k + 1] - f->table->rows[k];
}

static bool add_input(const Plan *plan, const PlanTensor *t, Batch *b, uint64_t *state, Error *e)
{
    int64_t dims[PLAN_DIMS], vocab = 0;
    int n = 0;
    bool packed = false;
    for (int d = 0; d < t->ndim; d++) {
        const PlanAxis *a = &plan->axes[t->dims[d]];
        if (a->kind == PAX_BATCH) {
            dims[n++] = b->batch;
        } else if (a->kind == PAX_RAGGED) { /* packed rows replace the batch and, for a list, its parent */
            n = 0;
            dims[n++] = rows_of(b, a->name);
            packed = true;
        } else if (a->kind == PAX_TABLE && d > 0 &&
                   t->dims[d - 1] == a->parent) { /* all positions, one after another */
            dims[n - 1] = a->size;
        } else {
            dims[n++] = a->size;
        }
    }
    for (int i = 0; t->vocab && i < plan->naxes; i++) {
        if (plan->axes[i].vocab && strcmp(plan->axes[i].vocab, t->vocab) == 0) {
            vocab = plan->axes[i].size;
        }
    }
    if (!add(b, t->name, t->dtype, n, dims, e)) {
        return false;
    }
    Array *a = &b->arrays[b->n - 1];
    FieldIds fields = field_ids(plan, t, n, dims);
    int64_t count = 1, time = 1000000000;
    for (int d = 0; d < n; d++) {
        count *= dims[d];
    }
    for (int64_t i = 0; i < count; i++) {
        double u = uniform(state);
        int64_t ids = vocab > 0 ? vocab : id_bound(&fields, i);
        time += (int64_t)(u * u * u * 86400);
        switch (t->dtype) {
        case DT_BOOL:
            ((unsigned char *)a->data)[i] = u < 0.5;
            break;
        case DT_I32:
            ((int32_t *)a->data)[i] = (int32_t)(u * (double)ids);
            break;
        case DT_I64:
            ((int64_t *)a->data)[i] = t->vocab ? (int64_t)(u * (double)ids) : packed ? time : time + 100000000000;
            break;
        case DT_F32:
            ((float *)a->data)[i] = (float)(u < 0.5);
            break;
        case DT_F64:
            ((double *)a->data)[i] = (double)(u < 0.5);
            break;
        }
    }
    return true;
}

bool batch_generate(const Plan *plan, int64_t batch, const int64_t *lengths, uint64_t seed, Batch *out, Error *e)
{
    *out = (Batch){.batch = batch};
    uint64_t state = random_mix(seed + 1);
    bool ok = add_offsets(plan, out, lengths, e);
    for (int i = 0; ok && i < plan->ntensors; i++) {
        const PlanTensor *t = &plan->tensors[i];
        if (t->role == PT_INPUT && i != plan->row && strncmp(t->name, "opt.", 4) != 0) {
            ok = add_input(plan, t, out, &state, e);
        }
    }
    if (!ok) {
        generated_free(out);
    }
    return ok;
}

void generated_free(Batch *b)
{
    for (int i = 0; i < b->n; i++) {
        free((char *)b->arrays[i].name);
        free(b->arrays[i].data);
    }
    free(b->arrays);
    *b = (Batch){0};
}
