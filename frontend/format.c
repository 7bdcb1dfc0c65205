/* The formatter: the same tokens in the same lines, with canonical blanks.
 *
 *  - two blanks of indentation per level; a continued line keeps its distance to the start of its statement;
 *  - blanks between tokens by `blanks` below, which uses what the parser noted in Token.spacing;
 *  - at most one blank line in a row; comments stay where they are;
 *  - alignment is kept, not invented: a token with more blanks before it than it needs, in the column of the same token
 *    of the line above or below (`=`, `~`, `over`: of any line of the paragraph), keeps that column, moved right if a
 *    line grew. `=` and `:=` count as the same. Trailing comments keep their column likewise.
 *
 * Formatting twice changes nothing more: a group of aligned tokens is again one in its output, at the same column. */
#include "parser.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    const Token *token;
    const char *text;
    int bytes, width; /* width in columns: UTF-8 sequences count once */
    int column;       /* in the author's text, 0-based */
    int blanks;       /* needed before it */
    bool padded;      /* the author put more */
    int group;        /* of aligned tokens, or -1 */
} Cell;

typedef struct {
    int number; /* in the author's text, from 1 */
    int ncells; /* 0: a comment line */
    Cell *cells;
    const Comment *comment; /* trailing, or the line's own; NULL */
    int comment_column;
    int column; /* of its first token or comment, in the author's text */
    int indent; /* in the output */
} Line;

typedef struct {
    int column;        /* in the author's text */
    int first, last;   /* lines */
    const Cell *model; /* one of its tokens: the others have the same text */
    int result;        /* column in the output */
    int id;
} AlignedGroup;

typedef struct {
    Arena *arena;
    const char *text;
    const File *file;
    int nlines;
    Line *lines;
    int ngroups;
    AlignedGroup *groups;
} Format;

/* ---- columns ---------------------------------------------------------------------------------------------- */

static int width_of(const char *s, int bytes)
{
    int width = 0;
    for (int k = 0; k < bytes; k++) {
        width += ((unsigned char)s[k] & 0xc0) != 0x80;
    }
    return width;
}

static const char *line_text(const char *text, int number)
{
    for (int k = 1; k < number; k++) {
        text = strchr(text, '\n') + 1;
    }
    return text;
}

/* ---- blanks between two tokens ---------------------------------------------------------------------------- */

static bool opens(TokenKind k)
{
    return k == T_LPAREN || k == T_LBRACKET || k == T_LBRACE;
}

static bool closes(TokenKind k)
{
    return k == T_RPAREN || k == T_RBRACKET || k == T_RBRACE;
}

static int blanks(const Token *before, const Token *t, int depth)
{
    if (t->kind == T_COMMA || t->kind == T_SEMICOLON || t->kind == T_PRIME || closes(t->kind) || opens(before->kind)) {
        return 0;
    }
    switch (t->spacing) {
    case SPACING_TIGHT:
    case SPACING_CALL:
    case SPACING_SUFFIX:
    case SPACING_BODY_COLON:
        return 0;
    default:
        break;
    }
    if (before->spacing == SPACING_UNARY || (before->spacing == SPACING_TIGHT && before->kind != T_GT)) {
        return 0;
    }
    if (t->kind == T_CARET || before->kind == T_CARET) {
        return 0;
    }
    return before->kind == T_SEMICOLON && depth == 0 ? 2 : 1;
}

/* ---- lines ------------------------------------------------------------------------------------------------ */

static bool is_layout(TokenKind k)
{
    return k == T_NEWLINE || k == T_INDENT || k == T_DEDENT || k == T_EOF;
}

static Line *line_of(Format *f, int number, int column)
{
    if (f->nlines == 0 || f->lines[f->nlines - 1].number != number) {
        Line line = {.number = number, .column = column};
        ARENA_PUSH(f->arena, f->lines, f->nlines, line);
    }
    return &f->lines[f->nlines - 1];
}

static void add_comments(Format *f, int *next_comment, int before_line)
{
    const Tokens *tokens = &f->file->tokens;
    for (; *next_comment < tokens->ncomments && tokens->comments[*next_comment].span.line < before_line;
         ++*next_comment) {
        const Comment *c = &tokens->comments[*next_comment];
        const char *start = line_text(f->text, c->span.line);
        int column = width_of(start, c->span.col - 1);
        Line *line = line_of(f, c->span.line, column);
        line->comment = c;
        line->comment_column = column;
    }
}

/* Groups tokens and comments by line and gives every line of code its indentation. */
static void collect_lines(Format *f)
{
    const Tokens *tokens = &f->file->tokens;
    int level = 0, depth = 0, next_comment = 0;
    int base = 0, author_base = 0; /* of the running statement */
    bool starts = true;            /* the next token begins a statement */
    const Token *before = NULL;
    const char *start = f->text;
    int start_line = 1;
    for (int k = 0; k < tokens->n; k++) {
        const Token *t = &tokens->v[k];
        level += t->kind == T_INDENT;
        level -= t->kind == T_DEDENT;
        if (is_layout(t->kind)) {
            starts = true;
            continue;
        }
        add_comments(f, &next_comment, t->span.line);
        for (; start_line < t->span.line; start_line++) {
            start = strchr(start, '\n') + 1;
        }
        Cell c = {.token = t, .text = start + t->span.col - 1, .bytes = t->span.len, .group = -1};
        c.width = width_of(c.text, c.bytes);
        c.column = width_of(start, t->span.col - 1);
        Line *line = line_of(f, t->span.line, c.column);
        if (starts) {
            base = 2 * level;
            author_base = c.column;
            depth = 0;
        }
        depth -= closes(t->kind);
        if (line->ncells == 0) {
            int distance = c.column - author_base;
            int least = starts || closes(t->kind) ? 0 : 2;
            line->indent = starts ? base : base + (distance > least ? distance : least);
        } else {
            const Cell *last = &line->cells[line->ncells - 1];
            c.blanks = blanks(before, t, depth);
            int written = c.column - (last->column + last->width);
            c.padded = c.blanks > 0 && written > c.blanks && written > 1;
        }
        depth += opens(t->kind);
        ARENA_PUSH(f->arena, line->cells, line->ncells, c);
        before = t;
        starts = false;
    }
    add_comments(f, &next_comment, INT32_MAX);
}

/* A comment of its own line goes with the code below it, or with that above it if it stands in its column. */
static void indent_comments(Format *f)
{
    for (int k = 0; k < f->nlines; k++) {
        Line *line = &f->lines[k];
        if (line->ncells > 0) {
            continue;
        }
        int above = k - 1, below = k + 1;
        while (above >= 0 && f->lines[above].ncells == 0) {
            above--;
        }
        while (below < f->nlines && f->lines[below].ncells == 0) {
            below++;
        }
        bool with_below = below < f->nlines && f->lines[below].column == line->column;
        bool with_above = !with_below && above >= 0 && f->lines[above].column == line->column;
        line->indent = with_above ? f->lines[above].indent : below < f->nlines ? f->lines[below].indent : 0;
    }
}

/* ---- alignment -------------------------------------------------------------------------------------------- */

static bool same_text(const Cell *a, const Cell *b)
{
    bool assigns = a->token->kind == T_ASSIGN || a->token->kind == T_REBIND;
    bool assigns_too = b->token->kind == T_ASSIGN || b->token->kind == T_REBIND;
    return (assigns && assigns_too) || (a->bytes == b->bytes && memcmp(a->text, b->text, (size_t)a->bytes) == 0);
}

/* The cell of a line that stands in that column with that text, and not at its beginning; or NULL. */
static Cell *cell_at(Line *line, int column, const Cell *model)
{
    for (int k = 1; k < line->ncells; k++) {
        Cell *c = &line->cells[k];
        if (c->column == column) {
            return same_text(c, model) ? c : NULL;
        }
    }
    return NULL;
}

static bool adjacent(const Format *f, int a, int b)
{
    return a >= 0 && b < f->nlines && f->lines[a].number + 1 == f->lines[b].number;
}

/* Tokens that people align over lines in between that have none there; others only with their next neighbours. */
static bool reaches_far(TokenKind k)
{
    return k == T_ASSIGN || k == T_REBIND || k == T_TILDE || k == T_OVER;
}

static void find_groups(Format *f)
{
    for (int k = 0; k < f->nlines; k++) {
        for (int j = 1; j < f->lines[k].ncells; j++) {
            Cell *c = &f->lines[k].cells[j];
            if (!c->padded || c->group >= 0) {
                continue;
            }
            AlignedGroup g = {
                .column = c->column, .first = k, .last = k, .model = c, .id = f->ngroups, .result = c->column};
            int members = 0;
            bool far = reaches_far(c->token->kind);
            while (adjacent(f, g.first - 1, g.first) && (far || cell_at(&f->lines[g.first - 1], g.column, c) != NULL)) {
                g.first--;
            }
            while (adjacent(f, g.last, g.last + 1) && (far || cell_at(&f->lines[g.last + 1], g.column, c) != NULL)) {
                g.last++;
            }
            for (int m = g.first; m <= g.last; m++) {
                members += cell_at(&f->lines[m], g.column, c) != NULL;
            }
            for (int m = g.first; members > 1 && m <= g.last; m++) {
                Cell *member = cell_at(&f->lines[m], g.column, c);
                if (member != NULL) {
                    member->group = g.id;
                }
            }
            if (members > 1) {
                ARENA_PUSH(f->arena, f->groups, f->ngroups, g);
            }
        }
    }
}

/* Column of cell `upto` in the output before its own group moves it; of the line's end for upto == ncells. */
static int natural_column(const Format *f, const Line *line, int upto)
{
    int column = line->indent;
    for (int k = 0; k < line->ncells; k++) {
        const Cell *c = &line->cells[k];
        column += c->blanks;
        if (k == upto) {
            return column;
        }
        if (c->group >= 0) {
            column = f->groups[c->group].result;
        }
        column += c->width;
    }
    return column;
}

static int by_column(const void *a, const void *b)
{
    const AlignedGroup *x = *(AlignedGroup *const *)a, *y = *(AlignedGroup *const *)b;
    return x->column != y->column ? (x->column < y->column ? -1 : 1) : x->id - y->id;
}

/* From left to right: what stands before a token is final when its group is placed. */
static void place_groups(Format *f)
{
    if (f->ngroups == 0) {
        return;
    }
    AlignedGroup **order = arena_alloc(f->arena, (size_t)f->ngroups * sizeof(AlignedGroup *));
    for (int k = 0; k < f->ngroups; k++) {
        order[k] = &f->groups[k];
    }
    qsort(order, (size_t)f->ngroups, sizeof *order, by_column);
    for (int k = 0; k < f->ngroups; k++) {
        AlignedGroup *g = order[k];
        for (int m = g->first; m <= g->last; m++) {
            Line *line = &f->lines[m];
            Cell *c = cell_at(line, g->column, g->model);
            int column = c != NULL ? natural_column(f, line, (int)(c - line->cells)) : 0;
            g->result = column > g->result ? column : g->result;
        }
    }
}

/* Trailing comments in one column of adjacent lines stay in one: the author's, or two blanks after the longest line. */
static int comment_column(const Format *f, int k)
{
    int first = k, last = k;
    int column = f->lines[k].comment_column;
    while (adjacent(f, first - 1, first) && f->lines[first - 1].comment != NULL && f->lines[first - 1].ncells > 0 &&
           f->lines[first - 1].comment_column == column) {
        first--;
    }
    while (adjacent(f, last, last + 1) && f->lines[last + 1].comment != NULL && f->lines[last + 1].ncells > 0 &&
           f->lines[last + 1].comment_column == column) {
        last++;
    }
    int result = column;
    for (int m = first; m <= last; m++) {
        int end = natural_column(f, &f->lines[m], f->lines[m].ncells) + 2;
        result = end > result ? end : result;
    }
    return result;
}

/* ---- output ----------------------------------------------------------------------------------------------- */

static void pad_to(Text *out, int *column, int target)
{
    for (; *column < target; ++*column) {
        text_append(out, " ", 1);
    }
}

static void write_comment(const Format *f, const Line *line, Text *out)
{
    const char *start = line_text(f->text, line->number);
    text_append(out, start + line->comment->span.col - 1, (size_t)line->comment->span.len);
}

static void write_lines(const Format *f, Text *out)
{
    for (int k = 0; k < f->nlines; k++) {
        const Line *line = &f->lines[k];
        if (k > 0 && line->number > f->lines[k - 1].number + 1) {
            text_append(out, "\n", 1);
        }
        int column = 0;
        pad_to(out, &column, line->indent);
        for (int j = 0; j < line->ncells; j++) {
            const Cell *c = &line->cells[j];
            pad_to(out, &column, c->group >= 0 ? f->groups[c->group].result : column + c->blanks);
            text_append(out, c->text, (size_t)c->bytes);
            column += c->width;
        }
        if (line->comment != NULL) {
            pad_to(out, &column, line->ncells > 0 ? comment_column(f, k) : line->indent);
            write_comment(f, line, out);
        }
        text_append(out, "\n", 1);
    }
}

/* The formatter's promise, checked on every use: the tokens and the layout are the ones that were read. */
static void check_same(Arena *arena, const char *path, const Tokens *a, const char *text)
{
    Diag *quiet = diag_new();
    Tokens b = lex(arena, quiet, diag_source(quiet, path, text));
    bool same = diag_errors(quiet) == 0 && a->n == b.n && a->ncomments == b.ncomments;
    for (int k = 0; same && k < a->n; k++) {
        same = a->v[k].kind == b.v[k].kind && (a->v[k].text == NULL || strcmp(a->v[k].text, b.v[k].text) == 0) &&
               a->v[k].num == b.v[k].num;
    }
    diag_free(quiet);
    if (!same) {
        bug("the formatter would change the meaning of '%s'", path);
    }
}

bool spec_format(Arena *arena, Diag *diag, const char *path, const char *text, Text *out)
{
    int before = diag_errors(diag);
    const Source *source = diag_source(diag, path, text);
    Format f = {.arena = arena, .text = source_text(source)};
    f.file = parse_file(arena, diag, source);
    if (diag_errors(diag) > before) {
        return false;
    }
    collect_lines(&f);
    indent_comments(&f);
    find_groups(&f);
    place_groups(&f);
    size_t begin = out->n;
    write_lines(&f, out);
    check_same(arena, path, &f.file->tokens, out->s != NULL ? out->s + begin : "");
    return true;
}
