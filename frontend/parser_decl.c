/* Declarations: hyper, axis, input, fn, init, rel, block, extern, use; param and state.
 *
 *   hyper  = "hyper" ID "=" expr {"," ...}
 *   axis   = "axis" ax {"," ax}
 *   ax     = ID ["<" ID ">"] ["in" ID] (":" kind ["(" args ")"] | "=" (additive | sum)) ["over" ID {ID}]
 *   sum    = part {"|" part}                part = ID | "{" ID {"," ID} "}"
 *   input  = "input" ID ["[" dims "]"] ":" type ["(" args ")"] {"label" | "const" | "ascending" | "seconds"} {"," ...}
 *   fn     = ("fn" | "init") ID ["[" ID {"," ID} "]"] ["(" [ID ["=" expr]] {"," ...} ")"] "=" expr
 *   rel    = "rel" ID "(" ID "," ID ")" (":" pair {";" pair} | NEWLINE INDENT {pair NEWLINE} DEDENT)
 *   pair   = side "->" side ["if" cond]     side = ID {"|" ID} [ID]
 *   block  = "block" ID ["<" par {"," par} ">"] "(" sig ")" "->" sig body
 *   extern = "extern" ID "(" signature ")" "->" decl "from" STR ["gradient" ID]
 *   param  = "param" decl {"," decl} ["~" expr] {"@" ID} {"," ...}
 *   state  = "state" decl "=" expr {"," ...} ["by" ID]
 *   decl   = ID ["[" [dims ";"] dims ["->" dims] ["where" cond] "]"]  */
#include "parser.h"

#include <string.h>

static void parse_hypers(Parser *p, Stmts *out)
{
    do {
        Span at;
        const char *name = expect_name(p, "the name of a hyper", &at);
        Stmt *s = new_stmt(p, out, ST_HYPER, name, at);
        expect(p, T_ASSIGN, NULL);
        s->value = parse_expr(p);
    } while (accept(p, T_COMMA));
}

/* ---- axes ------------------------------------------------------------------------------------------------- */

static void parse_axis_parts(Parser *p, AxisDecl *a)
{
    do {
        struct AxisPart part = {.span = here(p)};
        if (accept(p, T_LBRACE)) {
            do {
                const char *member = expect_name(p, "the name of a member", NULL);
                ARENA_PUSH(p->arena, part.members, part.nmembers, member);
            } while (accept(p, T_COMMA));
            expect(p, T_RBRACE, "',' or '}'");
        } else {
            part.source = expect_name(p, "an axis, or members in braces", NULL);
        }
        ARENA_PUSH(p->arena, a->parts, a->nparts, part);
    } while (accept(p, T_BAR));
}

static void parse_letters(Parser *p, int *n, const char ***letters)
{
    do {
        const char *letter = expect_name(p, "the name of a letter", NULL);
        ARENA_PUSH(p->arena, *letters, *n, letter);
    } while (peek(p) == T_NAME);
}

static void parse_axis(Parser *p, Stmts *out)
{
    Span at;
    const char *name = expect_name(p, "the name of an axis", &at);
    Stmt *s = new_stmt(p, out, ST_AXIS, name, at);
    AxisDecl *a = s->axis = arena_alloc(p->arena, sizeof *a);
    if (peek(p) == T_LT) {
        next(p)->spacing = SPACING_TIGHT;
        a->param = expect_name(p, "the name of the axis parameter", NULL);
        expect(p, T_GT, NULL)->spacing = SPACING_TIGHT;
    }
    if (accept(p, T_IN)) {
        a->parent = expect_name(p, "the axis it is nested in", NULL);
    }
    if (accept(p, T_COLON)) {
        a->kind = expect_name(p, "the kind of the axis (ragged, vocab, fields, width, batch)", NULL);
        if (peek(p) == T_LPAREN) {
            next(p)->spacing = SPACING_CALL;
            parse_args(p, &a->nargs, &a->args);
        }
    } else if (accept(p, T_ASSIGN)) {
        if (peek(p) == T_LBRACE || (peek(p) == T_NAME && peek_at(p, 1) == T_BAR)) {
            parse_axis_parts(p, a);
        } else {
            a->size = parse_additive(p);
        }
    } else {
        fail_expected(p, "'=' and a size, or ':' and a kind");
    }
    if (accept(p, T_OVER)) {
        parse_letters(p, &a->nletters, &a->letters);
    }
}

/* ---- names with dimensions -------------------------------------------------------------------------------- */

/* name, and `[dims]` if there is a bracket. */
static Decl parse_decl(Parser *p, const char *what)
{
    Decl d = {.narrow = -1};
    d.name = expect_name(p, what, &d.span);
    if (peek(p) != T_LBRACKET) {
        return d;
    }
    next(p)->spacing = SPACING_CALL;
    d.has_bracket = true;
    int first = p->i;
    while (!p->failed) {
        Expr *e = parse_dim(p);
        ARENA_PUSH(p->arena, d.dims, d.ndims, e);
        if (peek(p) == T_SEMICOLON) {
            if (d.nselect > 0 || d.narrow >= 0) {
                fail(p, "E0019", here(p), "write W[select; in -> out]", "a second ';' in the dimensions of '%s'",
                     d.name);
            }
            next(p);
            d.nselect = d.ndims;
        } else if (peek(p) == T_ARROW) {
            if (d.narrow >= 0) {
                fail(p, "E0019", here(p), "write W[select; in -> out]", "a second '->' in the dimensions of '%s'",
                     d.name);
            }
            next(p);
            d.narrow = d.ndims;
        } else if (!accept(p, T_COMMA)) {
            break;
        }
    }
    if (accept(p, T_WHERE)) {
        d.where = parse_cond(p);
    }
    if (!p->failed && peek(p) != T_RBRACKET) {
        fail_expected(p, "',' or ']'");
    }
    expect(p, T_RBRACKET, NULL);
    style_commas(p, first, p->i - 1);
    return d;
}

static Stmt *new_decl(Parser *p, Stmts *out, StmtKind kind, const char *what)
{
    Decl d = parse_decl(p, what);
    Stmt *s = new_stmt(p, out, kind, d.name, d.span);
    s->decl = arena_alloc(p->arena, sizeof *s->decl);
    *s->decl = d;
    return s;
}

static bool parse_input_flag(Parser *p, InputDecl *in)
{
    if (accept_word(p, "label")) {
        in->is_label = true;
    } else if (accept_word(p, "const")) {
        in->is_const = true;
    } else if (accept_word(p, "ascending")) {
        in->is_ascending = true;
    } else if (accept_word(p, "seconds")) {
        in->is_seconds = true;
    } else {
        return false;
    }
    return true;
}

static void parse_input(Parser *p, Stmts *out)
{
    Stmt *s = new_decl(p, out, ST_INPUT, "the name of an input");
    InputDecl *in = s->input = arena_alloc(p->arena, sizeof *in);
    expect(p, T_COLON, "':' and a type");
    in->type = expect_name(p, "a type (f32, int64, bool, vocab(...) or an axis)", &in->type_span);
    if (peek(p) == T_LPAREN) {
        next(p)->spacing = SPACING_CALL;
        parse_args(p, &in->nargs, &in->args);
    }
    while (parse_input_flag(p, in)) {
    }
    if (peek(p) == T_NAME) {
        fail(p, "E0020", here(p), "the words after a type are label, const, ascending, seconds",
             "'%s' says nothing about an input", p->tokens.v[p->i].text);
    }
}

/* One initialiser and its tags serve every param before it that has none. */
static void parse_params(Parser *p, Stmts *out)
{
    int first = out->n; /* of the group that waits for its initialiser */
    do {
        Stmt *last = new_decl(p, out, ST_PARAM, "the name of a param");
        if (accept(p, T_TILDE)) {
            p->in_init = true;
            Expr *init = parse_expr(p);
            p->in_init = false;
            for (int k = first; k < out->n; k++) {
                out->v[k]->decl->value = init;
            }
        }
        while (peek(p) == T_AT) {
            next(p)->spacing = SPACING_UNARY;
            const char *tag = expect_name(p, "a tag", NULL);
            for (int k = first; k < out->n && !p->failed; k++) {
                ARENA_PUSH(p->arena, out->v[k]->tags, out->v[k]->ntags, tag);
            }
        }
        if (last->decl->value != NULL) {
            first = out->n;
        }
    } while (accept(p, T_COMMA));
    if (first < out->n && !p->failed) {
        fail(p, "E0021", out->v[first]->span, "end the line with ~ and an initialiser: ~ 0, ~ normal(0, 0.02), ...",
             "param '%s' has no initialiser", out->v[first]->name);
    }
}

static void parse_states(Parser *p, Stmts *out)
{
    int first = out->n;
    do {
        Stmt *s = new_decl(p, out, ST_STATE, "the name of a state");
        expect(p, T_ASSIGN, "'=' and the first value");
        s->decl->value = parse_expr(p);
        if (accept(p, T_BY)) {
            const char *by = expect_name(p, "an input that is the key, or model", NULL);
            for (int k = first; k < out->n; k++) {
                out->v[k]->by = by;
            }
            first = out->n;
        }
    } while (accept(p, T_COMMA));
    if (first < out->n && !p->failed) {
        fail(p, "E0022", out->v[first]->span,
             "end the line with `by user` (one per value of that input) or `by model` (one altogether)",
             "state '%s' does not say by what it is kept", out->v[first]->name);
    }
}

/* ---- functions, relations, blocks ------------------------------------------------------------------------- */

/* Name [= default], or a declaration with dimensions, up to and with `)`. */
static void parse_signature(Parser *p, int *n, Decl **decls)
{
    if (accept(p, T_RPAREN)) {
        return;
    }
    do {
        Decl d = parse_decl(p, "the name of a parameter");
        if (accept(p, T_ASSIGN)) {
            d.value = parse_expr(p);
        }
        ARENA_PUSH(p->arena, *decls, *n, d);
    } while (accept(p, T_COMMA));
    expect(p, T_RPAREN, "',' or ')'");
}

static void parse_fn(Parser *p, Stmts *out, bool is_init)
{
    Span at;
    const char *name = expect_name(p, is_init ? "the name of an initialiser" : "the name of a function", &at);
    Stmt *s = new_stmt(p, out, ST_FN, name, at);
    s->is_init = is_init;
    if (peek(p) == T_LBRACKET) {
        next(p)->spacing = SPACING_CALL;
        int first = p->i;
        do {
            const char *letter = expect_name(p, "the name of a letter", NULL);
            ARENA_PUSH(p->arena, s->letters, s->nletters, letter);
        } while (accept(p, T_COMMA));
        expect(p, T_RBRACKET, "',' or ']'");
        style_commas(p, first, p->i - 1);
    }
    if (peek(p) == T_LPAREN) {
        next(p)->spacing = SPACING_CALL;
        parse_signature(p, &s->nparams, &s->params);
    }
    expect(p, T_ASSIGN, NULL);
    s->value = parse_expr(p);
}

static RelSide parse_rel_side(Parser *p)
{
    RelSide side = {.span = here(p)};
    parse_sources(p, false, &side.nsources, &side.sources);
    if (peek(p) == T_NAME) {
        side.letter = next(p)->text;
        if (strcmp(side.letter, "_") == 0) {
            side.letter = NULL;
        }
    }
    return side;
}

void parse_rel_pair(Parser *p, RelPair *pair)
{
    *pair = (RelPair){.span = here(p)};
    pair->from = parse_rel_side(p);
    expect(p, T_ARROW, "'->'");
    pair->to = parse_rel_side(p);
    if (accept(p, T_IF)) {
        pair->cond = parse_cond(p);
    }
}

static void add_pair(Parser *p, Stmt *s)
{
    RelPair pair;
    parse_rel_pair(p, &pair);
    if (!p->failed) {
        ARENA_PUSH(p->arena, s->pairs, s->npairs, pair);
    }
}

static void parse_rel(Parser *p, Stmts *out)
{
    Span at;
    const char *name = expect_name(p, "the name of a relation", &at);
    Stmt *s = new_stmt(p, out, ST_REL, name, at);
    expect(p, T_LPAREN, "'(' and two letters")->spacing = SPACING_CALL;
    do {
        const char *letter = expect_name(p, "the name of a letter", NULL);
        ARENA_PUSH(p->arena, s->letters, s->nletters, letter);
    } while (accept(p, T_COMMA));
    expect(p, T_RPAREN, "',' or ')'");
    if (!p->failed && s->nletters != 2) {
        fail(p, "E0035", at, "write rel name(a, b): whether a sees b", "relation '%s' needs two letters, not %d", name,
             s->nletters);
    }
    if (peek(p) == T_COLON) {
        next(p)->spacing = SPACING_BODY_COLON;
        do {
            add_pair(p, s);
        } while (accept(p, T_SEMICOLON));
        return;
    }
    if (peek(p) != T_NEWLINE || peek_at(p, 1) != T_INDENT) {
        fail(p, "E0007", here(p), "write one pair per line below it, indented: A i -> A j if j <= i",
             "relation '%s' has no pairs", name);
        return;
    }
    next(p);
    next(p);
    while (peek(p) != T_DEDENT && !p->failed) {
        add_pair(p, s);
        expect(p, T_NEWLINE, "the end of the pair");
    }
    expect(p, T_DEDENT, NULL);
}

/* <A over i, R* over r> */
static void parse_axis_params(Parser *p, Stmt *s)
{
    next(p)->spacing = SPACING_TIGHT;
    do {
        AxisParam a = {0};
        a.name = expect_name(p, "the name of an axis parameter", &a.span);
        if (peek(p) == T_STAR) {
            next(p)->spacing = SPACING_SUFFIX;
            a.star = true;
        }
        if (accept(p, T_OVER)) {
            parse_letters(p, &a.nletters, &a.letters);
        }
        ARENA_PUSH(p->arena, s->axis_params, s->naxis_params, a);
    } while (accept(p, T_COMMA));
    expect(p, T_GT, "',' or '>'")->spacing = SPACING_TIGHT;
}

static void parse_block(Parser *p, Stmts *out)
{
    Span at;
    const char *name = expect_name(p, "the name of a block", &at);
    Stmt *s = new_stmt(p, out, ST_BLOCK, name, at);
    if (!p->failed && (name[0] < 'A' || name[0] > 'Z')) {
        fail(p, "E0024", at, "blocks begin with a capital letter, functions (fn) with a small one",
             "'%s' is not a name for a block", name);
    }
    if (peek(p) == T_LT) {
        parse_axis_params(p, s);
    }
    expect(p, T_LPAREN, "'(' and the arguments")->spacing = SPACING_CALL;
    parse_signature(p, &s->nparams, &s->params);
    expect(p, T_ARROW, "'->' and the results");
    do {
        Decl d = parse_decl(p, "the name of a result");
        ARENA_PUSH(p->arena, s->results, s->nresults, d);
    } while (accept(p, T_COMMA));
    if (peek(p) == T_COLON) {
        next(p)->spacing = SPACING_BODY_COLON;
    }
    parse_body(p, CTX_BLOCK, &s->body);
}

static void parse_extern(Parser *p, Stmts *out)
{
    Span at;
    const char *name = expect_name(p, "the name of a C function", &at);
    Stmt *s = new_stmt(p, out, ST_EXTERN, name, at);
    expect(p, T_LPAREN, "'(' and its arguments")->spacing = SPACING_CALL;
    parse_signature(p, &s->nparams, &s->params);
    expect(p, T_ARROW, "'->' and the result");
    Decl d = parse_decl(p, "the name of the result");
    ARENA_PUSH(p->arena, s->results, s->nresults, d);
    if (!accept_word(p, "from")) {
        fail_expected(p, "'from' and the library's file in quotes");
    }
    s->from = expect(p, T_STR, "the library's file in quotes")->text;
    if (accept_word(p, "gradient")) {
        s->to = expect_name(p, "the name of the C function of the gradient", NULL);
    }
}

static void parse_use(Parser *p, Stmts *out)
{
    Token *t = expect(p, T_STR, "a file in quotes");
    new_stmt(p, out, ST_USE, t->text, t->span);
}

/* ---- which one it is -------------------------------------------------------------------------------------- */

static void parse_axes(Parser *p, Stmts *out)
{
    do {
        parse_axis(p, out);
    } while (accept(p, T_COMMA));
}

static void parse_inputs(Parser *p, Stmts *out)
{
    do {
        parse_input(p, out);
    } while (accept(p, T_COMMA));
}

static void parse_function(Parser *p, Stmts *out)
{
    parse_fn(p, out, false);
}

static void parse_init(Parser *p, Stmts *out)
{
    parse_fn(p, out, true);
}

/* A spec that is a variant of another takes what either takes. */
enum {
    IN_FILE = 1 << CTX_FILE | 1 << CTX_DERIVED,
    IN_BLOCK = 1 << CTX_BLOCK,
    IN_SECTION = 1 << CTX_SECTION,
    IN_VARIANT = 1 << CTX_VARIANT,
    IN_IN = 1 << CTX_IN
};

static const struct {
    const char *word;
    void (*parse)(Parser *, Stmts *);
    int where;
} declarations[] = {
    {"hyper", parse_hypers, IN_FILE | IN_VARIANT},
    {"axis", parse_axes, IN_FILE | IN_VARIANT},
    {"input", parse_inputs, IN_FILE | IN_VARIANT},
    {"fn", parse_function, IN_FILE | IN_VARIANT},
    {"init", parse_init, IN_FILE | IN_VARIANT},
    {"rel", parse_rel, IN_FILE | IN_VARIANT},
    {"block", parse_block, IN_FILE | IN_VARIANT},
    {"extern", parse_extern, IN_FILE | IN_VARIANT},
    {"use", parse_use, IN_FILE},
    {"param", parse_params, IN_FILE | IN_VARIANT | IN_BLOCK | IN_SECTION | IN_IN},
    {"state", parse_states, IN_FILE | IN_VARIANT | IN_BLOCK | IN_SECTION | IN_IN},
};

bool parse_declaration(Parser *p, Stmts *out)
{
    for (size_t k = 0; k < sizeof declarations / sizeof *declarations; k++) {
        if (!at_word(p, declarations[k].word)) {
            continue;
        }
        if ((declarations[k].where >> p->context & 1) == 0) {
            fail(p, "E0016", here(p),
                 p->context == CTX_VARIANT ? "write it at the head of the file"
                                           : "declare it at the left margin, outside blocks and sections",
                 "'%s' belongs to the file", declarations[k].word);
            return true;
        }
        next(p);
        declarations[k].parse(p, out);
        return true;
    }
    return false;
}
