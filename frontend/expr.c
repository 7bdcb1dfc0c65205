/* Expressions: each becomes a Val, an IR scalar together with the conditions under which it is defined (rules 2 to 4
 * of the language). `a else b` is a select on the conditions of a; what is left over are conditions of the result. */
#include "elab.h"

#include <string.h>

Val bad_val(void)
{
    return (Val){.bad = true};
}

Val plain_val(Scalar *s)
{
    return (Val){.s = s};
}

Val force(Ctx *c, Val v)
{
    if (!v.bad && v.pending != NULL) {
        v.s = emit_pending(c, v.pending, v.span);
        v.pending = NULL;
    }
    return v;
}

/* The declared sum of axes that has both as sources, or NULL. */
static Axis *common_sum(Elab *E, const Axis *a, const Axis *b)
{
    for (AxisInfo *i = E->axes; i != NULL; i = i->next) {
        if (i->axis == NULL || i->axis->kind != AXIS_SUM) {
            continue;
        }
        bool has_a = false, has_b = false;
        for (int k = 0; k < i->axis->nparts; k++) {
            has_a = has_a || i->axis->parts[k] == a;
            has_b = has_b || i->axis->parts[k] == b;
        }
        if (has_a && has_b) {
            return i->axis;
        }
    }
    return NULL;
}

Val token_to(Ctx *c, Val v, Axis *axis)
{
    const Axis *part = v.part != NULL ? v.part : v.home;
    for (int k = 0; k < axis->nparts; k++) {
        if (axis->parts[k] == part) {
            v.s = sc_axis_op(c->E->g, OP_INJECT, axis, k, 1, &v.s);
            v.part = NULL;
            v.home = axis;
            return v;
        }
    }
    return bad_val();
}

/* ---- operators ---------------------------------------------------------------------------------------------- */

static const char *thing_of(Elab *E, const Axis *a)
{
    const AxisInfo *i = axis_info(E, a);
    if (i == NULL) {
        return a->name;
    }
    switch (i->kind) {
    case AC_RAGGED:
        return fmt(E, "an event of %s", a->name);
    case AC_VOCAB:
        return fmt(E, "an item of %s", a->name);
    case AC_MEMBERS:
        return fmt(E, "a member of %s", a->name);
    case AC_BATCH:
        return "an example of the batch";
    default:
        return fmt(E, "an index of %s", a->name);
    }
}

static const char *letters_of(Elab *E, const Axis *a)
{
    const AxisInfo *i = axis_info(E, a);
    if (i == NULL || i->stmt == NULL || i->stmt->axis->nletters == 0) {
        return NULL;
    }
    AxisDecl *d = i->stmt->axis;
    return d->letters[d->nletters - 1];
}

/* Letters of two axes do not mix (rule 2). */
static bool same_home(Ctx *c, const Expr *e, const Val *a, const Val *b)
{
    Elab *E = c->E;
    if (a->home == NULL || b->home == NULL || a->home == b->home || axis_is_number(E, a->home) ||
        axis_is_number(E, b->home)) {
        return true;
    }
    const char *verb = e->kind == EX_BINARY && e->op == BIN_SUB ? "subtracted" : "compared";
    const char *letter = letters_of(E, b->home);
    Text ta = {0}, tb = {0};
    expr_print(e->a, &ta);
    expr_print(e->b, &tb);
    mistake(E, "E0131", e->span,
            letter != NULL && e->a->kind == EX_NAME ? fmt(E, "did you mean %s (axis %s)?", letter, b->home->name)
                                                    : NULL,
            "axes differ: '%s' is %s, '%s' is %s; they cannot be %s", ta.s, thing_of(E, a->home), tb.s,
            thing_of(E, b->home), verb);
    text_free(&ta);
    text_free(&tb);
    return false;
}

static bool operand_ok(Ctx *c, const Expr *e, const Val *v, bool boolean)
{
    if (v->part != NULL) {
        mistake(c->E, "E0132", e->span, NULL, "a token of a sum of axes is no number");
        return false;
    }
    if ((v->s->type == TYPE_BOOL) != boolean) {
        mistake(c->E, "E0140", e->span, boolean ? NULL : "write 1 where P else 0",
                boolean ? "a condition is needed here, this is a number"
                        : "a number is needed here, this is a condition");
        return false;
    }
    return true;
}

static Scalar *power(Elab *E, Scalar *a, Scalar *b)
{
    Graph *g = E->g;
    if (a->op != OP_CONST) {
        if (sc_is_const(b, 1)) {
            return a;
        }
        if (sc_is_const(b, 2)) {
            return sc_op(g, OP_mul, a, a);
        }
        if (sc_is_const(b, 3)) {
            return sc_op(g, OP_mul, sc_op(g, OP_mul, a, a), a);
        }
        if (sc_is_const(b, -1)) {
            return sc_op(g, OP_div, sc_real(g, 1), a);
        }
        if (sc_is_const(b, 0.5)) {
            return sc_op(g, OP_sqrt, a);
        }
        if (sc_is_const(b, -0.5)) {
            return sc_op(g, OP_rsqrt, a);
        }
    }
    return sc_op(g, OP_pow, a, b);
}

/* Which axis the sum or difference of two integers belongs to. */
static void shift_home(Ctx *c, BinaryOp op, const Val *a, const Val *b, Val *r)
{
    Elab *E = c->E;
    const Val *keep = NULL;
    bool an = a->home != NULL && a->letter, bn = b->home != NULL && b->letter;
    if (an && !(bn && !axis_is_number(E, b->home))) {
        keep = a;
    } else if (bn && op == BIN_ADD) {
        keep = b;
    }
    if (an && bn && axis_is_number(E, a->home) && axis_is_number(E, b->home)) {
        keep = NULL;
    }
    if (keep != NULL && (op == BIN_ADD || keep == a)) {
        r->home = keep->home;
        r->letter = true;
    }
}

static Val binary_val(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Elab *E = c->E;
    Graph *g = E->g;
    if (e->op == BIN_AND || e->op == BIN_OR) {
        int mark = conds_mark(c);
        Val a = force(c, elab(env, e->a));
        Val b = force(c, elab(env, e->b));
        facts_reset(c, mark);
        if (a.bad || b.bad || !operand_ok(c, e->a, &a, true) || !operand_ok(c, e->b, &b, true)) {
            return bad_val();
        }
        Op op = e->op == BIN_AND ? OP_and : OP_or;
        Op dual = e->op == BIN_AND ? OP_or : OP_and;
        (void)dual;
        Scalar *da = conds_all(c, &a.conds), *db = conds_all(c, &b.conds);
        Scalar *ta = sc_op(g, OP_and, da, a.s), *tb = sc_op(g, OP_and, db, b.s);
        Val r = plain_val(sc_op(g, op, ta, tb));
        if (a.conds.n > 0 || b.conds.n > 0) {
            Scalar *fa = sc_op(g, OP_and, da, negate(E, a.s)), *fb = sc_op(g, OP_and, db, negate(E, b.s));
            Scalar *decided = e->op == BIN_AND ? sc_op(g, OP_or, r.s, sc_op(g, OP_or, fa, fb))
                                               : sc_op(g, OP_or, r.s, sc_op(g, OP_and, fa, fb));
            conds_add(c, &r.conds, decided);
        }
        return r;
    }
    Val a = force(c, elab(env, e->a));
    Val b = force(c, elab(env, e->b));
    if (a.bad || b.bad) {
        return bad_val();
    }
    bool compares = e->op >= BIN_EQ && e->op <= BIN_GE;
    Val r = {0};
    if (compares && (a.part != NULL || b.part != NULL)) { /* c != B self */
        Axis *sum = a.part != NULL && b.part != NULL ? common_sum(E, a.part, b.part) : a.part != NULL ? b.home : a.home;
        if (sum != NULL && sum->kind == AXIS_SUM) {
            a = a.part != NULL ? token_to(c, a, sum) : a;
            b = b.part != NULL ? token_to(c, b, sum) : b;
        }
        if (a.bad || b.bad) {
            mistake(E, "E0131", e->span, NULL, "axes differ: the two tokens belong to no common sum of axes");
            return bad_val();
        }
    }
    bool bools = compares && (e->op == BIN_EQ || e->op == BIN_NE) && a.s->type == TYPE_BOOL && b.s->type == TYPE_BOOL;
    if (!operand_ok(c, e->a, &a, bools) || !operand_ok(c, e->b, &b, bools)) {
        return bad_val();
    }
    if ((compares || e->op == BIN_SUB) && !same_home(c, e, &a, &b)) {
        return bad_val();
    }
    conds_join(c, &r.conds, &a.conds);
    conds_join(c, &r.conds, &b.conds);
    switch (e->op) {
    case BIN_ADD:
        r.s = sc_op(g, OP_add, a.s, b.s);
        shift_home(c, e->op, &a, &b, &r);
        break;
    case BIN_SUB:
        r.s = sc_op(g, OP_sub, a.s, b.s);
        shift_home(c, e->op, &a, &b, &r);
        break;
    case BIN_MUL:
        r.s = sc_op(g, OP_mul, a.s, b.s);
        break;
    case BIN_DIV:
        r.s = sc_op(g, OP_div, a.s, b.s);
        break;
    case BIN_POW:
        r.s = power(E, a.s, b.s);
        break;
    case BIN_EQ:
        r.s = sc_op(g, OP_eq, a.s, b.s);
        break;
    case BIN_NE:
        r.s = sc_op(g, OP_ne, a.s, b.s);
        break;
    case BIN_LT:
        r.s = sc_op(g, OP_lt, a.s, b.s);
        break;
    case BIN_LE:
        r.s = sc_op(g, OP_le, a.s, b.s);
        break;
    case BIN_GT:
        r.s = sc_op(g, OP_lt, b.s, a.s);
        break;
    case BIN_GE:
        r.s = sc_op(g, OP_le, b.s, a.s);
        break;
    default:
        break;
    }
    if (r.s->type != TYPE_INT) {
        r.home = NULL;
        r.letter = false;
    }
    return r;
}

/* ---- where, else -------------------------------------------------------------------------------------------- */

static Scalar *truth(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Conds conds = {0};
    int mark = conds_mark(c);
    bool ok = elab_conds(env, e, &conds);
    facts_reset(c, mark);
    return ok ? conds_all(c, &conds) : NULL;
}

bool elab_conds(Env *env, const Expr *e, Conds *out)
{
    Ctx *c = env->ctx;
    if (e->kind == EX_BINARY && e->op == BIN_AND) {
        bool ok = elab_conds(env, e->a, out);
        return elab_conds(env, e->b, out) && ok;
    }
    if (e->kind == EX_BINARY && e->op == BIN_OR) {
        Scalar *a = truth(env, e->a), *b = truth(env, e->b);
        if (a == NULL || b == NULL) {
            return false;
        }
        conds_add(c, out, sc_op(c->E->g, OP_or, a, b));
        facts_push(c, out);
        return true;
    }
    Val v = force(c, elab(env, e));
    if (v.bad || !operand_ok(c, e, &v, true)) {
        return false;
    }
    conds_join(c, out, &v.conds);
    conds_add(c, out, v.s);
    facts_push(c, out);
    return true;
}

static Val where_val(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Conds conds = {0};
    int mark = conds_mark(c);
    bool ok = elab_conds(env, e->b, &conds);
    Val v = force(c, elab(env, e->a));
    facts_reset(c, mark);
    if (!ok || v.bad) {
        return bad_val();
    }
    Conds all = {0};
    conds_join(c, &all, &conds);
    conds_join(c, &all, &v.conds);
    v.conds = all;
    v.bare = false;
    return v;
}

/* Two alternatives as one: their common type and axis. */
static Val choose(Ctx *c, const Expr *e, Scalar *cond, Val a, Val b)
{
    Elab *E = c->E;
    Axis *home = a.home == b.home ? a.home : NULL;
    if (a.part != b.part ||
        (a.home != b.home && (a.part != NULL || b.part != NULL || (a.home != NULL && b.home != NULL)))) {
        const Axis *pa = a.part != NULL ? a.part : a.home, *pb = b.part != NULL ? b.part : b.home;
        Axis *sum = pa != NULL && pb != NULL ? common_sum(E, pa, pb) : NULL;
        if (pa != NULL && pa->kind == AXIS_SUM && b.part != NULL) {
            sum = a.home;
        }
        if (sum != NULL) {
            a = a.home == sum ? a : token_to(c, a, sum);
            b = b.home == sum ? b : token_to(c, b, sum);
            home = sum;
        } else if (pa != NULL && pb != NULL && pa != pb && !axis_is_number(E, pa) && !axis_is_number(E, pb)) {
            mistake(E, "E0131", e->span, NULL, "axes differ: one side is %s, the other %s", thing_of(E, pa),
                    thing_of(E, pb));
            return bad_val();
        }
    }
    if (a.bad || b.bad) {
        return bad_val();
    }
    Scalar *args[] = {cond, a.s, b.s};
    if (sc_check(OP_select, 3, args) != NULL) {
        mistake(E, "E0140", e->span, NULL, "one side is a condition and the other a number");
        return bad_val();
    }
    Val r = plain_val(sc_opv(E->g, OP_select, 3, args));
    r.home = r.s->type == TYPE_INT ? home : NULL;
    r.part = a.part != NULL && a.part == b.part ? a.part : NULL;
    return r;
}

static Val else_val(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Val a = force(c, elab(env, e->a));
    Val b = force(c, elab(env, e->b));
    if (a.bad || b.bad) {
        return bad_val();
    }
    if (a.conds.n == 0) {
        return a;
    }
    if (conds_false(&a.conds)) {
        return b;
    }
    Scalar *defined = conds_all(c, &a.conds);
    Val r = choose(c, e, defined, a, b);
    if (!r.bad && b.conds.n > 0) {
        conds_add(c, &r.conds, sc_op(c->E->g, OP_or, defined, conds_all(c, &b.conds)));
    }
    return r;
}

/* ---- all expressions ---------------------------------------------------------------------------------------- */

static Val elab_any(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    Graph *g = c->E->g;
    switch (e->kind) {
    case EX_NUM:
        return plain_val(e->is_int ? sc_int(g, (int64_t)e->num) : sc_real(g, e->num));
    case EX_NAME:
        return name_val(env, e);
    case EX_CALL:
        return elab_call(env, e);
    case EX_REDUCE:
        return elab_reduce(env, e);
    case EX_BINARY:
        return binary_val(env, e);
    case EX_WHERE:
        return where_val(env, e);
    case EX_ELSE:
        return else_val(env, e);
    case EX_SOURCE:
        return source_val(env, e->name, e->a, e->op_span);
    case EX_NEG: {
        Val v = force(c, elab(env, e->a));
        if (v.bad || !operand_ok(c, e->a, &v, false)) {
            return bad_val();
        }
        v.s = sc_op(g, OP_neg, v.s);
        v.home = NULL;
        v.letter = v.bare = false;
        return v;
    }
    case EX_NOT: {
        Val v = force(c, elab(env, e->a));
        if (v.bad || !operand_ok(c, e->a, &v, true)) {
            return bad_val();
        }
        v.s = negate(c->E, v.s);
        return v;
    }
    case EX_LIST:
        mistake(c->E, "E0135", e->span, NULL, "a list stands for axes or hypers only");
        return bad_val();
    case EX_AXIS:
        mistake(c->E, "E0135", e->span, NULL, "an axis is no number");
        return bad_val();
    }
    return bad_val();
}

Val elab(Env *env, const Expr *e)
{
    Ctx *c = env->ctx;
    if (c->E->depth > 2000) {
        mistake(c->E, "E0161", e->span, NULL, "the expression is nested too deeply");
        return bad_val();
    }
    c->E->depth++;
    Val v = elab_any(env, e);
    c->E->depth--;
    if (!v.bad) {
        if (v.s != NULL) {
            v.s = sc_with_span(c->E->g, v.s, e->op_span);
        }
        if (v.span.source == NULL || e->kind == EX_REDUCE) {
            v.span = e->op_span;
        }
    }
    return v;
}
