/* Opening a spec and compiling its modes. */
#include "defined.h"
#include "driver.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* $XDG_CACHE_HOME/heddle, else ~/.cache/heddle; no home: no cache. */
static void default_cache_dir(char *out, size_t size)
{
    const char *base = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int n = 0;
    if (base && *base) {
        n = snprintf(out, size, "%s/heddle", base);
    } else if (home && *home) {
        n = snprintf(out, size, "%s/.cache/heddle", home);
    }
    if (n <= 0 || (size_t)n >= size) {
        out[0] = '\0';
    }
}

Project *project_open(const ProjectOptions *o, Text *report)
{
    Arena *arena = arena_new();
    Project *p = arena_alloc(arena, sizeof *p);
    p->arena = arena;
    p->diag = diag_new();
    p->options = *o;
    if (o->cache_dir) {
        snprintf(p->cache_dir, sizeof p->cache_dir, "%s", o->cache_dir);
    } else {
        default_cache_dir(p->cache_dir, sizeof p->cache_dir);
    }
    SpecOptions so = {.ndefines = o->ndefines,
                      .defines = o->defines,
                      .variant = o->variant,
                      .std_dir = o->std_dir,
                      .lenient = o->lenient};
    p->spec = spec_load(arena, p->diag, o->spec, &so);
    if (!p->spec || diag_errors(p->diag) > 0) {
        diag_print(p->diag, report);
        project_close(p);
        return NULL;
    }
    for (int i = 0; i < o->ndefines; i++) { /* -D item=7550 */
        int64_t size = spec_vocab_define(p->spec, o->defines[i].name);
        if (size > 0) {
            project_vocab(p, o->defines[i].name, size);
        }
    }
    return p;
}

void project_close(Project *p)
{
    if (p) {
        diag_free(p->diag);
        arena_free(p->arena);
    }
}

uint64_t project_hash(const Project *p)
{
    const Source *const *sources;
    int n = spec_sources(p->spec, &sources);
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (int i = 0; i < n; i++) {
        for (const char *s = source_text(sources[i]); *s; s++) {
            hash = (hash ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
        }
    }
    return hash;
}

void project_vocab(Project *p, const char *name, int64_t size)
{
    if (project_vocab_size(p, name) < 0) {
        VocabSize v = {arena_strdup(p->arena, name), size};
        ARENA_PUSH(p->arena, p->vocabs, p->nvocabs, v);
    }
}

int64_t project_vocab_size(void *project, const char *name)
{
    const Project *p = project;
    for (int i = 0; i < p->nvocabs; i++) {
        if (strcmp(p->vocabs[i].name, name) == 0) {
            return p->vocabs[i].size;
        }
    }
    return p->data_vocab ? p->data_vocab(p, name) : -1;
}

static Mode mode_of(ProgramKind kind)
{
    switch (kind) {
    case PROGRAM_TRAIN:
        return MODE_TRAIN;
    case PROGRAM_GRADS:
    case PROGRAM_FORWARD:
        return MODE_RUN;
    case PROGRAM_RANK:
        break;
    }
    return MODE_RANK;
}

static Graph *lower(Project *p, ProgramKind kind, Text *report)
{
    LowerOptions lo = {.mode = mode_of(kind),
                       .vocab_size = project_vocab_size,
                       .fields = p->fields,
                       .ctx = p,
                       .nwanted = p->options.noutputs,
                       .wanted = p->options.outputs};
    Graph *g = spec_lower(p->spec, p->arena, &lo);
    if (!g || diag_errors(p->diag) > 0) {
        diag_print(p->diag, report);
        return NULL;
    }
    return g;
}

/* A name that sets neither a size nor a hyper is a mistake the front end reports; sizes still open are ours. */
static bool sizes_known(const Graph *g, Text *report)
{
    for (int i = 0; i < g->naxes; i++) {
        const Axis *a = g->axes[i];
        if (a->kind == AXIS_FIXED && a->size < 0) {
            if (a->fields) {
                text_printf(report,
                            "error: the fields of group '%s' are not known: give --data, or the sizes of their "
                            "vocabularies, -D %s=[SIZE,...]\n",
                            a->fields, a->fields);
                return false;
            }
            const char *name = a->vocab ? a->vocab : a->name;
            text_printf(report, "error: the size of vocabulary '%s' is not known: give --data, or -D %s=SIZE\n", name,
                        name);
            return false;
        }
    }
    return true;
}

bool project_vocabs_from_weights(Project *p, TensorFile *weights, Text *report)
{
    Graph *g = lower(p, PROGRAM_RANK, report);
    if (!g) {
        return false;
    }
    for (int i = 0; i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        if (t->role != ROLE_PARAM) {
            continue;
        }
        for (int j = 0; j < tensor_file_count(weights); j++) {
            const Array *a = tensor_file_array(weights, j);
            for (int d = 0; a && strcmp(a->name, t->name) == 0 && d < t->ndim && d < a->ndim; d++) {
                if (t->dims[d]->vocab && t->dims[d]->size < 0) {
                    project_vocab(p, t->dims[d]->vocab, a->dims[d]);
                }
            }
        }
    }
    return true;
}

Graph *project_graph(Project *p, ProgramKind kind, const char *stop, Text *report)
{
    Graph *g = lower(p, kind, report);
    if (!g) {
        return NULL;
    }
    if (kind == PROGRAM_GRADS) {
        g->optimizer = NULL;
    }
    for (int i = 0; i < p->options.noutputs && kind == PROGRAM_RANK; i++) {
        graph_add_defined(g, p->options.outputs[i]);
    }
    if (stop && strcmp(stop, "lower") == 0) {
        return g;
    }
    PipelineOptions po = {.training = kind == PROGRAM_TRAIN || kind == PROGRAM_GRADS,
                          .stop = stop,
                          .skip = p->options.skip,
                          .verify = p->options.verify,
                          .grads_are_outputs = kind == PROGRAM_GRADS};
    if (!pipeline_run(g, &po)) {
        diag_print(p->diag, report);
        return NULL;
    }
    return g;
}

Graph *project_written(Project *p, Text *report)
{
    const char *skip = p->options.skip;
    p->options.skip = skip ? arena_printf(p->arena, "%s,prefix,convolve,lookup", skip) : "prefix,convolve,lookup";
    Graph *g = project_graph(p, PROGRAM_TRAIN, "differentiate", report);
    p->options.skip = skip;
    return g;
}

/* Kernels are compiled side by side on as many threads as the run may use. */
static int compile_threads(const Project *p)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return p->options.threads > 0 ? p->options.threads : cores > 0 ? (int)cores : 1;
}

Program *project_compile(Project *p, ProgramKind kind, Text *report)
{
    double start = seconds_now();
    Graph *g = project_graph(p, kind, NULL, report);
    if (!g || !sizes_known(g, report)) {
        return NULL;
    }
    Schedule *s = pass_plan(g);
    if (!s || diag_errors(p->diag) > 0) {
        diag_print(p->diag, report);
        return NULL;
    }
    Program *prog = arena_alloc(p->arena, sizeof *prog);
    prog->kind = kind;
    prog->graph = g;
    prog->schedule = s;
    CodegenOptions co = {.real = p->options.real,
                         .products = p->options.products,
                         .cpu = p->options.cpu,
                         .cache_dir = p->cache_dir[0] ? p->cache_dir : NULL,
                         .threads = compile_threads(p)};
    Text why = {0};
    prog->plan = codegen_compile(s, &co, &prog->stats, &why);
    if (!prog->plan) {
        text_printf(report, "error: %s\n", why.s ? why.s : "code generation failed");
    }
    text_free(&why);
    prog->seconds = seconds_now() - start;
    return prog->plan ? prog : NULL;
}

void program_free(Program *p)
{
    if (p && p->plan && p->plan->destroy) {
        p->plan->destroy(p->plan);
    }
}
