/* Arenas: blocks of malloc'ed memory, filled from the front, freed together. A block is at least BLOCK bytes; larger
 * requests get a block of their own size. Blocks come from calloc, so that memory is zero without touching it. */
#include "arena.h"

#include "diag.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 64 * 1024, ALIGN = 16 };

typedef struct Block Block;
struct Block {
    Block *next;
    size_t used, size; /* bytes after this header */
};

struct Arena {
    Block *blocks; /* the first one is being filled */
    size_t bytes, limit;
    void (*exhausted)(void *);
    void *ctx;
};

static size_t round_up(size_t n)
{
    return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static _Noreturn void out_of_memory(const Arena *a, size_t size)
{
    if (a != NULL && a->exhausted != NULL) {
        a->exhausted(a->ctx);
    }
    bug("out of memory while asking for %zu bytes", size);
}

Arena *arena_new(void)
{
    Arena *a = calloc(1, sizeof *a);
    if (a == NULL) {
        out_of_memory(NULL, sizeof *a);
    }
    a->limit = SIZE_MAX;
    return a;
}

void arena_free(Arena *a)
{
    if (a == NULL) {
        return;
    }
    for (Block *b = a->blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

void arena_on_exhausted(Arena *a, void (*f)(void *ctx), void *ctx)
{
    a->exhausted = f;
    a->ctx = ctx;
}

void arena_limit(Arena *a, size_t bytes)
{
    a->limit = bytes;
}

void *arena_alloc(Arena *a, size_t size)
{
    const size_t header = round_up(sizeof(Block));
    if (size > SIZE_MAX / 2 || a->bytes > a->limit || size > a->limit - a->bytes) {
        out_of_memory(a, size);
    }
    size = round_up(size > 0 ? size : 1);
    Block *b = a->blocks;
    if (b == NULL || b->size - b->used < size) {
        size_t n = size > BLOCK / 4 ? size : BLOCK;
        Block *fresh = calloc(1, header + n);
        if (fresh == NULL) {
            out_of_memory(a, size);
        }
        fresh->size = n;
        if (b != NULL && n == size) { /* a large piece: the block being filled stays in front */
            fresh->next = b->next;
            b->next = fresh;
        } else {
            fresh->next = b;
            a->blocks = fresh;
        }
        b = fresh;
    }
    void *p = (char *)b + header + b->used;
    b->used += size;
    a->bytes += size;
    return p;
}

char *arena_strdup(Arena *a, const char *s)
{
    return arena_strndup(a, s, strlen(s));
}

char *arena_strndup(Arena *a, const char *s, size_t n)
{
    char *copy = arena_alloc(a, n + 1);
    memcpy(copy, s, n);
    return copy;
}

char *arena_printf(Arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) {
        bug("arena_printf: bad format '%s'", fmt);
    }
    char *s = arena_alloc(a, (size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

size_t arena_bytes(const Arena *a)
{
    return a->bytes;
}

/* The capacity is not kept: it is 4, 8, 16 ..., so an array is full exactly when n is 0 or one of these. */
void *arena_grow(Arena *a, void *array, size_t n, size_t size)
{
    if (n != 0 && (n < 4 || (n & (n - 1)) != 0)) {
        return array;
    }
    size_t cap = n == 0 ? 4 : 2 * n;
    if (cap > SIZE_MAX / 2 / size) {
        out_of_memory(a, cap);
    }
    void *fresh = arena_alloc(a, cap * size);
    if (n > 0) {
        memcpy(fresh, array, n * size);
    }
    return fresh;
}
