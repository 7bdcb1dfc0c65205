/* Golden text of passes: FILE.hir holds a graph, a ruler of four dashes, and the graph after the pass that the folder
 * is named after (plan: the schedule), or the messages if the pass reports an error.
 *
 *   golden [--update] FILE.hir ...        --update rewrites what is below the ruler
 *
 * After the comparison the pass runs once more: an optimisation run twice changes nothing more. */
#include "passes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    enum { SIZE = 1 << 20 };
    char *s = calloc(1, SIZE);
    if (!s || fread(s, 1, SIZE - 1, f) == 0) {
        fprintf(stderr, "%s: is empty\n", path);
        exit(2);
    }
    fclose(f);
    return s;
}

/* The name of the folder a file lies in. */
static void folder_of(const char *path, char *out, size_t size)
{
    const char *end = strrchr(path, '/');
    const char *from = end;
    while (from && from > path && from[-1] != '/') {
        from--;
    }
    snprintf(out, size, "%.*s", end ? (int)(end - from) : 0, end ? from : "");
}

static const Pass *find_pass(const char *name)
{
    for (int i = 0; i < npasses; i++) {
        if (!strcmp(pipeline[i].name, name)) {
            return &pipeline[i];
        }
    }
    return NULL;
}

static void print_schedule(const Schedule *s, Text *out)
{
    for (int i = 0; i < s->ngroups; i++) {
        const Group *g = &s->groups[i];
        for (int l = 0; l < s->nlevels; l++) {
            if (i == s->levels[l].first) {
                text_printf(out, "levels %s: %d\n", s->levels[l].backwards ? "backwards" : "forwards", s->levels[l].n);
            }
        }
        if (g->is_scan) {
            text_printf(out, "scan %s %s:", g->axis->name, g->backwards ? "backwards" : "forwards");
        }
        for (int k = 0; k < g->n; k++) {
            const Equation *e = g->equations[k];
            text_printf(out, "%s%s", k || g->is_scan ? " " : "", e->dst->name);
            if (g->is_scan) {
                text_printf(out, "(%s)", e->letters[g->scan_letter[k]].name);
            }
        }
        text_printf(out, "\n");
    }
}

static void run_pass(Graph *g, const char *name, Text *out)
{
    if (!strcmp(name, "plan")) {
        const Schedule *s = pass_plan(g);
        if (s) {
            print_schedule(s, out);
        }
    } else {
        const Pass *p = find_pass(name);
        if (!p) {
            text_printf(out, "there is no pass '%s'\n", name);
            return;
        }
        p->run(g);
        if (!diag_errors(g->diag)) {
            Text why = {0};
            graph_print(g, out);
            if (!graph_verify(g, &why)) {
                text_printf(out, "broken: %s\n", why.s);
            }
            text_free(&why);
        }
    }
    if (diag_errors(g->diag)) {
        diag_print(g->diag, out);
    }
}

static int check(const char *path, bool update)
{
    char pass[64];
    folder_of(path, pass, sizeof pass);
    char *text = read_file(path), *ruler = strstr(text, "\n----\n");
    const char *want = ruler ? ruler + 6 : "";
    if (ruler) {
        ruler[1] = '\0';
    }
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    const char *name = strrchr(path, '/');
    Graph *g = graph_parse(arena, diag, name ? name + 1 : path, text);
    Text got = {0};
    text_printf(&got, "%s", "");
    if (g) {
        run_pass(g, pass, &got);
    } else {
        diag_print(diag, &got);
    }
    int failed = strcmp(got.s, want) != 0;
    if (failed && update) {
        FILE *f = fopen(path, "wb");
        if (!f || fprintf(f, "%s----\n%s", text, got.s) < 0 || fclose(f)) {
            fprintf(stderr, "%s: cannot be written\n", path);
            exit(2);
        }
        failed = 0;
    } else if (failed) {
        fprintf(stderr, "%s: expected\n%s\ngot\n%s\nto accept it: passes_golden --update %s\n", path, want, got.s,
                path);
    } else if (g && !diag_errors(diag) && strcmp(pass, "plan") != 0) {
        Text again = {0};
        run_pass(g, pass, &again);
        if (strcmp(again.s, got.s) != 0) {
            fprintf(stderr, "%s: run twice, the pass gives\n%s\n", path, again.s);
            failed = 1;
        }
        text_free(&again);
    }
    text_free(&got);
    free(text);
    diag_free(diag);
    arena_free(arena);
    return failed;
}

int main(int argc, char **argv)
{
    bool update = false;
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--update")) {
            update = true;
        } else {
            failed += check(argv[i], update);
        }
    }
    return failed != 0;
}
