/* heddle check: the spec's mistakes, or what it wants and gives. */
#include "command.h"
#include <stdio.h>
#include <string.h>

/* How many statements of the spec hold, or do not. */
static int proven(const Spec *spec, bool hold)
{
    const Statement *all;
    int n = 0;
    for (int k = spec_statements(spec, &all); k-- > 0;) {
        n += all[k].holds == hold;
    }
    return n;
}

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
    const ProgramKind kinds[] = {PROGRAM_FORWARD, PROGRAM_TRAIN, PROGRAM_RANK};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        Graph *g = project_graph(p, kinds[i], "infer", &report);
        if (!g) {
            bool only_false = diag_errors(p->diag) == proven(p->spec, false);
            project_close(p);
            return fail_text(only_false ? EXIT_FALSE : EXIT_SPEC, &report);
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
        int held = proven(p->spec, true);
        if (held > 0) {
            text_printf(&out, "; %d statement%s proven", held, held == 1 ? "" : "s");
        }
    }
    puts(out.s ? out.s : "");
    text_free(&out);
    project_close(p);
    return 0;
}
