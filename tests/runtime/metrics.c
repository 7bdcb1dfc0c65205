/* Metrics against brute force, and their refusals. */
#include "metrics.h"
#include "../../ir/random.h"
#include "test.h"
#include <math.h>

static double of_ranks(const char *name, int n, const double *ranks)
{
    Error e;
    Metric *m = metric_new(name, &e);
    double out = NAN;
    CHECK(m && metric_takes_ranks(m) && strcmp(metric_name(m), name) == 0);
    for (int i = 0; i < n; i++) {
        CHECK(metric_add_rank(m, ranks[i], &e));
    }
    CHECK(metric_result(m, &out, &e));
    metric_free(m);
    return out;
}

static void ranks(void)
{
    const double r[] = {1, 2, 10, 10.5, 11, 400};
    CHECK_NEAR(of_ranks("HR@10", 6, r), 3.0 / 6, 1e-15);
    CHECK_NEAR(of_ranks("HR@11", 6, r), 5.0 / 6, 1e-15);
    CHECK_NEAR(of_ranks("NDCG@10", 6, r), (1 + 1 / log2(3) + 1 / log2(11)) / 6, 1e-15);
    CHECK_NEAR(of_ranks("MRR", 6, r), (1 + 0.5 + 0.1 + 1 / 10.5 + 1.0 / 11 + 1.0 / 400) / 6, 1e-15);
    CHECK_NEAR(of_ranks("MRR@10", 6, r), (1 + 0.5 + 0.1) / 6, 1e-15);
}

enum { ROWS = 600, GROUPS = 7 };

static double brute_area(int n, const double *score, const bool *label, const int64_t *group, int64_t g, int *size)
{
    double right = 0, pairs = 0;
    *size = 0;
    for (int i = 0; i < n; i++) {
        *size += group[i] == g || g < 0;
        for (int j = 0; j < n; j++) {
            if ((g < 0 || (group[i] == g && group[j] == g)) && label[i] && !label[j]) {
                pairs++;
                right += score[i] > score[j] ? 1 : score[i] == score[j] ? 0.5 : 0;
            }
        }
    }
    return pairs > 0 ? right / pairs : NAN;
}

static void areas(void)
{
    static double score[ROWS];
    static bool label[ROWS];
    static int64_t group[ROWS];
    Error e;
    Metric *auc = metric_new("AUC", &e), *gauc = metric_new("gauc", &e), *loss = metric_new("logloss", &e),
           *calibration = metric_new("calibration", &e), *mse = metric_new("mse", &e);
    double expected_loss = 0, predicted = 0, positives = 0, squares = 0, out;
    for (int i = 0; i < ROWS; i++) {
        uint64_t h = random_fold(99, i);
        score[i] = (double)(h % 23) / 4 - 3; /* many ties */
        label[i] = random_uniform(random_mix(h)) < 0.3 + 0.02 * score[i];
        group[i] = i < 3 ? GROUPS : (int64_t)(h >> 30) % GROUPS;
        label[i] = i < 3 ? true : label[i]; /* one group of one class */
        CHECK(metric_add_logit(auc, score[i], label[i], group[i], &e));
        CHECK(metric_add_logit(gauc, score[i], label[i], group[i], &e));
        CHECK(metric_add_logit(loss, score[i], label[i], group[i], &e));
        CHECK(metric_add_logit(calibration, score[i], label[i], group[i], &e));
        CHECK(metric_add_logit(mse, score[i], 0.3 * i, 0, &e));
        squares += (score[i] - 0.3 * i) * (score[i] - 0.3 * i);
        double p = 1 / (1 + exp(-score[i]));
        expected_loss -= label[i] ? log(p) : log(1 - p);
        predicted += p;
        positives += label[i];
    }
    int size;
    CHECK(metric_result(auc, &out, &e));
    CHECK_NEAR(out, brute_area(ROWS, score, label, group, -1, &size), 1e-12);
    double sum = 0, weight = 0;
    for (int g = 0; g <= GROUPS; g++) {
        double a = brute_area(ROWS, score, label, group, g, &size);
        if (!isnan(a)) {
            sum += a * size;
            weight += size;
        }
    }
    CHECK(metric_result(gauc, &out, &e));
    CHECK_NEAR(out, sum / weight, 1e-12);
    CHECK(metric_result(loss, &out, &e));
    CHECK_NEAR(out, expected_loss / ROWS, 1e-12);
    CHECK(metric_result(calibration, &out, &e));
    CHECK_NEAR(out, predicted / positives, 1e-12);
    CHECK(metric_result(mse, &out, &e));
    CHECK_NEAR(out / (squares / ROWS), 1, 1e-12);
    metric_free(mse);
    metric_reset(loss);
    CHECK(metric_add_logit(loss, -1000, true, 0, &e)); /* no overflow, no log of 0 */
    CHECK(metric_result(loss, &out, &e) && out == 1000);
    metric_free(auc);
    metric_free(gauc);
    metric_free(loss);
    metric_free(calibration);
}

static void refusals(void)
{
    Error e;
    double out;
    CHECK_ERROR(metric_new("HR", &e) != NULL, e, EXIT_USAGE, "metric 'HR': write HR@10");
    CHECK_ERROR(metric_new("HR@0", &e) != NULL, e, EXIT_USAGE, "write HR@10");
    CHECK_ERROR(metric_new("HR@x", &e) != NULL, e, EXIT_USAGE, "write HR@10");
    CHECK_ERROR(metric_new("AUC@3", &e) != NULL, e, EXIT_USAGE, "write AUC");
    CHECK_ERROR(metric_new("precision", &e) != NULL, e, EXIT_USAGE, "there are HR@K");
    Metric *m = metric_new("MRR", &e), *a = metric_new("AUC", &e);
    CHECK_ERROR(metric_result(m, &out, &e), e, EXIT_DATA, "no examples");
    CHECK_ERROR(metric_add_rank(m, NAN, &e), e, EXIT_NONFINITE, "not numbers");
    CHECK_ERROR(metric_add_logit(a, NAN, true, 0, &e), e, EXIT_NONFINITE, "not a number");
    CHECK(metric_add_logit(a, 1, true, 0, &e));
    CHECK_ERROR(metric_result(a, &out, &e), e, EXIT_DATA, "both positive and negative");
    metric_free(m);
    metric_free(a);
}

/* Of a loss the smaller value is better, of a calibration the one nearer to 1. */
static void merits(void)
{
    CHECK(metric_merit("hr@10", 0.3) > metric_merit("hr@10", 0.2));
    CHECK(metric_merit("auc", 0.8) > metric_merit("auc", 0.7));
    CHECK(metric_merit("logloss", 0.4) > metric_merit("logloss", 0.5));
    CHECK(metric_merit("mse", 0) > metric_merit("mse", 2));
    CHECK(metric_merit("calibration", 1.1) > metric_merit("calibration", 0.7));
}

int main(void)
{
    merits();
    ranks();
    areas();
    refusals();
    return report("metrics");
}
