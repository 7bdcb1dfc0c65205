/* The order of a stream. Keys begin in a shuffled order and go on, a piece a step, until their examples are used up;
 * then the next key begins. Long keys would be left over at the end, a few examples to a step; so a key with as many
 * pieces as there are steps to come begins at once. An epoch's steps are a function of (data, chunk, batch, seed,
 * epoch). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* qsort_r */
#endif
#include "stream.h"
#include "../../ir/random.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t key, time, example;
} Entry;

typedef struct {
    int64_t first, n; /* entries */
    int64_t taken;    /* of this epoch */
    bool begun;
} Run; /* of one key */

typedef struct {
    int64_t run, from, n;
} Piece;

struct Stream {
    int64_t chunk, batch, nruns, left; /* left: examples of the epoch that are in no step yet */
    Entry *entries;
    Run *runs;
    int64_t *order, *longest, *active; /* runs: as they begin; by falling length; under way */
    uint64_t *random;
    Piece *pieces;
    int64_t npieces, pieces_room, nsteps, steps_room;
    int64_t *steps; /* first piece of each step, nsteps + 1 entries */
    StreamStep now;
    int64_t *examples, *keys, *levels;
    bool *first, *last;
};

static int by_key(const void *a, const void *b)
{
    const Entry *x = a, *y = b;
    return x->key != y->key     ? (x->key > y->key) - (x->key < y->key)
           : x->time != y->time ? (x->time > y->time) - (x->time < y->time)
                                : (x->example > y->example) - (x->example < y->example);
}

/* Entries of each key that count: from its first to the last of the part. Keys without are dropped. */
static void find_runs(Stream *t, const Feed *f, int64_t n, DataPart until)
{
    int64_t kept = 0;
    for (int64_t i = 0, next; i < n; i = next) {
        int64_t end = until == PART_ALL ? 1 : 0;
        for (next = i; next < n && t->entries[next].key == t->entries[i].key; next++) {
            end = until == PART_ALL || feed_part(f, t->entries[next].example) == until ? next + 1 - i : end;
        }
        if (end > 0) {
            t->runs[t->nruns++] = (Run){.first = kept, .n = end};
            memmove(t->entries + kept, t->entries + i, (size_t)end * sizeof *t->entries);
            kept += end;
        }
    }
}

static int by_length(const void *a, const void *b, void *stream)
{
    const Run *runs = ((Stream *)stream)->runs;
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b, p = runs[x].n, q = runs[y].n;
    return p != q ? (p < q) - (p > q) : (x > y) - (x < y);
}

static int by_random(const void *a, const void *b, void *stream)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    uint64_t p = ((Stream *)stream)->random[x], q = ((Stream *)stream)->random[y];
    return p != q ? (p > q) - (p < q) : (x > y) - (x < y);
}

Stream *stream_open(Feed *f, const char *key, int64_t chunk, int64_t batch, DataPart from, DataPart until, Error *e)
{
    if (batch < chunk) {
        error_set(e, EXIT_USAGE,
                  "a step of %lld examples has no room for %lld of one key: raise --batch, or lower the chunk",
                  (long long)batch, (long long)chunk);
        return NULL;
    }
    Stream *t = calloc(1, sizeof *t);
    int64_t n = feed_rows(f), entries = 0;
    size_t size = (size_t)n + 1, most = (size_t)batch + 1;
    bool ok = t != NULL;
    if (ok) {
        t->chunk = chunk;
        t->batch = batch;
        t->entries = malloc(size * sizeof *t->entries);
        t->runs = malloc(size * sizeof *t->runs);
        t->order = malloc(size * sizeof *t->order);
        t->longest = malloc(size * sizeof *t->longest);
        t->active = malloc(most * sizeof *t->active);
        t->random = malloc(size * sizeof *t->random);
        t->examples = malloc(most * sizeof *t->examples);
        t->keys = malloc(most * sizeof *t->keys);
        t->levels = malloc((most + 1) * sizeof *t->levels);
        t->first = malloc(most * sizeof *t->first);
        t->last = malloc(most * sizeof *t->last);
        ok = t->entries && t->runs && t->order && t->longest && t->active && t->random && t->examples && t->keys &&
             t->levels && t->first && t->last;
    }
    if (!ok) {
        error_set(e, EXIT_RESOURCES, "no memory for the order of %lld examples", (long long)n);
    }
    for (int64_t i = 0; ok && i < n; i++) {
        if (feed_part(f, i) >= from) {
            t->entries[entries] = (Entry){.time = feed_time(f, i), .example = i};
            ok = feed_key(f, key, i, &t->entries[entries++].key, e);
        }
    }
    if (!ok) {
        stream_close(t);
        return NULL;
    }
    qsort(t->entries, (size_t)entries, sizeof *t->entries, by_key);
    find_runs(t, f, entries, until);
    for (int64_t r = 0; r < t->nruns; r++) {
        t->longest[r] = r;
    }
    qsort_r(t->longest, (size_t)t->nruns, sizeof *t->longest, by_length, t);
    return t;
}

void stream_close(Stream *t)
{
    if (t) {
        free(t->entries);
        free(t->runs);
        free(t->order);
        free(t->longest);
        free(t->active);
        free(t->random);
        free(t->pieces);
        free(t->steps);
        free(t->examples);
        free(t->keys);
        free(t->levels);
        free(t->first);
        free(t->last);
        free(t);
    }
}

/* ---- an epoch ---------------------------------------------------------------------------------------------- */

static int64_t next_piece(const Stream *t, int64_t run)
{
    int64_t left = t->runs[run].n - t->runs[run].taken;
    return left < t->chunk ? left : t->chunk;
}

static bool take(Stream *t, int64_t run, int64_t n)
{
    if (t->npieces == t->pieces_room) {
        int64_t room = 2 * t->pieces_room + 64;
        Piece *more = realloc(t->pieces, (size_t)room * sizeof *more);
        if (!more) {
            return false;
        }
        t->pieces = more;
        t->pieces_room = room;
    }
    t->pieces[t->npieces++] = (Piece){run, t->runs[run].taken, n};
    t->runs[run].taken += n;
    t->left -= n;
    return true;
}

/* The run that begins next, -1: all have. */
static int64_t next_run(const Stream *t, int64_t *order, int64_t *longest)
{
    while (*order < t->nruns && t->runs[t->order[*order]].begun) {
        ++*order;
    }
    while (*longest < t->nruns && t->runs[t->longest[*longest]].begun) {
        ++*longest;
    }
    if (*order == t->nruns) {
        return -1;
    }
    int64_t run = t->longest[*longest], pieces = (t->runs[run].n + t->chunk - 1) / t->chunk;
    return pieces >= (t->left + t->batch - 1) / t->batch ? run : t->order[*order];
}

static bool lay_out(Stream *t)
{
    int64_t nactive = 0, order = 0, longest = 0;
    while (t->left > 0) {
        int64_t room = t->batch, still = 0, run;
        if (t->nsteps + 1 >= t->steps_room) {
            int64_t more = 2 * t->steps_room + 64;
            int64_t *steps = realloc(t->steps, (size_t)more * sizeof *steps);
            if (!steps) {
                return false;
            }
            t->steps = steps;
            t->steps_room = more;
        }
        t->steps[t->nsteps++] = t->npieces;
        for (int64_t i = 0; i < nactive; i++) {
            int64_t n = next_piece(t, t->active[i]);
            if (n <= room) {
                room -= n;
                if (!take(t, t->active[i], n)) {
                    return false;
                }
            }
        }
        while (room > 0 && nactive < t->batch && (run = next_run(t, &order, &longest)) >= 0) {
            int64_t n = next_piece(t, run);
            if (n > room) {
                break;
            }
            room -= n;
            t->runs[run].begun = true;
            t->active[nactive++] = run;
            if (!take(t, run, n)) {
                return false;
            }
        }
        for (int64_t i = 0; i < nactive; i++) {
            if (next_piece(t, t->active[i]) > 0) {
                t->active[still++] = t->active[i];
            }
        }
        nactive = still;
    }
    t->steps[t->nsteps] = t->npieces;
    return true;
}

int64_t stream_begin(Stream *t, bool shuffle, uint64_t seed, int64_t epoch, Error *e)
{
    uint64_t key = random_key(seed, (uint64_t)epoch, "order of keys");
    t->left = t->npieces = t->nsteps = 0;
    for (int64_t r = 0; r < t->nruns; r++) {
        t->order[r] = r;
        t->random[r] = shuffle ? random_fold(key, t->entries[t->runs[r].first].key) : 0;
        t->runs[r].taken = 0;
        t->runs[r].begun = false;
        t->left += t->runs[r].n;
    }
    qsort_r(t->order, (size_t)t->nruns, sizeof *t->order, by_random, t);
    if (!lay_out(t)) {
        error_set(e, EXIT_RESOURCES, "no memory for the order of an epoch");
        return -1;
    }
    return t->nsteps;
}

const StreamStep *stream_step(Stream *t, int64_t step)
{
    Piece *pieces = t->pieces + t->steps[step];
    int64_t n = t->steps[step + 1] - t->steps[step], at = 0, level = 0;
    for (int64_t i = 1; i < n; i++) { /* long pieces first, so that levels do not grow; equal ones as they were */
        Piece p = pieces[i];
        int64_t k = i;
        for (; k > 0 && pieces[k - 1].n < p.n; k--) {
            pieces[k] = pieces[k - 1];
        }
        pieces[k] = p;
    }
    for (; pieces[0].n > level; level++) {
        t->levels[level] = at;
        for (int64_t i = 0; i < n && pieces[i].n > level; i++, at++) {
            const Run *run = &t->runs[pieces[i].run];
            const Entry *x = &t->entries[run->first + pieces[i].from + level];
            t->examples[at] = x->example;
            t->keys[at] = x->key;
            t->first[at] = pieces[i].from + level == 0;
            t->last[at] = level == pieces[i].n - 1;
        }
    }
    t->levels[level] = at;
    t->now = (StreamStep){.n = at,
                          .examples = t->examples,
                          .keys = t->keys,
                          .first = t->first,
                          .last = t->last,
                          .nlevels = level,
                          .levels = t->levels};
    return &t->now;
}
