/* Specs for tests: one form of a spec compiled, the plain graph of the same form for the oracle, and batches that
 * depend on nothing but the ids of their rows.
 *
 *   Model *m = model_compile(&(ModelOptions){.spec = path, .std_dir = std, .real = DT_F64}, FORM_GRADS, &why);
 *   Session *s = session_new(m->plan, pool, 1, &e);
 *   model_fill(m, s, 7);                                   every param nonzero
 *   Batch b = batch_of(m, 3, (int64_t[]){0, 1, 2});        rows 0, 1, 2 have the least length, 1 and the bound
 *   session_run(s, &b, 1, &e);
 *   Comparison c = model_oracle(m, s, &b, 1);              every output against the interpreter */
#ifndef HEDDLE_TEST_MODEL_H
#define HEDDLE_TEST_MODEL_H

#include "codegen.h"
#include "frontend.h"
#include "oracle.h"
#include "passes.h"

typedef enum {
    FORM_GRADS, /* training without noise, every gradient an output, no update */
    FORM_NOISY, /* the same with noise: dropout and draws as in training */
    FORM_STEP,  /* a training step with its update */
    FORM_RANK
} Form;
extern const char *const form_name[];

typedef struct {
    const char *spec, *std_dir, *variant;
    int ndefines;
    const Define *defines; /* hypers, axis sizes, and sizes of vocabularies */
    DType real;
    Products products;
    const char *cpu;
    int noutputs; /* wanted beside the declared ones */
    const char *const *outputs;
    const int64_t *field_sizes; /* vocabularies of the three fields of a group; NULL: 4, 3, 5 */
} ModelOptions;

typedef struct {
    Arena *arena;
    Diag *diag;
    Graph *plain; /* after batch (and differentiate) alone */
    Plan *plan;   /* after all passes */
    uint64_t seed;
} Model;

/* The graph of a form as the front end makes it; NULL: errors in diag. */
Graph *model_lower(const ModelOptions *o, Form form, Arena *arena, Diag *diag);
Model *model_compile(const ModelOptions *o, Form form, Text *why); /* NULL: why holds the diagnostics */
void model_free(Model *m);                                         /* NULL is fine */

/* Params between -0.6 and 0.6 and away from 0, whatever their initialisers: a bias that starts at 0 hides mistakes. */
void model_fill(const Model *m, Session *s, uint64_t seed);

/* Examples with the given row ids. What an example holds depends on its id and the declarations alone. Lengths: id 0
 * has the least, 1 one, 2 the bound, others something between. Vocabulary ids are uniform, times ascend, labels and
 * other numbers are random. Free with batch_drop. */
Batch batch_of(const Model *m, int64_t n, const int64_t *rows);
void batch_drop(Batch *b);

/* Runs the session at `step` and compares every output and every state of the model with the interpreter on the plain
 * graph. */
Comparison model_oracle(const Model *m, Session *s, const Batch *b, uint64_t step);

/* Central differences of the loss by some cells of every param (at most `cells` each), run through the compiled plan
 * (f64); returns how many gradients are off by more than 1e-6 of max(1, |difference|), printing them. Cells for which
 * is_kink (may be NULL) says so are left out. */
int model_differences(const Model *m, Session *s, const Batch *b, int cells,
                      bool (*is_kink)(void *ctx, const char *param, int64_t cell), void *ctx);

/* Element of an array as a double, and the other way round. */
double array_get(const Array *a, int64_t i);
void array_set(const Array *a, int64_t i, double v);
int64_t array_count(const Array *a);

#endif
