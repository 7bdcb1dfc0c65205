/* The parser's state: look-ahead, messages, recovery at the end of a statement; files and bodies of statements. */
#include "parser.h"

#include <stdio.h>
#include <string.h>

/* ---- look-ahead ------------------------------------------------------------------------------------------- */

TokenKind peek_at(const Parser *p, int ahead)
{
    if (p->failed) {
        return T_FAIL;
    }
    int k = p->i + ahead;
    return k < p->tokens.n ? p->tokens.v[k].kind : T_EOF;
}

TokenKind peek(const Parser *p)
{
    return peek_at(p, 0);
}

Token *next(Parser *p)
{
    static Token nothing = {.kind = T_FAIL, .text = "?"};
    if (p->failed) {
        return &nothing;
    }
    Token *t = &p->tokens.v[p->i];
    if (t->kind != T_EOF) {
        p->i++;
    }
    return t;
}

bool at_word_ahead(const Parser *p, int ahead, const char *word)
{
    return peek_at(p, ahead) == T_NAME && strcmp(p->tokens.v[p->i + ahead].text, word) == 0;
}

bool at_word(const Parser *p, const char *word)
{
    return at_word_ahead(p, 0, word);
}

bool accept(Parser *p, TokenKind kind)
{
    if (peek(p) != kind) {
        return false;
    }
    next(p);
    return true;
}

bool accept_word(Parser *p, const char *word)
{
    if (!at_word(p, word)) {
        return false;
    }
    next(p);
    return true;
}

Span here(const Parser *p)
{
    return p->tokens.v[p->i].span;
}

/* ---- messages --------------------------------------------------------------------------------------------- */

void fail(Parser *p, const char *code, Span at, const char *remedy, const char *fmt, ...)
{
    if (!p->failed && !p->tokens.v[p->i].after_error) {
        va_list ap;
        va_start(ap, fmt);
        diag_vreport(p->diag, DIAG_ERROR, code, at, remedy, fmt, ap);
        va_end(ap);
    }
    p->failed = true;
}

/* How a message calls the token at k: 'x' for what has a spelling. */
static const char *describe(const Parser *p, int k)
{
    const Token *t = &p->tokens.v[k];
    if (t->kind == T_NEWLINE || t->kind == T_EOF || t->kind == T_INDENT || t->kind == T_DEDENT) {
        return token_name[t->kind];
    }
    if (t->kind == T_STR) {
        return "a text in quotes";
    }
    if (t->text != NULL) {
        return arena_printf(p->arena, "'%s'", t->text);
    }
    if (t->kind == T_NUM) {
        return arena_printf(p->arena, "'%.*g'", t->is_int ? 17 : 6, t->num);
    }
    return token_name[t->kind];
}

void fail_expected(Parser *p, const char *what)
{
    if (p->failed) {
        return;
    }
    int k = p->i;
    TokenKind found = p->tokens.v[k].kind;
    const char *remedy = NULL;
    if (found >= T_WHERE && found <= T_REDUCE && strstr(what, "name") != NULL) {
        remedy = arena_printf(p->arena, "%s is a word of the language: choose another name", describe(p, k));
    }
    bool after = k > 0 && p->tokens.v[k - 1].kind != T_NEWLINE && p->tokens.v[k - 1].kind != T_INDENT &&
                 p->tokens.v[k - 1].kind != T_DEDENT;
    if (after) {
        fail(p, "E0010", here(p), remedy, "expected %s after %s, found %s", what, describe(p, k - 1), describe(p, k));
    } else {
        fail(p, "E0010", here(p), remedy, "expected %s, found %s", what, describe(p, k));
    }
}

Token *expect(Parser *p, TokenKind kind, const char *what)
{
    if (peek(p) != kind) {
        fail_expected(p, what != NULL ? what : token_name[kind]);
    }
    return next(p);
}

const char *expect_name(Parser *p, const char *what, Span *span)
{
    const Token *t = expect(p, T_NAME, what);
    if (span != NULL) {
        *span = t->span;
    }
    return t->text;
}

bool enter(Parser *p)
{
    if (p->depth >= MAX_DEPTH) {
        fail(p, "E0009", here(p), "give parts of it names of their own", "this is nested too deeply");
        return false;
    }
    p->depth++;
    return true;
}

void leave(Parser *p)
{
    p->depth--;
}

/* ---- statements and bodies -------------------------------------------------------------------------------- */

Stmt *new_stmt(Parser *p, Stmts *out, StmtKind kind, const char *name, Span span)
{
    Stmt *s = arena_alloc(p->arena, sizeof *s);
    s->kind = kind;
    s->name = name;
    s->span = span;
    ARENA_PUSH(p->arena, out->v, out->n, s);
    return s;
}

/* After a mistake: on to the end of the line. Lines indented under it are parsed for their own mistakes and dropped. */
static void recover(Parser *p)
{
    p->failed = false;
    while (peek(p) != T_NEWLINE && peek(p) != T_EOF && peek(p) != T_INDENT && peek(p) != T_DEDENT) {
        next(p);
    }
    if (peek(p) == T_NEWLINE) {
        next(p);
    }
}

static void skip_indented(Parser *p)
{
    int level = 0;
    do {
        level += peek(p) == T_INDENT;
        level -= peek(p) == T_DEDENT;
        next(p);
    } while (level > 0 && peek(p) != T_EOF);
}

/* Statements of one line, joined by `;`, with the end of the line; ends_here: the line may end at a DEDENT. */
static void parse_line(Parser *p, Stmts *out)
{
    for (;;) {
        int before = out->n;
        parse_stmt(p, out);
        if (p->failed) {
            out->n = before;
        }
        if (!accept(p, T_SEMICOLON)) {
            break;
        }
        if (peek(p) == T_NEWLINE) {
            break;
        }
    }
    /* A body that was indented has consumed its own NEWLINE and DEDENT. */
    bool closed =
        !p->failed && p->i > 0 && (p->tokens.v[p->i - 1].kind == T_DEDENT || p->tokens.v[p->i - 1].kind == T_NEWLINE);
    if (closed || accept(p, T_NEWLINE) || peek(p) == T_EOF) {
        return;
    }
    if (!p->failed) {
        fail_expected(p, "the end of the statement");
    }
}

/* Lines up to DEDENT or the end of the file. */
static void parse_lines(Parser *p, Stmts *out)
{
    while (peek(p) != T_DEDENT && peek(p) != T_EOF) {
        if (peek(p) == T_INDENT) {
            /* Nothing above asked for a body: one message for the whole group of lines. */
            fail(p, "E0006", here(p), "a line goes on after an operator or inside brackets; else begin it further left",
                 "this line is indented, but nothing above it takes indented lines");
            p->failed = false;
            skip_indented(p);
            continue;
        }
        bool is_rel = at_word(p, "rel");
        parse_line(p, out);
        if (!p->failed) {
            continue;
        }
        recover(p);
        if (peek(p) == T_INDENT && is_rel) {
            skip_indented(p);
        } else if (peek(p) == T_INDENT) {
            next(p);
            Stmts dropped = {0};
            Context outer = p->context;
            p->context = CTX_VARIANT; /* which takes every kind */
            parse_lines(p, &dropped);
            p->context = outer;
            accept(p, T_DEDENT);
        }
    }
}

void parse_body(Parser *p, Context context, Stmts *out)
{
    if (!enter(p)) {
        return;
    }
    Context outer = p->context;
    p->context = context;
    if (peek(p) == T_NEWLINE && peek_at(p, 1) == T_INDENT) {
        next(p);
        next(p);
        parse_lines(p, out);
        expect(p, T_DEDENT, NULL);
    } else if (peek(p) == T_NEWLINE || peek(p) == T_EOF) {
        fail(p, "E0007", here(p), "put statements on the same line, or on the next ones, indented",
             "a body is missing here");
    } else {
        /* The rest of the line; the newline stays for the line that this body is part of. */
        do {
            if (peek(p) == T_NEWLINE) {
                break;
            }
            int before = out->n;
            parse_stmt(p, out);
            if (p->failed) {
                out->n = before;
            }
        } while (accept(p, T_SEMICOLON));
    }
    p->context = outer;
    leave(p);
}

static void parse_head(Parser *p, File *f)
{
    if (!at_word(p, "spec") || (peek_at(p, 1) != T_NAME && peek_at(p, 1) != T_NEWLINE)) {
        return;
    }
    next(p);
    f->name = expect_name(p, "the name of the spec", &f->span);
    if (accept_word(p, "from")) {
        f->from = expect(p, T_STR, "the other spec's file in quotes")->text;
    }
    if (!p->failed && peek(p) != T_NEWLINE && peek(p) != T_EOF) {
        fail_expected(p, "the end of the line");
    }
    if (p->failed) {
        recover(p);
        return;
    }
    accept(p, T_NEWLINE);
}

File *parse_file(Arena *arena, Diag *diag, const Source *source)
{
    File *f = arena_alloc(arena, sizeof *f);
    f->source = source;
    diag_remedies(diag, code_remedy);
    f->tokens = lex(arena, diag, source);
    Parser p = {.arena = arena, .diag = diag, .tokens = f->tokens, .context = CTX_FILE};
    parse_head(&p, f);
    if (f->from != NULL) {
        p.context = CTX_DERIVED;
    }
    for (;;) {
        parse_lines(&p, &f->items);
        if (peek(&p) == T_EOF) {
            return f;
        }
        next(&p); /* a DEDENT without its INDENT: the line had a message */
    }
}

Expr *parse_value(Arena *arena, Diag *diag, const Source *source)
{
    int before = diag_errors(diag);
    Parser p = {.arena = arena, .diag = diag, .tokens = lex(arena, diag, source), .context = CTX_FILE};
    Expr *e = parse_expr(&p);
    if (!p.failed && peek(&p) != T_NEWLINE && peek(&p) != T_EOF) {
        fail_expected(&p, "the end of the value");
    }
    return diag_errors(diag) == before ? e : NULL;
}
