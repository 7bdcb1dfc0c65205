/* Whether the cells of a tensor that no equation reaches are ever looked at. They hold 0, and somebody has to put it
 * there; for a value that is made anew with every tile that is a good part of the work, and mostly nobody reads it:
 * what multiplies a score under a mask goes over the same mask.
 *
 * A load is of a present cell if, for each member that its constant indices allow, the conditions of one of the
 * member's definitions, with the load's indices in place of the letters, follow from the conditions of the equation
 * that has it; and so does that it is of no member (a channel of attention that is computed otherwise) without a
 * definition. A member has several where its domain is one interval or another. */
#include "fault.h"
#include "intervals.h"
#include "rewrite.h"

typedef struct {
    Graph *g;
    const Tensor *t;
    Equation *const *defs;
    int ndefs;
    const Equation *reader;
    int fixed;     /* the dim at which the definitions have constants, or -1 */
    Prover *facts; /* of the reader; made for the first load of t */
    bool ok;
} Present;

/* The constant that an index is, if it is one. */
static bool constant_at(const Scalar *index, int64_t *value)
{
    if (index->op == OP_CONST) {
        *value = index->inum;
        return true;
    }
    return false;
}

/* The index at dim d is a letter of its own, over the whole dim. */
static bool runs_over(const Equation *def, int d)
{
    const Scalar *at = def->lhs[d];
    for (int k = 0; k < d; k++) {
        if (def->lhs[k] == at) {
            return false;
        }
    }
    return at->op == OP_LETTER && def->letters[at->inum].axis == def->dst->dims[d];
}

/* Whether each definition is of whole dims, but for one of which all have a member: finds that one. */
static bool split_by_members(Present *p)
{
    int fixed = -1;
    for (int d = 0; d < p->t->ndim; d++) {
        for (int k = 0; k < p->ndefs; k++) {
            int64_t c;
            if (!constant_at(p->defs[k]->lhs[d], &c)) {
                if (fixed == d || !runs_over(p->defs[k], d)) {
                    return false;
                }
                continue;
            }
            if ((fixed >= 0 && fixed != d) || (fixed < 0 && k > 0)) {
                return false;
            }
            fixed = d;
        }
    }
    p->fixed = fixed;
    return fixed < 0 || axis_bound(p->t->dims[fixed]) > 0;
}

/* The member that a definition is of; 0 where none has one. */
static int64_t member_of(const Present *p, const Equation *def)
{
    return p->fixed >= 0 ? def->lhs[p->fixed]->inum : 0;
}

/* Whether a load never is of a member that nobody defines. */
static bool avoids_missing_members(const Present *p, const Scalar *load)
{
    for (int64_t m = 0; p->fixed >= 0 && m < axis_bound(p->t->dims[p->fixed]); m++) {
        bool defined = false;
        for (int k = 0; k < p->ndefs; k++) {
            int64_t c;
            defined = defined || (constant_at(p->defs[k]->lhs[p->fixed], &c) && c == m);
        }
        if (!defined && !prover_holds(p->facts, sc_op(p->g, OP_ne, load->args[p->fixed], sc_int(p->g, m)))) {
            return false;
        }
    }
    return true;
}

/* Whether a definition reaches the cell that is loaded. */
static bool reaches(const Present *p, const Equation *def, const Scalar *load)
{
    Scalar *map[MAX_LETTERS] = {0};
    bool ok = true;
    for (int d = 0; d < p->t->ndim; d++) {
        if (def->lhs[d]->op == OP_LETTER) {
            map[def->lhs[d]->inum] = load->args[d];
        }
    }
    for (int i = 0; i < def->nconds && ok; i++) {
        for (int l = 0; l < def->nletters; l++) {
            ok = ok && (map[l] || !sc_uses_letter(def->conds[i], l));
        }
        ok = ok && prover_holds(p->facts, fold_substitute(p->g, def->conds[i], def->nletters, map));
    }
    return ok;
}

static void look_at_load(const Scalar *load, void *ctx)
{
    Present *p = ctx;
    if (load->tensor != p->t || !p->ok || FAULT(42)) {
        return;
    }
    p->facts = p->facts ? p->facts : prover_new(p->g, p->reader, p->reader->nconds);
    p->ok = avoids_missing_members(p, load);
    const Scalar *at = p->fixed >= 0 ? load->args[p->fixed] : NULL;
    for (int k = 0; k < p->ndefs && p->ok; k++) {
        int64_t member = member_of(p, p->defs[k]);
        bool reached = at && at->op == OP_CONST && at->inum != member; /* or rather, of another member */
        for (int i = 0; i < p->ndefs && !reached; i++) {
            reached = member_of(p, p->defs[i]) == member && reaches(p, p->defs[i], load);
        }
        p->ok = reached;
    }
}

bool reads_present_cells(Graph *g, const Tensor *t, int n, Equation *const *equations)
{
    Present p = {.g = g, .t = t, .fixed = -1, .ok = true};
    Equation **defs = NULL;
    for (int i = 0; i < n; i++) {
        if (equations[i]->dst == t) {
            ARENA_PUSH(g->arena, defs, p.ndefs, equations[i]);
        }
    }
    p.defs = defs;
    p.ok = split_by_members(&p);
    for (int i = 0; i < n && p.ok; i++) {
        p.reader = equations[i];
        equation_loads(equations[i], look_at_load, &p);
        if (p.facts) {
            prover_free(p.facts);
            p.facts = NULL;
        }
    }
    return p.ok;
}
