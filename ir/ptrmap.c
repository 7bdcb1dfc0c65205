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

static void move(PtrMap *to, const void *key, void *value)
{
    if (key != NULL) {
        size_t at = find(to, key);
        to->keys[at] = key;
        to->values[at] = value;
    }
}

static void grow(PtrMap *m)
{
    PtrMap bigger = {.n = m->n, .cap = m->cap > 0 ? 2 * m->cap : 4 * PTRMAP_SMALL};
    bigger.keys = calloc(bigger.cap, sizeof *bigger.keys);
    bigger.values = calloc(bigger.cap, sizeof *bigger.values);
    if (bigger.keys == NULL || bigger.values == NULL) {
        bug("out of memory in a map of %zu entries", bigger.cap);
    }
    for (size_t k = 0; k < m->cap; k++) {
        move(&bigger, m->keys[k], m->values[k]);
    }
    for (size_t k = 0; m->cap == 0 && k < m->n; k++) {
        move(&bigger, m->small_keys[k], m->small_values[k]);
    }
    free(m->keys);
    free(m->values);
    m->keys = bigger.keys;
    m->values = bigger.values;
    m->cap = bigger.cap;
}

void **ptrmap_at(PtrMap *m, const void *key)
{
    if (m->cap == 0) {
        for (size_t k = 0; k < m->n; k++) {
            if (m->small_keys[k] == key) {
                return &m->small_values[k];
            }
        }
        if (m->n < PTRMAP_SMALL) {
            m->small_keys[m->n] = key;
            return &m->small_values[m->n++];
        }
    }
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
