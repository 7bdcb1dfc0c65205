/* Any bytes as a spec: refused with a message, or a graph of one example that keeps the invariants of ir.h and goes
 * through all passes; and what the formatter accepts it formats once and for all. A spec is read from a file, so each
 * input is written to one. */
#include "frontend.h"
#include "passes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const char *const fuzz_words[];
const char *const fuzz_words[] = {" where ", " over ", " sum[i] ", " else ", "model", "param ", " repeat 2", "[b]",
                                  "@",       " in ",   " = ",      "\n    ", "\n",    "|",      "->",        "block ",
                                  "axis ",   "use ",   "state ",   "1",      "\"",    ":",      " and ",     "draw[v] ",
                                  "max[j]",  "..",     "<=",       "(",      ")",     "#",      NULL};

static int64_t vocab_size(void *ctx, const char *vocab)
{
    (void)ctx;
    (void)vocab;
    return 7;
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

static const char *path_of_input(void)
{
    static char path[64];
    if (!path[0]) {
        snprintf(path, sizeof path, "fuzz-%ld.heddle", (long)getpid());
    }
    return path;
}

static void remove_input(void)
{
    unlink(path_of_input());
}

static void wrong(const char *what, const Diag *diag)
{
    Text t = {0};
    diag_print(diag, &t);
    fprintf(stderr, "%s\n%s", what, t.s ? t.s : "");
    text_free(&t);
    abort();
}

static void lower(const char *path, Mode mode)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Text why = {0};
    SpecOptions o = {.std_dir = STD_DIR};
    LowerOptions lo = {.mode = mode, .vocab_size = vocab_size, .fields = fields};
    Spec *s = spec_load(arena, diag, path, &o);
    Graph *g = s ? spec_lower(s, arena, &lo) : NULL;
    if (!g && diag_errors(diag) == 0) {
        wrong("refused without a message", diag);
    }
    if (g && !graph_verify(g, &why)) {
        wrong(why.s, diag);
    }
    if (g && diag_errors(diag) == 0) {
        PipelineOptions p = {.training = mode != MODE_RANK && g->loss, .verify = true};
        if (!pipeline_run(g, &p) || !pass_plan(g)) {
            if (diag_errors(diag) == 0) {
                wrong("a pass failed without a message", diag);
            }
        }
    }
    text_free(&why);
    diag_free(diag);
    arena_free(arena);
}

static void format(const char *text)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Text once = {0}, twice = {0};
    if (spec_format(arena, diag, "input", text, &once)) {
        text_append(&once, "", 0);
        if (!spec_format(arena, diag, "again", once.s, &twice) || strcmp(once.s, twice.s ? twice.s : "") != 0) {
            wrong("formatted twice is not formatted once", diag);
        }
    } else if (diag_errors(diag) == 0) {
        wrong("not formatted and no message", diag);
    }
    text_free(&once);
    text_free(&twice);
    diag_free(diag);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool registered;
    if (!registered) {
        atexit(remove_input);
        registered = true;
    }
    const char *path = path_of_input();
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) {
        fprintf(stderr, "%s: cannot be written\n", path);
        exit(2);
    }
    lower(path, (Mode)(size % 3));
    char *text = calloc(size + 1, 1);
    if (!text) {
        exit(2);
    }
    memcpy(text, data, size);
    format(text);
    free(text);
    return 0;
}
