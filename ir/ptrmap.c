/* Open addressing with linear probing, at most half full. */
#include "ptrmap.h"

#include "diag.h"

#include <stdint.h>
#include <stdlib.h>

static size_t find(const PtrMap *m, const void *key)
{
    uint64_t h = (uint64_t)(uintptr_t)key * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (size_t)(h >> 32) & (m->cap - 1);
    while (m->keys[at] != NULL && m->keys[at] != key) {
        at = (at + 1) & (m->cap - 1);
    }
    return at;
}

static void grow(PtrMap *m)
{
    PtrMap bigger = {.cap = m->cap > 0 ? 2 * m->cap : 32};
    bigger.keys = calloc(bigger.cap, sizeof *bigger.keys);
    bigger.values = calloc(bigger.cap, sizeof *bigger.values);
    if (bigger.keys == NULL || bigger.values == NULL) {
        bug("out of memory in a map of %zu entries", bigger.cap);
    }
    for (size_t k = 0; k < m->cap; k++) {
        if (m->keys[k] != NULL) {
            size_t at = find(&bigger, m->keys[k]);
            bigger.keys[at] = m->keys[k];
            bigger.values[at] = m->values[k];
        }
    }
    bigger.n = m->n;
    ptrmap_free(m);
    *m = bigger;
}

void **ptrmap_at(PtrMap *m, const void *key)
{
    if (2 * (m->n + 1) > m->cap) {
        grow(m);
    }
    size_t at = find(m, key);
    if (m->keys[at] == NULL) {
        m->keys[at] = key;
        m->n++;
    }
    return &m->values[at];
}

void ptrmap_free(PtrMap *m)
{
    free(m->keys);
    free(m->values);
    *m = (PtrMap){0};
}
