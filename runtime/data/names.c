/* An open hash table over one text buffer: two allocations grow, nothing is allocated per name. */
#include "names.h"

#include "../../ir/random.h"

#include <stdlib.h>
#include <string.h>

void names_init(Names *names)
{
    memset(names, 0, sizeof *names);
}

void names_free(Names *names)
{
    free(names->starts);
    free(names->text);
    free(names->slots);
    names_init(names);
}

static uint64_t hash(const char *s, size_t n)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++) {
        h = (h ^ (uint8_t)s[i]) * UINT64_C(0x100000001b3);
    }
    return random_mix(h);
}

const char *names_get(const Names *names, int64_t id, size_t *n)
{
    *n = (size_t)(names->starts[id + 1] - names->starts[id]);
    return names->text + names->starts[id];
}

/* The slot that holds the name, or the free one where it belongs. */
static int64_t slot_of(const Names *names, const char *s, size_t n)
{
    uint64_t mask = (uint64_t)names->nslots - 1;
    uint64_t at = hash(s, n) & mask;
    while (names->slots[at] >= 0) {
        size_t have;
        const char *name = names_get(names, names->slots[at], &have);
        if (have == n && memcmp(name, s, n) == 0) {
            break;
        }
        at = (at + 1) & mask;
    }
    return (int64_t)at;
}

int64_t names_find(const Names *names, const char *s, size_t n)
{
    return names->nslots ? names->slots[slot_of(names, s, n)] : -1;
}

static bool rehash(Names *names)
{
    int64_t nslots = names->nslots ? 2 * names->nslots : 64;
    int32_t *slots = malloc((size_t)nslots * sizeof *slots);
    if (!slots) {
        return false;
    }
    memset(slots, 0xff, (size_t)nslots * sizeof *slots);
    free(names->slots);
    names->slots = slots;
    names->nslots = nslots;
    for (int64_t id = 0; id < names->n; id++) {
        size_t n;
        const char *s = names_get(names, id, &n);
        names->slots[slot_of(names, s, n)] = (int32_t)id;
    }
    return true;
}

int64_t names_add(Names *names, const char *s, size_t n)
{
    int64_t found = names_find(names, s, n);
    if (found >= 0) {
        return found;
    }
    if (names->n >= INT32_MAX) {
        return -1;
    }
    if (2 * (names->n + 1) > names->nslots && !rehash(names)) {
        return -1;
    }
    if (names->n + 2 > names->starts_room) {
        int64_t room = names->starts_room ? 2 * names->starts_room : 64;
        int64_t *starts = realloc(names->starts, (size_t)room * sizeof *starts);
        if (!starts) {
            return -1;
        }
        names->starts = starts;
        names->starts_room = room;
    }
    if (names->n == 0) {
        names->starts[0] = 0;
    }
    size_t used = (size_t)names->starts[names->n];
    if (used + n > names->text_room || !names->text) {
        size_t room = 2 * (used + n) + 256;
        char *text = realloc(names->text, room);
        if (!text) {
            return -1;
        }
        names->text = text;
        names->text_room = room;
    }
    memcpy(names->text + used, s, n);
    names->starts[names->n + 1] = (int64_t)(used + n);
    names->slots[slot_of(names, s, n)] = (int32_t)names->n;
    return names->n++;
}
