/* A small map from pointers to pointers in malloc'ed memory, for walks over expressions. {0} is an empty one. */
#ifndef HEDDLE_PTRMAP_H
#define HEDDLE_PTRMAP_H

#include <stddef.h>

typedef struct {
    const void **keys;
    void **values;
    size_t n, cap;
} PtrMap;

/* The place of a key's value: NULL when the key is new. Valid until the next call. */
void **ptrmap_at(PtrMap *m, const void *key);
void ptrmap_free(PtrMap *m);

#endif
