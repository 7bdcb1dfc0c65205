/* heddle check: the spec's mistakes, or what it wants and gives. */
#include "command.h"
#include <stdio.h>
#include <string.h>

int cmd_check(int argc, char **argv)
{
    const Command *self = command_named("check");
    Common common = {0};
    bool domains = false;
    Option options[MAX_OPTIONS] = {
        {"--domains", NULL, OPT_FLAG, &domains, "print every name with its domain"},
    };
    int n = json_option(options, spec_options(options, 1, &common), &common);
    const char *spec;
    int code = parse_options(self, argc, argv, options, n, 1, 1, &spec);
    if (code >= 0) {
        return code;
    }
    Project *p = open_project(spec, &common, &code);
    if (!p) {
        return code;
    }
    Text report = {0}, out = {0};
    Graph *train = NULL;
    const ProgramKind kinds[] = {PROGRAM_FORWARD, PROGRAM_RANK};
    for (int i = 0; i < 2; i++) {
        Graph *g = project_graph(p, kinds[i], "infer", &report);
        if (!g) {
            project_close(p);
            return fail_text(EXIT_SPEC, &report);
        }
        train = train ? train : g;
    }
    diag_print(p->diag, &report);
    if (report.s) {
        fputs(report.s, stderr);
    }
    text_free(&report);
    if (common.json) {
        spec_describe_json(p->spec, train, &out);
    } else if (domains) {
        spec_describe_domains(p->spec, train, &out);
    } else {
        int inputs = 0, params = 0;
        for (int i = 0; i < train->ntensors; i++) {
            inputs += train->tensors[i]->role == ROLE_INPUT;
            params += train->tensors[i]->role == ROLE_PARAM;
        }
        text_printf(&out, "%s: %s is sound: %d inputs, %d params, %d equations", spec, spec_name(p->spec), inputs,
                    params, train->nequations);
    }
    puts(out.s ? out.s : "");
    text_free(&out);
    project_close(p);
    return 0;
}
