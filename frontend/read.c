/* Reading a name at indices: the load is defined where every index is in range and inside the domain of what is read
 * (rule 4). An index that is a letter of the very axis is in range; a shift of one brings a condition; anything else
 * must be provably in range (rule 7). */
#include "elab.h"

#include <stdio.h>

typedef struct {
    int part;      /* of a sum axis: the source, if it is known; else -1 */
    Scalar *local; /* position in it */
} Token;

static void find_load(const Scalar *s, void *ctx)
{
    if (s->op == OP_LOAD || s->op == OP_RAND) {
        *(bool *)ctx = true;
    }
}

static bool reads_data(const Scalar *s)
{
    bool found = false;
    sc_walk(s, find_load, &found);
    return found;
}

static bool out_of_range(Ctx *c, const Sym *sym, const Axis *axis, const Val *arg, Span span)
{
    Elab *E = c->E;
    Interval i = interval_of(c, arg->s);
    int64_t n = axis_bound(axis);
    const char *remedy = n > 0 ? fmt(E, "add clamp(..., 0, %lld)", (long long)n - 1) : NULL;
    const char *subject = "the index";
    if (arg->expr != NULL && arg->expr->kind == EX_CALL) { /* the clamp belongs into the function */
        Stmt *fn = spec_find(E->spec, ST_FN, arg->expr->name);
        subject = fmt(E, "%s(...)", arg->expr->name);
        if (fn != NULL && n > 0) {
            remedy = fmt(E, "add clamp(..., 0, %lld) in fn %s (line %d)", (long long)n - 1, fn->name, fn->span.line);
        }
    }
    char reach[160];
    if (i.lo < -1e18 && i.hi > 1e18) {
        snprintf(reach, sizeof reach, "%s can be any integer", subject);
        remedy = n > 0 ? fmt(E, "add clamp(..., 0, %lld), or declare a range for the data", (long long)n - 1) : NULL;
    } else if (i.lo < 0 && i.lo > -1e18) {
        snprintf(reach, sizeof reach, "%s can reach %.0f", subject, i.lo);
    } else if (i.lo < 0) {
        snprintf(reach, sizeof reach, "%s can be negative", subject);
    } else if (i.hi < 1e18) {
        snprintf(reach, sizeof reach, "%s can reach %.0f", subject, i.hi);
    } else {
        snprintf(reach, sizeof reach, "%s has no upper bound", subject);
    }
    if (axis->kind == AXIS_FIXED && n > 0) {
        return mistake(E, "E0210", span, remedy, "index may leave the table: %s has 0..%lld, %s", sym->name,
                       (long long)n - 1, reach);
    }
    return mistake(E, "E0210", span, remedy, "index may leave axis %s of %s: %s", axis->name, sym->name, reach);
}

/* Sizes of nested axes are read at the indices of their ancestors, which stand in the same tensor. */
static Scalar *size_at(Ctx *c, const Sym *sym, const Axis *axis, const Val *args)
{
    Graph *g = c->E->g;
    Scalar *at[MAX_DIMS];
    int n = axis_nparents(axis);
    const Axis *p = axis->parent;
    for (int k = n; k-- > 0; p = p->parent) {
        at[k] = NULL;
        for (int d = 0; d < sym->ndim; d++) {
            if (sym->dims[d] == p) {
                at[k] = args[d].s;
            }
        }
        if (at[k] == NULL) {
            return NULL;
        }
    }
    return sc_size(g, g->axes[axis->id], n, at);
}

static void note_shift(Ctx *c, Scalar *cond, const Sym *sym, const Axis *axis, const Expr *index, Conds *out)
{
    conds_push(c->E, out, cond);
    ARENA_PUSH(c->E->arena, c->shifts, c->nshifts, ((struct Shift){cond, sym->name, axis, index}));
}

static void shift_conds(Ctx *c, const Sym *sym, const Axis *axis, const Val *arg, Scalar *size, Conds *out)
{
    Scalar *index = arg->s;
    Graph *g = c->E->g;
    if (!proves_nonneg(c, index, out)) {
        Scalar *low = sc_op(g, OP_le, sc_int(g, 0), index);
        if (index->op == OP_sub && index->args[1]->op == OP_CONST) { /* i - 1 >= 0 as 1 <= i */
            low = sc_op(g, OP_le, index->args[1], index->args[0]);
        }
        note_shift(c, low, sym, axis, arg->expr, out);
    }
    Scalar *high = sc_op(g, OP_lt, index, size);
    if (!follows(c, high, out)) {
        note_shift(c, high, sym, axis, arg->expr, out);
    }
}

static bool is_part(const Axis *sum, const Axis *part, int *which)
{
    for (int k = 0; sum->kind == AXIS_SUM && k < sum->nparts; k++) {
        if (sum->parts[k] == part) {
            *which = k;
            return true;
        }
    }
    return false;
}

static bool fit_sum(Ctx *c, const Sym *sym, Axis *axis, Val *arg, Token *token, Conds *out, Span span)
{
    Elab *E = c->E;
    Graph *g = E->g;
    int p;
    if (arg->part != NULL || (arg->home != NULL && arg->s->op == OP_CONST && is_part(axis, arg->home, &p))) {
        const Axis *part = arg->part != NULL ? arg->part : arg->home;
        if (!is_part(axis, part, &p)) {
            return mistake(E, "E0133", span, NULL, "%s is no source of %s, over which '%s' is defined", part->name,
                           axis->name, sym->name);
        }
        token->part = p;
        token->local = arg->s;
        arg->s = sc_axis_op(g, OP_INJECT, axis, p, 1, &token->local);
        return true;
    }
    if (arg->home == axis) {
        if (arg->s->op == OP_INJECT) {
            token->part = (int)arg->s->inum;
            token->local = arg->s->args[0];
        } else if (arg->letter && !arg->bare) {
            shift_conds(c, sym, axis, arg, sc_size(g, axis, 0, NULL), out);
        }
        return true;
    }
    if (arg->home != NULL && is_part(axis, arg->home, &p)) {
        return mistake(E, "E0133", span, fmt(E, "write %s in front of the letter", arg->home->name),
                       "'%s' is read by token of %s; this is a letter of its source %s", sym->name, axis->name,
                       arg->home->name);
    }
    return mistake(E, "E0133", span, NULL, "'%s' is indexed by %s here; this is %s", sym->name, axis_text(E, axis),
                   arg->home != NULL ? fmt(E, "of %s", axis_text(E, arg->home)) : "a plain integer");
}

static bool fit_letter(Ctx *c, const Sym *sym, int k, const Val *args, Conds *out, Span span)
{
    Elab *E = c->E;
    const Axis *axis = sym->dims[k];
    const Val *arg = &args[k];
    if (arg->bare && arg->s->op == OP_LETTER && axis_nparents(axis) > 0) {
        int parent = c->vars[arg->s->inum].parent;
        for (int d = 0; d < k; d++) {
            if (sym->dims[d] == axis->parent && parent >= 0 && args[d].s != sc_letter(E->g, parent)) {
                return mistake(E, "E0139", span, NULL,
                               "a letter of %s stands only beside its parent's: here it is read at "
                               "another index of %s",
                               axis->name, axis->parent->name);
            }
        }
    }
    if (arg->letter && !arg->bare) {
        Scalar *size = size_at(c, sym, axis, args);
        if (size != NULL) {
            shift_conds(c, sym, axis, arg, size, out);
        }
    }
    return true;
}

static bool fit_index(Ctx *c, const Sym *sym, int k, Val *args, Token *token, Conds *out, Span span)
{
    Elab *E = c->E;
    Axis *axis = sym->dims[k];
    Val *arg = &args[k];
    token->part = -1;
    if (arg->s->type != TYPE_INT) {
        return mistake(E, "E0132", span, arg->s->type == TYPE_BOOL ? NULL : "use trunc, floor or div",
                       "an index must be an integer; this is a %s",
                       arg->s->type == TYPE_BOOL ? "condition" : "real number");
    }
    if (axis->kind == AXIS_SUM) {
        return fit_sum(c, sym, axis, arg, token, out, span);
    }
    if (arg->part != NULL) {
        return arg->part == axis || mistake(E, "E0133", span, NULL, "'%s' has %s here; this is a token of %s",
                                            sym->name, axis_text(E, axis), arg->part->name);
    }
    if (arg->home == axis) {
        return fit_letter(c, sym, k, args, out, span);
    }
    bool number = axis_is_number(E, axis);
    const AxisInfo *info = axis_info(E, axis);
    if (arg->home != NULL) {
        bool from_number = axis_is_number(E, arg->home);
        const AxisInfo *home = axis_info(E, arg->home);
        bool both = number && from_number && arg->bare && info != NULL && info->stmt != NULL && home != NULL &&
                    home->stmt != NULL;
        if (both || (!number && !from_number) || (number && !from_number && !arg->letter) || (!number && arg->bare)) {
            return mistake(E, "E0130", span, letter_of_axis(E, axis),
                           "axes differ: '%s' has %s here, the index is of %s", sym->name, axis_text(E, axis),
                           axis_text(E, arg->home));
        }
    }
    if (!number && axis->kind != AXIS_RAGGED &&
        !(arg->s->op == OP_CONST && axis->kind == AXIS_FIXED && axis->size > 0)) {
        return mistake(E, "E0130", span, letter_of_axis(E, axis), "'%s' has %s here; this is a plain integer",
                       sym->name, axis_text(E, axis));
    }
    bool low, high;
    if (axis_nparents(axis) == 0 && index_in_range(c, arg->s, axis, out, &low, &high)) {
        return true;
    }
    Scalar *size = axis->kind == AXIS_RAGGED ? size_at(c, sym, axis, args) : NULL;
    if (size != NULL && !reads_data(arg->s)) {
        shift_conds(c, sym, axis, arg, size, out);
        return true;
    }
    return out_of_range(c, sym, axis, arg, span);
}

/* ---- domains ------------------------------------------------------------------------------------------------ */

/* PART and LOCAL of a token whose source is known are known. */
static Scalar *settle(Graph *g, Scalar *s)
{
    if (s->nargs == 0 || s->nargs > MAX_DIMS + 2) {
        return s;
    }
    Scalar *args[MAX_DIMS + 2];
    for (int k = 0; k < s->nargs; k++) {
        args[k] = settle(g, s->args[k]);
    }
    if ((s->op == OP_PART || s->op == OP_LOCAL) && args[0]->op == OP_INJECT && args[0]->axis == s->axis) {
        return s->op == OP_PART ? sc_int(g, args[0]->inum) : args[0]->args[0];
    }
    if (s->op == OP_or && args[1]->op == OP_CONST && args[1]->inum) {
        return args[1];
    }
    return sc_rebuild(g, s, args);
}

Scalar *substitute_settled(Graph *g, Scalar *s, int n, Scalar *const *map)
{
    return settle(g, sc_substitute(g, s, n, map));
}

typedef struct {
    Conds match; /* which part or member a letter stands for, where that is not known */
    Conds conds;
} Option;

/* Whether the cell can belong to the case, and under which conditions it exists. */
static bool case_option(Ctx *c, const Sym *sym, const Case *k, const Val *args, const Token *tokens, Option *o)
{
    Elab *E = c->E;
    Graph *g = E->g;
    Scalar *map[MAX_DIMS];
    for (int d = 0; d < sym->ndim; d++) {
        map[d] = args[d].s;
        if (k->kind[d] == CASE_BARE) {
            continue;
        }
        if (k->kind[d] == CASE_CONST) {
            Scalar *same = sc_op(g, OP_eq, args[d].s, sc_int(g, k->which[d]));
            if (same->op != OP_CONST) {
                conds_push(E, &o->match, same);
            } else if (!same->inum) {
                return false;
            }
            continue;
        }
        Scalar *local = tokens[d].local;
        if (tokens[d].part >= 0) {
            if (tokens[d].part != k->which[d]) {
                return false;
            }
        } else {
            Scalar *part = sc_axis_op(g, OP_PART, sym->dims[d], 0, 1, &args[d].s);
            conds_push(E, &o->match, sc_op(g, OP_eq, part, sc_int(g, k->which[d])));
            local = sc_axis_op(g, OP_LOCAL, sym->dims[d], 0, 1, &args[d].s);
        }
        map[d] = local;
        if (k->local[d] >= 0 && sym->dims[d]->parts[k->which[d]]->size != 1) {
            Scalar *same = sc_op(g, OP_eq, local, sc_int(g, k->local[d]));
            if (same->op != OP_CONST) {
                conds_push(E, &o->match, same);
            } else if (!same->inum) {
                return false;
            }
        }
    }
    for (int m = 0; m < k->conds.n; m++) {
        conds_push(E, &o->conds, substitute_settled(g, k->conds.v[m], sym->ndim, map));
    }
    return true;
}

/* How many members or parts the cases tell apart along dimension d. */
static int64_t choices(const Sym *sym, int d)
{
    const Axis *a = sym->dims[d];
    for (int k = 0; k < sym->ncases; k++) {
        if (sym->cases[k].kind[d] == CASE_CONST) {
            return a->size;
        }
        if (sym->cases[k].kind[d] == CASE_PART) {
            int64_t n = 0;
            for (int p = 0; p < a->nparts; p++) {
                n += a->parts[p]->nmembers > 0 ? a->parts[p]->nmembers : 1;
            }
            return n;
        }
    }
    return 1;
}

/* Whether the possible cases, which are disjoint, cover all cells that the indices may mean. */
static bool covers(const Sym *sym, const Token *tokens, const bool *possible, const Val *args)
{
    int64_t need = 1, have = 0;
    for (int d = 0; d < sym->ndim; d++) {
        bool known = tokens[d].part >= 0 || args[d].s->op == OP_CONST;
        need *= known ? 1 : choices(sym, d);
    }
    for (int k = 0; k < sym->ncases; k++) {
        int64_t cells = possible[k];
        for (int d = 0; d < sym->ndim; d++) {
            bool known = tokens[d].part >= 0 || args[d].s->op == OP_CONST;
            if (known) {
                continue;
            }
            if (sym->cases[k].kind[d] == CASE_BARE) {
                cells *= choices(sym, d);
            } else if (sym->cases[k].kind[d] == CASE_PART && sym->cases[k].local[d] < 0) {
                const Axis *part = sym->dims[d]->parts[sym->cases[k].which[d]];
                cells *= part->nmembers > 0 ? part->nmembers : 1;
            }
        }
        have += cells;
    }
    return have >= need;
}

static void domain_conds(Ctx *c, const Sym *sym, const Val *args, const Token *tokens, Conds *out)
{
    Elab *E = c->E;
    Graph *g = E->g;
    if (sym->ncases == 0) {
        return;
    }
    Option *options = arena_alloc(E->arena, (size_t)sym->ncases * sizeof *options);
    bool *possible = arena_alloc(E->arena, (size_t)sym->ncases * sizeof *possible);
    int n = 0, only = -1;
    for (int k = 0; k < sym->ncases; k++) {
        Option o = {0};
        possible[k] = case_option(c, sym, &sym->cases[k], args, tokens, &o) && !conds_false(&o.conds);
        if (possible[k]) {
            options[k] = o;
            only = k;
            n++;
        }
    }
    if (n == 0) {
        conds_push(E, out, sc_bool(g, false));
        return;
    }
    if (n == 1) {
        conds_join(c, out, &options[only].match);
        conds_join(c, out, &options[only].conds);
        return;
    }
    /* What all cases have in common comes first, then which case it is and what that asks for. */
    Conds common = {0};
    for (int m = 0; m < options[only].conds.n; m++) {
        Scalar *s = options[only].conds.v[m];
        bool all = true;
        for (int k = 0; k < sym->ncases; k++) {
            all = all && (!possible[k] || conds_has(&options[k].conds, s));
        }
        if (all) {
            conds_push(E, &common, s);
        }
    }
    conds_join(c, out, &common);
    bool plain = covers(sym, tokens, possible, args);
    Scalar *any = NULL;
    for (int k = sym->ncases; k-- > 0;) {
        if (!possible[k]) {
            continue;
        }
        Conds rest = {0};
        for (int m = 0; m < options[k].match.n; m++) {
            conds_push(E, &rest, options[k].match.v[m]);
        }
        for (int m = 0; m < options[k].conds.n; m++) {
            if (!conds_has(&common, options[k].conds.v[m])) {
                conds_push(E, &rest, options[k].conds.v[m]);
                plain = false;
            }
        }
        Scalar *one = conds_all(c, &rest);
        any = any == NULL ? one : sc_op(g, OP_or, one, any);
    }
    if (!plain) {
        conds_add(c, out, any);
    }
}

/* ---- loads -------------------------------------------------------------------------------------------------- */

Val load_sym(Ctx *c, Sym *sym, int n, Val *args, Val *at, Span span, const Span *arg_spans)
{
    Elab *E = c->E;
    Graph *g = E->g;
    if (sym->busy) {
        if (sym->ndim == 0) {
            mistake(E, "E0231", span, "read an earlier element: a shift along one axis", "'%s' is defined by itself",
                    sym->name);
            return bad_val();
        }
        sym->provisional = true;
        if (sym->t == NULL) {
            sym->t = value_tensor(E, sym->path, ELEM_REAL, sym->ndim, sym->dims, true, sym->span);
            name_tensor(E, sym->t, sym);
        }
    }
    read_by(c, sym);
    Val v = {.span = span};
    Conds conds = {0};
    Token tokens[MAX_DIMS];
    if (at != NULL) {
        conds_join(c, &conds, &at->conds);
    }
    for (int k = 0; k < n; k++) {
        conds_join(c, &conds, &args[k].conds);
    }
    bool ok = true;
    for (int k = 0; k < n; k++) {
        ok = fit_index(c, sym, k, args, &tokens[k], &conds, arg_spans[k]) && ok;
    }
    if (!ok) {
        return bad_val();
    }
    domain_conds(c, sym, args, tokens, &conds);
    Scalar *index[MAX_DIMS + 1];
    int m = 0;
    if (at != NULL) {
        if (!sym->t->per_example) {
            mistake(E, "E0138", span, NULL, "'%s' is the same for every example: it has no @", sym->name);
            return bad_val();
        }
        index[m++] = at->s;
    }
    for (int k = 0; k < n; k++) {
        index[m++] = args[k].s;
    }
    v.s = sc_load(g, sym->t, m, index);
    v.conds = conds;
    v.home = sym->values;
    return v;
}
