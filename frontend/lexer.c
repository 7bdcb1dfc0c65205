/* See lexer.h. One pass over the text: blanks and comments, then one token, then its effect on the layout. */
#include "lexer.h"

#include <stdlib.h>
#include <string.h>

const char *const token_name[] = {
#define TOKEN(kind, text) text,
    TOKEN_KINDS
#undef TOKEN
};

enum { MAX_NEST = 64 };

typedef struct {
    Arena *arena;
    Diag *diag;
    const Source *source;
    const char *text, *p, *line_start;
    int line;
    Tokens out;
    int nopen; /* brackets that are open, with their places */
    Token open[MAX_NEST];
    int nindent; /* columns of the open indentations, 0 first */
    int indent[MAX_NEST];
    int statement_indent; /* of the first line of the running statement */
    bool bad;             /* the running statement has had its message */
} Lexer;

static const struct {
    const char *text;
    TokenKind kind;
} keywords[] = {
    {"where", T_WHERE},  {"else", T_ELSE},   {"and", T_AND},    {"or", T_OR},       {"not", T_NOT},
    {"over", T_OVER},    {"as", T_AS},       {"by", T_BY},      {"if", T_IF},       {"in", T_IN},
    {"sum", T_REDUCE},   {"max", T_REDUCE},  {"min", T_REDUCE}, {"mean", T_REDUCE}, {"any", T_REDUCE},
    {"count", T_REDUCE}, {"draw", T_REDUCE},
};

/* Longer ones first. */
static const struct {
    const char *text;
    TokenKind kind;
} punctuation[] = {
    {":=", T_REBIND},   {"==", T_EQ},        {"!=", T_NE},        {"<=", T_LE},      {">=", T_GE},
    {"->", T_ARROW},    {"\u2264", T_LE},    {"\u2265", T_GE},    {"\u2260", T_NE},  {"\u00b7", T_STAR},
    {"\u00d7", T_STAR}, {"\u2192", T_ARROW}, {"\u2212", T_MINUS}, {"\u2227", T_AND}, {"\u2228", T_OR},
    {"\u00ac", T_NOT},  {"\u2208", T_IN},    {"+", T_PLUS},       {"-", T_MINUS},    {"*", T_STAR},
    {"/", T_SLASH},     {"^", T_CARET},      {"=", T_ASSIGN},     {"<", T_LT},       {">", T_GT},
    {"(", T_LPAREN},    {")", T_RPAREN},     {"[", T_LBRACKET},   {"]", T_RBRACKET}, {"{", T_LBRACE},
    {"}", T_RBRACE},    {",", T_COMMA},      {";", T_SEMICOLON},  {":", T_COLON},    {"|", T_BAR},
    {"@", T_AT},        {"'", T_PRIME},      {"\u2032", T_PRIME}, {"~", T_TILDE},
};

/* Greek letters are other spellings of their names. */
static const struct {
    const char *letter, *name;
} greek[] = {
    {"\u03b1", "alpha"}, {"\u03b2", "beta"},  {"\u03b3", "gamma"}, {"\u03b4", "delta"}, {"\u03b5", "epsilon"},
    {"\u03b6", "zeta"},  {"\u03b7", "eta"},   {"\u03b8", "theta"}, {"\u03ba", "kappa"}, {"\u03bb", "lambda"},
    {"\u03bc", "mu"},    {"\u03bd", "nu"},    {"\u03be", "xi"},    {"\u03c0", "pi"},    {"\u03c1", "rho"},
    {"\u03c3", "sigma"}, {"\u03c4", "tau"},   {"\u03c6", "phi"},   {"\u03c7", "chi"},   {"\u03c8", "psi"},
    {"\u03c9", "omega"}, {"\u0393", "Gamma"}, {"\u0394", "Delta"}, {"\u0398", "Theta"}, {"\u039b", "Lambda"},
    {"\u03a0", "Pi"},    {"\u03a3", "Sigma"}, {"\u03a6", "Phi"},   {"\u03a8", "Psi"},   {"\u03a9", "Omega"},
};

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static int find_greek(const char *p)
{
    for (int k = 0; ((unsigned char)*p & 0x80) != 0 && k < COUNT(greek); k++) {
        if (starts_with(p, greek[k].letter)) {
            return k;
        }
    }
    return -1;
}

static Span span_at(const Lexer *l, const char *from, const char *to)
{
    int len = (int)(to - from);
    return (Span){l->source, l->line, (int)(from - l->line_start) + 1, len > 0 ? len : 1};
}

static void push(Lexer *l, Token t)
{
    t.after_error = l->bad;
    ARENA_PUSH(l->arena, l->out.v, l->out.n, t);
}

static void push_layout(Lexer *l, TokenKind kind, Span at)
{
    push(l, (Token){.kind = kind, .span = at});
}

static TokenKind last_kind(const Lexer *l)
{
    return l->out.n > 0 ? l->out.v[l->out.n - 1].kind : T_NEWLINE;
}

/* Whether a line that ends with this token goes on in the next one. */
static bool continues_after(TokenKind k)
{
    switch (k) {
    case T_PLUS:
    case T_MINUS:
    case T_STAR:
    case T_SLASH:
    case T_CARET:
    case T_ASSIGN:
    case T_REBIND:
    case T_EQ:
    case T_NE:
    case T_LT:
    case T_LE:
    case T_GT:
    case T_GE:
    case T_ARROW:
    case T_COMMA:
    case T_BAR:
    case T_TILDE:
    case T_WHERE:
    case T_ELSE:
    case T_AND:
    case T_OR:
    case T_NOT:
    case T_IF:
        return true;
    default:
        return false;
    }
}

static void end_statement(Lexer *l)
{
    if (l->nopen > 0) {
        Token *open = &l->open[l->nopen - 1];
        if (!l->bad) {
            diag_report(l->diag, DIAG_ERROR, "E0008", open->span,
                        "close it, or indent the lines that belong to it deeper than the statement", "%s is not closed",
                        token_name[open->kind]);
        }
        l->bad = true;
        l->nopen = 0;
        for (int k = l->out.n - 1; k >= 0; k--) { /* what the parser will say of these is not news */
            Token *t = &l->out.v[k];
            if (t->span.line < open->span.line || (t->span.line == open->span.line && t->span.col <= open->span.col)) {
                break;
            }
            t->after_error = true;
        }
    }
    if (l->out.n > 0 && last_kind(l) != T_NEWLINE && last_kind(l) != T_INDENT && last_kind(l) != T_DEDENT) {
        Span at = l->out.v[l->out.n - 1].span;
        at.col += at.len;
        at.len = 1;
        push_layout(l, T_NEWLINE, at);
    }
    l->bad = false;
}

/* A new statement starts at column `width` (0-based): opens or closes indentations. */
static void indent_to(Lexer *l, int width, Span at)
{
    if (width > l->indent[l->nindent - 1]) {
        if (l->nindent == MAX_NEST) {
            diag_report(l->diag, DIAG_ERROR, "E0009", at, NULL, "lines are nested too deeply");
            l->bad = true;
            return;
        }
        l->indent[l->nindent++] = width;
        push_layout(l, T_INDENT, at);
        return;
    }
    int level = l->nindent - 1;
    while (width < l->indent[level]) {
        level--;
    }
    if (width != l->indent[level]) {
        diag_report(l->diag, DIAG_ERROR, "E0005", at, "begin the line in the column of the statement it follows",
                    "this indentation fits no line above");
        l->bad = true;
        level++; /* as if it belonged to the lines that are indented deeper */
    }
    for (; l->nindent - 1 > level; l->nindent--) {
        push_layout(l, T_DEDENT, at);
    }
}

/* Decides what the newline before the token at p was: the end of a statement or nothing. */
static void begin_line(Lexer *l)
{
    int width = 0;
    bool tab = false;
    for (const char *q = l->line_start; q < l->p; q++) {
        tab |= *q == '\t';
        width += *q == '\t' ? 2 : 1; /* what a level is: one message then suffices */
    }
    Span at = span_at(l, l->p, l->p + 1);
    bool closes = l->nopen > 0 && (*l->p == ')' || *l->p == ']' || *l->p == '}');
    bool goes_on = l->nopen > 0 || continues_after(last_kind(l));
    if (l->out.n > 0 && goes_on && (width > l->statement_indent || closes)) {
        return;
    }
    end_statement(l);
    if (tab) {
        diag_report(l->diag, DIAG_ERROR, "E0004", span_at(l, l->line_start, l->p), "indent with blanks, two per level",
                    "a tab in the indentation");
    }
    indent_to(l, width, at);
    l->statement_indent = width;
}

static void bad_token(Lexer *l, const char *code, const char *from, const char *to, const char *remedy,
                      const char *message)
{
    if (!l->bad) {
        diag_report(l->diag, DIAG_ERROR, code, span_at(l, from, to), remedy, "%s", message);
    }
    l->bad = true;
}

static void lex_number(Lexer *l, Token *t)
{
    const char *begin = l->p, *p = l->p;
    bool is_int = true;
    while (is_digit(*p)) {
        p++;
    }
    if (*p == '.' && is_digit(p[1])) {
        is_int = false;
        for (p++; is_digit(*p); p++) {
        }
    }
    if ((*p == 'e' || *p == 'E') && (is_digit(p[1]) || ((p[1] == '-' || p[1] == '+') && is_digit(p[2])))) {
        is_int = false;
        for (p += 2; is_digit(*p); p++) {
        }
    }
    l->p = p;
    if (is_letter(*p) || *p == '.') {
        while (is_letter(*l->p) || is_digit(*l->p) || *l->p == '.') {
            l->p++;
        }
        bad_token(l, "E0002", begin, l->p, "numbers look like 50, 0.2, 1e-6; names begin with a letter",
                  "this is neither a number nor a name");
    }
    t->kind = T_NUM;
    t->is_int = is_int;
    t->num = strtod(arena_strndup(l->arena, begin, (size_t)(p - begin)), NULL);
    if (is_int && t->num > 9007199254740992.0) {
        bad_token(l, "E0002", begin, p, "integers go up to 2^53; write 1e20 for a real number",
                  "the integer is too large");
    }
}

/* Names: letters, digits, _, Greek letters, and a dot before a letter (T.max). */
static void lex_name(Lexer *l, Token *t)
{
    Text name = {0};
    const char *begin = l->p;
    for (;;) {
        int g = find_greek(l->p);
        if (g >= 0) {
            text_printf(&name, "%s", greek[g].name);
            l->p += strlen(greek[g].letter);
        } else if (is_letter(*l->p) || is_digit(*l->p) || (*l->p == '.' && is_letter(l->p[1]))) {
            text_append(&name, l->p++, 1);
        } else {
            break;
        }
    }
    t->text = arena_strdup(l->arena, name.s);
    text_free(&name);
    size_t n = (size_t)(l->p - begin);
    if (n == 2 && starts_with(begin, "\u03a3")) {
        t->text = "sum";
    } else if (n == 2 && starts_with(begin, "\u03c3")) {
        t->text = "sigmoid";
    }
    t->kind = T_NAME;
    for (int k = 0; k < COUNT(keywords); k++) {
        if (strcmp(t->text, keywords[k].text) == 0) {
            t->kind = keywords[k].kind;
        }
    }
}

static void lex_string(Lexer *l, Token *t)
{
    const char *begin = l->p++;
    size_t n = strcspn(l->p, "\"\n");
    t->kind = T_STR;
    t->text = arena_strndup(l->arena, l->p, n);
    l->p += n;
    if (*l->p == '"') {
        l->p++;
    } else {
        bad_token(l, "E0003", begin, begin + 1, "end the text with \" on the same line",
                  "the text in quotes has no end");
    }
}

static TokenKind opposite(TokenKind close)
{
    return close == T_RPAREN ? T_LPAREN : close == T_RBRACKET ? T_LBRACKET : T_LBRACE;
}

/* False: the token is not to be used. */
static bool track_brackets(Lexer *l, const Token *t)
{
    if (t->kind == T_LPAREN || t->kind == T_LBRACKET || t->kind == T_LBRACE) {
        if (l->nopen == MAX_NEST) {
            bad_token(l, "E0009", l->line_start + t->span.col - 1, l->p, "give parts of it names of their own",
                      "brackets are nested too deeply");
            return false;
        }
        l->open[l->nopen++] = *t;
    } else if (t->kind == T_RPAREN || t->kind == T_RBRACKET || t->kind == T_RBRACE) {
        const char *begin = l->line_start + t->span.col - 1;
        if (l->nopen == 0) {
            bad_token(l, "E0008", begin, l->p, NULL, "this bracket closes nothing");
            return false;
        }
        const Token *open = &l->open[--l->nopen];
        if (open->kind != opposite(t->kind)) {
            if (!l->bad) {
                diag_report(l->diag, DIAG_ERROR, "E0008", t->span, NULL, "%s closes %s of column %d",
                            token_name[t->kind], token_name[open->kind], open->span.col);
            }
            l->bad = true;
            while (l->nopen > 0 && l->open[l->nopen].kind != opposite(t->kind)) { /* it may close one further out */
                l->nopen--;
            }
        }
    }
    return true;
}

static bool lex_punctuation(Lexer *l, Token *t)
{
    for (int k = 0; k < COUNT(punctuation); k++) {
        if (starts_with(l->p, punctuation[k].text)) {
            t->kind = punctuation[k].kind;
            l->p += strlen(punctuation[k].text);
            return true;
        }
    }
    return false;
}

static void lex_token(Lexer *l)
{
    const char *begin = l->p;
    Token t = {.space_before = begin > l->line_start && (begin[-1] == ' ' || begin[-1] == '\t')};
    if (is_digit(*l->p)) {
        lex_number(l, &t);
    } else if (is_letter(*l->p) || find_greek(l->p) >= 0) {
        lex_name(l, &t);
    } else if (*l->p == '"') {
        lex_string(l, &t);
    } else if (!lex_punctuation(l, &t)) {
        do {
            l->p++;
        } while (((unsigned char)*l->p & 0xc0) == 0x80);
        bad_token(l, "E0001", begin, l->p, NULL, "this character means nothing in a spec");
        return;
    }
    t.span = span_at(l, begin, l->p);
    if (track_brackets(l, &t)) {
        push(l, t);
    }
}

static void lex_comment(Lexer *l, bool own_line)
{
    const char *begin = l->p;
    l->p += strcspn(l->p, "\n");
    const char *end = l->p;
    while (end > begin && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r')) {
        end--;
    }
    Comment c = {span_at(l, begin, end), own_line};
    ARENA_PUSH(l->arena, l->out.comments, l->out.ncomments, c);
}

Tokens lex(Arena *arena, Diag *diag, const Source *source)
{
    const char *text = source_text(source);
    Lexer l = {.arena = arena,
               .diag = diag,
               .source = source,
               .text = text,
               .p = text,
               .line_start = text,
               .line = 1,
               .nindent = 1};
    if (starts_with(l.p, "\xef\xbb\xbf")) { /* a byte order mark means nothing here */
        l.p += 3;
        l.line_start = l.p;
    }
    bool at_start = true; /* nothing but blanks on this line so far */
    while (*l.p != '\0') {
        if (*l.p == '\n') {
            l.p++;
            l.line++;
            l.line_start = l.p;
            at_start = true;
        } else if (*l.p == ' ' || *l.p == '\t' || *l.p == '\r') {
            l.p++;
        } else if (*l.p == '#') {
            lex_comment(&l, at_start);
        } else {
            if (at_start) {
                begin_line(&l);
            }
            int before = l.out.n;
            lex_token(&l);
            if (l.out.n > before) {
                l.out.v[before].first = at_start;
            }
            at_start = false;
        }
    }
    end_statement(&l);
    Span at = span_at(&l, l.p, l.p + 1);
    while (l.nindent-- > 1) {
        push_layout(&l, T_DEDENT, at);
    }
    push_layout(&l, T_EOF, at);
    return l.out;
}
