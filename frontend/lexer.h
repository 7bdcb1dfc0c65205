/* Text to tokens, and the layout of lines: where a statement ends and what is indented under it.
 *
 * A newline ends a statement except inside brackets and after an operator, `,`, `=`, `where`, `else`; a continued line
 * is indented deeper than the first line of its statement (so that a bracket somebody forgot to close costs one
 * message and not the rest of the file). Deeper indentation of a new statement gives INDENT, back again DEDENT.
 *
 * Nothing is lost for the formatter: comments are kept beside the tokens, every token knows its place, and the parser
 * leaves in `spacing` what it has understood of a token that can be written in two ways. */
#ifndef HEDDLE_LEXER_H
#define HEDDLE_LEXER_H

#include "diag.h"

/* TOKEN(kind, how it is called in a message) */
#define TOKEN_KINDS                                                                                                    \
    TOKEN(EOF, "the end of the file")                                                                                  \
    TOKEN(NEWLINE, "the end of the line")                                                                              \
    TOKEN(INDENT, "deeper indentation")                                                                                \
    TOKEN(DEDENT, "the end of the indented lines")                                                                     \
    TOKEN(NAME, "a name")                                                                                              \
    TOKEN(NUM, "a number")                                                                                             \
    TOKEN(STR, "a text in quotes")                                                                                     \
    TOKEN(PLUS, "'+'")                                                                                                 \
    TOKEN(MINUS, "'-'")                                                                                                \
    TOKEN(STAR, "'*'")                                                                                                 \
    TOKEN(SLASH, "'/'")                                                                                                \
    TOKEN(CARET, "'^'")                                                                                                \
    TOKEN(ASSIGN, "'='")                                                                                               \
    TOKEN(REBIND, "':='")                                                                                              \
    TOKEN(EQ, "'=='")                                                                                                  \
    TOKEN(NE, "'!='")                                                                                                  \
    TOKEN(LT, "'<'")                                                                                                   \
    TOKEN(LE, "'<='")                                                                                                  \
    TOKEN(GT, "'>'")                                                                                                   \
    TOKEN(GE, "'>='")                                                                                                  \
    TOKEN(ARROW, "'->'")                                                                                               \
    TOKEN(LPAREN, "'('")                                                                                               \
    TOKEN(RPAREN, "')'")                                                                                               \
    TOKEN(LBRACKET, "'['")                                                                                             \
    TOKEN(RBRACKET, "']'")                                                                                             \
    TOKEN(LBRACE, "'{'")                                                                                               \
    TOKEN(RBRACE, "'}'")                                                                                               \
    TOKEN(COMMA, "','")                                                                                                \
    TOKEN(SEMICOLON, "';'")                                                                                            \
    TOKEN(COLON, "':'")                                                                                                \
    TOKEN(BAR, "'|'")                                                                                                  \
    TOKEN(AT, "'@'")                                                                                                   \
    TOKEN(PRIME, "a prime")                                                                                            \
    TOKEN(TILDE, "'~'")                                                                                                \
    TOKEN(WHERE, "'where'")                                                                                            \
    TOKEN(ELSE, "'else'")                                                                                              \
    TOKEN(AND, "'and'")                                                                                                \
    TOKEN(OR, "'or'")                                                                                                  \
    TOKEN(NOT, "'not'")                                                                                                \
    TOKEN(OVER, "'over'")                                                                                              \
    TOKEN(AS, "'as'")                                                                                                  \
    TOKEN(BY, "'by'")                                                                                                  \
    TOKEN(IF, "'if'")                                                                                                  \
    TOKEN(IN, "'in'")                                                                                                  \
    TOKEN(REDUCE, "a reduction")                                                                                       \
    TOKEN(FAIL, "nothing")

typedef enum {
#define TOKEN(kind, text) T_##kind,
    TOKEN_KINDS
#undef TOKEN
} TokenKind;
extern const char *const token_name[];

/* What the parser knows of a token that the formatter needs. */
typedef enum {
    SPACING_NONE,
    SPACING_TIGHT,      /* no blank on either side: < > of axis arguments, | of sources, @ of x@b, commas of [i,d] */
    SPACING_UNARY,      /* a minus sign: no blank after */
    SPACING_CALL,       /* ( or [ that belongs to the name before it */
    SPACING_RED_CLOSE,  /* ] of a reduction: a blank after */
    SPACING_BODY_COLON, /* the colon of `repeat ...:`: no blank before */
    SPACING_SUFFIX      /* the star of R*: no blank before */
} Spacing;

typedef struct {
    TokenKind kind;
    Spacing spacing;
    Span span;        /* line, column and length in bytes */
    const char *text; /* NAME, REDUCE: the name, aliases resolved; STR: the content */
    double num;
    bool is_int;
    bool space_before;
    bool first;       /* first token of its line */
    bool after_error; /* a message about this statement has already been given */
} Token;

typedef struct {
    Span span; /* from # to the end of the line, without trailing blanks */
    bool own_line;
} Comment;

typedef struct {
    int n;
    Token *v; /* ends with EOF; NEWLINE after every statement, INDENT and DEDENT balanced */
    int ncomments;
    Comment *comments;
} Tokens;

Tokens lex(Arena *arena, Diag *diag, const Source *source);

#endif
