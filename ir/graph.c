/* Graphs: axes, tensors and equations are copied in and numbered; nothing is ever freed before the arena is. */
#include "ir.h"

#include "table.h"

#include <string.h>

const char *const reduce_name[] = {"none", "sum", "max", "min", "argmax", "any", "nth"};

/* ---- axes ------------------------------------------------------------------------------------------------- */

bool axis_is_ragged(const Axis *a)
{
    if (a->kind == AXIS_SUM) {
        for (int k = 0; k < a->nparts; k++) {
            if (axis_is_ragged(a->parts[k])) {
                return true;
            }
        }
    }
    return a->kind == AXIS_RAGGED;
}

bool axis_is_plain(const Axis *a)
{
    for (int k = 0; a->kind == AXIS_SUM && k < a->nparts; k++) {
        if (!axis_is_plain(a->parts[k])) {
            return false;
        }
    }
    return a->parent == NULL;
}

int64_t axis_bound(const Axis *a)
{
    int64_t n = 0;
    switch (a->kind) {
    case AXIS_BATCH:
        return -1;
    case AXIS_FIXED:
    case AXIS_RAGGED:
        return a->size;
    case AXIS_TABLE:
        for (int64_t k = 0; k < a->parent->size; k++) {
            n = a->sizes[k] > n ? a->sizes[k] : n;
        }
        return n;
    case AXIS_SUM:
        for (int k = 0; k < a->nparts; k++) {
            int64_t part = axis_bound(a->parts[k]);
            if (part < 0 || __builtin_add_overflow(n, part, &n)) {
                return -1;
            }
        }
        return n;
    }
    return -1;
}

int64_t tensor_cells(const Tensor *t, int but)
{
    int64_t n = 1;
    for (int d = t->per_example; d < t->ndim; d++) {
        int64_t size = d == but ? 1 : axis_bound(t->dims[d]);
        if (size < 0 || __builtin_mul_overflow(n, size, &n)) {
            return INT64_MAX;
        }
    }
    return n;
}

int axis_nparents(const Axis *a)
{
    int n = 0;
    for (const Axis *p = a; (p->kind == AXIS_RAGGED || p->kind == AXIS_TABLE) && p->parent != NULL; p = p->parent) {
        n++;
    }
    return n;
}

/* ---- tensors by name -------------------------------------------------------------------------------------- */

static size_t hash_name(const char *s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *s != '\0'; s++) {
        h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
    }
    return (size_t)(h ^ (h >> 32));
}

static void add_name(ScalarTable *t, Tensor *x)
{
    size_t at = hash_name(x->name) & (t->name_slots - 1);
    while (t->names[at] != NULL) {
        at = (at + 1) & (t->name_slots - 1);
    }
    t->names[at] = x;
    t->nnames++;
}

static void grow_names(Graph *g)
{
    ScalarTable *t = g->table;
    size_t n = 256;
    while (n < 4 * (size_t)(g->ntensors + 1)) {
        n *= 2;
    }
    t->name_slots = n;
    t->nnames = 0;
    t->names = arena_alloc(g->arena, n * sizeof *t->names);
    for (int k = 0; k < g->ntensors; k++) {
        add_name(t, g->tensors[k]);
    }
}

Tensor *graph_find(const Graph *g, const char *name)
{
    const ScalarTable *t = g->table;
    if (t->name_slots == 0) {
        return NULL;
    }
    for (size_t at = hash_name(name) & (t->name_slots - 1); t->names[at] != NULL; at = (at + 1) & (t->name_slots - 1)) {
        Tensor *x = t->names[at];
        if (strcmp(x->name, name) == 0 && x->id < g->ntensors && g->tensors[x->id] == x) {
            return x;
        }
    }
    return NULL;
}

/* ---- construction ----------------------------------------------------------------------------------------- */

Graph *graph_new(Arena *arena, Diag *diag, const char *name)
{
    Graph *g = arena_alloc(arena, sizeof *g);
    g->arena = arena;
    g->diag = diag;
    g->name = arena_strdup(arena, name);
    g->table = arena_alloc(arena, sizeof *g->table);
    g->batch = graph_axis(g, (Axis){.name = "batch", .kind = AXIS_BATCH, .size = -1});
    g->row = graph_tensor(
        g, (Tensor){.name = "row", .elem = ELEM_I64, .role = ROLE_INPUT, .per_example = true, .lo = 0, .hi = -1});
    return g;
}

Axis *graph_axis(Graph *g, Axis proto)
{
    Axis *a = arena_alloc(g->arena, sizeof *a);
    *a = proto;
    a->id = g->naxes;
    if (a->kind == AXIS_TABLE && (a->parent == NULL || a->parent->kind != AXIS_FIXED || a->sizes == NULL)) {
        bug("axis %s has a size per position of no fixed axis", a->name);
    }
    if (a->nparts < 0 || a->nparts > MAX_PARTS) {
        bug("axis %s has %d parts", a->name, a->nparts);
    }
    ARENA_PUSH(g->arena, g->axes, g->naxes, a);
    return a;
}

Tensor *graph_tensor(Graph *g, Tensor proto)
{
    if (graph_find(g, proto.name) != NULL) {
        bug("the graph has two tensors named '%s'", proto.name);
    }
    if (proto.ndim < 0 || proto.ndim > MAX_DIMS) {
        bug("tensor %s has %d dimensions", proto.name, proto.ndim);
    }
    Tensor *t = arena_alloc(g->arena, sizeof *t);
    *t = proto;
    t->id = g->ntensors;
    t->name = arena_strdup(g->arena, proto.name);
    ARENA_PUSH(g->arena, g->tensors, g->ntensors, t);
    if (2 * (g->table->nnames + 1) > g->table->name_slots) {
        grow_names(g);
    } else {
        add_name(g->table, t);
    }
    return t;
}

Equation *graph_equation(Graph *g, Equation proto)
{
    Equation *e = arena_alloc(g->arena, sizeof *e);
    *e = proto;
    e->id = g->nequations;
    if (e->nconds > 0) {
        Scalar **conds = arena_alloc(g->arena, (size_t)e->nconds * sizeof *conds);
        memcpy(conds, proto.conds, (size_t)e->nconds * sizeof *conds);
        e->conds = conds;
    }
    Text why = {0};
    if (!equation_verify(g, e, &why)) {
        bug("equation of %s: %s", e->dst != NULL ? e->dst->name : "?", why.s);
    }
    text_free(&why);
    ARENA_PUSH(g->arena, g->equations, g->nequations, e);
    return e;
}

/* ---- externs ---------------------------------------------------------------------------------------------- */

Extern *graph_extern(Graph *g, Extern proto)
{
    Extern *x = arena_alloc(g->arena, sizeof *x);
    *x = proto;
    x->id = g->nexterns;
    x->library = arena_strdup(g->arena, proto.library);
    x->symbol = arena_strdup(g->arena, proto.symbol);
    x->gradient = proto.gradient != NULL ? arena_strdup(g->arena, proto.gradient) : NULL;
    ARENA_PUSH(g->arena, g->externs, g->nexterns, x);
    return x;
}

Equation *graph_extern_output(Graph *g, Extern *x, int k, int n, Scalar *const *args)
{
    static const char *const names[MAX_DIMS] = {"i", "j", "k", "l", "m", "n", "o", "p"};
    Tensor *t = x->out[k];
    Equation e = {.dst = t, .op = RED_NONE, .nletters = t->ndim, .span = x->span};
    bool batched = t->ndim > 0 && t->dims[0] == g->batch;
    for (int d = 0; d < t->ndim; d++) {
        bool in_example = batched && d > 0 && axis_is_ragged(t->dims[d]);
        e.letters[d] =
            (Letter){.axis = t->dims[d], .name = batched && d == 0 ? "b" : names[d], .parent = in_example ? 0 : -1};
        e.lhs[d] = sc_letter(g, d);
    }
    e.body = sc_extern(g, x, k, n, args);
    return graph_equation(g, e);
}

void graph_drop_externs(Graph *g)
{
    int n = 0;
    for (int k = 0; k < g->nexterns; k++) {
        bool called = false;
        for (int e = 0; e < g->nequations && !called; e++) {
            called = g->equations[e]->body->ext == g->externs[k];
        }
        if (called) {
            g->externs[n] = g->externs[k];
            g->externs[n]->id = n;
            n++;
        }
    }
    g->nexterns = n;
}

bool equation_is_extern(const Equation *e)
{
    return e->body->op == OP_EXTERN;
}

int equation_tile_letter(const Equation *e)
{
    const Scalar *s = e->cluster == 0 ? NULL : e->tile->op == OP_INJECT ? e->tile->args[0] : e->tile;
    return s && s->op == OP_LETTER ? (int)s->inum : -1;
}

int equation_example_letter(const Equation *e)
{
    int found = -1;
    for (int k = 0; e->cluster > 0 && k < e->nletters; k++) {
        if (e->letters[k].axis->kind == AXIS_BATCH) {
            if (found >= 0) {
                return -1;
            }
            found = k;
        }
    }
    return found;
}

int equation_rank_letter(const Equation *e)
{
    int d = e->dst->ndim > 0 && e->dst->dims[0]->kind == AXIS_BATCH;
    return d < e->dst->ndim && e->lhs[d]->op == OP_LETTER ? (int)e->lhs[d]->inum : -1;
}

unsigned equation_with_parents(const Equation *e, unsigned letters)
{
    for (unsigned before = ~letters; before != letters;) {
        before = letters;
        for (int k = 0; k < e->nletters; k++) {
            letters |= letters >> k & 1 && e->letters[k].parent >= 0 ? 1u << e->letters[k].parent : 0;
        }
    }
    return letters;
}

bool equation_is_parent(const Equation *e, int letter)
{
    for (int k = 0; k < e->nletters; k++) {
        if (e->letters[k].parent == letter) {
            return true;
        }
    }
    return false;
}

bool equation_is_output(const Equation *e, int letter)
{
    for (int d = 0; d < e->dst->ndim; d++) {
        const Scalar *x = e->lhs[d]->op == OP_INJECT ? e->lhs[d]->args[0] : e->lhs[d];
        if (x->op == OP_LETTER && x->inum == letter) {
            return true;
        }
    }
    return false;
}
