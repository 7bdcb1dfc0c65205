/* Statements: equations, repeat, output, prove, settings; sections, variants, in, drop.
 *
 *   equation = lhs {"," lhs} ["by" ID] ("=" expr | ":=" (call ["as" ID] | expr))
 *   lhs      = ID ["'"] ["[" idx {"," idx} ["where" cond] "]"]
 *   call     = ID ["<" ID "=" axes {"," ...} ">"] "(" args ")"
 *   repeat   = "repeat" [ID "in"] expr ["as" ID] ":" body
 *   section  = ("model" | "train" | "rank" | "serve") body
 *   variant  = "variant" ID ["from" ID {"," ID}] [":" body]
 *   in       = "in" ID ":" body
 *   drop     = "drop" what {"," what}        what = lhs | "output" ID | ID side "->" side
 *   setting  = a row of `settings` below
 *
 * A name followed by [ ' = := , or `by` begins an equation, whatever the name; otherwise the first word decides. */
#include "parser.h"

#include <string.h>

const char *const section_name[] = {"model", "train", "rank", "serve"};
const char *const stmt_name[] = {"hyper",   "axis",     "input",   "fn",    "rel",   "block",  "extern",
                                 "use",     "equation", "repeat",  "param", "state", "output", "prove",
                                 "setting", "section",  "variant", "in",    "drop"};

/* In a variant, or in a spec that is one, statements of every kind meet. */
static bool takes_any(const Parser *p)
{
    return p->context == CTX_VARIANT || p->context == CTX_DERIVED;
}

/* ---- equations -------------------------------------------------------------------------------------------- */

Lhs parse_lhs(Parser *p)
{
    Lhs l = {0};
    l.name = expect_name(p, "a name", &l.span);
    l.prime = accept(p, T_PRIME);
    if (peek(p) == T_LBRACKET) {
        next(p)->spacing = SPACING_CALL;
        l.has_bracket = true;
        parse_index(p, &l.nidx, &l.idx, &l.where);
    }
    return l;
}

static void parse_call_axes(Parser *p, BlockCall *c)
{
    next(p)->spacing = SPACING_TIGHT;
    do {
        struct AxisArg a = {0};
        a.name = expect_name(p, "the name of an axis parameter of the block", &a.span);
        expect(p, T_ASSIGN, NULL);
        a.value = parse_additive(p);
        ARENA_PUSH(p->arena, c->axes, c->naxes, a);
    } while (accept(p, T_COMMA));
    expect(p, T_GT, "',' or '>'")->spacing = SPACING_TIGHT;
}

static bool at_block_call(const Parser *p)
{
    if (peek(p) != T_NAME || (peek_at(p, 1) != T_LPAREN && peek_at(p, 1) != T_LT)) {
        return false;
    }
    char c = p->tokens.v[p->i].text[0];
    return c >= 'A' && c <= 'Z';
}

static void parse_block_call(Parser *p, Stmt *s)
{
    BlockCall *c = s->call = arena_alloc(p->arena, sizeof *c);
    c->name = expect_name(p, "the name of a block", &c->span);
    if (peek(p) == T_LT) {
        parse_call_axes(p, c);
    }
    expect(p, T_LPAREN, "'(' and the arguments")->spacing = SPACING_CALL;
    parse_args(p, &c->nargs, &c->args);
    if (accept(p, T_AS)) {
        s->label = expect_name(p, "the label", NULL);
    }
}

static void parse_equation(Parser *p, Stmts *out)
{
    const Token *first = &p->tokens.v[p->i];
    Stmt *s = new_stmt(p, out, ST_EQUATION, first->text, first->span);
    do {
        Lhs l = parse_lhs(p);
        ARENA_PUSH(p->arena, s->lhs, s->nlhs, l);
    } while (accept(p, T_COMMA));
    if (accept(p, T_BY)) {
        s->by = expect_name(p, "step", NULL);
        if (!p->failed && strcmp(s->by, "step") != 0) {
            fail(p, "E0010", p->tokens.v[p->i - 1].span, "write `by step` for a draw that all examples share",
                 "expected 'step' after 'by', found '%s'", s->by);
        }
    }
    s->rebinds = peek(p) == T_REBIND;
    if (!accept(p, T_REBIND)) {
        expect(p, T_ASSIGN, "'=' or ':='");
        bool has_axes = peek_at(p, 1) == T_LT && peek_at(p, 2) == T_NAME && peek_at(p, 3) == T_ASSIGN;
        if (at_block_call(p) && (peek_at(p, 1) == T_LPAREN || has_axes)) {
            const char *name = p->tokens.v[p->i].text;
            fail(p, "E0017", here(p),
                 arena_printf(p->arena, "write := for a call of a block: %s := %s(...)", s->name, name),
                 "'%s' is called after '='; blocks (capital letter) are called only after :=", name);
        }
    }
    if (s->rebinds && at_block_call(p)) {
        parse_block_call(p, s);
    } else {
        s->value = parse_expr(p);
    }
    if (s->nlhs > 1 && s->call == NULL && !p->failed) {
        fail(p, "E0025", s->lhs[1].span, "only a block has several results: a, b := Block(...)",
             "an equation defines one name, this one %d", s->nlhs);
    }
}

static void parse_repeat(Parser *p, Stmts *out)
{
    Span at = here(p);
    next(p);
    Stmt *s = new_stmt(p, out, ST_REPEAT, NULL, at);
    if (peek(p) == T_NAME && peek_at(p, 1) == T_IN) {
        s->var = next(p)->text;
        next(p);
    }
    s->value = parse_expr(p);
    if (accept(p, T_AS)) {
        s->label = expect_name(p, "the label of the rounds", NULL);
    }
    expect(p, T_COLON, "':' and what is repeated")->spacing = SPACING_BODY_COLON;
    parse_body(p, p->context, &s->body);
}

static void parse_output(Parser *p, Stmts *out)
{
    next(p);
    do {
        Span at;
        const char *name = expect_name(p, "the name of an output", &at);
        new_stmt(p, out, ST_OUTPUT, name, at);
    } while (accept(p, T_COMMA));
}

/* A name with its prime: the next value of a state. */
static const char *parse_primed(Parser *p, const char *what, Span *at)
{
    const char *name = expect_name(p, what, at);
    return accept(p, T_PRIME) ? arena_printf(p->arena, "%s'", name) : name;
}

/* prove causal x -> y along T, prove y independent of x */
static void parse_prove(Parser *p, Stmts *out)
{
    next(p);
    Span at;
    const char *first = parse_primed(p, "causal, or a name", &at);
    Stmt *s = new_stmt(p, out, ST_PROVE, first, at);
    if (accept_word(p, "independent")) {
        s->to = first;
        if (!accept_word(p, "of")) {
            fail_expected(p, "'of' and a name");
        }
        s->from = parse_primed(p, "the name it does not depend on", NULL);
        return;
    }
    if (!p->failed && strcmp(first, "causal") != 0) {
        fail(p, "E0026", at, "write prove causal item -> out along T, or prove out independent of item",
             "'%s' cannot be proven", first);
    }
    s->from = parse_primed(p, "the name it depends on", NULL);
    expect(p, T_ARROW, NULL);
    s->to = parse_primed(p, "the name that depends on it", NULL);
    if (!accept_word(p, "along")) {
        fail_expected(p, "'along' and an axis");
    }
    s->along = expect_name(p, "the name of an axis", NULL);
}

/* ---- settings --------------------------------------------------------------------------------------------- */

static void push_arg(Parser *p, SettingDecl *d, Expr *e)
{
    ARENA_PUSH(p->arena, d->args, d->nargs, e);
}

static Expr *parse_word(Parser *p, const char *what)
{
    Span at;
    const char *name = expect_name(p, what, &at);
    Expr *e = new_expr(p, EX_NAME, at);
    e->name = name;
    return e;
}

static void setting_value_of(Parser *p, SettingDecl *d)
{
    push_arg(p, d, parse_expr(p));
}

/* name(values); the name alone is a call without values. */
static void setting_calls(Parser *p, SettingDecl *d, bool several)
{
    do {
        Span at;
        const char *name = expect_name(p, "a name", &at);
        Expr *e = new_expr(p, EX_CALL, at);
        e->name = name;
        if (peek(p) == T_LPAREN) {
            next(p)->spacing = SPACING_CALL;
            parse_args(p, &e->nargs, &e->args);
        }
        push_arg(p, d, e);
    } while (several && accept(p, T_COMMA));
}

static void setting_call(Parser *p, SettingDecl *d)
{
    setting_calls(p, d, false);
}

static void setting_metrics(Parser *p, SettingDecl *d)
{
    setting_calls(p, d, true);
}

static void setting_stream(Parser *p, SettingDecl *d)
{
    expect(p, T_BY, "'by' and an input that is the key");
    push_arg(p, d, parse_word(p, "an input that is the key"));
    if (!accept_word(p, "chunk")) {
        fail_expected(p, "'chunk' and a number");
    }
    push_arg(p, d, parse_additive(p));
}

static void setting_keep(Parser *p, SettingDecl *d)
{
    if (!accept_word(p, "best")) {
        fail_expected(p, "'best' and a metric");
    }
    push_arg(p, d, parse_word(p, "the name of a metric"));
    Expr *after = NULL;
    if (accept(p, T_COMMA)) {
        if (!accept_word(p, "stop") || !accept_word(p, "after")) {
            fail_expected(p, "'stop after' and a number");
        }
        after = parse_additive(p);
    }
    push_arg(p, d, after);
}

static const struct {
    const char *word;
    void (*parse)(Parser *, SettingDecl *);
    SectionKind section;
} settings[] = {
    {"optimizer", setting_call, SECTION_TRAIN}, {"group", setting_call, SECTION_TRAIN},
    {"batch", setting_value_of, SECTION_TRAIN}, {"epochs", setting_value_of, SECTION_TRAIN},
    {"clip", setting_value_of, SECTION_TRAIN},  {"stream", setting_stream, SECTION_TRAIN},
    {"keep", setting_keep, SECTION_TRAIN},      {"metrics", setting_metrics, SECTION_RANK},
};

static bool parse_setting(Parser *p, Stmts *out)
{
    for (size_t k = 0; k < sizeof settings / sizeof *settings; k++) {
        if (!at_word(p, settings[k].word)) {
            continue;
        }
        Span at = here(p);
        bool here_ok =
            takes_any(p) || p->context == CTX_IN || (p->context == CTX_SECTION && p->section == settings[k].section);
        if (!here_ok) {
            fail(p, "E0016", at, NULL, "'%s' belongs to the section '%s'", settings[k].word,
                 section_name[settings[k].section]);
            return true;
        }
        next(p);
        Stmt *s = new_stmt(p, out, ST_SETTING, settings[k].word, at);
        s->setting = arena_alloc(p->arena, sizeof *s->setting);
        s->setting->name = settings[k].word;
        settings[k].parse(p, s->setting);
        return true;
    }
    return false;
}

/* lr = expr */
static void parse_rate(Parser *p, Stmts *out)
{
    Span at = here(p);
    next(p);
    next(p);
    Stmt *s = new_stmt(p, out, ST_SETTING, "lr", at);
    s->setting = arena_alloc(p->arena, sizeof *s->setting);
    s->setting->name = "lr";
    push_arg(p, s->setting, parse_expr(p));
}

/* ---- containers ------------------------------------------------------------------------------------------- */

static bool parse_section(Parser *p, Stmts *out)
{
    for (int k = 0; k < SECTION_COUNT; k++) {
        if (!at_word(p, section_name[k])) {
            continue;
        }
        if (!takes_any(p) && p->context != CTX_FILE) {
            fail(p, "E0016", here(p), "begin it at the left margin", "section '%s' inside another body",
                 section_name[k]);
            return true;
        }
        Span at = here(p);
        next(p);
        Stmt *s = new_stmt(p, out, ST_SECTION, section_name[k], at);
        s->section = (SectionKind)k;
        SectionKind outer = p->section;
        p->section = (SectionKind)k;
        parse_body(p, CTX_SECTION, &s->body);
        p->section = outer;
        return true;
    }
    return false;
}

static void parse_variant(Parser *p, Stmts *out)
{
    if (p->context != CTX_FILE && p->context != CTX_DERIVED) {
        fail(p, "E0016", here(p), "begin it at the left margin", "'variant' belongs to the file");
        return;
    }
    next(p);
    Span at;
    const char *name = expect_name(p, "the name of the variant", &at);
    Stmt *s = new_stmt(p, out, ST_VARIANT, name, at);
    if (accept_word(p, "from")) {
        do {
            const char *other = expect_name(p, "the name of a variant", NULL);
            ARENA_PUSH(p->arena, s->names, s->nnames, other);
        } while (accept(p, T_COMMA));
        if (peek(p) == T_NEWLINE || peek(p) == T_EOF) {
            return;
        }
    }
    expect(p, T_COLON, "':' and what is changed")->spacing = SPACING_BODY_COLON;
    parse_body(p, CTX_VARIANT, &s->body);
}

static void parse_in(Parser *p, Stmts *out)
{
    if (!takes_any(p)) {
        fail(p, "E0016", here(p), NULL, "'in' belongs to a variant");
        return;
    }
    next(p);
    Span at;
    const char *name = expect_name(p, "the name of a block or section", &at);
    Stmt *s = new_stmt(p, out, ST_IN, name, at);
    expect(p, T_COLON, NULL)->spacing = SPACING_BODY_COLON;
    parse_body(p, CTX_IN, &s->body);
}

static void parse_drop(Parser *p, Stmts *out)
{
    if (!takes_any(p) && p->context != CTX_IN) {
        fail(p, "E0016", here(p), NULL, "'drop' belongs to a variant");
        return;
    }
    next(p);
    do {
        const Token *first = &p->tokens.v[p->i];
        Stmt *s = new_stmt(p, out, ST_DROP, first->text, first->span);
        bool output = at_word(p, "output"), of_statement = output || at_word(p, "prove");
        if (peek_at(p, 1) == T_NAME && of_statement && peek_at(p, 2) != T_ARROW && peek_at(p, 2) != T_BAR) {
            next(p);
            s->label = output ? "output" : "prove";
            s->name = output ? expect_name(p, "the name of an output", &s->span)
                             : parse_primed(p, "the name that a statement is about", &s->span);
        } else if (peek(p) == T_NAME && peek_at(p, 1) == T_NAME) {
            next(p);
            RelPair pair;
            parse_rel_pair(p, &pair);
            ARENA_PUSH(p->arena, s->pairs, s->npairs, pair);
        } else {
            Lhs l = parse_lhs(p);
            ARENA_PUSH(p->arena, s->lhs, s->nlhs, l);
        }
    } while (accept(p, T_COMMA));
}

/* ---- which one it is -------------------------------------------------------------------------------------- */

static bool begins_equation(const Parser *p)
{
    switch (peek_at(p, 1)) {
    case T_LBRACKET:
    case T_PRIME:
    case T_ASSIGN:
    case T_REBIND:
    case T_COMMA:
        return true;
    case T_BY:
        return !at_word(p, "stream");
    default:
        return false;
    }
}

static void parse_equation_here(Parser *p, Stmts *out)
{
    if (at_word(p, "lr") && peek_at(p, 1) == T_ASSIGN &&
        (takes_any(p) || p->context == CTX_IN || (p->context == CTX_SECTION && p->section == SECTION_TRAIN))) {
        parse_rate(p, out);
        return;
    }
    parse_equation(p, out);
}

/* Equations and what else computes: not at the left margin of a file. */
static bool parse_computation(Parser *p, Stmts *out)
{
    void (*parse)(Parser *, Stmts *) = begins_equation(p)     ? parse_equation_here
                                       : at_word(p, "repeat") ? parse_repeat
                                       : at_word(p, "output") ? parse_output
                                       : at_word(p, "prove")  ? parse_prove
                                                              : NULL;
    if (parse == NULL) {
        return false;
    }
    if (p->context == CTX_FILE) {
        fail(p, "E0016", here(p), "put it under model, train, rank or a block, indented",
             "%s belongs to a section or a block", begins_equation(p) ? "an equation" : p->tokens.v[p->i].text);
        return true;
    }
    parse(p, out);
    return true;
}

void parse_stmt(Parser *p, Stmts *out)
{
    if (peek(p) == T_IN) {
        parse_in(p, out);
    } else if (peek(p) != T_NAME) {
        fail_expected(p, "a name or a statement");
    } else if (parse_computation(p, out) || parse_declaration(p, out) || parse_setting(p, out) ||
               parse_section(p, out)) {
        return;
    } else if (at_word(p, "variant")) {
        parse_variant(p, out);
    } else if (at_word(p, "drop")) {
        parse_drop(p, out);
    } else if (at_word(p, "spec")) {
        fail(p, "E0027", here(p), "write `spec Name` once, as the first statement of the file",
             "'spec' comes too late");
    } else {
        const char *word = p->tokens.v[p->i].text;
        fail(p, "E0028", here(p), "an equation is name[letters] = ...; declarations begin with axis, input, param, ...",
             "'%s' begins no statement", word);
    }
}
