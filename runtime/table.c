/* Params of which a step needs few rows (PlanTable in plan.h). A row that no id of a step names is left out of the
 * update, and what it missed is done when it is needed again:
 *
 *   step          0    1    2    3    4    5
 *   ids name row  x              x         x          before a step's gather: catch up
 *   updates done  1────┄────┄────4────┄────6          with the rates of steps 1 and 2, of step 4
 *
 * The kernels of the update do it, one row at a time, with the numbers that each step had and a gradient of 0. So a row
 * comes out the same to the bit as if it had been updated in every step; rows at rest (PlanTable.rest) are skipped. If
 * a step names many rows, all are caught up and updated as a whole.
 *
 * The gradient keeps its memory from step to step and is 0 between steps: rows that were summed into are cleared after
 * the update. */
#include "session_impl.h"
#include <stdlib.h>
#include <string.h>

enum {
    ROW_BLOCK = 64,       /* rows of a task */
    MOST_PART = 4,        /* a step that names more than one row in so many updates them all */
    MOST_STEPS = 1 << 14, /* numbers of so many steps are kept; then all rows are caught up */
    NUMBER = 8,           /* bytes kept per number */
    MOST_TENSORS = 64     /* of a kernel */
};

struct Table {
    const PlanTable *plan;
    int64_t *row_bytes;            /* per tensor of the plan: bytes of a row; 0: it has none here */
    int32_t *done;                 /* per row: updates since all rows were last even */
    int32_t *named;                /* per row: 1 + `steps` when this step named it */
    int32_t *rows, *stale, *since; /* rows named in this step; rows to catch up, and from where */
    int64_t nrows, nstale;
    int64_t steps; /* updates since all rows were last even */
    bool whole;    /* this step updates all rows */
    char *numbers; /* (steps, nscalars): what the updates read */
    int64_t capacity;
};

/* ---- rows ---- */

static char *row_at(const Session *s, const Table *t, int tensor, int64_t row)
{
    return (char *)s->kept[s->root[tensor]] + row * t->row_bytes[tensor];
}

static bool is_at_rest(const Session *s, const Table *t, int64_t row)
{
    if (t->plan->rest != REST_AT_ZERO) {
        return t->plan->rest == REST_ALWAYS;
    }
    for (int i = 0; i < t->plan->nstates; i++) {
        int tensor = t->plan->states[i];
        const char *p = row_at(s, t, tensor, row);
        for (int64_t k = 0; k < t->row_bytes[tensor]; k++) {
            if (p[k]) {
                return false;
            }
        }
    }
    return true;
}

static char *number_at(const Table *t, int64_t step, int i)
{
    return t->numbers + (step * t->plan->nscalars + i) * NUMBER;
}

static int scalar_of(const Table *t, int tensor)
{
    for (int i = 0; i < t->plan->nscalars; i++) {
        if (t->plan->scalars[i] == tensor) {
            return i;
        }
    }
    return -1;
}

/* The updates of steps from .. to - 1 on one row. */
static void replay(const Session *s, const Table *t, int64_t row, int64_t from, int64_t to)
{
    void *tensors[MOST_TENSORS];
    if (from >= to || is_at_rest(s, t, row)) {
        return;
    }
    for (int64_t step = from; step < to; step++) {
        for (int k = 0; k < t->plan->nsteps; k++) {
            int at = t->plan->steps[k];
            const PlanCall *c = &s->plan->steps[at].call;
            const CallArgs *own = &s->calls[s->call_of[at]];
            for (int i = 0; i < c->ntensors; i++) {
                int scalar = scalar_of(t, c->tensors[i]);
                tensors[i] = scalar >= 0 ? number_at(t, step, scalar) : own->tensors[i];
            }
            c->fn(&(KernelArgs){.tensors = tensors,
                                .offsets = own->offsets,
                                .keys = own->keys,
                                .batch = s->shapes.batch,
                                .lo = row,
                                .hi = row + 1});
        }
    }
}

typedef struct {
    const Session *s;
    Table *t;
    int step; /* of the plan, for run_rows */
} Job;

static void replay_stale(void *ctx, int64_t block)
{
    const Job *j = ctx;
    Table *t = j->t;
    int64_t end = (block + 1) * ROW_BLOCK < t->nstale ? (block + 1) * ROW_BLOCK : t->nstale;
    for (int64_t i = block * ROW_BLOCK; i < end; i++) {
        replay(j->s, t, t->stale[i], t->since[i], t->steps);
    }
}

static void replay_all(void *ctx, int64_t block)
{
    const Job *j = ctx;
    Table *t = j->t;
    int64_t end = (block + 1) * ROW_BLOCK < t->plan->rows ? (block + 1) * ROW_BLOCK : t->plan->rows;
    for (int64_t row = block * ROW_BLOCK; row < end; row++) {
        replay(j->s, t, row, t->done[row], t->steps);
        t->done[row] = (int32_t)t->steps;
    }
}

static int64_t blocks(int64_t n)
{
    return (n + ROW_BLOCK - 1) / ROW_BLOCK;
}

/* All rows have had all updates; a step under way goes on from there. */
static void make_even(Session *s, Table *t)
{
    pool_run(s->pool, blocks(t->plan->rows), replay_all, &(Job){s, t, 0});
}

static void start_over(Table *t)
{
    memset(t->done, 0, (size_t)t->plan->rows * sizeof *t->done);
    memset(t->named, 0, (size_t)t->plan->rows * sizeof *t->named);
    t->steps = 0;
}

void tables_settle(Session *s)
{
    for (int i = 0; i < s->ntables; i++) {
        if (s->tables[i].steps > 0) {
            make_even(s, &s->tables[i]);
            start_over(&s->tables[i]);
        }
    }
}

/* ---- a step ---- */

static void clear_row(const Session *s, const Table *t, int64_t row)
{
    for (int i = 0; i < t->plan->nvalues; i++) {
        int tensor = t->plan->values[i];
        memset(row_at(s, t, tensor, row), 0, (size_t)t->row_bytes[tensor]);
    }
}

static void clear_values(Session *s, Table *t)
{
    for (int64_t i = 0; !t->whole && i < t->nrows; i++) {
        clear_row(s, t, t->rows[i]);
    }
    for (int i = 0; t->whole && i < t->plan->nvalues; i++) {
        zero_tensor(s, t->plan->values[i]);
    }
    t->nrows = 0;
    t->whole = false;
}

bool tables_begin(Session *s, Error *e)
{
    for (int i = 0; i < s->ntables; i++) {
        Table *t = &s->tables[i];
        if (t->nrows > 0) { /* a step that failed */
            clear_values(s, t);
            memset(t->named, 0, (size_t)t->plan->rows * sizeof *t->named);
        }
        if (t->steps == MOST_STEPS) {
            make_even(s, t);
            start_over(t);
        }
        if (t->steps == t->capacity) {
            int64_t n = t->capacity ? 2 * t->capacity : 64;
            char *grown = realloc(t->numbers, (size_t)(n * (t->plan->nscalars + 1) * NUMBER));
            if (!grown) {
                return error_set(e, EXIT_RESOURCES, "no memory for the updates of '%s'",
                                 s->plan->tensors[t->plan->param].name);
            }
            t->numbers = grown;
            t->capacity = n;
        }
    }
    return true;
}

static void name_row(Table *t, int64_t row, bool sums)
{
    if (row < 0 || row >= t->plan->rows) {
        return; /* a cell of a partial tensor that holds no id */
    }
    if (sums && t->named[row] != t->steps + 1) {
        t->named[row] = (int32_t)t->steps + 1;
        t->rows[t->nrows++] = (int32_t)row;
    }
    if (t->plan->rest != REST_ALWAYS && t->done[row] < t->steps) {
        t->stale[t->nstale] = (int32_t)row;
        t->since[t->nstale++] = t->done[row];
        t->done[row] = (int32_t)t->steps;
    }
}

void tables_before(Session *s, int step)
{
    for (int i = 0; i < s->ntables; i++) {
        Table *t = &s->tables[i];
        t->nstale = 0;
        for (int k = 0; k < t->plan->nkeys; k++) {
            const PlanKeys *key = &t->plan->keys[k];
            if (key->step != step || (t->plan->rest == REST_ALWAYS && !key->sums)) {
                continue;
            }
            int64_t n = tensor_count(&s->shapes, key->ids);
            const void *ids = s->data[key->ids];
            bool wide = s->plan->tensors[key->ids].dtype == DT_I64;
            for (int64_t j = 0; j < n; j++) {
                int64_t id = wide ? ((const int64_t *)ids)[j] : ((const int32_t *)ids)[j];
                name_row(t, id + key->add, key->sums);
            }
        }
        if (t->nstale > 0) {
            pool_run(s->pool, blocks(t->nstale), replay_stale, &(Job){s, t, 0});
        }
    }
}

static void run_rows(void *ctx, int64_t block)
{
    const Job *j = ctx;
    const Table *t = j->t;
    const PlanCall *c = &j->s->plan->steps[j->step].call;
    const CallArgs *own = &j->s->calls[j->s->call_of[j->step]];
    KernelArgs a = {.tensors = own->tensors, .offsets = own->offsets, .keys = own->keys, .batch = j->s->shapes.batch};
    int64_t end = (block + 1) * ROW_BLOCK < t->nrows ? (block + 1) * ROW_BLOCK : t->nrows;
    for (int64_t i = block * ROW_BLOCK; i < end; i++) {
        a.lo = t->rows[i];
        a.hi = a.lo + 1;
        c->fn(&a);
    }
}

/* Whether a step belongs to the update of a table; it has then been run on the rows that need it, or is to be run on
 * all of them (*whole). */
static bool update(Session *s, Table *t, int step, bool *whole)
{
    int at = 0;
    while (at < t->plan->nsteps && t->plan->steps[at] != step) {
        at++;
    }
    if (at == t->plan->nsteps) {
        return false;
    }
    if (at == 0 && t->nrows * MOST_PART > t->plan->rows) {
        make_even(s, t);
        t->whole = true;
    }
    const PlanCall *c = &s->plan->steps[step].call;
    for (int i = 0; i < c->ntensors; i++) { /* now: a number may share its memory with others later */
        int scalar = scalar_of(t, c->tensors[i]);
        if (scalar >= 0) {
            size_t size = dtype_size[s->plan->tensors[c->tensors[i]].dtype];
            memcpy(number_at(t, t->steps, scalar), s->data[c->tensors[i]], size);
        }
    }
    *whole = t->whole;
    if (!t->whole) {
        pool_run(s->pool, blocks(t->nrows), run_rows, &(Job){s, t, step});
    }
    return true;
}

bool tables_update(Session *s, int step)
{
    bool whole = false;
    for (int i = 0; i < s->ntables; i++) {
        if (update(s, &s->tables[i], step, &whole)) {
            return !whole;
        }
    }
    return false;
}

bool tables_keep_zero(const Session *s, int tensor)
{
    for (int i = 0; i < s->ntables; i++) {
        for (int k = 0; k < s->tables[i].plan->nvalues; k++) {
            if (s->tables[i].plan->values[k] == tensor) {
                return true;
            }
        }
    }
    return false;
}

void tables_end(Session *s)
{
    for (int i = 0; i < s->ntables; i++) {
        Table *t = &s->tables[i];
        bool whole = t->whole;
        for (int64_t k = 0; k < t->nrows; k++) {
            t->done[t->rows[k]] = (int32_t)t->steps + 1;
        }
        t->steps++;
        clear_values(s, t);
        if (whole) {
            start_over(t);
        }
    }
}

/* ---- making them ---- */

/* Whether every tensor of the table uses the storage that the rows of the update are thought to be in. */
static bool is_in_place(const Session *s, const PlanTable *p)
{
    for (int k = 0; k < p->nsteps; k++) {
        const PlanCall *c = &s->plan->steps[p->steps[k]].call;
        if (c->ntensors > MOST_TENSORS || s->kept[s->root[c->tensors[0]]] == NULL) {
            return false;
        }
    }
    return true;
}

bool tables_new(Session *s, Error *e)
{
    const Plan *p = s->plan;
    s->tables = calloc((size_t)p->ntables + 1, sizeof *s->tables);
    for (int i = 0; s->tables && i < p->ntables; i++) {
        const PlanTable *x = &p->tables[i];
        if (!is_in_place(s, x)) {
            continue;
        }
        Table *t = &s->tables[s->ntables];
        size_t rows = (size_t)x->rows;
        *t = (Table){.plan = x,
                     .row_bytes = calloc((size_t)p->ntensors + 1, sizeof *t->row_bytes),
                     .done = calloc(rows, sizeof *t->done),
                     .named = calloc(rows, sizeof *t->named),
                     .rows = calloc(rows, sizeof *t->rows),
                     .stale = calloc(rows, sizeof *t->stale),
                     .since = calloc(rows, sizeof *t->since)};
        s->ntables++;
        if (!t->row_bytes || !t->done || !t->named || !t->rows || !t->stale || !t->since) {
            return error_set(e, EXIT_RESOURCES, "no memory for the rows of '%s'", p->tensors[x->param].name);
        }
        for (int k = 0; k < x->nstates; k++) {
            t->row_bytes[x->states[k]] = tensor_bytes(&s->shapes, x->states[k]) / x->rows;
        }
        for (int k = 0; k < x->nvalues; k++) {
            t->row_bytes[x->values[k]] = tensor_bytes(&s->shapes, x->values[k]) / x->rows;
        }
    }
    return s->tables || error_set(e, EXIT_RESOURCES, "no memory for a session of '%s'", p->name);
}

void tables_free(Session *s)
{
    for (int i = 0; i < s->ntables; i++) {
        Table *t = &s->tables[i];
        free(t->row_bytes);
        free(t->done);
        free(t->named);
        free(t->rows);
        free(t->stale);
        free(t->since);
        free(t->numbers);
    }
    free(s->tables);
    s->tables = NULL;
    s->ntables = 0;
}

void session_update_whole(Session *s)
{
    tables_settle(s);
    tables_free(s);
}
