/* Tokens of the text form. A statement ends with its line; a line that begins with blanks continues the one above. */
#include "textform.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    Arena *arena;
    const Source *source;
    const char *p, *line;
    int row;
    Token *tokens;
    int n;
} Lexer;

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool is_digit(char c)
{
    return isdigit((unsigned char)c);
}

static Token *push(Lexer *l, TokenKind kind, const char *from)
{
    int len = (int)(l->p - from);
    Token t = {.kind = kind, .span = {l->source, l->row, (int)(from - l->line) + 1, len > 0 ? len : 1}};
    ARENA_PUSH(l->arena, l->tokens, l->n, t);
    return &l->tokens[l->n - 1];
}

static void bad(Lexer *l, const char *from, const char *what)
{
    push(l, TOK_BAD, from)->text = what;
}

static void lex_name(Lexer *l)
{
    const char *from = l->p;
    while (is_word(*l->p) || (*l->p == '.' && is_word(l->p[1]))) {
        l->p++;
    }
    while (*l->p == '\'') {
        l->p++;
    }
    const char *text = arena_strndup(l->arena, from, (size_t)(l->p - from));
    push(l, TOK_NAME, from)->text = text;
}

static void lex_number(Lexer *l)
{
    const char *from = l->p;
    bool real = false;
    while (is_digit(*l->p)) {
        l->p++;
    }
    if (*l->p == '.' && is_digit(l->p[1])) {
        real = true;
        do {
            l->p++;
        } while (is_digit(*l->p));
    }
    const char *e = l->p;
    if ((*e == 'e' || *e == 'E') && is_digit(e[1 + (e[1] == '+' || e[1] == '-')])) {
        real = true;
        l->p = e + 2;
        while (is_digit(*l->p)) {
            l->p++;
        }
    }
    const char *text = arena_strndup(l->arena, from, (size_t)(l->p - from));
    if (*l->p == 'f' && !is_word(l->p[1])) {
        l->p++;
        push(l, TOK_F32, from)->num = (double)strtof(text, NULL);
    } else if (is_word(*l->p)) {
        l->p++;
        bad(l, from, "a number ends in a letter");
    } else if (real) {
        push(l, TOK_REAL, from)->num = strtod(text, NULL);
    } else {
        errno = 0;
        unsigned long long v = strtoull(text, NULL, 10);
        if (errno != 0 || v > (unsigned long long)INT64_MAX + 1) {
            bad(l, from, "an integer of more than 64 bits");
            return;
        }
        Token *t = push(l, TOK_INT, from);
        t->inum = v > INT64_MAX ? INT64_MIN : (int64_t)v;
        t->num = (double)v;
    }
}

static int hex(char c)
{
    return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void lex_string(Lexer *l)
{
    const char *from = l->p++;
    char *text = arena_alloc(l->arena, strcspn(l->p, "\n") + 1), *to = text;
    while (*l->p != '"') {
        if (*l->p == '\0' || *l->p == '\n') {
            bad(l, from, "a string does not end");
            return;
        }
        if (*l->p == '\\' && l->p[1] == 'x' && hex(l->p[2]) >= 0 && hex(l->p[3]) >= 0) {
            *to = (char)(hex(l->p[2]) * 16 + hex(l->p[3]));
            if (*to == '\0') {
                l->p += 4;
                bad(l, from, "a string contains the character 0");
                return;
            }
            to++;
            l->p += 4;
            continue;
        }
        if (*l->p == '\\' && (l->p[1] == '"' || l->p[1] == '\\')) {
            l->p++;
        }
        *to++ = *l->p++;
    }
    l->p++;
    push(l, TOK_STRING, from)->text = text;
}

static void lex_symbol(Lexer *l)
{
    static const char *const two[] = {"<=", ">=", "==", "!="};
    const char *from = l->p;
    for (size_t k = 0; k < sizeof two / sizeof *two; k++) {
        if (strncmp(from, two[k], 2) == 0) {
            l->p += 2;
            push(l, TOK_SYMBOL, from)->text = two[k];
            return;
        }
    }
    l->p++;
    if (*from == '%' && is_digit(*l->p)) {
        int64_t v = 0;
        while (is_digit(*l->p)) {
            v = v < INT32_MAX ? v * 10 + (*l->p - '0') : v;
            l->p++;
        }
        push(l, TOK_SHARED, from)->inum = v;
        return;
    }
    if (strchr("[](){},;:=+-*/<>@~|?", *from) == NULL) {
        bad(l, from, "this character means nothing here");
        return;
    }
    const char *text = arena_strndup(l->arena, from, 1);
    push(l, TOK_SYMBOL, from)->text = text;
}

Token *text_tokens(Arena *arena, const Source *source, int *n)
{
    Lexer l = {.arena = arena, .source = source, .p = source_text(source), .row = 1};
    l.line = l.p;
    while (*l.p != '\0') {
        if (*l.p == '\n') {
            const char *from = l.p++;
            bool continues = *l.p == ' ' || *l.p == '\t';
            if (!continues && l.n > 0 && l.tokens[l.n - 1].kind != TOK_LINE) {
                push(&l, TOK_LINE, from);
            }
            l.line = l.p;
            l.row++;
        } else if (*l.p == ' ' || *l.p == '\t' || *l.p == '\r') {
            l.p++;
        } else if (*l.p == '#') {
            l.p += strcspn(l.p, "\n");
        } else if (is_digit(*l.p)) {
            lex_number(&l);
        } else if (is_word(*l.p)) {
            lex_name(&l);
        } else if (*l.p == '"') {
            lex_string(&l);
        } else {
            lex_symbol(&l);
        }
    }
    if (l.n > 0 && l.tokens[l.n - 1].kind != TOK_LINE) {
        push(&l, TOK_LINE, l.p);
    }
    push(&l, TOK_END, l.p);
    *n = l.n;
    return l.tokens;
}
