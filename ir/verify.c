/* The invariants of ir.h as a function: what every pass may rely on and must keep. Stops at the first one broken. */
#include "ir.h"

#include <stdlib.h>
#include <string.h>

#define BROKEN(...) return text_printf(why, __VA_ARGS__), false

static bool has_axis(const Graph *g, const Axis *a)
{
    return a != NULL && a->id >= 0 && a->id < g->naxes && g->axes[a->id] == a;
}

static bool has_tensor(const Graph *g, const Tensor *t)
{
    return t != NULL && t->id >= 0 && t->id < g->ntensors && g->tensors[t->id] == t;
}

/* ---- axes and tensors ------------------------------------------------------------------------------------- */

static bool verify_axis(const Graph *g, const Axis *a, Text *why)
{
    if (a->name == NULL) {
        BROKEN("axis %d has no name", a->id);
    }
    switch (a->kind) {
    case AXIS_FIXED:
        if (a->size < -1 || (a->nmembers > 0 && a->nmembers != a->size)) {
            BROKEN("axis %s: size %lld", a->name, (long long)a->size);
        }
        break;
    case AXIS_BATCH:
        if (a != g->batch) {
            BROKEN("axis %s is a second batch", a->name);
        }
        break;
    case AXIS_RAGGED:
        if (a->size < 0 || a->min < 0 || a->min > a->size) {
            BROKEN("axis %s: length %lld to %lld", a->name, (long long)a->min, (long long)a->size);
        }
        if (a->parent != NULL && (!has_axis(g, a->parent) || a->parent->id >= a->id)) {
            BROKEN("axis %s: its parent does not come before it", a->name);
        }
        break;
    case AXIS_TABLE:
        if (!has_axis(g, a->parent) || a->parent->kind != AXIS_FIXED || a->sizes == NULL) {
            BROKEN("axis %s: a table needs a fixed parent and sizes", a->name);
        }
        for (int64_t k = 0, sum = 0; k < a->parent->size; k++) {
            sum += a->sizes[k];
            if (a->sizes[k] < 0 || (k + 1 == a->parent->size && sum != a->size)) {
                BROKEN("axis %s: its sizes do not add up to %lld", a->name, (long long)a->size);
            }
        }
        break;
    case AXIS_SUM:
        if (a->nparts < 1 || a->nparts > MAX_PARTS) {
            BROKEN("axis %s: %d parts", a->name, a->nparts);
        }
        for (int k = 0; k < a->nparts; k++) {
            if (!has_axis(g, a->parts[k]) || a->parts[k]->id >= a->id) {
                BROKEN("axis %s: part %d does not come before it", a->name, k);
            }
            if (axis_nparents(a->parts[k]) > 0) {
                BROKEN("axis %s: part %s stands in another axis", a->name, a->parts[k]->name);
            }
        }
        break;
    }
    return true;
}

static bool same_shape(const Tensor *a, const Tensor *b)
{
    return a->ndim == b->ndim && memcmp(a->dims, b->dims, (size_t)a->ndim * sizeof *a->dims) == 0;
}

static bool verify_tensor(const Graph *g, const Tensor *t, Text *why)
{
    if (t->name == NULL || graph_find(g, t->name) != t) {
        BROKEN("tensor %d: its name is missing or taken", t->id);
    }
    if (t->ndim < 0 || t->ndim > MAX_DIMS) {
        BROKEN("tensor %s: %d dimensions", t->name, t->ndim);
    }
    for (int d = 0; d < t->ndim; d++) {
        const Axis *a = t->dims[d];
        if (!has_axis(g, a)) {
            BROKEN("tensor %s: dimension %d is over no axis of the graph", t->name, d);
        }
        if (!t->per_example && axis_is_ragged(a)) {
            BROKEN("tensor %s is the same for every example and has the ragged axis %s", t->name, a->name);
        }
        if (t->role == ROLE_PARAM && a->kind == AXIS_BATCH) {
            BROKEN("param %s has the batch axis", t->name);
        }
    }
    if (g->batched && t->per_example && (t->ndim == 0 || t->dims[0] != g->batch)) {
        BROKEN("tensor %s differs between examples and its first axis is not the batch", t->name);
    }
    if (t->role == ROLE_PARAM && t->per_example) {
        BROKEN("param %s differs between examples", t->name);
    }
    if (t->role == ROLE_PARAM && t->init == NULL) {
        BROKEN("param %s has no initialiser", t->name);
    }
    if (t->tile_dim < 0 || t->tile_dim >= (t->ndim > 0 ? t->ndim : 1) || (t->tile_dim > 0 && !t->per_example)) {
        BROKEN("tensor %s has no dimension %d to tile", t->name, t->tile_dim);
    }
    if (t->next != NULL) {
        if (t->role != ROLE_PARAM && t->role != ROLE_STATE) {
            BROKEN("tensor %s is neither param nor state and has a next value", t->name);
        }
        if (!has_tensor(g, t->next) || !same_shape(t, t->next) || t->elem != t->next->elem) {
            BROKEN("tensor %s: its next value has another shape or type", t->name);
        }
    }
    if (t->is_ascending &&
        (t->role != ROLE_INPUT || elem_type(t->elem) != TYPE_INT || t->ndim != 1 + (g->batched && t->per_example) ||
         t->dims[t->ndim - 1]->kind != AXIS_RAGGED)) {
        BROKEN("tensor %s is ascending and no input of lists of integers", t->name);
    }
    if (t->is_carried && (t->role != ROLE_STATE || !t->per_example || t->next == NULL)) {
        BROKEN("tensor %s is carried and no state per example with a next value", t->name);
    }
    if (t->pull != NULL && (!t->is_carried || !has_tensor(g, t->pull) || !same_shape(t, t->pull))) {
        BROKEN("tensor %s: what is added to the gradient of its next value has another shape", t->name);
    }
    if (t->grad != NULL && (!has_tensor(g, t->grad) || !same_shape(t, t->grad))) {
        BROKEN("tensor %s: its gradient has another shape", t->name);
    }
    return true;
}

/* ---- scalars and equations -------------------------------------------------------------------------------- */

typedef struct {
    const Graph *g;
    int nletters;
    Text *why;
    bool ok;
} ScalarCheck;

/* Writes what is wrong with one node; false. */
static bool verify_node(const ScalarCheck *c, const Scalar *s)
{
    const Graph *g = c->g;
    Text *why = c->why;
    if (s->id < 0 || s->id >= g->nscalars || g->scalars[s->id] != s) {
        BROKEN("a scalar (%s) of another graph", op_info[s->op].name);
    }
    for (int k = 0; k < s->nargs; k++) {
        if (s->op <= OP_STEP && s->op != OP_EXTERN && s->args[k]->type != TYPE_INT) {
            BROKEN("argument %d of %s is not an integer", k, op_info[s->op].name);
        }
    }
    int example = g->batched && s->axis != NULL && axis_is_ragged(s->axis); /* one more index in front or behind */
    bool may_name = !g->batched && s->axis != NULL && axis_is_ragged(s->axis);
    switch (s->op) {
    case OP_CONST:
        return true;
    case OP_LETTER:
        if (s->inum < 0 || s->inum >= c->nletters) {
            BROKEN("letter %lld of %d", (long long)s->inum, c->nletters);
        }
        return true;
    case OP_LOAD:
        if (!has_tensor(g, s->tensor)) {
            BROKEN("a load of a tensor that is not in the graph");
        }
        if (s->at && (g->batched || !s->tensor->per_example)) {
            BROKEN("%s@ is loaded from a named example", s->tensor->name);
        }
        if (s->nargs != s->tensor->ndim + s->at) {
            BROKEN("%s has %d dimensions and is loaded with %d indices", s->tensor->name, s->tensor->ndim, s->nargs);
        }
        if (s->type != elem_type(s->tensor->elem)) {
            BROKEN("a load of %s has another type than the tensor", s->tensor->name);
        }
        return true;
    case OP_SIZE: {
        int n = axis_nparents(s->axis);
        if (!has_axis(g, s->axis) || (s->nargs != n + example && !(may_name && s->nargs == n + 1))) {
            BROKEN("size of %s with %d indices instead of %d", s->axis->name, s->nargs, n + example);
        }
        return true;
    }
    case OP_PART:
    case OP_LOCAL:
    case OP_INJECT:
        if (!has_axis(g, s->axis) || s->axis->kind != AXIS_SUM) {
            BROKEN("%s of an axis that is no sum", op_info[s->op].name);
        }
        if (s->nargs != 1 + example && !(may_name && s->nargs == 2)) {
            BROKEN("%s of %s with %d indices", op_info[s->op].name, s->axis->name, s->nargs);
        }
        if (s->op == OP_INJECT && (s->inum < 0 || s->inum >= s->axis->nparts)) {
            BROKEN("axis %s has no part %lld", s->axis->name, (long long)s->inum);
        }
        return true;
    case OP_RAND:
        if (s->name == NULL || (g->batched && !s->by_step && s->nargs < 1)) {
            BROKEN("a random draw without stream or row");
        }
        return true;
    case OP_SELF:
        if (g->batched) {
            BROKEN("'self' after the batch came in");
        }
        return true;
    case OP_EXTERN:
        if (s->ext == NULL || s->ext->id < 0 || s->ext->id >= g->nexterns || g->externs[s->ext->id] != s->ext) {
            BROKEN("an extern of another graph");
        }
        for (int k = 0; k < s->nargs; k++) {
            if (s->args[k]->op != OP_LOAD || s->args[k]->type != TYPE_REAL || s->args[k]->at) {
                BROKEN("argument %d of extern %s is no load of real numbers", k, s->ext->symbol);
            }
        }
        return true;
    case OP_STEP:
        if (s->nargs != 1) {
            BROKEN("a step function of %d arguments", s->nargs);
        }
        return true;
    default: {
        const char *wrong = sc_check(s->op, s->nargs, s->args);
        if (wrong != NULL) {
            BROKEN("%s: %s", op_info[s->op].name, wrong);
        }
        return true;
    }
    }
}

static void check_node(const Scalar *s, void *ctx)
{
    ScalarCheck *c = ctx;
    c->ok = c->ok && verify_node(c, s);
}

static bool verify_scalar(const Graph *g, const Scalar *s, int nletters, Text *why)
{
    ScalarCheck c = {.g = g, .nletters = nletters, .why = why, .ok = true};
    sc_walk(s, check_node, &c);
    return c.ok;
}

static bool verify_letter(const Graph *g, const Equation *e, int k, Text *why)
{
    const Letter *l = &e->letters[k];
    if (!has_axis(g, l->axis)) {
        BROKEN("letter %d is over no axis of the graph", k);
    }
    const char *axis = l->axis->name;
    if (l->parent < -1 || l->parent >= e->nletters || l->parent == k) {
        BROKEN("letter %d over %s is read at letter %d", k, axis, l->parent);
    }
    const Axis *at = l->parent >= 0 ? e->letters[l->parent].axis : NULL;
    const Axis *want = NULL; /* what the parent ranges over */
    if (axis_nparents(l->axis) > 0) {
        want = l->axis->parent;
    } else if (l->axis->kind == AXIS_FIXED && at != NULL) {
        want = g->batch; /* a list per element of a fixed axis differs between examples */
    } else if (axis_is_ragged(l->axis) && (g->batched || at != NULL)) {
        want = g->batch;
    }
    if (at != want) {
        BROKEN("letter %d over %s is read at a letter over %s, not %s", k, axis, at != NULL ? at->name : "nothing",
               want != NULL ? want->name : "nothing");
    }
    int root = k;
    for (int p = l->parent, steps = 0; p >= 0; p = e->letters[p].parent) {
        root = p;
        if (++steps > e->nletters) {
            BROKEN("letter %d over %s is its own ancestor", k, axis);
        }
    }
    if (g->batched && axis_is_ragged(l->axis) && e->letters[root].axis != g->batch) {
        BROKEN("letter %d over %s is read in no example: letter %d has none", k, axis, root);
    }
    return true;
}

/* The letter that counts the tuples of a list stands first on the left and nowhere else. */
static bool verify_rank(const Equation *e, Text *why)
{
    int rank = equation_rank_letter(e), n = 0;
    bool ok = rank >= 0 && e->letters[rank].axis->kind == AXIS_FIXED && e->letters[rank].axis->size > 0 &&
              e->letters[rank].parent < 0 && !sc_uses_letter(e->body, rank);
    for (int d = 0; ok && d < e->dst->ndim; d++) {
        n += sc_uses_letter(e->lhs[d], rank);
    }
    for (int i = 0; ok && i < e->nconds; i++) {
        ok = !sc_uses_letter(e->conds[i], rank);
    }
    for (int k = 0; ok && k < e->nletters; k++) {
        ok = e->letters[k].parent != rank;
    }
    if (!ok || n != 1) {
        BROKEN("nth is not listed by a letter that stands first on the left and nowhere else");
    }
    return true;
}

/* Left-hand indices, and the order of the letters: outputs in lhs order, then the others. */
static bool verify_lhs(const Graph *g, const Equation *e, Text *why)
{
    int next = 0;
    for (int d = 0; d < e->dst->ndim; d++) {
        const Scalar *x = e->lhs[d];
        if (x == NULL || x->type != TYPE_INT) {
            BROKEN("left-hand index %d is missing or not an integer", d);
        }
        if (!verify_scalar(g, x, e->nletters, why)) {
            return false;
        }
        const Scalar *inner = x->op == OP_INJECT ? x->args[0] : x;
        if (inner->op == OP_LETTER) {
            if (inner->inum > next) {
                BROKEN("output letter %lld stands before letter %d on the left", (long long)inner->inum, next);
            }
            next += inner->inum == next;
        } else if (inner->op != OP_CONST && e->op != RED_SUM) {
            BROKEN("left-hand index %d is an expression and the equation is no sum", d);
        }
    }
    if (e->op == RED_NONE && next != e->nletters) {
        BROKEN("%d letters are reduced by no operator", e->nletters - next);
    }
    if ((e->op == RED_ARGMAX || e->op == RED_NTH) && e->nletters - next != 1) {
        BROKEN("%s over %d letters", reduce_name[e->op], e->nletters - next);
    }
    if ((e->op == RED_NTH) != e->dst->is_list) {
        BROKEN("nth defines lists, and nothing else does");
    }
    return e->op != RED_NTH || verify_rank(e, why);
}

static void count_externs(const Scalar *s, void *ctx)
{
    *(int *)ctx += s->op == OP_EXTERN;
}

/* A call stands alone in its equation, which defines one whole output of it, over axes that it knows the sizes of. */
static bool verify_extern(const Equation *e, Text *why)
{
    const Extern *x = e->body->ext;
    if (e->body->inum < 0 || e->body->inum >= x->nout || x->out[e->body->inum] != e->dst) {
        BROKEN("it is no output %lld of extern %s", (long long)e->body->inum, x->symbol);
    }
    if (e->op != RED_NONE || e->nconds > 0 || e->dst->elem != ELEM_REAL) {
        BROKEN("extern %s has conditions, a reduction or a result that is not real", x->symbol);
    }
    for (int k = -1; k < e->body->nargs; k++) {
        const Tensor *t = k < 0 ? e->dst : e->body->args[k]->tensor;
        for (int d = 0; d < t->ndim; d++) {
            if (!axis_is_plain(t->dims[d])) {
                BROKEN("extern %s: axis %s has a size per element of another", x->symbol, t->dims[d]->name);
            }
        }
        if (t->per_example && !e->dst->per_example) {
            BROKEN("extern %s: %s differs between examples, its result does not", x->symbol, t->name);
        }
    }
    for (int d = 0; d < e->dst->ndim; d++) {
        if (e->lhs[d]->op != OP_LETTER || e->lhs[d]->inum != d) {
            BROKEN("extern %s does not define all of %s", x->symbol, e->dst->name);
        }
    }
    return true;
}

static bool verify_types(const Equation *e, Text *why)
{
    Type dst = elem_type(e->dst->elem), body = e->body->type;
    switch (e->op) {
    case RED_NONE:
        if (dst != body) {
            BROKEN("its body has another type");
        }
        return true;
    case RED_SUM:
    case RED_MAX:
    case RED_MIN:
        if (dst != body || body == TYPE_BOOL) {
            BROKEN("%s of a body of another type, or of conditions", reduce_name[e->op]);
        }
        return true;
    case RED_ARGMAX:
        if (dst != TYPE_INT || body == TYPE_BOOL) {
            BROKEN("argmax is an integer, over numbers");
        }
        return true;
    case RED_NTH:
        if (dst != TYPE_INT || body != TYPE_INT) {
            BROKEN("nth is an integer, of integers");
        }
        return true;
    case RED_ANY:
        if (dst != TYPE_BOOL || body != TYPE_BOOL) {
            BROKEN("any is a condition, over conditions");
        }
        return true;
    }
    BROKEN("reduction %d", (int)e->op);
}

/* Every access to a tiled tensor is at the position that the equation's cluster cuts into tiles. */
typedef struct {
    const Equation *e;
    const Tensor *wrong;
} TileCheck;

static void check_tiled(const Scalar *s, void *ctx)
{
    TileCheck *c = ctx;
    if (s->op == OP_LOAD && s->tensor->tile_dim > 0 &&
        (c->e->cluster == 0 || c->e->by_rows || s->args[s->tensor->tile_dim] != c->e->tile)) {
        c->wrong = s->tensor;
    }
}

/* A position without a letter: of a part that every example has. */
static bool is_member(const Scalar *tile)
{
    return tile->op == OP_INJECT && tile->args[0]->op == OP_CONST && tile->axis->parts[tile->inum]->kind == AXIS_FIXED;
}

static bool verify_cluster(const Equation *e, Text *why)
{
    TileCheck c = {.e = e};
    equation_walk(e, check_tiled, &c);
    if (e->dst->tile_dim > 0 && (e->cluster == 0 || e->by_rows || e->lhs[e->dst->tile_dim] != e->tile)) {
        c.wrong = e->dst;
    }
    if (c.wrong) {
        BROKEN("tensor %s is tiled, and not at the position that this equation's cluster cuts", c.wrong->name);
    }
    bool cut = e->cluster > 0 && e->tile && (equation_tile_letter(e) >= 0 || is_member(e->tile));
    if (e->cluster < 0 || (e->cluster > 0 && (!cut || equation_example_letter(e) < 0))) {
        BROKEN("cluster %d cuts no letter of it", e->cluster);
    }
    if (e->adds && (e->op != RED_SUM || e->cluster == 0)) {
        BROKEN("it adds to its tensor, but is no sum in a cluster");
    }
    return true;
}

bool equation_verify(const Graph *g, const Equation *e, Text *why)
{
    if (!has_tensor(g, e->dst) || e->dst->role != ROLE_VALUE) {
        BROKEN("it defines no value of the graph");
    }
    if (e->nletters < 0 || e->nletters > MAX_LETTERS || e->nconds < 0 || e->body == NULL) {
        BROKEN("it has %d letters, %d conditions and %s body", e->nletters, e->nconds, e->body != NULL ? "a" : "no");
    }
    for (int k = 0; k < e->nletters; k++) {
        if (!verify_letter(g, e, k, why)) {
            return false;
        }
    }
    if (!verify_lhs(g, e, why) || !verify_scalar(g, e->body, e->nletters, why)) {
        return false;
    }
    for (int k = 0; k < e->nconds; k++) {
        if (e->conds[k]->type != TYPE_BOOL) {
            BROKEN("condition %d is not a condition", k);
        }
        if (!verify_scalar(g, e->conds[k], e->nletters, why)) {
            return false;
        }
    }
    int calls = 0;
    equation_walk(e, count_externs, &calls);
    if (calls != equation_is_extern(e)) {
        BROKEN("an extern is part of an expression");
    }
    return verify_types(e, why) && (!equation_is_extern(e) || verify_extern(e, why)) && verify_cluster(e, why);
}

/* ---- order ------------------------------------------------------------------------------------------------ */

/* A use before its definition is fine only inside one component, a recurrence. */
typedef struct {
    const Graph *g;
    const int *component, *last; /* last[t]: the last equation that defines tensor t, or -1 */
    int self;
    const Tensor *late;
} Order;

static void find_late(const Scalar *s, void *ctx)
{
    Order *o = ctx;
    if (s->op == OP_LOAD && o->late == NULL && o->last[s->tensor->id] >= o->self) {
        int last = o->last[s->tensor->id];
        if (o->component[last] != o->component[o->self]) {
            o->late = s->tensor;
        }
    }
}

static bool verify_order(const Graph *g, Text *why)
{
    int *component = calloc((size_t)g->nequations + (size_t)g->ntensors + 1, sizeof *component);
    if (component == NULL) {
        bug("out of memory while ordering %d equations", g->nequations);
    }
    int *last = component + g->nequations;
    graph_components(g, component);
    for (int t = 0; t < g->ntensors; t++) {
        last[t] = -1;
    }
    for (int e = 0; e < g->nequations; e++) {
        last[g->equations[e]->dst->id] = e;
    }
    Order o = {.g = g, .component = component, .last = last};
    for (o.self = 0; o.self < g->nequations && o.late == NULL; o.self++) {
        equation_walk(g->equations[o.self], find_late, &o);
        if (o.late != NULL) {
            text_printf(why, "equation %d of %s reads %s, which a later equation defines", o.self,
                        g->equations[o.self]->dst->name, o.late->name);
        }
    }
    free(component);
    return o.late == NULL;
}

/* ---- the graph -------------------------------------------------------------------------------------------- */

static bool verify_init(const Graph *g, const Tensor *t, Text *why)
{
    const Scalar *parts[] = {t->init->a, t->init->b, t->init->cond};
    for (int k = 0; k < 3; k++) {
        if (parts[k] != NULL && !verify_scalar(g, parts[k], t->ndim, why)) {
            return false;
        }
    }
    if (t->init->cond != NULL && t->init->cond->type != TYPE_BOOL) {
        BROKEN("the domain is not a condition");
    }
    return true;
}

bool graph_verify(const Graph *g, Text *why)
{
    for (int k = 0; k < g->naxes; k++) {
        if (g->axes[k]->id != k) {
            BROKEN("axis %d has id %d", k, g->axes[k]->id);
        }
        if (!verify_axis(g, g->axes[k], why)) {
            return false;
        }
    }
    for (int k = 0; k < g->ntensors; k++) {
        Tensor *t = g->tensors[k];
        if (t->id != k) {
            BROKEN("tensor %d has id %d", k, t->id);
        }
        if (!verify_tensor(g, t, why)) {
            return false;
        }
        Text inner = {0};
        if (t->init != NULL && !verify_init(g, t, &inner)) {
            text_printf(why, "initialiser of %s: %s", t->name, inner.s);
            text_free(&inner);
            return false;
        }
    }
    for (int k = 0; k < g->nequations; k++) {
        const Equation *e = g->equations[k];
        if (e->id != k) {
            BROKEN("equation %d has id %d", k, e->id);
        }
        Text inner = {0};
        if (!equation_verify(g, e, &inner)) {
            text_printf(why, "equation %d of %s: %s", k, e->dst != NULL ? e->dst->name : "nothing", inner.s);
            text_free(&inner);
            return false;
        }
    }
    for (int k = 0; k < g->nexterns; k++) {
        for (int n = 0; n < g->externs[k]->nout; n++) {
            if (g->externs[k]->id != k || !has_tensor(g, g->externs[k]->out[n])) {
                BROKEN("extern %s has another number, or a result that is not in the graph", g->externs[k]->symbol);
            }
        }
    }
    if (!has_axis(g, g->batch) || g->batch->kind != AXIS_BATCH || !has_tensor(g, g->row)) {
        BROKEN("the batch axis or the row ids are missing");
    }
    if (g->loss != NULL && (!has_tensor(g, g->loss) || g->loss->ndim != 0 || g->loss->per_example)) {
        BROKEN("the loss is no single number of the step");
    }
    return verify_order(g, why);
}
