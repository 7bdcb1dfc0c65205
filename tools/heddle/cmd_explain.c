/* heddle explain: the graph after a pass, or a summary of what every equation became. */
#include "command.h"
#include "explain.h"
#include <stdio.h>
#include <string.h>

int cmd_explain(int argc, char **argv)
{
    const Command *self = command_named("explain");
    Common common = {0};
    const char *after = NULL;
    bool train = false, rank = false;
    Option options[MAX_OPTIONS] = {
        {"--after", "PASS", OPT_TEXT, &after, "print the graph after a pass: lower, infer, simplify, batch ..."},
        {"--train", NULL, OPT_FLAG, &train, "the training step with adjoints and updates (default)"},
        {"--rank", NULL, OPT_FLAG, &rank, "the rank section"},
    };
    int n = json_option(options, dtype_option(options, spec_options(options, 3, &common), &common), &common);
    const char *spec;
    int code = parse_options(self, argc, argv, options, n, 1, 1, &spec);
    if (code >= 0) {
        return code;
    }
    bool known = !after || strcmp(after, "lower") == 0;
    for (int i = 0; i < npasses && !known; i++) {
        known = strcmp(after, pipeline[i].name) == 0;
    }
    if (!known) {
        Text names = {0};
        for (int i = 0; i < npasses; i++) {
            text_printf(&names, ", %s", pipeline[i].name);
        }
        code = usage_error(self, "there is no pass '%s'; there are lower%s", after, names.s);
        text_free(&names);
        return code;
    }
    Project *p = open_project(spec, &common, &code);
    if (!p) {
        return code;
    }
    Text report = {0}, out = {0};
    Graph *g = project_graph(p, rank ? PROGRAM_RANK : PROGRAM_TRAIN, after, &report);
    if (!g) {
        project_close(p);
        return fail_text(EXIT_SPEC, &report);
    }
    if (after) {
        graph_print(g, &out);
    } else if (!explain_graph(g, p->options.real == DT_F64 ? 8 : 4, common.json, &out)) {
        diag_print(p->diag, &report);
        project_close(p);
        return fail_text(EXIT_SPEC, &report);
    }
    fputs(out.s ? out.s : "", stdout);
    text_free(&out);
    project_close(p);
    return 0;
}
