/* heddle fmt: specs in canonical form, in place, or only a check. */
#include "command.h"
#include "files.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int format_one(const char *path, bool check, bool to_stdout)
{
    Error e = {0};
    char *text = file_read(path, &e);
    if (!text) {
        return fail_error(&e);
    }
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Text out = {0}, report = {0};
    int code = 0;
    if (!spec_format(arena, diag, path, text, &out)) {
        diag_print(diag, &report);
        code = fail_text(EXIT_SPEC, &report);
    } else if (to_stdout) {
        fputs(out.s ? out.s : "", stdout);
    } else if (strcmp(out.s ? out.s : "", text) != 0) {
        if (check) {
            printf("%s: not formatted\n", path);
            code = EXIT_FALSE;
        } else if (!file_write(path, out.s ? out.s : "", out.n, &e)) {
            code = fail_error(&e);
        }
    }
    text_free(&out);
    diag_free(diag);
    arena_free(arena);
    free(text);
    return code;
}

int cmd_fmt(int argc, char **argv)
{
    const Command *self = command_named("fmt");
    bool check = false, to_stdout = false;
    const Option options[] = {
        {"--check", NULL, OPT_FLAG, &check, "change nothing; exit 1 if a file is not formatted"},
        {"--stdout", NULL, OPT_FLAG, &to_stdout, "print the formatted text instead of writing it"},
    };
    const char *paths[256];
    int code = parse_options(self, argc, argv, options, 2, 1, 256, paths);
    if (code >= 0) {
        return code;
    }
    int worst = 0;
    for (int i = 0; i < 256 && paths[i]; i++) {
        code = format_one(paths[i], check, to_stdout);
        worst = code > worst ? code : worst;
    }
    return worst;
}
