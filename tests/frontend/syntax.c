/* Tests of the parser, of spec_load and of the formatter, from files.
 *
 *   syntax STD parse NAME.heddle ...    loads the spec; NAME.expect holds its tree and settings, or the messages.
 *                                       First line of the spec, if it needs options: # run: -D a=1 --variant v
 *   syntax STD format NAME.heddle ...   NAME.expect holds the formatted text
 *   syntax STD keep NAME.heddle ...     any file that parses: formatting twice changes nothing more
 *
 * --update rewrites the .expect files; look at the difference before you keep it. */
#include "parser.h"
#include "show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void compare(const char *path, const char *actual)
{
    char expect_path[4096];
    snprintf(expect_path, sizeof expect_path, "%.*s.expect", (int)(strlen(path) - strlen(".heddle")), path);
    cases++;
    if (updating) {
        FILE *f = fopen(expect_path, "wb");
        if (f == NULL || fputs(actual, f) < 0 || fclose(f) != 0) {
            printf("cannot write %s\n", expect_path);
            failures++;
        }
        return;
    }
    char *expected = read_file(expect_path);
    if (expected == NULL || strcmp(expected, actual) != 0) {
        printf("%s differs from %s; run with --update to accept:\n%s\n", path, expect_path, actual);
        failures++;
    }
    free(expected);
}

/* ---- parse ------------------------------------------------------------------------------------------------ */

static void show_value(const Value *v, Text *out)
{
    text_printf(out, v->is_list ? " [" : " %.17g", v->num);
    for (int k = 0; v->is_list && k < v->n; k++) {
        text_printf(out, "%s%.17g", k > 0 ? ", " : "", v->list[k]);
    }
    text_printf(out, v->is_list ? "]" : "");
}

static void show_settings(const Spec *s, Text *out)
{
    const TrainSettings *t = spec_train(s);
    double lr = 0;
    if (t != NULL) {
        text_printf(out, "train %s", t->optimizer);
        for (int k = 0; k < t->values->nvalues; k++) {
            text_printf(out, " %s=%g", t->values->values[k].name, t->values->values[k].value);
        }
        if (t->lr != NULL && setting_value(s, t->lr, 50, 3, 1, &lr)) {
            text_printf(out, " lr(50,3,1)=%g", lr);
        }
        for (int k = 0; k < t->values->ngroups; k++) {
            text_printf(out, " @%s", t->values->groups[k].tag);
            for (int j = 0; j < t->values->groups[k].nvalues; j++) {
                text_printf(out, " %s=%g", t->values->groups[k].values[j].name, t->values->groups[k].values[j].value);
            }
        }
        text_printf(out, " clip %g batch %d epochs %d", t->values->clip, (int)t->batch, (int)t->epochs);
        if (t->stream_by != NULL) {
            text_printf(out, " stream by %s chunk %d", t->stream_by, (int)t->chunk);
        }
        if (t->keep_best != NULL) {
            text_printf(out, " keep best %s stop after %d", t->keep_best, (int)t->stop_after);
        }
        for (int k = 0; k < t->nlosses; k++) {
            text_printf(out, "%s%s", k == 0 ? " losses " : ", ", t->losses[k]);
        }
        text_printf(out, "\n");
    }
    const MetricSetting *metrics;
    int n = spec_metrics(s, &metrics);
    for (int k = 0; k < n; k++) {
        text_printf(out, "metric %s", metrics[k].name);
        for (int j = 0; j < metrics[k].ntensors; j++) {
            text_printf(out, " %s", metrics[k].tensors[j]);
        }
        for (int j = 0; j < metrics[k].ncutoffs; j++) {
            text_printf(out, " %d", (int)metrics[k].cutoffs[j]);
        }
        text_printf(out, "\n");
    }
}

/* Options from a first line "# run: ...". The text is cut up in place. */
static void read_options(char *text, SpecOptions *o, Define *defines)
{
    o->defines = defines;
    if (strncmp(text, "# run:", 6) != 0) {
        return;
    }
    char *end = strchr(text, '\n');
    if (end != NULL) {
        *end = '\0';
    }
    bool define = false, variant = false;
    for (char *word = strtok(text + 6, " "); word != NULL; word = strtok(NULL, " ")) {
        char *equals = strchr(word, '=');
        if (define && equals != NULL && o->ndefines < 8) {
            *equals = '\0';
            defines[o->ndefines++] = (Define){word, equals + 1};
        } else if (variant) {
            o->variant = word;
        }
        define = strcmp(word, "-D") == 0;
        variant = strcmp(word, "--variant") == 0;
    }
}

static void test_parse(const char *path, const char *std)
{
    char *text = read_file(path);
    if (text == NULL) {
        printf("cannot read %s\n", path);
        failures++;
        return;
    }
    Define defines[8];
    SpecOptions o = {.std_dir = std};
    read_options(text, &o, defines);
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Text out = {0};
    Spec *s = spec_load(arena, diag, path, &o);
    diag_print(diag, &out);
    if ((s == NULL) != (diag_errors(diag) > 0)) {
        printf("%s: spec_load and its messages disagree\n", path);
        failures++;
    }
    if (s != NULL) {
        text_printf(&out, "spec %s\n", spec_name(s));
        for (int k = 0; k < s->nhypers; k++) {
            text_printf(&out, "%s%s =", s->hypers[k].defined ? "-D " : "", s->hypers[k].name);
            show_value(&s->hypers[k].value, &out);
            text_printf(&out, "\n");
        }
        for (int k = 0; k < s->nvocabs; k++) {
            text_printf(&out, "-D %s = %d\n", s->vocabs[k].name, (int)s->vocabs[k].size);
        }
        show_settings(s, &out);
        show_statements(&s->items, 0, &out);
    }
    compare(path, out.s != NULL ? out.s : "");
    text_free(&out);
    diag_free(diag);
    arena_free(arena);
    free(text);
}

/* ---- format ----------------------------------------------------------------------------------------------- */

static bool format(const char *path, const char *text, Text *out)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    bool ok = spec_format(arena, diag, path, text, out);
    if (!ok) {
        diag_print(diag, out);
    }
    diag_free(diag);
    arena_free(arena);
    return ok;
}

static void test_format(const char *path, bool golden)
{
    char *text = read_file(path);
    Text once = {0}, twice = {0};
    cases += !golden;
    if (text == NULL || !format(path, text, &once)) {
        printf("%s: %s\n", path, once.s != NULL ? once.s : "cannot be read");
        failures++;
    } else if (!format(path, once.s, &twice) || strcmp(once.s, twice.s) != 0) {
        printf("%s: formatting the formatted text changes it again:\n%s\n----\n%s\n", path, once.s, twice.s);
        failures++;
    } else if (golden) {
        compare(path, once.s);
    }
    free(text);
    text_free(&once);
    text_free(&twice);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: syntax STD parse|format|keep [--update] FILE.heddle ...\n");
        return 2;
    }
    for (int k = 3; k < argc; k++) {
        if (strcmp(argv[k], "--update") == 0) {
            updating = true;
        } else if (strcmp(argv[2], "parse") == 0) {
            test_parse(argv[k], argv[1]);
        } else {
            test_format(argv[k], strcmp(argv[2], "format") == 0);
        }
    }
    printf("%d cases, %d failures\n", cases, failures);
    return failures > 0;
}
