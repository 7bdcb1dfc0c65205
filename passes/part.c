/* What passes share that make an equation of its own of a part of another: its letters as dims, what they stand for, a
 * name, the conditions that the part can keep. */
#include "intervals.h"
#include "rewrite.h"

enum { LIST_GUESS = 64 };

double letters_extent(const Equation *e, unsigned set)
{
    double n = 1;
    for (int l = 0; l < e->nletters; l++) {
        if (set >> l & 1) {
            const Axis *a = e->letters[l].axis;
            int64_t size = axis_bound(a);
            n *= size < 0 ? LIST_GUESS : axis_is_ragged(a) ? 1 + (double)size / 2 : (double)size;
        }
    }
    return n;
}

int letters_as_dims(const Equation *e, unsigned set, int *dims)
{
    int n = 0;
    for (int rank = 0; rank < 3; rank++) {
        for (int l = 0; l < e->nletters; l++) {
            const Axis *a = e->letters[l].axis;
            int r = a->kind == AXIS_BATCH ? 0 : axis_is_ragged(a) ? 1 : 2;
            if (set >> l & 1 && r == rank) {
                if (n == MAX_DIMS || (r == 0 && n > 0)) {
                    return -1;
                }
                dims[n++] = l;
            }
        }
    }
    return n;
}

const char *unused_name(Graph *g, const char *name, const char *suffix)
{
    const char *s = arena_printf(g->arena, "%s.%s", name, suffix);
    for (int k = 2; graph_find(g, s); k++) {
        s = arena_printf(g->arena, "%s.%s%d", name, suffix, k);
    }
    return s;
}

bool draft_has_cond(const Draft *d, const Scalar *cond)
{
    for (int i = 0; i < d->nconds; i++) {
        if (d->conds[i] == cond) {
            return true;
        }
    }
    return false;
}

bool draft_keep_conds(Draft *d, const Equation *e, unsigned letters, const Scalar *body)
{
    d->conds = NULL;
    d->nconds = 0;
    Prover *facts = prover_new(d->graph, e, 0);
    for (int i = 0; i < e->nconds; i++) {
        unsigned used = equation_with_parents(e, sc_letters(e->conds[i]));
        if (!(used & ~letters) && prover_is_safe(facts, e->conds[i])) {
            draft_cond(d, e->conds[i]);
            prover_assume(facts, e->conds[i], true);
        }
    }
    bool safe = !body || prover_is_safe(facts, body);
    prover_free(facts);
    return safe;
}
