/* heddle eval: the metrics of the rank section, beside the best possible ones where the data knows them. */
#include "checkpoint.h"
#include "command.h"
#include "evaluate.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

/* "best": {"hr@10": ...} of a generated data set's schema; NaN if it has none. */
static const cJSON *best_of(const DataSet *ds, const char *name)
{
    const cJSON *best = cJSON_GetObjectItemCaseSensitive(ds->schema, "best");
    const cJSON *v = best ? cJSON_GetObjectItemCaseSensitive(best, name) : NULL;
    return cJSON_IsNumber(v) ? v : NULL;
}

static void print_figures(const DataSet *ds, const Figure *f, int n, bool json)
{
    for (int i = 0; i < n; i++) {
        const cJSON *best = best_of(ds, f[i].name);
        if (json) {
            printf("%s\"%s\":%.9g", i ? "," : "{", f[i].name, f[i].value);
            if (best) {
                printf(",\"best %s\":%.9g", f[i].name, best->valuedouble);
            }
        } else if (best) {
            printf("%-8s %.4f   best possible %.4f\n", f[i].name, f[i].value, best->valuedouble);
        } else {
            printf("%-8s %.4f\n", f[i].name, f[i].value);
        }
    }
    if (json) {
        printf("}\n");
    }
}

int cmd_eval(int argc, char **argv)
{
    const Command *self = command_named("eval");
    Common common = {0};
    const char *data = NULL, *weights = NULL, *recipe = NULL, *split = "test";
    int64_t batch = 128;
    TextList maps = {0};
    Option options[MAX_OPTIONS] = {
        {"--data", "DATA", OPT_TEXT, &data, "data set, a directory made by heddle data"},
        {"--weights", "W", OPT_TEXT, &weights, "params, a safetensors file"},
        {"--split", "test|valid|train", OPT_TEXT, &split, "which part is evaluated (test)"},
        {"--batch", "N", OPT_INT, &batch, "examples at a time (128); changes no figure"},
        {"--recipe", "TEXT", OPT_TEXT, &recipe, "how the data is cut into examples (docs/data.md)"},
        {"--map", "INPUT=COLUMN", OPT_LIST, &maps, "fill an input from a column of another name"},
    };
    int n = json_option(options, run_options(options, 6, &common), &common);
    const char *spec;
    int code = parse_options(self, argc, argv, options, n, 1, 1, &spec);
    if (code >= 0) {
        return code;
    }
    FeedSplit part = strcmp(split, "test") == 0    ? FEED_TEST
                     : strcmp(split, "valid") == 0 ? FEED_VALID
                     : strcmp(split, "train") == 0 ? FEED_TRAIN
                                                   : FEED_SERVE;
    if (!data || !weights || part == FEED_SERVE || batch == 0) {
        return usage_error(self,
                           !data || !weights    ? "--data and --weights are both needed"
                           : part == FEED_SERVE ? "--split is test, valid or train, not '%s'"
                                                : "--batch is at least 1",
                           split);
    }
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
    DataSet *ds = data_open(data, false, &e);
    bool ok = ds != NULL;
    if (ok) {
        FeedOptions fo = {.recipe = recipe, .held_back = part == FEED_VALID, .nmaps = maps.n, .maps = maps.items};
        ok = project_use_data(p, ds, &fo, &e);
        prog = ok ? project_compile(p, PROGRAM_RANK, &report) : NULL;
    }
    if (ok && prog) {
        Figure figures[MAX_FIGURES];
        int nfigures = -1;
        ok = (pool = pool_new((int)common.threads, &e)) &&
             (s = session_new(prog->plan, pool, (uint64_t)common.seed, &e)) && weights_read(s, weights, &e) &&
             (feed = feed_open(p, prog, part, &e)) && (nfigures = evaluate(p, s, feed, batch, figures, &e)) >= 0;
        if (ok && nfigures == 0) {
            ok = error_set(&e, EXIT_SPEC, "the spec's rank section has no metrics");
        }
        if (ok) {
            print_figures(ds, figures, nfigures, common.json);
        }
    }
    code = ok && !prog ? fail_text(EXIT_SPEC, &report) : ok ? 0 : fail_error(&e);
    feed_close(feed);
    session_free(s);
    pool_free(pool);
    program_free(prog);
    data_close(ds);
    project_close(p);
    return code;
}
