/* Expressions, tightest binding last:
 *
 *   expr     = alt ["else" expr]
 *   alt      = cond ["where" cond]
 *   cond     = and {"or" and}              and = not {"and" not}          not = "not" not | compare
 *   compare  = additive [("==" | "!=" | "<" | "<=" | ">" | ">=") additive]
 *   additive = product {("+" | "-") product}
 *   product  = factor {("*" | "/") factor}
 *   factor   = "-" factor | RED "[" binders "]" [product] | power
 *   power    = atom ["^" ["-"] power]
 *   atom     = NUM | "(" expr ")" | "[" expr {"," expr} "]"
 *            | NAME atom                                        a source: V item[i]
 *            | NAME ["'"] ["@" NAME] ["[" index "]"] ["(" args ")"]
 *
 * A reduction is a factor that swallows the product to its right: `a * sum[d] b * c + e` is (a * sum (b * c)) + e. */
#include "parser.h"

#include <string.h>

const char *const binary_name[] = {"+", "-", "*", "/", "^", "==", "!=", "<", "<=", ">", ">=", "and", "or"};
const char *const ast_reduce_name[] = {"sum", "max", "min", "mean", "any", "count", "draw"};

static Expr *parse_product(Parser *p);
static Expr *parse_power(Parser *p);

Expr *new_expr(Parser *p, ExprKind kind, Span span)
{
    Expr *e = arena_alloc(p->arena, sizeof *e);
    e->kind = kind;
    e->span = e->op_span = span;
    return e;
}

/* Lengthens the span of e to the end of the token before the next one, as far as its first line goes. */
static Expr *finish(Parser *p, Expr *e)
{
    const Span *last = &p->tokens.v[p->i > 0 ? p->i - 1 : 0].span;
    if (last->line == e->span.line && last->col + last->len > e->span.col) {
        e->span.len = last->col + last->len - e->span.col;
    }
    return e;
}

static Expr *new_binary(Parser *p, ExprKind kind, BinaryOp op, Expr *a, Span at, Expr *b)
{
    Expr *e = new_expr(p, kind, a->span);
    e->op_span = at;
    e->op = op;
    e->a = a;
    e->b = b;
    return finish(p, e);
}

/* ---- indices ---------------------------------------------------------------------------------------------- */

void parse_sources(Parser *p, bool tight, int *n, const char ***sources)
{
    for (;;) {
        const char *name = expect_name(p, "the name of a source", NULL);
        ARENA_PUSH(p->arena, *sources, *n, name);
        if (peek(p) != T_BAR) {
            return;
        }
        Token *bar = next(p);
        if (tight) {
            bar->spacing = SPACING_TIGHT;
        }
    }
}

static Idx parse_idx(Parser *p)
{
    Idx x = {.span = here(p)};
    if (peek(p) == T_NAME && (peek_at(p, 1) == T_BAR || peek_at(p, 1) == T_NAME)) {
        parse_sources(p, true, &x.nsources, &x.sources);
    }
    x.e = parse_additive(p);
    const Span *last = &p->tokens.v[p->i > 0 ? p->i - 1 : 0].span;
    if (last->line == x.span.line) {
        x.span.len = last->col + last->len - x.span.col;
    }
    return x;
}

/* No blank stands between two tokens of one entry: emb[item[i],d], x[Z<A>,D]. */
static bool is_glued(const Token *before, const Token *t)
{
    bool after = before->spacing == SPACING_UNARY || before->spacing == SPACING_TIGHT || before->kind == T_LPAREN ||
                 before->kind == T_LBRACKET || before->kind == T_CARET;
    return after || t->spacing == SPACING_CALL || t->spacing == SPACING_TIGHT || t->kind == T_RPAREN ||
           t->kind == T_RBRACKET || t->kind == T_PRIME || t->kind == T_CARET;
}

void style_commas(Parser *p, int first, int last)
{
    if (p->failed) {
        return;
    }
    const Token *v = p->tokens.v;
    int depth = 0, comma = -1;
    for (int k = first; k < last; k++) {
        bool opens = v[k].kind == T_LPAREN || v[k].kind == T_LBRACKET;
        bool closes = v[k].kind == T_RPAREN || v[k].kind == T_RBRACKET;
        bool separates = depth == 0 && (v[k].kind == T_COMMA || v[k].kind == T_SEMICOLON || v[k].kind == T_ARROW);
        bool begins =
            k == first ||
            (depth == 0 && (v[k - 1].kind == T_COMMA || v[k - 1].kind == T_SEMICOLON || v[k - 1].kind == T_ARROW));
        if (v[k].first || (!separates && !begins && !is_glued(&v[k - 1], &v[k]))) {
            return; /* blanks inside an entry, so after the commas too */
        }
        if (separates && v[k].kind == T_COMMA && comma < 0) {
            comma = k;
        }
        depth += opens - closes;
    }
    if (comma < 0 || v[comma + 1].space_before) {
        return;
    }
    for (int k = first; k < last; k++) {
        depth +=
            (v[k].kind == T_LPAREN || v[k].kind == T_LBRACKET) - (v[k].kind == T_RPAREN || v[k].kind == T_RBRACKET);
        if (depth == 0 && v[k].kind == T_COMMA) {
            p->tokens.v[k].spacing = SPACING_TIGHT;
        }
    }
}

void parse_index(Parser *p, int *nidx, Idx **idx, Expr **where)
{
    int first = p->i;
    if (peek(p) == T_RBRACKET) {
        fail(p, "E0011", here(p), "leave the brackets out where there is no index", "these brackets are empty");
    }
    while (!p->failed) {
        Idx x = parse_idx(p);
        ARENA_PUSH(p->arena, *idx, *nidx, x);
        if (!accept(p, T_COMMA)) {
            break;
        }
    }
    if (accept(p, T_WHERE)) {
        *where = parse_cond(p);
    }
    if (!p->failed && peek(p) != T_RBRACKET && peek(p) != T_NEWLINE) {
        fail_expected(p, *where != NULL ? "']'" : "',' or ']'");
    }
    expect(p, T_RBRACKET, NULL);
    style_commas(p, first, p->i - 1);
}

/* ---- calls ------------------------------------------------------------------------------------------------ */

void parse_args(Parser *p, int *nargs, Arg **args)
{
    if (accept(p, T_RPAREN)) {
        return;
    }
    while (!p->failed) {
        Arg a = {.span = here(p)};
        if (peek(p) == T_NAME && peek_at(p, 1) == T_ASSIGN) {
            a.name = next(p)->text;
            next(p);
        } else if (peek(p) == T_REDUCE && peek_at(p, 1) == T_ASSIGN) { /* ragged(min = 1, max = 200) */
            a.name = next(p)->text;
            next(p);
        }
        a.value = parse_expr(p);
        if (accept(p, T_BY)) {
            a.by = expect_name(p, "the name of a key", NULL);
        }
        ARENA_PUSH(p->arena, *args, *nargs, a);
        if (!accept(p, T_COMMA)) {
            break;
        }
    }
    if (!p->failed && peek(p) != T_RPAREN) {
        fail_expected(p, "',' or ')'");
    }
    expect(p, T_RPAREN, NULL);
}

Expr *parse_dim(Parser *p)
{
    if (peek(p) == T_NAME && peek_at(p, 1) == T_LT) {
        const Token *name = next(p);
        Expr *e = new_expr(p, EX_AXIS, name->span);
        e->name = name->text;
        next(p)->spacing = SPACING_TIGHT;
        e->at = expect_name(p, "the axis that stands for this one's parameter", NULL);
        expect(p, T_GT, NULL)->spacing = SPACING_TIGHT;
        return finish(p, e);
    }
    return parse_additive(p);
}

static bool is_capital(const char *name)
{
    return name[0] >= 'A' && name[0] <= 'Z';
}

/* NAME ["'"] ["@" NAME] ["[" index "]"] ["(" args ")"], the name being the next token. */
static Expr *parse_name(Parser *p)
{
    const Token *name = next(p);
    Expr *e = new_expr(p, EX_NAME, name->span);
    e->name = name->text;
    e->prime = accept(p, T_PRIME);
    if (peek(p) == T_AT && !p->in_init) {
        next(p)->spacing = SPACING_TIGHT;
        e->at = expect_name(p, "the letter of an example", NULL);
    }
    if (peek(p) == T_LBRACKET) {
        next(p)->spacing = SPACING_CALL;
        e->has_bracket = true;
        parse_index(p, &e->nidx, &e->idx, &e->where);
    }
    if (peek(p) == T_LPAREN) {
        if (e->prime || e->at != NULL) {
            fail(p, "E0010", here(p), NULL, "'%s' is read here as a tensor and cannot be called", e->name);
        } else if (is_capital(e->name) && !e->has_bracket) {
            fail(p, "E0017", name->span, "write name := Block(...) as a statement of its own and use the name here",
                 "'%s' is called inside an expression; blocks (capital letter) are called only after :=", e->name);
        }
        next(p)->spacing = SPACING_CALL;
        e->kind = EX_CALL;
        parse_args(p, &e->nargs, &e->args);
    } else if (e->where != NULL) {
        fail(p, "E0012", e->where->span, "write (x[i] where ...) to restrict a value, or restrict the left-hand side",
             "'where' inside the brackets of '%s', which is read here", e->name);
    }
    return finish(p, e);
}

/* max(a, b) and min(a, b) are functions by their parenthesis. */
static bool at_function(const Parser *p)
{
    return peek(p) == T_REDUCE && peek_at(p, 1) == T_LPAREN && p->tokens.v[p->i].text[0] == 'm' &&
           strcmp(p->tokens.v[p->i].text, "mean") != 0;
}

static Expr *parse_list(Parser *p)
{
    Expr *e = new_expr(p, EX_LIST, next(p)->span);
    if (accept(p, T_RBRACKET)) {
        return finish(p, e);
    }
    while (!p->failed) {
        Arg a = {.span = here(p), .value = parse_expr(p)};
        ARENA_PUSH(p->arena, e->args, e->nargs, a);
        if (!accept(p, T_COMMA)) {
            break;
        }
    }
    expect(p, T_RBRACKET, "',' or ']'");
    return finish(p, e);
}

/* ---- operators -------------------------------------------------------------------------------------------- */

static Expr *parse_atom(Parser *p)
{
    switch (peek(p)) {
    case T_NUM: {
        const Token *t = next(p);
        Expr *e = new_expr(p, EX_NUM, t->span);
        e->num = t->num;
        e->is_int = t->is_int;
        return e;
    }
    case T_LPAREN: {
        Span open = next(p)->span;
        Expr *e = parse_expr(p);
        if (!p->failed && peek(p) != T_RPAREN) {
            fail_expected(p, "an operator or ')'");
        }
        expect(p, T_RPAREN, NULL);
        if (open.line == e->span.line) { /* the parentheses belong to what messages point at */
            e->span = open;
        }
        return finish(p, e);
    }
    case T_LBRACKET:
        return parse_list(p);
    case T_NAME:
        if (peek_at(p, 1) == T_NAME && !p->tokens.v[p->i + 1].first) {
            const Token *source = next(p);
            Expr *e = new_expr(p, EX_SOURCE, source->span);
            e->name = source->text;
            if (peek_at(p, 1) == T_NAME && !p->tokens.v[p->i + 1].first) {
                fail(p, "E0036", p->tokens.v[p->i + 1].span, "is an operator missing?",
                     "one source may stand before a name, as in V item[i]; here are two");
            }
            e->a = parse_atom(p);
            return finish(p, e);
        }
        return parse_name(p);
    case T_FAIL:
        return new_expr(p, EX_NUM, here(p));
    default:
        if (at_function(p)) {
            return parse_name(p);
        }
        fail_expected(p, "an expression");
        return new_expr(p, EX_NUM, here(p));
    }
}

static Expr *parse_power(Parser *p)
{
    if (!enter(p)) {
        return new_expr(p, EX_NUM, here(p));
    }
    Expr *a = parse_atom(p);
    if (peek(p) == T_CARET) {
        Span at = next(p)->span;
        if (peek(p) == T_MINUS) {
            Token *minus = next(p);
            minus->spacing = SPACING_UNARY;
            Expr *b = new_expr(p, EX_NEG, minus->span);
            b->a = parse_power(p);
            a = new_binary(p, EX_BINARY, BIN_POW, a, at, finish(p, b));
        } else {
            a = new_binary(p, EX_BINARY, BIN_POW, a, at, parse_power(p));
        }
    }
    leave(p);
    return a;
}

static bool begins_factor(TokenKind k)
{
    return k == T_NUM || k == T_NAME || k == T_LPAREN || k == T_MINUS || k == T_REDUCE || k == T_LBRACKET;
}

static Expr *parse_reduction(Parser *p)
{
    const Token *word = next(p);
    Expr *e = new_expr(p, EX_REDUCE, word->span);
    for (int k = 0; k <= AST_DRAW; k++) {
        if (strcmp(word->text, ast_reduce_name[k]) == 0) {
            e->red = (AstReduce)k;
        }
    }
    if (peek(p) != T_LBRACKET) {
        fail(p, "E0013", word->span,
             "write sum[d] ... with the letters it runs over; only max and min are also functions",
             "'%s' is a reduction and needs letters in brackets", word->text);
        return e;
    }
    next(p)->spacing = SPACING_CALL;
    parse_index(p, &e->nidx, &e->idx, &e->where);
    for (int k = 0; k < e->nidx && !p->failed; k++) {
        const Expr *letter = e->idx[k].e;
        if (letter->kind != EX_NAME || letter->has_bracket || letter->prime || letter->at != NULL) {
            fail(p, "E0014", e->idx[k].span, "bind letters here and use them in the index: sum[i] x[i + 1]",
                 "'%s' binds letters; this is an expression", word->text);
        }
    }
    bool has_body = e->red != AST_ANY && e->red != AST_COUNT;
    if (has_body) {
        if (!p->failed) {
            p->tokens.v[p->i - 1].spacing = SPACING_RED_CLOSE;
        }
        if (!p->failed && !begins_factor(peek(p))) {
            fail_expected(p, arena_printf(p->arena, "what '%s' reduces", word->text));
        }
        e->a = parse_product(p);
    } else if (begins_factor(peek(p)) && peek(p) != T_MINUS) {
        fail(p, "E0015", here(p), arena_printf(p->arena, "put the condition inside: %s[j where ...]", word->text),
             "'%s[...]' has no body", word->text);
    }
    return finish(p, e);
}

static Expr *parse_factor(Parser *p)
{
    if (peek(p) == T_MINUS) {
        if (!enter(p)) {
            return new_expr(p, EX_NUM, here(p));
        }
        Token *minus = next(p);
        minus->spacing = SPACING_UNARY;
        Expr *e = new_expr(p, EX_NEG, minus->span);
        e->a = parse_factor(p);
        leave(p);
        return finish(p, e);
    }
    if (peek(p) == T_REDUCE && !at_function(p)) {
        return parse_reduction(p);
    }
    return parse_power(p);
}

static Expr *parse_product(Parser *p)
{
    if (!enter(p)) {
        return new_expr(p, EX_NUM, here(p));
    }
    Expr *a = parse_factor(p);
    while (peek(p) == T_STAR || peek(p) == T_SLASH) {
        BinaryOp op = peek(p) == T_STAR ? BIN_MUL : BIN_DIV;
        Span at = next(p)->span;
        a = new_binary(p, EX_BINARY, op, a, at, parse_factor(p));
    }
    leave(p);
    return a;
}

Expr *parse_additive(Parser *p)
{
    Expr *a = parse_product(p);
    while (peek(p) == T_PLUS || peek(p) == T_MINUS) {
        BinaryOp op = peek(p) == T_PLUS ? BIN_ADD : BIN_SUB;
        Span at = next(p)->span;
        a = new_binary(p, EX_BINARY, op, a, at, parse_product(p));
    }
    return a;
}

static bool comparison(TokenKind k, BinaryOp *op)
{
    switch (k) {
    case T_EQ:
        *op = BIN_EQ;
        return true;
    case T_NE:
        *op = BIN_NE;
        return true;
    case T_LT:
        *op = BIN_LT;
        return true;
    case T_LE:
        *op = BIN_LE;
        return true;
    case T_GT:
        *op = BIN_GT;
        return true;
    case T_GE:
        *op = BIN_GE;
        return true;
    default:
        return false;
    }
}

static Expr *parse_comparison(Parser *p)
{
    Expr *a = parse_additive(p);
    BinaryOp op;
    if (comparison(peek(p), &op)) {
        Span at = next(p)->span;
        a = new_binary(p, EX_BINARY, op, a, at, parse_additive(p));
        if (comparison(peek(p), &op)) {
            fail(p, "E0018", here(p), "write a <= b and b <= c", "comparisons cannot be chained");
        }
    }
    return a;
}

static Expr *parse_not(Parser *p)
{
    if (peek(p) != T_NOT) {
        return parse_comparison(p);
    }
    if (!enter(p)) {
        return new_expr(p, EX_NUM, here(p));
    }
    Expr *e = new_expr(p, EX_NOT, next(p)->span);
    e->a = parse_not(p);
    leave(p);
    return finish(p, e);
}

static Expr *parse_and(Parser *p)
{
    Expr *a = parse_not(p);
    while (peek(p) == T_AND) {
        Span at = next(p)->span;
        a = new_binary(p, EX_BINARY, BIN_AND, a, at, parse_not(p));
    }
    return a;
}

Expr *parse_cond(Parser *p)
{
    if (!enter(p)) {
        return new_expr(p, EX_NUM, here(p));
    }
    Expr *a = parse_and(p);
    while (peek(p) == T_OR) {
        Span at = next(p)->span;
        a = new_binary(p, EX_BINARY, BIN_OR, a, at, parse_and(p));
    }
    leave(p);
    return a;
}

Expr *parse_expr(Parser *p)
{
    if (!enter(p)) {
        return new_expr(p, EX_NUM, here(p));
    }
    Expr *a = parse_cond(p);
    if (peek(p) == T_WHERE) {
        Span at = next(p)->span;
        a = new_binary(p, EX_WHERE, BIN_ADD, a, at, parse_cond(p));
    }
    if (peek(p) == T_ELSE) {
        Span at = next(p)->span;
        a = new_binary(p, EX_ELSE, BIN_ADD, a, at, parse_expr(p));
    }
    leave(p);
    return a;
}
