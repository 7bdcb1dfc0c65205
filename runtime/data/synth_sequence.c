/* An item Markov chain with periodic time effects.
 *
 * The catalogue is a number of clusters, each a ring of items. After item c and a gap of time, with probability
 * 1 - noise the next item lies in the cluster that is SHIFT[phase] further, near the place on its ring that c points
 * to: with probability falling by a constant factor along 0, +1, -1, +2, -2 ... With probability noise it is any item.
 * The phase is the gap in quarters of a day, modulo a day. So the next item is predictable from the last one and the
 * time of the next event, and from nothing else; who looks at the items alone loses the factor between the phases.
 *
 * Nobody meets an item twice (the step is drawn from the items not seen yet), as in MovieLens, where the protocol
 * removes the history from the candidates. Given a user's history, the distribution of the target over the candidates
 * is then known exactly; ranking by it is optimal for hits, NDCG and MRR at once, since these fall with the rank. */
#include "synth_impl.h"

#include "../../ir/random.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { QUARTER = 6 * 3600, DAY = 24 * 3600 };
static const int SHIFT[4] = {0, 3, 6, 1};
static const double FALL = 6; /* places along the ring until the probability has fallen by e */

int chain_phase(int64_t gap)
{
    return (int)((gap + QUARTER / 2) / QUARTER % 4);
}

/* First item of a cluster; clusters are runs of ids whose sizes differ by one at most. */
static int64_t first_of(const Chain *c, int64_t cluster)
{
    return cluster * c->items / c->clusters;
}

static int64_t cluster_of(const Chain *c, int64_t item)
{
    int64_t cluster = item * c->clusters / c->items;
    while (item >= first_of(c, cluster + 1)) {
        cluster++;
    }
    return cluster;
}

void chain_next(const Chain *c, int64_t item, int64_t gap, double *p)
{
    int64_t cluster = (cluster_of(c, item) + SHIFT[chain_phase(gap)]) % c->clusters;
    int64_t first = first_of(c, cluster), size = first_of(c, cluster + 1) - first;
    int64_t points_to = (int64_t)(random_fold(random_key(c->seed, 0, "chain"), item) % (uint64_t)size);
    double total = 0;
    for (int64_t v = 0; v < c->items; v++) {
        p[v] = c->noise / (double)c->items;
    }
    for (int64_t k = 0; k < size; k++) {
        total += exp(-(double)k / FALL);
    }
    for (int64_t k = 0; k < size; k++) { /* 0, +1, -1, +2, -2 ... */
        int64_t place = (points_to + (k % 2 ? (k + 1) / 2 : size - k / 2)) % size;
        p[first + place] += (1 - c->noise) * exp(-(double)k / FALL) / total;
    }
}

RankMetrics rank_metrics(double rank)
{
    return (RankMetrics){rank <= 10, rank <= 50, rank <= 10 ? 1 / log2(rank + 1) : 0, 1 / fmin(rank, 2501)};
}

static double uniform(const SynthOptions *o, const char *name, int64_t user, int64_t at)
{
    return random_uniform(random_fold(random_fold(random_key(o->seed, 0, name), user), at));
}

/* Half of the gaps are minutes; the others are a quarter, a half, three quarters of a day or a day, give or take. */
static int64_t draw_gap(const SynthOptions *o, int64_t user, int64_t at)
{
    double u = uniform(o, "gap", user, at), v = uniform(o, "gap.jitter", user, at);
    if (u < 0.5) {
        return 60 + (int64_t)(v * 540);
    }
    int64_t quarters = 1 + (int64_t)((u - 0.5) * 8);
    return quarters * QUARTER + (int64_t)((v - 0.5) * QUARTER / 4);
}

static int64_t draw_item(const double *p, int64_t n, double u)
{
    double total = 0, below = 0;
    int64_t last = 0;
    for (int64_t v = 0; v < n; v++) {
        total += p[v];
    }
    for (int64_t v = 0; v < n; v++) {
        below += p[v];
        last = p[v] > 0 ? v : last;
        if (u * total < below) {
            return v;
        }
    }
    return last;
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

static void add(RankMetrics *to, RankMetrics m, double weight)
{
    to->hr10 += weight * m.hr10;
    to->hr50 += weight * m.hr50;
    to->ndcg10 += weight * m.ndcg10;
    to->mrr += weight * m.mrr;
}

/* p: probabilities of the candidates (0: not one). What the best ranker gets for this target, and on average over all
 * targets with their probabilities. `sorted` has room for n. */
static void rank_best(const double *p, int64_t n, int64_t target, double *sorted, RankMetrics *here, RankMetrics *mean)
{
    double total = 0;
    int64_t count = 0;
    for (int64_t v = 0; v < n; v++) {
        if (p[v] > 0) {
            sorted[count++] = p[v];
            total += p[v];
        }
    }
    qsort(sorted, (size_t)count, sizeof *sorted, descending);
    for (int64_t k = 0, end; k < count; k = end) {
        for (end = k + 1; end < count && sorted[end] == sorted[k]; end++) {
        }
        RankMetrics m = rank_metrics(1 + (double)k + (double)(end - k - 1) / 2);
        add(mean, m, (double)(end - k) * sorted[k] / total);
        if (p[target] == sorted[k]) {
            add(here, m, 1);
        }
    }
}

typedef struct {
    Builder *b;
    int item, ts;
    Chain chain;
    double *p, *sorted;
    bool *seen;
    RankMetrics here, mean;
    int64_t events, time_min, time_max;
} Writer;

static void write_user(Writer *w, const SynthOptions *o, int64_t user)
{
    int64_t spread = o->mean_length / 2;
    int64_t length = o->mean_length - spread + (int64_t)(uniform(o, "length", user, 0) * (double)(2 * spread + 1));
    int64_t now = INT64_C(1600000000) + (int64_t)(uniform(o, "start", user, 0) * 30 * DAY);
    int64_t item = (int64_t)(uniform(o, "first", user, 0) * (double)o->items);
    memset(w->seen, 0, (size_t)o->items * sizeof *w->seen);
    for (int64_t at = 0; at < length; at++) {
        if (at > 0) {
            int64_t gap = draw_gap(o, user, at);
            now += gap;
            chain_next(&w->chain, item, gap, w->p);
            for (int64_t v = 0; v < o->items; v++) {
                w->p[v] = w->seen[v] ? 0 : w->p[v];
            }
            item = draw_item(w->p, o->items, uniform(o, "next", user, at));
        }
        if (at == length - 1) {
            rank_best(w->p, o->items, item, w->sorted, &w->here, &w->mean);
        }
        w->seen[item] = true; /* NOLINT(clang-analyzer-unix.Malloc): synth_sequence frees it */
        builder_int(w->b, w->item, item);
        builder_int(w->b, w->ts, now);
        builder_row(w->b, TABLE_MAIN, user);
        w->time_min = w->events == 0 || now < w->time_min ? now : w->time_min;
        w->time_max = now > w->time_max ? now : w->time_max;
        w->events++;
    }
}

static bool make_columns(Writer *w, const SynthOptions *o, Error *e)
{
    int users = builder_vocab(w->b, "user", e), items = builder_vocab(w->b, "item", e);
    int clusters = builder_vocab(w->b, "cluster", e);
    if (users < 0 || items < 0 || clusters < 0 || !synth_names(w->b, users, o->users, e) ||
        !synth_names(w->b, items, o->items, e) || !synth_names(w->b, clusters, o->clusters, e)) {
        return false;
    }
    int cluster = builder_column(w->b, TABLE_ITEM, "cluster", SHAPE_SCALAR, DT_I32, clusters, e);
    w->item = builder_column(w->b, TABLE_MAIN, "item", SHAPE_SCALAR, DT_I32, items, e);
    w->ts = builder_column(w->b, TABLE_MAIN, "ts", SHAPE_SCALAR, DT_I64, -1, e);
    if (cluster < 0 || w->item < 0 || w->ts < 0) {
        return false;
    }
    for (int64_t v = 0; v < o->items; v++) {
        builder_int(w->b, cluster, cluster_of(&w->chain, v));
        builder_row(w->b, TABLE_ITEM, -1);
    }
    return true;
}

bool synth_sequence(const char *out, const SynthOptions *o, SynthReport *report, Error *e)
{
    Writer w = {.chain = {o->items, o->clusters, o->noise, o->seed}};
    bool good = false;
    w.p = malloc((size_t)o->items * sizeof *w.p);
    w.sorted = malloc((size_t)o->items * sizeof *w.sorted);
    w.seen = malloc((size_t)o->items * sizeof *w.seen);
    if (!w.p || !w.sorted || !w.seen) {
        error_set(e, EXIT_RESOURCES, "no memory for %lld items", (long long)o->items);
    } else {
        w.b = builder_new(out, DATA_LOG, o->replace, e);
        good = w.b && make_columns(&w, o, e);
    }
    for (int64_t user = 0; good && user < o->users && !builder_failed(w.b); user++) {
        write_user(&w, o, user);
    }
    free(w.p);
    free(w.sorted);
    free(w.seen);
    if (!good) {
        builder_abort(w.b);
        return false;
    }
    double n = (double)o->users;
    report->events = w.events;
    const double values[][2] = {{w.here.hr10, w.mean.hr10},
                                {w.here.hr50, w.mean.hr50},
                                {w.here.ndcg10, w.mean.ndcg10},
                                {w.here.mrr, w.mean.mrr}};
    static const char *const names[] = {"hr@10", "hr@50", "ndcg@10", "mrr"};
    for (int i = 0; i < 4; i++) {
        report->best[i].name = names[i];
        report->best[i].value = values[i][0] / n;
        report->best[i].expected = values[i][1] / n;
    }
    report->nbest = 4;
    cJSON *extra = synth_source("sequence", o);
    cJSON *time = cJSON_AddObjectToObject(extra, "time");
    cJSON_AddNumberToObject(time, "min", (double)w.time_min);
    cJSON_AddNumberToObject(time, "max", (double)w.time_max);
    cJSON_AddStringToObject(extra, "recipe", "next");
    synth_best(extra, "next", report);
    return builder_finish(w.b, extra, e);
}
