/* prefix: sums weighted by a step function of an ascending list become sums over its runs. Needs: batch. Before
 * differentiate, so that gradients follow by the ordinary rule.
 *
 *     o[b,i,f] sum= w[step(t[b,i] - t[b,j])] * v[b,j,f]    over j    where j <= i
 *
 * Along an ascending t the step function stands still for many neighbours j, and in such a run only a sum of v is
 * wanted. With Q the sums of v up to a position, w(j) the weight there and 0 behind the domain,
 *
 *     sum over j: w(j) * v[j]  =  sum over ends of runs j: (w(j) - w(j + 1)) * Q[j]
 *
 * which is n times as many terms as there are runs instead of n * n / 2. The equations that are made, the first
 * once for all layers, as it depends on no param:
 *
 *     runs[b,u,i]  nth= (j + 1) * K + step(..)                  the ends of runs, from u = 1; u = 0: how many
 *     Q[b,j,f]     = v[b,j,f] + select(0 < j, Q[b,j-1,f], 0)
 *     o[b,i,f]     sum= (w(u + 1) - w(u + 2)) * Q[b,end of run u + 1,f]  where u < runs[b,0,i]
 *
 * Sums start again after every BLOCK positions (then w(j + 1) counts as 0), so that differences of them stay as exact
 * as the sums that they replace, and a NaN in v reaches nobody whose domain ends before its block.
 *
 * What has to be proven for that stands in prefix_proof.c; conditions on j alone go into v. Where it fails the sum
 * stays what it was, and the reason is kept for reports. */
#include "prefix.h"
#include "intervals.h"

#include <string.h>

enum { BLOCK = 256, MAX_RESOLVED = 64 };

/* ---- the equations ---- */

Axis *prefix_axis(Prefix *p, Axis proto)
{
    for (int i = 0; i < p->nsizes; i++) {
        if (p->sizes[i]->size == proto.size) {
            return p->sizes[i];
        }
    }
    proto.name = arena_printf(p->g->arena, "%s%lld", proto.name, (long long)proto.size);
    Axis *a = graph_axis(p->g, proto);
    ARENA_PUSH(p->g->arena, p->sizes, p->nsizes, a);
    return a;
}

static Axis *runs_axis(Prefix *p, int64_t n)
{
    return prefix_axis(p, (Axis){.name = "runs", .kind = AXIS_FIXED, .size = n});
}

Tensor *prefix_tensor(const Sum *s, const char *suffix, Elem elem, int64_t lo, int64_t hi, int ndim, Axis **dims)
{
    Graph *g = s->p->g;
    Tensor t = {.elem = elem, .role = ROLE_VALUE, .ndim = ndim, .span = s->e->span, .lo = lo, .hi = hi};
    memcpy(t.dims, dims, (size_t)ndim * sizeof *dims);
    t.per_example = dims[0] == g->batch;
    t.name = unused_name(g, s->e->dst->name, suffix);
    return graph_tensor(g, t);
}

/* A draft with e's letters, of which those outside the set are gone. */
static Draft part_draft(const Sum *s, Tensor *dst, Reduce op, unsigned letters)
{
    Draft d = draft_new(s->p->g, dst, op, s->e->span);
    d.e.nletters = s->e->nletters;
    memcpy(d.e.letters, s->e->letters, sizeof d.e.letters);
    for (int l = 0; l < s->e->nletters; l++) {
        d.gone[l] = !(letters >> l & 1);
    }
    return d;
}

/* The example, room for one index if it is asked for, then the letters of a set: as dims, and as indices. Returns how
 * many. */
static int list_letters(const Sum *s, unsigned set, int room, Axis **dims, Scalar **index)
{
    int n = 0;
    dims[n] = s->p->g->batch;
    index[n++] = sc_letter(s->p->g, s->example);
    n += room;
    for (int l = 0; l < s->e->nletters; l++) {
        if (set >> l & 1) {
            dims[n] = s->e->letters[l].axis;
            index[n++] = sc_letter(s->p->g, l);
        }
    }
    return n;
}

static bool has_blocks(const Sum *s)
{
    return axis_bound(s->e->letters[s->j].axis) > BLOCK;
}

static Scalar *with_letter(Graph *g, Scalar *s, int nletters, int letter, Scalar *by)
{
    Scalar *map[MAX_LETTERS] = {0};
    map[letter] = by;
    return fold_substitute(g, s, nletters, map);
}

/* Where a run ends: behind j the domain ends, or a block does, or the step function changes. */
static Scalar *end_of_run(const Sum *s)
{
    Graph *g = s->p->g;
    const Equation *e = s->e;
    Scalar *j = sc_letter(g, s->j), *next = sc_op(g, OP_add, j, sc_int(g, 1)), *end = sc_bool(g, false);
    Prover *facts = prover_new(g, e, 0);
    for (int i = 0; i < e->nconds; i++) {
        if (prefix_is_of_row(s, e->conds[i]) && sc_uses_letter(e->conds[i], s->j)) {
            Scalar *c = with_letter(g, e->conds[i], e->nletters, s->j, next);
            end = fold_op2(g, OP_or, end, fold_op1(g, OP_not, c));
            prover_assume(facts, c, true);
        }
    }
    Scalar *inside = sc_op(g, OP_lt, next, letter_size(g, e->letters, s->j));
    if (!prover_holds(facts, inside)) {
        end = fold_op2(g, OP_or, fold_op1(g, OP_not, inside), end);
    }
    prover_free(facts);
    if (has_blocks(s)) {
        Scalar *in_block = sc_op(g, OP_mod, next, sc_int(g, BLOCK));
        end = fold_op2(g, OP_or, end, sc_op(g, OP_eq, in_block, sc_int(g, 0)));
    }
    Scalar *here = g->scalars[s->step->id];
    return fold_op2(g, OP_or, end, sc_op(g, OP_ne, here, with_letter(g, here, e->nletters, s->j, next)));
}

/* An end is listed with the step function's value, (j + 1) * width + value: a power of two comes apart quickest. */
static int64_t code_width(const Sum *s)
{
    int64_t width = 1;
    while (width <= s->step->ntable) {
        width *= 2;
    }
    return width;
}

/* The lists of ends; *most: ends there may be. NULL: they are too many to number. */
static Tensor *make_runs(const Sum *s, int64_t *most)
{
    Graph *g = s->p->g;
    const Equation *e = s->e;
    int64_t bound = axis_bound(e->letters[s->j].axis), width = code_width(s);
    *most = s->pieces * (s->step->ntable + 1) + (has_blocks(s) ? (bound + BLOCK - 1) / BLOCK : 0);
    *most = *most < bound ? *most : bound;
    if (bound >= INT32_MAX / width - 1) {
        return NULL;
    }
    Axis *dims[MAX_DIMS];
    Scalar *index[MAX_DIMS];
    int n = list_letters(s, s->rows, 1, dims, index);
    unsigned set = 1u << s->example | s->rows;
    dims[1] = runs_axis(s->p, *most + 2); /* how many; and whoever looks at an end names the one behind it, too */
    Tensor *runs = prefix_tensor(s, "runs", ELEM_I32, 0, (bound + 1) * width, n, dims);
    runs->is_list = true;
    Draft d = part_draft(s, runs, RED_NTH, set | 1u << s->j);
    index[1] = sc_letter(g, draft_letter(&d, (Letter){dims[1], "u", -1}));
    memcpy(d.e.lhs, index, (size_t)n * sizeof *index);
    for (int i = 0; i < e->nconds; i++) {
        unsigned used = sc_letters(e->conds[i]);
        if (used >> s->j & 1 ? prefix_is_of_row(s, e->conds[i]) : !(used & ~set)) {
            draft_cond(&d, e->conds[i]);
        }
    }
    draft_cond(&d, end_of_run(s));
    Scalar *next = sc_op(g, OP_add, sc_letter(g, s->j), sc_int(g, 1));
    d.e.body = sc_op(g, OP_add, sc_op(g, OP_mul, next, sc_int(g, width)), g->scalars[s->step->id]);
    draft_commit(&d);
    return runs;
}

/* Q: sums of v up to a position, from the beginning of its block. */
static Tensor *make_sums(const Sum *s)
{
    Graph *g = s->p->g;
    const Equation *e = s->e;
    Axis *dims[MAX_DIMS];
    Scalar *index[MAX_DIMS], *v = NULL, *j = sc_letter(g, s->j);
    int n = list_letters(s, s->row, 1, dims, index);
    dims[1] = e->letters[s->j].axis;
    index[1] = j;
    for (int i = 0; i < s->n; i++) {
        if (i != s->which && sc_uses_letter(s->factor[i], s->j)) {
            v = v ? fold_op2(g, OP_mul, v, s->factor[i]) : s->factor[i];
        }
    }
    for (int i = e->nconds - 1; i >= 0; i--) {
        if (sc_uses_letter(e->conds[i], s->j) && !prefix_is_of_row(s, e->conds[i])) {
            v = fold_op3(g, OP_select, e->conds[i], v, sc_real(g, 0));
        }
    }
    Tensor *t = prefix_tensor(s, "prefix", ELEM_REAL, 0, -1, n, dims);
    Draft d = part_draft(s, t, RED_NONE, 1u << s->example | 1u << s->j | s->row);
    memcpy(d.e.lhs, index, (size_t)n * sizeof *index);
    index[1] = sc_op(g, OP_sub, j, sc_int(g, 1));
    Scalar *before = sc_op(g, OP_lt, sc_int(g, 0), j);
    if (has_blocks(s)) {
        before = fold_op2(g, OP_and, before, sc_op(g, OP_lt, sc_int(g, 0), sc_op(g, OP_mod, j, sc_int(g, BLOCK))));
    }
    Scalar *sum = fold_op3(g, OP_select, before, sc_load(g, t, n, index), sc_real(g, 0));
    d.e.body = sc_op(g, OP_add, v, sum);
    draft_commit(&d);
    return t;
}

void prefix_keep_other_members(const Sum *s, Equation *e)
{
    Graph *g = s->p->g;
    Draft d = draft_from(g, e);
    Scalar *c = sc_letter(g, s->peeled);
    draft_cond_first(&d, sc_op(g, OP_ne, c, sc_int(g, s->member)));
    int64_t left = 0, last = 0;
    for (int64_t m = 0; m < e->letters[s->peeled].axis->size; m++) {
        bool out = false;
        for (int i = 0; i < d.nconds; i++) {
            out |= d.conds[i]->op == OP_ne && d.conds[i]->args[0] == c && sc_is_const(d.conds[i]->args[1], (double)m);
        }
        left += !out;
        last = out ? last : m;
    }
    s->p->gone[e->id] = left == 0;
    if (left == 1) {
        draft_replace(&d, s->peeled, sc_int(g, last));
    }
    draft_store(&d, e);
}

/* Takes the sum, or the case of it that the weight is for, apart. False: it cannot be done after all. */
static bool rewrite_sum(const Sum *s, Equation *e)
{
    Graph *g = s->p->g;
    int64_t most;
    Tensor *runs = make_runs(s, &most);
    if (!runs) {
        return false;
    }
    Tensor *sums = make_sums(s);
    Draft d = draft_from(g, e);
    d.conds = NULL;
    d.nconds = 0;
    Scalar *u = sc_letter(g, draft_letter(&d, (Letter){runs_axis(s->p, most), "u", -1}));
    Scalar *after = sc_op(g, OP_add, u, sc_int(g, 1)), *index[MAX_DIMS];
    Axis *dims[MAX_DIMS];
    int n = list_letters(s, s->rows, 1, dims, index);
    index[1] = sc_int(g, 0);
    Scalar *length = sc_load(g, runs, n, index);
    index[1] = after;
    Scalar *run = sc_load(g, runs, n, index);
    index[1] = sc_op(g, OP_add, u, sc_int(g, 2));
    Scalar *other = sc_load(g, runs, n, index), *k = sc_int(g, code_width(s));
    Scalar *end = sc_op(g, OP_idiv, run, k), *goes_on = sc_op(g, OP_lt, after, length);
    if (has_blocks(s)) {
        Scalar *in_block = sc_op(g, OP_lt, sc_int(g, 0), sc_op(g, OP_mod, end, sc_int(g, BLOCK)));
        goes_on = fold_op2(g, OP_and, goes_on, in_block);
    }
    Scalar *here = fold(g, sc_swap(g, s->weight, s->step, sc_op(g, OP_mod, run, k)));
    Scalar *next = fold(g, sc_swap(g, s->weight, s->step, sc_op(g, OP_mod, other, k)));
    Scalar *body = fold_op2(g, OP_sub, here, fold_op3(g, OP_select, goes_on, next, sc_real(g, 0)));
    for (int i = 0; i < s->n; i++) {
        body = i == s->which || sc_uses_letter(s->factor[i], s->j) ? body : fold_op2(g, OP_mul, s->factor[i], body);
    }
    n = list_letters(s, s->row, 1, dims, index);
    index[1] = sc_op(g, OP_sub, end, sc_int(g, 1));
    d.e.body = fold_op2(g, OP_mul, body, sc_load(g, sums, n, index));
    d.gone[s->j] = true;
    for (int i = 0; i < e->nconds; i++) {
        if (!sc_uses_letter(e->conds[i], s->j)) {
            draft_cond(&d, e->conds[i]);
        }
    }
    draft_cond(&d, sc_op(g, OP_lt, u, length));
    if (s->peeled < 0) {
        draft_store(&d, e);
        return true;
    }
    draft_replace(&d, s->peeled, sc_int(g, s->member));
    draft_commit(&d);
    prefix_keep_other_members(s, e);
    return true;
}

/* ---- cases that nobody reads any more ---- */

typedef struct {
    const Equation *reader, *def;
    bool reads;
} Reads;

static void look_at_load(const Scalar *load, void *ctx)
{
    Reads *r = ctx;
    bool other = load->tensor != r->def->dst;
    for (int d = 0; d < load->nargs && !other; d++) {
        const Scalar *at = load->args[d], *member = r->def->lhs[d];
        if (member->op != OP_CONST) {
            continue;
        }
        other = at->op == OP_CONST && at->inum != member->inum;
        for (int i = 0; i < r->reader->nconds; i++) {
            const Scalar *c = r->reader->conds[i];
            other |= c->op == OP_ne && c->args[0] == at && sc_is_const(c->args[1], (double)member->inum);
        }
    }
    r->reads |= !other;
}

void prefix_drop_unread_cases(Prefix *p)
{
    Graph *g = p->g;
    bool *keep = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof *keep);
    for (int i = 0; i < g->nequations; i++) {
        const Equation *def = g->equations[i];
        Reads r = {.def = def};
        bool is_case =
            def->dst->role == ROLE_VALUE && !def->dst->is_output && !def->dst->is_draw && def->op == RED_NONE;
        int constants = 0;
        for (int d = 0; d < def->dst->ndim; d++) {
            constants += def->lhs[d]->op == OP_CONST;
        }
        for (int k = 0; k < g->nequations && is_case && constants && !r.reads; k++) {
            r.reader = g->equations[k];
            equation_loads(r.reader, look_at_load, &r);
        }
        keep[i] = (!is_case || !constants || r.reads) && !(i < p->nequations && p->gone[i]);
    }
    graph_drop_equations(g, keep);
}

Prefix prefix_start(Graph *g)
{
    Order order = order_equations(g);
    return (Prefix){.g = g,
                    .defs = equations_by_tensor(g),
                    .in_cycle = order.in_cycle,
                    .nequations = g->nequations,
                    .ntensors = g->ntensors,
                    .gone = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof(bool))};
}

void pass_prefix(Graph *g)
{
    Prefix p = prefix_start(g);
    int n = g->nequations;
    bool any = false;
    for (int i = 0; i < n; i++) {
        Equation *e = g->equations[i];
        Sum s;
        for (int cases = 0; cases < MAX_RESOLVED && prefix_find_sum(&p, e, &s) && rewrite_sum(&s, e); cases++) {
            any = true;
            s.why = NULL;
            if (s.peeled < 0 || p.gone[i]) {
                break;
            }
        }
        if (s.why) {
            ARENA_PUSH(g->arena, g->dense, g->ndense, ((struct StoredTensor){e->dst, s.why}));
        }
    }
    if (any) {
        prefix_drop_unread_cases(&p);
        graph_reorder(g);
    }
}
