/* heddle rank: the best items for one user, by raw ids. */
#include "checkpoint.h"
#include "command.h"
#include "feed.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t item;
    double score;
} Hit;

static int by_score(const void *a, const void *b)
{
    const Hit *x = a, *y = b;
    if (x->score != y->score) {
        return x->score < y->score ? 1 : -1;
    }
    return x->item < y->item ? -1 : x->item > y->item;
}

/* The items that may be recommended, best first; NULL after an error. */
static Hit *hits_of(Session *s, int64_t *n, Error *e)
{
    Array score, defined = {0};
    if (!session_fetch(s, "score", &score, e)) {
        return NULL;
    }
    Hit *hits = NULL;
    int64_t items = score.ndim > 0 ? score.dims[score.ndim - 1] : 0;
    if (session_fetch(s, "score.defined", &defined, e)) {
        hits = malloc(((size_t)items + 1) * sizeof *hits);
    }
    *n = 0;
    for (int64_t v = 0; hits && v < items; v++) {
        double x = score.dtype == DT_F64 ? ((double *)score.data)[v] : (double)((float *)score.data)[v];
        if (((const unsigned char *)defined.data)[v]) {
            hits[(*n)++] = (Hit){v, x};
        }
        if (isnan(x)) {
            error_set(e, EXIT_NONFINITE, "the score of item %lld is not a number: the weights are broken",
                      (long long)v);
            free(hits);
            hits = NULL;
        }
    }
    if (hits) {
        qsort(hits, (size_t)*n, sizeof *hits, by_score);
    }
    free(score.data);
    free(defined.data);
    return hits;
}

static void print_hits(const DataSet *ds, const char *vocab, const char *user, const Hit *hits, int64_t n, bool json)
{
    const DataColumn *title = data_column(ds, TABLE_ITEM, "title");
    Text out = {0};
    if (json) {
        text_printf(&out, "{\"user\":");
        json_string(&out, user);
        text_printf(&out, ",\"items\":[");
    }
    for (int64_t i = 0; i < n; i++) {
        size_t len = 0, title_len = 0;
        const char *raw = data_name(ds, vocab, hits[i].item, &len);
        const char *name = title && title->shape == SHAPE_TEXT ? data_text(title, hits[i].item, &title_len) : NULL;
        if (json) {
            char id[256];
            snprintf(id, sizeof id, "%.*s", (int)len, raw);
            text_printf(&out, "%s{\"item\":", i ? "," : "");
            json_string(&out, id);
            text_printf(&out, ",\"score\":%.9g}", hits[i].score);
        } else {
            text_printf(&out, "%3lld  %-10.*s  %9.5f  %.*s\n", (long long)i + 1, (int)len, raw, hits[i].score,
                        (int)title_len, name ? name : "");
        }
    }
    if (json) {
        text_printf(&out, "]}\n");
    }
    fputs(out.s ? out.s : "", stdout);
    text_free(&out);
}

int cmd_rank(int argc, char **argv)
{
    const Command *self = command_named("rank");
    Common common = {0};
    const char *data = NULL, *weights = NULL, *user = NULL, *recipe = NULL;
    int64_t top = 10;
    TextList maps = {0};
    Option options[MAX_OPTIONS] = {
        {"--data", "DATA", OPT_TEXT, &data, "data set with the user's history"},
        {"--weights", "W", OPT_TEXT, &weights, "params, a safetensors file"},
        {"--user", "ID", OPT_TEXT, &user, "the user's raw id"},
        {"--top", "N", OPT_INT, &top, "how many items (10)"},
        {"--recipe", "TEXT", OPT_TEXT, &recipe, "how the data is cut into examples (docs/data.md)"},
        {"--map", "INPUT=COLUMN", OPT_LIST, &maps, "fill an input from a column of another name"},
    };
    int n = json_option(options, run_options(options, 6, &common), &common);
    const char *spec;
    int code = parse_options(self, argc, argv, options, n, 1, 1, &spec);
    if (code >= 0) {
        return code;
    }
    if (!data || !weights || !user) {
        return usage_error(self, "--data, --weights and --user are all needed");
    }
    static const char *score = "score";
    common.outputs = (TextList){1, &score};
    Project *p = open_project(spec, &common, &code);
    if (!p) {
        return code;
    }
    Error e = {0};
    Text report = {0};
    Program *prog = NULL;
    Pool *pool = NULL;
    Session *s = NULL;
    Feed *feed = NULL;
    Hit *hits = NULL;
    int64_t nhits = 0;
    DataSet *ds = data_open(data, false, &e);
    bool ok = ds != NULL;
    if (ok) {
        FeedOptions fo = {.recipe = recipe, .nmaps = maps.n, .maps = maps.items};
        ok = project_use_data(p, ds, &fo, &e);
        prog = ok ? project_compile(p, PROGRAM_RANK, &report) : NULL;
    }
    if (ok && prog && plan_find(prog->plan, "score.defined") < 0) {
        ok = error_set(&e, EXIT_SPEC, "the spec's rank section defines no score over a vocabulary");
    }
    if (ok && prog) {
        const PlanTensor *t = &prog->plan->tensors[plan_find(prog->plan, "score")];
        const char *vocab = prog->plan->axes[t->dims[t->ndim - 1]].vocab;
        int64_t id = data_find(ds, "user", user);
        Batch b;
        ok = (id >= 0 || error_set(&e, EXIT_DATA, "there is no user '%s' in %s", user, data)) &&
             (vocab || error_set(&e, EXIT_SPEC, "score is not over a vocabulary")) &&
             (pool = pool_new((int)common.threads, &e)) &&
             (s = session_new(prog->plan, pool, (uint64_t)common.seed, &e)) && weights_read(s, weights, &e) &&
             (feed = feed_open(p, prog, FEED_SERVE, &e)) && feed_user(feed, id, &b, &e) && session_run(s, &b, 0, &e) &&
             (hits = hits_of(s, &nhits, &e));
        if (ok) {
            print_hits(ds, vocab, user, hits, top < nhits ? top : nhits, common.json);
        }
    }
    code = ok && !prog ? fail_text(EXIT_SPEC, &report) : ok ? 0 : fail_error(&e);
    free(hits);
    feed_close(feed);
    session_free(s);
    pool_free(pool);
    program_free(prog);
    data_close(ds);
    project_close(p);
    return code;
}
