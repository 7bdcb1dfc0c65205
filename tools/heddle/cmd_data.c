/* heddle data: import, synth, show, split. */
#include "command.h"
#include "data/dataset.h"
#include "data/import.h"
#include "data/split_report.h"
#include "data/synth.h"
#include "files.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void show_progress(void *ctx, const char *file, int64_t rows)
{
    (void)ctx;
    const char *slash = strrchr(file, '/');
    fprintf(stderr, "\r\033[K%s: %lld rows", slash ? slash + 1 : file, (long long)rows);
}

static int import(int argc, char **argv)
{
    static const Command self = {"data import", "[movielens|text|recbole|libsvm|criteo] PATH... --out DATA",
                                 "read files into a data set",
                                 "heddle data import movielens ml-1m --out ml1m\n"
                                 "heddle data import recbole beauty.inter --out beauty\n"
                                 "heddle data import text clicks.csv.gz --schema clicks.json --out clicks\n"
                                 "heddle data import libsvm train.libfm --test test.libfm --fields --out rows\n",
                                 import};
    const char *out = NULL, *missing = NULL, *unknown = NULL;
    int64_t min_count = 0;
    bool json = false;
    ImportOptions o = {0};
    const Option options[] = {
        {"--out", "DATA", OPT_TEXT, &out, "where the data set goes, a directory"},
        {"--schema", "FILE", OPT_TEXT, &o.schema, "text: the declaration of its columns (docs/data.md)"},
        {"--valid", "FILE", OPT_TEXT, &o.valid,
         "text, libsvm, criteo: the validation part; the paths are for training"},
        {"--test", "FILE", OPT_TEXT, &o.test, "the test part, likewise"},
        {"--min-count", "N", OPT_INT, &min_count, "libsvm, criteo: rarer names are unknown (1 with parts; criteo 10)"},
        {"--fields", NULL, OPT_FLAG, &o.fields, "libsvm: the k-th feature of every row is the value of field k"},
        {"--skip-bad", NULL, OPT_FLAG, &o.skip_bad, "leave out rows that cannot be read instead of refusing"},
        {"--unknown", "error|drop", OPT_TEXT, &unknown, "events whose user or item is not listed (error)"},
        {"--missing", "NUMBER", OPT_TEXT, &missing, "what an empty number stands for (default: a bad row)"},
        {"--replace", NULL, OPT_FLAG, &o.replace, "replace a data set that is there already"},
        {"--user-field", "NAME", OPT_TEXT, &o.user_field, "recbole: the user's field (user_id)"},
        {"--item-field", "NAME", OPT_TEXT, &o.item_field, "recbole: the item's field (item_id)"},
        {"--time-field", "NAME", OPT_TEXT, &o.time_field, "recbole: the time's field (timestamp)"},
        {"--label-field", "NAME", OPT_TEXT, &o.label_field, "recbole: the label's field (label)"},
        {"--json", NULL, OPT_FLAG, &json, "the report as JSON"},
    };
    const char *args[MAX_POSITIONAL];
    int code =
        parse_options(&self, argc, argv, options, (int)(sizeof options / sizeof *options), 1, MAX_POSITIONAL, args);
    if (code >= 0) {
        return code;
    }
    if (!out) {
        return usage_error(&self, "--out is needed");
    }
    if (unknown && strcmp(unknown, "drop") != 0 && strcmp(unknown, "error") != 0) {
        return usage_error(&self, "--unknown is error or drop, not '%s'", unknown);
    }
    o.drop_unknown = unknown && strcmp(unknown, "drop") == 0;
    if (missing) {
        char *end;
        o.missing = strtod(missing, &end);
        o.has_missing = true;
        if (*end || end == missing) {
            return usage_error(&self, "--missing wants a number, not '%s'", missing);
        }
    }
    o.min_count = min_count;
    static const char *const formats[] = {"movielens", "text", "recbole", "libsvm", "criteo"};
    const char *format = NULL;
    int first = 0;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(args[0], formats[i]) == 0) {
            format = formats[i];
            first = 1;
        }
    }
    int npaths = 0;
    while (first + npaths < MAX_POSITIONAL && args[first + npaths]) {
        npaths++;
    }
    if (npaths == 0) {
        return usage_error(&self, "there is no path to import");
    }
    bool terminal = progress_wanted();
    o.progress = terminal ? show_progress : NULL;
    ImportReport report = {0};
    Error e = {0};
    bool ok = data_import(format, npaths, args + first, out, &o, &report, &e);
    if (terminal) {
        fputs("\r\033[K", stderr);
    }
    if (!ok) {
        for (int i = 0; i < report.nshown; i++) {
            fprintf(stderr, "%s\n", report.shown[i]);
        }
        return fail_error(&e);
    }
    if (json) {
        char *text = import_report_json(&report);
        puts(text ? text : "");
        free(text);
    } else {
        import_report_print(&report, stdout);
    }
    return 0;
}

static int synth(int argc, char **argv)
{
    static const Command self = {"data synth", "sequence|xor --out DATA",
                                 "generate a data set whose best metric is known",
                                 "heddle data synth sequence --out shop\n"
                                 "heddle data synth xor --out clicks --users 500 --seed 3\n",
                                 synth};
    const char *out = NULL, *noise = NULL;
    int64_t seed = 0;
    bool json = false;
    SynthOptions o = {.noise = -1};
    const Option options[] = {
        {"--out", "DATA", OPT_TEXT, &out, "where the data set goes, a directory"},
        {"--users", "N", OPT_INT, &o.users, "users (2000)"},
        {"--items", "N", OPT_INT, &o.items, "items (500)"},
        {"--mean-length", "N", OPT_INT, &o.mean_length, "mean number of events of a user (40)"},
        {"--clusters", "N", OPT_INT, &o.clusters, "sequence: clusters of items (10); xor: topics (1)"},
        {"--noise", "SHARE", OPT_TEXT, &noise, "share of random steps or flipped labels (0.1)"},
        {"--seed", "N", OPT_INT, &seed, "all that is drawn depends on it (0)"},
        {"--replace", NULL, OPT_FLAG, &o.replace, "replace a data set that is there already"},
        {"--json", NULL, OPT_FLAG, &json, "the report as JSON"},
    };
    const char *kind;
    int code = parse_options(&self, argc, argv, options, (int)(sizeof options / sizeof *options), 1, 1, &kind);
    if (code >= 0) {
        return code;
    }
    if (!out) {
        return usage_error(&self, "--out is needed");
    }
    if (noise) {
        char *end;
        o.noise = strtod(noise, &end);
        if (*end || end == noise || o.noise < 0 || o.noise >= 1) {
            return usage_error(&self, "--noise wants a share in [0, 1), not '%s'", noise);
        }
    }
    o.seed = (uint64_t)seed;
    SynthReport r = {0};
    Error e = {0};
    if (!data_synth(kind, out, &o, &r, &e)) {
        return fail_error(&e);
    }
    printf(json ? "{\"users\":%lld,\"items\":%lld,\"events\":%lld,\"best\":{"
                : "%lld users, %lld items, %lld events; best possible:",
           (long long)r.users, (long long)r.items, (long long)r.events);
    for (int i = 0; i < r.nbest; i++) {
        if (json) {
            printf("%s\"%s\":%.9g", i ? "," : "", r.best[i].name, r.best[i].value);
        } else {
            printf("  %s %.4f", r.best[i].name, r.best[i].value);
        }
    }
    puts(json ? "}}" : "");
    return 0;
}

static int show(int argc, char **argv)
{
    static const Command self = {"data show", "DATA", "what a data set holds",
                                 "heddle data show ml1m\nheddle data show ml1m --verify\n", show};
    bool verify = false, json = false;
    const Option options[] = {
        {"--verify", NULL, OPT_FLAG, &verify, "read everything and compare the checksums"},
        {"--json", NULL, OPT_FLAG, &json, "print schema.json"},
    };
    const char *dir;
    int code = parse_options(&self, argc, argv, options, 2, 1, 1, &dir);
    if (code >= 0) {
        return code;
    }
    Error e = {0};
    DataSet *ds = data_open(dir, verify, &e);
    if (!ds) {
        return fail_error(&e);
    }
    char *text;
    if (json) {
        char path[4096];
        snprintf(path, sizeof path, "%s/schema.json", dir);
        text = file_read(path, &e);
    } else {
        text = data_describe(ds);
    }
    data_close(ds);
    if (!text) {
        return fail_error(&e);
    }
    fputs(text, stdout);
    free(text);
    return 0;
}

static int split(int argc, char **argv)
{
    static const Command self = {
        "data split", "DATA [--recipe TEXT]", "what a recipe makes of a data set, and what leaks",
        "heddle data split ml1m\nheddle data split clicks --recipe events,by=time,test=0.2\n", split};
    const char *dir, *recipe = NULL;
    bool json = false;
    const Option options[] = {
        {"--recipe", "TEXT", OPT_TEXT, &recipe, "how the data is cut into examples (docs/data.md)"},
        {"--json", NULL, OPT_FLAG, &json, "the report as JSON"},
    };
    int code = parse_options(&self, argc, argv, options, 2, 1, 1, &dir);
    if (code >= 0) {
        return code;
    }
    Error e = {0};
    DataSet *ds = data_open(dir, false, &e);
    if (!ds) {
        return fail_error(&e);
    }
    DataRecipe r;
    SplitReport report;
    recipe_default(ds, &r);
    bool good = (!recipe || recipe_parse(recipe, &r, &e)) && split_report(ds, &r, &report, &e);
    data_close(ds);
    if (!good) {
        return fail_error(&e);
    }
    if (json) {
        char *text = split_report_json(&report);
        puts(text ? text : "");
        free(text);
    } else {
        split_report_print(&report, stdout);
    }
    return 0;
}

int cmd_data(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
        const char *summary;
    } verbs[] = {{"import", import, "read files into a data set"},
                 {"synth", synth, "generate a data set whose best metric is known"},
                 {"show", show, "what a data set holds"},
                 {"split", split, "what a recipe makes of a data set, and what leaks"}};
    for (size_t i = 0; argc > 1 && i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(argv[1], verbs[i].name) == 0) {
            return verbs[i].run(argc - 1, argv + 1);
        }
    }
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);
    FILE *f = help ? stdout : stderr;
    if (!help) {
        fprintf(f, argc > 1 ? "error: heddle data has no '%s'\n" : "error: heddle data wants a verb\n",
                argc > 1 ? argv[1] : "");
    }
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        fprintf(f, "  heddle data %-7s %s\n", verbs[i].name, verbs[i].summary);
    }
    fprintf(f, "'heddle data import --help' and so on list options and examples\n");
    return help ? 0 : EXIT_USAGE;
}
