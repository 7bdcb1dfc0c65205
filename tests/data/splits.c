/* Which targets a recipe gives to which part, on a log small enough to see: by time, by user, by a column; leaks are
 * counted and refused. */
#include "../runtime/test.h"
#include "data/builder.h"
#include "data/split_report.h"

#include <stdlib.h>
#include <unistd.h>

/* user, item, time, part (0 train, 1 valid, 2 test, 3 history) */
static const int events[][4] = {{0, 0, 10, 0}, {0, 1, 20, 0}, {0, 2, 30, 2}, {1, 0, 5, 3},  {1, 3, 15, 0},
                                {1, 1, 25, 1}, {1, 2, 35, 2}, {2, 4, 12, 0}, {2, 0, 40, 2}, {2, 1, 50, 0}};
enum { EVENTS = 10, CLEAN = 9 }; /* the last one is training behind a test target of its user */

static DataSet *make(const char *out, int n)
{
    Error e = {0};
    static const char *const parts[] = {"train", "valid", "test", "history"};
    Builder *b = builder_new(out, DATA_LOG, false, &e);
    int user = builder_vocab(b, "user", &e), item = builder_vocab(b, "item", &e), part = builder_vocab(b, "part", &e);
    for (int k = 0; k < 5; k++) {
        char name[] = {(char)('a' + k), 0};
        if (k < 3) {
            names_add(builder_names(b, user), name, 1);
        }
        if (k < 4) {
            names_add(builder_names(b, part), parts[k], strlen(parts[k]));
        }
        names_add(builder_names(b, item), name, 1);
    }
    int c_item = builder_column(b, TABLE_MAIN, "item", SHAPE_SCALAR, DT_I32, item, &e);
    int c_ts = builder_column(b, TABLE_MAIN, "ts", SHAPE_SCALAR, DT_I64, -1, &e);
    int c_part = builder_column(b, TABLE_MAIN, "part", SHAPE_SCALAR, DT_I32, part, &e);
    for (int k = 0; k < n; k++) {
        builder_int(b, c_item, events[k][1]);
        builder_int(b, c_ts, events[k][2]);
        builder_int(b, c_part, events[k][3]);
        builder_row(b, TABLE_MAIN, events[k][0]);
    }
    CHECK(builder_finish(b, NULL, &e));
    DataSet *ds = data_open(out, true, &e);
    if (!ds) {
        printf("%s\n", e.text);
        exit(1);
    }
    return ds;
}

/* The targets of the part are the rows listed, ended by -1. */
static void expect(const DataSet *ds, const char *recipe, DataPart part, const int *rows)
{
    static const DataInput history = {"item", DT_I64, "item", false, false, 1, {{DIM_RAGGED, "T", 0, 2, NULL}}};
    Error e = {0};
    DataRecipe r;
    CHECK(recipe_parse(recipe, &r, &e));
    Loader *l = loader_new(ds, &r, part, 1, &history, &e);
    if (!l) {
        printf("%s: %s\n", recipe, e.text);
        failures++;
        return;
    }
    int n = 0;
    for (; rows[n] >= 0; n++) {
        bool there = loader_row(l, n) == rows[n] && loader_user(l, n) == events[rows[n]][0];
        if (!there) {
            printf("%s part %d: target %d is row %lld of user %lld\n", recipe, part, n, (long long)loader_row(l, n),
                   (long long)loader_user(l, n));
        }
        CHECK(there);
    }
    CHECK(loader_count(l) == n);
    Batch b;
    if (n > 0 && loader_count(l) == n && loader_batch(l, 0, n, &b, &e)) {
        const Array *offsets = batch_find(&b, "T.offsets"), *items = batch_find(&b, "item");
        int64_t at = 0;
        for (int k = 0; k < n; k++) { /* at most the two events before the target */
            int first = rows[k];
            while (first > 0 && rows[k] - first < 2 && events[first - 1][0] == events[rows[k]][0]) {
                first--;
            }
            CHECK(((const int64_t *)offsets->data)[k + 1] - ((const int64_t *)offsets->data)[k] == rows[k] - first);
            for (; first < rows[k]; first++, at++) {
                CHECK(((const int64_t *)items->data)[at] == events[first][1]);
            }
        }
    }
    loader_free(l);
}

static void check_by_user(const DataSet *ds)
{
    Error e = {0};
    DataRecipe r;
    int part_of[3] = {-1, -1, -1}, total = 0;
    CHECK(recipe_parse("events,by=user,valid=0.3,test=0.3", &r, &e));
    for (int part = PART_TRAIN; part <= PART_TEST; part++) {
        Loader *l = loader_new(ds, &r, (DataPart)part, 0, NULL, &e);
        for (int64_t k = 0; l && k < loader_count(l); k++) {
            int64_t u = loader_user(l, k);
            CHECK(part_of[u] < 0 || part_of[u] == part);
            part_of[u] = part;
            total++;
        }
        loader_free(l);
    }
    CHECK(total == CLEAN);
}

static void check_report(const DataSet *ds, const char *recipe, int64_t leaks, int64_t before, int64_t train)
{
    Error e = {0};
    DataRecipe r;
    SplitReport report;
    CHECK(recipe_parse(recipe, &r, &e) && split_report(ds, &r, &report, &e));
    CHECK(report.leaks == leaks && report.parts[PART_TEST].before_training == before);
    CHECK(report.parts[PART_TRAIN].targets == train && report.has_time);
}

/* Candidates of the users above: user, item, time, label, part; in no order. */
static const int shown[][5] = {{1, 4, 25, 1, 2}, {0, 3, 30, 0, 0}, {0, 4, 11, 1, 0}, {2, 1, 5, 0, 1}, {1, 0, 99, 0, 2}};
enum { SHOWN = 5 };

static DataSet *make_candidates(const char *out, bool leaky)
{
    Error e = {0};
    Builder *b = builder_new(out, DATA_LOG, false, &e);
    static const char *const parts[] = {"train", "valid", "test"};
    int user = builder_vocab(b, "user", &e), item = builder_vocab(b, "item", &e), part = builder_vocab(b, "part", &e);
    for (int k = 0; k < 5; k++) {
        char name[] = {(char)('a' + k), 0};
        names_add(builder_names(b, item), name, 1);
        if (k < 3) {
            names_add(builder_names(b, user), name, 1);
            names_add(builder_names(b, part), parts[k], strlen(parts[k]));
        }
    }
    int c_item = builder_column(b, TABLE_MAIN, "item", SHAPE_SCALAR, DT_I32, item, &e);
    int c_ts = builder_column(b, TABLE_MAIN, "ts", SHAPE_SCALAR, DT_I64, -1, &e);
    int s_user = builder_column(b, TABLE_CANDIDATE, "user", SHAPE_SCALAR, DT_I32, user, &e);
    int s_item = builder_column(b, TABLE_CANDIDATE, "item", SHAPE_SCALAR, DT_I32, item, &e);
    int s_ts = builder_column(b, TABLE_CANDIDATE, "ts", SHAPE_SCALAR, DT_I64, -1, &e);
    int s_lab = builder_column(b, TABLE_CANDIDATE, "lab", SHAPE_SCALAR, DT_F32, -1, &e);
    int s_part = builder_column(b, TABLE_CANDIDATE, "part", SHAPE_SCALAR, DT_I32, part, &e);
    for (int k = 0; k < EVENTS; k++) {
        builder_int(b, c_item, events[k][1]);
        builder_int(b, c_ts, events[k][2]);
        builder_row(b, TABLE_MAIN, events[k][0]);
    }
    for (int k = 0; k < SHOWN; k++) {
        builder_int(b, s_user, shown[k][0]);
        builder_int(b, s_item, shown[k][1]);
        builder_int(b, s_ts, shown[k][2]);
        builder_real(b, s_lab, shown[k][3]);
        builder_int(b, s_part, leaky && k == 4 ? 0 : shown[k][4]);
        builder_row(b, TABLE_CANDIDATE, -1);
    }
    CHECK(builder_finish(b, NULL, &e));
    DataSet *ds = data_open(out, true, &e);
    if (!ds) {
        printf("%s\n", e.text);
        exit(1);
    }
    return ds;
}

/* Every candidate of the part with what it may see: the last two events of its user that are earlier. */
static void expect_candidates(const DataSet *ds, const char *recipe, DataPart part, const int *rows)
{
    static const DataInput in[] = {{"item", DT_I64, "item", false, false, 1, {{DIM_RAGGED, "T", 0, 2, NULL}}},
                                   {"cand", DT_I64, "item", false, false, 0, {{0}}},
                                   {"user", DT_I64, "user", false, false, 0, {{0}}},
                                   {"now", DT_I64, NULL, false, false, 0, {{0}}},
                                   {"lab", DT_F32, NULL, true, false, 0, {{0}}}};
    Error e = {0};
    DataRecipe r;
    Batch b;
    CHECK(recipe_parse(recipe, &r, &e));
    Loader *l = loader_new(ds, &r, part, 5, in, &e);
    int n = 0;
    while (rows[n] >= 0) {
        n++;
    }
    if (!l || loader_count(l) != n || (n > 0 && !loader_batch(l, 0, n, &b, &e))) {
        printf("%s part %d: %lld candidates %s\n", recipe, part, l ? (long long)loader_count(l) : -1LL, e.text);
        failures++;
        loader_free(l);
        return;
    }
    int64_t at = 0;
    for (int k = 0; k < n; k++) {
        const int *c = shown[rows[k]];
        CHECK(((const int64_t *)batch_find(&b, "cand")->data)[k] == c[1]);
        CHECK(((const int64_t *)batch_find(&b, "user")->data)[k] == c[0]);
        CHECK(((const int64_t *)batch_find(&b, "now")->data)[k] == c[2]);
        CHECK((int)((const float *)batch_find(&b, "lab")->data)[k] == c[3]);
        int seen[EVENTS], nseen = 0;
        for (int i = 0; i < EVENTS; i++) {
            if (events[i][0] == c[0] && events[i][2] < c[2]) {
                seen[nseen++] = events[i][1];
            }
        }
        int first = nseen > 2 ? nseen - 2 : 0;
        const int64_t *offsets = batch_find(&b, "T.offsets")->data;
        CHECK(offsets[k + 1] - offsets[k] == nseen - first);
        for (; first < nseen; first++, at++) {
            CHECK(((const int64_t *)batch_find(&b, "item")->data)[at] == seen[first]);
        }
    }
    loader_free(l);
}

static void check_candidates(const char *clean, const char *leaky)
{
    Error e = {0};
    DataRecipe r;
    DataSet *ds = make_candidates(clean, false);
    recipe_default(ds, &r);
    CHECK(r.kind == RECIPE_CANDIDATES);
    expect_candidates(ds, "candidates,valid=0,test=0", PART_TRAIN, (const int[]){0, 1, 2, 3, 4, -1});
    expect_candidates(ds, "candidates,part=part", PART_TRAIN, (const int[]){1, 2, -1});
    expect_candidates(ds, "candidates,part=part", PART_VALID, (const int[]){3, -1});
    expect_candidates(ds, "candidates,part=part", PART_TEST, (const int[]){0, 4, -1});
    expect_candidates(ds, "candidates,valid_from=20,test_from=30", PART_TEST, (const int[]){1, 4, -1});
    expect_candidates(ds, "candidates,valid_from=20,test_from=30", PART_VALID, (const int[]){0, -1});
    check_report(ds, "candidates,part=part", 0, 1, 2);
    data_close(ds);
    ds = make_candidates(leaky, true);
    CHECK(recipe_parse("candidates,part=part", &r, &e));
    CHECK_ERROR(loader_new(ds, &r, PART_TRAIN, 0, NULL, &e) != NULL, e, EXIT_DATA, "1 training targets are later");
    check_report(ds, "candidates,part=part", 1, 1, 3);
    data_close(ds);
}

int main(void)
{
    char scratch[] = "/tmp/heddle-test-splits-XXXXXX", clean[64], leaky[64], command[128];
    if (!mkdtemp(scratch)) {
        return 2;
    }
    snprintf(clean, sizeof clean, "%s/clean", scratch);
    snprintf(leaky, sizeof leaky, "%s/leaky", scratch);
    DataSet *ds = make(clean, CLEAN);
    expect(ds, "events,part=part", PART_TRAIN, (const int[]){0, 1, 4, 7, -1});
    expect(ds, "events,part=part", PART_VALID, (const int[]){5, -1});
    expect(ds, "events,part=part", PART_TEST, (const int[]){2, 6, 8, -1});
    expect(ds, "events,part=part,first=2", PART_TEST, (const int[]){2, 6, -1});
    expect(ds, "events,valid_from=25,test_from=35", PART_TRAIN, (const int[]){0, 1, 3, 4, 7, -1});
    expect(ds, "events,valid_from=25,test_from=35", PART_VALID, (const int[]){2, 5, -1});
    expect(ds, "events,valid_from=25,test_from=35", PART_TEST, (const int[]){6, 8, -1});
    expect(ds, "events,test_from=25", PART_VALID, (const int[]){-1});
    expect(ds, "events,by=time,valid=0.23,test=0.12", PART_TEST, (const int[]){8, -1}); /* 9 events: one, and two */
    expect(ds, "events,by=time,valid=0.23,test=0.12", PART_VALID, (const int[]){2, 6, -1});
    check_by_user(ds);
    check_report(ds, "events,part=part", 0, 0, 4);
    check_report(ds, "events,test_from=25", 0, 0, 5);
    check_report(ds, "next", 0, 0, 3);
    data_close(ds);

    ds = make(leaky, EVENTS);
    Error e = {0};
    DataRecipe r;
    CHECK(recipe_parse("events,part=part", &r, &e));
    for (int part = PART_TRAIN; part <= PART_TEST; part++) {
        CHECK_ERROR(loader_new(ds, &r, (DataPart)part, 0, NULL, &e) != NULL, e, EXIT_DATA,
                    "1 training targets are later");
    }
    expect(ds, "events,part=part,leak=allow", PART_TRAIN, (const int[]){0, 1, 4, 7, 9, -1});
    check_report(ds, "events,part=part", 1, 3, 5);
    data_close(ds);
    char more[2][64];
    snprintf(more[0], sizeof more[0], "%s/shown", scratch);
    snprintf(more[1], sizeof more[1], "%s/shown-leaky", scratch);
    check_candidates(more[0], more[1]);
    ds = make(strcat(clean, "2"), CLEAN);
    CHECK(recipe_parse("candidates", &r, &e));
    CHECK_ERROR(loader_new(ds, &r, PART_TRAIN, 0, NULL, &e) != NULL, e, EXIT_DATA, "has none");
    data_close(ds);
    CHECK_ERROR(recipe_parse("events,by=item", &r, &e), e, EXIT_USAGE, "user or time");
    CHECK_ERROR(recipe_parse("events,leak=no", &r, &e), e, EXIT_USAGE, "leak is allow");
    CHECK_ERROR(recipe_parse("events,valid_from=5", &r, &e), e, EXIT_USAGE, "needs test_from");
    CHECK_ERROR(recipe_parse("events,valid_from=5,test_from=4", &r, &e), e, EXIT_USAGE, "later than");
    CHECK_ERROR(recipe_parse("events,most=0", &r, &e), e, EXIT_USAGE, "whole number from 1");
    CHECK_ERROR(recipe_parse("events,most=4,by=time", &r, &e), e, EXIT_USAGE, "no by or part");
    CHECK_ERROR(recipe_parse("events,part=fold,by=user", &r, &e), e, EXIT_USAGE, "there is no by");
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    CHECK(system(command) == 0);
    return report("splits");
}
