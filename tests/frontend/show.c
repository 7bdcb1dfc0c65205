/* See show.h. Only what was written in the spec itself is shown, not what its libraries add. */
#include "show.h"

static void show_names(int n, const char *const *names, const char *between, Text *out)
{
    for (int k = 0; k < n; k++) {
        text_printf(out, "%s%s", k > 0 ? between : "", names[k]);
    }
}

static void show_idx(int n, const Idx *idx, const Expr *where, Text *out)
{
    text_printf(out, "[");
    for (int k = 0; k < n; k++) {
        text_printf(out, "%s", k > 0 ? ", " : "");
        show_names(idx[k].nsources, idx[k].sources, "|", out);
        text_printf(out, "%s", idx[k].nsources > 0 ? " " : "");
        expr_print(idx[k].e, out);
    }
    if (where != NULL) {
        text_printf(out, " where ");
        expr_print(where, out);
    }
    text_printf(out, "]");
}

static void show_args(int n, const Arg *args, Text *out)
{
    text_printf(out, "(");
    for (int k = 0; k < n; k++) {
        text_printf(out, "%s%s%s", k > 0 ? ", " : "", args[k].name != NULL ? args[k].name : "",
                    args[k].name != NULL ? " = " : "");
        expr_print(args[k].value, out);
        if (args[k].by != NULL) {
            text_printf(out, " by %s", args[k].by);
        }
    }
    text_printf(out, ")");
}

static void show_decl(const Decl *d, const char *assign, Text *out)
{
    text_printf(out, "%s", d->name);
    if (d->has_bracket) {
        text_printf(out, "[");
        for (int k = 0; k < d->ndims; k++) {
            text_printf(out, "%s", k == 0 ? "" : k == d->nselect ? "; " : k == d->narrow ? " -> " : ", ");
            expr_print(d->dims[k], out);
        }
        if (d->where != NULL) {
            text_printf(out, " where ");
            expr_print(d->where, out);
        }
        text_printf(out, "]");
    }
    if (d->value != NULL) {
        text_printf(out, " %s ", assign);
        expr_print(d->value, out);
    }
}

static void show_decls(int n, const Decl *decls, Text *out)
{
    for (int k = 0; k < n; k++) {
        text_printf(out, "%s", k > 0 ? ", " : "");
        show_decl(&decls[k], "=", out);
    }
}

static void show_axis(const Stmt *s, Text *out)
{
    const AxisDecl *a = s->axis;
    if (a->param != NULL) {
        text_printf(out, "<%s>", a->param);
    }
    if (a->parent != NULL) {
        text_printf(out, " in %s", a->parent);
    }
    if (a->kind != NULL) {
        text_printf(out, " : %s", a->kind);
        if (a->nargs > 0) {
            show_args(a->nargs, a->args, out);
        }
    }
    if (a->size != NULL) {
        text_printf(out, " = ");
        expr_print(a->size, out);
    }
    for (int k = 0; k < a->nparts; k++) {
        text_printf(out, k == 0 ? " = " : " | ");
        if (a->parts[k].source != NULL) {
            text_printf(out, "%s", a->parts[k].source);
        } else {
            text_printf(out, "{");
            show_names(a->parts[k].nmembers, a->parts[k].members, ", ", out);
            text_printf(out, "}");
        }
    }
    text_printf(out, "%s", a->nletters > 0 ? " over " : "");
    show_names(a->nletters, a->letters, " ", out);
}

static void show_input(const Stmt *s, Text *out)
{
    const InputDecl *in = s->input;
    show_decl(s->decl, "=", out);
    text_printf(out, " : %s", in->type);
    if (in->nargs > 0) {
        show_args(in->nargs, in->args, out);
    }
    text_printf(out, "%s%s%s%s", in->is_seconds ? " seconds" : "", in->is_ascending ? " ascending" : "",
                in->is_const ? " const" : "", in->is_label ? " label" : "");
}

static void show_equation(const Stmt *s, Text *out)
{
    for (int k = 0; k < s->nlhs; k++) {
        const Lhs *l = &s->lhs[k];
        text_printf(out, "%s%s%s", k > 0 ? ", " : "", l->name, l->prime ? "'" : "");
        if (l->has_bracket) {
            show_idx(l->nidx, l->idx, l->where, out);
        }
    }
    text_printf(out, "%s%s %s ", s->by != NULL ? " by " : "", s->by != NULL ? s->by : "", s->rebinds ? ":=" : "=");
    if (s->call == NULL) {
        expr_print(s->value, out);
        return;
    }
    text_printf(out, "%s", s->call->name);
    for (int k = 0; k < s->call->naxes; k++) {
        text_printf(out, "%s%s = ", k == 0 ? "<" : ", ", s->call->axes[k].name);
        expr_print(s->call->axes[k].value, out);
    }
    text_printf(out, "%s", s->call->naxes > 0 ? ">" : "");
    show_args(s->call->nargs, s->call->args, out);
    if (s->label != NULL) {
        text_printf(out, " as %s", s->label);
    }
}

static void show_block(const Stmt *s, Text *out)
{
    text_printf(out, "%s", s->name);
    for (int k = 0; k < s->naxis_params; k++) {
        const AxisParam *a = &s->axis_params[k];
        text_printf(out, "%s%s%s%s", k == 0 ? "<" : ", ", a->name, a->star ? "*" : "", a->nletters > 0 ? " over " : "");
        show_names(a->nletters, a->letters, " ", out);
    }
    text_printf(out, "%s(", s->naxis_params > 0 ? ">" : "");
    show_decls(s->nparams, s->params, out);
    text_printf(out, ") -> ");
    show_decls(s->nresults, s->results, out);
}

static void show_side(const RelSide *side, Text *out)
{
    show_names(side->nsources, side->sources, " | ", out);
    if (side->letter != NULL) {
        text_printf(out, " %s", side->letter);
    }
}

static void show_statement(const Stmt *s, int level, Text *out)
{
    text_printf(out, "%*s%s ", 2 * level, "", stmt_name[s->kind]);
    switch (s->kind) {
    case ST_AXIS:
        text_printf(out, "%s", s->name);
        show_axis(s, out);
        break;
    case ST_INPUT:
        show_input(s, out);
        break;
    case ST_FN:
    case ST_HYPER:
        text_printf(out, "%s%s%s", s->is_init ? "(init) " : "", s->name, s->nletters > 0 ? "[" : "");
        show_names(s->nletters, s->letters, ", ", out);
        text_printf(out, "%s", s->nletters > 0 ? "]" : "");
        if (s->nparams > 0) {
            text_printf(out, "(");
            show_decls(s->nparams, s->params, out);
            text_printf(out, ")");
        }
        text_printf(out, " = ");
        expr_print(s->value, out);
        break;
    case ST_REL:
        text_printf(out, "%s(", s->name);
        show_names(s->nletters, s->letters, ", ", out);
        text_printf(out, ")");
        for (int k = 0; k < s->npairs; k++) {
            text_printf(out, "\n%*s", 2 * level + 2, "");
            show_side(&s->pairs[k].from, out);
            text_printf(out, " -> ");
            show_side(&s->pairs[k].to, out);
            if (s->pairs[k].cond != NULL) {
                text_printf(out, " if ");
                expr_print(s->pairs[k].cond, out);
            }
        }
        break;
    case ST_BLOCK:
        show_block(s, out);
        break;
    case ST_EQUATION:
        show_equation(s, out);
        break;
    case ST_REPEAT:
        text_printf(out, "%s%s", s->var != NULL ? s->var : "", s->var != NULL ? " in " : "");
        expr_print(s->value, out);
        text_printf(out, "%s%s", s->label != NULL ? " as " : "", s->label != NULL ? s->label : "");
        break;
    case ST_PARAM:
    case ST_STATE:
        show_decl(s->decl, s->kind == ST_PARAM ? "~" : "=", out);
        for (int k = 0; k < s->ntags; k++) {
            text_printf(out, " @%s", s->tags[k]);
        }
        text_printf(out, "%s%s", s->by != NULL ? " by " : "", s->by != NULL ? s->by : "");
        break;
    case ST_PROVE:
        text_printf(out, "%s %s -> %s along %s", s->name, s->from, s->to, s->along);
        break;
    case ST_EXTERN:
        text_printf(out, "%s(", s->name);
        show_decls(s->nparams, s->params, out);
        text_printf(out, ") -> ");
        show_decls(s->nresults, s->results, out);
        text_printf(out, " from \"%s\"%s%s", s->from, s->to != NULL ? " gradient " : "", s->to != NULL ? s->to : "");
        break;
    default:
        text_printf(out, "%s", s->name != NULL ? s->name : "");
        break;
    }
    text_printf(out, "\n");
    show_statements(&s->body, level + 1, out);
}

void show_statements(const Stmts *list, int level, Text *out)
{
    for (int k = 0; k < list->n; k++) {
        if (!list->v[k]->from_library) {
            show_statement(list->v[k], level, out);
        }
    }
}
