/* Expressions of the text form: precedence climbing over tokens, straight into hash-consed Scalars. What the builders
 * of scalar.c would call our bug is asked for first and reported as the text's mistake. The derivatives of scalar.def
 * are read by this parser too. */
#include "textform.h"

#include <math.h>
#include <string.h>

enum { MAX_DEPTH = 1000, MAX_ARGS = 64 };

void parse_fail(Parser *p, const char *fmt, ...)
{
    if (p->failed) {
        return;
    }
    p->failed = true;
    const Token *t = &p->tokens[p->at];
    va_list ap;
    va_start(ap, fmt);
    if (t->kind == TOK_BAD) {
        diag_report(p->graph->diag, DIAG_ERROR, "E0600", t->span, NULL, "%s", t->text);
    } else {
        diag_vreport(p->graph->diag, DIAG_ERROR, "E0600", t->span, NULL, fmt, ap);
    }
    va_end(ap);
}

bool parse_is(const Parser *p, const char *word)
{
    const Token *t = &p->tokens[p->at];
    return (t->kind == TOK_SYMBOL || t->kind == TOK_NAME) && strcmp(t->text, word) == 0;
}

bool parse_accept(Parser *p, const char *word)
{
    if (p->failed || !parse_is(p, word)) {
        return false;
    }
    p->at++;
    return true;
}

void parse_expect(Parser *p, const char *word)
{
    if (!parse_accept(p, word)) {
        parse_fail(p, "'%s' is expected here", word);
    }
}

const char *parse_name(Parser *p, const char *what)
{
    const Token *t = &p->tokens[p->at];
    if (p->failed || (t->kind != TOK_NAME && t->kind != TOK_STRING)) {
        parse_fail(p, "%s is expected here", what);
        return "";
    }
    p->at++;
    return t->text;
}

int64_t parse_integer(Parser *p, const char *what)
{
    bool minus = parse_accept(p, "-");
    const Token *t = &p->tokens[p->at];
    if (p->failed || t->kind != TOK_INT || (t->inum < 0 && !minus)) {
        parse_fail(p, "%s is expected here", what);
        return 0;
    }
    p->at++;
    return minus && t->inum >= 0 ? -t->inum : t->inum;
}

double parse_number(Parser *p, const char *what)
{
    bool minus = parse_accept(p, "-");
    const Token *t = &p->tokens[p->at];
    double v = t->num;
    if (t->kind == TOK_NAME && strcmp(t->text, "inf") == 0) {
        v = INFINITY;
    } else if (t->kind == TOK_NAME && strcmp(t->text, "nan") == 0) {
        v = NAN;
    } else if (t->kind != TOK_INT && t->kind != TOK_REAL && t->kind != TOK_F32) {
        parse_fail(p, "%s is expected here", what);
    }
    if (p->failed) {
        return 0;
    }
    p->at++;
    return minus ? -v : v;
}

static Scalar *nothing(Parser *p) /* what a failed parse yields */
{
    return sc_int(p->graph, 0);
}

static Scalar *build(Parser *p, Op op, int n, Scalar **args, Span span)
{
    if (p->failed) {
        return nothing(p);
    }
    const char *wrong = sc_check(op, n, args);
    if (wrong != NULL) {
        p->at -= p->at > 0; /* the operator is behind us; its last operand is near enough */
        parse_fail(p, "%s: %s", op_info[op].name, wrong);
        return nothing(p);
    }
    return sc_with_span(p->graph, sc_opv(p->graph, op, n, args), span);
}

static int parse_args(Parser *p, Scalar **args, const char *end)
{
    int n = 0;
    while (!p->failed && !parse_is(p, end) && !parse_is(p, ";")) {
        if (n == MAX_ARGS) {
            parse_fail(p, "too many arguments");
            return 0;
        }
        args[n++] = parse_scalar(p);
        if (!parse_accept(p, ",")) {
            break;
        }
    }
    return p->failed ? 0 : n;
}

static bool all_ints(Parser *p, int n, Scalar **args)
{
    for (int k = 0; k < n; k++) {
        if (args[k]->type != TYPE_INT) {
            parse_fail(p, "index %d is not an integer", k);
            return false;
        }
    }
    return !p->failed;
}

static Scalar *parse_load(Parser *p, const Token *name)
{
    Scalar *args[MAX_ARGS];
    Tensor *t = graph_find(p->graph, name->text);
    if (t == NULL) {
        p->at--;
        parse_fail(p, "no tensor is named '%s'", name->text);
        return nothing(p);
    }
    parse_expect(p, "[");
    bool at = parse_accept(p, "@");
    int n = parse_args(p, args, "]");
    parse_expect(p, "]");
    if (!all_ints(p, n, args)) {
        return nothing(p);
    }
    if (n != t->ndim + at) {
        parse_fail(p, "%s has %d dimensions and is loaded with %d indices", t->name, t->ndim, n - at);
        return nothing(p);
    }
    if (at && (p->graph->batched || !t->per_example)) {
        parse_fail(p, "%s cannot be loaded from a named example here", t->name);
        return nothing(p);
    }
    return sc_with_span(p->graph, sc_load(p->graph, t, n, args), name->span);
}

static Scalar *parse_rand(Parser *p, bool by_step)
{
    Scalar *args[MAX_ARGS];
    const char *stream = parse_name(p, "the name of a random stream");
    int n = parse_accept(p, ";") ? parse_args(p, args, ")") : 0;
    parse_expect(p, ")");
    return all_ints(p, n, args) ? sc_rand(p->graph, stream, by_step, n, args) : nothing(p);
}

static Scalar *parse_step(Parser *p)
{
    Scalar *arg = parse_scalar(p);
    int64_t *table = NULL;
    int n = 0;
    parse_expect(p, ";");
    do {
        ARENA_PUSH(p->scratch, table, n, parse_integer(p, "a threshold"));
        if (n > 1 && table[n - 2] > table[n - 1]) {
            parse_fail(p, "thresholds must ascend");
        }
    } while (parse_accept(p, ","));
    parse_expect(p, ")");
    return all_ints(p, 1, &arg) ? sc_step(p->graph, n, table, arg) : nothing(p);
}

/* extern(0, 1; x[b, 0], w[0]): output 1 of the graph's extern 0 */
static Scalar *parse_extern(Parser *p)
{
    Scalar *args[MAX_ARGS];
    int64_t number = parse_integer(p, "the number of an extern");
    parse_expect(p, ",");
    int64_t k = parse_integer(p, "the number of a result");
    parse_expect(p, ";");
    int n = parse_args(p, args, ")");
    parse_expect(p, ")");
    if (number < 0 || number >= p->graph->nexterns || k < 0 || k >= MAX_EXTERN_INPUTS || n < 1 ||
        n > MAX_EXTERN_INPUTS + 1) {
        parse_fail(p, "the graph has no such extern, or it has no such result, or no argument");
        return nothing(p);
    }
    return sc_extern(p->graph, p->graph->externs[number], (int)k, n, args);
}

/* size(T; b, i)  part(Z; z, b)  local(Z; z, b)  inject(Z, 2; i, b) */
static Scalar *parse_axis_op(Parser *p, Op op)
{
    Scalar *args[MAX_ARGS];
    const char *name = parse_name(p, "an axis");
    Axis *axis = p->find_axis != NULL && !p->failed ? p->find_axis(p->ctx, name) : NULL;
    if (axis == NULL) {
        parse_fail(p, "no axis is named '%s'", name);
        return nothing(p);
    }
    int64_t part = 0;
    if (op == OP_INJECT) {
        parse_expect(p, ",");
        part = parse_integer(p, "the number of a part");
    }
    int n = parse_accept(p, ";") ? parse_args(p, args, ")") : 0;
    parse_expect(p, ")");
    if (!all_ints(p, n, args)) {
        return nothing(p);
    }
    if (op == OP_SIZE) {
        return sc_size(p->graph, axis, n, args);
    }
    if (axis->kind != AXIS_SUM || n < 1 || n > 2 || part < 0 || part >= axis->nparts) {
        parse_fail(p, "%s of axis %s: it has no such part, or the number of indices is wrong", op_info[op].name, name);
        return nothing(p);
    }
    return sc_axis_op(p->graph, op, axis, (int)part, n, args);
}

static Scalar *parse_call(Parser *p, const Token *name)
{
    Scalar *args[MAX_ARGS];
    parse_expect(p, "(");
    if (strcmp(name->text, "rand") == 0 || strcmp(name->text, "rand_step") == 0) {
        return parse_rand(p, name->text[4] == '_');
    }
    if (strcmp(name->text, "step") == 0) {
        return parse_step(p);
    }
    if (strcmp(name->text, "extern") == 0) {
        return parse_extern(p);
    }
    for (Op op = OP_SIZE; op <= OP_INJECT; op++) {
        if (strcmp(name->text, op_info[op].name) == 0) {
            return parse_axis_op(p, op);
        }
    }
    for (Op op = OP_STEP + 1; op < OP_COUNT; op++) {
        if (strcmp(name->text, op_info[op].name) == 0) {
            int n = parse_args(p, args, ")");
            parse_expect(p, ")");
            return build(p, op, n, args, name->span);
        }
    }
    p->at -= 2;
    parse_fail(p, "no function is named '%s'", name->text);
    return nothing(p);
}

static Scalar *parse_word(Parser *p, const Token *t)
{
    Graph *g = p->graph;
    static const struct {
        const char *name;
        int kind; /* 0, 1: false, true; 2: real; 3: f32 */
        double num;
    } words[] = {{"false", 0, 0}, {"true", 1, 0},        {"inf", 2, INFINITY},
                 {"nan", 2, NAN}, {"inff", 3, INFINITY}, {"nanf", 3, NAN}};
    for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
        if (strcmp(words[k].name, t->text) == 0) {
            return words[k].kind < 2    ? sc_bool(g, words[k].kind == 1)
                   : words[k].kind == 2 ? sc_real(g, words[k].num)
                                        : sc_f32(g, words[k].num);
        }
    }
    for (int k = 0; k < p->nnames; k++) {
        if (strcmp(p->names[k], t->text) == 0) {
            return p->values[k];
        }
    }
    if (strcmp(t->text, "self") == 0) {
        return sc_self(g);
    }
    p->at--;
    parse_fail(p, "'%s' is no letter of this equation", t->text);
    return nothing(p);
}

static Scalar *parse_atom(Parser *p)
{
    const Token *t = &p->tokens[p->at];
    Graph *g = p->graph;
    if (parse_accept(p, "(")) {
        Scalar *s = parse_scalar(p);
        parse_expect(p, ")");
        return s;
    }
    switch (p->failed ? TOK_END : t->kind) {
    case TOK_INT:
        if (t->inum >= 0) {
            p->at++;
            return sc_int(g, t->inum);
        }
        break;
    case TOK_REAL:
        p->at++;
        return sc_real(g, t->num);
    case TOK_F32:
        p->at++;
        return sc_f32(g, t->num);
    case TOK_SHARED:
        if (t->inum < p->nshared) {
            p->at++;
            return p->shared[t->inum];
        }
        parse_fail(p, "%%%lld is not defined before it is used", (long long)t->inum);
        return nothing(p);
    case TOK_NAME:
    case TOK_STRING: {
        p->at++;
        if (parse_is(p, "[")) {
            return parse_load(p, t);
        }
        if (t->kind == TOK_NAME) {
            return parse_is(p, "(") ? parse_call(p, t) : parse_word(p, t);
        }
        p->at--;
        break;
    }
    default:
        break;
    }
    parse_fail(p, "an operand is expected here");
    return nothing(p);
}

static Scalar *parse_unary(Parser *p)
{
    const Token *t = &p->tokens[p->at];
    if (!parse_accept(p, "-")) {
        return parse_atom(p);
    }
    const Token *next = &p->tokens[p->at];
    Graph *g = p->graph;
    switch (next->kind) { /* a signed number is a number */
    case TOK_INT:
        p->at++;
        return sc_int(g, next->inum < 0 ? next->inum : -next->inum);
    case TOK_REAL:
        p->at++;
        return sc_real(g, -next->num);
    case TOK_F32:
        p->at++;
        return sc_f32(g, -next->num);
    default:
        break;
    }
    if (parse_accept(p, "inf")) {
        return sc_real(g, -INFINITY);
    }
    if (parse_accept(p, "inff")) {
        return sc_f32(g, -INFINITY);
    }
    if (++p->depth > MAX_DEPTH) {
        parse_fail(p, "nested too deeply");
    }
    Scalar *a = p->failed ? nothing(p) : parse_unary(p);
    p->depth--;
    return build(p, OP_neg, 1, &a, t->span);
}

typedef struct {
    const char *symbol;
    Op op;
    int level;
    bool swapped;
} Infix;

static const Infix infix[] = {
    {"or", OP_or, 1, false}, {"and", OP_and, 2, false}, {"<", OP_lt, 4, false},  {"<=", OP_le, 4, false},
    {">", OP_lt, 4, true},   {">=", OP_le, 4, true},    {"==", OP_eq, 4, false}, {"!=", OP_ne, 4, false},
    {"+", OP_add, 5, false}, {"-", OP_sub, 5, false},   {"*", OP_mul, 6, false}, {"/", OP_div, 6, false},
};

static const Infix *infix_here(const Parser *p, int level)
{
    for (size_t k = 0; k < sizeof infix / sizeof *infix; k++) {
        if (infix[k].level >= level && parse_is(p, infix[k].symbol)) {
            return &infix[k];
        }
    }
    return NULL;
}

/* level 1 or, 2 and, 3 not, 4 comparisons (no chains), 5 + -, 6 * / */
static Scalar *parse_level(Parser *p, int level)
{
    if (++p->depth > MAX_DEPTH) {
        parse_fail(p, "nested too deeply");
    }
    const Token *t = &p->tokens[p->at];
    Scalar *a;
    if (p->failed) {
        a = nothing(p);
    } else if (level <= 3 && parse_accept(p, "not")) {
        a = parse_level(p, 3);
        a = build(p, OP_not, 1, &a, t->span);
    } else {
        a = parse_unary(p);
    }
    const Infix *in;
    while (!p->failed && (in = infix_here(p, level)) != NULL) {
        const Token *at = &p->tokens[p->at++];
        Scalar *b = parse_level(p, in->level + 1);
        Scalar *args[] = {in->swapped ? b : a, in->swapped ? a : b};
        a = build(p, in->op, 2, args, at->span);
        if (in->level == 4 && (in = infix_here(p, 4)) != NULL && in->level == 4) {
            parse_fail(p, "comparisons do not chain: write 'and'");
        }
    }
    p->depth--;
    return p->failed ? nothing(p) : a;
}

Scalar *parse_scalar(Parser *p)
{
    return parse_level(p, 1);
}

Scalar *scalar_parse(Graph *g, const char *text, int n, const char *const *names, Scalar *const *values)
{
    Arena *scratch = arena_new();
    int ntokens;
    Parser p = {.graph = g, .scratch = scratch, .nnames = n, .names = names, .values = values};
    p.tokens = text_tokens(scratch, diag_source(g->diag, "expression", text), &ntokens);
    Scalar *s = parse_scalar(&p);
    if (!p.failed && p.tokens[p.at].kind != TOK_LINE && p.tokens[p.at].kind != TOK_END) {
        parse_fail(&p, "the expression should end here");
    }
    arena_free(scratch);
    return p.failed ? NULL : s;
}
