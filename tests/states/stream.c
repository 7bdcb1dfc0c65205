/* The order of a stream over generated data: every example once, a key's in time order and at most one piece of it to a
 * step, whole pieces, levels that do not grow; the same for the same seed and epoch; few steps that are not full. */
#include "stream.h"
#include "../runtime/test.h"
#include "data/synth.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t n, *seen, *next; /* per example: times seen; per user: next position */
    int64_t full;
} Count;

static void check_step(Feed *f, const StreamStep *x, int64_t chunk, int64_t batch, Count *c)
{
    int64_t longest = x->levels[1];
    CHECK(x->n > 0 && x->n <= batch && x->nlevels <= chunk && x->levels[0] == 0 && x->levels[x->nlevels] == x->n);
    c->full += x->n > batch - chunk;
    for (int64_t k = 0; k < x->nlevels; k++) {
        int64_t size = x->levels[k + 1] - x->levels[k];
        CHECK(size > 0 && size <= longest);
        longest = size;
        for (int64_t r = 0; r < size; r++) {
            int64_t at = x->levels[k] + r, user = x->keys[at], key;
            Error e = {0};
            CHECK(feed_key(f, "user", x->examples[at], &key, &e) && key == user);
            CHECK(k == 0 ||
                  (x->keys[x->levels[k - 1] + r] == user && x->examples[at] == x->examples[x->levels[k - 1] + r] + 1));
            CHECK(x->first[at] == (c->next[user] == 0));
            CHECK(x->last[at] == (k + 1 == x->nlevels || r >= x->levels[k + 2] - x->levels[k + 1]));
            CHECK(k == 0 || c->next[user] > 0);
            c->next[user]++;
            c->seen[x->examples[at]]++;
        }
    }
    for (int64_t a = 0; a < x->levels[1]; a++) {
        for (int64_t b = 0; b < a; b++) {
            CHECK(x->keys[a] != x->keys[b]);
        }
    }
}

static void check_epoch(Feed *f, int64_t users, int64_t chunk, int64_t batch, int64_t epoch)
{
    Error e = {0};
    Stream *t = stream_open(f, "user", chunk, batch, PART_TRAIN, PART_ALL, &e),
           *again = stream_open(f, "user", chunk, batch, PART_TRAIN, PART_ALL, &e);
    Count c = {.n = feed_rows(f)};
    c.seen = calloc((size_t)c.n, sizeof *c.seen);
    c.next = calloc((size_t)users, sizeof *c.next);
    if (!t || !again || !c.seen || !c.next) {
        printf("%s\n", e.text);
        exit(1);
    }
    stream_begin(again, true, 3, epoch + 1, &e); /* what was laid out before does not matter */
    int64_t steps = stream_begin(t, true, 3, epoch, &e);
    CHECK(steps == stream_begin(again, true, 3, epoch, &e));
    for (int64_t k = 0; k < steps; k++) {
        const StreamStep *x = stream_step(t, k), *y = stream_step(again, k);
        CHECK(x->n == y->n && memcmp(x->examples, y->examples, (size_t)x->n * sizeof *x->examples) == 0);
        check_step(f, x, chunk, batch, &c);
    }
    for (int64_t i = 0; i < c.n; i++) {
        CHECK(c.seen[i] == 1);
    }
    CHECK(chunk < 16 || c.full >= steps - 2); /* with many keys to fill it, a step is full */
    printf("chunk %lld, batch %lld: %lld examples in %lld steps\n", (long long)chunk, (long long)batch, (long long)c.n,
           (long long)steps);
    free(c.seen);
    free(c.next);
    stream_close(t);
    stream_close(again);
}

int main(int argc, char **argv)
{
    Error e = {0};
    Text diagnostics = {0};
    SynthReport synth;
    char dir[] = "/tmp/heddle-stream-XXXXXX", data[64], command[96];
    if (argc != 3 || !mkdtemp(dir)) {
        fprintf(stderr, "usage: test_stream SPEC STD_DIR\n");
        return 2;
    }
    snprintf(data, sizeof data, "%s/data", dir);
    ProjectOptions o = {.spec = argv[1], .std_dir = argv[2], .real = DT_F32, .cache_dir = ""};
    Project *p = project_open(&o, &diagnostics);
    DataSet *ds = data_synth("xor", data, &(SynthOptions){.users = 60, .noise = -1, .seed = 2}, &synth, &e)
                      ? data_open(data, false, &e)
                      : NULL;
    bool ok = p && ds && project_use_data(p, ds, &(FeedOptions){0}, &e);
    Program *prog = ok ? project_compile(p, PROGRAM_RANK, &diagnostics) : NULL;
    Feed *train = prog ? feed_open(p, prog, PART_TRAIN, &e) : NULL,
         *all = train ? feed_open(p, prog, PART_ALL, &e) : NULL;
    if (!all) {
        printf("%s%s\n", e.text, diagnostics.s ? diagnostics.s : "");
        return 1;
    }
    check_epoch(train, ds->users, 16, 64, 0);
    check_epoch(train, ds->users, 16, 16, 1);
    check_epoch(train, ds->users, 5, 32, 2);
    check_epoch(train, ds->users, 1, 40, 0);
    check_epoch(all, ds->users, 16, 64, 0);
    /* Up to validation, from validation: what lies before, and not what lies behind. */
    int64_t of_part[4] = {0}, got[4] = {0}, from_valid = 0;
    for (int64_t i = 0; i < feed_rows(all); i++) {
        of_part[feed_part(all, i)]++;
    }
    CHECK(of_part[PART_TRAIN] == feed_rows(train) && of_part[PART_VALID] > 0 && of_part[PART_TEST] > 0);
    Stream *until = stream_open(all, "user", 1, 8, PART_TRAIN, PART_VALID, &e),
           *from = stream_open(all, "user", 1, 8, PART_VALID, PART_TEST, &e);
    int64_t steps = stream_begin(until, false, 0, 0, &e);
    for (int64_t k = 0; k < steps; k++) {
        const StreamStep *x = stream_step(until, k);
        for (int64_t i = 0; i < x->n; i++) {
            got[feed_part(all, x->examples[i])]++;
        }
    }
    CHECK(got[PART_TRAIN] == of_part[PART_TRAIN] && got[PART_VALID] == of_part[PART_VALID] && got[PART_TEST] == 0);
    steps = stream_begin(from, false, 0, 0, &e);
    for (int64_t k = 0; k < steps; k++) {
        from_valid += stream_step(from, k)->n;
    }
    CHECK(from_valid == of_part[PART_VALID] + of_part[PART_TEST]);
    CHECK_ERROR(stream_open(all, "lab", 1, 8, PART_TRAIN, PART_ALL, &e) != NULL, e, EXIT_SPEC, "input 'lab' is no key");
    CHECK_ERROR(stream_open(all, "user", 16, 8, PART_TRAIN, PART_ALL, &e) != NULL, e, EXIT_USAGE, "has no room for 16");
    stream_close(until);
    stream_close(from);
    feed_close(train);
    feed_close(all);
    program_free(prog);
    data_close(ds);
    project_close(p);
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command) != 0 || report("stream");
}
