/* Algebra on one node at a time, where the result is the same number: the builders of ir/scalar.c already compute
 * constants and decided conditions, what stands here are the identities. x * 0 stays (x may be infinite or NaN). */
#include "fault.h"
#include "rewrite.h"

static Scalar *as_type(Graph *g, Scalar *s, Type type)
{
    if (s->type == type) {
        return s;
    }
    return type == TYPE_REAL ? sc_op(g, OP_real, s) : type == TYPE_F32 ? sc_op(g, OP_f32, s) : NULL;
}

bool conds_are_opposite(const Scalar *a, const Scalar *b)
{
    if ((a->op == OP_not && a->args[0] == b) || (b->op == OP_not && b->args[0] == a)) {
        return true;
    }
    if (a->nargs != 2 || b->nargs != 2) {
        return false;
    }
    bool same = a->args[0] == b->args[0] && a->args[1] == b->args[1];
    bool turned = a->args[0] == b->args[1] && a->args[1] == b->args[0];
    bool less = (a->op == OP_lt && b->op == OP_le) || (a->op == OP_le && b->op == OP_lt);
    bool equal = (a->op == OP_eq && b->op == OP_ne) || (a->op == OP_ne && b->op == OP_eq);
    return (less && turned && a->args[0]->type == TYPE_INT) || (equal && (same || turned));
}

/* Sums keep their integer constant outermost on the right: (i + 2) - 3 becomes i - 1, so that shifts are seen. */
static Scalar *fold_shift(Graph *g, const Scalar *s)
{
    if (s->type != TYPE_INT) {
        return NULL;
    }
    Scalar *a = s->args[0], *b = s->args[1];
    bool minus = s->op == OP_sub;
    if (a == b && minus) {
        return sc_int(g, 0);
    }
    if (b->op == OP_CONST && minus && b->inum < 0 && b->inum != INT64_MIN) {
        return fold_op2(g, OP_add, a, sc_int(g, -b->inum));
    }
    if (b->op == OP_CONST && minus) { /* one form for both signs; printed as written by the text form */
        return b->inum != INT64_MIN && (a->op == OP_add || a->op == OP_sub)
                   ? fold_op2(g, OP_add, a, sc_int(g, -b->inum))
                   : NULL;
    }
    if (b->op == OP_CONST && a->op == OP_add && a->args[1]->op == OP_CONST) {
        return fold_op2(g, OP_add, a->args[0], fold_op2(g, OP_add, a->args[1], b));
    }
    if (b->op == OP_CONST && a->op == OP_sub && a->args[1]->op == OP_CONST) {
        return fold_op2(g, OP_add, a->args[0], fold_op2(g, FAULT(12) ? OP_add : OP_sub, b, a->args[1]));
    }
    if (b->op == OP_CONST && b->inum < 0 && b->inum != INT64_MIN) {
        return sc_op(g, OP_sub, a, sc_int(g, -b->inum));
    }
    /* x + (y - x) and (x + y) - x, which inverted shifts leave behind */
    if (!minus && b->op == OP_sub && b->args[1] == a) {
        return b->args[0];
    }
    if (!minus && a->op == OP_sub && a->args[1] == b) {
        return a->args[0];
    }
    if (minus && a->op == OP_add && (a->args[0] == b || a->args[1] == b)) {
        return a->args[a->args[0] == b];
    }
    if (minus && b->op == OP_sub && b->args[0] == a) { /* x - (x - y) */
        return b->args[1];
    }
    return NULL;
}

static Scalar *fold_arith(Graph *g, Scalar *s)
{
    Scalar *a = s->args[0], *b = s->args[1], *out = NULL;
    switch (s->op) {
    case OP_add:
        if (a->op == OP_CONST && b->op != OP_CONST) {
            return fold_op2(g, OP_add, b, a);
        }
        if (sc_is_const(b, 0)) {
            out = a;
        } else if (b->op == OP_neg) {
            out = fold_op2(g, OP_sub, a, b->args[0]);
        } else if (a->op == OP_select && b->op == OP_select && a->args[0] == b->args[0]) {
            out = fold_op3(g, OP_select, a->args[0], fold_op2(g, OP_add, a->args[1], b->args[1]),
                           fold_op2(g, OP_add, a->args[2], b->args[2]));
        } else {
            out = fold_shift(g, s);
        }
        break;
    case OP_sub:
        if (sc_is_const(b, 0)) {
            out = a;
        } else if (sc_is_const(a, 0)) {
            out = fold_op1(g, OP_neg, b);
        } else if (b->op == OP_neg) {
            out = fold_op2(g, OP_add, a, b->args[0]);
        } else {
            out = fold_shift(g, s);
        }
        break;
    case OP_mul:
        if (a->op == OP_CONST && b->op != OP_CONST) {
            return fold_op2(g, OP_mul, b, a);
        }
        if (sc_is_const(b, 1)) {
            out = a;
        } else if (sc_is_const(b, -1)) {
            out = fold_op1(g, OP_neg, a);
        } else if (sc_is_const(b, 0) && s->type == TYPE_INT) {
            out = b;
        } else if (a->op == OP_neg && b->op == OP_neg) {
            out = fold_op2(g, OP_mul, a->args[0], b->args[0]);
        } else if (a->op == OP_neg) {
            out = fold_op1(g, OP_neg, fold_op2(g, OP_mul, a->args[0], b));
        } else if (b->op == OP_neg) {
            out = fold_op1(g, OP_neg, fold_op2(g, OP_mul, a, b->args[0]));
        }
        break;
    case OP_div:
        if (sc_is_const(b, 1)) {
            out = a;
        } else if (sc_is_const(b, -1)) {
            out = fold_op1(g, OP_neg, a);
        }
        break;
    case OP_idiv:
        if (sc_is_const(b, 1)) {
            out = a;
        }
        break;
    case OP_mod:
        if (sc_is_const(b, 1)) {
            out = sc_int(g, 0);
        }
        break;
    case OP_pow:
        if (sc_is_const(b, 1)) {
            out = a;
        } else if (sc_is_const(b, 2)) {
            out = sc_op(g, OP_mul, a, a);
        } else if (sc_is_const(b, 0.5)) {
            out = sc_op(g, OP_sqrt, a);
        } else if (sc_is_const(b, -1)) {
            out = sc_op(g, OP_div, sc_real(g, 1), a);
        } else if (sc_is_const(b, -0.5)) {
            out = sc_op(g, OP_rsqrt, a);
        }
        break;
    case OP_max:
    case OP_min:
        if (a == b) {
            out = a;
        }
        break;
    default:
        break;
    }
    return out ? as_type(g, out, s->type) : NULL;
}

/* a or (a and c) is a; so is a and (a or c). */
static bool absorbs(const Scalar *outer, const Scalar *a, const Scalar *b)
{
    return b->op != outer->op && (b->op == OP_and || b->op == OP_or) && (b->args[0] == a || b->args[1] == a);
}

static Scalar *fold_logic(Graph *g, Scalar *s)
{
    Scalar *a = s->args[0], *b = s->nargs > 1 ? s->args[1] : NULL;
    switch (s->op) {
    case OP_and:
    case OP_or:
        if (absorbs(s, a, b)) {
            return a;
        }
        if (absorbs(s, b, a)) {
            return b;
        }
        if (a == b) {
            return a;
        }
        if (conds_are_opposite(a, b)) {
            return sc_bool(g, s->op == OP_or);
        }
        return b->op == OP_CONST && (b->inum != 0) == (s->op == OP_or) && a->nargs == 0 ? b : NULL;
    case OP_not:
        switch (a->op) {
        case OP_not:
            return a->args[0];
        case OP_eq:
            return fold_op2(g, OP_ne, a->args[0], a->args[1]);
        case OP_ne:
            return fold_op2(g, OP_eq, a->args[0], a->args[1]);
        case OP_lt: /* only integers: a comparison with NaN is false both ways */
            return a->args[0]->type == TYPE_INT ? fold_op2(g, FAULT(11) ? OP_lt : OP_le, a->args[1], a->args[0]) : NULL;
        case OP_le:
            return a->args[0]->type == TYPE_INT ? fold_op2(g, OP_lt, a->args[1], a->args[0]) : NULL;
        default:
            return NULL;
        }
    case OP_lt:
    case OP_le:
    case OP_eq:
    case OP_ne:
        if (a == b && a->type != TYPE_REAL && a->type != TYPE_F32) {
            return sc_bool(g, s->op == OP_le || s->op == OP_eq);
        }
        if (a->type == TYPE_BOOL && b->op == OP_CONST) {
            return (b->inum != 0) == (s->op == OP_eq) ? a : fold_op1(g, OP_not, a);
        }
        return NULL;
    case OP_select:
        if (b == s->args[2]) {
            return b;
        }
        if (a->op == OP_not) {
            return fold_op3(g, OP_select, a->args[0], s->args[2], b);
        }
        if (s->type == TYPE_BOOL && b->op == OP_CONST && s->args[2]->op == OP_CONST) {
            return b->inum ? a : fold_op1(g, OP_not, a);
        }
        if (s->type == TYPE_BOOL && s->args[2]->op == OP_CONST && !s->args[2]->inum) {
            return fold_op2(g, OP_and, a, b);
        }
        /* A nested choice on the same condition is decided. */
        if (b->op == OP_select && b->args[0] == a) {
            return fold_op3(g, OP_select, a, b->args[1], s->args[2]);
        }
        if (s->args[2]->op == OP_select && s->args[2]->args[0] == a) {
            return fold_op3(g, OP_select, a, b, s->args[2]->args[2]);
        }
        return NULL;
    default:
        return NULL;
    }
}

Scalar *fold_node(Graph *g, Scalar *s)
{
    Scalar *out = NULL;
    switch (s->op) {
    case OP_PART:
        if (s->args[0]->op == OP_INJECT && s->args[0]->axis == s->axis) {
            out = sc_int(g, s->args[0]->inum);
        }
        break;
    case OP_LOCAL:
        if (s->args[0]->op == OP_INJECT && s->args[0]->axis == s->axis) {
            out = s->args[0]->args[0];
        }
        break;
    case OP_neg:
        if (s->args[0]->op == OP_neg) {
            out = s->args[0]->args[0];
        } else if (s->args[0]->op == OP_sub) {
            out = fold_op2(g, OP_sub, s->args[0]->args[1], s->args[0]->args[0]);
        }
        break;
    case OP_abs:
        if (s->args[0]->op == OP_neg || s->args[0]->op == OP_abs) {
            out = fold_op1(g, OP_abs, s->args[0]->args[0]);
        }
        break;
    case OP_stop:
        if (s->args[0]->op == OP_stop || s->args[0]->op == OP_CONST || s->type == TYPE_INT || s->type == TYPE_BOOL) {
            out = s->args[0];
        }
        break;
    case OP_and:
    case OP_or:
    case OP_not:
    case OP_lt:
    case OP_le:
    case OP_eq:
    case OP_ne:
    case OP_select:
        out = fold_logic(g, s);
        break;
    default:
        if (s->op > OP_STEP && s->nargs == 2) {
            out = fold_arith(g, s);
        }
        break;
    }
    return out && out != s ? sc_with_span(g, out, s->span) : s;
}

static Scalar *fold_each(Graph *g, Scalar *s, void *ctx)
{
    (void)ctx;
    return fold_node(g, s);
}

Scalar *fold(Graph *g, Scalar *s)
{
    return sc_rewrite(g, s, fold_each, NULL);
}

Scalar *fold_op1(Graph *g, Op op, Scalar *a)
{
    return fold_node(g, sc_op(g, op, a));
}

Scalar *fold_op2(Graph *g, Op op, Scalar *a, Scalar *b)
{
    return fold_node(g, sc_op(g, op, a, b));
}

Scalar *fold_op3(Graph *g, Op op, Scalar *a, Scalar *b, Scalar *c)
{
    return fold_node(g, sc_op(g, op, a, b, c));
}

typedef struct {
    int n;
    Scalar *const *map;
} Letters;

static Scalar *replace_letters(Graph *g, Scalar *s, void *ctx)
{
    const Letters *l = ctx;
    if (s->op == OP_LETTER && s->inum < l->n && l->map[s->inum]) {
        return l->map[s->inum];
    }
    return fold_node(g, s);
}

Scalar *fold_substitute(Graph *g, Scalar *s, int n, Scalar *const *map)
{
    Letters l = {n, map};
    return sc_rewrite(g, s, replace_letters, &l);
}
