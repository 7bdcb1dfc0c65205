/* Diagnostics: keeps the sources and the reports, prints them in the order of the sources. Reports without a place
 * come last. One mistake is one message: a second report with the same code at the same place is dropped, and so are
 * the further lines that belong to it. */
#include "diag.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct Source {
    int number; /* in order of appearance */
    const char *path, *text;
    size_t length;
};

typedef struct {
    Severity severity;
    const char *code, *message, *remedy;
    Span at;
    int number; /* order of reporting: the last key of the sort */
    const char **also;
    int nalso;
} Report;

struct Diag {
    Arena *arena;
    int nsources;
    Report **reports;
    int nreports;
    Report *last; /* what diag_also adds to; NULL after a dropped duplicate */
    int errors, warnings;
    const char *(*remedy_of)(const char *code); /* or NULL */
};

Diag *diag_new(void)
{
    Arena *arena = arena_new();
    Diag *d = arena_alloc(arena, sizeof *d);
    d->arena = arena;
    return d;
}

void diag_free(Diag *d)
{
    if (d != NULL) {
        arena_free(d->arena);
    }
}

const Source *diag_source(Diag *d, const char *path, const char *text)
{
    Source *s = arena_alloc(d->arena, sizeof *s);
    s->number = d->nsources++;
    s->path = arena_strdup(d->arena, path);
    s->text = arena_strdup(d->arena, text);
    s->length = strlen(text);
    return s;
}

const char *source_path(const Source *s)
{
    return s->path;
}

const char *source_text(const Source *s)
{
    return s->text;
}

static bool same_place(const Report *r, const char *code, Span at)
{
    return r->at.source == at.source && r->at.line == at.line && r->at.col == at.col && r->at.len == at.len &&
           strcmp(r->code, code) == 0;
}

void diag_vreport(Diag *d, Severity sev, const char *code, Span at, const char *remedy, const char *fmt, va_list ap)
{
    d->last = NULL;
    for (int k = 0; at.source != NULL && at.line > 0 && k < d->nreports; k++) {
        if (same_place(d->reports[k], code, at)) {
            return;
        }
    }
    remedy = remedy == NULL && d->remedy_of != NULL ? d->remedy_of(code) : remedy;
    Text message = {0};
    text_vprintf(&message, fmt, ap);
    Report *r = arena_alloc(d->arena, sizeof *r);
    *r = (Report){.severity = sev,
                  .code = arena_strdup(d->arena, code),
                  .message = arena_strdup(d->arena, message.s),
                  .remedy = remedy != NULL ? arena_strdup(d->arena, remedy) : NULL,
                  .at = at,
                  .number = d->nreports};
    text_free(&message);
    ARENA_PUSH(d->arena, d->reports, d->nreports, r);
    d->last = r;
    d->errors += sev == DIAG_ERROR;
    d->warnings += sev == DIAG_WARNING;
}

void diag_report(Diag *d, Severity sev, const char *code, Span at, const char *remedy, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    diag_vreport(d, sev, code, at, remedy, fmt, ap);
    va_end(ap);
}

void diag_remedies(Diag *d, const char *(*remedy_of)(const char *code))
{
    d->remedy_of = remedy_of;
}

void diag_also(Diag *d, const char *fmt, ...)
{
    if (d->last == NULL) {
        return;
    }
    Text line = {0};
    va_list ap;
    va_start(ap, fmt);
    text_vprintf(&line, fmt, ap);
    va_end(ap);
    ARENA_PUSH(d->arena, d->last->also, d->last->nalso, arena_strdup(d->arena, line.s));
    text_free(&line);
}

int diag_errors(const Diag *d)
{
    return d->errors;
}

int diag_warnings(const Diag *d)
{
    return d->warnings;
}

static int by_place(const void *x, const void *y)
{
    const Report *a = *(Report *const *)x, *b = *(Report *const *)y;
    int sa = a->at.source != NULL ? a->at.source->number : INT32_MAX;
    int sb = b->at.source != NULL ? b->at.source->number : INT32_MAX;
    if (sa != sb) {
        return sa < sb ? -1 : 1;
    }
    if (a->at.line != b->at.line) {
        return a->at.line < b->at.line ? -1 : 1;
    }
    if (a->at.col != b->at.col) {
        return a->at.col < b->at.col ? -1 : 1;
    }
    return a->number < b->number ? -1 : a->number > b->number;
}

/* Line `number` of a source, without its end; false if there is none. */
static bool find_line(const Source *s, int number, const char **line, size_t *n)
{
    const char *p = s->text;
    for (int k = 1; k < number; k++) {
        p = strchr(p, '\n');
        if (p == NULL) {
            return false;
        }
        p++;
    }
    *line = p;
    *n = strcspn(p, "\r\n");
    return number > 0;
}

static bool continues(char c) /* a later byte of a UTF-8 sequence: no column of its own */
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* The source line and below it the carets: a tab above stays a tab below, so that they point true. */
static void print_excerpt(const Report *r, Text *out)
{
    const char *line;
    size_t n;
    if (r->at.source == NULL || !find_line(r->at.source, r->at.line, &line, &n)) {
        if (r->remedy != NULL) {
            text_printf(out, "      | %s\n", r->remedy);
        }
        return;
    }
    int width = snprintf(NULL, 0, "%5d", r->at.line);
    text_printf(out, "%*d | %.*s\n", width, r->at.line, (int)n, line);
    text_printf(out, "%*s | ", width, "");
    size_t begin = r->at.col > 1 ? (size_t)r->at.col - 1 : 0;
    for (size_t k = 0; k < begin; k++) {
        if (k >= n || !continues(line[k])) {
            text_append(out, k < n && line[k] == '\t' ? "\t" : " ", 1);
        }
    }
    size_t end = begin + (size_t)(r->at.len > 1 ? r->at.len : 1);
    size_t carets = 0;
    for (size_t k = begin; k < end && k < n; k++) {
        carets += !continues(line[k]);
    }
    for (size_t k = 0; k < (carets > 0 ? carets : 1); k++) {
        text_append(out, "^", 1);
    }
    text_printf(out, "%s%s\n", r->remedy != NULL ? " " : "", r->remedy != NULL ? r->remedy : "");
}

static void print_report(const Report *r, Text *out)
{
    static const char *const word[] = {"error", "warning", "note"};
    if (r->at.source != NULL) {
        text_printf(out, "%s:", r->at.source->path);
        if (r->at.line > 0) {
            text_printf(out, "%d:", r->at.line);
            if (r->at.col > 0) {
                text_printf(out, "%d:", r->at.col);
            }
        }
        text_printf(out, " ");
    }
    text_printf(out, "%s[%s]: %s\n", word[r->severity], r->code, r->message);
    print_excerpt(r, out);
    for (int k = 0; k < r->nalso; k++) {
        text_printf(out, "      | %s\n", r->also[k]);
    }
}

void diag_print(const Diag *d, Text *out)
{
    if (d->nreports == 0) {
        return;
    }
    Report **sorted = malloc((size_t)d->nreports * sizeof *sorted);
    if (sorted == NULL) {
        bug("out of memory while sorting %d reports", d->nreports);
    }
    memcpy(sorted, d->reports, (size_t)d->nreports * sizeof *sorted);
    qsort(sorted, (size_t)d->nreports, sizeof *sorted, by_place);
    for (int k = 0; k < d->nreports; k++) {
        print_report(sorted[k], out);
    }
    free(sorted);
}

void diag_clear(Diag *d)
{
    d->reports = NULL;
    d->nreports = d->errors = d->warnings = 0;
    d->last = NULL;
}

void bug(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("internal error: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}
