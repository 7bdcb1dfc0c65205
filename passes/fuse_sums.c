/* fuse-sums: sums over the positions that a cluster tiles join the cluster that makes what they sum, as the weight
 * gradients of a feed-forward that was drawn into an attention's; what only one cluster reads, at the positions of its
 * tile, then exists a tile at a time. Needs: fuse-stream. Breaks: nothing may rewrite equations afterwards.
 *
 *     up[b,i,g]  gy[b,i,d]              made row by row in the cluster, so far stored for
 *     gW[g,d] = sum[b,i] up * gy        which becomes a sink of it: a copy per group of examples */
#include "units.h"

/* SUM_LIMIT: elements of all sums that a cluster gets. LEAST_LIST: bound of a list from which on an example has enough
 * positions to be worth a copy of them. */
enum { SUM_LIMIT = 1 << 16, LEAST_LIST = 64 };

typedef struct {
    Graph *g;
    Unit *cluster;
    const Equation *e; /* the sum */
    int letter;        /* its positions */
    bool fails;
} Join;

static bool is_example(const Equation *e, const Scalar *index)
{
    return index->op == OP_LETTER && e->letters[index->inum].axis->kind == AXIS_BATCH;
}

/* def writes its tensor at the positions of the tile alone, of which the load reads position `at`. */
static bool writes_position(const Equation *def, const Scalar *load, const Scalar *at)
{
    for (int d = 1; d < load->nargs; d++) {
        if (load->args[d] == at && def->lhs[d] == def->tile) {
            return def->lhs[0]->op == OP_LETTER && def->tile->op == OP_LETTER;
        }
    }
    return false;
}

/* Whether the sum may read in the cluster what the cluster makes. */
static bool reads_tile(const Join *j, const Scalar *load)
{
    if (!load->tensor->per_example || !is_example(j->e, load->args[0])) {
        return false;
    }
    for (int i = 0; i < j->cluster->n; i++) {
        const Equation *def = j->cluster->e[i];
        if (def->dst == load->tensor && (!writes_position(def, load, sc_letter(j->g, j->letter)) ||
                                         def->letters[def->tile->inum].axis != j->e->letters[j->letter].axis)) {
            return false;
        }
    }
    return true;
}

static bool needs(Unit *u, const Unit *other, bool *seen)
{
    seen[u->e[0]->id] = true;
    for (int i = 0; i < u->nreads; i++) {
        Unit *next = u->reads[i].unit;
        if (next == other || (!seen[next->e[0]->id] && needs(next, other, seen))) {
            return true;
        }
    }
    return false;
}

/* The cluster that makes the last of what a sum reads, and needs whatever makes the rest; NULL: there is none. So
 * nothing has to wait for anything that it did not wait for before. */
static Unit *cluster_of(Graph *g, const Units *u, const Equation *e, int letter)
{
    const Unit *own = u->of[e->id];
    for (int i = 0; i < own->nreads; i++) {
        Join j = {g, own->reads[i].unit, e, letter, own->reads[i].unit->cluster == 0};
        for (int k = 0; k < own->nreads && !j.fails; k++) {
            Unit *other = own->reads[k].unit;
            bool *seen = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof *seen);
            j.fails = other == j.cluster ? !reads_tile(&j, own->reads[k].load) : !needs(j.cluster, other, seen);
        }
        if (!j.fails) {
            return j.cluster;
        }
    }
    return NULL;
}

/* Of the sums that want into one cluster as many as it can have copies of, small ones first, equal ones all or none. */
static void join(Graph *g, Unit *const *wants, int cluster)
{
    int64_t most = SUM_LIMIT, all;
    do {
        int64_t largest = 0;
        all = 0;
        for (int i = 0; i < g->nequations; i++) {
            int64_t cells = wants[i] && wants[i]->cluster == cluster ? tensor_cells(g->equations[i]->dst, -1) : 0;
            all += cells <= most ? cells : 0;
            largest = cells <= most && cells > largest ? cells : largest;
        }
        most = all > SUM_LIMIT ? largest - 1 : most;
    } while (all > SUM_LIMIT);
    for (int i = 0; i < g->nequations; i++) {
        Equation *e = g->equations[i];
        if (wants[i] && wants[i]->cluster == cluster && tensor_cells(e->dst, -1) <= most) {
            e->tile = sc_letter(g, equation_row_letter(g, e)); /* asked before it is in a cluster */
            e->cluster = cluster;
        }
    }
}

/* ---- what is a tile at a time ---- */

typedef struct {
    const Equation *e;
    int *dim; /* by tensor id: the dim at which all uses so far are at the tile's position; -1: there is none */
    int *cluster;
} Tiled;

static void note_use(Tiled *x, const Tensor *t, Scalar *const *index)
{
    const Equation *e = x->e;
    int *dim = &x->dim[t->id], found = -1;
    if (*dim < 0 || !t->per_example || t->tile_dim > 0) {
        return;
    }
    for (int d = 1; d < t->ndim && e->cluster && is_example(e, index[0]); d++) {
        bool at = e->tile->op == OP_LETTER && index[d] == e->tile && axis_is_ragged(t->dims[d]) &&
                  e->letters[e->tile->inum].axis == t->dims[d];
        found = at && found < 0 ? d : found;
    }
    bool same = x->cluster[t->id] == 0 || (x->cluster[t->id] == e->cluster && *dim == found);
    *dim = same ? found : -1;
    x->cluster[t->id] = e->cluster;
}

static void note_load(const Scalar *load, void *ctx)
{
    note_use(ctx, load->tensor, load->args);
}

static void keep_tiles(Graph *g)
{
    size_t n = (size_t)g->ntensors + 1;
    Tiled x = {.dim = arena_alloc(g->arena, n * sizeof(int)), .cluster = arena_alloc(g->arena, n * sizeof(int))};
    bool *made = arena_alloc(g->arena, n * sizeof *made);
    for (int i = 0; i < g->nequations; i++) {
        x.e = g->equations[i];
        made[x.e->dst->id] = true;
        note_use(&x, x.e->dst, x.e->lhs);
        equation_loads(x.e, note_load, &x);
        for (int k = 0; equation_is_extern(x.e) && k < x.e->body->nargs; k++) {
            x.dim[x.e->body->args[k]->tensor->id] = -1;
        }
    }
    for (int i = 0; i < g->ntensors; i++) {
        Tensor *t = g->tensors[i];
        bool is_kept = t->role != ROLE_VALUE || t->is_output || t->is_draw || t == g->loss;
        if (made[i] && !is_kept && x.dim[i] > 0) {
            t->tile_dim = x.dim[i];
        }
    }
}

void pass_fuse_sums(Graph *g)
{
    Units u = units_of(g);
    if (u.nclusters == 0 || runs_in_levels(g)) {
        return;
    }
    Unit **wants = arena_alloc(g->arena, (size_t)(g->nequations + 1) * sizeof *wants);
    for (int i = 0; i < g->nequations; i++) {
        const Equation *e = g->equations[i];
        int row = equation_row_letter(g, e);
        bool is_sum = row >= 0 && !e->dst->per_example && !u.of[i]->is_cycle;
        if (is_sum && axis_is_ragged(e->letters[row].axis) && axis_bound(e->letters[row].axis) >= LEAST_LIST) {
            wants[i] = cluster_of(g, &u, e, row);
        }
    }
    for (int k = 1; k <= u.nclusters; k++) {
        join(g, wants, k);
    }
    keep_tiles(g);
}
