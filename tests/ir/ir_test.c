/* Runs cases of the text form: ir_test [--update] FILE..., ir_test --units, ir_test --examples ir.md.
 * The directory of a file says what is done; what stands below its ruler (a line of dashes) is what must come out.
 *   roundtrip  the file itself is what comes out: printed text that reads back as the same graph
 *   errors     the diagnostics, in full
 *   interp     two rulers: a graph, commands of script.c, what they print */
#include "ir_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ruler[] = "\n----\n";

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    Text t = {0};
    char chunk[4096];
    size_t n;
    text_append(&t, "", 0);
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0) {
        text_append(&t, chunk, n);
    }
    fclose(f);
    return t.s;
}

/* Cuts a text at its first ruler; returns what follows, or NULL. The newline in front of the ruler stays. */
static char *cut(char *text)
{
    char *at = strstr(text, ruler);
    if (at == NULL) {
        return NULL;
    }
    at[1] = '\0';
    return at + strlen(ruler);
}

static void put_file(const char *path, const char *const *parts, int n)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL) {
        fprintf(stderr, "%s: cannot be written\n", path);
        exit(2);
    }
    for (int k = 0; k < n; k++) {
        fprintf(f, "%s%s", k > 0 ? ruler + 1 : "", parts[k]);
    }
    fclose(f);
}

static void show_difference(const char *path, const char *want, const char *got)
{
    printf("%s: not what was expected (ir_test --update %s accepts it)\n", path, path);
    int line = 1;
    while (*want != '\0' && *want == *got) {
        line += *want == '\n';
        want++;
        got++;
    }
    while (line > 0 && want[-1] != '\n' && line > 1) {
        want--;
        got--;
    }
    printf("line %d of the output\n  expected: %.*s\n  found:    %.*s\n", line, (int)strcspn(want, "\n"), want,
           (int)strcspn(got, "\n"), got);
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static bool run_case(const char *path, bool update)
{
    char *text = read_file(path);
    bool is_roundtrip = strstr(path, "roundtrip/") != NULL, is_interp = strstr(path, "interp/") != NULL;
    char *script = is_interp ? cut(text) : NULL;
    char *want = is_roundtrip ? NULL : cut(script != NULL ? script : text);
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Text got = {0};
    text_append(&got, "", 0);
    Graph *g = graph_parse(arena, diag, file_name(path), text);
    if (g == NULL) {
        diag_print(diag, &got);
    } else if (is_interp && script != NULL) {
        run_script(g, script, &got);
    } else {
        graph_print(g, &got);
    }
    bool ok = strcmp(is_roundtrip ? text : want != NULL ? want : "", got.s) == 0;
    if (!ok && update) {
        const char *parts[3] = {text, script, got.s};
        if (is_roundtrip) {
            parts[0] = got.s;
        } else if (!is_interp) {
            parts[1] = got.s;
        }
        put_file(path, parts, is_roundtrip ? 1 : is_interp ? 3 : 2);
        ok = true;
    } else if (!ok) {
        show_difference(path, is_roundtrip ? text : want != NULL ? want : "", got.s);
    }
    text_free(&got);
    arena_free(arena);
    diag_free(diag);
    free(text);
    return ok;
}

/* Every block of ir.md that is fenced as hir must parse, and print as itself. */
static bool run_examples(const char *path)
{
    char *text = read_file(path);
    bool ok = true;
    int n = 0;
    for (char *at = text; (at = strstr(at, "```hir\n")) != NULL;) {
        at += strlen("```hir\n");
        char *end = strstr(at, "```");
        *end = '\0';
        Arena *arena = arena_new();
        Diag *diag = diag_new();
        Text got = {0};
        Graph *g = graph_parse(arena, diag, file_name(path), at);
        if (g == NULL) {
            diag_print(diag, &got);
        } else {
            graph_print(g, &got);
        }
        if (strcmp(got.s, at) != 0) {
            show_difference(path, at, got.s);
            ok = false;
        }
        text_free(&got);
        arena_free(arena);
        diag_free(diag);
        at = end + 1;
        n++;
    }
    free(text);
    if (n == 0) {
        printf("%s: no examples\n", path);
    }
    return ok && n > 0;
}

int main(int argc, char **argv)
{
    bool update = false, ok = true;
    for (int k = 1; k < argc; k++) {
        if (strcmp(argv[k], "--update") == 0) {
            update = true;
        } else if (strcmp(argv[k], "--units") == 0) {
            ok = run_units() == 0 && ok;
        } else if (strcmp(argv[k], "--examples") == 0 && k + 1 < argc) {
            ok = run_examples(argv[++k]) && ok;
        } else {
            ok = run_case(argv[k], update) && ok;
        }
    }
    return ok ? 0 : 1;
}
