/* heddle compare: which models and variants meet, and with which options; the driver does the rest. */
#include "codegen.h"
#include "command.h"
#include "compare.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ENTRANTS = 256, MAX_SPECS = 64 };

typedef struct {
    const Common *common;
    Entrant entrants[MAX_ENTRANTS];
    int n;
} Field;

static Project *open_entrant(void *ctx, const Entrant *who, int *code)
{
    Common c = *((const Field *)ctx)->common;
    c.variant = who->variant;
    return open_project(who->spec, &c, code);
}

/* models/sequential/hstu.heddle and large: hstu.large. */
static char *name_of(const char *spec, const char *variant)
{
    const char *file = strrchr(spec, '/');
    file = file ? file + 1 : spec;
    const char *dot = strrchr(file, '.');
    Text t = {0};
    text_printf(&t, "%.*s%s%s", dot && dot > file ? (int)(dot - file) : (int)strlen(file), file, variant ? "." : "",
                variant ? variant : "");
    return t.s;
}

/* -1 or an exit code. */
static int add(Field *f, const Command *self, const char *spec, const char *variant)
{
    if (f->n == MAX_ENTRANTS) {
        return usage_error(self, "more than %d models are compared", MAX_ENTRANTS);
    }
    /* Kept until the end: the variant's name goes with its project. */
    f->entrants[f->n] = (Entrant){name_of(spec, variant), spec, variant ? strdup(variant) : NULL};
    const char *name = f->entrants[f->n++].name;
    for (int i = 0; i < f->n - 1; i++) {
        if (strcmp(f->entrants[i].name, name) == 0) {
            return usage_error(self, "two models are called '%s': give the files different names", name);
        }
    }
    return -1;
}

static bool listed(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = list; p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        if (strncmp(p, name, n) == 0 && (p[n] == ',' || p[n] == '\0')) {
            return true;
        }
    }
    return false;
}

/* A spec as it is, and those of its variants that are asked for. */
static int add_spec(Field *f, const Command *self, const char *spec, const char *variants, bool *found)
{
    int code = -1;
    Project *p = open_entrant(f, &(Entrant){.spec = spec}, &code);
    if (!p) {
        return code;
    }
    const char *const *names;
    int n = spec_variants(p->spec, &names);
    bool all = variants && strcmp(variants, "all") == 0;
    code = add(f, self, spec, NULL);
    for (int i = 0; code < 0 && i < n; i++) {
        if (all || (variants && listed(variants, names[i]))) {
            code = add(f, self, spec, names[i]);
        }
    }
    for (int i = 0; i < f->common->defines.n; i++) { /* known to one spec is enough */
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(f->common->defines.items[i], "="),
                 f->common->defines.items[i]);
        found[i] = found[i] || !spec_lacks(p->spec, name);
    }
    project_close(p);
    return code;
}

/* Every variant that was asked for by name is one of some spec. */
static int check_variants(const Field *f, const Command *self, const char *variants)
{
    for (const char *p = variants; p && strcmp(variants, "all") != 0;) {
        int n = (int)strcspn(p, ",");
        bool found = false;
        for (int i = 0; i < f->n; i++) {
            const char *v = f->entrants[i].variant;
            found = found || (v && (int)strlen(v) == n && strncmp(v, p, (size_t)n) == 0);
        }
        if (!found) {
            return usage_error(self, "no spec has a variant '%.*s'", n, p);
        }
        p += n;
        p = *p == ',' ? p + 1 : NULL;
    }
    return -1;
}

/* All run as long as the first, with batches of the same size: what it says unless an option says otherwise. */
static int same_for_all(const Field *f, TrainOptions *t)
{
    int code = 0;
    Project *p = open_entrant((void *)f, &f->entrants[0], &code);
    if (!p) {
        return code;
    }
    const TrainSettings *s = spec_train(p->spec);
    t->batch = train_batch(t, s);
    t->epochs = train_epochs(t, s);
    project_close(p);
    return -1;
}

/* The options of the project that decide bits, a line each. */
static char *settings_text(const Common *c)
{
    Text t = {0};
    text_printf(&t, "dtype %s\ncpu %s\n", c->dtype ? c->dtype : "f32", codegen_cpu(c->cpu));
    if (c->products && strcmp(c->products, products_name[PRODUCTS_F32]) != 0) {
        text_printf(&t, "products %s\n", c->products);
    }
    for (int i = 0; i < c->defines.n; i++) {
        text_printf(&t, "-D %s\n", c->defines.items[i]);
    }
    text_printf(&t, c->skip ? "without %s\n" : "", c->skip);
    return t.s;
}

static int run(Field *f, CompareOptions *o)
{
    char *settings = settings_text(f->common);
    o->n = f->n;
    o->entrants = f->entrants;
    o->open = open_entrant;
    o->ctx = f;
    o->settings = settings;
    Error e = {0};
    Text table = {0};
    int code = compare(o, &table, &e);
    if (code == 0 || code == EXIT_NONFINITE) {
        fputs(table.s ? table.s : "", stdout);
    } else if (e.text[0]) {
        fail_error(&e);
    }
    text_free(&table);
    free(settings);
    return code;
}

static void field_free(Field *f)
{
    for (int i = 0; i < f->n; i++) {
        free((char *)f->entrants[i].name);
        free((char *)f->entrants[i].variant);
    }
}

int cmd_compare(int argc, char **argv)
{
    const Command *self = command_named("compare");
    Common common = {.lenient = true};
    DataOptions data = {0};
    LoopOptions loop = {0};
    CompareOptions o = {.seeds = 1};
    const char *variants = NULL;
    Option options[MAX_OPTIONS] = {
        {"--out", "DIR", OPT_TEXT, &o.out, "where runs and tables go; the same command goes on there"},
        {"--variants", "all|A,B", OPT_TEXT, &variants, "beside each spec, all its variants or those named"},
        {"--seeds", "K", OPT_INT, &o.seeds, "runs of each, with seeds 0 to K - 1 (1); from --seed on"},
    };
    int n = loop_options(options, data_options(options, 3, &data), &loop);
    n = json_option(options, run_options(options, n, &common), &common);
    const char *specs[MAX_SPECS] = {NULL};
    int code = parse_options(self, argc, argv, options, n, 1, MAX_SPECS, specs);
    if (code >= 0) {
        return code;
    }
    if (!data.data || !o.out) {
        return usage_error(self, "--data and --out are both needed");
    }
    if (common.variant) {
        return usage_error(self, "variants are compared with --variants %s", common.variant);
    }
    if (o.seeds < 1 || o.seeds > 1000) {
        return usage_error(self, "--seeds is from 1 to 1000");
    }
    code = use_loop(self, &o.train, &loop, &data, &common);
    Field field = {.common = &common};
    bool *found = calloc((size_t)common.defines.n + 1, sizeof *found);
    for (int i = 0; code < 0 && found && i < MAX_SPECS && specs[i]; i++) {
        code = add_spec(&field, self, specs[i], variants, found);
    }
    code = code < 0 ? check_variants(&field, self, variants) : code;
    for (int i = 0; code < 0 && found && i < common.defines.n; i++) {
        code = found[i] ? -1 : usage_error(self, "-D %s: no spec has that to set", common.defines.items[i]);
    }
    free(found);
    code = code < 0 ? same_for_all(&field, &o.train) : code;
    if (code < 0) {
        o.train.argc = argc;
        o.train.argv = argv;
        code = run(&field, &o);
    }
    field_free(&field);
    return code;
}
