/* Expressions back to text, and look-up in a loaded spec. */
#include "ast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ------------------------------------------------------------------------------------------------- */

/* How tightly an operator binds; an operand of less is put in parentheses. */
enum { P_ELSE, P_WHERE, P_OR, P_AND, P_NOT, P_COMPARE, P_ADD, P_MUL, P_NEG, P_POW, P_ATOM };

static int precedence(const Expr *e)
{
    switch (e->kind) {
    case EX_ELSE:
        return P_ELSE;
    case EX_WHERE:
        return P_WHERE;
    case EX_NOT:
        return P_NOT;
    case EX_NEG:
        return P_NEG;
    case EX_REDUCE:
        return P_NEG;
    case EX_BINARY:
        switch (e->op) {
        case BIN_OR:
            return P_OR;
        case BIN_AND:
            return P_AND;
        case BIN_ADD:
        case BIN_SUB:
            return P_ADD;
        case BIN_MUL:
        case BIN_DIV:
            return P_MUL;
        case BIN_POW:
            return P_POW;
        default:
            return P_COMPARE;
        }
    default:
        return P_ATOM;
    }
}

static void print(const Expr *e, int level, bool last, Text *out);

static void print_index(const Expr *e, Text *out)
{
    text_printf(out, "[");
    for (int k = 0; k < e->nidx; k++) {
        const Idx *x = &e->idx[k];
        text_printf(out, "%s", k > 0 ? ", " : "");
        for (int j = 0; j < x->nsources; j++) {
            text_printf(out, "%s%s", j > 0 ? "|" : "", x->sources[j]);
        }
        text_printf(out, "%s", x->nsources > 0 ? " " : "");
        print(x->e, P_ADD, true, out);
    }
    if (e->where != NULL) {
        text_printf(out, " where ");
        print(e->where, P_OR, true, out);
    }
    text_printf(out, "]");
}

static void print_args(const Expr *e, const char *open, const char *close, Text *out)
{
    text_printf(out, "%s", open);
    for (int k = 0; k < e->nargs; k++) {
        const Arg *a = &e->args[k];
        text_printf(out, "%s", k > 0 ? ", " : "");
        if (a->name != NULL) {
            text_printf(out, "%s = ", a->name);
        }
        print(a->value, P_ELSE, true, out);
        if (a->by != NULL) {
            text_printf(out, " by %s", a->by);
        }
    }
    text_printf(out, "%s", close);
}

static void print_binary(const Expr *e, const char *op, int left, int right, bool last, Text *out)
{
    bool product = e->kind == EX_BINARY && (e->op == BIN_MUL || e->op == BIN_DIV || e->op == BIN_POW);
    print(e->a, left, !product, out);
    text_printf(out, op[0] == '^' ? "%s" : " %s ", op);
    print(e->b, right, last, out);
}

/* last: no factor follows that a reduction at the end of e would swallow. */
static void print(const Expr *e, int level, bool last, Text *out)
{
    int own = precedence(e);
    if (own < level || (e->kind == EX_REDUCE && (!last || level > P_NEG))) {
        text_printf(out, "(");
        print(e, P_ELSE, true, out);
        text_printf(out, ")");
        return;
    }
    switch (e->kind) {
    case EX_NUM:
        if (e->is_int) {
            text_printf(out, "%.0f", e->num);
        } else {
            char shortest[40];
            for (int digits = 1; digits <= 17; digits++) {
                snprintf(shortest, sizeof shortest, "%.*g", digits, e->num);
                if (strtod(shortest, NULL) == e->num) {
                    break;
                }
            }
            char *exponent = strchr(shortest, 'e'); /* 1e-05 is written 1e-5 */
            while (exponent != NULL && exponent[2] == '0' && exponent[3] != '\0') {
                memmove(exponent + 2, exponent + 3, strlen(exponent + 3) + 1);
            }
            text_printf(out, "%s", shortest);
        }
        break;
    case EX_LIST:
        print_args(e, "[", "]", out);
        break;
    case EX_NAME:
    case EX_CALL:
        text_printf(out, "%s%s%s%s", e->name, e->prime ? "'" : "", e->at != NULL ? "@" : "",
                    e->at != NULL ? e->at : "");
        if (e->has_bracket) {
            print_index(e, out);
        }
        if (e->kind == EX_CALL) {
            print_args(e, "(", ")", out);
        }
        break;
    case EX_REDUCE:
        text_printf(out, "%s", ast_reduce_name[e->red]);
        print_index(e, out);
        if (e->a != NULL) {
            text_printf(out, " ");
            print(e->a, P_MUL, last, out);
        }
        break;
    case EX_NEG:
        text_printf(out, "-");
        print(e->a, P_NEG, last, out);
        break;
    case EX_NOT:
        text_printf(out, "not ");
        print(e->a, P_NOT, last, out);
        break;
    case EX_BINARY:
        if (e->op == BIN_POW) {
            print_binary(e, "^", P_ATOM, e->b->kind == EX_NEG ? P_NEG : P_POW, last, out);
        } else if (own == P_COMPARE) {
            print_binary(e, binary_name[e->op], P_ADD, P_ADD, last, out);
        } else {
            print_binary(e, binary_name[e->op], own, own + 1, last, out);
        }
        break;
    case EX_WHERE:
        print_binary(e, "where", P_OR, P_OR, last, out);
        break;
    case EX_ELSE:
        print_binary(e, "else", P_WHERE, P_ELSE, last, out);
        break;
    case EX_SOURCE:
        text_printf(out, "%s ", e->name);
        print(e->a, P_ATOM, true, out);
        break;
    case EX_AXIS:
        text_printf(out, "%s<%s>", e->name, e->at);
        break;
    }
}

void expr_print(const Expr *e, Text *out)
{
    print(e, P_ELSE, true, out);
}

/* ---- look-up ---------------------------------------------------------------------------------------------- */

Stmt *spec_find(const Spec *s, StmtKind kind, const char *name)
{
    for (int k = 0; k < s->items.n; k++) {
        Stmt *item = s->items.v[k];
        if (item->kind == kind && item->name != NULL && strcmp(item->name, name) == 0) {
            return item;
        }
    }
    return NULL;
}

const Value *spec_hyper(const Spec *s, const char *name)
{
    for (int k = 0; k < s->nhypers; k++) {
        if (strcmp(s->hypers[k].name, name) == 0) {
            return &s->hypers[k].value;
        }
    }
    return NULL;
}

int64_t spec_vocab_define(const Spec *s, const char *vocab)
{
    for (int k = s->nvocabs - 1; k >= 0; k--) { /* of two, the later one holds */
        if (strcmp(s->vocabs[k].name, vocab) == 0) {
            return s->vocabs[k].size;
        }
    }
    return -1;
}

int64_t spec_group_define(const Spec *s, const char *group, const int64_t **sizes)
{
    for (int k = s->ngroups - 1; k >= 0; k--) {
        if (strcmp(s->groups[k].name, group) == 0) {
            *sizes = s->groups[k].sizes;
            return s->groups[k].n;
        }
    }
    return -1;
}

const char *spec_name(const Spec *s)
{
    return s->name;
}

int spec_sources(const Spec *s, const Source *const **sources)
{
    *sources = s->sources;
    return s->nsources;
}

bool spec_lacks(const Spec *s, const char *define)
{
    for (int k = 0; k < s->nlacks; k++) {
        if (strcmp(s->lacks[k], define) == 0) {
            return true;
        }
    }
    return false;
}

int spec_variants(const Spec *s, const char *const **names)
{
    *names = s->variants;
    return s->nvariants;
}
