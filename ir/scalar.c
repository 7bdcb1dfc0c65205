/* Scalars: hash-consing, type rules, constants. A Scalar is built by the functions here alone, so an ill-typed one
 * cannot exist: what would be one is bug() here; the parsers ask sc_check first.
 *
 * Constants are folded where the result is exact or a double anyway: INT, BOOL, REAL. F32 arithmetic is left to run
 * time, because there it is rounded after every operation by the machine that runs it. */
#include "ptrmap.h"
#include "table.h"
#include "value.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

const OpInfo op_info[OP_COUNT] = {
    [OP_CONST] = {"const", -1, RULE_SAME, {0}, 0},   [OP_LETTER] = {"letter", -1, RULE_SAME, {0}, 0},
    [OP_LOAD] = {"load", -1, RULE_SAME, {0}, 0},     [OP_SIZE] = {"size", -1, RULE_INT, {0}, 0},
    [OP_PART] = {"part", -1, RULE_INT, {0}, 0},      [OP_LOCAL] = {"local", -1, RULE_INT, {0}, 0},
    [OP_INJECT] = {"inject", -1, RULE_INT, {0}, 0},  [OP_RAND] = {"rand", -1, RULE_REAL, {0}, 0},
    [OP_SELF] = {"self", -1, RULE_INT, {0}, 0},      [OP_STEP] = {"step", -1, RULE_INT, {0}, MONOTONE},
    [OP_EXTERN] = {"extern", -1, RULE_REAL, {0}, 0},
#define OP(op, nargs, rule, value, da, db, dc, flags) [OP_##op] = {#op, nargs, rule, {da, db, dc}, flags},
#include "scalar.def"
#undef OP
};

Type elem_type(Elem e)
{
    switch (e) {
    case ELEM_BOOL:
        return TYPE_BOOL;
    case ELEM_I32:
    case ELEM_I64:
        return TYPE_INT;
    case ELEM_REAL:
        return TYPE_REAL;
    case ELEM_F32:
        return TYPE_F32;
    }
    bug("element type %d", (int)e);
}

/* ---- hash-consing ----------------------------------------------------------------------------------------- */

static uint64_t bits(double v)
{
    uint64_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

/* The union of a Scalar as a number that identifies it. */
static uint64_t payload(const Scalar *s)
{
    switch (s->op) {
    case OP_CONST:
        return s->type == TYPE_REAL || s->type == TYPE_F32 ? bits(s->num) : (uint64_t)s->inum;
    case OP_LETTER:
    case OP_INJECT:
    case OP_EXTERN:
        return (uint64_t)s->inum;
    case OP_LOAD: /* not its id: that changes when dead tensors leave the graph */
        return (uint64_t)(uintptr_t)s->tensor;
    default:
        return 0;
    }
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

static uint64_t hash_scalar(const Scalar *s)
{
    uint64_t h = mix((uint64_t)s->op, (uint64_t)s->type * 4 + (uint64_t)s->at * 2 + (uint64_t)s->by_step);
    h = mix(h, payload(s));
    h = mix(h, (uint64_t)(uintptr_t)s->axis);
    h = mix(h, (uint64_t)(uintptr_t)s->ext);
    for (int k = 0; k < s->nargs; k++) {
        h = mix(h, (uint64_t)s->args[k]->id);
    }
    for (const char *p = s->name; p != NULL && *p != '\0'; p++) {
        h = mix(h, (uint64_t)(unsigned char)*p);
    }
    for (int k = 0; k < s->ntable; k++) {
        h = mix(h, (uint64_t)s->table[k]);
    }
    return h;
}

static bool same_scalar(const Scalar *a, const Scalar *b)
{
    if (a->op != b->op || a->type != b->type || a->nargs != b->nargs || a->at != b->at || a->by_step != b->by_step ||
        a->axis != b->axis || a->ext != b->ext || a->ntable != b->ntable || payload(a) != payload(b) ||
        (a->op == OP_LOAD && a->tensor != b->tensor) || (a->name == NULL) != (b->name == NULL)) {
        return false;
    }
    for (int k = 0; k < a->nargs; k++) {
        if (a->args[k] != b->args[k]) {
            return false;
        }
    }
    return (a->name == NULL || strcmp(a->name, b->name) == 0) &&
           (a->ntable == 0 || memcmp(a->table, b->table, (size_t)a->ntable * sizeof *a->table) == 0);
}

static void insert(ScalarTable *t, Scalar *s, uint64_t h)
{
    size_t at = (size_t)h & (t->nslots - 1);
    while (t->slots[at] != NULL) {
        at = (at + 1) & (t->nslots - 1);
    }
    t->slots[at] = s;
}

static void grow_table(Graph *g)
{
    ScalarTable *t = g->table;
    t->nslots = t->nslots > 0 ? 2 * t->nslots : 1024;
    t->slots = arena_alloc(g->arena, t->nslots * sizeof *t->slots);
    for (int k = 0; k < g->nscalars; k++) {
        insert(t, g->scalars[k], hash_scalar(g->scalars[k]));
    }
}

static Scalar *intern(Graph *g, Scalar s)
{
    ScalarTable *t = g->table;
    if (2 * (size_t)(g->nscalars + 1) > t->nslots) {
        grow_table(g);
    }
    uint64_t h = hash_scalar(&s);
    for (size_t at = (size_t)h & (t->nslots - 1); t->slots[at] != NULL; at = (at + 1) & (t->nslots - 1)) {
        if (same_scalar(t->slots[at], &s)) {
            return t->slots[at];
        }
    }
    Scalar *fresh = arena_alloc(g->arena, sizeof *fresh);
    *fresh = s;
    fresh->id = g->nscalars;
    if (s.nargs > 0) {
        Scalar **args = arena_alloc(g->arena, (size_t)s.nargs * sizeof *args);
        memcpy(args, s.args, (size_t)s.nargs * sizeof *args);
        fresh->args = args;
    } else {
        fresh->args = NULL;
    }
    if (s.name != NULL) {
        fresh->name = arena_strdup(g->arena, s.name);
    }
    if (s.ntable > 0) {
        int64_t *table = arena_alloc(g->arena, (size_t)s.ntable * sizeof *table);
        memcpy(table, s.table, (size_t)s.ntable * sizeof *table);
        fresh->table = table;
    }
    ARENA_PUSH(g->arena, g->scalars, g->nscalars, fresh);
    insert(t, fresh, h);
    return fresh;
}

/* ---- leaves and structural operators ---------------------------------------------------------------------- */

Scalar *sc_real(Graph *g, double v)
{
    return intern(g, (Scalar){.op = OP_CONST, .type = TYPE_REAL, .num = v});
}

Scalar *sc_f32(Graph *g, double v)
{
    return intern(g, (Scalar){.op = OP_CONST, .type = TYPE_F32, .num = (double)(float)v});
}

Scalar *sc_int(Graph *g, int64_t v)
{
    return intern(g, (Scalar){.op = OP_CONST, .type = TYPE_INT, .inum = v});
}

Scalar *sc_bool(Graph *g, bool v)
{
    return intern(g, (Scalar){.op = OP_CONST, .type = TYPE_BOOL, .inum = v});
}

Scalar *sc_letter(Graph *g, int k)
{
    return intern(g, (Scalar){.op = OP_LETTER, .type = TYPE_INT, .inum = k});
}

Scalar *sc_self(Graph *g)
{
    return intern(g, (Scalar){.op = OP_SELF, .type = TYPE_INT});
}

Scalar *sc_extern(Graph *g, Extern *x, int k, int n, Scalar *const *args)
{
    if (k < 0 || k >= MAX_EXTERN_INPUTS || n < 1 || n > MAX_EXTERN_INPUTS + 1) {
        bug("output %d of extern %s with %d arguments", k, x->symbol, n);
    }
    return intern(g, (Scalar){.op = OP_EXTERN, .type = TYPE_REAL, .nargs = n, .args = args, .ext = x, .inum = k});
}

static void need_ints(const char *what, int n, Scalar *const *args)
{
    for (int k = 0; k < n; k++) {
        if (args[k]->type != TYPE_INT) {
            bug("argument %d of %s is not an integer", k + 1, what);
        }
    }
}

Scalar *sc_load(Graph *g, Tensor *t, int n, Scalar *const *args)
{
    bool at = !g->batched && t->per_example && n == t->ndim + 1;
    if (n != t->ndim && !at) {
        bug("%s has %d dimensions and is loaded with %d indices", t->name, t->ndim, n);
    }
    need_ints(t->name, n, args);
    return intern(g,
                  (Scalar){.op = OP_LOAD, .type = elem_type(t->elem), .nargs = n, .args = args, .tensor = t, .at = at});
}

Scalar *sc_size(Graph *g, Axis *a, int n, Scalar *const *args)
{
    need_ints("size", n, args);
    if (n == 0 && !axis_is_ragged(a) && axis_bound(a) >= 0) {
        return sc_int(g, axis_bound(a));
    }
    return intern(g, (Scalar){.op = OP_SIZE, .type = TYPE_INT, .nargs = n, .args = args, .axis = a});
}

Scalar *sc_axis_op(Graph *g, Op op, Axis *a, int part, int n, Scalar *const *args)
{
    if (a->kind != AXIS_SUM || (op != OP_PART && op != OP_LOCAL && op != OP_INJECT) || n < 1 || n > 2) {
        bug("%s of axis %s with %d arguments", op_info[op].name, a->name, n);
    }
    if (op == OP_INJECT && (part < 0 || part >= a->nparts)) {
        bug("axis %s has no part %d", a->name, part);
    }
    need_ints(op_info[op].name, n, args);
    return intern(
        g,
        (Scalar){.op = op, .type = TYPE_INT, .nargs = n, .args = args, .axis = a, .inum = op == OP_INJECT ? part : 0});
}

Scalar *sc_rand(Graph *g, const char *stream, bool by_step, int n, Scalar *const *args)
{
    need_ints("rand", n, args);
    return intern(
        g, (Scalar){.op = OP_RAND, .type = TYPE_REAL, .nargs = n, .args = args, .name = stream, .by_step = by_step});
}

static int64_t count_thresholds(int n, const int64_t *table, int64_t v)
{
    int lo = 0, hi = n;
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (table[mid] <= v) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

Scalar *sc_step(Graph *g, int n, const int64_t *table, Scalar *arg)
{
    need_ints("step", 1, &arg);
    for (int k = 1; k < n; k++) {
        if (table[k - 1] > table[k]) {
            bug("thresholds of a step function do not ascend");
        }
    }
    if (arg->op == OP_CONST) {
        return sc_int(g, count_thresholds(n, table, arg->inum));
    }
    return intern(g, (Scalar){.op = OP_STEP, .type = TYPE_INT, .nargs = 1, .args = &arg, .table = table, .ntable = n});
}

/* ---- functions -------------------------------------------------------------------------------------------- */

const char *sc_check(Op op, int n, Scalar *const *args)
{
    if (op <= OP_STEP || op >= OP_COUNT) {
        return "not a function";
    }
    if (n != op_info[op].nargs) {
        return "wrong number of arguments";
    }
    int numbers = 0, bools = 0, ints = 0;
    for (int k = 0; k < n; k++) {
        bools += args[k]->type == TYPE_BOOL;
        ints += args[k]->type == TYPE_INT;
    }
    numbers = n - bools;
    switch (op_info[op].rule) {
    case RULE_ARITH:
    case RULE_REAL:
    case RULE_TRUNC:
    case RULE_TO_REAL:
    case RULE_TO_F32:
        return numbers == n ? NULL : "a number is needed, not a condition";
    case RULE_INT:
        return ints == n ? NULL : "integers are needed";
    case RULE_COMPARE:
        if (numbers == n || (bools == n && (op == OP_eq || op == OP_ne))) {
            return NULL;
        }
        return "two numbers are needed (or two conditions for == and !=)";
    case RULE_BOOL:
        return bools == n ? NULL : "a condition is needed, not a number";
    case RULE_SELECT:
        if (args[0]->type != TYPE_BOOL) {
            return "the first argument must be a condition";
        }
        return bools == 1 || bools == 3 ? NULL : "the two sides are a number and a condition";
    case RULE_SAME:
        return NULL;
    }
    return "unknown rule";
}

static bool is_integer_choice(const Scalar *s) /* selects between integer constants */
{
    return s->type == TYPE_INT && (s->op == OP_CONST || (s->op == OP_select && is_integer_choice(s->args[1]) &&
                                                         is_integer_choice(s->args[2])));
}

static Scalar *convert(Graph *g, Scalar *s, Type to)
{
    if (s->type == to || s->type == TYPE_BOOL) {
        return s;
    }
    if (s->op == OP_CONST) {
        double v = s->type == TYPE_INT ? (double)s->inum : s->num;
        if (to == TYPE_REAL) {
            return sc_real(g, v);
        }
        if (to == TYPE_F32) {
            return sc_f32(g, s->type == TYPE_INT ? (double)(float)s->inum : v);
        }
    }
    if (is_integer_choice(s)) { /* select(c, 1, 0) becomes select(c, 1.0, 0.0): derivatives are written that way */
        Scalar *args[] = {s->args[0], convert(g, s->args[1], to), convert(g, s->args[2], to)};
        return sc_opv(g, OP_select, 3, args);
    }
    Op op = to == TYPE_F32 ? OP_f32 : OP_real;
    return intern(g, (Scalar){.op = op, .type = to, .nargs = 1, .args = &s});
}

/* The type that numbers of several types meet in. An f32 stays f32 beside constants and integers; beside another
 * REAL it is widened. */
static Type meet(int n, Scalar *const *args)
{
    bool reals = false, f32s = false, consts = false;
    for (int k = 0; k < n; k++) {
        if (args[k]->type == TYPE_F32) {
            f32s = true;
        } else if (args[k]->type == TYPE_REAL) {
            if (args[k]->op == OP_CONST) {
                consts = true;
            } else {
                reals = true;
            }
        }
    }
    if (reals || (consts && !f32s)) {
        return TYPE_REAL;
    }
    return f32s ? TYPE_F32 : TYPE_INT;
}

/* Folds an operation on constants, or returns NULL. */
static Scalar *fold(Graph *g, const Scalar *s)
{
    Value args[3], v;
    for (int k = 0; k < s->nargs; k++) {
        if (s->args[k]->op != OP_CONST) {
            return NULL;
        }
        if (s->args[k]->type == TYPE_REAL || s->args[k]->type == TYPE_F32) {
            args[k].num = s->args[k]->num;
        } else {
            args[k].inum = s->args[k]->inum;
        }
    }
    bool exact = s->type != TYPE_F32 || s->op == OP_neg || s->op == OP_stop;
    if (!exact || value_apply(s, args, &v) != NULL) {
        return NULL;
    }
    switch (s->type) {
    case TYPE_BOOL:
        return sc_bool(g, v.inum != 0);
    case TYPE_INT:
        return sc_int(g, v.inum);
    case TYPE_F32:
        return sc_f32(g, v.num);
    case TYPE_REAL:
        return isfinite(v.num) ? sc_real(g, v.num) : NULL;
    }
    return NULL;
}

/* What needs no evaluation to be known: a decided condition. */
static Scalar *shortcut(Op op, Scalar *const *args)
{
    if (op == OP_select && args[0]->op == OP_CONST) {
        return args[0]->inum ? args[1] : args[2];
    }
    if (op != OP_and && op != OP_or) {
        return NULL;
    }
    bool neutral = op == OP_and;
    if (args[0]->op == OP_CONST) {
        return (args[0]->inum != 0) == neutral ? args[1] : args[0];
    }
    return args[1]->op == OP_CONST && (args[1]->inum != 0) == neutral ? args[0] : NULL;
}

Scalar *sc_opv(Graph *g, Op op, int n, Scalar *const *given)
{
    const char *wrong = sc_check(op, n, given);
    if (wrong != NULL) {
        bug("%s: %s", op >= 0 && op < OP_COUNT ? op_info[op].name : "?", wrong);
    }
    Scalar *args[3];
    memcpy(args, given, (size_t)n * sizeof *args);
    TypeRule rule = op_info[op].rule;
    Type type = TYPE_BOOL;
    int first = 0; /* operands from here on meet in one type */
    switch (rule) {
    case RULE_ARITH:
        type = meet(n, args);
        break;
    case RULE_REAL:
        type = meet(n, args);
        type = type == TYPE_INT ? TYPE_REAL : type;
        break;
    case RULE_SELECT:
        first = 1;
        type = args[1]->type == TYPE_BOOL ? TYPE_BOOL : meet(2, args + 1);
        break;
    case RULE_COMPARE:
        for (int k = 0; k < n; k++) {
            args[k] = convert(g, args[k], meet(n, given));
        }
        break;
    case RULE_TRUNC:
        if (args[0]->type == TYPE_INT) {
            return args[0];
        }
        type = TYPE_INT;
        break;
    case RULE_INT:
        type = TYPE_INT;
        break;
    case RULE_BOOL:
        break;
    case RULE_TO_REAL:
        return convert(g, args[0], TYPE_REAL);
    case RULE_TO_F32:
        return convert(g, args[0], TYPE_F32);
    case RULE_SAME:
        type = args[0]->type;
        break;
    }
    if (rule == RULE_ARITH || rule == RULE_REAL || rule == RULE_SELECT) {
        for (int k = first; k < n; k++) {
            args[k] = convert(g, args[k], type);
        }
    }
    Scalar *known = shortcut(op, args);
    if (known != NULL) {
        return known;
    }
    Scalar s = {.op = op, .type = type, .nargs = n, .args = args};
    known = fold(g, &s);
    return known != NULL ? known : intern(g, s);
}

Scalar *sc_op(Graph *g, Op op, ...)
{
    if (op <= OP_STEP || op >= OP_COUNT) {
        bug("sc_op: operator %d is not a function", (int)op);
    }
    Scalar *args[3];
    va_list ap;
    va_start(ap, op);
    for (int k = 0; k < op_info[op].nargs; k++) {
        args[k] = va_arg(ap, Scalar *);
    }
    va_end(ap);
    return sc_opv(g, op, op_info[op].nargs, args);
}

/* ---- rebuilding, walking, evaluating ---------------------------------------------------------------------- */

Scalar *sc_rebuild(Graph *g, const Scalar *s, Scalar *const *args)
{
    Scalar *r;
    bool same = true;
    for (int k = 0; k < s->nargs; k++) {
        same = same && args[k] == s->args[k];
    }
    if (same) {
        return g->scalars[s->id];
    }
    switch (s->op) {
    case OP_CONST:
    case OP_LETTER:
    case OP_SELF:
        return g->scalars[s->id];
    case OP_LOAD:
    case OP_SIZE:
    case OP_PART:
    case OP_LOCAL:
    case OP_INJECT:
    case OP_RAND: {
        need_ints(op_info[s->op].name, s->nargs, args);
        Scalar copy = *s;
        copy.args = args;
        r = intern(g, copy);
        break;
    }
    case OP_EXTERN:
        r = sc_extern(g, s->ext, (int)s->inum, s->nargs, args);
        break;
    case OP_STEP:
        r = sc_step(g, s->ntable, s->table, args[0]);
        break;
    default:
        r = sc_opv(g, s->op, s->nargs, args);
        break;
    }
    return sc_with_span(g, r, s->span);
}

Scalar *sc_with_span(Graph *g, Scalar *s, Span span)
{
    (void)g;
    if (s->span.source == NULL) {
        s->span = span;
    }
    return s;
}

typedef struct {
    Graph *graph;
    int n;
    Scalar *const *map;
    PtrMap done;
} Substitution;

static Scalar *substitute(Substitution *sub, Scalar *s)
{
    if (s->op == OP_LETTER) {
        Scalar *to = s->inum < sub->n ? sub->map[s->inum] : NULL;
        return to != NULL ? to : s;
    }
    if (s->nargs == 0) {
        return s;
    }
    void **known = ptrmap_at(&sub->done, s);
    if (*known != NULL) {
        return *known;
    }
    Scalar *small[MAX_DIMS + 2], **args = small;
    if (s->nargs > MAX_DIMS + 2) {
        args = arena_alloc(sub->graph->arena, (size_t)s->nargs * sizeof *args);
    }
    for (int k = 0; k < s->nargs; k++) {
        args[k] = substitute(sub, s->args[k]);
    }
    Scalar *r = sc_rebuild(sub->graph, s, args);
    *ptrmap_at(&sub->done, s) = r;
    return r;
}

Scalar *sc_substitute(Graph *g, Scalar *s, int n, Scalar *const *map)
{
    for (int k = 0; k < n; k++) {
        if (map[k] != NULL && map[k]->type != TYPE_INT) {
            bug("letter %d is replaced by something that is not an integer", k);
        }
    }
    Substitution sub = {.graph = g, .n = n, .map = map};
    Scalar *r = substitute(&sub, s);
    ptrmap_free(&sub.done);
    return r;
}

static void walk(PtrMap *seen, const Scalar *s, void (*f)(const Scalar *, void *), void *ctx)
{
    void **mark = ptrmap_at(seen, s);
    if (*mark != NULL) {
        return;
    }
    *mark = seen;
    for (int k = 0; k < s->nargs; k++) {
        walk(seen, s->args[k], f, ctx);
    }
    f(s, ctx);
}

void sc_walk(const Scalar *s, void (*f)(const Scalar *, void *), void *ctx)
{
    PtrMap seen = {0};
    walk(&seen, s, f, ctx);
    ptrmap_free(&seen);
}

static void note_letter(const Scalar *s, void *ctx)
{
    *(unsigned *)ctx |= s->op == OP_LETTER ? 1u << s->inum : 0;
}

unsigned sc_letters(const Scalar *s)
{
    unsigned set = 0;
    sc_walk(s, note_letter, &set);
    return set;
}

bool sc_uses_letter(const Scalar *s, int k)
{
    return sc_letters(s) >> k & 1;
}

bool sc_is_const(const Scalar *s, double v)
{
    if (s->op != OP_CONST || s->type == TYPE_BOOL) {
        return false;
    }
    return s->type == TYPE_INT ? (double)s->inum == v : s->num == v;
}

static bool evaluate(const Scalar *s, Value *out)
{
    if (s->op == OP_CONST) {
        if (s->type == TYPE_REAL || s->type == TYPE_F32) {
            out->num = s->num;
        } else {
            out->inum = s->inum;
        }
        return true;
    }
    if (s->op == OP_STEP) {
        Value v;
        if (!evaluate(s->args[0], &v)) {
            return false;
        }
        out->inum = count_thresholds(s->ntable, s->table, v.inum);
        return true;
    }
    if (s->op < OP_STEP) {
        return false;
    }
    Value args[3] = {{0}};
    if (s->op == OP_select || s->op == OP_and || s->op == OP_or) { /* only the side that decides */
        if (!evaluate(s->args[0], &args[0])) {
            return false;
        }
        if (s->op == OP_select) {
            return evaluate(s->args[args[0].inum ? 1 : 2], out);
        }
        if ((args[0].inum != 0) == (s->op == OP_or)) {
            out->inum = args[0].inum;
            return true;
        }
        return evaluate(s->args[1], out);
    }
    for (int k = 0; k < s->nargs; k++) {
        if (!evaluate(s->args[k], &args[k])) {
            return false;
        }
    }
    return value_apply(s, args, out) == NULL;
}

bool sc_evaluate(const Scalar *s, double *out)
{
    Value v;
    if (!evaluate(s, &v)) {
        return false;
    }
    *out = s->type == TYPE_REAL || s->type == TYPE_F32 ? v.num : (double)v.inum;
    return true;
}
