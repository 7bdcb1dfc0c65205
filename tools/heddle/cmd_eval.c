/* heddle eval: the metrics of the rank section, beside the best possible ones where the data knows them. */
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
    RankerOptions o = {0};
    DataOptions data = {0};
    const char *split = "test";
    bool stored = false;
    int64_t batch = 128;
    Option options[MAX_OPTIONS] = {
        {"--weights", "W", OPT_TEXT, &o.weights, "params, a safetensors file"},
        {"--split", "test|valid|train", OPT_TEXT, &split, "which part is evaluated (test)"},
        {"--batch", "N", OPT_INT, &batch, "examples at a time (128); changes no figure"},
        {"--stored-states", NULL, OPT_FLAG, &stored, "states by key from W, instead of replaying the training part"},
    };
    int n = json_option(options, run_options(options, data_options(options, 4, &data), &common), &common);
    const char *spec;
    int code = parse_options(self, argc, argv, options, n, 1, 1, &spec);
    if (code >= 0) {
        return code;
    }
    DataPart part = strcmp(split, "test") == 0    ? PART_TEST
                    : strcmp(split, "valid") == 0 ? PART_VALID
                    : strcmp(split, "train") == 0 ? PART_TRAIN
                                                  : PART_SERVE;
    if (!data.data || !o.weights || part == PART_SERVE || batch == 0) {
        return usage_error(self,
                           !data.data || !o.weights ? "--data and --weights are both needed"
                           : part == PART_SERVE     ? "--split is test, valid or train, not '%s'"
                                                    : "--batch is at least 1",
                           split);
    }
    Project *p = open_project(spec, &common, &code);
    if (!p) {
        return code;
    }
    Error e = {0};
    Text report = {0};
    Ranker r;
    Exam *exam = NULL;
    Figure figures[MAX_FIGURES];
    int nfigures = -1;
    use_data(&o, &data, &common, part == PART_VALID);
    bool ok = ranker_open(&r, p, &o, &report, &e) &&
              (exam = exam_open(p, r.program, part, batch, stored ? o.weights : NULL, &e)) &&
              (nfigures = exam_run(exam, r.session, figures, &e)) >= 0;
    if (ok && nfigures == 0) {
        ok = error_set(&e, EXIT_SPEC, "the spec's rank section has no metrics");
    }
    if (ok) {
        print_figures(r.ds, figures, nfigures, common.json);
    }
    exam_close(exam);
    ranker_close(&r);
    project_close(p);
    return ok ? 0 : fail_either(&report, &e);
}
