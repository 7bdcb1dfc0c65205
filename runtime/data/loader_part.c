/* Which part a target belongs to, where every row has a part of its own: by a column, by its time, by its user or by
 * chance. Chance is a hash, the same in every run. */
#include "loader_impl.h"

#include "../../ir/random.h"

#include <stdlib.h>
#include <string.h>

bool loader_has_parts(const Loader *l)
{
    return l->parts || l->recipe.by != BY_SHARE;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The times from which on targets are for validation and for test. */
static bool find_times(Loader *l, Error *e)
{
    const DataRecipe *r = &l->recipe;
    int64_t n = l->ntargets;
    if (!l->ts) {
        return error_set(e, EXIT_DATA, "recipe: by=time needs a column ts, which the data lacks");
    }
    l->valid_from = r->has_valid_from ? r->valid_from : r->test_from;
    l->test_from = r->test_from;
    if (r->has_test_from || n == 0) {
        return true;
    }
    int64_t *times = malloc((size_t)n * sizeof *times);
    if (!times) {
        return error_set(e, EXIT_RESOURCES, "no memory for the times of %lld rows", (long long)n);
    }
    for (int64_t i = 0; i < n; i++) {
        times[i] = data_int(l->ts, i);
    }
    qsort(times, (size_t)n, sizeof *times, ascending);
    int64_t test = n - (int64_t)(r->test * (double)n), valid = test - (int64_t)(r->valid * (double)n);
    l->test_from = test < n ? times[test] : INT64_MAX;
    l->valid_from = valid < n ? times[valid] : INT64_MAX;
    free(times);
    return true;
}

bool loader_parts(Loader *l, Error *e)
{
    if (l->recipe.by == BY_TIME && !find_times(l, e)) {
        return false;
    }
    if (l->recipe.by == BY_USER && l->ds->form == DATA_ROWS && !l->user) {
        return error_set(e, EXIT_DATA, "recipe: by=user needs a column user of ids, which the rows lack");
    }
    if (!*l->recipe.part) {
        return true;
    }
    l->parts = data_column(l->ds, l->targets, l->recipe.part);
    if (!l->parts || l->parts->shape != SHAPE_SCALAR || !l->parts->vocab) {
        char *have = data_describe(l->ds);
        error_set(e, EXIT_DATA, "recipe: part=%s is not a column of ids (train, valid, test); the data has %s",
                  l->recipe.part, have ? have : "?");
        free(have);
        return false;
    }
    return true;
}

static DataPart by_name(const Loader *l, int64_t row)
{
    size_t n;
    const char *name = data_name(l->ds, l->parts->vocab, data_int(l->parts, row), &n);
    return n >= 5 && memcmp(name, "valid", 5) == 0   ? PART_VALID
           : n == 4 && memcmp(name, "test", 4) == 0  ? PART_TEST
           : n == 5 && memcmp(name, "train", 5) == 0 ? PART_TRAIN
                                                     : PART_SERVE;
}

DataPart loader_part_of_row(const Loader *l, int64_t row, int64_t user)
{
    if (l->parts) {
        return by_name(l, row);
    }
    if (l->recipe.by == BY_TIME) {
        int64_t t = data_int(l->ts, row);
        return t >= l->test_from ? PART_TEST : t >= l->valid_from ? PART_VALID : PART_TRAIN;
    }
    uint64_t key = random_name("part of a row");
    if (l->recipe.by == BY_USER) {
        key = random_name("part of a user");
        row = user >= 0 ? user : data_int(l->user, row);
    }
    double u = random_uniform(random_fold(key, row));
    return u < l->recipe.test ? PART_TEST : u < l->recipe.test + l->recipe.valid ? PART_VALID : PART_TRAIN;
}

/* Candidates stand in any order: first where each user is evaluated for the first time. */
static int64_t candidate_leaks(const Loader *l, Error *e)
{
    if (!l->parts) {
        return 0;
    }
    int64_t leaks = 0, *earliest = malloc(((size_t)l->ds->users + 1) * sizeof *earliest);
    if (!earliest) {
        error_set(e, EXIT_RESOURCES, "no memory for %lld users", (long long)l->ds->users);
        return -1;
    }
    for (int64_t u = 0; u < l->ds->users; u++) {
        earliest[u] = INT64_MAX;
    }
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t k = 0; k < l->ntargets; k++) {
            int64_t u = data_int(l->user, k), at = data_int(l->before, k);
            DataPart part = loader_part_of_row(l, k, u);
            if (pass == 0 && (part == PART_VALID || part == PART_TEST)) {
                earliest[u] = at < earliest[u] ? at : earliest[u];
            }
            leaks += pass == 1 && part == PART_TRAIN && at > earliest[u];
        }
    }
    free(earliest);
    return leaks;
}

int64_t loader_user_of(const Loader *l, int64_t row, int64_t u, int64_t *before)
{
    const DataSet *ds = l->ds;
    *before = 0;
    if (ds->form == DATA_ROWS) {
        return -1;
    }
    if (l->targets == TABLE_CANDIDATE) {
        *before = data_int(l->before, row);
        return data_int(l->user, row);
    }
    while (row >= ds->user_offsets[u + 1]) { /* the events of one user follow those of another */
        u++;
    }
    *before = row - ds->user_offsets[u];
    return u;
}

int64_t loader_leaks(const Loader *l, Error *e)
{
    const DataSet *ds = l->ds;
    int64_t leaks = 0;
    if (l->targets == TABLE_CANDIDATE) {
        return candidate_leaks(l, e);
    }
    for (int64_t u = 0; l->parts && u < ds->users; u++) {
        bool evaluates = false;
        for (int64_t row = ds->user_offsets[u]; row < ds->user_offsets[u + 1]; row++) {
            DataPart part = loader_part_of_row(l, row, u);
            evaluates |= part == PART_VALID || part == PART_TEST;
            leaks += evaluates && part == PART_TRAIN;
        }
    }
    return leaks;
}

bool loader_has_time(const Loader *l)
{
    return l->ts != NULL;
}
