/* Metrics. Ranks and losses are sums; AUC needs the order of all scores, so its rows are kept and sorted at the end. */
#include "metrics.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef enum {
    METRIC_HR,
    METRIC_NDCG,
    METRIC_MRR,
    METRIC_AUC,
    METRIC_GAUC,
    METRIC_LOGLOSS,
    METRIC_CALIBRATION,
    METRIC_MSE
} Kind;

static const struct {
    const char *name;
    Kind kind;
    enum { CUTOFF_NONE, CUTOFF_MAY, CUTOFF_MUST } cutoff;
} kinds[] = {
    {"HR", METRIC_HR, CUTOFF_MUST},
    {"NDCG", METRIC_NDCG, CUTOFF_MUST},
    {"MRR", METRIC_MRR, CUTOFF_MAY},
    {"AUC", METRIC_AUC, CUTOFF_NONE},
    {"gAUC", METRIC_GAUC, CUTOFF_NONE},
    {"logloss", METRIC_LOGLOSS, CUTOFF_NONE},
    {"calibration", METRIC_CALIBRATION, CUTOFF_NONE},
    {"mse", METRIC_MSE, CUTOFF_NONE},
};
enum { NKINDS = sizeof kinds / sizeof *kinds };

typedef struct {
    double score;
    int64_t group;
    bool label;
} Row;

struct Metric {
    char name[40];
    Kind kind;
    double cutoff; /* or infinity */
    int64_t n, positives;
    double sum;
    Row *rows;
    int64_t capacity;
};

double metric_merit(const char *name, double value)
{
    size_t length = strcspn(name, "@");
    for (int i = 0; i < NKINDS; i++) {
        if (strlen(kinds[i].name) == length && strncasecmp(kinds[i].name, name, length) == 0) {
            bool less = kinds[i].kind == METRIC_LOGLOSS || kinds[i].kind == METRIC_MSE;
            return less ? -value : kinds[i].kind == METRIC_CALIBRATION ? -fabs(value - 1) : value;
        }
    }
    return value;
}

Metric *metric_new(const char *name, Error *e)
{
    size_t length = strcspn(name, "@");
    for (int i = 0; i < NKINDS; i++) {
        if (strlen(kinds[i].name) != length || strncasecmp(kinds[i].name, name, length) != 0) {
            continue;
        }
        char *end = NULL;
        long cutoff = name[length] ? strtol(name + length + 1, &end, 10) : 0;
        bool has_cutoff = name[length] != '\0';
        if ((has_cutoff && (*end || cutoff < 1 || cutoff > 1000000000)) ||
            (has_cutoff && kinds[i].cutoff == CUTOFF_NONE) || (!has_cutoff && kinds[i].cutoff == CUTOFF_MUST)) {
            error_set(e, EXIT_USAGE, "metric '%s': write %s%s", name, kinds[i].name,
                      kinds[i].cutoff == CUTOFF_NONE ? "" : "@10, or another number of places");
            return NULL;
        }
        Metric *m = calloc(1, sizeof *m);
        if (!m) {
            error_set(e, EXIT_RESOURCES, "no memory for metric '%s'", name);
            return NULL;
        }
        m->kind = kinds[i].kind;
        m->cutoff = has_cutoff ? (double)cutoff : INFINITY;
        snprintf(m->name, sizeof m->name, has_cutoff ? "%s@%ld" : "%s", kinds[i].name, cutoff);
        return m;
    }
    error_set(e, EXIT_USAGE, "unknown metric '%s': there are HR@K, NDCG@K, MRR, AUC, gAUC, logloss, calibration, mse",
              name);
    return NULL;
}

void metric_free(Metric *m)
{
    if (m) {
        free(m->rows);
        free(m);
    }
}

const char *metric_name(const Metric *m)
{
    return m->name;
}

bool metric_takes_ranks(const Metric *m)
{
    return m->kind == METRIC_HR || m->kind == METRIC_NDCG || m->kind == METRIC_MRR;
}

int64_t metric_count(const Metric *m)
{
    return m->n;
}

void metric_reset(Metric *m)
{
    m->n = m->positives = 0;
    m->sum = 0;
}

bool metric_add_rank(Metric *m, double rank, Error *e)
{
    if (!(rank >= 1)) {
        return error_set(e, EXIT_NONFINITE, "%s: rank %g after %lld others: scores are not numbers", m->name, rank,
                         (long long)m->n);
    }
    m->n++;
    if (rank <= m->cutoff) {
        m->sum += m->kind == METRIC_HR ? 1 : m->kind == METRIC_NDCG ? 1 / log2(rank + 1) : 1 / rank;
    }
    return true;
}

/* log(1 + exp(x)) without overflow. */
static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

bool metric_add_logit(Metric *m, double logit, double value, int64_t group, Error *e)
{
    bool label = value > 0.5;
    if (isnan(logit) || (m->kind == METRIC_MSE && isnan(value))) {
        return error_set(e, EXIT_NONFINITE, "%s: the score of row %lld is not a number", m->name, (long long)m->n);
    }
    if (m->kind == METRIC_LOGLOSS) {
        m->sum += softplus(label ? -logit : logit);
    } else if (m->kind == METRIC_MSE) {
        m->sum += (logit - value) * (logit - value);
    } else if (m->kind == METRIC_CALIBRATION) {
        m->sum += logit >= 0 ? 1 / (1 + exp(-logit)) : exp(logit) / (1 + exp(logit));
    } else {
        if (m->n == m->capacity) {
            int64_t capacity = m->capacity ? 2 * m->capacity : 4096;
            Row *rows = realloc(m->rows, (size_t)capacity * sizeof *rows);
            if (!rows) {
                return error_set(e, EXIT_RESOURCES, "%s: no memory for more than %lld rows", m->name, (long long)m->n);
            }
            m->rows = rows;
            m->capacity = capacity;
        }
        m->rows[m->n] = (Row){logit, m->kind == METRIC_GAUC ? group : 0, label};
    }
    m->n++;
    m->positives += label;
    return true;
}

static int by_group_and_score(const void *a, const void *b)
{
    const Row *x = a, *y = b;
    if (x->group != y->group) {
        return x->group < y->group ? -1 : 1;
    }
    return (x->score > y->score) - (x->score < y->score);
}

/* Area over n rows in rising order of score: the share of (positive, negative) pairs in the right order, a tie
 * counting one half. NaN if there is but one class. */
static double area(const Row *rows, int64_t n)
{
    double pairs = 0;
    int64_t positives = 0, negatives = 0;
    for (int64_t i = 0, end; i < n; i = end) {
        int64_t here = 0;
        for (end = i; end < n && rows[end].score == rows[i].score; end++) {
            here += rows[end].label;
        }
        int64_t others = end - i - here;
        pairs += (double)here * ((double)negatives + 0.5 * (double)others);
        positives += here;
        negatives += others;
    }
    return positives > 0 && negatives > 0 ? pairs / ((double)positives * (double)negatives) : NAN;
}

static bool area_result(const Metric *m, double *out, Error *e)
{
    qsort(m->rows, (size_t)m->n, sizeof *m->rows, by_group_and_score);
    double sum = 0, weight = 0;
    for (int64_t i = 0, end; i < m->n; i = end) {
        for (end = i; end < m->n && m->rows[end].group == m->rows[i].group; end++) {
        }
        double a = area(m->rows + i, end - i);
        if (!isnan(a)) {
            sum += a * (double)(end - i);
            weight += (double)(end - i);
        }
    }
    if (weight == 0) {
        return error_set(e, EXIT_DATA, "%s: %s both positive and negative rows: there is nothing to compare", m->name,
                         m->kind == METRIC_GAUC ? "no group holds" : "the data does not hold");
    }
    *out = sum / weight;
    return true;
}

bool metric_result(const Metric *m, double *out, Error *e)
{
    if (m->n == 0) {
        return error_set(e, EXIT_DATA, "%s: no examples were evaluated", m->name);
    }
    switch (m->kind) {
    case METRIC_AUC:
    case METRIC_GAUC:
        return area_result(m, out, e);
    case METRIC_CALIBRATION:
        if (m->positives == 0) {
            return error_set(e, EXIT_DATA, "%s: the data holds no positive row", m->name);
        }
        *out = m->sum / (double)m->positives;
        return true;
    default:
        *out = m->sum / (double)m->n;
        return true;
    }
}
