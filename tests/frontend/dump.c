/* Prints the graph of a spec: dump STD_DIR MODE SPEC [-D name=value ...] [--variant NAME]. MODE: train, run, rank.
 * The messages come first, on standard output too, so that golden files can hold both. */
#include "frontend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t fields(void *ctx, const char *name, const char *const **names, const int64_t **sizes)
{
    static const char *const two[] = {"a", "b"};
    static const int64_t n[] = {5, 7};
    (void)ctx;
    (void)name;
    *names = two;
    *sizes = n;
    return 2;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: dump STD_DIR train|run|rank SPEC [-D name=value] [--variant NAME] [--json|--domains|--quiet]\n");
        return 2;
    }
    Define defines[16];
    SpecOptions options = {.defines = defines, .std_dir = argv[1]};
    const char *show = "";
    for (int k = 4; k < argc; k++) {
        if (strcmp(argv[k], "--variant") == 0 && k + 1 < argc) {
            options.variant = argv[++k];
        } else if (strcmp(argv[k], "-D") == 0 && k + 1 < argc && options.ndefines < 16) {
            char *eq = strchr(argv[++k], '=');
            if (eq == NULL) {
                return 2;
            }
            *eq = '\0';
            defines[options.ndefines++] = (Define){.name = argv[k], .value = eq + 1};
        } else {
            show = argv[k];
        }
    }
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Mode mode = strcmp(argv[2], "train") == 0 ? MODE_TRAIN : strcmp(argv[2], "rank") == 0 ? MODE_RANK : MODE_RUN;
    Spec *spec = spec_load(arena, diag, argv[3], &options);
    LowerOptions lower = {.mode = mode, .fields = fields};
    Graph *g = spec != NULL ? spec_lower(spec, arena, &lower) : NULL;
    Text out = {0};
    diag_print(diag, &out);
    int rc = g == NULL ? 3 : 0;
    if (g != NULL) {
        Text why = {0};
        if (!graph_verify(g, &why)) {
            text_printf(&out, "INVALID: %s\n", why.s);
            rc = 1;
        }
        text_free(&why);
        if (strcmp(show, "--json") == 0) {
            spec_describe_json(spec, g, &out);
        } else if (strcmp(show, "--domains") == 0) {
            spec_describe_domains(spec, g, &out);
        } else if (strcmp(show, "--quiet") != 0) {
            graph_print(g, &out);
        }
    }
    if (out.s != NULL) {
        fputs(out.s, stdout);
    }
    text_free(&out);
    diag_free(diag);
    arena_free(arena);
    return rc;
}
