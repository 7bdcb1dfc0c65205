/* Recipes: which events are targets, and what each may see. An example is found from its number by a search in the
 * running counts of examples per user, so a log of any size needs one number per user. */
#include "loader_impl.h"

#include "../../ir/random.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t lo, hi; /* positions in a user's events */
} Range;

int64_t loader_train_events(const Loader *l, int64_t n)
{
    const DataRecipe *r = &l->recipe;
    if (r->kind == RECIPE_NEXT) {
        return n > r->hold ? n - r->hold : 0;
    }
    return n - (int64_t)(r->test * (double)n) - (int64_t)(r->valid * (double)n);
}

/* The positions of the targets of a part among n events of a user. */
static Range targets(const Loader *l, DataPart part, int64_t n)
{
    const DataRecipe *r = &l->recipe;
    if (part == PART_SERVE) {
        return (Range){n, n + 1};
    }
    int64_t train = loader_train_events(l, n);
    if (r->kind == RECIPE_NEXT) { /* one after another, the held out ones last */
        int64_t at = part == PART_TRAIN || part == PART_ALL ? train - 1 : part == PART_VALID ? n - 2 : n - 1;
        return (Range){at, part == PART_ALL ? n : at + 1};
    }
    int64_t test = n - (int64_t)(r->test * (double)n);
    return part == PART_TRAIN   ? (Range){0, train}
           : part == PART_VALID ? (Range){train, test}
           : part == PART_TEST  ? (Range){test, n}
                                : (Range){0, n};
}

/* Those of them whose history is long enough. */
static Range usable(const Loader *l, int64_t n, int64_t shortest)
{
    Range t = targets(l, l->part, n);
    t.lo = t.lo > shortest ? t.lo : shortest;
    t.hi = t.hi > t.lo ? t.hi : t.lo;
    return t;
}

static int64_t shortest_history(const Loader *l)
{
    int64_t shortest = l->recipe.kind == RECIPE_EVENTS ? l->recipe.first : 0;
    for (int i = 0; i < l->naxes; i++) {
        if (l->axes[i].is_history && l->axes[i].min > shortest) {
            shortest = l->axes[i].min;
        }
    }
    return shortest;
}

static bool split_log(Loader *l, Error *e)
{
    const DataSet *ds = l->ds;
    int64_t bound = INT64_MAX, shortest = shortest_history(l);
    for (int i = 0; i < l->naxes; i++) {
        if (l->axes[i].is_history && l->axes[i].bound < bound) {
            bound = l->axes[i].bound;
        }
    }
    l->starts = calloc((size_t)ds->users + 1, sizeof *l->starts);
    if (!l->starts) {
        return error_set(e, EXIT_RESOURCES, "no memory for %lld users", (long long)ds->users);
    }
    for (int64_t u = 0; u < ds->users; u++) {
        int64_t n = ds->user_offsets[u + 1] - ds->user_offsets[u];
        Range all = targets(l, l->part, n), t = usable(l, n, shortest);
        int64_t count = t.hi - t.lo, from = t.lo > bound ? t.lo - 1 : bound; /* positions above `from` are cut */
        l->starts[u + 1] = l->starts[u] + count;
        l->stats.skipped_short += (all.hi > all.lo ? all.hi - all.lo : 0) - count;
        l->stats.cut += t.hi - 1 > from ? t.hi - 1 - from : 0;
        if (count > 0 && t.hi - 1 > l->stats.longest) {
            l->stats.longest = t.hi - 1;
        }
    }
    l->count = l->starts[ds->users];
    return true;
}

/* A row's part: by the ids train, valid, test of a column, else by a hash of its number, the same in every run. */
DataPart loader_part_of_row(const Loader *l, const DataColumn *column, int64_t row)
{
    if (column) {
        size_t n;
        const char *name = data_name(l->ds, column->vocab, data_int(column, row), &n);
        return n >= 5 && memcmp(name, "valid", 5) == 0   ? PART_VALID
               : n == 4 && memcmp(name, "test", 4) == 0  ? PART_TEST
               : n == 5 && memcmp(name, "train", 5) == 0 ? PART_TRAIN
                                                         : PART_SERVE;
    }
    double u = random_uniform(random_fold(random_name("part of a row"), row));
    return u < l->recipe.test ? PART_TEST : u < l->recipe.test + l->recipe.valid ? PART_VALID : PART_TRAIN;
}

static bool split_rows(Loader *l, Error *e)
{
    const DataColumn *column = NULL;
    if (*l->recipe.part) {
        column = data_column(l->ds, TABLE_MAIN, l->recipe.part);
        if (!column || column->shape != SHAPE_SCALAR || !column->vocab) {
            char *have = data_describe(l->ds);
            error_set(e, EXIT_DATA, "recipe: part=%s is not a column of ids (train, valid, test); the data has %s",
                      l->recipe.part, have ? have : "?");
            free(have);
            return false;
        }
    }
    l->chosen = malloc(((size_t)l->ds->rows + 1) * sizeof *l->chosen);
    if (!l->chosen) {
        return error_set(e, EXIT_RESOURCES, "no memory for %lld rows", (long long)l->ds->rows);
    }
    for (int64_t row = 0; row < l->ds->rows; row++) {
        DataPart part = loader_part_of_row(l, column, row);
        if (part == l->part || (l->part == PART_ALL && part != PART_SERVE)) {
            l->chosen[l->count++] = row;
        }
    }
    return true;
}

bool loader_split(Loader *l, Error *e)
{
    bool is_log = l->ds->form == DATA_LOG;
    if (is_log == (l->recipe.kind == RECIPE_ROWS)) {
        return error_set(e, EXIT_DATA,
                         is_log ? "the data is a log of events: use the recipe next or events, not rows"
                                : "the data has rows that stand alone: use the recipe rows");
    }
    if (l->part == PART_VALID && l->recipe.kind == RECIPE_NEXT && l->recipe.hold < 2) {
        return error_set(e, EXIT_USAGE, "the recipe next trains on the validation item; use next,hold=2");
    }
    if (l->part == PART_SERVE && l->recipe.kind != RECIPE_NEXT) {
        return error_set(e, EXIT_USAGE, "only the recipe next can answer for a user without a target");
    }
    if (!(is_log ? split_log(l, e) : split_rows(l, e))) {
        return false;
    }
    l->stats.examples = l->count;
    return true;
}

Example loader_locate(const Loader *l, int64_t example)
{
    const DataSet *ds = l->ds;
    if (ds->form == DATA_ROWS) {
        int64_t row = l->chosen[example];
        return (Example){l->user ? data_int(l->user, row) : -1, row, 0, 0};
    }
    int64_t lo = 0, hi = ds->users; /* starts[lo] <= example < starts[hi] */
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        if (l->starts[mid] <= example) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    int64_t first = ds->user_offsets[lo], n = ds->user_offsets[lo + 1] - first;
    int64_t at = usable(l, n, shortest_history(l)).lo + example - l->starts[lo];
    return (Example){lo, l->part == PART_SERVE ? -1 : first + at, first, first + at};
}

DataPart loader_part(const Loader *l, int64_t example)
{
    if (l->part != PART_ALL) {
        return l->part;
    }
    Example x = loader_locate(l, example);
    if (l->ds->form == DATA_ROWS) {
        return loader_part_of_row(l, *l->recipe.part ? data_column(l->ds, TABLE_MAIN, l->recipe.part) : NULL, x.target);
    }
    int64_t n = l->ds->user_offsets[x.user + 1] - l->ds->user_offsets[x.user], at = x.target - x.lo;
    for (int part = PART_TRAIN; part < PART_TEST; part++) {
        Range t = targets(l, (DataPart)part, n);
        if (at >= t.lo && at < t.hi && !(part == PART_VALID && l->recipe.kind == RECIPE_NEXT && l->recipe.hold < 2)) {
            return (DataPart)part;
        }
    }
    return PART_TEST;
}
