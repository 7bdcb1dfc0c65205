/* Diagnostics: a user's mistake goes to a Diag as file:line:col, code, message, source line, caret and remedy;
 * the call then returns an error. Our own mistake goes to bug(). The library never prints and never exits on input. */
#ifndef HEDDLE_DIAG_H
#define HEDDLE_DIAG_H

#include "arena.h"
#include <stdbool.h>

typedef struct Source Source; /* one text file, kept for the lifetime of the Diag */

typedef struct {
    const Source *source; /* NULL: no place known */
    int line, col, len;   /* 1-based; len in bytes, at least 1 */
} Span;

typedef enum { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE } Severity;

typedef struct Diag Diag;

Diag *diag_new(void);
void diag_free(Diag *d);
const Source *diag_source(Diag *d, const char *path, const char *text); /* copies both */
const char *source_path(const Source *s);
const char *source_text(const Source *s);

/* Reports at a span. code: "E0104". remedy may be NULL; it is printed beside the caret. */
void diag_report(Diag *d, Severity sev, const char *code, Span at, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
void diag_vreport(Diag *d, Severity sev, const char *code, Span at, const char *remedy, const char *fmt, va_list ap);
/* What a report without a remedy says instead, by its code (NULL: nothing). */
void diag_remedies(Diag *d, const char *(*remedy_of)(const char *code));
/* A further line under the last report: "| path: ...". */
void diag_also(Diag *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

int diag_errors(const Diag *d);
int diag_warnings(const Diag *d);
/* All reports so far in order of appearance in the source, as text:
 *   model.heddle:24:25: error[E0104]: index 'd' is used but not bound
 *      24 |   q[i,h,e]   = silu(n[i,d] * Wq[d,h,e])
 *         |                         ^ 'd' ranges over axis D (50): write sum[d] ... */
void diag_print(const Diag *d, Text *out);
void diag_clear(Diag *d);

/* Our mistake: prints "internal error: " and the message on stderr and aborts. */
_Noreturn void bug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
