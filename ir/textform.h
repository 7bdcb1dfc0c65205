/* What the printer and the parser of the text form share: words, tokens, the expression parser. Private to ir/. */
#ifndef HEDDLE_TEXTFORM_H
#define HEDDLE_TEXTFORM_H

#include "ir.h"

/* Words of the expression grammar: no letter has such a name, and a tensor that has one is written in quotes. */
extern const char *const reserved_words[];                                       /* NULL-terminated */
extern const char *const role_names[], *const elem_names[], *const init_names[]; /* by enum; NULL-terminated */

bool is_reserved(const char *name);
/* Letters, digits, _ and dots between them, primes at the end: written without quotes. */
bool is_plain_name(const char *name);

typedef enum {
    TOK_END,    /* of the text */
    TOK_LINE,   /* end of a statement */
    TOK_NAME,   /* text: the name */
    TOK_STRING, /* text: a quoted name or string, unescaped */
    TOK_INT,    /* inum; big: beyond int64, readable only as -2^63 */
    TOK_REAL,   /* num */
    TOK_F32,    /* num */
    TOK_SHARED, /* %inum */
    TOK_SYMBOL, /* text: one or two characters */
    TOK_BAD     /* text: what is wrong */
} TokenKind;

typedef struct {
    TokenKind kind;
    const char *text;
    double num;
    int64_t inum;
    Span span;
} Token;

/* Splits a text into tokens; the array ends with TOK_END and lives in the arena. */
Token *text_tokens(Arena *arena, const Source *source, int *n);

typedef struct {
    Graph *graph;
    Arena *scratch; /* tokens and what is needed while parsing */
    Token *tokens;
    int at;
    bool failed; /* after the first error nothing more is reported and every function returns at once */
    int depth;
    int nnames; /* names in scope of expressions: letters */
    const char *const *names;
    Scalar *const *values;
    Scalar **shared; /* %0, %1 ... so far */
    int nshared;
    Axis *(*find_axis)(void *ctx, const char *name);
    void *ctx;
} Parser;

void parse_fail(Parser *p, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* at the current token */
bool parse_is(const Parser *p, const char *symbol_or_word);
bool parse_accept(Parser *p, const char *symbol_or_word);
void parse_expect(Parser *p, const char *symbol_or_word);
const char *parse_name(Parser *p, const char *what); /* a name or a string; "" after a failure */
int64_t parse_integer(Parser *p, const char *what);  /* with sign */
double parse_number(Parser *p, const char *what);    /* with sign, any kind */
/* An expression; after a failure some constant, so that callers need not test each one. */
Scalar *parse_scalar(Parser *p);

#endif
