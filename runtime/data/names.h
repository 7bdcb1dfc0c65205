/* Names in order of their first appearance: raw id -> dense id (from 0) and back. The vocabulary of an import. */
#ifndef HEDDLE_DATA_NAMES_H
#define HEDDLE_DATA_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    int64_t n;       /* names so far */
    int64_t *starts; /* n + 1 offsets into text */
    char *text;      /* the names one after another, not terminated */
    int32_t *slots;  /* hash table of ids, -1: free; a power of two entries, at most half of them used */
    int64_t nslots, starts_room;
    size_t text_room;
} Names;

void names_init(Names *names);
void names_free(Names *names);
/* Id of the name, or -1. */
int64_t names_find(const Names *names, const char *s, size_t n);
/* Id of the name, which is added if it is new; -1: no memory, or more than INT32_MAX names. */
int64_t names_add(Names *names, const char *s, size_t n);
const char *names_get(const Names *names, int64_t id, size_t *n);

#endif
