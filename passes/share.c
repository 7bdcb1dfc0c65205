/* share: what several equations of one cluster compute alike is computed once. Needs: remake. Breaks: nothing may
 * rewrite equations afterwards.
 *
 *     a[b,h,i,j] = alpha[h] * (1 + dt[b,i,j])^-beta[h]
 *     galpha[h] sum= ga[b,h,i,j] * (1 + dt[b,i,j])^-beta[h]           gbeta[h] sum= ...^-beta[h] * log(...)
 *
 * Three powers of each pair become one and three loads: an equation of the cluster of its own makes them, a tile at a
 * time like everything that the cluster holds, so memory stays what it is but for a tile. Who has the expression as its
 * whole body keeps it, and the others load that.
 *
 * Alike are expressions that are the same one with letters renamed: the position of the tile for the position of the
 * tile, the example for the example, the others one to one by their axes. It is computed where one of the readers has
 * it, which has to be wherever the others read it: never more often than before, and by the same function of the same
 * arguments. Only where that is cheaper than to write and read what is shared, only for what grows with more than the
 * positions of the tile, and not for what would be larger than all that the cluster has in a tile. */
#include "fault.h"
#include "intervals.h"
#include "ptrmap.h"
#include "uses.h"

#include <string.h>

/* Of one cell of a tile that lies in the cache, in twentieths of a cycle as measured on a CPU with AVX-512. Where
 * vectors are shorter functions cost four times as much and the cache no more, so what gains here gains there. A
 * function as cheap as LEAST_FUNCTION is worth sharing. */
enum { LOAD = 1, STORE = 1, LEAST_FUNCTION = 6, LEAST_GAIN = 3 };

/* Of an axis that is worth a loop of its own. */
enum { LONG_INDEX = 16 };

static int price_of_function(const Scalar *s)
{
    switch (s->op) {
    case OP_STEP: /* a search, or the ends of runs to be found */
        return 40;
    case OP_pow:
        return 30;
    case OP_sin:
    case OP_cos:
        return 33;
    case OP_erf:
        return 20;
    case OP_log:
        return 12;
    case OP_sigmoid:
        return 7;
    case OP_exp:
        return 6;
    case OP_sqrt:
    case OP_rsqrt:
        return 2;
    default:
        return is_heavy(s) ? 10 : 0;
    }
}

/* A place where an expression stands. */
typedef struct {
    Equation *e;
    Scalar *s;
    unsigned letters, inner; /* of the expression; those of them with many values for each position of the tile */
    int saved;               /* what e costs less without it */
} Site;

typedef struct {
    Graph *g;
    Equation **member; /* of the cluster at hand */
    int nmembers;
    Site *sites;
    int nsites;
    int64_t cells; /* the most that the cluster makes at one position of the tile */
    Equation *e;   /* at hand */
} Share;

/* What the others load instead of computing it, and who they are. */
typedef struct {
    const Site *from;
    Equation made; /* over the letters of the expression, in their order; made.dst: where it is there already */
    const Site **readers;
    Scalar ***at; /* by reader: its letter for each of made's */
    int nreaders, gain;
} Shared;

/* ---- costs ---- */

typedef struct {
    int functions, loads;
} Price;

static int sum_of(Price p)
{
    return p.functions + p.loads;
}

typedef struct {
    PtrMap seen;
    const Scalar *but;
    unsigned inner;
    Price sum;
} Bill;

static void charge(Bill *b, const Scalar *s)
{
    void **mark = s == b->but ? NULL : ptrmap_at(&b->seen, s);
    if (!mark || *mark) {
        return;
    }
    *mark = b;
    for (int k = 0; k < s->nargs; k++) {
        charge(b, s->args[k]);
    }
    int price = price_of_function(s);
    if ((price > 0 || s->op == OP_LOAD) && (sc_letters(s) & b->inner) == b->inner) {
        b->sum.functions += price;
        b->sum.loads += s->op == OP_LOAD ? LOAD : 0;
    }
}

/* What a cell of s costs without the expression `but`, whose inner letters are these: what does not move with all of
 * them leaves the innermost loop. */
static Price price_without(const Scalar *s, const Scalar *but, unsigned inner)
{
    Bill b = {.but = but, .inner = inner};
    charge(&b, s);
    ptrmap_free(&b.seen);
    return b.sum;
}

/* ---- sites ---- */

static unsigned inner_letters(const Equation *e, unsigned letters)
{
    unsigned found = 0;
    for (int k = 0; k < e->nletters; k++) {
        const Axis *a = e->letters[k].axis;
        bool is_long = axis_is_ragged(a) || axis_bound(a) >= LONG_INDEX;
        found |= letters >> k & 1 && is_long && a->kind != AXIS_BATCH && k != equation_tile_letter(e) ? 1u << k : 0;
    }
    return found;
}

/* Whether a tensor over these letters of e can be there a tile at a time. */
static bool is_tile(const Equation *e, unsigned letters)
{
    int tile = equation_tile_letter(e), example = equation_example_letter(e), n = 0;
    if (tile < 0 || example < 0 || !(letters >> tile & 1) || !(letters >> example & 1) || !inner_letters(e, letters)) {
        return false;
    }
    for (int k = 0; k < e->nletters; k++) {
        if (letters >> k & 1) {
            const Letter *l = &e->letters[k];
            bool is_plain = l->axis->kind == AXIS_BATCH || axis_bound(l->axis) > 0;
            n += is_plain && axis_is_plain(l->axis) && (l->parent < 0 || l->parent == example) ? 1 : MAX_DIMS + 1;
        }
    }
    return n <= MAX_DIMS;
}

/* A product may be one with the sum that it stands in, which rounds once: it stays there. */
static void note_site(const Scalar *s, void *ctx)
{
    Share *x = ctx;
    if (s->type != TYPE_REAL || s->nargs == 0 || s->op == OP_LOAD || s->op == OP_mul || s->op == OP_neg) {
        return;
    }
    unsigned letters = sc_letters(s);
    if (!is_tile(x->e, letters)) {
        return;
    }
    Site site = {x->e, x->g->scalars[s->id], letters, inner_letters(x->e, letters), 0};
    Price with = price_without(x->e->body, NULL, site.inner), without = price_without(x->e->body, s, site.inner);
    site.saved = sum_of(with) - sum_of(without);
    if (with.functions - without.functions >= LEAST_FUNCTION) {
        ARENA_PUSH(x->g->arena, x->sites, x->nsites, site);
    }
}

static void find_sites(Share *x)
{
    x->nsites = 0;
    for (int i = 0; i < x->nmembers; i++) {
        x->e = x->member[i];
        sc_walk(x->e->body, note_site, x);
    }
}

/* s is computed for every tuple of its equation: no select and no condition before it stands in between. */
static bool is_always_computed(PtrMap *seen, const Scalar *root, const Scalar *s)
{
    void **mark = ptrmap_at(seen, root);
    if (root == s || *mark) {
        return root == s;
    }
    *mark = seen;
    bool chooses = root->op == OP_select || root->op == OP_and || root->op == OP_or;
    for (int k = 0; k < (chooses ? 1 : root->nargs); k++) {
        if (is_always_computed(seen, root->args[k], s)) {
            return true;
        }
    }
    return false;
}

static bool is_unconditional(const Site *site)
{
    PtrMap seen = {0};
    bool found = is_always_computed(&seen, site->e->body, site->s);
    ptrmap_free(&seen);
    return found;
}

/* ---- what is shared ---- */

/* Its equation without a name: all letters of the expression are on the left, the example's first. */
static Equation equation_of(Graph *g, const Site *site)
{
    const Equation *e = site->e;
    Scalar *map[MAX_LETTERS] = {0}, **conds = NULL;
    int example = equation_example_letter(e), tile = equation_tile_letter(e);
    Tensor *t = arena_alloc(g->arena, sizeof *t);
    *t = (Tensor){.elem = ELEM_REAL, .role = ROLE_VALUE, .per_example = true, .lo = 0, .hi = -1, .span = e->span};
    Equation made = {.dst = t, .cluster = e->cluster, .by_rows = e->by_rows, .span = e->span};
    for (int n = -1; n < e->nletters; n++) {
        int k = n < 0 ? example : n;
        if ((n >= 0 && k == example) || !(site->letters >> k & 1)) {
            continue;
        }
        bool is_tile_dim = k == tile && !e->by_rows;
        Letter letter = {e->letters[k].axis, e->letters[k].name, e->letters[k].parent < 0 ? -1 : 0};
        map[k] = sc_letter(g, made.nletters);
        t->tile_dim = is_tile_dim ? made.nletters : t->tile_dim;
        t->dims[made.nletters] = is_tile_dim && e->tile->op == OP_INJECT ? e->tile->axis : letter.axis;
        made.lhs[made.nletters] = is_tile_dim ? sc_substitute(g, e->tile, e->nletters, map) : map[k];
        made.letters[made.nletters++] = letter;
    }
    t->ndim = made.nletters;
    made.tile = sc_substitute(g, e->tile, e->nletters, map);
    made.body = sc_substitute(g, site->s, e->nletters, map);
    for (int i = 0; i < e->nconds; i++) {
        if (!(sc_letters(e->conds[i]) & ~site->letters)) {
            ARENA_PUSH(g->arena, conds, made.nconds, sc_substitute(g, e->conds[i], e->nletters, map));
        }
    }
    made.conds = conds;
    return made;
}

/* The letters in the order in which an expression is walked. */
typedef struct {
    int letter[MAX_LETTERS], n;
} Walked;

static void note_letter(const Scalar *s, void *ctx)
{
    Walked *w = ctx;
    if (s->op == OP_LETTER) {
        w->letter[w->n++] = (int)s->inum;
    }
}

/* Whether the site has what `made` makes: at[k] is then its letter for the k-th. */
static bool is_alike(Graph *g, const Equation *made, const Site *site, Scalar **at)
{
    Walked own = {.n = 0}, other = {.n = 0};
    unsigned taken = 0;
    sc_walk(made->body, note_letter, &own);
    sc_walk(site->s, note_letter, &other);
    if (own.n != other.n || made->body->op != site->s->op) {
        return false;
    }
    for (int i = 0; i < own.n; i++) {
        int k = own.letter[i], found = -1;
        bool is_tile = k == equation_tile_letter(made);
        for (int j = 0; j < other.n && found < 0; j++) {
            int l = other.letter[j];
            bool fits = !(taken >> l & 1) && site->e->letters[l].axis == made->letters[k].axis;
            found = fits && is_tile == (l == equation_tile_letter(site->e)) ? l : -1;
        }
        if (found < 0) {
            return false;
        }
        taken |= 1u << found;
        at[k] = sc_letter(g, found);
    }
    return sc_substitute(g, made->tile, made->nletters, at) == site->e->tile &&
           (sc_substitute(g, made->body, made->nletters, at) == site->s || FAULT(49));
}

/* Whether the cells that the site reads are there: the conditions of `made` hold at the site. One on data is a
 * condition of its own, so what it reads it has read before. */
static bool is_covered(Graph *g, const Equation *made, const Site *site, Scalar *const *at)
{
    Prover *facts = prover_new(g, site->e, site->e->nconds);
    bool good = true;
    for (int i = 0; i < made->nconds && good; i++) {
        Scalar *cond = sc_substitute(g, made->conds[i], made->nletters, at);
        bool own = false;
        for (int k = 0; k < site->e->nconds; k++) {
            own = own || site->e->conds[k] == cond;
        }
        good = own || (!has_load(cond) && prover_holds(facts, cond)) || FAULT(48);
    }
    prover_free(facts);
    return good;
}

/* The expression is the whole of a map, which is there at the tile's position: nothing has to be made. Whoever loads it
 * waits for all that defines its tensor, so that has to be this equation alone. */
static bool is_made(const Graph *g, const Site *site)
{
    const Equation *e = site->e;
    int tiled = 0, defs = 0;
    for (int i = 0; i < g->nequations; i++) {
        defs += g->equations[i]->dst == e->dst;
    }
    for (int d = 0; d < e->dst->ndim; d++) {
        tiled += e->lhs[d] == e->tile;
        if (e->lhs[d] != e->tile && e->lhs[d]->op != OP_LETTER && e->lhs[d]->op != OP_CONST) {
            return false;
        }
    }
    return e->body == site->s && e->op == RED_NONE && e->dst->elem == ELEM_REAL && tiled == 1 && defs == 1 &&
           site->letters == (1u << e->nletters) - 1;
}

/* Cells of what e makes at one position of its tile. */
static int64_t cells_of(const Equation *e)
{
    for (int d = 0; d < e->dst->ndim; d++) {
        if (e->dst->per_example && e->lhs[d] == e->tile) {
            return tensor_cells(e->dst, d);
        }
    }
    return 0;
}

/* Everyone who can load what the site makes. */
static Shared share_from(const Share *x, const Site *from)
{
    Graph *g = x->g;
    Shared s = {.from = from, .made = equation_of(g, from)};
    int nat = 0;
    for (int i = 0; i < x->nsites; i++) {
        const Site *site = &x->sites[i];
        Scalar *at[MAX_LETTERS] = {0};
        if (is_alike(g, &s.made, site, at) && is_covered(g, &s.made, site, at)) {
            Scalar **kept = arena_alloc(g->arena, sizeof at);
            memcpy(kept, at, sizeof at);
            ARENA_PUSH(g->arena, s.readers, s.nreaders, site);
            ARENA_PUSH(g->arena, s.at, nat, kept);
            s.gain += site->saved - LOAD;
        }
    }
    s.gain -= is_made(g, from) ? from->saved - LOAD : sum_of(price_without(from->s, NULL, from->inner)) + STORE;
    return s;
}

static bool find_best(const Share *x, Shared *best)
{
    best->gain = LEAST_GAIN - 1;
    for (int i = 0; i < x->nsites; i++) {
        const Site *from = &x->sites[i];
        if (is_unconditional(from)) {
            Shared s = share_from(x, from);
            if (s.nreaders > 1 && s.gain > best->gain && cells_of(&s.made) <= x->cells &&
                equation_in_range(x->g, &s.made)) {
                *best = s;
            }
        }
    }
    return best->nreaders > 1;
}

/* ---- carrying it out ---- */

static void carry_out(Share *x, Shared *s)
{
    Graph *g = x->g;
    bool is_there = is_made(g, s->from);
    Equation def = is_there ? *s->from->e : s->made;
    Scalar *own[MAX_LETTERS] = {0}; /* made's letters for those of def */
    for (int i = 0; i < s->nreaders; i++) {
        for (int k = 0; is_there && s->readers[i] == s->from && k < s->made.nletters; k++) {
            own[s->at[i][k]->inum] = sc_letter(g, k);
        }
    }
    for (int d = 0; is_there && d < def.dst->ndim; d++) {
        def.lhs[d] = sc_substitute(g, def.lhs[d], MAX_LETTERS, own);
    }
    if (!is_there) {
        Tensor proto = *def.dst;
        proto.name = unused_name(g, s->from->e->dst->name, "shared");
        def.dst = graph_tensor(g, proto);
        ARENA_PUSH(g->arena, x->member, x->nmembers, graph_equation(g, def));
    }
    for (int i = 0; i < s->nreaders; i++) {
        Scalar *args[MAX_DIMS];
        Equation *reader = s->readers[i]->e;
        for (int d = 0; d < def.dst->ndim; d++) {
            args[d] = sc_substitute(g, def.lhs[d], s->made.nletters, s->at[i]);
        }
        if (!is_there || s->readers[i] != s->from) {
            Scalar *load = sc_load(g, def.dst, def.dst->ndim, args);
            reader->body = sc_swap(g, reader->body, s->readers[i]->s, load);
        }
    }
}

void pass_share(Graph *g)
{
    Share x = {.g = g};
    int nclusters = 0;
    for (int i = 0; i < g->nequations; i++) {
        nclusters = g->equations[i]->cluster > nclusters ? g->equations[i]->cluster : nclusters;
    }
    for (int k = 1; k <= nclusters; k++) {
        x.member = NULL;
        x.nmembers = 0;
        x.cells = 0;
        for (int i = 0; i < g->nequations; i++) {
            if (g->equations[i]->cluster == k) {
                int64_t cells = cells_of(g->equations[i]);
                x.cells = cells > x.cells ? cells : x.cells;
                ARENA_PUSH(g->arena, x.member, x.nmembers, g->equations[i]);
            }
        }
        Shared best = {0};
        for (find_sites(&x); find_best(&x, &best); find_sites(&x)) {
            carry_out(&x, &best);
            best = (Shared){0};
        }
    }
    graph_reorder(g);
}
