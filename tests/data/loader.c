/* The loader against a second, plain computation: a random log is kept in memory as it was drawn, every example of
 * every recipe and part is worked out from it by its definition, and every array of every batch is compared. */
#include "data/loader.h"
#include "../runtime/test.h"
#include "data/builder.h"

#include "../../ir/random.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <unistd.h>

enum { USERS = 60, ITEMS = 30, ACTIONS = 4, GENRES = 7, MOST = 14, BOUND = 5, MIN = 1, LIST = 3, TAGS = 2 };

typedef struct {
    int user, item, act, ntags, tags[LIST + 1];
    int64_t ts;
    float lab;
} Event;

static Event log_[USERS * MOST], by_user[USERS][MOST];
static int nlog, length[USERS], gender[USERS], nliked[USERS], liked[USERS][4], ngenres[ITEMS], genres[ITEMS][LIST + 2];
static float price[ITEMS];
static uint64_t state = 7;

static int below(int n)
{
    state = random_mix(state + RANDOM_STEP);
    return (int)(random_uniform(state) * n);
}

static void draw(void)
{
    for (int u = 0; u < USERS; u++) {
        gender[u] = below(2);
        nliked[u] = below(5);
        for (int k = 0; k < nliked[u]; k++) {
            liked[u][k] = below(ITEMS);
        }
    }
    for (int i = 0; i < ITEMS; i++) {
        price[i] = (float)below(1000) / 8;
        ngenres[i] = below(LIST + 2);
        for (int k = 0; k < ngenres[i]; k++) {
            genres[i][k] = below(GENRES);
        }
    }
    for (int k = 0; k < USERS * MOST; k++) {
        Event x = {.user = below(USERS), .item = below(ITEMS), .act = below(ACTIONS), .ntags = below(LIST + 2)};
        x.ts = below(40); /* many equal times: the order of the log decides */
        x.lab = (float)below(2);
        for (int t = 0; t < x.ntags; t++) {
            x.tags[t] = below(GENRES);
        }
        if (length[x.user] < x.user % MOST) {
            length[x.user]++;
            log_[nlog++] = x;
        }
    }
    /* In time order by insertion behind all that are not later. */
    memset(length, 0, sizeof length);
    for (int k = 0; k < nlog; k++) {
        Event *of = by_user[log_[k].user];
        int at = length[log_[k].user]++;
        for (; at > 0 && of[at - 1].ts > log_[k].ts; at--) {
            of[at] = of[at - 1];
        }
        of[at] = log_[k];
    }
}

static void names(Builder *b, int vocab, int n, char first)
{
    for (int i = 0; i < n; i++) {
        char name[8] = {first, (char)('0' + i / 10), (char)('0' + i % 10)};
        names_add(builder_names(b, vocab), name, 3);
    }
}

static void write_data(const char *out)
{
    Error e = {0};
    Builder *b = builder_new(out, DATA_LOG, false, &e);
    int user = builder_vocab(b, "user", &e), item = builder_vocab(b, "item", &e),
        action = builder_vocab(b, "action", &e);
    int genre = builder_vocab(b, "genre", &e), sex = builder_vocab(b, "gender", &e);
    names(b, user, USERS, 'u');
    names(b, item, ITEMS, 'i');
    names(b, action, ACTIONS, 'a');
    names(b, genre, GENRES, 'g');
    names(b, sex, 2, 's');
    int c_gender = builder_column(b, TABLE_USER, "gender", SHAPE_SCALAR, DT_I32, sex, &e);
    int c_liked = builder_column(b, TABLE_USER, "liked", SHAPE_LIST, DT_I32, item, &e);
    int c_price = builder_column(b, TABLE_ITEM, "price", SHAPE_SCALAR, DT_F32, -1, &e);
    int c_genre = builder_column(b, TABLE_ITEM, "genre", SHAPE_LIST, DT_I32, genre, &e);
    int c_vec = builder_column(b, TABLE_ITEM, "vec", SHAPE_LIST, DT_F32, -1, &e);
    int c_item = builder_column(b, TABLE_MAIN, "item", SHAPE_SCALAR, DT_I32, item, &e);
    int c_act = builder_column(b, TABLE_MAIN, "act", SHAPE_SCALAR, DT_I32, action, &e);
    int c_ts = builder_column(b, TABLE_MAIN, "ts", SHAPE_SCALAR, DT_I64, -1, &e);
    int c_lab = builder_column(b, TABLE_MAIN, "lab", SHAPE_SCALAR, DT_F32, -1, &e);
    int c_tags = builder_column(b, TABLE_MAIN, "tags", SHAPE_LIST, DT_I32, genre, &e);
    for (int u = 0; u < USERS; u++) {
        builder_int(b, c_gender, gender[u]);
        for (int k = 0; k < nliked[u]; k++) {
            builder_int(b, c_liked, liked[u][k]);
        }
        builder_row(b, TABLE_USER, -1);
    }
    for (int i = 0; i < ITEMS; i++) {
        builder_real(b, c_price, (double)price[i]);
        for (int k = 0; k < ngenres[i]; k++) {
            builder_int(b, c_genre, genres[i][k]);
        }
        builder_real(b, c_vec, i);
        builder_real(b, c_vec, -i);
        builder_row(b, TABLE_ITEM, -1);
    }
    for (int k = 0; k < nlog; k++) {
        builder_int(b, c_item, log_[k].item);
        builder_int(b, c_act, log_[k].act);
        builder_int(b, c_ts, log_[k].ts);
        builder_real(b, c_lab, (double)log_[k].lab);
        for (int t = 0; t < log_[k].ntags; t++) {
            builder_int(b, c_tags, log_[k].tags[t]);
        }
        builder_row(b, TABLE_MAIN, log_[k].user);
    }
    builder_field(b, "cat", c_gender, true, &e);
    builder_field(b, "cat", c_item, false, &e);
    builder_field(b, "cat", c_genre, false, &e);
    builder_field(b, "num", c_price, false, &e);
    builder_field(b, "num", c_vec, false, &e);
    cJSON *extra = cJSON_CreateObject();
    cJSON *outcomes = cJSON_AddArrayToObject(extra, "outcomes");
    cJSON_AddItemToArray(outcomes, cJSON_CreateString("act"));
    CHECK(builder_finish(b, extra, &e));
}

/* ---- inputs ------------------------------------------------------------------------------------------------ */

#define T_DIM                                                                                                          \
    {                                                                                                                  \
        DIM_RAGGED, "T", MIN, BOUND, NULL                                                                              \
    }
static const DataInput next_inputs[] = {
    {"item", DT_I64, "item", false, false, 1, {T_DIM}},
    {"ts", DT_I64, NULL, false, false, 1, {T_DIM}},
    {"did", DT_I32, "action", false, false, 1, {T_DIM}}, /* found by its vocabulary */
    {"price", DT_F64, NULL, false, false, 1, {T_DIM}},
    {"tag", DT_I32, "genre", false, false, 2, {T_DIM, {DIM_RAGGED, "Y", 0, TAGS, NULL}}}, /* mapped to tags */
    {"genre", DT_I32, "genre", false, false, 2, {T_DIM, {DIM_RAGGED, "Z", 0, LIST + 2, NULL}}},
    {"vec", DT_F32, NULL, false, false, 2, {T_DIM, {DIM_FIXED, "K", 0, 2, NULL}}},
    {"now", DT_I64, NULL, false, false, 0, {{0}}},
    {"target", DT_I32, "item", true, false, 0, {{0}}},
    {"user", DT_I32, "user", false, false, 0, {{0}}},
    {"gender", DT_I32, "gender", false, false, 0, {{0}}},
    {"liked", DT_I32, "item", false, false, 1, {{DIM_RAGGED, "L", 0, 3, NULL}}},
    {"support", DT_F32, NULL, false, true, 1, {{DIM_VOCAB, "V", 0, ITEMS, "item"}}},
    {"worth", DT_F32, NULL, false, true, 1, {{DIM_VOCAB, "V", 0, ITEMS, "item"}}}, /* mapped to price */
};
enum { NNEXT = sizeof next_inputs / sizeof *next_inputs };

static const DataInput event_inputs[] = {
    {"item", DT_I64, "item", false, false, 1, {T_DIM}},
    {"cand", DT_I64, "item", false, false, 0, {{0}}},
    {"did", DT_I64, "action", true, false, 0, {{0}}},
    {"lab", DT_F32, NULL, true, false, 0, {{0}}},
    {"fv", DT_I32, NULL, false, false, 2, {{DIM_FIELDS, "F", 0, 3, "cat"}, {DIM_RAGGED, "O", 0, 8, NULL}}},
    {"ctx", DT_F32, NULL, false, false, 2, {{DIM_FIELDS, "X", 0, 2, "num"}, {DIM_WIDTH, "I", 0, 3, NULL}}},
    {"safe", DT_BOOL, NULL, false, true, 1, {{DIM_FIELDS, "F", 0, 3, "cat"}}},
};
enum { NEVENTS = sizeof event_inputs / sizeof *event_inputs };

/* ---- what a batch should hold ------------------------------------------------------------------------------ */

typedef struct {
    const Batch *b;
    int64_t at[32]; /* values compared so far, by array */
} Cursor;

static int index_of(const Batch *b, const char *name)
{
    for (int i = 0; i < b->n; i++) {
        if (strcmp(b->arrays[i].name, name) == 0) {
            return i;
        }
    }
    printf("the batch lacks %s\n", name);
    exit(1);
}

static double value(const Array *a, int64_t at)
{
    switch (a->dtype) {
    case DT_BOOL:
        return ((const uint8_t *)a->data)[at];
    case DT_I32:
        return ((const int32_t *)a->data)[at];
    case DT_I64:
        return (double)((const int64_t *)a->data)[at];
    case DT_F32:
        return (double)((const float *)a->data)[at];
    default:
        return ((const double *)a->data)[at];
    }
}

static void expect(Cursor *c, const char *name, double v)
{
    int i = index_of(c->b, name);
    double have = value(&c->b->arrays[i], c->at[i]++);
    if (have != v && failures++ < 20) {
        printf("%s[%lld] is %g, expected %g\n", name, (long long)c->at[i] - 1, have, v);
    }
}

/* The next entry of offsets: `n` more than the last. */
static void expect_list(Cursor *c, const char *name, int n)
{
    int i = index_of(c->b, name);
    int64_t at = c->at[i]++;
    const int64_t *v = c->b->arrays[i].data;
    CHECK(v[at + 1] - v[at] == n && v[0] == 0);
}

/* Every value has been compared. */
static void expect_end(Cursor *c)
{
    for (int i = 0; i < c->b->n; i++) {
        const Array *a = &c->b->arrays[i];
        int64_t n = 1;
        for (int d = 0; d < a->ndim; d++) {
            n *= a->dims[d];
        }
        if (c->at[i] != n - (strstr(a->name, ".offsets") != NULL) && failures++ < 20) {
            printf("%s has %lld values, %lld were expected\n", a->name, (long long)n, (long long)c->at[i]);
        }
    }
}

static int min(int a, int b)
{
    return a < b ? a : b;
}

static void expect_next(Cursor *c, int u, int target, bool serve)
{
    int lo = target > BOUND ? target - BOUND : 0;
    expect_list(c, "T.offsets", target - lo);
    for (int k = lo; k < target; k++) {
        const Event *x = &by_user[u][k];
        expect(c, "item", x->item);
        expect(c, "ts", (double)x->ts);
        expect(c, "did", x->act);
        expect(c, "price", (double)price[x->item]);
        expect(c, "vec", x->item);
        expect(c, "vec", -x->item);
        expect_list(c, "Y.offsets", min(x->ntags, TAGS));
        for (int t = 0; t < min(x->ntags, TAGS); t++) {
            expect(c, "tag", x->tags[t]);
        }
        expect_list(c, "Z.offsets", ngenres[x->item]);
        for (int t = 0; t < ngenres[x->item]; t++) {
            expect(c, "genre", genres[x->item][t]);
        }
    }
    expect(c, "target", serve ? 0 : by_user[u][target].item);
    expect(c, "now", (double)by_user[u][serve ? target - 1 : target].ts);
    expect(c, "user", u);
    expect(c, "row", u);
    expect(c, "gender", gender[u]);
    int drop = nliked[u] > 3 ? nliked[u] - 3 : 0;
    expect_list(c, "L.offsets", nliked[u] - drop);
    for (int k = drop; k < nliked[u]; k++) {
        expect(c, "liked", liked[u][k]);
    }
}

static void expect_event(Cursor *c, int u, int k, int64_t row)
{
    const Event *x = &by_user[u][k];
    int lo = k > BOUND ? k - BOUND : 0;
    expect_list(c, "T.offsets", k - lo);
    for (int j = lo; j < k; j++) {
        expect(c, "item", by_user[u][j].item);
    }
    expect(c, "cand", x->item);
    expect(c, "did", x->act);
    expect(c, "lab", (double)x->lab);
    expect(c, "row", (double)row);
    expect_list(c, "O.offsets", 1);
    expect(c, "fv", gender[u]);
    expect_list(c, "O.offsets", 1);
    expect(c, "fv", x->item);
    expect_list(c, "O.offsets", ngenres[x->item]);
    for (int t = 0; t < ngenres[x->item]; t++) {
        expect(c, "fv", genres[x->item][t]);
    }
    expect(c, "ctx", (double)price[x->item]);
    expect(c, "ctx", x->item);
    expect(c, "ctx", -x->item);
}

/* ---- tests ------------------------------------------------------------------------------------------------- */

static void test_next(const DataSet *ds, const char *recipe, DataPart part)
{
    Error e = {0};
    DataRecipe r;
    CHECK(recipe_parse(recipe, &r, &e) && recipe_map(&r, "tag=tags", &e) && recipe_map(&r, "worth=item.price", &e));
    Loader *l = loader_new(ds, &r, part, NNEXT, next_inputs, &e);
    if (!l) {
        printf("%s\n", e.text);
        failures++;
        return;
    }
    int users[USERS], targets[USERS], n = 0, skipped = 0, cut = 0, longest = 0, support[ITEMS] = {0};
    for (int u = 0; u < USERS; u++) {
        int t = part == PART_SERVE   ? length[u]
                : part == PART_TEST  ? length[u] - 1
                : part == PART_VALID ? length[u] - 2
                                     : length[u] - 1 - (int)r.hold;
        for (int k = 0; k < length[u] - (int)r.hold; k++) {
            support[by_user[u][k].item]++;
        }
        if (t < MIN) {
            skipped++;
            CHECK(loader_example_of(l, u) == -1);
            continue;
        }
        cut += t > BOUND;
        longest = t > longest ? t : longest;
        CHECK(loader_example_of(l, u) == n && loader_user(l, n) == u);
        users[n] = u;
        targets[n++] = t;
    }
    LoaderStats stats = loader_stats(l);
    CHECK(loader_count(l) == n && stats.examples == n && stats.skipped_short == skipped && stats.cut == cut &&
          stats.longest == longest);
    for (int first = 0; first < n; first += 7) {
        Batch b;
        int count = min(7, n - first);
        CHECK(loader_batch(l, first, count, &b, &e) && b.batch == count);
        Cursor c = {.b = &b};
        for (int k = first; k < first + count; k++) {
            expect_next(&c, users[k], targets[k], part == PART_SERVE);
        }
        for (int i = 0; i < ITEMS; i++) {
            expect(&c, "support", support[i]);
            expect(&c, "worth", (double)price[i]);
        }
        expect_end(&c);
    }
    /* Shuffled: each once, the same again, another order in another epoch; any position directly. */
    int order[2][USERS], moved = 0;
    for (int epoch = 0; epoch < 2; epoch++) {
        bool seen[USERS] = {false};
        loader_shuffle(l, 3, epoch);
        for (int at = n - 1; at >= 0; at--) {
            Batch b;
            CHECK(loader_batch(l, at, 1, &b, &e));
            int u = (int)value(batch_find(&b, "row"), 0);
            CHECK(!seen[u]);
            seen[u] = true;
            order[epoch][at] = u;
            moved += epoch == 1 && order[0][at] != u;
        }
        Batch b;
        CHECK(loader_batch(l, 0, n, &b, &e));
        for (int at = 0; at < n; at++) {
            CHECK(value(batch_find(&b, "row"), at) == order[epoch][at]);
        }
    }
    CHECK(moved > n / 2);
    loader_free(l);
}

/* The k-th of so many targets is kept: `most` of them, each in the middle of an equal share. */
static bool kept(int k, int targets, int most)
{
    for (int i = 0; most && targets > most && i < most; i++) {
        if ((int)((i + 0.5) * targets / most) == k) {
            return true;
        }
    }
    return !most || targets <= most;
}

static void test_events(const DataSet *ds, DataPart part, int first, int most)
{
    Error e = {0};
    DataRecipe r;
    char text[64];
    int end = snprintf(text, sizeof text, "events,valid=0.2,test=0.3,first=%d", first);
    if (most > 0) {
        snprintf(text + end, sizeof text - (size_t)end, ",most=%d", most);
    }
    CHECK(recipe_parse(text, &r, &e));
    Loader *l = loader_new(ds, &r, part, NEVENTS, event_inputs, &e);
    if (!l) {
        printf("%s\n", e.text);
        failures++;
        return;
    }
    int64_t examples[USERS * MOST], n = 0, row = 0, shortest = first > MIN ? first : MIN;
    int of[USERS * MOST][2];
    int64_t rows[USERS * MOST];
    for (int u = 0; u < USERS; u++) {
        int train = length[u] - (int)(0.3 * length[u]) - (int)(0.2 * length[u]),
            test = length[u] - (int)(0.3 * length[u]);
        const int ends[] = {0, train, test, length[u]};
        for (int p = PART_TRAIN; p <= PART_TEST; p++) {
            int lo = ends[p] > shortest ? ends[p] : (int)shortest;
            for (int k = lo; (part == PART_ALL || part == (DataPart)p) && k < ends[p + 1]; k++) {
                if (kept(k - lo, ends[p + 1] - lo, most)) {
                    of[n][0] = u;
                    of[n][1] = k;
                    rows[n] = row + k;
                    CHECK(loader_part(l, n) == (DataPart)p);
                    n++;
                }
            }
        }
        row += length[u];
    }
    CHECK(loader_count(l) == n);
    for (int64_t k = 0; k < n; k++) { /* backwards, to see that the order of the examples is kept */
        examples[k] = n - 1 - k;
    }
    Batch b;
    CHECK(loader_examples(l, n, examples, &b, &e));
    Cursor c = {.b = &b};
    for (int64_t k = n - 1; k >= 0; k--) {
        expect_event(&c, of[k][0], of[k][1], rows[k]);
        CHECK(loader_row(l, k) == rows[k]);
    }
    expect(&c, "safe", 1);
    expect(&c, "safe", 0);
    expect(&c, "safe", 0);
    expect_end(&c);
    loader_free(l);
}

static void refused(const DataSet *ds, const char *recipe, DataPart part, DataInput in, int code, const char *words)
{
    Error e = {0};
    DataRecipe r;
    CHECK(recipe_parse(recipe, &r, &e));
    Loader *l = NULL;
    CHECK_ERROR((l = loader_new(ds, &r, part, 1, &in, &e)) != NULL, e, code, words);
    loader_free(l);
}

static void test_refusals(const DataSet *ds)
{
    DataInput target = {"target", DT_I64, "item", false, false, 0, {{0}}}, item = next_inputs[0], x = item;
    refused(ds, "next", PART_TRAIN, target, EXIT_DATA, "declare it `label`");
    target.label = true;
    refused(ds, "next", PART_VALID, target, EXIT_USAGE, "hold=2");
    refused(ds, "rows", PART_TRAIN, target, EXIT_DATA, "next or events");
    refused(ds, "events", PART_SERVE, target, EXIT_USAGE, "only the recipe next");
    x.name = "colour";
    x.vocab = "colour";
    refused(ds, "next", PART_TRAIN, x, EXIT_DATA, "event (");
    x = item;
    x.vocab = "action";
    refused(ds, "next", PART_TRAIN, x, EXIT_DATA, "vocabulary action, and column item has ids of item");
    x = item;
    x.name = "lab";
    x.vocab = NULL;
    refused(ds, "next", PART_TRAIN, x, EXIT_DATA, "fractions");
    x = event_inputs[2];
    x.label = false;
    refused(ds, "events", PART_TRAIN, x, EXIT_DATA, "known only after the event");
    x = event_inputs[3];
    x.label = false;
    refused(ds, "events", PART_TRAIN, x, EXIT_DATA, "declare it `label`");
    x = event_inputs[4];
    x.ndim = 1;
    refused(ds, "events", PART_TRAIN, x, EXIT_DATA, "several values");
    x.dims[0].of = "other";
    refused(ds, "events", PART_TRAIN, x, EXIT_DATA, "no group of fields other");
    refused(ds, "events,label=stars", PART_TRAIN, item, EXIT_DATA, "no column 'stars'");
    refused(ds, "events,label=lab=1", PART_TRAIN, item, EXIT_USAGE, "COLUMN >= NUMBER");
    DataRecipe r;
    Error e = {0};
    CHECK_ERROR(recipe_parse("nxt", &r, &e), e, EXIT_USAGE, "choose next, events, rows or candidates");
    CHECK_ERROR(recipe_parse("next,hold=3", &r, &e), e, EXIT_USAGE, "hold is 1");
    CHECK_ERROR(recipe_parse("next,test=0.1", &r, &e), e, EXIT_USAGE, "known: hold");
    CHECK_ERROR(recipe_parse("events,test=0.6,valid=0.5", &r, &e), e, EXIT_USAGE, "smaller");
    CHECK_ERROR(recipe_parse("events,test", &r, &e), e, EXIT_USAGE, "key=value");
    CHECK_ERROR(recipe_map(&r, "tag", &e), e, EXIT_USAGE, "INPUT=COLUMN");
    /* Two lists on one axis must have the same lengths. */
    DataInput two[] = {{"tag", DT_I32, "genre", false, false, 2, {T_DIM, {DIM_RAGGED, "Y", 0, 9, NULL}}},
                       {"genre", DT_I32, "genre", false, false, 2, {T_DIM, {DIM_RAGGED, "Y", 0, 9, NULL}}}};
    CHECK(recipe_parse("next", &r, &e) && recipe_map(&r, "tag=tags", &e));
    Loader *l = loader_new(ds, &r, PART_TEST, 2, two, &e);
    Batch b;
    CHECK(l != NULL);
    CHECK_ERROR(loader_batch(l, 0, loader_count(l), &b, &e), e, EXIT_DATA, "share axis Y");
    CHECK_ERROR(loader_batch(l, 0, loader_count(l) + 1, &b, &e), e, EXIT_DATA, "there are no examples");
    loader_free(l);
}

static void test_label(const DataSet *ds)
{
    Error e = {0};
    DataRecipe r;
    DataInput in = {"lab", DT_F32, NULL, true, false, 0, {{0}}};
    CHECK(recipe_parse("events,label=act >= 2,valid=0,test=0", &r, &e));
    Loader *l = loader_new(ds, &r, PART_TRAIN, 1, &in, &e);
    Batch b;
    CHECK(l && loader_count(l) == nlog && loader_batch(l, 0, nlog, &b, &e));
    int64_t at = 0;
    for (int u = 0; l && u < USERS; u++) {
        for (int k = 0; k < length[u]; k++) {
            CHECK(value(batch_find(&b, "lab"), at++) == (by_user[u][k].act >= 2));
        }
    }
    loader_free(l);
}

/* Rows that stand alone: parts by a column or by a hash, lists of their own. */
static void test_rows(const char *out)
{
    Error e = {0};
    Builder *b = builder_new(out, DATA_ROWS, false, &e);
    int fold = builder_vocab(b, "fold", &e), word = builder_vocab(b, "word", &e);
    const char *const folds[] = {"train", "valid", "test"};
    for (int i = 0; i < 3; i++) {
        names_add(builder_names(b, fold), folds[i], strlen(folds[i]));
    }
    names(b, word, 9, 'w');
    int c_lab = builder_column(b, TABLE_MAIN, "lab", SHAPE_SCALAR, DT_F32, -1, &e);
    int c_fold = builder_column(b, TABLE_MAIN, "fold", SHAPE_SCALAR, DT_I32, fold, &e);
    int c_words = builder_column(b, TABLE_MAIN, "words", SHAPE_LIST, DT_I32, word, &e);
    for (int k = 0; k < 300; k++) {
        builder_real(b, c_lab, k % 2);
        builder_int(b, c_fold, k % 3);
        for (int t = 0; t < k % 5; t++) {
            builder_int(b, c_words, (k + t) % 9);
        }
        builder_row(b, TABLE_MAIN, -1);
    }
    CHECK(builder_finish(b, NULL, &e));
    DataSet *ds = data_open(out, true, &e);
    if (!ds) {
        printf("%s\n", e.text);
        failures++;
        return;
    }
    DataRecipe r;
    recipe_default(ds, &r);
    CHECK(r.kind == RECIPE_ROWS);
    CHECK(recipe_parse("rows,part=fold", &r, &e));
    DataInput in[] = {{"lab", DT_F32, NULL, true, false, 0, {{0}}},
                      {"words", DT_I64, "word", false, false, 1, {{DIM_RAGGED, "S", 0, 3, NULL}}}};
    Loader *l = loader_new(ds, &r, PART_VALID, 2, in, &e);
    Batch batch;
    CHECK(l && loader_count(l) == 100 && loader_batch(l, 0, 100, &batch, &e));
    Cursor c = {.b = &batch};
    for (int k = 1; l && k < 300; k += 3) {
        expect(&c, "lab", k % 2);
        expect(&c, "row", k);
        expect_list(&c, "S.offsets", min(k % 5, 3));
        for (int t = k % 5 > 3 ? k % 5 - 3 : 0; t < k % 5; t++) { /* the last three */
            expect(&c, "words", (k + t) % 9);
        }
    }
    expect_end(&c);
    loader_free(l);
    CHECK(recipe_parse("rows,valid=0.25,test=0.25", &r, &e));
    int64_t total = 0;
    for (int part = PART_TRAIN; part <= PART_TEST; part++) {
        l = loader_new(ds, &r, (DataPart)part, 2, in, &e);
        CHECK(l && loader_count(l) > (part == PART_TRAIN ? 120 : 50) &&
              loader_count(l) < (part == PART_TRAIN ? 180 : 100));
        total += loader_count(l);
        loader_free(l);
    }
    CHECK(total == 300);
    data_close(ds);
}

int main(void)
{
    char scratch[] = "/tmp/heddle-test-loader-XXXXXX", out[64], rows[64], command[128];
    if (!mkdtemp(scratch)) {
        return 2;
    }
    snprintf(out, sizeof out, "%s/log", scratch);
    snprintf(rows, sizeof rows, "%s/rows", scratch);
    draw();
    write_data(out);
    Error e = {0};
    DataSet *ds = data_open(out, true, &e);
    if (!ds) {
        printf("%s\n", e.text);
        return 1;
    }
    test_next(ds, "next", PART_TRAIN);
    test_next(ds, "next", PART_TEST);
    test_next(ds, "next", PART_SERVE);
    test_next(ds, "next,hold=2", PART_TRAIN);
    test_next(ds, "next,hold=2", PART_VALID);
    test_next(ds, "next,hold=2", PART_TEST);
    for (int part = PART_TRAIN; part <= PART_TEST; part++) {
        test_events(ds, (DataPart)part, 0, 0);
        test_events(ds, (DataPart)part, 4, 0);
        test_events(ds, (DataPart)part, 0, 2);
        test_events(ds, (DataPart)part, 3, 1);
    }
    test_events(ds, PART_ALL, 1, 2);
    test_refusals(ds);
    test_label(ds);
    DataRecipe r;
    CHECK(recipe_parse("next", &r, &e) && recipe_map(&r, "tag=tags", &e));
    CHECK(recipe_vocab_size(ds, &r, "tag") == GENRES && recipe_vocab_size(ds, &r, "item") == ITEMS);
    CHECK(recipe_vocab_size(ds, &r, "colour") == -1);
    const char **field_names;
    int64_t *sizes;
    CHECK(recipe_fields(ds, "num", &field_names, &sizes) == 2 && sizes[0] == 1 && sizes[1] == 2 &&
          strcmp(field_names[1], "vec") == 0);
    free(field_names);
    free(sizes);
    data_close(ds);
    test_rows(rows);
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    CHECK(system(command) == 0);
    return report("loader");
}
