/* Params between sessions and safetensors files: by name, shapes checked, nothing silently skipped. */
#include "driver.h"
#include <stdlib.h>
#include <string.h>

static int64_t dim_size(const Plan *p, const PlanTensor *t, int d)
{
    return p->axes[t->dims[d]].size;
}

/* A dim over a table axis and its parent are one combined dim of the stored shape: rows in parent order. */
static int stored_shape(const Plan *p, const PlanTensor *t, int64_t dims[PLAN_DIMS])
{
    int n = 0;
    for (int d = 0; d < t->ndim; d++) {
        bool has_child = d + 1 < t->ndim && p->axes[t->dims[d + 1]].kind == PAX_TABLE &&
                         p->axes[t->dims[d + 1]].parent == t->dims[d];
        if (!has_child) {
            dims[n++] = dim_size(p, t, d);
        }
    }
    return n;
}

static void shape_text(char *out, size_t size, int n, const int64_t *dims)
{
    size_t at = (size_t)snprintf(out, size, "[");
    for (int i = 0; i < n && at < size; i++) {
        at += (size_t)snprintf(out + at, size - at, "%s%lld", i ? ", " : "", (long long)dims[i]);
    }
    if (at < size) {
        snprintf(out + at, size - at, "]");
    }
}

static void convert(void *to, DType to_type, const void *from, DType from_type, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        double v = from_type == DT_F64 ? ((const double *)from)[i] : (double)((const float *)from)[i];
        if (to_type == DT_F64) {
            ((double *)to)[i] = v;
        } else {
            ((float *)to)[i] = (float)v;
        }
    }
}

static const Array *file_find(TensorFile *f, const char *name)
{
    for (int i = 0; i < tensor_file_count(f); i++) {
        const Array *a = tensor_file_array(f, i);
        if (a && strcmp(a->name, name) == 0) {
            return a;
        }
    }
    return NULL;
}

bool weights_load(Session *s, const Plan *plan, TensorFile *f, Error *e)
{
    for (int i = 0; i < plan->ntensors; i++) {
        const PlanTensor *t = &plan->tensors[i];
        if (t->role != PT_PARAM) {
            continue;
        }
        const Array *a = file_find(f, t->name);
        if (!a) {
            return error_set(e, EXIT_DATA, "the weights have no tensor '%s' (%s:%d): they belong to another spec or variant",
                             t->name, t->file ? t->file : "spec", t->line);
        }
        int64_t want[PLAN_DIMS];
        int n = stored_shape(plan, t, want);
        if (a->ndim != n || memcmp(a->dims, want, (size_t)n * sizeof *want) != 0) {
            char have_text[128], want_text[128];
            shape_text(have_text, sizeof have_text, a->ndim, a->dims);
            shape_text(want_text, sizeof want_text, n, want);
            return error_set(e, EXIT_DATA, "tensor '%s' is %s in the weights, %s in the spec: check -D and --variant",
                             t->name, have_text, want_text);
        }
        if (a->dtype != DT_F32 && a->dtype != DT_F64) {
            return error_set(e, EXIT_DATA, "tensor '%s' of the weights holds integers, not numbers of a float type", t->name);
        }
        int64_t count;
        void *to = session_param(s, t->name, &count);
        convert(to, t->dtype, a->data, a->dtype, count);
    }
    return true;
}

bool weights_save(Session *s, const Plan *plan, const char *path, const char *const *meta, Error *e)
{
    Array *arrays = calloc((size_t)plan->ntensors + 1, sizeof *arrays);
    if (!arrays) {
        return error_set(e, EXIT_RESOURCES, "out of memory");
    }
    int n = 0;
    for (int i = 0; i < plan->ntensors; i++) {
        const PlanTensor *t = &plan->tensors[i];
        if (t->role == PT_PARAM) {
            int64_t count;
            Array *a = &arrays[n++];
            *a = (Array){.name = t->name, .dtype = t->dtype, .data = session_param(s, t->name, &count)};
            a->ndim = stored_shape(plan, t, a->dims);
        }
    }
    bool ok = tensor_file_write(path, n, arrays, meta, e);
    free(arrays);
    return ok;
}

bool weights_copy(Session *to, const Plan *to_plan, Session *from, const Plan *from_plan, Error *e)
{
    for (int i = 0; i < to_plan->ntensors; i++) {
        const PlanTensor *t = &to_plan->tensors[i];
        if (t->role != PT_PARAM) {
            continue;
        }
        int64_t n, m;
        void *dst = session_param(to, t->name, &n);
        const void *src = session_param(from, t->name, &m);
        if (!src || n != m) {
            return error_set(e, EXIT_SPEC, "param '%s' of the rank section is not one of the training step", t->name);
        }
        convert(dst, t->dtype, src, from_plan->tensors[plan_find(from_plan, t->name)].dtype, n);
    }
    return true;
}
