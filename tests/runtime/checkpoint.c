/* Checkpoints: training that is stopped, killed and resumed ends in the same bits as training that is not. */
#include "checkpoint.h"
#include "../../ir/random.h"
#include "safetensors.h"
#include "small_plan.h"
#include "test.h"
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char path[] = "checkpoint-test-XXXXXX", weights[] = "weights-test-XXXXXX";
enum { STEPS = 8 };

static void train(Session *s, uint64_t from, uint64_t to)
{
    Error e;
    Batch b = small_batch();
    session_set_scalar(s, "lr", 0.01);
    for (uint64_t step = from; step < to; step++) {
        CHECK(session_run(s, &b, step, &e));
    }
}

static void resume(Pool *pool)
{
    Error e;
    Plan p = small_plan();
    Session *a = session_new(&p, pool, 5, &e), *b = session_new(&p, pool, 5, &e), *c = session_new(&p, pool, 6, &e);
    float u0[2] = {1, 2}, rows[6] = {10, 11, 20, 21, 30, 31}, got[6];
    int64_t keys[] = {9, -4, 7}, ask[] = {7, 1000, 9};
    KeyState *k = keystate_new("u", DT_F32, 2, u0, &e), *k2 = keystate_new("u", DT_F32, 2, u0, &e);
    CHECK(keystate_scatter(k, 3, keys, rows, &e) && keystate_count(k) == 3);
    train(a, 0, STEPS);
    train(b, 0, 3);
    const char *meta[] = {"spec.hash", "abc", NULL};
    CHECK(checkpoint_write(b, path, &(TrainPlace){.seed = 5, .step = 3, .epoch = 1, .position = 24}, 1, &k, meta, &e));
    TrainPlace place;
    CHECK(checkpoint_read(c, path, &place, 1, &k2, &e));
    CHECK(place.seed == 5 && place.step == 3 && place.epoch == 1 && place.position == 24);
    train(c, place.step, STEPS);
    CHECK(memcmp(session_param(a, "E", NULL), session_param(c, "E", NULL), V * D * sizeof(float)) == 0);
    uint8_t known[3];
    keystate_gather(k2, 3, ask, got, known);
    CHECK(known[0] && !known[1] && known[2]);
    CHECK(got[0] == 30 && got[1] == 31 && got[2] == 1 && got[3] == 2 && got[4] == 10);
    TensorFile *f = tensor_file_open(path, &e);
    CHECK(f && strcmp(tensor_file_metadata(f, "spec.hash"), "abc") == 0);
    tensor_file_close(f);

    /* A checkpoint serves as weights; weights do not serve as a checkpoint. */
    CHECK(weights_read(b, path, NULL, &e));
    CHECK(weights_write(a, weights, 0, NULL, NULL, &e));
    CHECK(weights_read(b, weights, NULL, &e));
    CHECK(memcmp(session_param(a, "E", NULL), session_param(b, "E", NULL), V * D * sizeof(float)) == 0);
    CHECK_ERROR(checkpoint_read(b, weights, &place, 0, NULL, &e), e, EXIT_DATA, "it is not a checkpoint");
    CHECK(session_adopt(c, a, &e));
    session_free(a);
    session_free(b);
    session_free(c);
    keystate_free(k);
    keystate_free(k2);
}

static void refusals(Pool *pool)
{
    Error e;
    Plan p = small_plan();
    Session *s = session_new(&p, pool, 5, &e);
    float x[V * D] = {0};
    Array arrays[] = {{"E", DT_F32, 2, {V, D}, x}, {"R", DT_F32, 2, {V, D}, x}, {"strange", DT_F32, 1, {1}, x}};
    CHECK(tensor_file_write(weights, 2, arrays, NULL, &e));
    CHECK_ERROR(weights_read(s, weights, NULL, &e), e, EXIT_DATA, "'R' has shape [10, 3], the model wants [3, 10]");
    arrays[1].dims[0] = D;
    arrays[1].dims[1] = V;
    CHECK(tensor_file_write(weights, 3, arrays, NULL, &e));
    CHECK_ERROR(weights_read(s, weights, NULL, &e), e, EXIT_DATA, "'strange' is no param of 'small'");
    const char *const also[] = {"other", "strange", NULL};
    CHECK(weights_read(s, weights, also, &e));
    CHECK(tensor_file_write(weights, 1, arrays, NULL, &e));
    CHECK_ERROR(weights_read(s, weights, NULL, &e), e, EXIT_DATA, "param 'R' is missing");
    x[4] = 0.0f / x[0];
    CHECK(tensor_file_write(weights, 1, arrays, NULL, &e));
    CHECK_ERROR(weights_read(s, weights, NULL, &e), e, EXIT_DATA, "'E', element 4 is not a number");
    session_free(s);
}

static void keyed_states(void)
{
    enum { KEYS = 5000 };
    Error e;
    double zero = 0, value;
    KeyState *k = keystate_new("m", DT_F64, 1, &zero, &e), *other = keystate_new("m", DT_F64, 1, &zero, &e);
    for (int64_t i = 0; i < KEYS; i++) {
        int64_t key = (int64_t)random_mix((uint64_t)i % 3000);
        value = (double)i;
        CHECK(keystate_scatter(k, 1, &key, &value, &e));
    }
    CHECK(keystate_count(k) == 3000);
    for (int64_t i = 2999; i >= 0; i--) { /* the other way round: saved, they are equal */
        int64_t key = (int64_t)random_mix((uint64_t)i);
        keystate_gather(k, 1, &key, &value, NULL);
        CHECK(value == (double)(i < KEYS - 3000 ? i + 3000 : i));
        CHECK(keystate_scatter(other, 1, &key, &value, &e));
    }
    Array a[2], b[2];
    CHECK(keystate_save(k, a, &e) && keystate_save(other, b, &e));
    CHECK(memcmp(a[0].data, b[0].data, 3000 * 8) == 0 && memcmp(a[1].data, b[1].data, 3000 * 8) == 0);
    CHECK(keystate_load(other, &a[0], &a[1], &e) && keystate_count(other) == 3000);
    a[1].dims[1] = 2;
    CHECK_ERROR(keystate_load(other, &a[0], &a[1], &e), e, EXIT_DATA, "another shape");
    for (int i = 0; i < 2; i++) {
        free(a[i].data);
        free((void *)a[i].name);
        free(b[i].data);
        free((void *)b[i].name);
    }
    keystate_free(k);
    keystate_free(other);
}

/* A process that writes checkpoints without end is killed at any moment; what it leaves is always whole. */
static void killed(void)
{
    Error e;
    for (int round = 0; round < 12; round++) {
        int written[2]; /* the child says when it has written the first one: however slow the machine is */
        char byte;
        CHECK(pipe(written) == 0);
        pid_t child = fork();
        if (child == 0) {
            Plan p = small_plan();
            Pool *pool = pool_new(1, &e);
            Session *s = session_new(&p, pool, 5, &e);
            for (uint64_t step = 0;; step++) {
                float *emb = session_param(s, "E", NULL);
                for (int i = 0; i < V * D; i++) {
                    emb[i] = (float)step;
                }
                checkpoint_write(s, path, &(TrainPlace){.seed = 5, .step = step}, 0, NULL, NULL, &e);
                if (step == 0 && write(written[1], "", 1) != 1) {
                    _exit(1);
                }
            }
        }
        CHECK(read(written[0], &byte, 1) == 1);
        close(written[0]);
        close(written[1]);
        nanosleep(&(struct timespec){.tv_nsec = 5000000 + 1700000 * round}, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        Plan p = small_plan();
        Pool *pool = pool_new(1, &e);
        Session *s = session_new(&p, pool, 5, &e);
        TrainPlace place;
        CHECK(checkpoint_read(s, path, &place, 0, NULL, &e));
        float *emb = session_param(s, "E", NULL);
        for (int i = 0; i < V * D; i++) {
            CHECK(emb[i] == (float)place.step);
        }
        char temporary[100];
        snprintf(temporary, sizeof temporary, "%s.tmp.%ld", path, (long)child);
        unlink(temporary);
        session_free(s);
        pool_free(pool);
    }
}

int main(void)
{
    Error e;
    close(mkstemp(path));
    close(mkstemp(weights));
    Pool *pool = pool_new(2, &e);
    resume(pool);
    refusals(pool);
    pool_free(pool);
    keyed_states();
    killed();
    unlink(path);
    unlink(weights);
    return report("checkpoint");
}
