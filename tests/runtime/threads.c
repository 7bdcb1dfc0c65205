/* The pool: every item runs exactly once, over many short regions with gaps, and with more threads than cores. */
#include "runtime.h"
#include "test.h"
#include <math.h>
#include <stdatomic.h>
#include <time.h>

enum { ITEMS = 1000 };

typedef struct {
    atomic_int seen[ITEMS];
    double in, out[ITEMS];
} Work;

static void visit(void *ctx, int64_t item)
{
    Work *w = ctx;
    atomic_fetch_add(&w->seen[item], 1);
    volatile double x = w->in;
    w->out[item] = x * 0.5; /* a denormal number is flushed */
}

static void stress(int threads)
{
    Error e;
    Pool *p = pool_new(threads, &e);
    CHECK(p && pool_threads(p) == threads);
    static Work w;
    uint64_t state = 12345;
    for (int round = 0; round < 3000; round++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        int n = round % 7 == 0 ? 0 : (int)(state >> 33) % (round % 100 == 0 ? ITEMS : 9);
        memset(&w, 0, sizeof w);
        pool_run(p, n, visit, &w);
        for (int i = 0; i < ITEMS; i++) {
            CHECK(w.seen[i] == (i < n));
        }
        if (round % 500 == 0) { /* long enough for workers to fall asleep */
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        }
    }
    pool_free(p);
}

static void denormals(void)
{
    Error e;
    Pool *p = pool_new(3, &e);
    static Work w;
    w.in = 3e-308;
    pool_run(p, ITEMS, visit, &w);
    for (int i = 0; i < ITEMS; i++) {
        CHECK(w.out[i] == 0);
    }
    volatile double x = 3e-308;
    CHECK(x * 0.5 != 0); /* the caller's own arithmetic is as before */
    pool_free(p);
}

int main(void)
{
    Error e;
    int counts[] = {1, 2, 3, 8};
    for (int i = 0; i < 4; i++) {
        stress(counts[i]);
    }
    for (int i = 0; i < 200; i++) { /* creation and destruction, also before a worker has started */
        pool_free(pool_new(4, &e));
    }
    denormals();
    CHECK_ERROR(pool_new(-1, &e) != NULL, e, EXIT_USAGE, "-1 threads");
    return report("threads");
}
