/* Arenas own, everything else borrows. An Arena hands out memory that lives until arena_free; there is no free of
 * one piece. Text is a growing string in malloc'ed memory for printing. */
#ifndef HEDDLE_ARENA_H
#define HEDDLE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *a);                /* NULL is fine */
void *arena_alloc(Arena *a, size_t size); /* zeroed, 16-byte aligned */
/* When memory runs out, f(ctx) is called and must not return (longjmp); without it, bug(). */
void arena_on_exhausted(Arena *a, void (*f)(void *ctx), void *ctx);
void arena_limit(Arena *a, size_t bytes); /* pretends that memory ends there: walks the paths above in tests */
char *arena_strdup(Arena *a, const char *s);
char *arena_strndup(Arena *a, const char *s, size_t n);
char *arena_printf(Arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t arena_bytes(const Arena *a);

/* Grows an array that lives in an arena: copies to a block of twice the size when n reaches the capacity. */
#define ARENA_PUSH(arena, array, n, item)                                                                              \
    ((array) = arena_grow((arena), (array), (size_t)(n), sizeof *(array)), (array)[(n)++] = (item))
void *arena_grow(Arena *a, void *array, size_t n, size_t size);

typedef struct {
    char *s; /* NUL-terminated, or NULL while empty */
    size_t n, cap;
} Text;

void text_printf(Text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(Text *t, const char *fmt, va_list ap);
void text_append(Text *t, const char *s, size_t n);
void text_free(Text *t);

#endif
