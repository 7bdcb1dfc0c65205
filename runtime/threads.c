/* The thread pool: persistent workers that take items from a shared counter. Who runs an item does not matter, since
 * no result depends on it; how work is cut into items is decided elsewhere and never by the number of threads.
 *
 * A region is opened, worked on by the caller and whoever joins, and closed. A worker joins by counting itself in
 * and then looking whether the region is still open; the caller closes and then waits until nobody is inside. With
 * sequentially consistent atomics one of the two always sees the other, so a worker that wakes late costs nothing.
 * Between regions workers spin for tens of microseconds, which covers the gap between two kernels, then sleep. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "runtime.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

enum { CACHE_LINE = 64, MAX_THREADS = 1024 };

struct Pool {
    _Alignas(CACHE_LINE) atomic_llong next; /* first item nobody has taken */
    _Alignas(CACHE_LINE) atomic_uint generation;
    atomic_bool open;
    atomic_int inside; /* workers that have counted themselves in */
    atomic_int sleeping;
    atomic_bool stop;
    _Alignas(CACHE_LINE) int64_t n;
    void (*fn)(void *, int64_t);
    void *ctx;
    int threads; /* the caller included */
    int started;
    int64_t spin_ns;
    struct Worker *workers;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

/* Denormals cost thirty times the time of other numbers and mean nothing here: flush them, as inputs and as results. */
static unsigned flush_denormals(void)
{
#if defined(__SSE2__)
    unsigned old = _mm_getcsr();
    _mm_setcsr(old | 0x8040);
    return old;
#else
    return 0;
#endif
}

static void restore_denormals(unsigned old)
{
#if defined(__SSE2__)
    _mm_setcsr(old);
#else
    (void)old;
#endif
}

static void relax(void)
{
#if defined(__SSE2__)
    _mm_pause();
#endif
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void take_items(Pool *p)
{
    for (;;) {
        int64_t item = atomic_fetch_add(&p->next, 1);
        if (item >= p->n) {
            return;
        }
        p->fn(p->ctx, item);
    }
}

/* Waits until the generation is no longer `seen`; returns the new one. */
static unsigned wait_for_work(Pool *p, unsigned seen)
{
    int64_t until = now_ns() + p->spin_ns;
    do {
        for (int i = 0; i < 64; i++) {
            unsigned g = atomic_load(&p->generation);
            if (g != seen) {
                return g;
            }
            relax();
        }
    } while (now_ns() < until);
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleeping, 1);
    while (atomic_load(&p->generation) == seen) {
        pthread_cond_wait(&p->wake, &p->lock);
    }
    atomic_fetch_sub(&p->sleeping, 1);
    pthread_mutex_unlock(&p->lock);
    return atomic_load(&p->generation);
}

static _Thread_local int worker_number; /* the caller of a region is 0 */

int pool_worker(void)
{
    return worker_number;
}

struct Worker {
    pthread_t thread;
    Pool *pool;
    int number;
};

static void *worker(void *arg)
{
    const struct Worker *w = arg;
    Pool *p = w->pool;
    worker_number = w->number;
    flush_denormals();
    unsigned seen = 0; /* generations count from 0, so a worker that starts late joins the region in progress */
    for (;;) {
        seen = wait_for_work(p, seen);
        if (atomic_load(&p->stop)) {
            return NULL;
        }
        atomic_fetch_add(&p->inside, 1);
        if (atomic_load(&p->open)) {
            take_items(p);
        }
        atomic_fetch_sub(&p->inside, 1);
    }
}

static void announce(Pool *p)
{
    atomic_fetch_add(&p->generation, 1);
    if (atomic_load(&p->sleeping) > 0) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
}

/* Cores the process may run on: its affinity mask, and what a container's quota leaves of it. */
static int usable_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (f) {
        double quota, period;
        if (fscanf(f, "%lf %lf", &quota, &period) == 2 && period > 0 && quota > 0) {
            int allowed = (int)(quota / period + 0.999);
            n = allowed >= 1 && allowed < n ? allowed : n;
        }
        fclose(f);
    }
    return n > 0 ? n : 1;
}

Pool *pool_new(int threads, Error *e)
{
    if (threads < 0 || threads > MAX_THREADS) {
        error_set(e, EXIT_USAGE, "%d threads: choose 1 to %d, or 0 for one per core", threads, MAX_THREADS);
        return NULL;
    }
    int cores = usable_cores();
    Pool *p = aligned_alloc(CACHE_LINE, sizeof *p);
    if (p) {
        memset(p, 0, sizeof *p);
        p->threads = threads ? threads : cores;
        p->workers = calloc((size_t)p->threads, sizeof *p->workers);
    }
    if (!p || !p->workers) {
        free(p);
        error_set(e, EXIT_RESOURCES, "no memory for the thread pool");
        return NULL;
    }
    /* Spinning takes the core from someone else when there are more threads than cores. */
    p->spin_ns = p->threads <= cores ? 50000 : 1000;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (int i = 1; i < p->threads; i++) {
        p->workers[i].pool = p;
        p->workers[i].number = i;
        int status = pthread_create(&p->workers[i].thread, NULL, worker, &p->workers[i]);
        if (status) {
            error_set(e, EXIT_RESOURCES, "thread %d of %d could not be started (%s): use fewer with --threads", i + 1,
                      p->threads, strerror(status));
            pool_free(p);
            return NULL;
        }
        p->started++;
    }
    return p;
}

void pool_free(Pool *p)
{
    if (!p) {
        return;
    }
    atomic_store(&p->stop, true);
    announce(p);
    for (int i = 1; i <= p->started; i++) {
        pthread_join(p->workers[i].thread, NULL);
    }
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->wake);
    free(p->workers);
    free(p);
}

int pool_threads(const Pool *p)
{
    return p->threads;
}

void pool_run(Pool *p, int64_t n, void (*fn)(void *ctx, int64_t item), void *ctx)
{
    unsigned old = flush_denormals();
    if (n <= 1 || p->started == 0) {
        for (int64_t i = 0; i < n; i++) {
            fn(ctx, i);
        }
        restore_denormals(old);
        return;
    }
    p->n = n;
    p->fn = fn;
    p->ctx = ctx;
    atomic_store(&p->next, 0);
    atomic_store(&p->open, true);
    announce(p);
    take_items(p);
    atomic_store(&p->open, false);
    for (int spins = 0; atomic_load(&p->inside) > 0; spins++) {
        if (spins < 4096) {
            relax();
        } else {
            sched_yield();
        }
    }
    restore_denormals(old);
}
