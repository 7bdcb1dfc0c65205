/* spec_load: from a path to a Spec with every hyper known.
 *
 *   read and parse ─► spec X from "f": f, edited by this file ─► variant ─► -D ─► libraries ─► hypers ─► settings
 *
 * Libraries are the files of the std directory, always visible, and those that `use` names (relative to the file that
 * says it, else in the std directory). Of a library only axes, fns, inits, rels, blocks and externs count; a
 * definition of the spec itself hides a library's of the same kind and name, and one of a used file hides std's. */
#include "load.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE_BYTES = 16 << 20, MAX_FROM = 16 };

typedef struct {
    Arena *arena;
    Diag *diag;
    const SpecOptions *options;
    Spec *spec;
    Stmts variants; /* of the spec, and of those it comes from */
    Stmts used;     /* items of used files */
    Stmts std;
    int nfiles; /* paths read as libraries, so that each is read once */
    const char **files;
} Load;

/* ---- files ------------------------------------------------------------------------------------------------ */

/* NULL after a message at `at`. */
static const Source *read_source(Load *l, const char *path, Span at)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        diag_report(l->diag, DIAG_ERROR, "E0050", at, NULL, "cannot read '%s': %s", path, strerror(errno));
        return NULL;
    }
    Text text = {0};
    char buffer[16384];
    size_t n;
    bool has_nul = false;
    while ((n = fread(buffer, 1, sizeof buffer, f)) > 0 && text.n <= MAX_FILE_BYTES) {
        has_nul |= memchr(buffer, '\0', n) != NULL;
        text_append(&text, buffer, n);
    }
    const char *problem = ferror(f)                 ? strerror(errno)
                          : text.n > MAX_FILE_BYTES ? "it is larger than 16 MiB"
                          : has_nul                 ? "it is not a text file"
                                                    : NULL;
    fclose(f);
    const Source *source = NULL;
    if (problem != NULL) {
        diag_report(l->diag, DIAG_ERROR, "E0050", at, NULL, "cannot read '%s': %s", path, problem);
    } else {
        source = diag_source(l->diag, path, text.s != NULL ? text.s : "");
        ARENA_PUSH(l->arena, l->spec->sources, l->spec->nsources, source);
    }
    text_free(&text);
    return source;
}

static bool exists(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f != NULL) {
        fclose(f);
    }
    return f != NULL;
}

/* A path written in a file: relative to that file, else in the std directory. */
static const char *resolve(Load *l, const char *from, const char *name)
{
    const char *slash = strrchr(from, '/');
    if (name[0] == '/' || slash == NULL) {
        if (name[0] == '/' || exists(name)) {
            return name;
        }
    } else {
        const char *beside = arena_printf(l->arena, "%.*s/%s", (int)(slash - from), from, name);
        if (exists(beside) || l->options->std_dir == NULL) {
            return beside;
        }
    }
    const char *std = l->options->std_dir != NULL ? arena_printf(l->arena, "%s/%s", l->options->std_dir, name) : NULL;
    if (std != NULL && exists(std)) {
        return std;
    }
    return slash != NULL ? arena_printf(l->arena, "%.*s/%s", (int)(slash - from), from, name) : name;
}

/* ---- libraries -------------------------------------------------------------------------------------------- */

static bool is_library_kind(StmtKind k)
{
    return k == ST_AXIS || k == ST_FN || k == ST_REL || k == ST_BLOCK || k == ST_EXTERN;
}

static Stmt *find_stmt(const Stmts *list, StmtKind kind, const char *name)
{
    for (int k = 0; k < list->n; k++) {
        if (list->v[k]->kind == kind && strcmp(list->v[k]->name, name) == 0) {
            return list->v[k];
        }
    }
    return NULL;
}

static const char *kind_name(const Stmt *s)
{
    return s->kind == ST_FN && s->is_init ? "init" : stmt_name[s->kind];
}

static void report_twice(Load *l, const Stmt *s, const Stmt *first)
{
    diag_report(l->diag, DIAG_ERROR, "E0023", s->span, NULL, "%s '%s' is declared twice", kind_name(s), s->name);
    diag_also(l->diag, "first declared at %s:%d", source_path(first->span.source), first->span.line);
}

static void read_library(Load *l, const char *path, Span at, Stmts *out)
{
    for (int k = 0; k < l->nfiles; k++) {
        if (strcmp(l->files[k], path) == 0) {
            return;
        }
    }
    ARENA_PUSH(l->arena, l->files, l->nfiles, path);
    const Source *source = read_source(l, path, at);
    if (source == NULL) {
        return;
    }
    File *f = parse_file(l->arena, l->diag, source);
    for (int k = 0; k < f->items.n; k++) {
        Stmt *s = f->items.v[k];
        if (s->kind == ST_USE) {
            read_library(l, resolve(l, path, s->name), s->span, out);
        } else if (is_library_kind(s->kind)) {
            Stmt *other = find_stmt(out, s->kind, s->name);
            s->from_library = true;
            if (other != NULL) {
                report_twice(l, s, other);
            } else {
                ARENA_PUSH(l->arena, out->v, out->n, s);
            }
        }
    }
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void read_std(Load *l)
{
    const char *dir = l->options->std_dir;
    DIR *d = dir != NULL ? opendir(dir) : NULL;
    if (d == NULL) {
        if (dir != NULL) {
            diag_report(l->diag, DIAG_ERROR, "E0050", (Span){0}, NULL,
                        "cannot read the standard library's directory '%s': %s", dir, strerror(errno));
        }
        return;
    }
    const char **names = NULL;
    int n = 0;
    for (struct dirent *entry; (entry = readdir(d)) != NULL;) {
        size_t length = strlen(entry->d_name);
        if (length > 7 && strcmp(entry->d_name + length - 7, ".heddle") == 0) {
            const char *name = arena_printf(l->arena, "%s/%s", dir, entry->d_name);
            ARENA_PUSH(l->arena, names, n, name);
        }
    }
    closedir(d);
    if (n > 0) {
        qsort(names, (size_t)n, sizeof *names, by_name);
    }
    for (int k = 0; k < n; k++) {
        read_library(l, names[k], (Span){0}, &l->std);
    }
}

static Stmts visible_items(Load *l, const Stmts *own)
{
    Stmts all = {0};
    for (int k = 0; k < l->std.n; k++) {
        Stmt *s = l->std.v[k];
        if (find_stmt(own, s->kind, s->name) == NULL && find_stmt(&l->used, s->kind, s->name) == NULL) {
            ARENA_PUSH(l->arena, all.v, all.n, s);
        }
    }
    for (int k = 0; k < l->used.n; k++) {
        Stmt *s = l->used.v[k];
        if (find_stmt(own, s->kind, s->name) == NULL) {
            ARENA_PUSH(l->arena, all.v, all.n, s);
        }
    }
    for (int k = 0; k < own->n; k++) {
        ARENA_PUSH(l->arena, all.v, all.n, own->v[k]);
    }
    return all;
}

/* ---- the spec's own statements ---------------------------------------------------------------------------- */

/* Sorts a file's items: variants and uses go their ways, each declaration once. */
static void take_items(Load *l, const File *f, Stmts *own)
{
    for (int k = 0; k < f->items.n; k++) {
        Stmt *s = f->items.v[k];
        if (s->kind == ST_USE) {
            read_library(l, resolve(l, source_path(f->source), s->name), s->span, &l->used);
            continue;
        }
        if (s->kind == ST_VARIANT) {
            Stmt *other = find_stmt(&l->variants, ST_VARIANT, s->name);
            if (other == NULL) {
                ARENA_PUSH(l->arena, l->variants.v, l->variants.n, s);
            } else if (other->span.source == s->span.source) {
                report_twice(l, s, other);
            } else {
                *other = *s; /* a spec's own variant hides one of the spec it comes from */
            }
            continue;
        }
        bool once = s->kind <= ST_EXTERN || s->kind == ST_SECTION;
        Stmt *other = once ? find_stmt(own, s->kind, s->name) : NULL;
        if (other != NULL) {
            report_twice(l, s, other);
        } else {
            ARENA_PUSH(l->arena, own->v, own->n, s);
        }
    }
}

/* Parses the spec at path, and the one it comes from. False after an error that leaves nothing to go on with. */
static bool read_spec(Load *l, const char *path, Span at, int depth, Stmts *own)
{
    if (depth > MAX_FROM) {
        diag_report(l->diag, DIAG_ERROR, "E0051", at, NULL, "specs come from each other in a circle: '%s'", path);
        return false;
    }
    const Source *source = read_source(l, path, at);
    if (source == NULL) {
        return false;
    }
    int before = diag_errors(l->diag);
    File *f = parse_file(l->arena, l->diag, source);
    if (diag_errors(l->diag) > before) {
        return false;
    }
    if (f->name == NULL) {
        diag_report(l->diag, DIAG_ERROR, "E0029", (Span){source, 1, 1, 1}, "begin it with: spec Name",
                    "this file is no spec but a library");
        return false;
    }
    if (f->from == NULL) {
        take_items(l, f, own);
    } else {
        if (!read_spec(l, resolve(l, path, f->from), f->span, depth + 1, own)) {
            return false;
        }
        Stmts edits = {0};
        take_items(l, f, &edits);
        Edit e = {.arena = l->arena, .diag = l->diag, .items = own, .libraries = &l->used, .variant = f->name};
        edit_apply(&e, &edits);
    }
    l->spec->name = f->name;
    return diag_errors(l->diag) == before;
}

/* ---- variants --------------------------------------------------------------------------------------------- */

static const char *join_names(Load *l, const Stmts *list)
{
    Text t = {0};
    for (int k = 0; k < list->n; k++) {
        text_printf(&t, "%s%s", k > 0 ? ", " : "", list->v[k]->name);
    }
    const char *names = arena_strdup(l->arena, t.s != NULL ? t.s : "");
    text_free(&t);
    return names;
}

static void apply_variant(Load *l, Stmts *own, const char *name, Span at, int depth)
{
    Stmt *v = find_stmt(&l->variants, ST_VARIANT, name);
    if (v == NULL || depth > MAX_FROM) {
        const char *known = l->variants.n > 0 ? arena_printf(l->arena, "there are %s", join_names(l, &l->variants))
                                              : "the spec has no variants";
        if (v == NULL) {
            diag_report(l->diag, DIAG_ERROR, "E0040", at, known, "there is no variant '%s'", name);
        } else {
            diag_report(l->diag, DIAG_ERROR, "E0051", v->span, NULL, "variants come from each other in a circle");
        }
        return;
    }
    for (int k = 0; k < v->nnames; k++) {
        apply_variant(l, own, v->names[k], v->span, depth + 1);
    }
    Stmts libraries = l->used;
    for (int k = 0; k < l->std.n; k++) {
        ARENA_PUSH(l->arena, libraries.v, libraries.n, l->std.v[k]);
    }
    Edit e = {.arena = l->arena, .diag = l->diag, .items = own, .libraries = &libraries, .variant = v->name};
    edit_apply(&e, &v->body);
}

/* ---- defines ---------------------------------------------------------------------------------------------- */

/* Names whose sizes the data would tell: vocabularies in axes, inputs and dimensions of params, groups of fields. */
typedef struct {
    int nvocabs, ngroups;
    const char **vocabs, **groups;
} DataNames;

/* NAME of vocab(NAME) or fields(NAME), if `type` is the `kind` looked for. */
static void add_name(Load *l, const char *kind, const char *type, int nargs, const Arg *args, int *n,
                     const char ***names)
{
    if (strcmp(type, kind) != 0 || nargs != 1 || args[0].value->kind != EX_NAME) {
        return;
    }
    for (int k = 0; k < *n; k++) {
        if (strcmp((*names)[k], args[0].value->name) == 0) {
            return;
        }
    }
    ARENA_PUSH(l->arena, *names, *n, args[0].value->name);
}

static void find_names(Load *l, const Stmts *list, DataNames *out)
{
    for (int k = 0; k < list->n; k++) {
        const Stmt *s = list->v[k];
        if (s->kind == ST_AXIS && s->axis->kind != NULL) {
            add_name(l, "vocab", s->axis->kind, s->axis->nargs, s->axis->args, &out->nvocabs, &out->vocabs);
            add_name(l, "fields", s->axis->kind, s->axis->nargs, s->axis->args, &out->ngroups, &out->groups);
        } else if (s->kind == ST_INPUT) {
            add_name(l, "vocab", s->input->type, s->input->nargs, s->input->args, &out->nvocabs, &out->vocabs);
        } else if (s->kind == ST_PARAM) {
            for (int j = 0; j < s->decl->ndims; j++) {
                const Expr *d = s->decl->dims[j];
                if (d->kind == EX_CALL) {
                    add_name(l, "vocab", d->name, d->nargs, d->args, &out->nvocabs, &out->vocabs);
                }
            }
        }
        find_names(l, &s->body, out);
    }
}

static bool is_among(const char *name, int n, const char *const *names)
{
    for (int k = 0; k < n; k++) {
        if (strcmp(names[k], name) == 0) {
            return true;
        }
    }
    return false;
}

/* The bound that "T.max" names in axis T : ragged(max = 200), or NULL. */
static Arg *find_bound(const Stmts *own, const char *name)
{
    const char *dot = strrchr(name, '.');
    for (int k = 0; dot != NULL && k < own->n; k++) {
        const Stmt *s = own->v[k];
        if (s->kind != ST_AXIS || strlen(s->name) != (size_t)(dot - name) ||
            strncmp(s->name, name, (size_t)(dot - name)) != 0) {
            continue;
        }
        for (int j = 0; j < s->axis->nargs; j++) {
            if (s->axis->args[j].name != NULL && strcmp(s->axis->args[j].name, dot + 1) == 0) {
                return &s->axis->args[j];
            }
        }
    }
    return NULL;
}

static void unknown_define(Load *l, const Stmts *own, const Define *d, const DataNames *data)
{
    if (l->options->lenient) {
        ARENA_PUSH(l->arena, l->spec->lacks, l->spec->nlacks, d->name);
        return;
    }
    Text t = {0};
    for (int k = 0; k < own->n; k++) {
        const Stmt *s = own->v[k];
        if (s->kind == ST_HYPER || (s->kind == ST_AXIS && s->axis->size != NULL)) {
            text_printf(&t, "%s%s", t.n > 0 ? ", " : "", s->name);
        }
        for (int j = 0; s->kind == ST_AXIS && s->axis->kind != NULL && j < s->axis->nargs; j++) {
            if (s->axis->args[j].name != NULL) {
                text_printf(&t, "%s%s.%s", t.n > 0 ? ", " : "", s->name, s->axis->args[j].name);
            }
        }
    }
    for (int k = 0; k < data->nvocabs; k++) {
        text_printf(&t, "%s%s", t.n > 0 ? ", " : "", data->vocabs[k]);
    }
    for (int k = 0; k < data->ngroups; k++) {
        text_printf(&t, "%s%s=[...]", t.n > 0 ? ", " : "", data->groups[k]);
    }
    const char *known = t.n > 0 ? arena_printf(l->arena, "known are %s", t.s) : "the spec has nothing to set";
    diag_report(l->diag, DIAG_ERROR, "E0030", (Span){0}, known,
                "-D %s=%s: there is no hyper, axis size or vocabulary '%s'", d->name, d->value, d->name);
    text_free(&t);
}

static void bad_define(Load *l, const Define *d, const char *problem)
{
    diag_report(l->diag, DIAG_ERROR, "E0031", (Span){0}, NULL, "-D %s=%s: %s", d->name, d->value, problem);
}

/* -D cat=[5,7]: the group has two fields, with vocabularies of 5 and 7. */
static void define_group(Load *l, const Define *d, const Value *v)
{
    bool good = v->is_list && v->is_int && v->n > 0;
    int64_t *sizes = arena_alloc(l->arena, (size_t)(good ? v->n : 1) * sizeof *sizes);
    for (int k = 0; good && k < v->n; k++) {
        good = v->list[k] >= 1 && v->list[k] <= 1e15;
        sizes[k] = (int64_t)v->list[k];
    }
    if (!good) {
        bad_define(l, d, "a group of fields has a list of vocabulary sizes: write [5,7]");
        return;
    }
    ARENA_PUSH(l->arena, l->spec->groups, l->spec->ngroups, ((struct FieldGroup){d->name, v->n, sizes}));
}

static void apply_define(Load *l, Stmts *own, const Define *d, const DataNames *data)
{
    const Source *source = diag_source(l->diag, arena_printf(l->arena, "-D %s", d->name), d->value);
    Expr *value = parse_value(l->arena, l->diag, source);
    if (value == NULL) {
        return;
    }
    Stmt *hyper = find_stmt(own, ST_HYPER, d->name), *axis = find_stmt(own, ST_AXIS, d->name);
    Arg *bound = find_bound(own, d->name);
    bool is_vocab = is_among(d->name, data->nvocabs, data->vocabs);
    bool is_group = !is_vocab && is_among(d->name, data->ngroups, data->groups);
    Value v;
    if (!spec_eval(l->spec, NULL, value, &v, NULL)) {
        bad_define(l, d, "the value is not a constant");
    } else if (hyper != NULL) {
        if (v.is_list != (hyper->value->kind == EX_LIST)) {
            bad_define(l, d,
                       v.is_list ? "this hyper is a number, not a list" : "this hyper is a list: write [400,400]");
        }
        hyper->value = value;
        for (int k = 0; k < l->spec->nhypers; k++) {
            l->spec->hypers[k].defined |= strcmp(l->spec->hypers[k].name, d->name) == 0;
        }
    } else if (is_group && bound == NULL && (axis == NULL || axis->axis->size == NULL)) {
        define_group(l, d, &v);
    } else if (v.is_list || v.num != floor(v.num) || v.num < 0 || v.num > 1e15) {
        if ((axis != NULL && axis->axis->size != NULL) || bound != NULL || is_vocab) {
            bad_define(l, d, "a size is an integer");
        } else {
            unknown_define(l, own, d, data);
        }
    } else if (axis != NULL && axis->axis->size != NULL) {
        axis->axis->size = value;
    } else if (bound != NULL) {
        bound->value = value;
    } else if (is_vocab) {
        ARENA_PUSH(l->arena, l->spec->vocabs, l->spec->nvocabs, ((struct VocabSize){d->name, (int64_t)v.num}));
    } else {
        unknown_define(l, own, d, data);
    }
}

/* ---- hypers ----------------------------------------------------------------------------------------------- */

static void declare_hypers(Load *l, const Stmts *own)
{
    for (int k = 0; k < own->n; k++) {
        if (own->v[k]->kind == ST_HYPER) {
            Hyper h = {.name = own->v[k]->name, .span = own->v[k]->span, .value = {.n = -1}};
            ARENA_PUSH(l->arena, l->spec->hypers, l->spec->nhypers, h);
        }
    }
}

static void evaluate_hypers(Load *l)
{
    for (int k = 0; k < l->spec->nhypers; k++) {
        Hyper *h = &l->spec->hypers[k];
        const Stmt *s = spec_find(l->spec, ST_HYPER, h->name);
        const Expr *bad = NULL;
        Value v;
        if (h->value.n < 0 && !spec_eval(l->spec, NULL, s->value, &v, &bad)) {
            diag_report(
                l->diag, DIAG_ERROR, "E0033", bad->op_span,
                "hypers are made of numbers, other hypers and numbered axes, and are known before anything else",
                "hyper '%s' is not a constant", h->name);
            v = (Value){.is_int = true, .num = 1};
        } else if (h->value.n >= 0) {
            continue;
        }
        h->value = v;
        if (!v.is_list && !isfinite(v.num)) {
            diag_report(l->diag, DIAG_ERROR, "E0034", s->value->span, NULL, "hyper '%s' is not a finite number",
                        h->name);
        }
    }
}

/* ---- all of it -------------------------------------------------------------------------------------------- */

Spec *spec_load(Arena *arena, Diag *diag, const char *path, const SpecOptions *o)
{
    Spec *s = arena_alloc(arena, sizeof *s);
    *s = (Spec){.arena = arena, .diag = diag, .path = arena_strdup(arena, path)};
    Load l = {.arena = arena, .diag = diag, .options = o, .spec = s};
    int before = diag_errors(diag);
    Stmts own = {0};
    diag_remedies(diag, code_remedy);
    if (!read_spec(&l, s->path, (Span){0}, 0, &own)) {
        return NULL;
    }
    for (int k = 0; k < l.variants.n; k++) {
        ARENA_PUSH(arena, s->variants, s->nvariants, l.variants.v[k]->name);
    }
    read_std(&l);
    if (o->variant != NULL && diag_errors(diag) == before) {
        apply_variant(&l, &own, o->variant, (Span){0}, 0);
    }
    if (diag_errors(diag) > before) {
        return NULL;
    }
    s->items = visible_items(&l, &own);
    declare_hypers(&l, &own);
    DataNames data = {0};
    find_names(&l, &own, &data);
    for (int k = 0; k < o->ndefines; k++) {
        apply_define(&l, &own, &o->defines[k], &data);
    }
    evaluate_hypers(&l);
    for (int k = 0; k < s->items.n; k++) {
        Stmt *item = s->items.v[k];
        if (item->kind == ST_SECTION) {
            s->sections[item->section] = item;
        }
    }
    load_settings(s);
    return diag_errors(diag) == before ? s : NULL;
}
