/* Tests of elaboration from files: a spec NAME.heddle and, in NAME.expect, the messages and the graph it lowers to.
 *
 *   elaborate STD lower NAME.heddle ... [--update]   the graph
 *   elaborate STD diag NAME.heddle ... [--update]    the messages alone; what it becomes is not shown
 *   elaborate STD codes NAME.expect ...              every code of codes.def occurs in one of the files, and no other
 *   elaborate STD show MODE SPEC [OPTION ...]        one spec by hand: MODE train, run or rank
 *
 * First line of a case, if it needs options: # lower: MODE -D a=1 --variant v --domains --json --output score
 * The data set of these tests has the fields a (5 values) and b (7 values); vocabularies have no size unless -D says.
 */
#include "frontend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPTIONS = 16 };

static bool updating;
static int failures, cases;

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return NULL;
    }
    Text t = {0};
    char buffer[4096];
    size_t n;
    text_append(&t, "", 0);
    while ((n = fread(buffer, 1, sizeof buffer, f)) > 0) {
        text_append(&t, buffer, n);
    }
    fclose(f);
    return t.s != NULL ? t.s : calloc(1, 1);
}

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

/* Everything there is to say about one spec. words: MODE OPTION ... */
static int describe(const char *std, const char *path, int n, char **words, bool graph, Text *out)
{
    Define defines[MAX_OPTIONS];
    const char *wanted[MAX_OPTIONS];
    SpecOptions options = {.defines = defines, .std_dir = std};
    LowerOptions lower = {.mode = MODE_RUN, .fields = fields, .wanted = wanted};
    bool json = false, domains = false;
    for (int k = 0; k < n; k++) {
        if (strcmp(words[k], "--variant") == 0 && k + 1 < n) {
            options.variant = words[++k];
        } else if (strcmp(words[k], "--output") == 0 && k + 1 < n && lower.nwanted < MAX_OPTIONS) {
            wanted[lower.nwanted++] = words[++k];
        } else if (strcmp(words[k], "-D") == 0 && k + 1 < n && options.ndefines < MAX_OPTIONS) {
            char *eq = strchr(words[++k], '=');
            *eq = '\0';
            defines[options.ndefines++] = (Define){.name = words[k], .value = eq + 1};
        } else if (strcmp(words[k], "train") == 0 || strcmp(words[k], "rank") == 0) {
            lower.mode = words[k][0] == 't' ? MODE_TRAIN : MODE_RANK;
        } else {
            json = json || strcmp(words[k], "--json") == 0;
            domains = domains || strcmp(words[k], "--domains") == 0;
        }
    }
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Spec *spec = spec_load(arena, diag, path, &options);
    Graph *g = spec != NULL ? spec_lower(spec, arena, &lower) : NULL;
    diag_print(diag, out);
    Text why = {0};
    int rc = g == NULL ? 3 : 0;
    if (g != NULL && !graph_verify(g, &why)) {
        text_printf(out, "INVALID GRAPH: %s\n", why.s);
        rc = 1;
    }
    text_free(&why);
    if (g == NULL && diag_errors(diag) == 0) {
        text_printf(out, "NO GRAPH AND NO MESSAGE\n");
        rc = 1;
    }
    if (g != NULL && json) {
        spec_describe_json(spec, g, out);
    } else if (g != NULL && domains) {
        spec_describe_domains(spec, g, out);
    } else if (g != NULL && graph) {
        graph_print(g, out);
    }
    diag_free(diag);
    arena_free(arena);
    return rc;
}

static int split(char *line, char **words)
{
    int n = 0;
    for (char *w = strtok(line, " \n"); w != NULL && n < MAX_OPTIONS; w = strtok(NULL, " \n")) {
        words[n++] = w;
    }
    return n;
}

static void run_case(const char *std, const char *path, bool graph)
{
    char *text = read_file(path), *words[MAX_OPTIONS] = {"run"};
    int n = 1;
    if (text == NULL) {
        printf("cannot read %s\n", path);
        failures++;
        return;
    }
    static const char prefix[] = "# lower:";
    if (strncmp(text, prefix, sizeof prefix - 1) == 0) {
        text[strcspn(text, "\n")] = '\0';
        n = split(text + sizeof prefix - 1, words);
    }
    Text actual = {0};
    text_append(&actual, "", 0);
    int rc = describe(std, path, n, words, graph, &actual);
    if (rc == 1) {
        printf("%s: %s\n", path, actual.s);
        failures++;
    }
    char expect_path[4096];
    snprintf(expect_path, sizeof expect_path, "%.*s.expect", (int)(strlen(path) - strlen(".heddle")), path);
    cases++;
    if (updating) {
        FILE *f = fopen(expect_path, "wb");
        if (f == NULL || fputs(actual.s, f) < 0 || fclose(f) != 0) {
            printf("cannot write %s\n", expect_path);
            failures++;
        }
    } else {
        char *expected = read_file(expect_path);
        if (expected == NULL || strcmp(expected, actual.s) != 0) {
            printf("%s differs from %s; run with --update to accept:\n%s\n", path, expect_path, actual.s);
            failures++;
        }
        free(expected);
    }
    text_free(&actual);
    free(text);
}

/* Below the line of a message: the source line and, beside the carets, a remedy; the remedy alone where there is no
 * place (-D). */
static bool has_remedy(const char *message)
{
    const char *line = strchr(message, '\n');
    for (int k = 0; line != NULL && k < 2; k++) {
        line++;
        const char *bar = strchr(line, '|'), *end = line + strcspn(line, "\n");
        const char *text = bar != NULL && bar < end ? bar + 1 + strspn(bar + 1, " \t^") : end;
        bool caret = bar != NULL && memchr(bar, '^', (size_t)(end - bar)) != NULL;
        if ((caret || (k == 0 && strspn(line, " ") >= 6)) && text < end) {
            return true;
        }
        line = *end == '\n' ? end : NULL;
    }
    return false;
}

/* Codes look like [E0104] in the files. */
static void check_codes(int n, char **paths)
{
    bool seen[1000] = {false};
    int messages = 0;
    for (int k = 0; k < n; k++) {
        char *text = read_file(paths[k]);
        for (char *p = text; p != NULL && (p = strstr(p, "[")) != NULL; p++) {
            char code[6];
            snprintf(code, sizeof code, "%s", p + 1);
            if (strspn(code, "EW") != 1 || strspn(code + 1, "0123456789") != 4 || p[6] != ']') {
                continue;
            }
            messages++;
            if (!has_remedy(p)) {
                printf("%s: a message with %s has no remedy\n", paths[k], code);
                failures++;
            }
            if (code_meaning(code) == NULL) {
                printf("%s: %s is not in codes.def\n", paths[k], code);
                failures++;
            }
            for (int c = 0; code_at(c) != NULL && c < 1000; c++) {
                seen[c] = seen[c] || strcmp(code_at(c), code) == 0;
            }
        }
        free(text);
    }
    printf("%d messages in %d cases\n", messages, n);
    for (int c = 0; code_at(c) != NULL && c < 1000; c++) {
        cases++;
        if (!seen[c]) {
            printf("%s (%s) has no case\n", code_at(c), code_meaning(code_at(c)));
            failures++;
        }
    }
}

int main(int argc, char **argv)
{
    if (argc >= 4 && strcmp(argv[2], "codes") == 0) {
        check_codes(argc - 3, argv + 3);
        printf("%d codes, %d failures\n", cases, failures);
        return failures > 0;
    }
    if (argc >= 5 && strcmp(argv[2], "show") == 0) {
        Text out = {0};
        char *words[MAX_OPTIONS];
        int n = 0;
        words[n++] = argv[3];
        for (int k = 5; k < argc && n < MAX_OPTIONS; k++) {
            words[n++] = argv[k];
        }
        int rc = describe(argv[1], argv[4], n, words, true, &out);
        fputs(out.s != NULL ? out.s : "", stdout);
        text_free(&out);
        return rc;
    }
    if (argc < 4 || (strcmp(argv[2], "lower") != 0 && strcmp(argv[2], "diag") != 0)) {
        fprintf(stderr,
                "usage: elaborate STD lower|diag NAME.heddle ... [--update], elaborate STD show MODE SPEC [OPTION]\n");
        return 2;
    }
    for (int k = 3; k < argc; k++) {
        updating = updating || strcmp(argv[k], "--update") == 0;
    }
    for (int k = 3; k < argc; k++) {
        if (strcmp(argv[k], "--update") != 0) {
            run_case(argv[1], argv[k], strcmp(argv[2], "lower") == 0);
        }
    }
    printf("%d cases, %d failures\n", cases, failures);
    return failures > 0;
}
