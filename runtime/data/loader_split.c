/* Recipes: which events are targets, and what each may see. An example is found from its number by a search in the
 * running counts of examples per user, so a log of any size needs one number per user. */
#include "loader_impl.h"

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
static Range usable(const Loader *l, DataPart part, int64_t n, int64_t shortest)
{
    Range t = targets(l, part, n);
    t.lo = t.lo > shortest ? t.lo : shortest;
    t.hi = t.hi > t.lo ? t.hi : t.lo;
    return t;
}

/* How many of so many targets become examples, and which is the k-th: `most` of them, spread evenly. */
static int64_t thinned(const Loader *l, int64_t targets)
{
    int64_t most = l->recipe.most;
    return most > 0 && targets > most ? most : targets;
}

static int64_t thin(const Loader *l, int64_t targets, int64_t k)
{
    int64_t kept = thinned(l, targets);
    return kept == targets ? k : (2 * k + 1) * targets / (2 * kept);
}

/* The parts of which the loader's examples of one user come, one after another: all of them are one range, unless each
 * is thinned by itself. */
static int parts_of(const Loader *l, DataPart *parts)
{
    static const DataPart each[] = {PART_TRAIN, PART_VALID, PART_TEST};
    bool all = l->part == PART_ALL && l->recipe.most > 0;
    memcpy(parts, each, sizeof each);
    parts[0] = all ? PART_TRAIN : l->part;
    return all ? 3 : 1;
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

/* The bound of the histories: what is longer is cut. */
static int64_t shortest_bound(const Loader *l)
{
    int64_t bound = INT64_MAX;
    for (int i = 0; i < l->naxes; i++) {
        if (l->axes[i].is_history && l->axes[i].bound < bound) {
            bound = l->axes[i].bound;
        }
    }
    return bound;
}

static bool split_log(Loader *l, Error *e)
{
    const DataSet *ds = l->ds;
    int64_t bound = shortest_bound(l), shortest = shortest_history(l);
    DataPart parts[3];
    int nparts = parts_of(l, parts);
    l->starts = calloc((size_t)ds->users + 1, sizeof *l->starts);
    if (!l->starts) {
        return error_set(e, EXIT_RESOURCES, "no memory for %lld users", (long long)ds->users);
    }
    for (int64_t u = 0; u < ds->users; u++) {
        int64_t n = ds->user_offsets[u + 1] - ds->user_offsets[u];
        l->starts[u + 1] = l->starts[u];
        for (int i = 0; i < nparts; i++) {
            Range all = targets(l, parts[i], n), t = usable(l, parts[i], n, shortest);
            int64_t usable = t.hi - t.lo, count = thinned(l, usable);
            l->starts[u + 1] += count;
            l->stats.skipped_short += (all.hi > all.lo ? all.hi - all.lo : 0) - usable;
            for (int64_t k = count; k-- > 0;) {
                int64_t before = t.lo + thin(l, usable, k);
                l->stats.longest = before > l->stats.longest ? before : l->stats.longest;
                if (before <= bound) {
                    break;
                }
                l->stats.cut++;
            }
        }
    }
    l->count = l->starts[ds->users];
    return true;
}

static bool is_chosen(const Loader *l, DataPart part)
{
    return part == l->part || (l->part == PART_ALL && part != PART_SERVE);
}

static bool split_rows(Loader *l, Error *e)
{
    const DataSet *ds = l->ds;
    int64_t shortest = shortest_history(l), bound = shortest_bound(l);
    l->chosen = malloc(((size_t)l->ntargets + 1) * sizeof *l->chosen);
    if (!l->chosen) {
        return error_set(e, EXIT_RESOURCES, "no memory for %lld rows", (long long)l->ntargets);
    }
    int64_t u = 0, before;
    for (int64_t row = 0; row < l->ntargets; row++) {
        u = loader_user_of(l, row, u, &before);
        if (!is_chosen(l, loader_part_of_row(l, row, u))) {
            continue;
        }
        if (ds->form == DATA_LOG && before < shortest) {
            l->stats.skipped_short++;
            continue;
        }
        l->chosen[l->count++] = row;
        l->stats.cut += before > bound;
        l->stats.longest = before > l->stats.longest ? before : l->stats.longest;
    }
    return true;
}

bool loader_split(Loader *l, Error *e)
{
    bool is_log = l->ds->form == DATA_LOG;
    if (l->targets == TABLE_CANDIDATE && l->ntargets == 0) {
        return error_set(e, EXIT_DATA, "the recipe candidates wants a log with candidates, and %s has none",
                         l->ds->dir);
    }
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
    if (!loader_parts(l, e)) {
        return false;
    }
    bool each = !is_log || l->targets == TABLE_CANDIDATE || loader_has_parts(l);
    if (each && is_log && !l->recipe.allow_leak) {
        int64_t leaks = loader_leaks(l, e);
        if (leaks < 0) {
            return false;
        }
        if (leaks > 0) {
            return error_set(
                e, EXIT_DATA,
                "%s: %lld training targets are later than an event that evaluates the same user, so its "
                "history would hold the answers of training and the model has seen its future; cut the data by "
                "time, or allow it with leak=allow in the recipe ('heddle data split' counts)",
                l->ds->dir, (long long)leaks);
        }
    }
    if (!(each ? split_rows(l, e) : split_log(l, e))) {
        return false;
    }
    l->stats.examples = l->count;
    return true;
}

/* The k below n with at[k] <= x < at[k + 1], where `at` ascends. */
static int64_t find(const int64_t *at, int64_t n, int64_t x)
{
    int64_t lo = 0, hi = n;
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        if (at[mid] <= x) {
            lo = mid;
        } else {
            hi = mid;
        }
    }
    return lo;
}

Example loader_locate(const Loader *l, int64_t example)
{
    const DataSet *ds = l->ds;
    if (ds->form == DATA_ROWS) {
        int64_t row = l->chosen[example];
        return (Example){l->user ? data_int(l->user, row) : -1, row, 0, 0};
    }
    if (l->chosen) {
        int64_t row = l->chosen[example];
        if (l->targets == TABLE_CANDIDATE) {
            int64_t user = data_int(l->user, row), first = ds->user_offsets[user];
            return (Example){user, row, first, first + data_int(l->before, row)};
        }
        int64_t u = find(ds->user_offsets, ds->users, row);
        return (Example){u, row, ds->user_offsets[u], row};
    }
    int64_t lo = find(l->starts, ds->users, example);
    int64_t first = ds->user_offsets[lo], n = ds->user_offsets[lo + 1] - first, k = example - l->starts[lo], at = 0;
    DataPart parts[3];
    int nparts = parts_of(l, parts);
    for (int i = 0; i < nparts; i++) {
        Range t = usable(l, parts[i], n, shortest_history(l));
        int64_t count = thinned(l, t.hi - t.lo);
        if (k < count) {
            at = t.lo + thin(l, t.hi - t.lo, k);
            break;
        }
        k -= count;
    }
    return (Example){lo, l->part == PART_SERVE ? -1 : first + at, first, first + at};
}

DataPart loader_part(const Loader *l, int64_t example)
{
    if (l->part != PART_ALL) {
        return l->part;
    }
    Example x = loader_locate(l, example);
    if (l->chosen) {
        return loader_part_of_row(l, x.target, x.user);
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
