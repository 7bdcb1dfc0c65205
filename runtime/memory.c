/* Memory of one step. Every tensor that does not outlive the step gets a place in one arena:
 *
 *   step      0    1    2    3    4
 *   x         ├─────────┤                     places are found first-fit in the order of birth; what dies leaves a
 *   q              ├────┤                     hole for those born later
 *   s                   ├────┤
 *
 * Births and deaths are known when the session is made, sizes only with the batch, so placing is redone for each
 * batch; it costs a few microseconds. The arena itself only grows. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "../ir/fault.h"
#include "session_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int step_calls(const PlanStep *step, const PlanCall **calls)
{
    switch (step->kind) {
    case STEP_CALL:
        *calls = &step->call;
        return 1;
    case STEP_SCAN:
    case STEP_TILES:
    case STEP_ROWS:
        *calls = step->calls;
        return step->ncalls;
    default:
        *calls = NULL;
        return 0;
    }
}

/* What the machine, or the container, has in all. The system would promise more and kill the process later. */
static int64_t physical_bytes(void)
{
    static int64_t known; /* every thread computes the same */
    if (known == 0) {
        int64_t bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * (int64_t)sysconf(_SC_PAGESIZE);
        long long limit;
        FILE *f = fopen("/sys/fs/cgroup/memory.max", "r");
        if (f && fscanf(f, "%lld", &limit) == 1 && limit > 0 && limit < bytes) {
            bytes = limit;
        }
        if (f) {
            fclose(f);
        }
        known = bytes;
    }
    return known;
}

enum { HUGE_PAGE = 1 << 21 };

static int64_t whole_pages(int64_t bytes)
{
    return (bytes + HUGE_PAGE - 1) & ~(int64_t)(HUGE_PAGE - 1);
}

void *memory_new(int64_t bytes)
{
    if (bytes < 0 || bytes > physical_bytes()) {
        return NULL;
    }
    int64_t size = with_slack(bytes);
    void *p = aligned_alloc(TENSOR_ALIGN, (size_t)size);
    return p ? memset(p, 0, (size_t)size) : NULL;
}

bool is_tiled(const PlanTensor *t)
{
    return t->tile_dim > 0 || t->in_rows;
}

bool outlives_step(const Plan *p, int t)
{
    const PlanTensor *x = &p->tensors[t];
    for (int i = 0; i < p->ntables; i++) {
        for (int k = 0; k < p->tables[i].nvalues; k++) {
            if (p->tables[i].values[k] == t) {
                return true;
            }
        }
    }
    return !x->per_example && (x->role == PT_PARAM || x->role == PT_STATE || (x->role == PT_INPUT && x->ndim == 0));
}

/* ---- aliases ---------------------------------------------------------------------------------------------- */

/* Whether tensor t is read at or after the moment when `writer` is first written, other than by the same call. In
 * place is then wrong: the reader wants the value before the update. */
static bool is_read_after_write(const Plan *p, int t, int written)
{
    bool began = false;
    for (int k = 0; k < p->nsteps; k++) {
        const PlanCall *calls;
        int n = step_calls(&p->steps[k], &calls);
        bool in_scan = p->steps[k].kind == STEP_SCAN || p->steps[k].kind == STEP_ROWS, began_here = false;
        for (int i = 0; i < n; i++) {
            began_here = began_here || calls[i].tensors[0] == written;
        }
        for (int i = 0; i < n; i++) {
            bool after = began || (in_scan && n > 1 && began_here);
            for (int j = 1; after && j < calls[i].ntensors; j++) {
                if (calls[i].tensors[j] == t) {
                    return true;
                }
            }
        }
        const PlanExtern *x = p->steps[k].kind == STEP_EXTERN ? p->steps[k].ext : NULL;
        for (int j = 0; x && j < x->ntensors; j++) {
            if (x->tensors[j] == t && began && j < x->ntensors - x->nout) {
                return true;
            }
            began_here = began_here || (x->tensors[j] == written && j >= x->ntensors - x->nout);
        }
        began = began || began_here;
    }
    return false;
}

static void resolve_aliases(Session *s)
{
    const Plan *p = s->plan;
    for (int t = 0; t < p->ntensors; t++) {
        s->root[t] = t;
    }
    for (int t = 0; t < p->ntensors; t++) {
        int to = p->tensors[t].alias;
        if (to < 0 || to >= p->ntensors || to == t) {
            continue;
        }
        if (!is_read_after_write(p, to, t)) {
            s->root[t] = to;
        } else if (outlives_step(p, to)) {
            s->updated[s->nupdated++] = t;
        }
    }
    for (int t = 0; t < p->ntensors; t++) {
        int r = s->root[t];
        for (int guard = 0; s->root[r] != r && guard < p->ntensors; guard++) {
            r = s->root[r];
        }
        s->root[t] = r;
    }
}

/* ---- liveness --------------------------------------------------------------------------------------------- */

static void touch(Session *s, int tensor, int step)
{
    int r = s->root[tensor];
    s->first[r] = step < s->first[r] ? step : s->first[r];
    s->last[r] = step > s->last[r] ? step - FAULT(35) : s->last[r];
}

static void find_lives(Session *s)
{
    const Plan *p = s->plan;
    int end = p->nsteps > 0 ? p->nsteps - 1 : 0;
    for (int t = 0; t < p->ntensors; t++) {
        s->first[t] = p->nsteps;
        s->last[t] = -1;
        s->writer[t] = -1;
    }
    for (int k = 0; k < p->nsteps; k++) {
        const PlanCall *calls;
        int n = step_calls(&p->steps[k], &calls);
        for (int i = 0; i < n; i++) {
            for (int j = 0; j < calls[i].ntensors; j++) {
                touch(s, calls[i].tensors[j], k);
            }
            s->writer[calls[i].tensors[0]] = k;
        }
        const PlanExtern *x = p->steps[k].kind == STEP_EXTERN ? p->steps[k].ext : NULL;
        for (int j = 0; x && j < x->ntensors; j++) {
            touch(s, x->tensors[j], k);
            if (j >= x->ntensors - x->nout) {
                s->writer[x->tensors[j]] = k;
            }
        }
    }
    for (int k = 0; k < p->nsteps; k++) { /* a level goes on where the one before has already been to the end */
        const PlanStep *step = &p->steps[k];
        for (int t = 0; step->kind == STEP_LEVELS && t < p->ntensors; t++) {
            if (s->root[t] == t && s->first[t] <= k + step->nsteps && s->last[t] > k) {
                touch(s, t, s->first[t] > k ? k : s->first[t]);
                touch(s, t, s->last[t] < k + step->nsteps ? k + step->nsteps : s->last[t]);
            }
        }
        for (int c = 0; step->kind == STEP_LEVELS && c < step->ncarries; c++) {
            touch(s, step->carries[c].from, k + step->nsteps);
            touch(s, step->carries[c].to, k);
        }
    }
    for (int t = 0; t < p->ntensors; t++) {
        PlanRole role = p->tensors[t].role;
        bool is_bound = role == PT_INPUT || (role == PT_STATE && p->tensors[t].per_example);
        if (is_bound) {
            s->is_read[t] = s->last[s->root[t]] >= 0;
            touch(s, t, 0); /* bound, and checked, before the first step */
        }
        if (role == PT_OUTPUT || t == p->loss || t == p->row || (role == PT_STATE && p->tensors[t].per_example)) {
            touch(s, t, 0); /* an output that no step writes holds 0 */
            touch(s, t, end);
        } else if (p->tensors[t].is_draw && s->writer[t] >= 0) {
            touch(s, t, end); /* a recorded batch holds its draws */
        }
    }
    for (int i = 0; i < s->nupdated; i++) {
        touch(s, s->updated[i], end);
    }
}

bool memory_init(Session *s, Error *e)
{
    const Plan *p = s->plan;
    size_t n = (size_t)p->ntensors + 1, k = (size_t)p->nsteps + 2;
    s->root = calloc(n, sizeof(int));
    s->updated = calloc(n, sizeof(int));
    s->first = calloc(n, sizeof(int));
    s->last = calloc(n, sizeof(int));
    s->writer = calloc(n, sizeof(int));
    s->births = calloc(n, sizeof(int));
    s->is_read = calloc(n, sizeof(bool));
    s->deaths = calloc(n, sizeof(int));
    s->birth_of = calloc(k, sizeof(int));
    s->death_of = calloc(k, sizeof(int));
    s->sizes = calloc(n, sizeof(int64_t));
    s->places = calloc(n, sizeof(int64_t));
    s->holes = calloc(2 * n, sizeof(Hole));
    if (!s->root || !s->updated || !s->first || !s->last || !s->writer || !s->births || !s->is_read || !s->deaths ||
        !s->birth_of || !s->death_of || !s->sizes || !s->places || !s->holes) {
        return error_set(e, EXIT_RESOURCES, "no memory for the plan of '%s'", p->name);
    }
    resolve_aliases(s);
    find_lives(s);
    int nb = 0, nd = 0;
    for (int step = 0; step <= p->nsteps; step++) {
        s->birth_of[step] = nb;
        s->death_of[step] = nd;
        for (int t = 0; t < p->ntensors; t++) {
            if (s->root[t] != t || outlives_step(p, t) || s->last[t] < 0 || is_tiled(&p->tensors[t])) {
                continue;
            }
            if (s->first[t] == step) {
                s->births[nb++] = t;
            }
            if (s->last[t] == step) {
                s->deaths[nd++] = t;
            }
        }
    }
    s->birth_of[p->nsteps + 1] = nb;
    s->death_of[p->nsteps + 1] = nd;
    return true;
}

/* ---- the arena -------------------------------------------------------------------------------------------- */

/* First hole that is large enough; else the end, where a last hole that reaches it is stretched. */
static int64_t take_place(Hole *holes, int *n, int64_t size, int64_t *end)
{
    for (int i = 0; i < *n; i++) {
        if (holes[i].size < size) {
            continue;
        }
        int64_t at = holes[i].at;
        holes[i].at += size;
        holes[i].size -= size;
        if (holes[i].size == 0) {
            memmove(&holes[i], &holes[i + 1], (size_t)(*n - i - 1) * sizeof *holes);
            (*n)--;
        }
        return at;
    }
    int64_t at = *end;
    if (*n > 0 && holes[*n - 1].at + holes[*n - 1].size == *end) {
        at = holes[--*n].at;
    }
    *end = at + size;
    return at;
}

static void give_place(Hole *holes, int *n, int64_t at, int64_t size)
{
    int i = 0;
    while (i < *n && holes[i].at < at) {
        i++;
    }
    if (i > 0 && holes[i - 1].at + holes[i - 1].size == at) {
        holes[i - 1].size += size;
        if (i < *n && at + size == holes[i].at) {
            holes[i - 1].size += holes[i].size;
            memmove(&holes[i], &holes[i + 1], (size_t)(*n - i - 1) * sizeof *holes);
            (*n)--;
        }
    } else if (i < *n && at + size == holes[i].at) {
        holes[i].at = at;
        holes[i].size += size;
    } else {
        memmove(&holes[i + 1], &holes[i], (size_t)(*n - i) * sizeof *holes);
        holes[i] = (Hole){at, size};
        (*n)++;
    }
}

static bool too_large(const Session *s, int64_t bytes, Error *e)
{
    return error_set(e, EXIT_RESOURCES,
                     "a step on %lld examples needs %.1f MiB of working memory and this machine does not give it (it "
                     "has %.1f MiB in all): use a smaller batch or shorter lists",
                     (long long)s->shapes.batch, (double)bytes / 1048576, (double)physical_bytes() / 1048576);
}

static bool arena_grow(Session *s, int64_t need, Error *e)
{
    if (need <= s->arena_bytes) {
        return true;
    }
    if (s->arena) {
        munmap(s->arena, (size_t)s->arena_bytes);
        s->arena = NULL;
        s->arena_bytes = 0;
    }
    if (need > physical_bytes()) {
        return too_large(s, need, e);
    }
    int64_t bytes = whole_pages(need + need / 8);
    void *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) {
        bytes = (need + 0xfff) & ~INT64_C(0xfff);
        p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    if (p == MAP_FAILED) {
        return too_large(s, need, e);
    }
    madvise(p, (size_t)bytes, MADV_HUGEPAGE);
    s->arena = p;
    s->arena_bytes = bytes;
    return true;
}

bool memory_reserve(Session *s, Error *e)
{
    const Plan *p = s->plan;
    int nholes = 0;
    int64_t end = 0;
    for (int t = 0; t < p->ntensors; t++) {
        int64_t bytes = tensor_bytes(&s->shapes, t);
        if (bytes < 0 || bytes > INT64_MAX / 8) {
            return error_set(e, EXIT_RESOURCES,
                             "tensor '%s' is too large for a batch of %lld examples: use a smaller batch",
                             p->tensors[t].name, (long long)s->shapes.batch);
        }
        s->sizes[t] = with_slack(bytes);
    }
    for (int step = 0; step <= p->nsteps; step++) {
        for (int i = s->birth_of[step]; i < s->birth_of[step + 1]; i++) {
            int t = s->births[i];
            if (end > INT64_MAX / 2) {
                return too_large(s, end, e);
            }
            s->places[t] = take_place(s->holes, &nholes, s->sizes[t], &end);
        }
        for (int i = s->death_of[step]; i < s->death_of[step + 1]; i++) {
            give_place(s->holes, &nholes, s->places[s->deaths[i]], s->sizes[s->deaths[i]]);
        }
    }
    if (!arena_grow(s, end, e)) {
        return false;
    }
#ifdef HEDDLE_FAULTS
    if (s->arena) { /* fresh memory is zero: who relies on that is to be noticed */
        memset(s->arena, 0xff, (size_t)s->arena_bytes);
    }
#endif
    for (int t = 0; t < p->ntensors; t++) {
        int r = s->root[t];
        bool is_absent = s->last[r] < 0 || is_tiled(&p->tensors[r]);
        s->data[t] = s->kept[r] ? s->kept[r] : is_absent ? NULL : s->arena + s->places[r];
    }
    int64_t peak = s->kept_total + s->arena_bytes + s->private_bytes;
    s->peak = peak > s->peak ? peak : s->peak;
    return true;
}

bool memory_scratch(Session *s, int64_t bytes, int64_t npointers, Error *e)
{
    if (npointers > s->scratch_ntensors) {
        void **p = realloc(s->scratch_tensors, (size_t)npointers * sizeof *p);
        if (!p) {
            return too_large(s, bytes, e);
        }
        s->scratch_tensors = p;
        s->scratch_ntensors = npointers;
    }
    if (bytes > s->private_bytes) {
        free(s->scratch);
        s->private_bytes = 0;
        bool large = bytes >= HUGE_PAGE / 2; /* worth 4 % where tiles of 200 positions go through it */
        bytes = large ? whole_pages(bytes) : bytes;
        s->scratch = bytes <= physical_bytes() ? aligned_alloc(large ? HUGE_PAGE : TENSOR_ALIGN, (size_t)bytes) : NULL;
        if (!s->scratch) {
            return too_large(s, bytes, e);
        }
        if (large) {
            madvise(s->scratch, (size_t)bytes, MADV_HUGEPAGE);
        }
        s->private_bytes = bytes;
        int64_t peak = s->kept_total + s->arena_bytes + s->private_bytes;
        s->peak = peak > s->peak ? peak : s->peak;
    }
    return true;
}

void memory_free(Session *s)
{
    if (s->arena) {
        munmap(s->arena, (size_t)s->arena_bytes);
    }
    free(s->scratch);
    free(s->scratch_tensors);
    free(s->root);
    free(s->updated);
    free(s->first);
    free(s->last);
    free(s->writer);
    free(s->births);
    free(s->is_read);
    free(s->deaths);
    free(s->birth_of);
    free(s->death_of);
    free(s->sizes);
    free(s->places);
    free(s->holes);
}
