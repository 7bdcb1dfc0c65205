/* The figures of a rank section: each setting (`hr(at, 10, 50)`) becomes one figure per cutoff. */
#include "evaluate.h"
#include "checkpoint.h"
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

/* counts: which examples of the batch do, NULL: all. */
static bool add_batch(Session *s, const Batch *b, const bool *counts, Sum *sum, double *values, Error *e)
{
    const MetricSetting *m = sum->setting;
    for (int i = 0; i < m->ntensors; i++) {
        if (!values_of(s, b, m->tensors[i], values + i * b->batch, e)) {
            return false;
        }
    }
    for (int64_t i = 0; i < b->batch; i++) {
        if (counts && !counts[i]) {
            continue;
        }
        bool ok = metric_takes_ranks(sum->metric)
                      ? metric_add_rank(sum->metric, values[i], e)
                      : metric_add_logit(sum->metric, values[i], values[b->batch + i],
                                         m->ntensors > 2 ? (int64_t)values[2 * b->batch + i] : 0, e);
        if (!ok) {
            return false;
        }
    }
    return true;
}

struct Exam {
    const Project *p;
    DataPart part;
    int64_t batch;
    const char *stored;
    Feed *feed;
    Stream *stream; /* with states by key, else NULL */
    States *states;
    double *values;
    bool *counts;
};

Exam *exam_open(const Project *p, const Program *rank, DataPart part, int64_t batch, const char *stored, Error *e)
{
    Exam *x = calloc(1, sizeof *x);
    KeyState *const *tables;
    const TrainSettings *train = spec_train(p->spec);
    bool ok = x != NULL;
    if (ok) {
        *x = (Exam){.p = p, .part = part, .batch = batch, .stored = stored};
        x->values = malloc(3 * (size_t)batch * sizeof *x->values);
        x->counts = malloc((size_t)batch * sizeof *x->counts);
        ok = x->values && x->counts;
    }
    if (!ok) {
        error_set(e, EXIT_RESOURCES, "out of memory");
    }
    ok = ok && (x->states = states_open(rank->plan, e));
    bool keyed = ok && states_tables(x->states, &tables) > 0;
    if (ok && keyed && !(train && train->stream_by)) {
        ok =
            error_set(e, EXIT_SPEC, "the spec has states by key: its train section has to say `stream by KEY chunk N`");
    }
    if (ok && stored && !keyed) {
        ok = error_set(e, EXIT_USAGE, "the spec has no states by key that could be stored");
    }
    ok = ok && (x->feed = feed_open(p, rank, keyed ? PART_ALL : part, e)) &&
         (!keyed || (x->stream = stream_open(x->feed, train->stream_by, 1, batch, stored ? PART_VALID : PART_TRAIN,
                                             (int)part, e)));
    if (!ok) {
        exam_close(x);
        return NULL;
    }
    return x;
}

void exam_close(Exam *x)
{
    if (x) {
        stream_close(x->stream);
        states_close(x->states);
        feed_close(x->feed);
        free(x->values);
        free(x->counts);
        free(x);
    }
}

static bool add_all(const Exam *x, Session *s, const Batch *b, const bool *counts, Sum *sums, int n, Error *e)
{
    bool ok = true;
    for (int i = 0; ok && i < n; i++) {
        ok = add_batch(s, b, counts, &sums[i], x->values, e);
    }
    return ok;
}

static bool run_examples(Exam *x, Session *s, Sum *sums, int n, Error *e)
{
    bool ok = true;
    feed_order(x->feed, false, 0, 0);
    for (int64_t first = 0; ok && first < feed_rows(x->feed); first += x->batch) {
        int64_t left = feed_rows(x->feed) - first;
        Batch b;
        ok = feed_batch(x->feed, first, left < x->batch ? left : x->batch, &b, e) && session_run(s, &b, 0, e) &&
             add_all(x, s, &b, NULL, sums, n, e);
    }
    return ok;
}

static bool run_stream(Exam *x, Session *s, Sum *sums, int n, Error *e)
{
    KeyState *const *tables;
    int ntables = states_tables(x->states, &tables);
    states_clear(x->states);
    if (x->stored && !states_read(x->stored, ntables, tables, e)) {
        return false;
    }
    int64_t steps = stream_begin(x->stream, false, 0, 0, e);
    bool ok = steps >= 0;
    for (int64_t k = 0; ok && k < steps; k++) {
        const StreamStep *step = stream_step(x->stream, k);
        Batch data, b;
        bool any = false;
        ok = feed_examples(x->feed, step->n, step->examples, &data, e) &&
             states_give(x->states, step, x->stored != NULL, &data, &b, e) && session_run(s, &b, 0, e) &&
             states_take(x->states, step, s, e);
        for (int64_t i = 0; i < step->n; i++) {
            x->counts[i] = feed_part(x->feed, step->examples[i]) == x->part;
            any = any || x->counts[i];
        }
        ok = ok && (!any || add_all(x, s, &b, x->counts, sums, n, e));
    }
    return ok;
}

int exam_run(Exam *x, Session *s, Figure *figures, Error *e)
{
    Sum sums[MAX_FIGURES];
    int n = open_sums(x->p, sums, e);
    int opened = n >= 0 ? n : -1 - n;
    bool ok = n >= 0 && (x->stream ? run_stream(x, s, sums, n, e) : run_examples(x, s, sums, n, e));
    for (int i = 0; i < opened; i++) {
        snprintf(figures[i].name, sizeof figures[i].name, "%s", sums[i].name);
        ok = ok && metric_result(sums[i].metric, &figures[i].value, e);
        metric_free(sums[i].metric);
    }
    return ok ? n : -1;
}
