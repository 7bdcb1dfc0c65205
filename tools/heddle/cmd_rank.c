/* heddle rank: the best items for one user, by raw ids. */
#include "command.h"
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

static bool print_user(Ranker *r, const Project *p, const char *user, int64_t top, bool json, Error *e)
{
    const Plan *plan = r->program->plan;
    if (plan_find(plan, "score.defined") < 0) {
        return error_set(e, EXIT_SPEC, "the spec's rank section defines no score over a vocabulary");
    }
    const PlanTensor *t = &plan->tensors[plan_find(plan, "score")];
    const char *vocab = plan->axes[t->dims[t->ndim - 1]].vocab;
    int64_t id = data_find(r->ds, "user", user), n = 0;
    Hit *hits = NULL;
    bool ok = (id >= 0 || error_set(e, EXIT_DATA, "there is no user '%s' in %s", user, r->ds->dir)) &&
              (vocab || error_set(e, EXIT_SPEC, "score is not over a vocabulary")) && ranker_user(r, p, id, e) &&
              (hits = hits_of(r->session, &n, e));
    if (ok) {
        print_hits(r->ds, vocab, user, hits, top < n ? top : n, json);
    }
    free(hits);
    return ok;
}

int cmd_rank(int argc, char **argv)
{
    const Command *self = command_named("rank");
    Common common = {0};
    RankerOptions o = {0};
    DataOptions data = {0};
    const char *user = NULL;
    int64_t top = 10;
    Option options[MAX_OPTIONS] = {
        {"--weights", "W", OPT_TEXT, &o.weights, "params, a safetensors file"},
        {"--user", "ID", OPT_TEXT, &user, "the user's raw id"},
        {"--top", "N", OPT_INT, &top, "how many items (10)"},
    };
    int n = json_option(options, run_options(options, data_options(options, 3, &data), &common), &common);
    const char *spec;
    int code = parse_options(self, argc, argv, options, n, 1, 1, &spec);
    if (code >= 0) {
        return code;
    }
    if (!data.data || !o.weights || !user) {
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
    Ranker r;
    use_data(&o, &data, &common, false);
    bool ok = ranker_open(&r, p, &o, &report, &e) && print_user(&r, p, user, top, common.json, &e);
    ranker_close(&r);
    project_close(p);
    return ok ? 0 : fail_either(&report, &e);
}
