/* Stored values: reading them, running a spec on them, comparing. */
#include "expected.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void expected_fail(Expected *t, const char *what, const char *why)
{
    printf("FAIL %s in %s: %s%s%s\n", t->name, t->options.real == DT_F64 ? "f64" : "f32", what, why[0] ? ": " : "",
           why);
    t->failures++;
}

/* ---- the expected values ---- */

static bool read_line(FILE *f, ExpectedLine *l)
{
    *l = (ExpectedLine){.count = 1};
    if (fscanf(f, "%15s %63s %d", l->kind, l->name, &l->ndim) != 3 || l->ndim < 0 || l->ndim > 5) {
        return false;
    }
    for (int d = 0; d < l->ndim; d++) {
        long long n;
        if (fscanf(f, "%lld", &n) != 1 || n < 0 || n > 100000) {
            return false;
        }
        l->dims[d] = n;
        l->count *= n;
    }
    l->values = calloc((size_t)l->count + 1, sizeof *l->values);
    bool ok = l->values != NULL;
    for (int64_t i = 0; ok && i < l->count; i++) {
        ok = fscanf(f, "%lf", &l->values[i]) == 1;
    }
    return ok;
}

bool expected_read(Expected *t, const char *path)
{
    FILE *f = fopen(path, "r");
    while (f && t->nlines < MAX_EXPECTED && read_line(f, &t->lines[t->nlines])) {
        if (strcmp(t->lines[t->nlines].kind, "batch") == 0) {
            t->batch = (int64_t)t->lines[t->nlines].values[0];
        }
        t->nlines++;
    }
    bool whole = f && feof(f) && t->nlines > 0 && t->batch > 0;
    if (f) {
        fclose(f);
    }
    if (!whole) {
        expected_fail(t, "no expected values", path);
    }
    return whole;
}

const ExpectedLine *expected_line(const Expected *t, const char *kind, const char *name)
{
    for (int i = 0; i < t->nlines; i++) {
        if (strcmp(t->lines[i].kind, kind) == 0 && strcmp(t->lines[i].name, name) == 0) {
            return &t->lines[i];
        }
    }
    return NULL;
}

void expected_free(Expected *t)
{
    for (int i = 0; i < t->nlines; i++) {
        free(t->lines[i].values);
    }
    t->nlines = 0;
}

static bool is_kink(void *ctx, const char *param, int64_t cell)
{
    const ExpectedLine *l = expected_line(ctx, "kinks", param);
    for (int64_t i = 0; l && i < l->count; i++) {
        if ((int64_t)l->values[i] == cell) {
            return true;
        }
    }
    return false;
}

/* ---- running ---- */

Batch expected_batch(const Expected *t, const Model *m)
{
    Batch b = {.batch = t->batch, .arrays = calloc(MAX_EXPECTED, sizeof(Array))};
    for (int i = 0; b.arrays && i < t->nlines; i++) {
        const ExpectedLine *l = &t->lines[i];
        if (strcmp(l->kind, "input") != 0) {
            continue;
        }
        int tensor = plan_find(m->plan, l->name);
        Array *a = &b.arrays[b.n++];
        *a = (Array){.name = strdup(l->name), .ndim = l->ndim};
        a->dtype = tensor < 0 ? DT_I64 : m->plan->tensors[tensor].dtype; /* offsets are no tensor */
        memcpy(a->dims, l->dims, sizeof l->dims);
        a->data = calloc((size_t)l->count + 1, sizeof(double));
        for (int64_t k = 0; a->data && k < l->count; k++) {
            array_set(a, k, l->values[k]);
        }
    }
    return b;
}

/* Every param of the spec has a value in the file. */
bool expected_params(Expected *t, const Model *m, Session *s)
{
    for (int i = 0; i < m->plan->ntensors; i++) {
        const PlanTensor *x = &m->plan->tensors[i];
        Array a = {.dtype = x->dtype, .ndim = 1};
        if (x->role != PT_PARAM) {
            continue;
        }
        const ExpectedLine *l = expected_line(t, "param", x->name);
        a.data = session_param(s, x->name, &a.dims[0]);
        if (!l || l->count != a.dims[0]) {
            expected_fail(t, "the expected values lack or misshape param", x->name);
            return false;
        }
        for (int64_t k = 0; k < l->count; k++) {
            array_set(&a, k, l->values[k]);
        }
    }
    return true;
}

static void compare(Expected *t, const Model *m, Session *s, double bound)
{
    for (int i = 0; i < m->plan->ntensors; i++) {
        const PlanTensor *x = &m->plan->tensors[i];
        Array a;
        Error e = {0};
        if (x->role != PT_OUTPUT) {
            continue;
        }
        const ExpectedLine *l = expected_line(t, "output", x->name);
        if (!l) {
            expected_fail(t, "no value is expected for output", x->name);
        } else if (!session_fetch(s, x->name, &a, &e)) {
            expected_fail(t, x->name, e.text);
        } else {
            if (array_count(&a) != l->count) {
                expected_fail(t, "another number of values is expected of", x->name);
            }
            for (int64_t k = 0; array_count(&a) == l->count && k < l->count; k++) {
                double have = array_get(&a, k), want = l->values[k];
                if (!(fabs(have - want) <= bound * fmax(1, fabs(want)))) {
                    char text[200];
                    snprintf(text, sizeof text, "%s[%lld] is %.12g, expected %.12g", x->name, (long long)k, have, want);
                    expected_fail(t, "value", text);
                    break;
                }
            }
            free(a.data);
        }
    }
    for (int i = 0; i < t->nlines; i++) {
        if (strcmp(t->lines[i].kind, "output") == 0 && plan_find(m->plan, t->lines[i].name) < 0) {
            expected_fail(t, "the spec does not compute", t->lines[i].name);
        }
    }
}

Model *expected_compile(Expected *t, Form form)
{
    Text why = {0};
    Model *m = model_compile(&t->options, form, &why);
    if (!m) {
        expected_fail(t, form_name[form], why.s ? why.s : "not compiled");
    }
    text_free(&why);
    return m;
}

void expected_check(Expected *t, const Model *m, double bound32, int cells)
{
    Error e = {0};
    bool is_double = t->options.real == DT_F64;
    Session *s = session_new(m->plan, t->pool, 1, &e);
    if (s && expected_params(t, m, s)) {
        Batch b = expected_batch(t, m);
        if (!session_run(s, &b, 1, &e)) {
            expected_fail(t, "run", e.text);
        } else {
            compare(t, m, s, is_double ? 1e-10 : bound32);
            Comparison c = model_oracle(m, s, &b, 1);
            if (is_double && (c.error[0] || !(c.worst <= 1e-10))) {
                expected_fail(t, "interpreter", c.error[0] ? c.error : c.where);
            }
            if (is_double && model_differences(m, s, &b, cells, is_kink, t) > 0) {
                expected_fail(t, "gradients and differences disagree", "");
            }
        }
        batch_drop(&b);
    }
    if (!s) {
        expected_fail(t, "no session", e.text);
    }
    session_free(s);
}

void expected_run(Expected *t, DType real, double bound32, int cells)
{
    t->options.real = real;
    Model *m = expected_compile(t, FORM_GRADS);
    if (m) {
        expected_check(t, m, bound32, cells);
    }
    model_free(m);
}
