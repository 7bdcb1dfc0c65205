/* fuse-stream: what grows with the square of a list, or with a list and a catalogue, is never stored. Needs: fuse-map.
 * Breaks: nothing may rewrite equations afterwards.
 *
 *     s[b,h,i,j], a[b,h,i,j], their adjoints      virtual: computed a tile of positions i at a time, again wherever
 *                                                 they are needed
 *     o[b,i,h,e], gk[b,j,h,e], gw[r]              sinks: what is read from the tiles and stays (cluster.h)
 *
 * A tensor may be virtual if two of its indices count elements of lists, or elements and what they are mixed
 * into (the slots of a compression, which may mix among themselves), so that it is larger than what it weighs; or
 * elements and the columns of a product that has many more of them than it sums over (scores of a catalogue;
 * columns.c). Which index is tiled is found from the equations: indices that are moved by one letter are of one class,
 * and a group of virtual tensors that equations tie together is tiled along one class, such that each tensor has
 * exactly one index of it. Where that leaves a reader that no cluster can take, the tensor is stored after all, and the
 * reason is kept for reports. */
#include "cluster.h"
#include "contract.h"

#include <math.h>
#include <string.h>

/* LEAST_FIXED: cells of one example from which on weights whose sizes are all known are worth it; MOST_STEPS: equations
 * from what those are made of to them. LEAST_COLUMNS, WIDER: columns of a product, in all and for each that is summed,
 * from which on its result is worth computing again. */
enum { LONG_INDEX = 16, LEAST_SIDE = 8, LEAST_FIXED = 1 << 10, MOST_STEPS = 8, LEAST_COLUMNS = 1024, WIDER = 8 };

/* ---- candidates ---- */

static bool is_long(const Axis *a)
{
    for (int i = 0; i < a->nparts; i++) { /* another part's size may not be known */
        if (is_long(a->parts[i])) {
            return true;
        }
    }
    return axis_is_ragged(a) || axis_bound(a) >= LONG_INDEX;
}

/* Cells of one example, lists as long as they may be. */
static double cells(const Tensor *t)
{
    double n = 1;
    for (int d = 1; d < t->ndim; d++) {
        n *= fmax(1, (double)axis_bound(t->dims[d]));
    }
    return n;
}

typedef struct {
    const Axis *a, *b;
} Pair;

typedef struct {
    Pair *pairs;
    int n;
} Pairs;

/* A pair of sums of axes, if a pair of their parts is one. */
static bool has_pair(const Pairs *p, const Axis *a, const Axis *b)
{
    for (int i = 0; i < a->nparts; i++) {
        if (has_pair(p, a->parts[i], b)) {
            return true;
        }
    }
    for (int i = 0; i < b->nparts; i++) {
        if (has_pair(p, a, b->parts[i])) {
            return true;
        }
    }
    for (int i = 0; i < p->n; i++) {
        if ((p->pairs[i].a == a && p->pairs[i].b == b) || (p->pairs[i].a == b && p->pairs[i].b == a)) {
            return true;
        }
    }
    return axis_is_ragged(a) && axis_is_ragged(b);
}

static bool is_large(const Tensor *t, const Pairs *p)
{
    bool found = false;
    for (int d = 1; d < t->ndim; d++) {
        if (!axis_is_plain(t->dims[d])) {
            return false;
        }
        for (int k = 1; k < d; k++) {
            found |= is_long(t->dims[d]) && is_long(t->dims[k]) && has_pair(p, t->dims[d], t->dims[k]);
        }
    }
    return found;
}

static double size_of(const Contraction *c, const Equation *e, ContractRole role)
{
    double n = 1;
    for (int k = 0; k < e->nletters; k++) {
        n *= c->role[k] == role ? fmax(1, (double)axis_bound(e->letters[k].axis)) : 1;
    }
    return n;
}

typedef struct {
    const Clusters *c;
    double size;
    int depth;
    bool fails;
} Making;

static void look_at_making(const Scalar *load, void *ctx);

/* Whether t is made position by position from what is smaller than `size`, products of that among it. */
static bool is_made_of_less(const Making *m, const Tensor *t)
{
    Equation **defs = m->c->u.defs[t->id];
    if (!t->per_example || cells(t) < m->size) {
        return true;
    }
    Making next = {m->c, m->size, m->depth + 1, !defs || m->depth == MOST_STEPS};
    for (int i = 0; !next.fails && defs[i]; i++) {
        Contraction p;
        if (contract_match(m->c->u.g, defs[i], &p)) {
            const Tensor *a = p.a->tensor, *b = p.b->tensor;
            next.fails = (a->per_example && cells(a) >= m->size) || (b->per_example && cells(b) >= m->size);
        } else if (defs[i]->op == RED_NONE) {
            equation_loads(defs[i], look_at_making, &next);
        } else {
            next.fails = true;
        }
    }
    return !next.fails;
}

static void look_at_making(const Scalar *load, void *ctx)
{
    Making *m = ctx;
    m->fails = m->fails || !is_made_of_less(m, load->tensor);
}

/* z[r,d] = sum[i] p[r,i] * x[i,d] mixes the elements of a list: p has a weight for each pair. It is larger than x where
 * r takes more values than d. Slots mix as lists do where their weights are many, larger than the result too and than
 * what they are made of: other fixed sizes are features, which mix by params. */
static void note_pairs(const Clusters *all, const Equation *e, Pairs *p)
{
    Graph *g = all->u.g;
    Contraction c;
    if (!e->dst->per_example || !contract_match(g, e, &c) || size_of(&c, e, CONTRACT_M) < LEAST_SIDE ||
        size_of(&c, e, CONTRACT_N) < LEAST_SIDE) {
        return;
    }
    for (int side = 0; side < 2; side++) {
        const Scalar *w = side ? c.b : c.a, *x = side ? c.a : c.b;
        if (!w->tensor->per_example || !x->tensor->per_example || cells(w->tensor) <= cells(x->tensor)) {
            continue;
        }
        Making m = {.c = all, .size = cells(w->tensor)};
        bool is_wide = m.size >= LEAST_FIXED && m.size > cells(e->dst) && is_made_of_less(&m, w->tensor);
        for (int d = 1; d < w->nargs; d++) {
            const Scalar *at = w->args[d];
            bool summed = at->op == OP_LETTER && c.role[at->inum] == CONTRACT_K && is_long(w->tensor->dims[d]);
            for (int k = 1; k < w->nargs && summed; k++) {
                const Axis *one = w->tensor->dims[d], *other = w->tensor->dims[k];
                bool fixed = !axis_is_ragged(one) && !axis_is_ragged(other);
                bool grows = axis_is_ragged(one) || (fixed && is_wide);
                if (k != d && grows && is_long(other) && !has_pair(p, one, other)) {
                    Pair fresh = {one, other};
                    ARENA_PUSH(g->arena, p->pairs, p->n, fresh);
                }
            }
        }
    }
}

/* logit[i,v] = sum[d] out[i,d] * emb[v,d]: a row for each element of a list, far wider than what it is made of. */
static void note_wide(Graph *g, const Equation *e, Pairs *p)
{
    Contraction c;
    if (!e->dst->per_example || !contract_match(g, e, &c) || c.a->tensor->per_example == c.b->tensor->per_example) {
        return;
    }
    ContractRole wide = c.a->tensor->per_example ? CONTRACT_N : CONTRACT_M;
    double columns = size_of(&c, e, wide);
    if (columns < LEAST_COLUMNS || columns < WIDER * size_of(&c, e, CONTRACT_K)) {
        return;
    }
    for (int d = 1; d < e->dst->ndim; d++) {
        int l = lhs_letter(e->lhs[d]);
        for (int k = 1; k < e->dst->ndim && l >= 0; k++) {
            const Axis *row = e->dst->dims[k], *column = e->dst->dims[d];
            int r = lhs_letter(e->lhs[k]);
            bool is_pair = c.role[l] == wide && axis_bound(column) >= LEAST_COLUMNS && r >= 0 && c.role[r] != wide;
            if (is_pair && is_long(row) && !has_pair(p, row, column)) {
                ARENA_PUSH(g->arena, p->pairs, p->n, ((Pair){row, column}));
            }
        }
    }
}

static void find_candidates(Clusters *c)
{
    Graph *g = c->u.g;
    Pairs pairs = {0};
    for (int i = 0; i < g->nequations; i++) {
        note_pairs(c, g->equations[i], &pairs);
        note_wide(g, g->equations[i], &pairs);
    }
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        bool fits = t->role == ROLE_VALUE && t->per_example && !c->u.pinned[i] && c->u.defs[i] && is_large(t, &pairs);
        for (int k = 0; fits && c->u.defs[i][k]; k++) {
            const Equation *def = c->u.defs[i][k];
            fits = !c->u.order.in_cycle[def->id] && !equation_is_extern(def);
        }
        c->is_virtual[i] = fits;
    }
}

/* ---- classes of indices ---- */

typedef struct {
    const Clusters *c;
    int *first;        /* by tensor id: number of its dim 0 among all dims of candidates */
    int *parent;       /* union-find over dims */
    int *group;        /* union-find over tensors */
    struct Lift *lift; /* by dim */
    int ndims;
    /* accesses of the equation being looked at */
    int n;
    struct {
        const Tensor *t;
        Scalar *const *index;
    } access[MAX_LETTERS * 4];
} Classes;

static int find_root(int *parent, int k)
{
    while (parent[k] != k) {
        k = parent[k] = parent[parent[k]];
    }
    return k;
}

static void unite(int *parent, int a, int b)
{
    parent[find_root(parent, a)] = find_root(parent, b);
}

static void note_access(Classes *x, const Tensor *t, Scalar *const *index)
{
    if (x->c->is_virtual[t->id] && x->n < (int)(sizeof x->access / sizeof *x->access)) {
        x->access[x->n].t = t;
        x->access[x->n++].index = index;
    }
}

static void note_load(const Scalar *load, void *ctx)
{
    note_access(ctx, load->tensor, load->args);
}

static bool lift_dim(Classes *x, const Tensor *t, int d, const struct Lift *to)
{
    struct Lift *l = &x->lift[x->first[t->id] + d];
    if (l->sum || !to->sum || t->dims[d] != to->sum->parts[to->part]) {
        return false;
    }
    *l = *to;
    return true;
}

/* Dim d of access a and dim k of access b: of one class if one letter moves both. Returns whether a lift is new. */
static bool compare_dims(Classes *x, int a, int d, int b, int k)
{
    const Tensor *t = x->access[a].t, *u = x->access[b].t;
    const Scalar *i = x->access[a].index[d], *j = x->access[b].index[k];
    const Scalar *in = i->op == OP_INJECT ? i->args[0] : i, *jn = j->op == OP_INJECT ? j->args[0] : j;
    if (in != jn || in->op == OP_CONST || (i != j && i->op == OP_INJECT && j->op == OP_INJECT)) {
        return false;
    }
    unite(x->parent, x->first[t->id] + d, x->first[u->id] + k);
    if (i == j) {
        return i->op != OP_INJECT &&
               (lift_dim(x, t, d, &x->lift[x->first[u->id] + k]) | lift_dim(x, u, k, &x->lift[x->first[t->id] + d]));
    }
    const Scalar *inject = i->op == OP_INJECT ? i : j;
    struct Lift to = {inject->axis, (int)inject->inum};
    return i == inject ? lift_dim(x, u, k, &to) : lift_dim(x, t, d, &to);
}

static bool compare_accesses(Classes *x)
{
    const Graph *g = x->c->u.g;
    bool lifts = false;
    for (int i = 0; i < g->nequations; i++) {
        const Equation *e = g->equations[i];
        x->n = 0;
        note_access(x, e->dst, e->lhs);
        equation_loads(e, note_load, x);
        for (int a = 0; a < x->n; a++) {
            const Tensor *t = x->access[a].t;
            unite(x->group, x->access[0].t->id, t->id);
            for (int b = a; b < x->n; b++) {
                for (int d = 1; d < t->ndim; d++) {
                    for (int k = 1; k < x->access[b].t->ndim; k++) {
                        lifts |= (a != b || d != k) && compare_dims(x, a, d, b, k);
                    }
                }
            }
        }
    }
    return lifts;
}

static void find_classes(Classes *x)
{
    const Graph *g = x->c->u.g;
    Arena *arena = g->arena;
    x->first = arena_alloc(arena, (size_t)(g->ntensors + 1) * sizeof(int));
    x->group = arena_alloc(arena, (size_t)(g->ntensors + 1) * sizeof(int));
    for (int i = 0; i < g->ntensors; i++) {
        x->first[i] = x->ndims;
        x->ndims += x->c->is_virtual[i] ? g->tensors[i]->ndim : 0;
        x->group[i] = i;
    }
    x->parent = arena_alloc(arena, (size_t)(x->ndims + 1) * sizeof(int));
    for (int i = 0; i < x->ndims; i++) {
        x->parent[i] = i;
    }
    x->lift = arena_alloc(arena, (size_t)(x->ndims + 1) * sizeof *x->lift);
    while (compare_accesses(x)) {
    }
}

/* The only dim of t in a class, if it is long; else 0. */
static int dim_in_class(Classes *x, const Tensor *t, int class)
{
    int found = 0;
    for (int d = 1; d < t->ndim; d++) {
        if (find_root(x->parent, x->first[t->id] + d) == class) {
            if (found) {
                return 0;
            }
            found = d;
        }
    }
    return found && is_long(t->dims[found]) ? found : 0;
}

/* ---- trying ---- */

/* The clusters of earlier groups. */
typedef struct {
    int nclusters;
    int *member;
    ClusterSet *needs;
} Formed;

static Formed formed_save(const Clusters *c)
{
    Graph *g = c->u.g;
    size_t members = ((size_t)g->nequations + 1) * sizeof *c->member;
    size_t needs = ((size_t)c->nclusters + 1) * sizeof *c->needs;
    Formed f = {c->nclusters, arena_alloc(g->arena, members), arena_alloc(g->arena, needs)};
    memcpy(f.member, c->member, members);
    memcpy(f.needs, c->needs, needs);
    return f;
}

static void formed_restore(Clusters *c, const Formed *f)
{
    memcpy(c->member, f->member, ((size_t)c->u.g->nequations + 1) * sizeof *c->member);
    memcpy(c->needs, f->needs, ((size_t)f->nclusters + 1) * sizeof *c->needs);
    c->nclusters = f->nclusters;
}

typedef struct {
    int kept;      /* tensors that stay virtual */
    bool *is_kept; /* by tensor id */
} Trial;

/* Forms clusters for the group's tensors along one class; those for which it cannot be done are stored. */
static Trial try_class(Clusters *c, Classes *x, const bool *group, int class)
{
    const Graph *g = c->u.g;
    Trial t = {.is_kept = arena_alloc(g->arena, ((size_t)g->ntensors + 1) * sizeof(bool))};
    Formed before = formed_save(c);
    for (int i = 0; i < g->ntensors; i++) {
        if (group[i]) {
            c->dim[i] = dim_in_class(x, g->tensors[i], class);
            c->lift[i] = x->lift[x->first[i] + c->dim[i]];
            c->is_virtual[i] = c->dim[i] > 0;
            t.kept += c->is_virtual[i];
            t.is_kept[i] = c->is_virtual[i];
            c->why[i] = c->is_virtual[i] ? NULL : "its indices are not moved by the letters that move those around it";
        }
    }
    for (const Tensor *bad = NULL; t.kept > 0;) {
        const char *why = NULL;
        bad = clusters_form(c, group, &why);
        formed_restore(c, &before);
        if (!bad) {
            break;
        }
        if (!group[bad->id] || !c->is_virtual[bad->id]) { /* of an earlier group: this one cannot be added to it */
            t.kept = 0;
            for (int i = 0; i < g->ntensors; i++) {
                if (group[i]) {
                    c->is_virtual[i] = t.is_kept[i] = false;
                    c->why[i] = why;
                }
            }
            break;
        }
        c->is_virtual[bad->id] = t.is_kept[bad->id] = false;
        c->why[bad->id] = why;
        t.kept--;
    }
    for (int i = 0; i < g->ntensors; i++) {
        c->is_virtual[i] = c->is_virtual[i] && !group[i];
    }
    return t;
}

static void form_group(Clusters *c, Classes *x, const bool *group)
{
    const Graph *g = c->u.g;
    int best = -1, last = -1, all = 0;
    Trial most = {0};
    bool *seen = arena_alloc(g->arena, (size_t)x->ndims + 1);
    for (int i = 0; i < g->ntensors; i++) {
        all += group[i];
    }
    for (int i = 0; i < g->ntensors; i++) {
        for (int d = 1; group[i] && d < g->tensors[i]->ndim && most.kept < all; d++) {
            int class = find_root(x->parent, x->first[i] + d);
            if (!seen[class] && is_long(g->tensors[i]->dims[d])) {
                seen[class] = true;
                Trial t = try_class(c, x, group, last = class);
                if (t.kept > most.kept) {
                    most = t;
                    best = class;
                }
            }
        }
    }
    if (best < 0) {
        return;
    }
    if (best != last) { /* dims and reasons are those of the last trial */
        most = try_class(c, x, group, best);
    }
    for (int i = 0; i < g->ntensors; i++) {
        c->is_virtual[i] = group[i] ? most.is_kept[i] : c->is_virtual[i];
    }
    const char *why;
    if (clusters_form(c, group, &why)) {
        bug("fuse-stream: a cluster that was formed cannot be formed again");
    }
}

/* ---- carrying it out ---- */

typedef struct {
    const Clusters *c;
    Tensor **copy; /* by tensor id: what stands for a virtual tensor in this cluster */
} Rename;

static Scalar *lift_load(Graph *g, Scalar *s, void *ctx)
{
    const Clusters *c = ctx;
    if (s->op != OP_LOAD || !c->is_virtual[s->tensor->id] || !c->lift[s->tensor->id].sum) {
        return s;
    }
    Scalar *args[MAX_DIMS];
    memcpy(args, s->args, (size_t)s->nargs * sizeof *args);
    int d = c->dim[s->tensor->id];
    args[d] = lift_index(g, &c->lift[s->tensor->id], args[d], args[0]);
    return sc_load(g, s->tensor, s->nargs, args);
}

/* Dims over a part of what is tiled become dims over the whole of it: of a tile, the cells of other parts are not
 * used. */
static void lift_all(Clusters *c)
{
    Graph *g = c->u.g;
    for (int i = 0; i < g->nequations; i++) {
        Equation *e = g->equations[i];
        int t = e->dst->id, d = c->dim[t];
        if (c->is_virtual[t]) {
            e->lhs[d] = lift_index(g, &c->lift[t], e->lhs[d], e->lhs[0]);
        }
        equation_rewrite(g, e, lift_load, c);
    }
    for (int i = 0; i < c->ntensors; i++) {
        if (c->is_virtual[i] && c->lift[i].sum) {
            g->tensors[i]->dims[c->dim[i]] = c->lift[i].sum;
        }
    }
}

static Scalar *rename_load(Graph *g, Scalar *s, void *ctx)
{
    const Rename *r = ctx;
    if (s->op != OP_LOAD || s->tensor->id >= r->c->ntensors || !r->copy[s->tensor->id]) {
        return s;
    }
    return sc_load(g, r->copy[s->tensor->id], s->nargs, s->args);
}

/* A virtual tensor is the original in the first cluster that computes it and a copy in every other one. `before`: the
 * equations, by id, as they were before any was renamed. */
static void give_equations(Clusters *c, int cluster, const Equation *before, int nequations, bool *used)
{
    Graph *g = c->u.g;
    Rename r = {.c = c, .copy = arena_alloc(g->arena, (size_t)c->ntensors * sizeof(Tensor *))};
    for (int i = 0; i < c->ntensors; i++) {
        if (c->is_virtual[i] && c->holds[cluster][i] && used[i]) {
            Tensor proto = *g->tensors[i];
            proto.name = arena_printf(g->arena, "%s.in%d", proto.name, cluster);
            proto.grad = NULL;
            r.copy[i] = graph_tensor(g, proto);
        }
    }
    for (int i = 0; i < nequations; i++) {
        Equation *e = c->u.order.order[i];
        bool is_member = c->member[e->id] == cluster;
        if (!is_member && !(c->is_virtual[e->dst->id] && c->holds[cluster][e->dst->id])) {
            continue;
        }
        if (!is_member && used[e->dst->id]) {
            Equation copy = before[e->id];
            copy.dst = r.copy[e->dst->id];
            copy.cluster = cluster;
            copy.tile = c->tile[e->id];
            e = graph_equation(g, copy);
        } else {
            e->cluster = cluster;
            e->tile = c->tile[e->id];
        }
        equation_rewrite(g, e, rename_load, &r);
    }
    for (int i = 0; i < c->ntensors; i++) {
        used[i] |= c->is_virtual[i] && c->holds[cluster][i];
    }
}

static void give_all(Clusters *c)
{
    Graph *g = c->u.g;
    int n = g->nequations;
    Equation *before = arena_alloc(g->arena, (size_t)n * sizeof *before);
    for (int i = 0; i < n; i++) {
        before[i] = *g->equations[i];
        Scalar **conds = arena_alloc(g->arena, (size_t)(before[i].nconds + 1) * sizeof *conds);
        if (before[i].nconds > 0) {
            memcpy(conds, before[i].conds, (size_t)before[i].nconds * sizeof *conds);
        }
        before[i].conds = conds;
    }
    for (int i = 0; i < c->ntensors; i++) {
        g->tensors[i]->tile_dim = c->is_virtual[i] ? c->dim[i] : 0;
    }
    bool *used = arena_alloc(g->arena, (size_t)c->ntensors * sizeof(bool));
    for (int k = 1; k <= c->nclusters; k++) {
        give_equations(c, k, before, n, used);
    }
}

/* Empty lists for the graph as it is, and the candidates. */
static Clusters clusters_of(Graph *g)
{
    if (drop_dead_equations(g)) { /* what nobody reads is in no cluster */
        graph_reorder(g);
    }
    size_t n = (size_t)g->ntensors + 1, m = (size_t)g->nequations + 1;
    Clusters c = {.u = uses_of(g), .ntensors = g->ntensors};
    clusters_init(&c);
    c.is_virtual = arena_alloc(g->arena, n * sizeof(bool));
    c.lift = arena_alloc(g->arena, n * sizeof *c.lift);
    c.dim = arena_alloc(g->arena, n * sizeof(int));
    c.why = arena_alloc(g->arena, n * sizeof(char *));
    c.member = arena_alloc(g->arena, m * sizeof(int));
    c.tile = arena_alloc(g->arena, m * sizeof(Scalar *));
    c.needs = arena_alloc(g->arena, MAX_CLUSTERS * sizeof(ClusterSet));
    c.avail = arena_alloc(g->arena, n * sizeof(ClusterSet));
    c.holds = arena_alloc(g->arena, MAX_CLUSTERS * sizeof(bool *));
    c.is_whole = arena_alloc(g->arena, MAX_CLUSTERS * sizeof(bool));
    find_candidates(&c);
    return c;
}

static void form_clusters(Clusters *c)
{
    const Graph *g = c->u.g;
    size_t n = (size_t)c->ntensors + 1;
    Classes x = {.c = c};
    find_classes(&x);
    c->is_candidate = arena_alloc(g->arena, n * sizeof(bool));
    memcpy(c->is_candidate, c->is_virtual, n * sizeof(bool));
    memset(c->is_virtual, 0, n * sizeof(bool));
    bool *done = arena_alloc(g->arena, n * sizeof(bool));
    for (int i = 0; i < c->ntensors; i++) {
        if (!c->is_candidate[i] || done[i]) {
            continue;
        }
        bool *group = arena_alloc(g->arena, n * sizeof(bool));
        for (int k = i; k < c->ntensors; k++) {
            group[k] = c->is_candidate[k] && find_root(x.group, k) == find_root(x.group, i);
            done[k] |= group[k];
        }
        form_group(c, &x, group);
    }
}

void pass_fuse_stream(Graph *g)
{
    if (!g->batched) {
        return;
    }
    Columns columns = {0};
    Clusters c = clusters_of(g);
    if (columns_copy(&c, &columns)) {
        graph_reorder(g);
        c = clusters_of(g);
    }
    form_clusters(&c);
    if (!columns_are_virtual(&c, &columns)) { /* stored twice would be worse than stored */
        columns_undo(g, &columns);
        c = clusters_of(g);
        form_clusters(&c);
    }
    for (int i = 0; i < c.ntensors; i++) {
        if (c.is_candidate[i] && !c.is_virtual[i]) {
            ARENA_PUSH(g->arena, g->stored, g->nstored, ((struct StoredTensor){g->tensors[i], c.why[i]}));
        }
    }
    if (c.nclusters > 0) {
        lift_all(&c);
        give_all(&c);
    }
    turn_operands(g);
    graph_reorder(g);
}
