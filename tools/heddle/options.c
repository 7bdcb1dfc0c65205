/* Option tables: parsing, --help, and what the commands share. */
#include "amx.h"
#include "command.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_help(const Command *c, const Option *options, int n)
{
    printf("usage: heddle %s %s\n\n%s.\n\noptions:\n", c->name, c->args, c->summary);
    for (int i = 0; i < n; i++) {
        char left[64];
        snprintf(left, sizeof left, "%s%s%s", options[i].name, options[i].arg ? " " : "",
                 options[i].arg ? options[i].arg : "");
        printf("  %-26s %s\n", left, options[i].help);
    }
    printf("\nexamples:\n");
    for (const char *s = c->examples; *s;) {
        const char *end = strchr(s, '\n');
        printf("  %.*s\n", (int)(end - s), s);
        s = end + 1;
    }
}

int usage_error(const Command *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("error: ", stderr);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "\n'heddle %s --help' lists the options\n", c->name);
    va_end(ap);
    return EXIT_USAGE;
}

static int set_option(const Command *c, const Option *o, const char *value)
{
    switch (o->kind) {
    case OPT_FLAG:
        *(bool *)o->value = true;
        break;
    case OPT_TEXT:
        *(const char **)o->value = value;
        break;
    case OPT_INT: {
        char *end;
        errno = 0;
        long long v = strtoll(value, &end, 10);
        if (errno || end == value || *end) {
            return usage_error(c, "%s wants a whole number, not '%s'", o->name, value);
        }
        if (v < 0) {
            return usage_error(c, "%s wants a number that is not negative, not %lld", o->name, v);
        }
        *(int64_t *)o->value = v;
        break;
    }
    case OPT_LIST: {
        TextList *l = o->value;
        const char **items = realloc(l->items, ((size_t)l->n + 1) * sizeof *items);
        if (!items) {
            fprintf(stderr, "error: out of memory\n");
            return EXIT_RESOURCES;
        }
        l->items = items;
        l->items[l->n++] = value;
        break;
    }
    }
    return -1;
}

/* "--steps=10", "--steps 10" and, for one-letter options, "-Dlayers=8". */
static const Option *find_option(const Option *options, int n, const char *arg, const char **value)
{
    for (int i = 0; i < n; i++) {
        size_t len = strlen(options[i].name);
        *value = NULL;
        if (strncmp(arg, options[i].name, len) != 0) {
            continue;
        }
        if (arg[len] == '\0') {
            return &options[i];
        }
        if (options[i].kind != OPT_FLAG && arg[len] == '=' && len > 2) {
            *value = arg + len + 1;
            return &options[i];
        }
        if (options[i].kind != OPT_FLAG && len == 2) {
            *value = arg + len;
            return &options[i];
        }
    }
    return NULL;
}

int parse_options(const Command *c, int argc, char **argv, const Option *options, int noptions, int least, int most,
                  const char **args)
{
    int n = 0;
    bool only_args = false;
    for (int i = 1; i < argc; i++) {
        if (!only_args && strcmp(argv[i], "--") == 0) {
            only_args = true;
            continue;
        }
        if (!only_args && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            print_help(c, options, noptions);
            return 0;
        }
        if (only_args || argv[i][0] != '-' || argv[i][1] == '\0') {
            if (n >= most) {
                return usage_error(c, "'%s' is one argument too many", argv[i]);
            }
            args[n++] = argv[i];
            continue;
        }
        const char *value;
        const Option *o = find_option(options, noptions, argv[i], &value);
        if (!o) {
            return usage_error(c, "heddle %s has no option '%s'", c->name, argv[i]);
        }
        if (o->kind != OPT_FLAG && !value) {
            if (i + 1 >= argc) {
                return usage_error(c, "%s wants a value: %s", o->name, o->arg);
            }
            value = argv[++i];
        }
        int code = set_option(c, o, value);
        if (code >= 0) {
            return code;
        }
    }
    if (n < least) {
        return usage_error(c, "something is missing: heddle %s %s", c->name, c->args);
    }
    for (int i = n; i < most; i++) {
        args[i] = NULL;
    }
    return -1;
}

static int append(Option *options, int n, const Option *table, size_t bytes)
{
    memcpy(options + n, table, bytes);
    return n + (int)(bytes / sizeof *table);
}

int spec_options(Option *options, int n, Common *c)
{
    const Option table[] = {
        {"-D", "NAME=VALUE", OPT_LIST, &c->defines, "set a hyper, an axis size or a vocabulary's size"},
        {"--variant", "NAME", OPT_TEXT, &c->variant, "use a variant of the spec"},
        {"--skip-pass", "NAMES", OPT_TEXT, &c->skip, "leave out passes, separated by commas"},
        {"--verify", NULL, OPT_FLAG, &c->verify, "check the graph after every pass"},
    };
    return append(options, n, table, sizeof table);
}

int dtype_option(Option *options, int n, Common *c)
{
    const Option table[] = {
        {"--dtype", "f32|f64", OPT_TEXT, &c->dtype, "precision of the run (f32)"},
        {"--products", "f32|bf16|bf16x3", OPT_TEXT, &c->products,
         "precision of an f32 run's matrix products (f32); the others need AMX"},
    };
    return append(options, n, table, sizeof table);
}

int json_option(Option *options, int n, Common *c)
{
    const Option table[] = {{"--json", NULL, OPT_FLAG, &c->json, "results as JSON"}};
    return append(options, n, table, sizeof table);
}

int run_options(Option *options, int n, Common *c)
{
    const Option table[] = {
        {"--threads", "N", OPT_INT, &c->threads, "threads (0: as many as there are cores)"},
        {"--seed", "N", OPT_INT, &c->seed, "seed of initial values and random draws (0)"},
        {"--cpu", "NAME", OPT_TEXT, &c->cpu, "native, x86-64-v4, x86-64-v3 (AVX2) or x86-64"},
        {"--no-cache", NULL, OPT_FLAG, &c->no_cache, "do not keep compiled kernels on disk"},
    };
    return append(options, dtype_option(options, spec_options(options, n, c), c), table, sizeof table);
}

int data_options(Option *options, int n, DataOptions *d)
{
    const Option table[] = {
        {"--data", "DATA", OPT_TEXT, &d->data, "data set, a directory made by heddle data"},
        {"--recipe", "TEXT", OPT_TEXT, &d->recipe, "how the data is cut into examples (docs/data.md)"},
        {"--map", "INPUT=COLUMN", OPT_LIST, &d->maps, "fill an input from a column of another name"},
    };
    return append(options, n, table, sizeof table);
}

void use_data(RankerOptions *o, const DataOptions *d, const Common *c, bool held_back)
{
    o->data = d->data;
    o->feed = (FeedOptions){.recipe = d->recipe, .held_back = held_back, .nmaps = d->maps.n, .maps = d->maps.items};
    o->threads = (int)c->threads;
    o->seed = (uint64_t)c->seed;
}

int loop_options(Option *options, int n, LoopOptions *l)
{
    *l = (LoopOptions){.split = "test", .epochs = -1, .steps = -1, .batch = -1, .eval_every = 1};
    const Option table[] = {
        {"--epochs", "N", OPT_INT, &l->epochs, "stop after N epochs (the spec's epochs)"},
        {"--steps", "N", OPT_INT, &l->steps, "stop after N steps"},
        {"--batch", "N", OPT_INT, &l->batch, "examples per step (the spec's batch)"},
        {"--checkpoint-steps", "N", OPT_INT, &l->checkpoint_steps, "also write a checkpoint every N steps"},
        {"--eval-every", "N", OPT_INT, &l->eval_every, "evaluate every N epochs (1; 0: never)"},
        {"--eval-split", "test|valid", OPT_TEXT, &l->split, "which held-out event is evaluated (test)"},
    };
    return append(options, n, table, sizeof table);
}

int use_loop(const Command *self, TrainOptions *t, const LoopOptions *l, const DataOptions *d, const Common *c)
{
    if (l->batch == 0) {
        return usage_error(self, "--batch is at least 1");
    }
    if (strcmp(l->split, "test") != 0 && strcmp(l->split, "valid") != 0) {
        return usage_error(self, "--eval-split is test or valid, not '%s'", l->split);
    }
    t->data = d->data;
    t->recipe = d->recipe;
    t->nmaps = d->maps.n;
    t->maps = d->maps.items;
    t->epochs = l->epochs;
    t->steps = l->steps;
    t->batch = l->batch;
    t->checkpoint_steps = l->checkpoint_steps;
    t->eval_every = l->eval_every;
    t->validate = strcmp(l->split, "valid") == 0;
    t->seed = (uint64_t)c->seed;
    t->threads = (int)c->threads;
    t->json = c->json;
    t->terminal = progress_wanted();
    return -1;
}

int fail_error(const Error *e)
{
    fprintf(stderr, "error: %s\n", e->text);
    return e->code ? e->code : EXIT_RESOURCES;
}

int fail_text(int code, Text *report)
{
    fputs(report->s ? report->s : "error: failed without a reason\n", stderr);
    text_free(report);
    return code;
}

int fail_either(Text *report, const Error *e)
{
    if (report->s) {
        return fail_text(e->code ? e->code : EXIT_SPEC, report);
    }
    return fail_error(e);
}

bool progress_wanted(void)
{
    return isatty(STDERR_FILENO) == 1;
}

/* The standard library: beside the source tree, or where HEDDLE_STD says. */
static const char *std_dir(void)
{
    const char *dir = getenv("HEDDLE_STD");
    return dir && *dir ? dir : HEDDLE_STD_DIR;
}

/* Every name of a list of passes is one; else the first that is not is reported. */
static bool passes_exist(const char *names)
{
    while (names && *names) {
        int len = (int)strcspn(names, ",");
        bool found = false;
        for (int i = 0; i < npasses && !found; i++) {
            found = (int)strlen(pipeline[i].name) == len && strncmp(pipeline[i].name, names, (size_t)len) == 0;
        }
        if (!found) {
            fprintf(stderr, "error: there is no pass '%.*s'; there are", len, names);
            for (int i = 0; i < npasses; i++) {
                fprintf(stderr, "%s %s", i ? "," : "", pipeline[i].name);
            }
            fprintf(stderr, "\n");
            return false;
        }
        names += len + (names[len] == ',');
    }
    return true;
}

/* Asks for AMX before any thread of the run exists; code for another CPU is refused where it would be made. */
static bool products_wanted(const Common *c, DType real, Products *out, int *code)
{
    *out = PRODUCTS_F32;
    while (c->products && *out <= PRODUCTS_BF16X3 && strcmp(c->products, products_name[*out]) != 0) {
        *out += 1;
    }
    if (*out > PRODUCTS_BF16X3) {
        fprintf(stderr, "error: --products is f32, bf16 or bf16x3, not '%s'\n", c->products);
        return false;
    }
    if (*out != PRODUCTS_F32 && real != DT_F32) {
        fprintf(stderr, "error: --products %s is for runs in f32: leave out --dtype f64\n", c->products);
        return false;
    }
    Error e = {0};
    bool native = strcmp(codegen_cpu(c->cpu), "native") == 0;
    if (*out != PRODUCTS_F32 && native && !amx_request(&e)) {
        *code = fail_error(&e);
        return false;
    }
    return true;
}

Project *open_project(const char *spec, const Common *c, int *code)
{
    *code = EXIT_USAGE;
    if (!passes_exist(c->skip)) {
        return NULL;
    }
    DType real = DT_F32;
    if (c->dtype && strcmp(c->dtype, "f64") == 0) {
        real = DT_F64;
    } else if (c->dtype && strcmp(c->dtype, "f32") != 0) {
        fprintf(stderr, "error: --dtype is f32 or f64, not '%s'\n", c->dtype);
        return NULL;
    }
    Products products;
    if (!products_wanted(c, real, &products, code)) {
        return NULL;
    }
    for (int i = 0; i < c->defines.n; i++) {
        const char *text = c->defines.items[i], *eq = strchr(text, '=');
        if (!eq || eq == text || !eq[1]) {
            fprintf(stderr, "error: -D wants NAME=VALUE, not '%s'\n", text);
            return NULL;
        }
    }
    Define *defines = calloc((size_t)c->defines.n + 1, sizeof *defines); /* they live as long as the project */
    for (int i = 0; i < c->defines.n; i++) {
        char *text = defines ? strdup(c->defines.items[i]) : NULL;
        if (!text) {
            *code = EXIT_RESOURCES;
            fprintf(stderr, "error: out of memory\n");
            free(defines);
            return NULL;
        }
        char *eq = strchr(text, '=');
        *eq = '\0';
        defines[i] = (Define){text, eq + 1};
    }
    ProjectOptions o = {.spec = spec,
                        .variant = c->variant,
                        .ndefines = c->defines.n,
                        .defines = defines,
                        .lenient = c->lenient,
                        .std_dir = std_dir(),
                        .real = real,
                        .products = products,
                        .cpu = c->cpu,
                        .cache_dir = c->no_cache ? "" : NULL,
                        .threads = (int)c->threads,
                        .skip = c->skip,
                        .verify = c->verify,
                        .noutputs = c->outputs.n,
                        .outputs = c->outputs.items};
    Text report = {0};
    Project *p = project_open(&o, &report);
    if (!p) {
        *code = fail_text(EXIT_SPEC, &report);
    } else if (diag_warnings(p->diag)) {
        diag_print(p->diag, &report);
        fputs(report.s, stderr);
        text_free(&report);
    }
    return p;
}
