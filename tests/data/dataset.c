/* Writing and reading back, and what a reader must refuse: damaged directories, a data set that stands in the way, a
 * full disk. Whatever goes wrong, nothing half-made may remain and nothing that stood there may be lost. */
#include "../runtime/test.h"
#include "data/builder.h"
#include "data/import.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[] = "/tmp/heddle-test-dataset-XXXXXX";

static const char *in_scratch(const char *name)
{
    static char path[4][256];
    static int next;
    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[0], "%s/%s", scratch, name);
    return path[next];
}

/* Events 0 .. n-1 of three users in turn, in falling time: stored in rising time. */
static Builder *fill(const char *out, bool replace, int64_t n, Error *e)
{
    Builder *b = builder_new(out, DATA_LOG, replace, e);
    if (!b) {
        return NULL;
    }
    int user = builder_vocab(b, "user", e), item = builder_vocab(b, "item", e);
    for (int i = 0; i < 3; i++) {
        names_add(builder_names(b, user), (char[]){(char)('a' + i)}, 1);
    }
    names_add(builder_names(b, item), "x", 1);
    names_add(builder_names(b, item), "", 0);
    names_add(builder_names(b, item), "long name", 9);
    int c_item = builder_column(b, TABLE_MAIN, "item", SHAPE_SCALAR, DT_I32, item, e);
    int c_ts = builder_column(b, TABLE_MAIN, "ts", SHAPE_SCALAR, DT_I64, -1, e);
    int c_on = builder_column(b, TABLE_MAIN, "on", SHAPE_SCALAR, DT_BOOL, -1, e);
    int c_wide = builder_column(b, TABLE_MAIN, "wide", SHAPE_LIST, DT_F64, -1, e);
    int c_note = builder_column(b, TABLE_MAIN, "note", SHAPE_TEXT, DT_BOOL, -1, e);
    for (int64_t k = 0; k < n; k++) {
        builder_int(b, c_item, k % 3);
        builder_int(b, c_ts, -k);
        builder_int(b, c_on, k % 2);
        for (int64_t t = 0; t < k % 3; t++) {
            builder_real(b, c_wide, (double)k + 0.5);
        }
        char note[24];
        builder_text(b, c_note, note, (size_t)snprintf(note, sizeof note, "n%lld", (long long)k));
        builder_row(b, TABLE_MAIN, k % 3);
    }
    return b;
}

static void test_round_trip(void)
{
    Error e = {0};
    const char *out = in_scratch("good");
    enum { N = 20 };
    CHECK(builder_finish(fill(out, false, N, &e), NULL, &e));
    DataSet *ds = data_open(out, true, &e);
    CHECK(ds != NULL);
    if (!ds) {
        printf("%s\n", e.text);
        return;
    }
    CHECK(ds->form == DATA_LOG && ds->users == 3 && ds->items == 3 && ds->rows == N);
    const DataColumn *ts = data_column(ds, TABLE_MAIN, "ts"), *item = data_column(ds, TABLE_MAIN, "item");
    const DataColumn *on = data_column(ds, TABLE_MAIN, "on"), *wide = data_column(ds, TABLE_MAIN, "wide");
    const DataColumn *note = data_column(ds, TABLE_MAIN, "note");
    for (int64_t u = 0; u < 3; u++) {
        int64_t k = N - 1 - (N - 1 - u) % 3; /* the user's last row in the file is first in time */
        for (int64_t row = ds->user_offsets[u]; row < ds->user_offsets[u + 1]; row++, k -= 3) {
            size_t n;
            char text[24];
            int length = snprintf(text, sizeof text, "n%lld", (long long)k);
            CHECK(data_int(ts, row) == -k && data_int(item, row) == k % 3 && data_int(on, row) == k % 2);
            CHECK(wide->offsets[row + 1] - wide->offsets[row] == k % 3);
            CHECK(k % 3 == 0 || data_real(wide, wide->offsets[row]) == (double)k + 0.5);
            const char *have = data_text(note, row, &n);
            CHECK(n == (size_t)length && memcmp(have, text, n) == 0);
        }
        CHECK(k < 0);
    }
    size_t n;
    CHECK(data_find(ds, "item", "long name") == 2 && data_find(ds, "item", "") == 1 &&
          data_find(ds, "item", "y") == -1);
    CHECK(data_find(ds, "nothing", "x") == -1);
    CHECK(!strncmp(data_name(ds, "item", 2, &n), "long name", 9) && n == 9);
    CHECK(data_name(ds, "item", 3, &n) && n == 0);
    double best;
    CHECK(!data_best(ds, "hr@10", false, &best));
    data_close(ds);
}

static int count_entries(void)
{
    DIR *d = opendir(scratch);
    int n = 0;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        n += entry->d_name[0] != '.';
    }
    closedir(d);
    return n;
}

static void test_replace(void)
{
    Error e = {0};
    const char *out = in_scratch("good");
    int before = count_entries();
    CHECK_ERROR(fill(out, false, 5, &e), e, EXIT_DATA, "is there already");
    CHECK(builder_finish(fill(out, true, 5, &e), NULL, &e));
    DataSet *ds = data_open(out, true, &e);
    CHECK(ds && ds->rows == 5);
    data_close(ds);
    builder_abort(fill(out, true, 7, &e));
    ds = data_open(out, true, &e);
    CHECK(ds && ds->rows == 5);
    data_close(ds);
    CHECK(mkdir(in_scratch("folder"), 0755) == 0);
    CHECK_ERROR(fill(in_scratch("folder"), true, 5, &e), e, EXIT_DATA, "is not a data set");
    rmdir(in_scratch("folder"));
    CHECK_ERROR(fill(in_scratch("no/where"), false, 5, &e), e, EXIT_DATA, "cannot make a directory");
    CHECK(count_entries() == before);
}

/* A limit on the size of files stands for a full disk: writes fail in the same way. */
static void test_full_disk(void)
{
    Error e = {0};
    int before = count_entries();
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t size = 1 << 10; size < 1 << 21; size *= 2) {
        small = (struct rlimit){size, old.rlim_max};
        setrlimit(RLIMIT_FSIZE, &small);
        Builder *b = fill(in_scratch("full"), false, 100000, &e);
        bool good = b && builder_finish(b, NULL, &e);
        setrlimit(RLIMIT_FSIZE, &old);
        CHECK(!good || size > 1 << 19);
        CHECK(good || (e.code == EXIT_RESOURCES && strstr(e.text, "too large")));
        CHECK(good || count_entries() == before);
    }
}

/* ---- damage ------------------------------------------------------------------------------------------------ */

static char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 16);
    *n = f ? fread(text, 1, (1 << 16) - 1, f) : 0;
    if (f) {
        fclose(f);
    }
    return text;
}

static void put(const char *path, const char *text, size_t n)
{
    FILE *f = fopen(path, "wb");
    fwrite(text, 1, n, f);
    fclose(f);
}

/* Writes the file with `from` replaced by `to` (same data elsewhere), opens, and expects a refusal. */
static void damage(const char *file, const char *from, const char *to, bool verify, const char *words)
{
    char path[300];
    size_t n;
    Error e = {0};
    snprintf(path, sizeof path, "%s/good/%s", scratch, file);
    char *text = slurp(path, &n), *changed = calloc(1, 1 << 17);
    char *at = *from ? strstr(text, from) : text;
    if (!at) {
        printf("%s has no '%s'\n", file, from);
        failures++;
        free(text);
        free(changed);
        return;
    }
    size_t before = (size_t)(at - text), skip = *from ? strlen(from) : n, after = n - before - skip;
    memcpy(changed, text, before);
    memcpy(changed + before, to, strlen(to));
    memcpy(changed + before + strlen(to), at + skip, after);
    put(path, changed, before + strlen(to) + after);
    DataSet *ds = NULL;
    CHECK_ERROR((ds = data_open(in_scratch("good"), verify, &e)) != NULL, e, EXIT_DATA, words);
    data_close(ds);
    put(path, text, n);
    free(text);
    free(changed);
}

static void test_damage(void)
{
    Error e = {0};
    damage("schema.json", "", "", false, "not JSON");
    damage("schema.json", "", "[1]", false, "not JSON");
    damage("schema.json", "", "{}", false, "does not describe");
    damage("schema.json", "\"version\":\t1", "\"version\":\t2", false, "version 2");
    damage("schema.json", "\"log\"", "\"logs\"", false, "neither log nor rows");
    damage("schema.json", "\"event\":\t5", "\"event\":\t6", false, "number of values");
    damage("schema.json", "\"event\":\t5", "\"event\":\t-1", false, "a count is missing");
    damage("schema.json", "\"event\":\t5", "\"event\":\t4.5", false, "a count is missing");
    damage("schema.json", "\"user\":\t3", "\"user\":\t4", false, "vocabularies");
    damage("schema.json", "\"i32\"", "\"i33\"", false, "unknown table, shape or type");
    damage("schema.json", "\"i32\"", "\"i64\"", false, "bytes and schema.json says");
    damage("schema.json", "columns/event.item.i32", "../good/x", false, "leaves the directory");
    damage("schema.json", "columns/event.item.i32", "columns/none", false, "No such file");
    damage("schema.json", "columns/event.item.i32", "columns", false, "is not a file");
    damage("schema.json", "\"vocab\":\t\"item\"", "\"vocab\":\t\"other\"", false, "vocabulary is unknown");
    damage("schema.json", "\"column\":\t\"item\"", "\"column\":\t\"it\"", false, "does not name a column");
    damage("vocab/item.txt", "x\n", "xx", false, "number of lines");
    damage("vocab/item.txt", "x\n", "y\n", true, "the checksum is");
    damage("columns/event.item.i32", "", "short", false, "bytes and schema.json says");
    damage("columns/user.offsets.i64", "", "12345678123456781234567812345678", false, "do not ascend");
    damage("columns/event.wide.offsets.i64", "", "123456781234567812345678123456781234567812345678", false,
           "do not ascend");
    CHECK_ERROR(data_open(in_scratch("nothing"), false, &e), e, EXIT_DATA, "heddle data import");
    DataSet *ds = data_open(in_scratch("good"), true, &e);
    CHECK(ds != NULL);
    data_close(ds);
}

static void test_damaged_gzip(void)
{
    Error e = {0};
    const char *path = in_scratch("x.inter.gz");
    char command[512];
    snprintf(command, sizeof command,
             "printf 'user_id:token\\titem_id:token\\n%%s' \"$(seq 5000 | sed 's/$/\tx/')\" | gzip | head -c 3000 > %s",
             path);
    CHECK(system(command) == 0);
    ImportOptions o = {0};
    ImportReport r;
    CHECK_ERROR(data_import("recbole", 1, &path, in_scratch("cut"), &o, &r, &e), e, EXIT_DATA, "it ends early");
    snprintf(command, sizeof command, "printf '\\037\\213\\010\\000garbage here' > %s", path);
    CHECK(system(command) == 0);
    CHECK_ERROR(data_import("recbole", 1, &path, in_scratch("cut"), &o, &r, &e), e, EXIT_DATA, "damaged or truncated");
    unlink(path);
    CHECK_ERROR(data_import("recbole", 1, &path, in_scratch("cut"), &o, &r, &e), e, EXIT_DATA, "there is no");
    CHECK_ERROR(data_import("csv", 1, &path, in_scratch("cut"), &o, &r, &e), e, EXIT_USAGE, "choose movielens");
    CHECK(access(in_scratch("cut"), F_OK) != 0);
}

int main(void)
{
    if (!mkdtemp(scratch)) {
        return 2;
    }
    test_round_trip();
    test_replace();
    test_damage();
    test_full_disk();
    test_damaged_gzip();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    CHECK(system(command) == 0);
    return report("dataset");
}
