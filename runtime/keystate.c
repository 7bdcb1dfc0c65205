/* A hash table with open addressing from keys to rows. Rows lie in the order in which keys first came, so a table's
 * memory depends on history; what is saved is sorted by key and does not. */
#include "keystate.h"
#include "../ir/random.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct KeyState {
    char *name;
    DType dtype;
    size_t row_bytes;
    int64_t width;
    char *initial;
    int64_t n, capacity; /* rows */
    int64_t *keys;
    char *rows;
    int64_t *slots; /* row + 1, or 0; their number is a power of two of at least twice the rows */
    int64_t nslots;
};

KeyState *keystate_new(const char *name, DType dtype, int64_t width, const void *initial, Error *e)
{
    KeyState *k = calloc(1, sizeof *k);
    if (k) {
        k->name = strdup(name);
        k->dtype = dtype;
        k->width = width;
        k->row_bytes = (size_t)width * dtype_size[dtype];
        k->initial = malloc(k->row_bytes + 1);
        k->nslots = 64;
        k->slots = calloc((size_t)k->nslots, sizeof *k->slots);
    }
    if (!k || !k->name || !k->initial || !k->slots) {
        keystate_free(k);
        error_set(e, EXIT_RESOURCES, "no memory for state '%s'", name);
        return NULL;
    }
    memcpy(k->initial, initial, k->row_bytes);
    return k;
}

void keystate_free(KeyState *k)
{
    if (k) {
        free(k->name);
        free(k->initial);
        free(k->keys);
        free(k->rows);
        free(k->slots);
        free(k);
    }
}

const char *keystate_name(const KeyState *k)
{
    return k->name;
}

int64_t keystate_count(const KeyState *k)
{
    return k->n;
}

void keystate_clear(KeyState *k)
{
    k->n = 0;
    memset(k->slots, 0, (size_t)k->nslots * sizeof *k->slots);
}

/* The slot of a key, or the empty one where it belongs. */
static int64_t *find_slot(const KeyState *k, int64_t key)
{
    uint64_t at = random_mix((uint64_t)key) & (uint64_t)(k->nslots - 1);
    while (k->slots[at] != 0 && k->keys[k->slots[at] - 1] != key) {
        at = (at + 1) & (uint64_t)(k->nslots - 1);
    }
    return &k->slots[at];
}

static bool make_room(KeyState *k)
{
    if (k->n == k->capacity) {
        int64_t capacity = k->capacity ? 2 * k->capacity : 32;
        int64_t *keys = realloc(k->keys, (size_t)capacity * sizeof *keys);
        k->keys = keys ? keys : k->keys;
        char *rows = realloc(k->rows, (size_t)capacity * k->row_bytes + 1);
        k->rows = rows ? rows : k->rows;
        if (!keys || !rows) {
            return false;
        }
        k->capacity = capacity;
    }
    if (2 * (k->n + 1) > k->nslots) {
        int64_t *slots = calloc((size_t)k->nslots * 2, sizeof *slots);
        if (!slots) {
            return false;
        }
        free(k->slots);
        k->slots = slots;
        k->nslots *= 2;
        for (int64_t i = 0; i < k->n; i++) {
            *find_slot(k, k->keys[i]) = i + 1;
        }
    }
    return true;
}

void keystate_gather(const KeyState *k, int64_t n, const int64_t *keys, void *rows, uint8_t *known)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t slot = *find_slot(k, keys[i]);
        if (known) {
            known[i] = slot != 0;
        }
        memcpy((char *)rows + (size_t)i * k->row_bytes, slot ? k->rows + (size_t)(slot - 1) * k->row_bytes : k->initial,
               k->row_bytes);
    }
}

bool keystate_scatter(KeyState *k, int64_t n, const int64_t *keys, const void *rows, Error *e)
{
    for (int64_t i = 0; i < n; i++) {
        if (!make_room(k)) {
            return error_set(e, EXIT_RESOURCES, "no memory for more than %lld keys of state '%s'", (long long)k->n,
                             k->name);
        }
        int64_t *slot = find_slot(k, keys[i]);
        if (*slot == 0) {
            k->keys[k->n] = keys[i];
            *slot = ++k->n;
        }
        memcpy(k->rows + (size_t)(*slot - 1) * k->row_bytes, (const char *)rows + (size_t)i * k->row_bytes,
               k->row_bytes);
    }
    return true;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static char *array_name(const KeyState *k, const char *what)
{
    size_t size = strlen(k->name) + 16;
    char *name = malloc(size);
    if (name) {
        snprintf(name, size, "keyed.%s.%s", k->name, what);
    }
    return name;
}

bool keystate_save(const KeyState *k, Array out[2], Error *e)
{
    out[0] = (Array){.name = array_name(k, "keys"), .dtype = DT_I64, .ndim = 1, .dims = {k->n}};
    out[1] = (Array){.name = array_name(k, "rows"), .dtype = k->dtype, .ndim = 2, .dims = {k->n, k->width}};
    int64_t *keys = out[0].data = malloc((size_t)k->n * sizeof *keys + 1);
    out[1].data = malloc((size_t)k->n * k->row_bytes + 1);
    if (!out[0].name || !out[1].name || !keys || !out[1].data) {
        for (int i = 0; i < 2; i++) {
            free(out[i].data);
            free((void *)(uintptr_t)out[i].name);
        }
        return error_set(e, EXIT_RESOURCES, "no memory to save state '%s'", k->name);
    }
    if (k->n > 0) {
        memcpy(keys, k->keys, (size_t)k->n * sizeof *keys);
        qsort(keys, (size_t)k->n, sizeof *keys, by_value);
        keystate_gather(k, k->n, keys, out[1].data, NULL);
    }
    return true;
}

bool keystate_load(KeyState *k, const Array *keys, const Array *rows, Error *e)
{
    if (keys->dtype != DT_I64 || keys->ndim != 1 || rows->dtype != k->dtype || rows->ndim != 2 ||
        rows->dims[0] != keys->dims[0] || rows->dims[1] != k->width) {
        return error_set(e, EXIT_DATA, "state '%s' was saved with another shape: start it anew, without the checkpoint",
                         k->name);
    }
    keystate_clear(k);
    return keystate_scatter(k, keys->dims[0], keys->data, rows->data, e);
}
