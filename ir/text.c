/* Text: a string that grows while things are printed into it. Always NUL-terminated once something was appended. */
#include "arena.h"

#include "diag.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(Text *t, size_t more)
{
    if (t->n + more + 1 <= t->cap) {
        return;
    }
    size_t cap = t->cap > 0 ? t->cap : 64;
    while (cap < t->n + more + 1) {
        cap *= 2;
    }
    char *s = realloc(t->s, cap);
    if (s == NULL) {
        bug("out of memory while printing %zu bytes", cap);
    }
    t->s = s;
    t->cap = cap;
}

void text_append(Text *t, const char *s, size_t n)
{
    reserve(t, n);
    if (n > 0) {
        memcpy(t->s + t->n, s, n);
    }
    t->n += n;
    t->s[t->n] = '\0';
}

void text_vprintf(Text *t, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n < 0) {
        bug("text_printf: bad format '%s'", fmt);
    }
    reserve(t, (size_t)n);
    vsnprintf(t->s + t->n, (size_t)n + 1, fmt, again);
    va_end(again);
    t->n += (size_t)n;
}

void text_printf(Text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    text_vprintf(t, fmt, ap);
    va_end(ap);
}

void text_free(Text *t)
{
    free(t->s);
    *t = (Text){0};
}
