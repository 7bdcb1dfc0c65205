/* Recursive descent from tokens to the syntax tree, one token of look-ahead (two where a name opens a statement).
 *
 *   parser.c        the parser's state, messages, recovery; files and bodies
 *   parser_expr.c   expressions, indices, binders
 *   parser_decl.c   declarations: axis, input, fn, rel, block, param, ...
 *   parser_stmt.c   equations, repeat, settings, sections, variants
 *
 * Errors: the first mistake of a statement is reported and sets `failed`; from then on look-ahead answers T_FAIL, so
 * every parsing function falls through to the end of the statement, where the parser skips to the next line. */
#ifndef HEDDLE_PARSER_H
#define HEDDLE_PARSER_H

#include "ast.h"
#include "lexer.h"

/* One parsed file. */
typedef struct {
    const char *name; /* spec NAME, or NULL: a library */
    const char *from; /* spec NAME from "path", or NULL */
    Span span;        /* of the name */
    Stmts items;
    const Source *source;
    Tokens tokens; /* with spacing, for the formatter */
} File;

/* Always a File; whether it is of use is what diag_errors tells. */
File *parse_file(Arena *arena, Diag *diag, const Source *source);
/* One expression that is the whole text: the value of -D. NULL after an error. */
Expr *parse_value(Arena *arena, Diag *diag, const Source *source);

/* ---- shared by the parser's files ------------------------------------------------------------------------- */

typedef enum { CTX_FILE, CTX_BLOCK, CTX_SECTION, CTX_VARIANT, CTX_IN, CTX_DERIVED } Context;

typedef struct {
    Arena *arena;
    Diag *diag;
    Tokens tokens;
    int i;        /* the next token */
    bool failed;  /* the running statement has had its message */
    int depth;    /* of nested expressions and bodies */
    bool in_init; /* @ begins a tag here, not an example */
    Context context;
    SectionKind section; /* where CTX_SECTION is */
} Parser;

enum { MAX_DEPTH = 200 };

TokenKind peek(const Parser *p);
TokenKind peek_at(const Parser *p, int ahead);
Token *next(Parser *p);                          /* the token itself; a dummy after a failure */
bool at_word(const Parser *p, const char *word); /* a NAME of that text */
bool at_word_ahead(const Parser *p, int ahead, const char *word);
bool accept(Parser *p, TokenKind kind);
bool accept_word(Parser *p, const char *word);
/* Consumes the token or reports "expected ... after ..., found ...". */
Token *expect(Parser *p, TokenKind kind, const char *what);
const char *expect_name(Parser *p, const char *what, Span *span);
Span here(const Parser *p);
void fail(Parser *p, const char *code, Span at, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void fail_expected(Parser *p, const char *what);
bool enter(Parser *p); /* false and a message when nested too deeply; else pair with leave */
void leave(Parser *p);

Expr *parse_expr(Parser *p); /* alt [else expr] */
Expr *parse_cond(Parser *p); /* or-and-not-comparison over additive */
Expr *parse_additive(Parser *p);
Expr *new_expr(Parser *p, ExprKind kind, Span span);
/* idx {, idx} [where cond] up to the closing bracket, which is consumed. */
void parse_index(Parser *p, int *nidx, Idx **idx, Expr **where);
/* `(` is consumed: arguments up to and with `)`. */
void parse_args(Parser *p, int *nargs, Arg **args);
/* A dimension or axis: Z<A>, or an integer expression. */
Expr *parse_dim(Parser *p);
/* source {| source}; sets the blanks around | as in an index (tight) or a declaration. */
void parse_sources(Parser *p, bool tight, int *n, const char ***sources);
/* Gives the commas between tokens first..last of one bracket level the author's style (none or one blank) if no entry
 * has blanks. */
void style_commas(Parser *p, int first, int last);

/* One statement by its first word, appended to out; the caller has seen that there is one. */
void parse_stmt(Parser *p, Stmts *out);
/* The rest of the line, or indented lines. */
void parse_body(Parser *p, Context context, Stmts *out);
bool parse_declaration(Parser *p, Stmts *out); /* false: the statement is none */
Stmt *new_stmt(Parser *p, Stmts *out, StmtKind kind, const char *name, Span span);
Lhs parse_lhs(Parser *p);
void parse_rel_pair(Parser *p, RelPair *pair);

#endif
