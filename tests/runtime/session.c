/* A session on the hand-made plan: values of every kind of step and layout, threads, draws, and bad batches. */
#include "../../ir/random.h"
#include "small_plan.h"
#include "test.h"

static const float *fetch(Session *s, const char *name, Array *a)
{
    Error e;
    if (!session_fetch(s, name, a, &e)) {
        printf("%s: %s\n", name, e.text);
        exit(1);
    }
    return a->data;
}

static void values_of_one_step(Pool *pool)
{
    Error e;
    Plan p = small_plan();
    Session *s = session_new(&p, pool, 7, &e);
    CHECK(s != NULL);
    int64_t count;
    float *emb = session_param(s, "E", &count), before[V * D];
    CHECK(count == V * D);
    for (int i = 0; i < V * D; i++) {
        emb[i] = before[i] = (float)i;
    }
    CHECK(session_set_scalar(s, "lr", 0.5));
    CHECK(!session_set_scalar(s, "item", 1));
    Batch b = small_batch();
    session_profile_begin(s);
    bool good = session_run(s, &b, 3, &e);
    if (!good) {
        printf("%s\n", e.text);
        exit(1);
    }
    const int ids[] = {1, 2, 3, 2, 9}, lengths[] = {2, 0, 3};
    Array a;
    const float *x = fetch(s, "x", &a);
    CHECK(a.ndim == 2 && a.dims[0] == 5 && a.dims[1] == D);
    for (int r = 0; r < 5; r++) {
        for (int d = 0; d < D; d++) {
            CHECK(x[r * D + d] == before[ids[r] * D + d]);
        }
    }
    free(a.data);
    const float *u = fetch(s, "u", &a);
    CHECK(a.ndim == 2 && a.dims[0] == 3);
    CHECK(u[0] == 3 + 6 && u[D] == 0 && u[2 * D] == 9 + 6 + 27);
    free(a.data);
    const float *h = fetch(s, "h", &a);
    CHECK(h[0] == 3 && h[D] == 6 + 1.5f && h[2 * D] == 9 && h[4 * D] == 27 + 0.5f * (6 + 0.5f * 9));
    float total = 0;
    for (int i = 0; i < 5 * D; i++) {
        total += h[i];
    }
    free(a.data);
    CHECK_NEAR(session_scalar(s, "loss"), total, 1e-4);
    const float *z = fetch(s, "z", &a);
    CHECK(a.ndim == 1 && a.dims[0] == 5 + 3 * D);
    const float expected[] = {0, 1, 100, 101, 102, 100, 101, 102, 0, 1, 2, 100, 101, 102};
    CHECK(memcmp(z, expected, sizeof expected) == 0);
    free(a.data);
    fetch(s, "n", &a);
    const int64_t sums[] = {5, 3, 0, 7, 4};
    CHECK(a.dtype == DT_I64 && memcmp(a.data, sums, sizeof sums) == 0);
    free(a.data);
    /* Two ragged axes: rows of the first lead, the second is padded to its bound. */
    const float *m = fetch(s, "a", &a);
    CHECK(a.ndim == 3 && a.dims[0] == 5 && a.dims[1] == K && a.dims[2] == 5);
    for (int ex = 0, row = 0; ex < 3; ex++) {
        for (int i = 0; i < lengths[ex]; i++, row++) {
            for (int c = 0; c < K; c++) {
                for (int j = 0; j < 5; j++) {
                    CHECK(m[(row * K + c) * 5 + j] == (j < lengths[ex] ? (float)(100 * c + 10 * i + j) : 0));
                }
            }
        }
    }
    free(a.data);
    const float *g = fetch(s, "grad.E", &a);
    CHECK(a.ndim == 2 && a.dims[0] == V && g[2 * D] == 12 && g[0] == 0);
    for (int i = 0; i < V * D; i++) {
        CHECK(emb[i] == before[i] - 0.5f * g[i]);
    }
    free(a.data);
    CHECK_ERROR(session_fetch(s, "nothing", &a, &e), e, EXIT_USAGE, "computes nothing called 'nothing'");
    CHECK(session_peak_bytes(s) > 0);
    const StepProfile *profile;
    CHECK(session_profile(s, &profile) == p.nsteps && profile[0].runs == 1 && profile[0].least == profile[0].seconds);
    session_free(s);
}

static void draws(Pool *pool)
{
    Error e;
    Plan p = small_plan();
    Session *s = session_new(&p, pool, 7, &e);
    session_set_scalar(s, "lr", 0);
    int64_t rows[] = {40, 50, 60}, given[5 * K];
    for (int i = 0; i < 5 * K; i++) {
        given[i] = i % V;
    }
    Batch b = small_batch();
    Array arrays[6];
    memcpy(arrays, b.arrays, 4 * sizeof *arrays);
    arrays[4] = (Array){"row", DT_I64, 1, {3}, rows};
    b.arrays = arrays;
    b.n = 5;
    CHECK(session_run(s, &b, 11, &e));
    const StepProfile *profile;
    CHECK(session_profile(s, &profile) > 0 && profile[0].runs == 0);
    Array a;
    fetch(s, "neg", &a);
    const int64_t *neg = a.data;
    uint64_t key = random_key(7, 11, "neg");
    for (int t = 0; t < 3; t++) {
        for (int c = 0; c < K; c++) {
            uint64_t hash = random_fold(random_fold(random_fold(key, 60), t), c);
            CHECK(neg[(2 + t) * K + c] == (int64_t)(random_uniform(hash) * V));
        }
    }
    free(a.data);
    arrays[5] = (Array){"neg", DT_I64, 2, {5, K}, given};
    b.n = 6;
    CHECK(session_run(s, &b, 11, &e));
    fetch(s, "neg", &a);
    CHECK(memcmp(a.data, given, sizeof given) == 0);
    free(a.data);
    given[3] = V;
    CHECK_ERROR(session_run(s, &b, 11, &e), e, EXIT_DATA, "'neg', row 1 (example 0, position 1 on axis 'T'): id 10");
    session_free(s);
}

/* The same bits from 1, 2 and 5 threads, step after step. */
static void threads_do_not_matter(void)
{
    enum { EXAMPLES = 200, STEPS = 3 };
    Error e;
    Plan p = small_plan();
    float first[V * D], first_loss = 0;
    int64_t offs[EXAMPLES + 1] = {0}, yoffs[EXAMPLES * 5 + 1] = {0};
    int64_t ids[EXAMPLES * 5], tags[EXAMPLES * 20];
    uint64_t state = 1;
    for (int b = 0; b < EXAMPLES; b++) {
        state = random_mix(state + 1);
        offs[b + 1] = offs[b] + (int64_t)(state % 6);
    }
    for (int64_t r = 0; r < offs[EXAMPLES]; r++) {
        state = random_mix(state + 1);
        ids[r] = (int64_t)(state % V);
        yoffs[r + 1] = yoffs[r] + (int64_t)(state >> 20) % 5;
        for (int64_t y = yoffs[r]; y < yoffs[r + 1]; y++) {
            tags[y] = y % V;
        }
    }
    Array arrays[] = {{"T.offsets", DT_I64, 1, {EXAMPLES + 1}, offs},
                      {"Y.offsets", DT_I64, 1, {offs[EXAMPLES] + 1}, yoffs},
                      {"item", DT_I64, 1, {offs[EXAMPLES]}, ids},
                      {"tag", DT_I64, 1, {yoffs[offs[EXAMPLES]]}, tags}};
    Batch b = {.n = 4, .arrays = arrays, .batch = EXAMPLES};
    int counts[] = {1, 2, 5};
    for (int k = 0; k < 3; k++) {
        Pool *pool = pool_new(counts[k], &e);
        Session *s = session_new(&p, pool, 1, &e);
        session_set_scalar(s, "lr", 0.01);
        for (int step = 0; step < STEPS; step++) {
            CHECK(session_run(s, &b, (uint64_t)step, &e));
        }
        float loss = (float)session_scalar(s, "loss");
        float *emb = session_param(s, "E", NULL);
        if (k == 0) {
            memcpy(first, emb, sizeof first);
            first_loss = loss;
        }
        CHECK(memcmp(first, emb, sizeof first) == 0 && loss == first_loss);
        session_free(s);
        pool_free(pool);
    }
}

static void bad_batches(Pool *pool)
{
    Error e;
    Plan p = small_plan();
    Session *s = session_new(&p, pool, 7, &e);
    Batch good = small_batch();
    CHECK_ERROR(session_run(s, &good, 0, &e), e, EXIT_DATA, "the batch lacks input 'lr'");
    session_set_scalar(s, "lr", 0);
    Array arrays[6];
    Batch b = {.n = 4, .arrays = arrays, .batch = 3};
#define RESET memcpy(arrays, good.arrays, 4 * sizeof *arrays)
    RESET;
    b.batch = 0;
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA, "no examples");
    b.batch = 4;
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA, "'T.offsets' has shape [4]: with 4 examples it needs 5");
    b.batch = 3;
    arrays[0].name = "S.offsets";
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA, "'S.offsets', which 'small' does not read");
    arrays[0].name = "item";
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA, "'item' twice");
    RESET;
    arrays[0] = arrays[3];
    b.n = 3;
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA, "lacks 'T.offsets'");
    b.n = 4;
    RESET;
    int64_t bad1[] = {0, 2, 1, 5}, bad2[] = {1, 2, 2, 5}, bad3[] = {0, 6, 6, 6}, bad4[] = {0, 2, 2, 4};
    arrays[0].data = bad1;
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA, "must not descend");
    arrays[0].data = bad2;
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA, "the first entry must be 0");
    arrays[0].data = bad3;
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA, "example 0 has 6 rows on axis 'T', whose bound is 5");
    arrays[0].data = bad4;
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA, "'Y.offsets' has shape [6]: with 4 rows it needs 5");
    RESET;
    arrays[2].dims[0] = 4;
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA, "'item' has shape [4] and must have [5]: one row per row of");
    RESET;
    int64_t bad_tags[] = {5, 1, 2, 7, 1, 1, -1, 1};
    arrays[3].data = bad_tags;
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA, "'tag', row 6 (example 2, position 3 on axis 'Y'): id -1");
    float fraction[] = {1, 2, 3, 2.5f, 9};
    RESET;
    arrays[2].data = fraction;
    arrays[2].dtype = DT_F32;
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_DATA,
                "'item', row 3 (example 2, position 1 on axis 'T'): the value "
                "is not a whole number");
    RESET;
    CHECK(session_run(s, &b, 0, &e)); /* the session survives them all */
    float *emb = session_param(s, "E", NULL);
    emb[D + 1] = 0.0f / (float)(emb[0] * 0);
    CHECK_ERROR(session_run(s, &b, 9, &e), e, EXIT_NONFINITE, "the loss is not a number at step 9: param 'E'");
    session_free(s);
}

/* Numbers changed at random: either a clear refusal or a run, and never a read outside an array. */
static void damaged_batches(Pool *pool)
{
    Error e;
    Plan p = small_plan();
    Session *s = session_new(&p, pool, 7, &e);
    session_set_scalar(s, "lr", 0);
    Batch good = small_batch();
    int refused = 0;
    for (int round = 0; round < 5000; round++) {
        Array arrays[4];
        memcpy(arrays, good.arrays, sizeof arrays);
        Batch b = {.n = 4, .arrays = arrays, .batch = good.batch};
        uint64_t h = random_fold(77, round);
        for (int i = 0; i < 4; i++) { /* copies, so that a sanitizer sees their ends */
            size_t bytes = (size_t)arrays[i].dims[0] * dtype_size[arrays[i].dtype];
            arrays[i].data = memcpy(malloc(bytes), good.arrays[i].data, bytes);
        }
        Array *a = &arrays[h % 4];
        int64_t at = (int64_t)(h >> 8) % a->dims[0], v = (int64_t)(h >> 20) % 13 - 2;
        v = h >> 60 == 0 ? INT64_MAX - (v > 0 ? v : 0) : v;
        if (a->dtype == DT_I32) {
            ((int32_t *)a->data)[at] = (int32_t)v;
        } else {
            ((int64_t *)a->data)[at] = v;
        }
        if (h >> 40 & 1) {
            arrays[h >> 41 & 3].dims[0] -= (int64_t)(h >> 43 & 1);
        }
        e.text[0] = '\0';
        if (!session_run(s, &b, 0, &e)) {
            refused++;
            CHECK(e.code == EXIT_DATA && strlen(e.text) > 20);
        }
        for (int i = 0; i < 4; i++) {
            free(arrays[i].data);
        }
    }
    CHECK(refused > 2000 && refused < 5000);
    session_free(s);
}

int main(void)
{
    Error e;
    Pool *pool = pool_new(0, &e);
    CHECK(pool != NULL && pool_threads(pool) >= 1);
    values_of_one_step(pool);
    draws(pool);
    bad_batches(pool);
    damaged_batches(pool);
    pool_free(pool);
    threads_do_not_matter();
    return report("session");
}
