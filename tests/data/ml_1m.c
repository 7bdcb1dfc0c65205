/* MovieLens 1M, where it lies beside the checkout: the published counts, the order in time and the leave-one-out split.
 * Without the data the test is skipped (77).
 *
 *     test_data_ml_1m DIR */
#include "../runtime/test.h"
#include "data/import.h"
#include "data/loader.h"

#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char scratch[] = "/tmp/heddle-test-ml-1m-XXXXXX", out[64], command[128], file[1024];
    snprintf(file, sizeof file, "%s/ratings.dat.gz", argc > 1 ? argv[1] : ".");
    if (access(file, R_OK) != 0) {
        printf("skipped: there is no %s\n", file);
        return 77;
    }
    if (!mkdtemp(scratch)) {
        return 2;
    }
    snprintf(out, sizeof out, "%s/data", scratch);
    const char *path = argv[1];
    Error e = {0};
    ImportOptions o = {0};
    ImportReport r;
    CHECK(data_import(NULL, 1, &path, out, &o, &r, &e));
    import_report_print(&r, stdout);
    CHECK(r.rows == 1000209 && r.users == 6040 && r.items == 3883 && r.bad == 0 && r.unknown == 0);
    CHECK(r.time_min == 956703932 && r.time_max == 1046454590);
    DataSet *ds = data_open(out, true, &e);
    if (!ds) {
        printf("%s\n", e.text);
        return 1;
    }
    const DataColumn *ts = data_column(ds, TABLE_MAIN, "ts"), *item = data_column(ds, TABLE_MAIN, "item");
    const DataColumn *rating = data_column(ds, TABLE_MAIN, "rating");
    int64_t stars[6] = {0}, least = 1 << 20, rated = 0;
    char seen[3883] = {0};
    for (int64_t u = 0; u < ds->users; u++) {
        int64_t n = ds->user_offsets[u + 1] - ds->user_offsets[u];
        least = n < least ? n : least;
        for (int64_t k = ds->user_offsets[u]; k < ds->user_offsets[u + 1]; k++) {
            CHECK(k == ds->user_offsets[u] || data_int(ts, k - 1) <= data_int(ts, k));
            stars[data_int(rating, k)]++;
            seen[data_int(item, k)] = 1;
        }
    }
    for (int i = 0; i < 3883; i++) {
        rated += seen[i];
    }
    CHECK(rated == 3706 && least == 20);
    CHECK(stars[1] == 56174 && stars[2] == 107557 && stars[3] == 261197 && stars[4] == 348971 && stars[5] == 226310);
    CHECK(data_find(ds, "item", "1") == 0 && data_find(ds, "item", "3952") == 3882 &&
          data_find(ds, "user", "6040") == 6039);
    size_t n;
    const char *title = data_text(data_column(ds, TABLE_ITEM, "title"), 0, &n);
    CHECK(n == 16 && memcmp(title, "Toy Story (1995)", n) == 0);

    DataRecipe recipe;
    CHECK(recipe_parse("next", &recipe, &e));
    DataInput in[] = {{"item", DT_I64, "item", false, false, 1, {{DIM_RAGGED, "T", 1, 200, NULL}}},
                      {"ts", DT_I64, NULL, false, false, 1, {{DIM_RAGGED, "T", 1, 200, NULL}}},
                      {"now", DT_I64, NULL, false, false, 0, {{0}}},
                      {"target", DT_I64, "item", true, false, 0, {{0}}}};
    for (int part = PART_TRAIN; part <= PART_TEST; part += PART_TEST) {
        Loader *l = loader_new(ds, &recipe, (DataPart)part, 4, in, &e);
        CHECK(l && loader_count(l) == 6040 && loader_stats(l).skipped_short == 0);
        loader_shuffle(l, 42, 0);
        int64_t steps = 0;
        for (int64_t at = 0; l && at < loader_count(l); at += 128, steps++) {
            Batch b;
            int64_t count = loader_count(l) - at < 128 ? loader_count(l) - at : 128;
            CHECK(loader_batch(l, at, count, &b, &e));
        }
        CHECK(steps == 48);
        printf("part %d: %lld histories cut, the longest has %lld\n", part, (long long)loader_stats(l).cut,
               (long long)loader_stats(l).longest);
        loader_free(l);
    }
    data_close(ds);
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    CHECK(system(command) == 0);
    return report("ml-1m");
}
