/* Which equations run together. A virtual tensor is computed again wherever it is read, so what forms a cluster are
 * its sinks: equations that read a virtual tensor and define a stored one. Sinks that share virtual tensors share a
 * cluster, unless one needs the finished result of the other.
 *
 *     s, a virtual      o[i] = sum j: a[i,j] v[j]     row sink: finished with each tile, may be read inside the next
 *                       gk[j] = sum i: gs[i,j] q[i]   column sink: finished when all tiles are
 *
 * Sinks are taken in the order of execution. One joins a cluster if whatever it reads is there before the cluster
 * starts, or is finished with the tile: written by the cluster at the very positions of the tile. A stored equation in
 * between, which turns one into the other position by position (1 / l[i] between a softmax's sum and its weights), is
 * drawn into the cluster.
 *
 *     ge[v] = sum b,i: gs[b,i,v] q[b,i]   whole sink: too large for a copy per group of examples, but the tiled
 *                                         positions are an index of it
 *
 * Whole sinks have clusters of their own, whose tiles go through all examples, one after another. */
#include "cluster.h"
#include "convolution.h"

#include <string.h>

/* ---- sets ---- */

static bool set_has(const ClusterSet *s, int c)
{
    return s->word[c / 64] >> (c % 64) & 1;
}

static void set_add(ClusterSet *s, int c)
{
    s->word[c / 64] |= UINT64_C(1) << (c % 64);
}

static void set_join(ClusterSet *s, const ClusterSet *t)
{
    for (int i = 0; i < CLUSTER_WORDS; i++) {
        s->word[i] |= t->word[i];
    }
}

/* Whether cluster `to` has to run before one of the clusters in `todo` has, which it may be one of. */
static bool leads_to(const Clusters *c, ClusterSet todo, int to)
{
    ClusterSet seen = {{0}};
    for (int i = 0; i < CLUSTER_WORDS; i++) {
        while (todo.word[i] & ~seen.word[i]) {
            int k = 64 * i + __builtin_ctzll(todo.word[i] & ~seen.word[i]);
            set_add(&seen, k);
            set_join(&todo, &c->needs[k]);
            i = 0; /* an earlier word may have got new members */
        }
    }
    return set_has(&seen, to);
}

/* ---- loads ---- */

typedef struct {
    Arena *arena;
    const Scalar **loads;
    int n;
} Loads;

static void note_load(const Scalar *load, void *ctx)
{
    Loads *l = ctx;
    ARENA_PUSH(l->arena, l->loads, l->n, load);
}

void clusters_init(Clusters *c)
{
    const Graph *g = c->u.g;
    c->loads = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof *c->loads);
    for (int i = 0; i < g->nequations; i++) {
        Loads l = {.arena = g->arena};
        equation_loads(g->equations[i], note_load, &l);
        ARENA_PUSH(g->arena, l.loads, l.n, NULL);
        c->loads[g->equations[i]->id] = l.loads;
    }
}

/* What equation_loads does, from the lists: clusters are formed many times over. */
static void each_load(const Clusters *c, const Equation *e, void (*f)(const Scalar *load, void *ctx), void *ctx)
{
    for (const Scalar **l = c->loads[e->id]; *l; l++) {
        f(*l, ctx);
    }
}

/* ---- positions ---- */

typedef struct {
    const Clusters *c;
    const Equation *e;
    Scalar *position;
    int example;
    const char *why;
} Position;

Scalar *lift_index(Graph *g, const struct Lift *l, Scalar *at, Scalar *b)
{
    Scalar *args[2] = {at, b};
    return l->sum ? sc_axis_op(g, OP_INJECT, l->sum, l->part, axis_is_ragged(l->sum) ? 2 : 1, args) : at;
}

/* A member of a sum of axes that every example has. */
static bool is_fixed_member(const Scalar *at)
{
    if (at->op != OP_INJECT || at->args[0]->op != OP_CONST) {
        return false;
    }
    const Axis *part = at->axis->parts[at->inum];
    return part->kind == AXIS_FIXED && at->args[0]->inum >= 0 && at->args[0]->inum < part->size;
}

static void look_at_access(Position *p, const Tensor *t, Scalar *const *index)
{
    if (!p->c->is_virtual[t->id]) {
        return;
    }
    Scalar *bare = index[p->c->dim[t->id]], *at = lift_index(p->c->u.g, &p->c->lift[t->id], bare, index[0]);
    const Scalar *letter = at->op == OP_INJECT ? at->args[0] : at;
    if ((letter->op != OP_LETTER && !is_fixed_member(at)) || (p->position && p->position != at)) {
        p->why = "two of its positions are read at once, or one that is computed";
        return;
    }
    if (letter->op == OP_LETTER) {
        const Axis *axis = p->e->letters[letter->inum].axis;
        bool whole = bare->op == OP_INJECT || axis_bound(axis) == axis_bound(t->dims[p->c->dim[t->id]]);
        if (!axis_is_plain(axis) || !whole || (axis->kind == AXIS_RAGGED && axis->parent)) {
            p->why = "its positions are counted along a list inside a list, or by another axis";
            return;
        }
    }
    if (index[0]->op != OP_LETTER || (p->example >= 0 && p->example != (int)index[0]->inum)) {
        p->why = "it is read in another example";
        return;
    }
    p->position = at;
    p->example = (int)index[0]->inum;
}

static void look_at_load(const Scalar *load, void *ctx)
{
    look_at_access(ctx, load->tensor, load->args);
}

static Scalar *position_of(const Clusters *c, const Equation *e, const char **why)
{
    Position p = {.c = c, .e = e, .example = -1};
    each_load(c, e, look_at_load, &p);
    look_at_access(&p, e->dst, e->lhs);
    for (int k = 0; k < e->nletters && !p.why; k++) {
        if (e->letters[k].axis->kind == AXIS_BATCH && k != p.example) {
            p.why = "it is read over several examples at once";
        }
    }
    if (c->u.order.in_cycle[e->id] || equation_is_extern(e)) {
        p.why = "a recurrence or a C function reads it";
    }
    if (p.why) {
        *why = p.why;
        return NULL;
    }
    return p.position;
}

/* Whether an index of t's dim d is the position itself, or the same in a dim over the part that it falls in. */
static bool is_at(const Tensor *t, int d, const Scalar *index, const Scalar *position)
{
    return index == position || (position->op == OP_INJECT && index == position->args[0] &&
                                 t->dims[d] == position->axis->parts[position->inum]);
}

static bool is_bare_at(const Equation *e, const Scalar *position)
{
    for (int d = e->dst->per_example; d < e->dst->ndim; d++) {
        if (is_at(e->dst, d, e->lhs[d], position)) {
            return true;
        }
    }
    return false;
}

/* Elements of a result that every chunk of examples keeps a copy of. */
enum { COPY_LIMIT = 1 << 17 };

bool is_too_large_to_copy(const Tensor *t)
{
    return tensor_cells(t, -1) > COPY_LIMIT;
}

/* A sum over the batch that is cut by positions instead of copied. */
static bool is_whole_sink(const Equation *e, const Scalar *position)
{
    return !e->dst->per_example && e->op == RED_SUM && position->op == OP_LETTER && is_bare_at(e, position) &&
           is_too_large_to_copy(e->dst);
}

/* Whether a sink can be fed tile by tile. */
static bool can_be_fed(const Equation *e, const Scalar *position, const char **why)
{
    if (!is_bare_at(e, position) && e->op != RED_SUM && !is_fixed_member(position)) {
        *why = "something other than a sum goes over the positions that are tiled";
        return false;
    }
    if (e->dst->per_example) {
        if (e->lhs[0]->op != OP_LETTER || e->letters[e->lhs[0]->inum].axis->kind != AXIS_BATCH) {
            *why = "its sum goes to another example";
            return false;
        }
        return true;
    }
    if (!is_whole_sink(e, position) && (e->op != RED_SUM || is_too_large_to_copy(e->dst))) {
        *why = "its sum over the batch is too large to keep a copy of it per group of examples";
        return false;
    }
    return true;
}

/* ---- joining ---- */

typedef struct {
    Clusters *c;
    int cluster;
    const Scalar *position; /* of the equation that reads */
    ClusterSet needs;
    Equation **drawn; /* equations that come along */
    Scalar **drawn_at;
    int ndrawn;
    bool *seen; /* by equation id */
    bool failed;
} Join;

static void join_reads(Join *j, const Equation *e, const Scalar *position);

/* The dim of a load that is read at the reader's position, or -1. */
static int tiled_dim(const Scalar *load, const Scalar *position)
{
    for (int d = 1; d < load->nargs; d++) {
        if (is_at(load->tensor, d, load->args[d], position)) {
            return d;
        }
    }
    return -1;
}

typedef struct {
    const Clusters *c;
    bool found;
} Candidates;

static void look_for_candidate(const Scalar *load, void *ctx)
{
    Candidates *f = ctx;
    f->found |= f->c->is_candidate[load->tensor->id];
}

/* The position at which def writes its dim d, for a reader of that dim at `position`; NULL: at none. */
static Scalar *row_position(const Clusters *c, const Equation *def, int d, const Scalar *index, const Scalar *position)
{
    bool lifted = index != position;
    struct Lift l = {lifted ? position->axis : NULL, lifted ? (int)position->inum : 0};
    Scalar *at = lift_index(c->u.g, &l, def->lhs[d], def->lhs[0]);
    const Scalar *letter = at->op == OP_INJECT ? at->args[0] : at;
    bool moves = letter->op == OP_LETTER && axis_is_plain(def->letters[letter->inum].axis);
    return moves || is_fixed_member(at) ? at : NULL;
}

/* A row of a table, picked by data, where all rows together are more than a tile may take of the cache. */
static void look_for_gather(const Scalar *load, void *ctx)
{
    enum { MUCH = 1 << 18 }; /* a megabyte in f32 */
    int64_t cells = load->tensor->per_example ? 0 : tensor_cells(load->tensor, -1);
    bool *found = ctx;
    for (int d = 0; d < load->nargs; d++) {
        *found = *found || (cells > MUCH && cells < INT64_MAX && has_load(load->args[d]));
    }
}

/* Row by row: e may be worked on a few positions at a time, and should be: rows that are gathered from a large table
 * (the items of a sampled loss) and the tiles of an attention drive each other out of the cache, which costs more than
 * to compute scores once more on the other side. What reads a candidate finds a cluster by itself. */
static bool is_row_by_row(const Join *j, const Equation *e)
{
    Candidates f = {.c = j->c, .found = j->c->is_candidate[e->dst->id]};
    each_load(j->c, e, look_for_candidate, &f);
    bool gathers = false;
    each_load(j->c, e, look_for_gather, &gathers);
    Convolution v;
    if (f.found || gathers || convolution_match(j->c->u.g, e, &v)) {
        return false;
    }
    int nbatch = 0;
    for (int k = 0; k < e->nletters; k++) {
        nbatch += e->letters[k].axis->kind == AXIS_BATCH;
    }
    return nbatch == 1 && e->dst->per_example && e->lhs[0]->op == OP_LETTER &&
           e->letters[e->lhs[0]->inum].axis->kind == AXIS_BATCH && !j->c->u.order.in_cycle[e->id] &&
           !equation_is_extern(e);
}

static void join_load(const Scalar *load, void *ctx)
{
    Join *j = ctx;
    Clusters *c = j->c;
    const Tensor *t = load->tensor;
    if (j->failed || !c->u.defs[t->id]) {
        return;
    }
    const Scalar *position = j->position;
    bool inside = set_has(&c->avail[t->id], j->cluster);
    for (int k = 0; c->u.defs[t->id][k] && !j->failed; k++) {
        Equation *def = c->u.defs[t->id][k];
        if (c->is_virtual[t->id]) {
            if (!j->seen[def->id]) {
                j->seen[def->id] = true;
                join_reads(j, def, c->tile[def->id]);
                j->position = position;
            }
            continue;
        }
        if (!inside) {
            continue;
        }
        int d = tiled_dim(load, position);
        bool is_member = c->member[def->id] == j->cluster || j->seen[def->id];
        Scalar *at = d < 0 ? NULL : row_position(c, def, d, load->args[d], position);
        if (c->is_whole[j->cluster] || !at ||
            (is_member ? at != c->tile[def->id] : c->member[def->id] || !is_row_by_row(j, def))) {
            j->failed = true;
        } else if (!is_member) {
            j->seen[def->id] = true;
            c->tile[def->id] = at;
            ARENA_PUSH(c->u.g->arena, j->drawn, j->ndrawn, def);
            join_reads(j, def, at);
            j->position = position;
        }
    }
    if (!inside && !j->failed && !c->is_virtual[t->id]) {
        j->failed = leads_to(c, c->avail[t->id], j->cluster);
        set_join(&j->needs, &c->avail[t->id]);
    }
}

static void join_reads(Join *j, const Equation *e, const Scalar *position)
{
    j->position = position;
    each_load(j->c, e, join_load, j);
}

static bool try_to_join(Clusters *c, Equation *e, int cluster)
{
    Join j = {.c = c, .cluster = cluster};
    j.seen = arena_alloc(c->u.g->arena, (size_t)c->u.g->nequations + 1);
    join_reads(&j, e, c->tile[e->id]);
    if (j.failed) {
        return false;
    }
    c->member[e->id] = cluster;
    for (int i = 0; i < j.ndrawn; i++) {
        c->member[j.drawn[i]->id] = cluster;
        c->avail[j.drawn[i]->dst->id] = (ClusterSet){{0}};
        set_add(&c->avail[j.drawn[i]->dst->id], cluster);
    }
    for (int i = 0; i < c->u.g->nequations; i++) {
        if (j.seen[i] && c->is_virtual[c->u.g->equations[i]->dst->id]) {
            c->holds[cluster][c->u.g->equations[i]->dst->id] = true;
        }
    }
    set_join(&c->needs[cluster], &j.needs);
    return true;
}

/* ---- all of them ---- */

typedef struct {
    const Clusters *c;
    ClusterSet avail;
    bool reads_virtual;
    int cluster; /* shares: a cluster that computes one of them */
    bool shares;
} Reads;

static void add_avail(const Scalar *load, void *ctx)
{
    Reads *r = ctx;
    set_join(&r->avail, &r->c->avail[load->tensor->id]);
    r->reads_virtual |= r->c->is_virtual[load->tensor->id];
}

static void add_shares(const Scalar *load, void *ctx)
{
    Reads *r = ctx;
    const Clusters *c = r->c;
    const Tensor *t = load->tensor;
    if (!c->is_virtual[t->id] || r->shares) {
        return;
    }
    r->shares = c->holds[r->cluster][t->id];
    for (int k = 0; c->u.defs[t->id] && c->u.defs[t->id][k] && !r->shares; k++) {
        each_load(c, c->u.defs[t->id][k], add_shares, r);
    }
}

static bool shares_virtual(const Clusters *c, const Equation *e, int cluster)
{
    Reads r = {.c = c, .cluster = cluster};
    each_load(c, e, add_shares, &r);
    return r.shares;
}

/* Puts a sink into the latest cluster that it can join, else into one of its own. */
static bool place_sink(Clusters *c, Equation *e)
{
    bool is_whole = is_whole_sink(e, c->tile[e->id]);
    for (int k = c->nclusters; k >= 1; k--) {
        if (c->is_whole[k] == is_whole && shares_virtual(c, e, k) && try_to_join(c, e, k)) {
            return true;
        }
    }
    if (c->nclusters + 1 == MAX_CLUSTERS) {
        return false;
    }
    c->nclusters++;
    memset(&c->needs[c->nclusters], 0, sizeof c->needs[0]);
    c->is_whole[c->nclusters] = is_whole;
    c->holds[c->nclusters] = arena_alloc(c->u.g->arena, (size_t)c->ntensors * sizeof(bool));
    return try_to_join(c, e, c->nclusters);
}

typedef struct {
    const Clusters *c;
    const Tensor *t;
} First;

static void find_virtual(const Scalar *load, void *ctx)
{
    First *f = ctx;
    if (!f->t && f->c->is_virtual[load->tensor->id]) {
        f->t = load->tensor;
    }
}

static const Tensor *first_virtual(const Clusters *c, const Equation *e)
{
    First f = {.c = c, .t = c->is_virtual[e->dst->id] ? e->dst : NULL};
    each_load(c, e, find_virtual, &f);
    return f.t;
}

const Tensor *clusters_form(Clusters *c, const bool *group, const char **why)
{
    Graph *g = c->u.g;
    memset(c->avail, 0, (size_t)c->ntensors * sizeof *c->avail);
    for (int i = 0; i < g->nequations; i++) {
        Equation *e = c->u.order.order[i];
        Reads r = {.c = c};
        each_load(c, e, add_avail, &r);
        const Tensor *t = first_virtual(c, e);
        bool is_new = t && group[t->id];
        if (is_new) {
            const char *reason = "it is read where nothing can be tiled";
            Scalar *position = position_of(c, e, &reason);
            if (!position) {
                *why = reason;
                return t;
            }
            c->tile[e->id] = position;
            if (!c->is_virtual[e->dst->id] && !c->member[e->id]) {
                if (!can_be_fed(e, position, &reason) || !place_sink(c, e)) {
                    *why = reason;
                    return t;
                }
            } else if (c->is_virtual[e->dst->id] && !is_bare_at(e, position)) {
                *why = "it is defined at positions that cannot be tiled";
                return t;
            }
        }
        int cluster = c->member[e->id];
        if (cluster) {
            ClusterSet own = {{0}};
            set_add(&own, cluster);
            if (!is_new) { /* of an earlier group: nothing may have come between */
                ClusterSet others = r.avail;
                others.word[cluster / 64] &= ~own.word[cluster / 64];
                set_join(&c->needs[cluster], &others);
                if (leads_to(c, others, cluster)) {
                    *why = "two clusters would wait for each other";
                    return t ? t : e->dst;
                }
            }
            set_join(&c->avail[e->dst->id], &own);
        } else {
            set_join(&c->avail[e->dst->id], &r.avail);
        }
    }
    return NULL;
}
