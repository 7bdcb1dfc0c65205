/* States by key: `state u[D] by user` keeps one row of values per key and outlives examples, steps and processes.
 * Around a step the caller gathers the rows of the batch's keys into the state's input and scatters the new values
 * back:
 *
 *     keystate_gather(k, batch, users, u.data, known.data);  session_run(...);  session_fetch(s, "u'", &next, e);
 *     keystate_scatter(k, batch, users, next.data, e);
 *
 * A key that was never scattered has the initial row and is not `known` (the input "u.known"): the spec's initial
 * value, which may be a param, is the model's business. A key that occurs twice in one batch keeps its last row. */
#ifndef HEDDLE_KEYSTATE_H
#define HEDDLE_KEYSTATE_H

#include "runtime.h"

typedef struct KeyState KeyState;

/* `width` values of `dtype` per key; `initial`: the row a new key has. */
KeyState *keystate_new(const char *name, DType dtype, int64_t width, const void *initial, Error *e);
void keystate_free(KeyState *k);
const char *keystate_name(const KeyState *k);
int64_t keystate_count(const KeyState *k);
void keystate_clear(KeyState *k);
/* `known`: a bool per key, or NULL. */
void keystate_gather(const KeyState *k, int64_t n, const int64_t *keys, void *rows, uint8_t *known);
bool keystate_scatter(KeyState *k, int64_t n, const int64_t *keys, const void *rows, Error *e);

/* The whole table as two freshly allocated arrays, "keyed.NAME.keys" and "keyed.NAME.rows", in ascending order of key
 * (free data and name of both). Loading replaces the table. */
bool keystate_save(const KeyState *k, Array out[2], Error *e);
bool keystate_load(KeyState *k, const Array *keys, const Array *rows, Error *e);

#endif
