/* A small map from pointers to pointers, for walks over expressions. {0} is an empty one. Most expressions are small:
 * the first entries stand in the map itself, more of them in malloc'ed memory. */
#ifndef HEDDLE_PTRMAP_H
#define HEDDLE_PTRMAP_H

#include <stddef.h>

enum { PTRMAP_SMALL = 16 };

typedef struct {
    size_t n, cap; /* cap 0: all entries are in the small arrays, in order */
    const void **keys;
    void **values;
    const void *small_keys[PTRMAP_SMALL];
    void *small_values[PTRMAP_SMALL];
} PtrMap;

/* The place of a key's value: NULL when the key is new. Valid until the next call. */
void **ptrmap_at(PtrMap *m, const void *key);
void ptrmap_free(PtrMap *m);

#endif
