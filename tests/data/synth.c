/* Generated data: the best metrics in schema.json against a ranker that reads batches as a model does and knows the
 * generator's probabilities, and the means against fresh targets drawn from them; rankers that leave something out must
 * fall behind. */
#include "data/synth.h"
#include "../runtime/test.h"
#include "data/loader.h"

#include "../../ir/random.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { USERS = 600, ITEMS = 200, BOUND = 100 };
static char scratch[] = "/tmp/heddle-test-synth-XXXXXX", sequence[64], xor_[64];

static const DataInput ranked[] = {
    {"item", DT_I64, "item", false, false, 1, {{DIM_RAGGED, "T", 1, BOUND, NULL}}},
    {"ts", DT_I64, NULL, false, false, 1, {{DIM_RAGGED, "T", 1, BOUND, NULL}}},
    {"now", DT_I64, NULL, false, false, 0, {{0}}},
    {"target", DT_I64, "item", true, false, 0, {{0}}},
};

static const int64_t *ints(const Batch *b, const char *name)
{
    for (int i = 0; i < b->n; i++) {
        if (strcmp(b->arrays[i].name, name) == 0) {
            return b->arrays[i].data;
        }
    }
    exit(1);
}

static double rank_of(const double *p, int64_t target)
{
    double above = 0, tied = 0;
    for (int v = 0; v < ITEMS; v++) {
        above += p[v] > p[target];
        tied += v != target && p[v] == p[target];
    }
    return 1 + above + tied / 2;
}

typedef struct {
    double sum[4], square[4], n;
} Mean;

static void add(Mean *m, double rank)
{
    RankMetrics r = rank_metrics(rank);
    double v[4] = {r.hr10, r.hr50, r.ndcg10, r.mrr};
    for (int i = 0; i < 4; i++) {
        m->sum[i] += v[i];
        m->square[i] += v[i] * v[i];
    }
    m->n++;
}

static void test_sequence(void)
{
    Error e = {0};
    SynthOptions o = {.users = USERS, .items = ITEMS, .mean_length = 30, .clusters = 7, .noise = -1, .seed = 5};
    SynthReport r;
    CHECK(data_synth("sequence", sequence, &o, &r, &e));
    DataSet *ds = data_open(sequence, true, &e);
    DataRecipe recipe;
    recipe_default(ds, &recipe);
    CHECK(recipe.kind == RECIPE_NEXT);
    Loader *l = loader_new(ds, &recipe, PART_TEST, 4, ranked, &e);
    Batch b;
    CHECK(l && loader_count(l) == USERS && loader_stats(l).cut == 0 && loader_batch(l, 0, USERS, &b, &e));
    Chain chain = {ITEMS, 7, 0.1, 5};
    Mean here = {0}, fresh = {0}, timeless = {0};
    double p[ITEMS], blind[ITEMS], likelihood = 0, entropy = 0, spread = 0;
    for (int64_t u = 0; u < USERS; u++) {
        int64_t lo = ints(&b, "T.offsets")[u], hi = ints(&b, "T.offsets")[u + 1], target = ints(&b, "target")[u];
        int64_t last = ints(&b, "item")[hi - 1], gap = ints(&b, "now")[u] - ints(&b, "ts")[hi - 1];
        double total = 0;
        chain_next(&chain, last, gap, p);
        chain_next(&chain, last, 0, blind);
        for (int v = 0; v < ITEMS; v++) {
            total += p[v];
        }
        CHECK_NEAR(total, 1, 1e-12);
        for (int64_t k = lo; k < hi; k++) {
            p[ints(&b, "item")[k]] = blind[ints(&b, "item")[k]] = 0;
        }
        CHECK(p[target] > 0);
        add(&here, rank_of(p, target));
        add(&timeless, rank_of(blind, target));
        total = 0;
        for (int v = 0; v < ITEMS; v++) {
            total += p[v];
        }
        /* The targets have the likelihood that the probabilities promise. */
        double mean = 0, square = 0;
        for (int v = 0; v < ITEMS; v++) {
            if (p[v] > 0) {
                mean -= p[v] / total * log(p[v] / total);
                square += p[v] / total * log(p[v] / total) * log(p[v] / total);
            }
        }
        likelihood -= log(p[target] / total);
        entropy += mean;
        spread += square - mean * mean;
        for (int k = 0; k < 50; k++) {
            double at = random_uniform(random_fold(random_fold(random_key(99, 0, "fresh"), u), k)) * total;
            int v = 0;
            while (v < ITEMS - 1 && (at -= p[v]) >= 0) {
                v++;
            }
            while (p[v] == 0) {
                v--;
            }
            add(&fresh, rank_of(p, v));
        }
    }
    CHECK(fabs(likelihood - entropy) < 4 * sqrt(spread));
    static const char *const metrics[] = {"hr@10", "hr@50", "ndcg@10", "mrr"};
    for (int i = 0; i < 4; i++) {
        double best, expected, m = fresh.sum[i] / fresh.n;
        CHECK(data_best(ds, metrics[i], false, &best) && data_best(ds, metrics[i], true, &expected));
        CHECK_NEAR(here.sum[i] / here.n, best, 1e-12);
        double sigma = sqrt((fresh.square[i] / fresh.n - m * m) / fresh.n);
        CHECK_NEAR(m, expected, 4 * sigma);
        CHECK_NEAR(best, expected, 4 * sigma * sqrt(50));
        CHECK(i == 1 || timeless.sum[i] < 0.8 * here.sum[i]);
        CHECK(strcmp(r.best[i].name, metrics[i]) == 0 && r.best[i].value == best);
    }
    loader_free(l);
    data_close(ds);
}

static void test_same_again(void)
{
    Error e = {0};
    SynthOptions o = {
        .users = USERS, .items = ITEMS, .mean_length = 30, .clusters = 7, .noise = -1, .seed = 5, .replace = true};
    SynthReport r;
    char names[3][9];
    for (int k = 0; k < 3; k++) {
        DataSet *ds = data_open(sequence, false, &e);
        memcpy(names[k], ds->fingerprint, 9);
        data_close(ds);
        o.seed = k == 0 ? 5 : 6;
        CHECK(data_synth("sequence", sequence, &o, &r, &e));
    }
    CHECK(strcmp(names[0], names[1]) == 0 && strcmp(names[1], names[2]) != 0);
}

static void test_refusals(void)
{
    Error e = {0};
    SynthReport r;
    SynthOptions o = {.noise = -1};
    CHECK_ERROR(data_synth("chain", sequence, &o, &r, &e), e, EXIT_USAGE, "choose sequence or xor");
    CHECK_ERROR(data_synth("sequence", sequence, &o, &r, &e), e, EXIT_DATA, "is there already");
    o.items = 60;
    CHECK_ERROR(data_synth("sequence", sequence, &o, &r, &e), e, EXIT_USAGE, "half the number of items (30)");
    o = (SynthOptions){.noise = 0.7};
    CHECK_ERROR(data_synth("xor", sequence, &o, &r, &e), e, EXIT_USAGE, "between 0 and 0.5");
    o = (SynthOptions){.clusters = 400};
    CHECK_ERROR(data_synth("sequence", sequence, &o, &r, &e), e, EXIT_USAGE, "two items per cluster");
}

/* AUC of a score with two values, ties counted half. */
static double auc(double n[2][2])
{
    double ones = n[0][1] + n[1][1], zeros = n[0][0] + n[1][0];
    return (n[1][1] * n[0][0] + 0.5 * (n[1][1] * n[1][0] + n[0][1] * n[0][0])) / (ones * zeros);
}

static void test_xor(void)
{
    Error e = {0};
    SynthOptions o = {.users = USERS, .items = ITEMS, .mean_length = 30, .noise = 0.15, .seed = 8};
    SynthReport r;
    static const DataInput in[] = {
        {"act", DT_I64, "action", false, false, 1, {{DIM_RAGGED, "S", 0, BOUND, NULL}}},
        {"fv", DT_I64, NULL, false, false, 1, {{DIM_FIELDS, "F", 0, 3, "cat"}}},
        {"lab", DT_I64, NULL, true, false, 0, {{0}}},
    };
    CHECK(data_synth("xor", xor_, &o, &r, &e));
    DataSet *ds = data_open(xor_, true, &e);
    DataRecipe recipe;
    recipe_default(ds, &recipe);
    CHECK(recipe.kind == RECIPE_EVENTS && recipe.first == 1);
    Loader *l = NULL;
    CHECK_ERROR((l = loader_new(ds, &recipe, PART_TEST, 3, in, &e)) != NULL, e, EXIT_DATA, "fractions");
    DataInput real[3] = {in[0], in[1], in[2]};
    real[2].dtype = DT_F64;
    l = loader_new(ds, &recipe, PART_TEST, 3, real, &e);
    Batch b;
    int64_t n = l ? loader_count(l) : 0;
    CHECK(n > USERS && loader_batch(l, 0, n, &b, &e));
    double both[2][2] = {{0}}, history[2][2] = {{0}}, feature[2][2] = {{0}}, loss = 0;
    for (int64_t k = 0; k < n; k++) {
        int memory = 0;
        for (int64_t at = ints(&b, "S.offsets")[k]; at < ints(&b, "S.offsets")[k + 1]; at++) {
            int64_t act = ints(&b, "act")[at]; /* view, yes, no */
            memory = act == 0 ? memory : act == 1;
        }
        int plan = (int)ints(&b, "fv")[3 * k + 1], label = ((const double *)ints(&b, "lab"))[k] > 0.5;
        both[memory ^ plan][label]++;
        history[memory][label]++;
        feature[plan][label]++;
        loss -= log((memory ^ plan) == label ? 0.85 : 0.15) / (double)n;
    }
    double best;
    CHECK(data_best(ds, "auc", false, &best));
    CHECK_NEAR(auc(both), best, 1e-12);
    CHECK_NEAR(auc(both), 0.85, 4 * 0.36 / sqrt((double)n));
    CHECK_NEAR(auc(history), 0.5, 4 * 0.5 / sqrt((double)n));
    CHECK_NEAR(auc(feature), 0.5, 4 * 0.5 / sqrt((double)n));
    CHECK(data_best(ds, "logloss", false, &best));
    CHECK_NEAR(loss, best, 1e-12);
    CHECK(data_best(ds, "logloss", true, &best));
    CHECK_NEAR(best, -0.85 * log(0.85) - 0.15 * log(0.15), 1e-12);
    loader_free(l);
    data_close(ds);
}

int main(void)
{
    if (!mkdtemp(scratch)) {
        return 2;
    }
    snprintf(sequence, sizeof sequence, "%s/sequence", scratch);
    snprintf(xor_, sizeof xor_, "%s/xor", scratch);
    test_sequence();
    test_same_again();
    test_refusals();
    test_xor();
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", scratch);
    CHECK(system(command) == 0);
    return report("synth");
}
