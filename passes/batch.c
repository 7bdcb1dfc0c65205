/* batch: the spec speaks of one example; here the examples come in. Needs: every equation complete. Keeps: spans,
 * names, values. Breaks: letter numbers, dims of per-example tensors.
 *
 * Each equation has one letter that stands for "the example it speaks of", its example letter:
 *  - an equation that defines a per-example tensor gets a new letter over the batch, number 0 and lhs[0];
 *  - an equation that reduces over the batch (mean[batch, i] ...) and defines something that is the same for all
 *    examples already has it: the reduced letter;
 *  - an equation of params alone has none and needs none.
 * Loads of per-example tensors, sizes and operators of ragged axes and letters over ragged axes are then read at
 * that letter; x@c names another example itself. */
#include "fault.h"
#include "rewrite.h"

#include "ptrmap.h"

#include <string.h>

typedef struct {
    const Equation *e;
    int example; /* its letter, -1: none */
    int shift;   /* 1 if a letter was put in front */
} Batching;

static Scalar *example_of(Graph *g, const Batching *b, const char *what)
{
    if (b->example < 0) {
        bug("the equation for '%s' has no example and reads %s", b->e->dst->name, what);
    }
    return sc_letter(g, b->example);
}

static Scalar *batch_node(Graph *g, const Scalar *old, Scalar *const *args, const Batching *b)
{
    Scalar *more[MAX_LETTERS + 2];
    memcpy(more + 1, args, (size_t)old->nargs * sizeof *more);
    switch (old->op) {
    case OP_LETTER:
        return sc_letter(g, (int)old->inum + b->shift);
    case OP_SELF:
        return example_of(g, b, "its own number");
    case OP_LOAD:
        if (!old->tensor->per_example || old->at) {
            return sc_load(g, old->tensor, old->nargs, args);
        }
        more[0] = example_of(g, b, old->tensor->name);
        return sc_load(g, old->tensor, old->nargs + 1, more);
    case OP_SIZE:
        if (!axis_is_ragged(old->axis) || old->nargs > axis_nparents(old->axis)) {
            return sc_size(g, old->axis, old->nargs, args);
        }
        more[0] = example_of(g, b, old->axis->name);
        return sc_size(g, old->axis, old->nargs + 1, more);
    case OP_PART:
    case OP_LOCAL:
    case OP_INJECT:
        if (!axis_is_ragged(old->axis) || old->nargs > 1) {
            return sc_axis_op(g, old->op, old->axis, (int)old->inum, old->nargs, args);
        }
        more[2] = example_of(g, b, old->axis->name);
        return sc_axis_op(g, old->op, old->axis, (int)old->inum, 2, more + 1);
    case OP_RAND:
        if (old->by_step) {
            return sc_rand(g, old->name, true, old->nargs, args);
        }
        more[0] = example_of(g, b, "a random number of its own");
        more[0] = sc_load(g, g->row, 1, more);
        return sc_rand(g, old->name, false, old->nargs + 1, more);
    default:
        return sc_rebuild(g, old, args);
    }
}

/* Not sc_rewrite: loads change their number of indices, so every node is built anew. */
static Scalar *batch_scalar(Graph *g, Scalar *s, const Batching *b, PtrMap *done)
{
    void **known = ptrmap_at(done, s);
    if (*known) {
        return *known;
    }
    Scalar *args[MAX_LETTERS + 2];
    for (int i = 0; i < s->nargs; i++) {
        args[i] = batch_scalar(g, s->args[i], b, done);
    }
    Scalar *out = sc_with_span(g, batch_node(g, s, args, b), s->span);
    *ptrmap_at(done, s) = out;
    return out;
}

static void batch_equation(Graph *g, Equation *e)
{
    Batching b = {.e = e, .example = -1, .shift = e->dst->per_example};
    Equation out = *e;
    if (b.shift) {
        if (e->nletters == MAX_LETTERS) {
            bug("the equation for '%s' needs more than %d letters", e->dst->name, MAX_LETTERS);
        }
        memmove(out.letters + 1, e->letters, (size_t)e->nletters * sizeof *out.letters);
        out.letters[0] = (Letter){.axis = g->batch, .name = "b", .parent = -1};
        out.nletters++;
        b.example = 0;
    } else {
        for (int k = 0; k < e->nletters && b.example < 0; k++) {
            if (e->letters[k].axis == g->batch) {
                b.example = k;
            }
        }
    }
    for (int k = b.shift; k < out.nletters; k++) {
        Letter *l = &out.letters[k];
        if (l->parent >= 0) {
            l->parent += FAULT(8) ? 0 : b.shift;
        } else if (axis_is_ragged(l->axis)) {
            example_of(g, &b, l->axis->name);
            l->parent = b.example;
        }
    }
    for (int k = b.shift; k < out.nletters;
         k++) { /* a list per element of a fixed axis: its letter names the example */
        const Letter *l = &out.letters[k];
        if (axis_is_ragged(l->axis) && l->parent >= b.shift && out.letters[l->parent].axis->kind == AXIS_FIXED) {
            example_of(g, &b, l->axis->name);
            out.letters[l->parent].parent = b.example;
        }
    }
    PtrMap done = {0};
    for (int k = 0; k < e->dst->ndim - b.shift; k++) { /* the tensor has its batch dim already */
        out.lhs[k + b.shift] = batch_scalar(g, e->lhs[k], &b, &done);
    }
    if (b.shift) {
        out.lhs[0] = sc_letter(g, 0);
    }
    Scalar **conds = arena_alloc(g->arena, (size_t)(e->nconds + 1) * sizeof *conds);
    for (int i = 0; i < e->nconds; i++) {
        conds[i] = batch_scalar(g, e->conds[i], &b, &done);
    }
    out.conds = conds;
    out.body = batch_scalar(g, e->body, &b, &done);
    ptrmap_free(&done);
    *e = out;
}

void pass_batch(Graph *g)
{
    if (g->batched) {
        return;
    }
    for (int i = 0; i < g->ntensors; i++) {
        Tensor *t = g->tensors[i];
        if (!t->per_example) {
            continue;
        }
        if (t->ndim == MAX_DIMS) {
            diag_report(g->diag, DIAG_ERROR, "E0150", t->span, NULL, "'%s' has more than %d axes", t->name,
                        MAX_DIMS - 1);
            return;
        }
        memmove(t->dims + 1, t->dims, (size_t)t->ndim * sizeof *t->dims);
        t->dims[0] = g->batch;
        t->ndim++;
    }
    g->batched = true;
    for (int i = 0; i < g->nequations; i++) {
        batch_equation(g, g->equations[i]);
    }
}
