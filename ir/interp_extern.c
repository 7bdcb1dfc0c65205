/* Externs in the oracle: the example's cells of every tensor are laid out as the C function sees them and the caller's
 * hook calls it. Each output's equation makes the call anew and keeps its own output: slow, and obviously right. */
#include "interp_private.h"

#include <stdlib.h>

enum { TENSORS = 2 * MAX_EXTERN_INPUTS + 1, SIZES = TENSORS * MAX_DIMS };

typedef struct {
    const Tensor *t[TENSORS];
    double *values[TENSORS]; /* packed: example after example */
    int64_t count[TENSORS];
    int n;
    const Axis *axes[SIZES]; /* ragged ones, in order of first appearance */
    int naxes;
} Blocks;

void interp_externs(Interp *in, InterpExtern call, void *ctx)
{
    in->call = call;
    in->call_ctx = ctx;
}

static bool add_tensor(Interp *in, Blocks *b, const Tensor *t, bool is_input)
{
    int k = b->n++;
    b->t[k] = t;
    b->count[k] = interp_count(in, t);
    b->values[k] = b->count[k] < 0 ? NULL : calloc((size_t)b->count[k] + 1, sizeof(double));
    for (int d = 0; d < t->ndim; d++) {
        bool known = !axis_is_ragged(t->dims[d]);
        for (int a = 0; a < b->naxes; a++) {
            known = known || b->axes[a] == t->dims[d];
        }
        if (!known) {
            b->axes[b->naxes++] = t->dims[d];
        }
    }
    return b->values[k] != NULL && (!is_input || interp_get(in, t, b->count[k], b->values[k]));
}

/* Cells of one example. */
static int64_t block_size(Interp *in, const Tensor *t, int64_t example)
{
    int64_t n = 1;
    for (int d = t->per_example; d < t->ndim; d++) {
        n *= interp_length(in, t->dims[d], example, 0, NULL);
    }
    return n;
}

static void call_examples(Interp *in, const Equation *e, Blocks *b)
{
    int64_t examples = e->dst->per_example ? in->batch : 1, sizes[SIZES];
    double *at[TENSORS];
    for (int k = 0; k < b->n; k++) {
        at[k] = b->values[k];
    }
    for (int64_t x = 0; x < examples && !in->failed; x++) {
        for (int a = 0; a < b->naxes; a++) {
            sizes[a] = interp_length(in, b->axes[a], x, 0, NULL);
        }
        if (!in->call(in->call_ctx, e->body->ext, b->n, at, b->naxes, sizes)) {
            interp_fail(in, "extern %s cannot be called", e->body->ext->symbol);
        }
        for (int k = 0; k < b->n; k++) {
            at[k] += b->t[k]->per_example ? block_size(in, b->t[k], x) : 0;
        }
    }
}

void interp_run_extern(Interp *in, const Equation *e)
{
    const Extern *x = e->body->ext;
    Blocks b = {0};
    bool ok = true;
    if (in->call == NULL) {
        interp_fail(in, "extern %s: nobody said how to call it", x->symbol);
        return;
    }
    for (int k = 0; k < e->body->nargs; k++) {
        ok = add_tensor(in, &b, e->body->args[k]->tensor, true) && ok;
    }
    for (int k = 0; k < x->nout; k++) {
        ok = add_tensor(in, &b, x->out[k], false) && ok;
    }
    if (ok) {
        call_examples(in, e, &b);
    }
    int own = e->body->nargs + (int)e->body->inum;
    if (ok && !in->failed && interp_set(in, e->dst, b.count[own], b.values[own])) {
        in->cells[e->dst->id].given = false; /* computed: the next run computes it again */
    }
    for (int k = 0; k < b.n; k++) {
        free(b.values[k]);
    }
}
