/* What `prove` says of a spec against what the compiled spec does.
 *
 *   test_prove MODELS_DIR specs             every statement of every spec and variant of specs.c: it holds, and other
 *                                           values of the later (or the independent) input change no bit
 *   test_prove MODELS_DIR mutants SPEC ...  the same question of specs with one mask changed: what is proven changes no
 *                                           bit, what is refuted changes one; a path of SPEC is relative to MODELS_DIR
 *                                           or to the working directory
 *
 * A statement is a claim about all inputs; here are seven examples, each cut after every position. */
#include "../models/specs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NROWS = 7, MAX_STATEMENTS = 16, MAX_MUTANTS = 9, MAX_TEXT = 1 << 16 };
static const int64_t rows[NROWS] = {4, 0, 2, 1, 3, 6, 5};
static int failures, proven, refuted;
static Pool *pool;

typedef struct {
    char text[200], from[64], to[64], along[64]; /* along "": independent */
    bool holds;
} Claim;

static void fail(const char *spec, const char *what, const char *why)
{
    printf("FAIL %s, %s: %s\n", spec, what, why);
    failures++;
}

/* ---- what the front end says ---- */

static int64_t vocab_size(void *ctx, const char *vocab)
{
    (void)ctx;
    (void)vocab;
    return 13;
}

static int64_t fields(void *ctx, const char *name, const char *const **names, const int64_t **sizes)
{
    static const char *const two[] = {"a", "b"};
    static const int64_t widths[] = {1, 3}, vocabs[] = {4, 3};
    (void)ctx;
    *names = two;
    *sizes = strcmp(name, "num") == 0 ? widths : vocabs;
    return 2;
}

/* The statements of a spec in one mode; -1 after an error that is no false statement. */
static int claims_of(const ModelOptions *o, Mode mode, Claim *out)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    SpecOptions so = {.ndefines = o->ndefines, .defines = o->defines, .variant = o->variant, .std_dir = o->std_dir};
    LowerOptions lo = {.mode = mode, .vocab_size = vocab_size, .fields = fields};
    Spec *spec = spec_load(arena, diag, o->spec, &so);
    bool lowered = spec && spec_lower(spec, arena, &lo);
    const Statement *all = NULL;
    int n = spec ? spec_statements(spec, &all) : 0, bad = 0;
    for (int k = 0; k < n && k < MAX_STATEMENTS; k++) {
        bad += !all[k].holds;
        out[k].holds = all[k].holds;
        snprintf(out[k].text, sizeof out[k].text, "%s", all[k].text);
        snprintf(out[k].from, sizeof out[k].from, "%s", all[k].from);
        snprintf(out[k].to, sizeof out[k].to, "%s", all[k].to);
        snprintf(out[k].along, sizeof out[k].along, "%s", all[k].along ? all[k].along : "");
    }
    if (!lowered && diag_errors(diag) != bad) {
        Text t = {0};
        diag_print(diag, &t);
        fail(o->spec, "not lowered", t.s ? t.s : "");
        text_free(&t);
        n = -1;
    }
    diag_free(diag);
    arena_free(arena);
    return n < MAX_STATEMENTS ? n : MAX_STATEMENTS;
}

/* ---- what the compiled spec does ---- */

static Array *array_of(const Batch *b, const char *name)
{
    for (int k = 0; k < b->n; k++) {
        if (strcmp(b->arrays[k].name, name) == 0) {
            return &b->arrays[k];
        }
    }
    return NULL;
}

/* Another value that is as good an input. */
static void change(Array *a, int64_t i)
{
    double v = array_get(a, i);
    bool whole = a->dtype != DT_F32 && a->dtype != DT_F64;
    array_set(a, i, !whole ? v + 0.37 : v == 0 ? 1 : v > 1e6 ? v + 50000 : v - 1);
}

/* Changes the input at positions after `cut` of every example (all of it if offsets are NULL). */
static void change_later(Array *a, const int64_t *offsets, int64_t cut)
{
    int64_t n = array_count(a), inner = a->ndim > 0 && a->dims[0] > 0 ? n / a->dims[0] : 0;
    for (int64_t b = 0; offsets && b < NROWS; b++) {
        for (int64_t i = (offsets[b] + cut + 1) * inner; i < offsets[b + 1] * inner; i++) {
            change(a, i);
        }
    }
    for (int64_t i = 0; !offsets && i < n; i++) {
        change(a, i);
    }
}

/* Whether the cells up to `cut` of every example are the same bits. */
static bool same_earlier(const Array *x, const Array *y, const int64_t *offsets, int64_t cut)
{
    int64_t n = array_count(x), inner = x->dims[0] > 0 ? n / x->dims[0] : 0;
    int64_t size = (int64_t)dtype_size[x->dtype];
    if (!offsets) {
        return memcmp(x->data, y->data, (size_t)(n * size)) == 0;
    }
    for (int64_t b = 0; b < NROWS; b++) {
        int64_t first = offsets[b], last = offsets[b + 1] < first + cut + 1 ? offsets[b + 1] : first + cut + 1;
        size_t at = (size_t)(first * inner * size), bytes = (size_t)((last - first) * inner * size);
        if (memcmp((const char *)x->data + at, (const char *)y->data + at, bytes) != 0) {
            return false;
        }
    }
    return true;
}

/* Runs the model with and without other later input. 1: something changes, 0: nothing, -1: it could not be asked. */
static int depends(const Model *m, const Claim *c, const char *spec)
{
    Error e = {0};
    int found = 0;
    Session *s = session_new(m->plan, pool, 11, &e);
    Array before = {0};
    Batch b = batch_of(m, NROWS, rows);
    char name[80];
    snprintf(name, sizeof name, "%s.offsets", c->along);
    const Array *lists = c->along[0] ? array_of(&b, name) : NULL;
    Array *input = array_of(&b, c->from);
    const int64_t *offsets = lists ? lists->data : NULL;
    if (s) {
        model_fill(m, s, 7);
    }
    if (!s || (c->along[0] && !lists) || !session_run(s, &b, 3, &e) || !session_fetch(s, c->to, &before, &e)) {
        fail(spec, c->text, e.text[0] ? e.text : "this test cannot change such an input");
        found = -1;
    }
    if (!input) { /* nothing of what is compiled reads it */
        free(before.data);
        before.data = NULL;
    }
    for (int64_t cut = 0; before.data && found == 0 && cut < (offsets ? 8 : 1); cut++) {
        Batch other = batch_of(m, NROWS, rows);
        Array after = {0};
        change_later(array_of(&other, c->from), offsets, cut);
        if (!session_run(s, &other, 3, &e) || !session_fetch(s, c->to, &after, &e)) {
            fail(spec, c->text, e.text);
            found = -1;
        } else {
            found = !same_earlier(&before, &after, offsets, cut);
        }
        free(after.data);
        batch_drop(&other);
    }
    free(before.data);
    batch_drop(&b);
    session_free(s);
    return found;
}

static void check_claims(const ModelOptions *o, const char *label, int n, const Claim *claims, Form form)
{
    Text why = {0};
    ModelOptions with = *o;
    const char *outputs[MAX_STATEMENTS];
    with.outputs = outputs;
    for (int k = 0; k < n; k++) {
        outputs[with.noutputs++] = claims[k].to;
    }
    Model *m = n > 0 ? model_compile(&with, form, &why) : NULL;
    if (n > 0 && !m) {
        fail(label, claims[0].text, why.s ? why.s : "not compiled");
    }
    for (int k = 0; k < n && m; k++) {
        const Claim *c = &claims[k];
        int found = depends(m, c, label);
        if (found == 1 && c->holds) {
            fail(label, c->text, "was proven, but what it excludes happens");
        } else if (found == 0 && !c->holds) {
            fail(label, c->text, "was refuted, but nothing changes");
        }
        proven += found == 0 && c->holds;
        refuted += found == 1 && !c->holds;
    }
    model_free(m);
    text_free(&why);
}

static void use_defines(ModelOptions *o, const Define *defines)
{
    o->defines = defines;
    o->ndefines = 0;
    while (o->ndefines < 16 && defines[o->ndefines].name) {
        o->ndefines++;
    }
}

/* ---- statements of the specs ---- */

static void check_spec(const char *models, const char *std, const SpecCase *c)
{
    char path[1024];
    Claim claims[MAX_STATEMENTS];
    snprintf(path, sizeof path, "%s/%s", models, c->spec);
    ModelOptions o = {.spec = path, .std_dir = std, .variant = c->variant, .real = DT_F32};
    use_defines(&o, c->defines);
    for (int rank = 0; rank < 2; rank++) {
        int n = claims_of(&o, rank ? MODE_RANK : MODE_RUN, claims);
        for (int k = 0; k < n; k++) {
            if (!claims[k].holds) {
                fail(c->spec, claims[k].text, "is false");
            }
        }
        check_claims(&o, c->spec, n, claims, rank ? FORM_RANK : FORM_GRADS);
    }
}

/* ---- mutants ---- */

/* In place of the text on the left: what may go wrong with a mask, a shift or a row of a rel. */
static const struct {
    const char *of, *by[MAX_MUTANTS];
} mutations[] = {
    {"j <= i",
     {"j < i", "j >= i", "j <= i + 1", "j <= i - 1", "0 <= j", "j <= i and i - j < 3", "i <= j and j - i < 3",
      "i - j < 3", "j < i + 1"}},
    {"h[i - 1, k]", {"h[i + 1, k]", "h[i - 2, k]"}},
    {"F -> F", {"F -> T | F", "F -> T", "T -> F | T"}},
    {"item[i + 1]", {"item[i]", "item[i + 2]", "item[i - 1]"}},
};

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = f ? calloc(1, MAX_TEXT) : NULL;
    if (text && fread(text, 1, MAX_TEXT - 1, f) == 0) {
        free(text);
        text = NULL;
    }
    if (f) {
        fclose(f);
    }
    return text;
}

static bool write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    bool ok = f && fputs(text, f) >= 0;
    return f && fclose(f) == 0 && ok;
}

/* The text without its statements: what is false would not compile. */
static void drop_statements(char *text)
{
    for (char *p = text; (p = strstr(p, "prove ")) != NULL;) {
        size_t n = strcspn(p, ";\n");
        n += p[n] == ';';
        n += strspn(p + n, " ");
        memmove(p, p + n, strlen(p + n) + 1);
    }
}

static void check_mutant(ModelOptions o, const char *label, const char *text)
{
    static const char path[] = "mutant.heddle";
    Claim claims[MAX_STATEMENTS];
    char *plain = strdup(text);
    o.spec = path;
    int n = plain && write_file(path, text) ? claims_of(&o, MODE_RANK, claims) : -1;
    if (n > 0) {
        drop_statements(plain);
        if (!write_file(path, plain)) {
            fail(label, "mutant.heddle", "cannot be written");
            n = 0;
        }
    }
    check_claims(&o, label, n, claims, FORM_RANK);
    if (n == 0) {
        fail(label, "mutant", "it states nothing");
    }
    free(plain);
    remove(path);
}

/* The text with `of` replaced at `at`, or everywhere (at == NULL). */
static void replace(const char *text, const char *of, const char *by, const char *at, char *out, size_t size)
{
    size_t n = 0;
    while (*text && n + strlen(by) + 1 < size) {
        if (text == at || (!at && strncmp(text, of, strlen(of)) == 0)) {
            n += (size_t)snprintf(out + n, size - n, "%s", by);
            text += strlen(of);
        } else {
            out[n++] = *text++;
        }
    }
    out[n] = '\0';
}

static void mutate(const char *models, const char *std, const char *spec)
{
    static char mutant[MAX_TEXT];
    char path[1024], label[256];
    Define sizes[16] = {{"item", "13"}};
    ModelOptions o = {.std_dir = std, .real = DT_F32};
    snprintf(path, sizeof path, "%s", spec);
    for (int k = nspec_cases; k-- > 0;) {
        if (strcmp(spec_cases[k].spec, spec) == 0 && !spec_cases[k].variant) {
            memcpy(sizes, spec_cases[k].defines, sizeof sizes);
            snprintf(path, sizeof path, "%s/%s", models, spec);
        }
    }
    for (int k = 0; k < 16 && sizes[k].name; k++) { /* one layer has every mask */
        sizes[k].value = strcmp(sizes[k].name, "layers") == 0 ? "1" : sizes[k].value;
    }
    use_defines(&o, sizes);
    char *text = read_file(path);
    if (!text) {
        fail(path, "mutants", "cannot be read");
        return;
    }
    check_mutant(o, spec, text);
    for (size_t m = 0; m < sizeof mutations / sizeof *mutations; m++) {
        const char *of = mutations[m].of;
        for (int k = 0; k < MAX_MUTANTS && mutations[m].by[k]; k++) {
            const char *by = mutations[m].by[k], *at = strstr(text, of);
            for (; at; at = strstr(at + 1, of)) {
                int line = 1;
                for (const char *p = text; p < at; p++) {
                    line += *p == '\n';
                }
                snprintf(label, sizeof label, "%s:%d with %s in place of %s", spec, line, by, of);
                replace(text, of, by, at, mutant, sizeof mutant);
                check_mutant(o, label, mutant);
            }
            at = strstr(text, of);
            if (at && strstr(at + 1, of)) { /* where one mask makes up for another */
                snprintf(label, sizeof label, "%s with %s in place of every %s", spec, by, of);
                replace(text, of, by, NULL, mutant, sizeof mutant);
                check_mutant(o, label, mutant);
            }
        }
    }
    free(text);
}

int main(int argc, char **argv)
{
    if (argc < 3 || (strcmp(argv[2], "specs") != 0 && strcmp(argv[2], "mutants") != 0)) {
        fprintf(stderr, "usage: test_prove MODELS_DIR specs, test_prove MODELS_DIR mutants SPEC ...\n");
        return 2;
    }
    Error e = {0};
    char std[1024];
    snprintf(std, sizeof std, "%s/std", argv[1]);
    pool = pool_new(1, &e);
    bool all = strcmp(argv[2], "specs") == 0;
    for (int k = 0; all && k < nspec_cases; k++) {
        check_spec(argv[1], std, &spec_cases[k]);
    }
    for (int k = 3; !all && k < argc; k++) {
        mutate(argv[1], std, argv[k]);
    }
    pool_free(pool);
    printf("%d statements proven and kept, %d refuted and broken, %d failures\n", proven, refuted, failures);
    return failures > 0 || proven == 0 || (!all && refuted == 0);
}
