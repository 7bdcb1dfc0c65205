/* States by key around a step: rows of the tables go into the batch, next values come back. */
#include "stream.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const PlanTensor *tensor;
    char *known_name, *next_name;
    int64_t width;
    char *rows; /* of this step */
    size_t room;
    uint8_t *known;
} State;

struct States {
    const Plan *plan;
    int n;
    State *states;
    KeyState **tables;
    int64_t nkeys; /* room for */
    int64_t *keys;
    Array *arrays;
    int narrays;
};

static char *joined(const char *name, const char *suffix)
{
    size_t n = strlen(name) + strlen(suffix) + 1;
    char *s = malloc(n);
    if (s) {
        snprintf(s, n, "%s%s", name, suffix);
    }
    return s;
}

/* A state by key is given with "u.known"; what the compiler made for itself is not. */
static bool add_state(States *s, const PlanTensor *t, Error *e)
{
    char *known = joined(t->name, ".known"), *next = joined(t->name, "'");
    bool ok = known && next;
    if (ok && plan_find(s->plan, known) < 0) {
        free(known);
        free(next);
        return true;
    }
    State *x = &s->states[s->n];
    *x = (State){.tensor = t, .known_name = known, .next_name = next, .width = t->fixed};
    void *zero = ok ? calloc((size_t)t->fixed + 1, dtype_size[t->dtype]) : NULL;
    s->tables[s->n] = zero ? keystate_new(t->name, t->dtype, t->fixed, zero, e) : NULL;
    free(zero);
    s->n++; /* states_close frees what there is */
    return s->tables[s->n - 1] || (e->code ? false : error_set(e, EXIT_RESOURCES, "no memory for state '%s'", t->name));
}

States *states_open(const Plan *plan, Error *e)
{
    States *s = calloc(1, sizeof *s);
    bool ok = s != NULL;
    if (ok) {
        s->plan = plan;
        s->states = calloc((size_t)plan->ntensors + 1, sizeof *s->states);
        s->tables = calloc((size_t)plan->ntensors + 1, sizeof *s->tables);
        ok = s->states && s->tables;
    }
    if (!ok) {
        error_set(e, EXIT_RESOURCES, "no memory for the states of '%s'", plan->name);
    }
    for (int t = 0; ok && t < plan->ntensors; t++) {
        const PlanTensor *x = &plan->tensors[t];
        ok = x->role != PT_STATE || !x->per_example || add_state(s, x, e);
    }
    if (!ok) {
        states_close(s);
        return NULL;
    }
    return s;
}

void states_close(States *s)
{
    if (s) {
        for (int i = 0; i < s->n; i++) {
            keystate_free(s->tables[i]);
            free(s->states[i].known_name);
            free(s->states[i].next_name);
            free(s->states[i].rows);
            free(s->states[i].known);
        }
        free(s->states);
        free(s->tables);
        free(s->keys);
        free(s->arrays);
        free(s);
    }
}

int states_tables(const States *s, KeyState *const **tables)
{
    *tables = s->tables;
    return s->n;
}

void states_clear(States *s)
{
    for (int i = 0; i < s->n; i++) {
        keystate_clear(s->tables[i]);
    }
}

static bool reserve(States *s, int64_t n, int narrays, Error *e)
{
    bool ok = true;
    if (n > s->nkeys) {
        free(s->keys);
        s->nkeys = 0;
        s->keys = malloc((size_t)n * sizeof *s->keys);
        ok = s->keys != NULL;
        for (int i = 0; i < s->n && ok; i++) {
            State *x = &s->states[i];
            free(x->rows);
            free(x->known);
            x->rows = calloc((size_t)(n * x->width) + 1, dtype_size[x->tensor->dtype]);
            x->known = malloc((size_t)n + 1);
            ok = x->rows && x->known;
        }
        s->nkeys = ok ? n : 0;
    }
    if (ok && narrays > s->narrays) {
        Array *more = realloc(s->arrays, (size_t)narrays * sizeof *more);
        ok = more != NULL;
        s->arrays = ok ? more : s->arrays;
        s->narrays = ok ? narrays : s->narrays;
    }
    return ok || error_set(e, EXIT_RESOURCES, "no memory for the states of %lld examples", (long long)n);
}

bool states_give(States *s, const StreamStep *x, bool resume, const Batch *data, Batch *out, Error *e)
{
    if (!reserve(s, x->n, data->n + 2 * s->n + 1, e)) {
        return false;
    }
    memcpy(s->arrays, data->arrays, (size_t)data->n * sizeof *s->arrays);
    int n = data->n;
    for (int i = 0; i < s->n; i++) {
        State *state = &s->states[i];
        /* Only the first level's rows are read: the others are handed on inside the step. */
        keystate_gather(s->tables[i], x->levels[1], x->keys, state->rows, state->known);
        for (int64_t k = 0; k < x->n; k++) {
            state->known[k] = k >= x->levels[1] || (state->known[k] && (resume || !x->first[k]));
        }
        Array *a = &s->arrays[n++];
        *a = (Array){.name = state->tensor->name,
                     .dtype = state->tensor->dtype,
                     .ndim = state->tensor->ndim,
                     .dims = {x->n},
                     .data = state->rows};
        for (int d = 1; d < a->ndim; d++) {
            a->dims[d] = s->plan->axes[state->tensor->dims[d]].size;
        }
        s->arrays[n++] =
            (Array){.name = state->known_name, .dtype = DT_BOOL, .ndim = 1, .dims = {x->n}, .data = state->known};
    }
    s->arrays[n++] = (Array){
        .name = "levels", .dtype = DT_I64, .ndim = 1, .dims = {x->nlevels + 1}, .data = (void *)(uintptr_t)x->levels};
    *out = (Batch){.n = n, .arrays = s->arrays, .batch = data->batch};
    return true;
}

bool states_take(States *s, const StreamStep *x, Session *session, Error *e)
{
    for (int i = 0; i < s->n; i++) {
        const State *state = &s->states[i];
        size_t row = (size_t)state->width * dtype_size[state->tensor->dtype];
        Array next;
        if (!session_fetch(session, state->next_name, &next, e)) {
            return false;
        }
        int64_t n = 0;
        for (int64_t k = 0; k < x->n; k++) {
            if (x->last[k]) {
                memmove((char *)next.data + (size_t)n * row, (const char *)next.data + (size_t)k * row, row);
                s->keys[n++] = x->keys[k];
            }
        }
        bool ok = keystate_scatter(s->tables[i], n, s->keys, next.data, e);
        free(next.data);
        if (!ok) {
            return false;
        }
    }
    return true;
}
