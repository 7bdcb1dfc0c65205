/* The arena: random plans, in which no two tensors that live at one time may share a byte; and no memory at all. */
#include "../../ir/random.h"
#include "../../runtime/session_impl.h"
#include "test.h"
#include <sys/resource.h>

enum { NT = 60, NSTEPS = 80 };

static void nothing(const KernelArgs *k)
{
    (void)k;
}

static PlanAxis axes[] = {{.name = "B", .kind = PAX_BATCH, .parent = -1},
                          {.name = "T", .kind = PAX_RAGGED, .size = 50, .parent = -1}};
static PlanOffsets offsets[] = {{OFF_SIGNATURE, 0, {0}}, {OFF_SIGNATURE, 1, {1}}};

static void random_plan(uint64_t seed, Pool *pool)
{
    Error e;
    static PlanTensor tensors[NT];
    static PlanStep steps[NSTEPS];
    static int lists[NSTEPS][4];
    static char names[NT][16];
    uint64_t h = random_mix(seed);
    for (int t = 0; t < NT; t++) {
        h = random_mix(h + 1);
        snprintf(names[t], sizeof names[t], "t%d", t);
        bool is_ragged = h % 2 == 0;
        tensors[t] = (PlanTensor){.name = names[t],
                                  .dtype = h % 3 ? DT_F32 : DT_F64,
                                  .per_example = true,
                                  .alias = -1,
                                  .role = h % 11 == 0 ? PT_OUTPUT : PT_VALUE,
                                  .ndim = is_ragged ? 2 : 1,
                                  .dims = {0, 1},
                                  .order = {0, 1},
                                  .offsets = is_ragged,
                                  .fixed = 1};
    }
    for (int k = 0; k < NSTEPS; k++) {
        for (int j = 0; j < 4; j++) { /* near neighbours, so that lives are short */
            h = random_mix(h + 1);
            lists[k][j] = (int)((uint64_t)k * NT / NSTEPS + h % 8) % NT;
        }
        steps[k] = (PlanStep){.kind = STEP_CALL,
                              .call = {.fn = nothing,
                                       .name = "nothing",
                                       .split = SPLIT_NONE,
                                       .rows_of = -1,
                                       .ntensors = 4,
                                       .tensors = lists[k]}};
    }
    Plan p = {.name = "random",
              .naxes = 2,
              .axes = axes,
              .noffsets = 2,
              .offsets = offsets,
              .ntensors = NT,
              .tensors = tensors,
              .nsteps = NSTEPS,
              .steps = steps,
              .row = -1,
              .loss = -1};
    Session *s = session_new(&p, pool, 1, &e);
    for (int batch = 1; batch < 40; batch += 13) {
        int64_t rows[41] = {0};
        for (int b = 0; b < batch; b++) {
            h = random_mix(h + 1);
            rows[b + 1] = rows[b] + (int64_t)(h % 50);
        }
        Array a = {"T.offsets", DT_I64, 1, {batch + 1}, rows};
        Batch b = {.n = 1, .arrays = &a, .batch = batch};
        CHECK(session_run(s, &b, 0, &e));
        int64_t all = 0;
        for (int t = 0; t < NT; t++) {
            int64_t size = tensor_bytes(&s->shapes, t);
            all += s->sizes[t];
            CHECK(s->sizes[t] >= size + TENSOR_SLACK);
            for (int u = 0; s->data[t] && u < t; u++) {
                bool together = s->data[u] && s->first[t] <= s->last[u] && s->first[u] <= s->last[t];
                char *x = s->data[t], *y = s->data[u];
                CHECK((uintptr_t)x % TENSOR_ALIGN == 0);
                CHECK(!together || x + s->sizes[t] <= y || y + s->sizes[u] <= x);
            }
        }
        CHECK(session_peak_bytes(s) < all + (1 << 22)); /* the arena grows by whole 2 MiB pages */
    }
    session_free(s);
}

static void no_memory(Pool *pool)
{
    Error e;
    PlanTensor huge[] = {{.name = "huge",
                          .dtype = DT_F32,
                          .per_example = true,
                          .alias = -1,
                          .role = PT_OUTPUT,
                          .ndim = 1,
                          .dims = {0},
                          .order = {0},
                          .offsets = 0,
                          .fixed = INT64_C(1) << 44}};
    Plan p = {.name = "huge",
              .naxes = 2,
              .axes = axes,
              .noffsets = 2,
              .offsets = offsets,
              .ntensors = 1,
              .tensors = huge,
              .row = -1,
              .loss = -1};
    Batch b = {.batch = 3};
    Session *s = session_new(&p, pool, 1, &e);
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_RESOURCES, "use a smaller batch or shorter lists");
    b.batch = INT64_C(1) << 20;
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_RESOURCES, "too large for a batch of 1048576 examples");
    huge[0].fixed = 1 << 26;
#ifndef __SANITIZE_ADDRESS__ /* which needs its own address space */
#ifndef __SANITIZE_THREAD__
    struct rlimit before, limit;
    getrlimit(RLIMIT_AS, &before);
    limit = before;
    limit.rlim_cur = 512 << 20;
    setrlimit(RLIMIT_AS, &limit);
    b.batch = 3;
    CHECK_ERROR(session_run(s, &b, 0, &e), e, EXIT_RESOURCES, "768.0 MiB of working memory");
    setrlimit(RLIMIT_AS, &before);
    CHECK(session_run(s, &b, 0, &e)); /* and when there is memory again, it goes on */
#endif
#endif
    session_free(s);
    PlanTensor param = {.name = "w",
                        .dtype = DT_F64,
                        .alias = -1,
                        .role = PT_PARAM,
                        .ndim = 0,
                        .offsets = -1,
                        .fixed = INT64_C(1) << 50};
    p.tensors = &param;
    CHECK_ERROR(session_new(&p, pool, 1, &e) != NULL, e, EXIT_RESOURCES, "no memory for 'w'");
}

int main(void)
{
    Error e;
    Pool *pool = pool_new(1, &e);
    for (uint64_t seed = 0; seed < 100; seed++) {
        random_plan(seed, pool);
    }
    no_memory(pool);
    pool_free(pool);
    return report("memory");
}
