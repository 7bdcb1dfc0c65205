/* A spec against values that PyTorch computed for it (NAME.expect, written by the reference.py beside it).
 *
 * A file holds a batch, params, and the outputs, loss and gradients to expect. A line is: kind, name, number of dims,
 * dims, values; kinds are batch, input (also draws given by name), param, output, and kinks: cells of a param whose
 * derivative is one by convention. The file must hold every param and every output of the spec, and no others. */
#ifndef HEDDLE_TEST_EXPECTED_H
#define HEDDLE_TEST_EXPECTED_H

#include "model.h"

enum { MAX_EXPECTED = 160 };

typedef struct {
    char kind[16], name[64];
    int ndim;
    int64_t dims[5], count;
    double *values;
} ExpectedLine;

typedef struct {
    const char *name;
    ModelOptions options; /* options.real: the precision at hand */
    ExpectedLine lines[MAX_EXPECTED];
    int nlines;
    int64_t batch;
    Pool *pool;
    int failures;
} Expected;

bool expected_read(Expected *t, const char *path); /* false: the failure is counted and printed */
void expected_free(Expected *t);
const ExpectedLine *expected_line(const Expected *t, const char *kind, const char *name);
Batch expected_batch(const Expected *t, const Model *m);
bool expected_params(Expected *t, const Model *m, Session *s);
Model *expected_compile(Expected *t, Form form);
void expected_fail(Expected *t, const char *what, const char *why);

/* Compiled against the file to 1e-10 of max(1, |value|) in f64 and `bound32` in f32; in f64 also against the
 * interpreter (1e-10) and central differences (1e-6) of at most `cells` cells of each param. */
void expected_run(Expected *t, DType real, double bound32, int cells);
/* The same for what is compiled already: FORM_GRADS with t->options. */
void expected_check(Expected *t, const Model *m, double bound32, int cells);

#endif
