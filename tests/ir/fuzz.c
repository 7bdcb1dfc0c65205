/* Mutated cases of the text form: ir_fuzz ROUNDS SEED FILE.... The parser may refuse a text but must not crash, abort
 * or hang; what it accepts must print, read back and print as the same text, and the interpreter must survive it. */
#include "interp.h"
#include "random.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT = 1 << 16 };

static uint64_t state;

static uint32_t pick(uint32_t n)
{
    state += RANDOM_STEP;
    return (uint32_t)(random_mix(state) >> 33) % n;
}

static size_t read_case(const char *path, char *text)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    size_t n = fread(text, 1, MAX_TEXT / 2, f);
    fclose(f);
    text[n] = '\0';
    char *ruler = strstr(text, "\n----\n");
    if (ruler != NULL) {
        ruler[1] = '\0';
    }
    return strlen(text);
}

/* A word (letters and digits) near a random place. */
static size_t find_word(const char *text, size_t n, size_t *len)
{
    size_t at = n > 0 ? pick((uint32_t)n) : 0;
    while (at < n && !isalnum((unsigned char)text[at])) {
        at++;
    }
    while (at > 0 && isalnum((unsigned char)text[at - 1])) {
        at--;
    }
    for (*len = 0; *len < 30 && isalnum((unsigned char)text[at + *len]); ++*len) {
    }
    return at;
}

/* Puts one of the text's words in another's place: what a text needs to stay nearly right. */
static void exchange_words(char *text, size_t *n)
{
    size_t from_len, to_len, from = find_word(text, *n, &from_len), to = find_word(text, *n, &to_len);
    char word[32] = {0};
    memcpy(word, text + from, from_len);
    if (*n + from_len < MAX_TEXT - 1) {
        memmove(text + to + from_len, text + to + to_len, *n - to - to_len + 1);
        memcpy(text + to, word, from_len);
        *n += from_len - to_len;
    }
}

/* One edit: two words exchanged, a byte changed, a piece dropped, a piece copied elsewhere, or a word of the grammar
 * put in. */
static void mutate(char *text, size_t *n)
{
    static const char *const words[] = {"(",
                                        ")",
                                        "[",
                                        "]",
                                        " over ",
                                        " where ",
                                        " with %0 = ",
                                        "%0",
                                        "-",
                                        "\n",
                                        "\n  ",
                                        "1.5",
                                        "99999999999999999999",
                                        "0",
                                        "sum",
                                        "max",
                                        "select",
                                        "batch",
                                        "self",
                                        "@",
                                        "|",
                                        "\"",
                                        "axis ",
                                        "value ",
                                        "param ",
                                        "f"};
    size_t at = pick((uint32_t)*n + 1), from = pick((uint32_t)*n + 1), len = pick(20);
    len = from + len > *n ? *n - from : len;
    const char *word = words[pick(sizeof words / sizeof *words)];
    char piece[32] = {0};
    switch (pick(12)) {
    default:
        exchange_words(text, n);
        return;
    case 0:
        if (*n > 0) {
            text[at % *n] = (char)(1 + pick(126));
        }
        return;
    case 1:
        memmove(text + from, text + from + len, *n - from - len + 1);
        *n -= len;
        return;
    case 2:
        memcpy(piece, text + from, len);
        word = piece;
        break;
    case 3:
        break;
    }
    len = strlen(word);
    if (*n + len < MAX_TEXT - 1) {
        memmove(text + at + len, text + at, *n - at + 1);
        memcpy(text + at, word, len);
        *n += len;
    }
}

static bool is_small(const Graph *g)
{
    for (int k = 0; k < g->naxes; k++) {
        if (g->axes[k] != g->batch && axis_bound(g->axes[k]) > 12) {
            return false;
        }
    }
    for (int k = 0; k < g->nequations; k++) {
        if (g->equations[k]->nletters > 5) {
            return false;
        }
    }
    return g->batched;
}

/* Runs it on some batch; only that it returns is of interest. */
static void interpret(const Graph *g)
{
    Interp *in = interp_new(g, 2);
    int64_t offsets[64] = {0};
    double values[4096];
    for (int k = 0; k < 4096; k++) {
        values[k] = (double)pick(5) - 1;
    }
    for (int k = 0; k < g->naxes; k++) {
        Axis *a = g->axes[k];
        if (a->kind == AXIS_RAGGED) {
            for (int n = 1; n < 60; n++) {
                offsets[n] = offsets[n - 1] + (a->size > 0 ? pick((uint32_t)a->size) : 0);
                interp_offsets(in, a, n, offsets);
            }
        } else if (a->kind == AXIS_FIXED && a->size < 0) {
            interp_size(in, a, 3);
        }
    }
    for (int k = 0; k < g->ntensors; k++) {
        int64_t n = interp_count(in, g->tensors[k]);
        if (g->tensors[k]->role != ROLE_VALUE && n >= 0 && n <= 4096) {
            interp_set(in, g->tensors[k], n, values);
        }
    }
    interp_strict(in, pick(2) == 0);
    interp_run(in);
    interp_free(in);
}

static bool try(const char *text)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Text once = {0}, twice = {0}, report = {0};
    bool ok = true;
    Graph *g = graph_parse(arena, diag, "fuzz.hir", text);
    diag_print(diag, &report);
    if (g != NULL) {
        graph_print(g, &once);
        Graph *again = graph_parse(arena, diag, "again.hir", once.s);
        if (again != NULL) {
            graph_print(again, &twice);
        }
        ok = again != NULL && strcmp(once.s, twice.s) == 0;
        if (is_small(g)) {
            interpret(g);
        }
    } else {
        ok = diag_errors(diag) > 0;
    }
    if (!ok) {
        diag_print(diag, &report);
        printf("does not round-trip:\n%s\n----\n%s\n----\n%s\n%s\n", text, once.n > 0 ? once.s : "",
               twice.n > 0 ? twice.s : "", report.n > 0 ? report.s : "");
    }
    text_free(&once);
    text_free(&twice);
    text_free(&report);
    arena_free(arena);
    diag_free(diag);
    return ok;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: ir_fuzz ROUNDS SEED FILE...\n");
        return 2;
    }
    static char text[MAX_TEXT];
    long rounds = strtol(argv[1], NULL, 10);
    uint64_t seed = strtoull(argv[2], NULL, 10);
    for (long k = 0; k < rounds; k++) {
        state = random_fold(random_mix(seed), k);
        size_t n = read_case(argv[3 + pick((uint32_t)(argc - 3))], text);
        for (uint32_t edits = 1 + pick(3); edits > 0; edits--) {
            mutate(text, &n);
        }
        if (!try(text)) {
            printf("round %ld of seed %llu\n", k, (unsigned long long)seed);
            return 1;
        }
    }
    return 0;
}
