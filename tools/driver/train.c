/* The training loop: batches in an order that depends on (seed, epoch) alone, a step, metrics, checkpoints from which
 * a run goes on to the same bits. */
#include "train.h"
#include "../../runtime/checkpoint.h"
#include "count.h"
#include "files.h"
#include "metrics.h"
#include "metrics_log.h"
#include "progress.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    Project *p;
    const TrainOptions *o;
    const TrainSettings *settings;
    DataSet *ds;
    Pool *pool;
    Program *step_program, *rank_program;
    Session *session, *rank_session;
    Feed *feed;
    Stream *stream; /* examples come key by key, or NULL: in any order */
    States *states;
    Exam *exam;
    FILE *metrics;
    int64_t batch, epochs;
    int64_t step, misses;               /* steps done; evaluations without improvement */
    int64_t epoch, in_epoch, per_epoch; /* the epoch under way: steps done in it, and all of it */
    double best;
    int64_t examples; /* of this process's steps, and the time they took */
    double seconds;
    int nfigures; /* of the last evaluation, at step `measured` */
    int64_t measured;
    Figure figures[MAX_FIGURES];
    char path[4096];
} Run;

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

static const char *in_run(Run *r, const char *name)
{
    snprintf(r->path, sizeof r->path, "%s/%s", r->o->out, name);
    return r->path;
}

static void say_tables(const Plan *p)
{
    for (int i = 0; i < p->ntables; i++) {
        fprintf(stderr, "%s%s%s", i ? ", " : "", p->tensors[p->tables[i].param].name,
                i + 1 < p->ntables ? "" : ": a step updates the rows that its ids name\n");
    }
}

int64_t train_batch(const TrainOptions *o, const TrainSettings *s)
{
    return o->batch > 0 ? o->batch : s && s->batch > 0 ? s->batch : 128;
}

int64_t train_epochs(const TrainOptions *o, const TrainSettings *s)
{
    return o->epochs >= 0 ? o->epochs : s && s->epochs > 0 ? s->epochs : 1;
}

static bool open_parts(Run *r, Text *report, Error *e)
{
    const TrainOptions *o = r->o;
    r->settings = spec_train(r->p->spec);
    if (!r->settings) {
        return error_set(e, EXIT_SPEC, "the spec has no train section");
    }
    r->ds = data_open(o->data, false, e);
    if (!r->ds) {
        return false;
    }
    FeedOptions fo = {.recipe = o->recipe, .held_back = o->validate, .nmaps = o->nmaps, .maps = o->maps};
    if (!project_use_data(r->p, r->ds, &fo, e)) {
        return false;
    }
    const MetricSetting *m;
    bool ranked = spec_metrics(r->p->spec, &m) > 0;
    r->step_program = project_compile(r->p, PROGRAM_TRAIN, report);
    r->rank_program = r->step_program && ranked ? project_compile(r->p, PROGRAM_RANK, report) : NULL;
    if (!r->step_program || (ranked && !r->rank_program)) {
        e->code = EXIT_SPEC; /* the text is in the report */
        return false;
    }
    r->pool = pool_new(o->threads, e);
    r->session = r->pool ? session_new(r->step_program->plan, r->pool, o->seed, e) : NULL;
    if (r->session && o->whole_updates) {
        session_update_whole(r->session);
    } else if (r->session) {
        say_tables(r->step_program->plan);
    }
    r->feed = r->session ? feed_open(r->p, r->step_program, PART_TRAIN, e) : NULL;
    if (!r->feed) {
        return false;
    }
    r->batch = train_batch(o, r->settings);
    r->epochs = train_epochs(o, r->settings);
    r->states = states_open(r->step_program->plan, e);
    if (!r->states) {
        return false;
    }
    if (r->settings->stream_by) {
        r->stream = stream_open(r->feed, r->settings->stream_by, r->settings->chunk, r->batch, PART_TRAIN, PART_ALL, e);
        if (!r->stream) {
            return false;
        }
    }
    if (ranked) {
        r->rank_session = session_new(r->rank_program->plan, r->pool, o->seed, e);
        r->exam = r->rank_session
                      ? exam_open(r->p, r->rank_program, o->validate ? PART_VALID : PART_TEST, r->batch, NULL, e)
                      : NULL;
        return r->exam != NULL;
    }
    return true;
}

/* The order of the epoch under way; a run that has been resumed is somewhere inside. */
static bool begin_epoch(Run *r, Error *e)
{
    if (r->stream) {
        r->per_epoch = stream_begin(r->stream, true, r->o->seed, r->epoch, e);
    } else {
        feed_order(r->feed, true, r->o->seed, r->epoch);
        r->per_epoch = (feed_rows(r->feed) + r->batch - 1) / r->batch;
    }
    return r->per_epoch > 0 ||
           (r->per_epoch == 0 && error_set(e, EXIT_DATA, "%s has no examples to train on", r->o->data));
}

/* Steps of the whole run; epochs to come count like the one under way. */
static int64_t total_steps(const Run *r)
{
    return r->o->steps >= 0 ? r->o->steps : r->step - r->in_epoch + (r->epochs - r->epoch) * r->per_epoch;
}

static bool is_done(const Run *r)
{
    if (r->settings->stop_after > 0 && r->misses >= r->settings->stop_after) { /* the spec's patience is over */
        return true;
    }
    return r->o->steps >= 0 ? r->step >= r->o->steps : r->epoch >= r->epochs;
}

static void close_parts(Run *r)
{
    if (r->metrics) {
        fclose(r->metrics);
    }
    exam_close(r->exam);
    states_close(r->states);
    stream_close(r->stream);
    feed_close(r->feed);
    session_free(r->rank_session);
    session_free(r->session);
    pool_free(r->pool);
    program_free(r->rank_program);
    program_free(r->step_program);
    data_close(r->ds);
}

/* What a run was made with. Everything that decides its bits is in it, so that --resume can refuse another run. */
static bool write_manifest(Run *r, Error *e)
{
    const TrainOptions *o = r->o;
    Text t = {0};
    text_printf(&t, "{\"arguments\":[");
    for (int i = 0; i < o->argc; i++) {
        text_printf(&t, "%s", i ? "," : "");
        json_string(&t, o->argv[i]);
    }
    text_printf(
        &t,
        "],\"spec\":\"%s\",\"spec_hash\":\"%016llx\",\"data\":\"%s\",\"seed\":%llu,\"threads\":%d,"
        "\"batch\":%lld,\"dtype\":\"%s\",\"products\":\"%s\",\"cpu\":\"%s\",\"version\":\"" HEDDLE_VERSION "\"}\n",
        spec_name(r->p->spec), (unsigned long long)project_hash(r->p), r->ds->fingerprint, (unsigned long long)o->seed,
        pool_threads(r->pool), (long long)r->batch, r->p->options.real == DT_F64 ? "f64" : "f32",
        products_name[r->p->options.products], codegen_cpu(r->p->options.cpu));
    bool ok = file_write(in_run(r, "manifest.json"), t.s, t.n, e);
    text_free(&t);
    return ok;
}

static const char *recipe_of(const Run *r)
{
    return r->o->recipe ? r->o->recipe : "default";
}

/* What has to be the same for a resumed run to end in the same bits, and what the loop itself remembers. */
static bool save_checkpoint(Run *r, Error *e)
{
    TrainPlace place = {
        .seed = r->o->seed, .step = (uint64_t)r->step, .epoch = r->epoch, .position = r->in_epoch * r->batch};
    KeyState *const *tables;
    int ntables = states_tables(r->states, &tables);
    char batch[32], misses[32], best[32];
    snprintf(batch, sizeof batch, "%lld", (long long)r->batch);
    snprintf(misses, sizeof misses, "%lld", (long long)r->misses);
    snprintf(best, sizeof best, "%.17g", r->best);
    const char *meta[] = {"heddle.batch",
                          batch,
                          "heddle.misses",
                          misses,
                          "heddle.best",
                          best,
                          "heddle.data",
                          r->ds->fingerprint,
                          "heddle.recipe",
                          recipe_of(r),
                          "heddle.products",
                          products_name[r->p->options.products],
                          NULL};
    return checkpoint_write(r->session, in_run(r, "checkpoint.safetensors"), &place, ntables, tables, meta, e);
}

static bool load_checkpoint(Run *r, Error *e)
{
    const char *path = in_run(r, "checkpoint.safetensors");
    if (!file_exists(path)) {
        return error_set(e, EXIT_USAGE, "there is nothing to resume: %s does not exist", path);
    }
    TrainPlace place;
    TensorFile *f = tensor_file_open(path, e);
    if (!f) {
        return false;
    }
    const char *batch = tensor_file_metadata(f, "heddle.batch"), *misses = tensor_file_metadata(f, "heddle.misses");
    const char *best = tensor_file_metadata(f, "heddle.best"), *data = tensor_file_metadata(f, "heddle.data");
    const char *recipe = tensor_file_metadata(f, "heddle.recipe");
    const char *products = tensor_file_metadata(f, "heddle.products"); /* absent from older ones: f32 */
    bool ok = batch && misses && best && data && recipe;
    bool same = ok && strtoll(batch, NULL, 10) == r->batch && strcmp(data, r->ds->fingerprint) == 0 &&
                strcmp(recipe, recipe_of(r)) == 0 &&
                strcmp(products ? products : "f32", products_name[r->p->options.products]) == 0;
    r->misses = ok ? strtoll(misses, NULL, 10) : 0;
    r->best = ok ? strtod(best, NULL) : 0;
    tensor_file_close(f);
    if (!ok) {
        return error_set(e, EXIT_DATA, "%s is not a checkpoint of a training run", path);
    }
    KeyState *const *tables;
    int ntables = states_tables(r->states, &tables);
    if (!checkpoint_read(r->session, path, &place, ntables, tables, e)) {
        return false;
    }
    r->step = (int64_t)place.step;
    r->epoch = place.epoch;
    r->in_epoch = place.position / r->batch;
    if (!same || place.seed != r->o->seed) {
        return error_set(e, EXIT_USAGE,
                         "%s was made with another seed, batch size, data set, precision of products or recipe; resume "
                         "with the same",
                         path);
    }
    return true;
}

static bool open_metrics(Run *r, Error *e)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", in_run(r, "metrics.jsonl"));
    if (r->o->resume && file_exists(path) && !metrics_cut(path, r->step, r->in_epoch >= r->per_epoch, e)) {
        return false;
    }
    r->metrics = fopen(path, r->o->resume ? "a" : "w");
    return r->metrics || error_set(e, EXIT_RESOURCES, "cannot write %s", path);
}

static bool record_weights(Run *r, Error *e)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/weights.safetensors", r->o->record);
    return weights_write(r->session, path, 0, NULL, NULL, e);
}

/* A batch and the draws made for it, as heddle run reads them: written after the step. */
static bool record_batch(Run *r, const Batch *b, int64_t index, Error *e)
{
    const Plan *plan = r->step_program->plan;
    Array *arrays = calloc((size_t)b->n + (size_t)plan->ntensors, sizeof *arrays);
    if (!arrays) {
        return error_set(e, EXIT_RESOURCES, "out of memory");
    }
    memcpy(arrays, b->arrays, (size_t)b->n * sizeof *arrays);
    int n = b->n;
    bool ok = true;
    for (int i = 0; ok && i < plan->ntensors; i++) {
        if (plan->tensors[i].is_draw) {
            ok = session_fetch(r->session, plan->tensors[i].name, &arrays[n], e);
            n += ok;
        }
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/batch-%05lld.safetensors", r->o->record, (long long)index);
    ok = ok && tensor_file_write(path, n, arrays, NULL, e);
    for (int i = b->n; i < n; i++) {
        free(arrays[i].data);
    }
    free(arrays);
    return ok;
}

/* The examples of the next step; those of a stream with their states. */
static bool next_batch(Run *r, const StreamStep **stream, Batch *b, Error *e)
{
    if (!r->stream) {
        int64_t first = r->in_epoch * r->batch, left = feed_rows(r->feed) - first;
        *stream = NULL;
        return feed_batch(r->feed, first, left < r->batch ? left : r->batch, b, e);
    }
    Batch data;
    *stream = stream_step(r->stream, r->in_epoch);
    return feed_examples(r->feed, (*stream)->n, (*stream)->examples, &data, e) &&
           states_give(r->states, *stream, false, &data, b, e);
}

static bool one_step(Run *r, double *loss, int64_t *examples, Error *e)
{
    const TrainSettings *s = r->settings;
    const StreamStep *stream;
    Batch b;
    double lr = s->default_lr;
    if (s->lr && !setting_value(r->p->spec, s->lr, (double)(r->step + 1), (double)r->epoch, (double)r->misses, &lr)) {
        return error_set(e, EXIT_SPEC, "the learning rate has no value at step %lld", (long long)r->step + 1);
    }
    if (!next_batch(r, &stream, &b, e)) {
        return false;
    }
    bool recording = r->o->record && r->step < r->o->record_steps;
    if (recording && r->step == 0 && !record_weights(r, e)) {
        return false;
    }
    session_set_scalar(r->session, "opt.lr", lr);
    if (!session_run(r->session, &b, (uint64_t)r->step, e)) {
        return false;
    }
    if (recording && !record_batch(r, &b, r->step, e)) {
        return false;
    }
    *loss = session_scalar(r->session, r->step_program->plan->tensors[r->step_program->plan->loss].name);
    *examples = b.batch;
    if (!isfinite(*loss)) {
        return error_set(e, EXIT_NONFINITE,
                         "the loss is %g at step %lld (epoch %lld): lower the learning rate or set clip", *loss,
                         (long long)r->step + 1, (long long)r->epoch);
    }
    if (stream && !states_take(r->states, stream, r->session, e)) {
        return false;
    }
    r->step++;
    r->in_epoch++;
    fprintf(r->metrics, "{\"step\":%lld,\"epoch\":%lld,\"loss\":%.9g,\"lr\":%.9g}\n", (long long)r->step,
            (long long)r->epoch, *loss, lr);
    return true;
}

/* The figures of the weights as they are; false after an error. */
static bool measure(Run *r, Error *e)
{
    r->nfigures = 0;
    if (r->rank_program) {
        if (!weights_copy(r->rank_session, r->rank_program->plan, r->session, r->step_program->plan, e)) {
            return false;
        }
        r->nfigures = exam_run(r->exam, r->rank_session, r->figures, e);
    }
    r->measured = r->step;
    return r->nfigures >= 0;
}

static bool save_weights(Run *r, const char *name, Error *e)
{
    KeyState *const *tables;
    int ntables = states_tables(r->states, &tables);
    return weights_write(r->session, in_run(r, name), ntables, tables, NULL, e);
}

/* Metrics after an epoch. */
static bool after_epoch(Run *r, Progress *progress, Error *e)
{
    if (!r->rank_program || r->o->eval_every <= 0 || r->epoch % r->o->eval_every != 0) {
        return true;
    }
    if (!measure(r, e)) {
        return false;
    }
    const Figure *figures = r->figures;
    progress_clear(progress);
    Text line = {0};
    text_printf(&line, "{\"epoch\":%lld,\"step\":%lld,\"split\":\"%s\"", (long long)r->epoch, (long long)r->step,
                r->o->validate ? "valid" : "test");
    if (!r->o->json) {
        printf("epoch %lld:", (long long)r->epoch);
    }
    bool ok = true;
    for (int i = 0; ok && i < r->nfigures; i++) {
        if (!r->o->json) {
            printf("  %s %.4f", figures[i].name, figures[i].value);
        }
        text_printf(&line, ",\"%s\":%.9g", figures[i].name, figures[i].value);
        const char *keep = r->settings->keep_best;
        if (keep && strcmp(keep, figures[i].name) == 0) {
            double merit = metric_merit(keep, figures[i].value);
            bool better = merit > r->best + 1e-6;
            r->best = better ? merit : r->best;
            r->misses = better ? 0 : r->misses + 1;
            ok = !better || save_weights(r, "best.safetensors", e);
        }
    }
    text_printf(&line, "}");
    puts(r->o->json ? line.s : "");
    fflush(stdout);
    if (ok) {
        fprintf(r->metrics, "%s\n", line.s);
    }
    text_free(&line);
    return ok;
}

/* Steps to the end of the epoch, or of the run. */
static bool run_epoch(Run *r, Progress *progress, Error *e)
{
    double loss = NAN, window = seconds_now(), rate = 0;
    int64_t since = 0, examples = 0, total = total_steps(r);
    while (r->in_epoch < r->per_epoch && !is_done(r)) {
        double start = seconds_now();
        if (!one_step(r, &loss, &examples, e)) {
            progress_clear(progress);
            return false;
        }
        since += examples;
        double now = seconds_now();
        r->examples += examples;
        r->seconds += now - start;
        if (now - window > 0.5 || rate == 0) {
            rate = (double)since / (now - window);
            window = now;
            since = 0;
        }
        progress_step(progress, r->step, total, rate, loss, r->epoch + 1, false);
        bool due = r->o->checkpoint_steps > 0 && r->step % r->o->checkpoint_steps == 0;
        if ((due || interrupted) && !(fflush(r->metrics) == 0 && save_checkpoint(r, e))) {
            return false;
        }
        if (interrupted) {
            progress_clear(progress);
            return error_set(e, EXIT_INTERRUPTED, "interrupted after step %lld; go on with --resume",
                             (long long)r->step);
        }
    }
    if (!r->o->terminal) {
        progress_step(progress, r->step, total, rate, loss, r->epoch + 1, true);
    }
    return true;
}

/* The first epoch is begun. A checkpoint between an epoch's last step and its metrics holds in_epoch == per_epoch, so
 * that a run that goes on from there begins with the metrics. */
static bool loop(Run *r, Error *e)
{
    Progress progress;
    progress_start(&progress, r->o->terminal, r->step);
    while (!is_done(r) || r->in_epoch >= r->per_epoch) {
        if (r->in_epoch < r->per_epoch && !run_epoch(r, &progress, e)) {
            return false;
        }
        bool is_over = r->in_epoch >= r->per_epoch;
        if (is_over) {
            r->epoch++;
            r->in_epoch = 0;
            if (!after_epoch(r, &progress, e)) {
                return false;
            }
        }
        if (fflush(r->metrics) != 0) {
            return error_set(e, EXIT_RESOURCES, "cannot write the metrics of %s: is the disk full?", r->o->out);
        }
        if (!save_checkpoint(r, e) || (is_over && !is_done(r) && !begin_epoch(r, e))) {
            return false;
        }
    }
    progress_clear(&progress);
    return true;
}

/* Lists of the first batch of the first epoch stand for those of all examples. */
static bool flop_of(Run *r, double *flop, Text *report, Error *e)
{
    Graph *written = project_written(r->p, report);
    Batch b;
    int64_t n = feed_rows(r->feed) < r->batch ? feed_rows(r->feed) : r->batch;
    feed_order(r->feed, true, r->o->seed, 0);
    int64_t *lengths = calloc((size_t)n, sizeof *lengths);
    bool ok = written && lengths && feed_batch(r->feed, 0, n, &b, e);
    for (int i = 0; ok && i < b.n; i++) {
        const Array *a = &b.arrays[i];
        const char *dot = strrchr(a->name, '.');
        if (dot && strcmp(dot, ".offsets") == 0 && a->ndim == 1 && a->dims[0] == n + 1 && a->dtype == DT_I64) {
            for (int64_t k = 0; k < n; k++) {
                int64_t length = ((const int64_t *)a->data)[k + 1] - ((const int64_t *)a->data)[k];
                lengths[k] = length > lengths[k] ? length : lengths[k];
            }
        }
    }
    *flop = ok ? count_operations(written, n, lengths) / (double)n : NAN;
    free(lengths);
    return ok;
}

/* The best evaluation by the first metric, where the run has been evaluated on its way; the last step's counts, too. */
static bool add_best(Run *r, TrainResult *out, Error *e)
{
    double value;
    int64_t epoch;
    if (out->nfigures == 0 || out->nfigures + 2 > MAX_FIGURES ||
        !metrics_best(in_run(r, "metrics.jsonl"), out->figures[0].name, &value, &epoch, e)) {
        return e->code == 0;
    }
    const char *name = out->figures[0].name;
    if (metric_merit(name, out->figures[0].value) > metric_merit(name, value)) {
        value = out->figures[0].value;
        epoch = r->epoch;
    }
    Figure *f = &out->figures[out->nfigures];
    snprintf(f[0].name, sizeof f[0].name, "best %.26s", name);
    snprintf(f[1].name, sizeof f[1].name, "best epoch");
    f[0].value = value;
    f[1].value = (double)epoch;
    out->nfigures += 2;
    return true;
}

static bool result_of(Run *r, TrainResult *out, Text *report, Error *e)
{
    const Plan *plan = r->step_program->plan;
    *out = (TrainResult){.steps = r->step, .examples_per_s = r->seconds > 0 ? (double)r->examples / r->seconds : NAN};
    for (int i = 0; i < plan->ntensors; i++) {
        int64_t n = 0;
        if (plan->tensors[i].role == PT_PARAM && session_param(r->session, plan->tensors[i].name, &n)) {
            out->params += n;
        }
    }
    if ((r->measured != r->step && !measure(r, e)) || !flop_of(r, &out->flop, report, e)) {
        return false;
    }
    out->nfigures = r->nfigures;
    memcpy(out->figures, r->figures, sizeof out->figures);
    return add_best(r, out, e);
}

bool train(Project *p, const TrainOptions *o, TrainResult *result, Text *report, Error *e)
{
    Run r = {.p = p, .o = o, .best = -INFINITY, .measured = -1};
    bool ok = open_parts(&r, report, e) && dir_make(o->out, e) && (!o->record || dir_make(o->record, e));
    if (ok && !o->resume && file_exists(in_run(&r, "checkpoint.safetensors"))) {
        ok = error_set(e, EXIT_USAGE, "%s holds a run already: go on with --resume, or choose another --out", o->out);
    }
    ok = ok && (!o->resume || load_checkpoint(&r, e)) && begin_epoch(&r, e) && open_metrics(&r, e) &&
         write_manifest(&r, e);
    if (ok) {
        fprintf(stderr,
                "%s: %s; %lld steps an epoch, %lld in all; compiled in %.2f s (%d kernels, %d distinct, %d cached)\n",
                spec_name(p->spec), feed_report(r.feed), (long long)r.per_epoch, (long long)total_steps(&r),
                r.step_program->seconds, r.step_program->stats.kernels, r.step_program->stats.unique,
                r.step_program->stats.cached);
        void (*before)(int) = signal(SIGINT, on_interrupt);
        ok = loop(&r, e);
        signal(SIGINT, before);
    }
    ok = ok && save_weights(&r, "weights.safetensors", e);
    if (ok) {
        fprintf(stderr, "wrote %s\n", r.path);
    }
    ok = ok && (!result || result_of(&r, result, report, e));
    close_parts(&r);
    return ok;
}
