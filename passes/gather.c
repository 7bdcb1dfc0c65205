/* gather: what a model reads through ids is gathered, or summed, no more often than the ids name. Needs: batch. Breaks:
 * nothing. Before differentiate, so that gradients follow from it. Two rules, both by size:
 *
 *  - Rows that are the same for all examples, read by a sum over and over, become a value of their own, and the sum a
 *    matrix product; their gradient is one too, and only its few rows are scattered:
 *        s[b,i,m] sum= out[b,i,d] * emb[neg[m],d]    =>  emb.at[m,d] = emb[neg[m],d],  s sum= out * emb.at[m,d]
 *
 *  - A cell that ids pick out of a large value is computed where it is read, a sum as a value of its own; so the
 *    large value need not be there as a whole, nor a gradient that is 0 but for the cells that were picked:
 *        nll[b,i] = lse[b,i] - logit[b,i,nxt[b,i]]   =>  logit.at[b,i] sum= out[b,i,d] * emb[nxt[b,i],d]
 */
#include "intervals.h"
#include "rewrite.h"

/* LEAST_USES: of each gathered value, or cells there are for each that is picked. */
enum { LEAST_USES = 8 };

typedef struct {
    Graph *g;
    Equation ***defs;
    Order order;
    Equation *e; /* the reader */
    bool is_safe;
} Gather;

static void note_load(const Scalar *s, void *ctx)
{
    *(bool *)ctx |= s->op == OP_LOAD;
}

/* Some index is found through data. */
static bool is_gather(const Scalar *load)
{
    bool found = false;
    for (int k = 0; k < load->nargs; k++) {
        sc_walk(load->args[k], note_load, &found);
    }
    return found;
}

static void look_at_load(const Scalar *load, void *ctx)
{
    void **at = ctx;
    int which;
    *(bool *)at[1] &= prover_in_range(at[0], load, &which);
}

/* All that it reads lies in range without a condition. */
static bool is_in_range(Graph *g, const Equation *e)
{
    bool ok = true;
    Prover *f = prover_new(g, e, 0);
    equation_loads(e, look_at_load, (void *[]){f, &ok});
    prover_free(f);
    return ok;
}

/* A value of its own over the letters `set` of x->e: body, in the letters of d, which are those and `summed`, which
 * are summed. NULL: there can be no such value. */
static Scalar *make_value(Gather *x, Draft *d, unsigned set, unsigned summed, Scalar *body, const char *name)
{
    Graph *g = x->g;
    int dims[MAX_DIMS], n = letters_as_dims(x->e, set, dims);
    if (n < 0) {
        return NULL;
    }
    Tensor proto = {.elem = ELEM_REAL, .role = ROLE_VALUE, .ndim = n, .span = x->e->span, .lo = 0, .hi = -1};
    proto.per_example = n > 0 && x->e->letters[dims[0]].axis->kind == AXIS_BATCH;
    proto.name = unused_name(g, name, "at");
    Scalar *index[MAX_DIMS];
    for (int k = 0; k < n; k++) {
        proto.dims[k] = x->e->letters[dims[k]].axis;
        d->e.lhs[k] = index[k] = sc_letter(g, dims[k]);
    }
    for (int l = 0; l < d->e.nletters; l++) {
        d->gone[l] = !((set | summed) >> l & 1);
    }
    d->conds = NULL;
    d->nconds = 0;
    d->e.op = summed ? RED_SUM : RED_NONE;
    d->e.body = body;
    d->e.dst = graph_tensor(g, proto);
    Equation *made = draft_commit(d);
    return is_in_range(g, made) ? sc_load(g, d->e.dst, n, index) : NULL; /* what nobody reads will be dropped */
}

/* ---- rows that are gathered once ---- */

static Scalar *gather_once(Graph *g, Scalar *s, void *ctx)
{
    Gather *x = ctx;
    const Equation *e = x->e;
    if (s->op != OP_LOAD || s->type != TYPE_REAL || s->tensor->elem != ELEM_REAL || !is_gather(s)) {
        return s;
    }
    unsigned all = (1u << e->nletters) - 1, set = equation_with_parents(e, sc_letters(s));
    for (int l = 0; l < e->nletters; l++) {
        if (set >> l & 1 && e->letters[l].axis->kind == AXIS_BATCH) {
            return s;
        }
    }
    for (int k = 0; x->defs[s->tensor->id] && x->defs[s->tensor->id][k]; k++) {
        if (x->order.in_cycle[x->defs[s->tensor->id][k]->id]) {
            return s;
        }
    }
    if (set == 0 || letters_extent(e, all & ~set) < LEAST_USES) {
        return s;
    }
    Draft d = draft_from(g, e);
    Scalar *load = make_value(x, &d, set, 0, s, s->tensor->name);
    return load ? load : s;
}

/* ---- cells that are picked ---- */

/* Letters of the definition as they are where cell s is read: summed ones are added to the draft, their set is
 * returned. 0: it has none, or a list that is summed has no letter that it can be read at. */
static unsigned bind_letters(const Equation *def, const Scalar *s, Draft *d, Scalar **map)
{
    unsigned summed = 0;
    for (int k = 0; k < def->dst->ndim; k++) {
        map[def->lhs[k]->inum] = s->args[k];
    }
    for (int l = 0; l < def->nletters; l++) {
        if (map[l]) {
            continue;
        }
        Letter letter = def->letters[l];
        if (d->e.nletters == MAX_LETTERS) {
            return 0;
        }
        if (letter.parent >= 0) {
            const Scalar *at = map[letter.parent];
            if (!at || at->op != OP_LETTER) {
                return 0;
            }
            letter.parent = (int)at->inum;
        }
        int n = draft_letter(d, letter);
        map[l] = sc_letter(d->graph, n);
        summed |= 1u << n;
    }
    return summed;
}

static Scalar *pick_cell(Graph *g, Scalar *s, void *ctx)
{
    Gather *x = ctx;
    if (s->op != OP_LOAD || s->tensor->role != ROLE_VALUE || s->tensor->elem != ELEM_REAL || s->tensor->is_draw ||
        !is_gather(s) || !x->defs[s->tensor->id] || x->defs[s->tensor->id][1]) {
        return s;
    }
    const Equation *def = x->defs[s->tensor->id][0];
    if ((def->op != RED_NONE && def->op != RED_SUM) || def->nconds > 0 || equation_is_extern(def) ||
        !equation_covers(def) || x->order.in_cycle[def->id] || x->order.in_cycle[x->e->id]) {
        return s;
    }
    unsigned set = equation_with_parents(x->e, sc_letters(s)), outputs = 0;
    for (int k = 0; k < def->dst->ndim; k++) {
        outputs |= 1u << def->lhs[k]->inum;
    }
    if (letters_extent(x->e, set) * LEAST_USES > letters_extent(def, outputs)) {
        return s;
    }
    Draft d = draft_from(g, x->e);
    Scalar *map[MAX_LETTERS] = {0};
    unsigned summed = bind_letters(def, s, &d, map);
    if ((summed != 0) != (def->op == RED_SUM)) {
        return s;
    }
    Scalar *body = fold_substitute(g, def->body, def->nletters, map);
    if (!summed) { /* what it reads may be picked in turn */
        return sc_rewrite(g, body, pick_cell, x);
    }
    Scalar *load = make_value(x, &d, set, summed, body, s->tensor->name);
    return load ? load : s;
}

void pass_gather(Graph *g)
{
    if (!g->batched) {
        return;
    }
    Gather x = {.g = g, .defs = equations_by_tensor(g), .order = order_equations(g)};
    int n = g->nequations;
    bool changed = false;
    for (int i = 0; i < n; i++) {
        Equation *e = x.e = g->equations[i];
        Scalar *before = e->body;
        if (equation_is_extern(e)) {
            continue;
        }
        e->body = sc_rewrite(g, e->body, pick_cell, &x);
        if (e->op == RED_SUM) {
            e->body = sc_rewrite(g, e->body, gather_once, &x);
        }
        changed |= e->body != before;
    }
    if (changed) {
        graph_reorder(g);
        merge_equal_equations(g);
        drop_dead_equations(g);
    }
}
