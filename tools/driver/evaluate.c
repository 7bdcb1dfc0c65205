/* The figures of a rank section: each setting (`hr(at, 10, 50)`) becomes one figure per cutoff. */
#include "evaluate.h"
#include "metrics.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const MetricSetting *setting;
    Metric *metric;
    char name[32]; /* as the spec writes it: hr@10 */
} Sum;

static int open_sums(const Project *p, Sum *sums, Error *e)
{
    const MetricSetting *settings;
    int n = 0, nsettings = spec_metrics(p->spec, &settings);
    for (int i = 0; i < nsettings; i++) {
        int cuts = settings[i].ncutoffs > 0 ? settings[i].ncutoffs : 1;
        for (int c = 0; c < cuts; c++) {
            if (n == MAX_FIGURES) {
                error_set(e, EXIT_SPEC, "the rank section has more than %d metrics", MAX_FIGURES);
                return -1 - n;
            }
            char *name = sums[n].name;
            if (settings[i].ncutoffs > 0) {
                snprintf(name, sizeof sums[0].name, "%s@%lld", settings[i].name, (long long)settings[i].cutoffs[c]);
            } else {
                snprintf(name, sizeof sums[0].name, "%s", settings[i].name);
            }
            Metric *m = metric_new(name, e);
            if (!m) {
                return -1 - n;
            }
            sums[n].setting = &settings[i];
            sums[n++].metric = m;
        }
    }
    return n;
}

/* A per-example value that a metric reads: an output of the plan or an input of the batch. */
static bool values_of(Session *s, const Batch *b, const char *name, double *out, Error *e)
{
    Array a = {0};
    const Array *given = batch_find(b, name);
    bool fetched = !given;
    if (given) {
        a = *given;
    } else if (!session_fetch(s, name, &a, e)) {
        return false;
    }
    bool ok = a.ndim == 1 && a.dims[0] == b->batch;
    for (int64_t i = 0; ok && i < b->batch; i++) {
        out[i] = a.dtype == DT_F64   ? ((double *)a.data)[i]
                 : a.dtype == DT_F32 ? (double)((float *)a.data)[i]
                 : a.dtype == DT_I64 ? (double)((int64_t *)a.data)[i]
                 : a.dtype == DT_I32 ? (double)((int32_t *)a.data)[i]
                                     : (double)((unsigned char *)a.data)[i];
    }
    if (fetched) {
        free(a.data);
    }
    return ok || error_set(e, EXIT_SPEC, "metrics want one value per example; '%s' has more", name);
}

static bool add_batch(Session *s, const Batch *b, Sum *sum, double *values, Error *e)
{
    const MetricSetting *m = sum->setting;
    for (int i = 0; i < m->ntensors; i++) {
        if (!values_of(s, b, m->tensors[i], values + i * b->batch, e)) {
            return false;
        }
    }
    for (int64_t i = 0; i < b->batch; i++) {
        bool ok = metric_takes_ranks(sum->metric)
                      ? metric_add_rank(sum->metric, values[i], e)
                      : metric_add_logit(sum->metric, values[i], values[b->batch + i] > 0.5,
                                         m->ntensors > 2 ? (int64_t)values[2 * b->batch + i] : 0, e);
        if (!ok) {
            return false;
        }
    }
    return true;
}

int evaluate(const Project *p, Session *s, Feed *feed, int64_t batch, Figure *figures, Error *e)
{
    Sum sums[MAX_FIGURES];
    int n = open_sums(p, sums, e);
    int opened = n >= 0 ? n : -1 - n;
    double *values = malloc(3 * (size_t)batch * sizeof *values);
    bool ok = n >= 0 && (values || error_set(e, EXIT_RESOURCES, "out of memory"));
    feed_order(feed, false, 0, 0);
    for (int64_t first = 0; ok && first < feed_rows(feed); first += batch) {
        int64_t left = feed_rows(feed) - first;
        Batch b;
        ok = feed_batch(feed, first, left < batch ? left : batch, &b, e) && session_run(s, &b, 0, e);
        for (int i = 0; ok && i < n; i++) {
            ok = add_batch(s, &b, &sums[i], values, e);
        }
    }
    for (int i = 0; i < opened; i++) {
        snprintf(figures[i].name, sizeof figures[i].name, "%s", sums[i].name);
        ok = ok && metric_result(sums[i].metric, &figures[i].value, e);
        metric_free(sums[i].metric);
    }
    free(values);
    return ok ? n : -1;
}
