/* Constants of a spec: the values of hypers, sizes of axes, settings, the lists of `repeat`.
 *
 * A name means, in this order: a binding of the scope, a hyper, a numbered axis (its length). Hypers may use each
 * other in any order; while spec_load computes them, `hypers[k].value` of those not yet known has n = -1. Values are
 * double with a mark for integers; lists hold numbers. */
#include "ast.h"

#include <math.h>
#include <string.h>

enum { MAX_CALLS = 64, MAX_STEPS = 100000 };

typedef struct {
    const Spec *spec;
    const Binding *env;
    const Expr *bad;
    int depth; /* of names and functions looked into: a cycle ends here */
    int steps; /* bounds the work of definitions that double at every level */
} Eval;

static bool eval(Eval *v, const Expr *e, Value *out);

static bool refuse(Eval *v, const Expr *e)
{
    if (v->bad == NULL) {
        v->bad = e;
    }
    return false;
}

static Value number(double x, bool is_int)
{
    return (Value){.num = x, .is_int = is_int && isfinite(x)};
}

static bool eval_number(Eval *v, const Expr *e, Value *out)
{
    return eval(v, e, out) && (!out->is_list || refuse(v, e));
}

/* ---- functions -------------------------------------------------------------------------------------------- */

static double floor_mod(double a, double b)
{
    return a - b * floor(a / b);
}

typedef enum { KEEPS, REAL, INTEGER } ResultKind; /* integer if all arguments are; never; always */

static const struct {
    const char *name;
    int nargs;
    ResultKind kind;
    double (*f1)(double);
    double (*f2)(double, double);
} functions[] = {
    {"ceil", 1, INTEGER, ceil, NULL},   {"floor", 1, INTEGER, floor, NULL},
    {"trunc", 1, INTEGER, trunc, NULL}, {"round", 1, INTEGER, nearbyint, NULL},
    {"abs", 1, KEEPS, fabs, NULL},      {"exp", 1, REAL, exp, NULL},
    {"log", 1, REAL, log, NULL},        {"sqrt", 1, REAL, sqrt, NULL},
    {"tanh", 1, REAL, tanh, NULL},      {"sin", 1, REAL, sin, NULL},
    {"cos", 1, REAL, cos, NULL},        {"min", 2, KEEPS, NULL, fmin},
    {"max", 2, KEEPS, NULL, fmax},      {"pow", 2, REAL, NULL, pow},
    {"mod", 2, KEEPS, NULL, floor_mod},
};

/* A function of the spec: its parameters bound to values. */
static bool eval_user_function(Eval *v, const Expr *e, const Stmt *fn, Value *out)
{
    if (fn->nletters > 0 || e->has_bracket || e->nargs > fn->nparams || fn->is_init || ++v->depth > MAX_CALLS) {
        return refuse(v, e);
    }
    Binding bound[16];
    const Binding *env = NULL; /* a function sees its parameters and the file */
    if (fn->nparams > 16) {
        return refuse(v, e);
    }
    for (int k = 0; k < fn->nparams; k++) {
        const Expr *value = fn->params[k].value;
        for (int j = 0; j < e->nargs; j++) {
            bool named = e->args[j].name != NULL;
            if (named ? strcmp(e->args[j].name, fn->params[k].name) == 0 : j == k) {
                value = e->args[j].value;
            }
        }
        bound[k] = (Binding){.name = fn->params[k].name, .next = env};
        if (value == NULL || !eval(v, value, &bound[k].value)) {
            return refuse(v, e);
        }
        env = &bound[k];
    }
    const Binding *outer = v->env;
    v->env = env;
    bool ok = eval(v, fn->value, out);
    v->env = outer;
    v->depth--;
    return ok;
}

static bool eval_call(Eval *v, const Expr *e, Value *out)
{
    Stmt *fn = spec_find(v->spec, ST_FN, e->name);
    if (fn != NULL) {
        return eval_user_function(v, e, fn, out);
    }
    Value a[3];
    if (e->nargs < 1 || e->nargs > 3) {
        return refuse(v, e);
    }
    if (strcmp(e->name, "len") == 0 && e->nargs == 1) { /* of a list; of a numbered axis, its length */
        if (!eval(v, e->args[0].value, &a[0])) {
            return false;
        }
        *out = a[0].is_list ? number(a[0].n, true) : a[0];
        return true;
    }
    bool ints = true;
    for (int k = 0; k < e->nargs; k++) {
        if (!eval_number(v, e->args[k].value, &a[k])) {
            return false;
        }
        ints &= a[k].is_int;
    }
    if (strcmp(e->name, "clamp") == 0 && e->nargs == 3) {
        *out = number(fmin(fmax(a[0].num, a[1].num), a[2].num), ints);
        return true;
    }
    if (strcmp(e->name, "div") == 0 && e->nargs == 2 && a[1].num != 0) {
        *out = number(floor(a[0].num / a[1].num), true);
        return true;
    }
    for (size_t k = 0; k < sizeof functions / sizeof *functions; k++) {
        if (strcmp(functions[k].name, e->name) == 0 && functions[k].nargs == e->nargs) {
            double x = e->nargs == 1 ? functions[k].f1(a[0].num) : functions[k].f2(a[0].num, a[1].num);
            *out = number(x, functions[k].kind == INTEGER || (functions[k].kind == KEEPS && ints));
            return true;
        }
    }
    return refuse(v, e);
}

/* ---- names ------------------------------------------------------------------------------------------------ */

static bool eval_axis(Eval *v, const Expr *e, const Stmt *s, Value *out)
{
    const AxisDecl *a = s->axis;
    if (a->size != NULL) {
        const Binding *outer = v->env;
        v->env = NULL;
        bool ok = ++v->depth <= MAX_CALLS && eval_number(v, a->size, out);
        v->env = outer;
        v->depth--;
        return ok || refuse(v, e);
    }
    double size = 0;
    for (int k = 0; k < a->nparts; k++) {
        Value part = number(a->parts[k].nmembers, true);
        if (a->parts[k].source != NULL) {
            const Stmt *source = spec_find(v->spec, ST_AXIS, a->parts[k].source);
            if (source == NULL || ++v->depth > MAX_CALLS || !eval_axis(v, e, source, &part)) {
                return refuse(v, e);
            }
            v->depth--;
        }
        size += part.num;
    }
    *out = number(size, true);
    return a->nparts > 0 || refuse(v, e);
}

/* T.max, T.min: what `ragged(min = .., max = ..)` says. */
static bool eval_bound(Eval *v, const Expr *e, Value *out)
{
    const char *dot = strrchr(e->name, '.');
    for (int k = 0; dot != NULL && k < v->spec->items.n; k++) {
        const Stmt *s = v->spec->items.v[k];
        if (s->kind != ST_AXIS || strlen(s->name) != (size_t)(dot - e->name) ||
            strncmp(s->name, e->name, (size_t)(dot - e->name)) != 0) {
            continue;
        }
        for (int j = 0; j < s->axis->nargs; j++) {
            const Arg *a = &s->axis->args[j];
            if (a->name != NULL && strcmp(a->name, dot + 1) == 0 && ++v->depth <= MAX_CALLS) {
                bool ok = eval_number(v, a->value, out);
                v->depth--;
                return ok;
            }
        }
    }
    return refuse(v, e);
}

/* The hyper is not known yet while spec_load works: looks into its expression. */
static bool eval_hyper(Eval *v, const Expr *e, Hyper *h, Value *out)
{
    if (h->value.n >= 0) {
        *out = h->value;
        return true;
    }
    const Stmt *s = spec_find(v->spec, ST_HYPER, h->name);
    const Binding *outer = v->env;
    v->env = NULL;
    bool ok = s != NULL && ++v->depth <= MAX_CALLS && eval(v, s->value, out);
    v->env = outer;
    v->depth--;
    if (ok) {
        h->value = *out;
    }
    return ok || refuse(v, e);
}

static bool eval_plain_name(Eval *v, const Expr *e, Value *out)
{
    for (const Binding *b = v->env; b != NULL; b = b->next) {
        if (strcmp(b->name, e->name) == 0) {
            *out = b->value;
            return true;
        }
    }
    for (int k = 0; k < v->spec->nhypers; k++) {
        if (strcmp(v->spec->hypers[k].name, e->name) == 0) {
            return eval_hyper(v, e, &v->spec->hypers[k], out);
        }
    }
    const Stmt *axis = spec_find(v->spec, ST_AXIS, e->name);
    return axis != NULL ? eval_axis(v, e, axis, out) : eval_bound(v, e, out);
}

static bool eval_name(Eval *v, const Expr *e, Value *out)
{
    if (e->prime || e->at != NULL || !eval_plain_name(v, e, out)) {
        return refuse(v, e);
    }
    if (!e->has_bracket) {
        return true;
    }
    Value at;
    if (!out->is_list || e->nidx != 1 || e->idx[0].nsources > 0 || !eval_number(v, e->idx[0].e, &at) || at.num < 0 ||
        at.num >= out->n || at.num != floor(at.num)) {
        return refuse(v, e);
    }
    *out = number(out->list[(int)at.num], out->is_int);
    return true;
}

/* ---- operators -------------------------------------------------------------------------------------------- */

static bool eval_binary(Eval *v, const Expr *e, Value *out)
{
    Value a, b;
    if (!eval_number(v, e->a, &a)) {
        return false;
    }
    if ((e->op == BIN_AND && a.num == 0) || (e->op == BIN_OR && a.num != 0)) {
        *out = number(a.num != 0, true);
        return true;
    }
    if (!eval_number(v, e->b, &b)) {
        return false;
    }
    bool ints = a.is_int && b.is_int;
    double x = a.num, y = b.num;
    switch (e->op) {
    case BIN_ADD:
        *out = number(x + y, ints);
        return true;
    case BIN_SUB:
        *out = number(x - y, ints);
        return true;
    case BIN_MUL:
        *out = number(x * y, ints);
        return true;
    case BIN_DIV:
        *out = number(x / y, false);
        return true;
    case BIN_POW:
        *out = number(pow(x, y), ints && y >= 0);
        return true;
    case BIN_EQ:
        *out = number(x == y, true);
        return true;
    case BIN_NE:
        *out = number(x != y, true);
        return true;
    case BIN_LT:
        *out = number(x < y, true);
        return true;
    case BIN_LE:
        *out = number(x <= y, true);
        return true;
    case BIN_GT:
        *out = number(x > y, true);
        return true;
    case BIN_GE:
        *out = number(x >= y, true);
        return true;
    case BIN_AND:
    case BIN_OR:
        *out = number(y != 0, true);
        return true;
    }
    return refuse(v, e);
}

static bool eval_list(Eval *v, const Expr *e, Value *out)
{
    *out = (Value){.is_list = true, .is_int = true, .n = e->nargs};
    out->list = arena_alloc(v->spec->arena, (size_t)(e->nargs > 0 ? e->nargs : 1) * sizeof *out->list);
    for (int k = 0; k < e->nargs; k++) {
        Value x;
        if (!eval_number(v, e->args[k].value, &x)) {
            return false;
        }
        out->list[k] = x.num;
        out->is_int &= x.is_int;
    }
    return true;
}

/* `a where c else b`; a condition that is false without an else has no value. */
static bool eval_else(Eval *v, const Expr *e, Value *out)
{
    if (e->a->kind != EX_WHERE) {
        return eval(v, e->a, out);
    }
    Value c;
    if (!eval_number(v, e->a->b, &c)) {
        return false;
    }
    return eval(v, c.num != 0 ? e->a->a : e->b, out);
}

static bool eval(Eval *v, const Expr *e, Value *out)
{
    if (++v->steps > MAX_STEPS) {
        return refuse(v, e);
    }
    switch (e->kind) {
    case EX_NUM:
        *out = number(e->num, e->is_int);
        return true;
    case EX_LIST:
        return eval_list(v, e, out);
    case EX_NAME:
        return eval_name(v, e, out);
    case EX_CALL:
        return eval_call(v, e, out);
    case EX_NEG:
    case EX_NOT:
        if (!eval_number(v, e->a, out)) {
            return false;
        }
        *out = e->kind == EX_NEG ? number(-out->num, out->is_int) : number(out->num == 0, true);
        return true;
    case EX_BINARY:
        return eval_binary(v, e, out);
    case EX_ELSE:
        return eval_else(v, e, out);
    default:
        return refuse(v, e);
    }
}

bool spec_eval(const Spec *s, const Binding *env, const Expr *e, Value *out, const Expr **bad)
{
    Eval v = {.spec = s, .env = env};
    bool ok = eval(&v, e, out);
    if (bad != NULL) {
        *bad = ok ? NULL : v.bad != NULL ? v.bad : e;
    }
    return ok;
}

bool spec_eval_int(const Spec *s, const Binding *env, const Expr *e, int64_t *out)
{
    Value v;
    if (!spec_eval(s, env, e, &v, NULL) || v.is_list || v.num != floor(v.num) || fabs(v.num) > 9007199254740992.0) {
        return false;
    }
    *out = (int64_t)v.num;
    return true;
}
