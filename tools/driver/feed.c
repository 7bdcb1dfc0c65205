/* A loader (runtime/data/loader.h) whose inputs come from a compiled program. */
#include "feed.h"
#include "data/loader.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct Feed {
    Loader *loader;
    char report[256];
};

static DType dtype_of(Elem e, DType real)
{
    switch (e) {
    case ELEM_BOOL:
        return DT_BOOL;
    case ELEM_I32:
        return DT_I32;
    case ELEM_I64:
        return DT_I64;
    case ELEM_F32:
        return DT_F32;
    case ELEM_REAL:
        break;
    }
    return real;
}

static DataDim dim_of(const Axis *a, const Axis *parent)
{
    DataDim d = {.axis = a->name, .min = a->min, .bound = a->size};
    if (a->kind == AXIS_RAGGED) {
        d.kind = DIM_RAGGED;
    } else if (a->fields) {
        d.kind = a->parent ? DIM_WIDTH : DIM_FIELDS;
        d.of = a->fields;
    } else if (a->kind == AXIS_TABLE && parent && parent->fields) {
        d.kind = DIM_WIDTH;
    } else if (a->vocab) {
        d.kind = DIM_VOCAB;
        d.of = a->vocab;
    } else {
        d.kind = DIM_FIXED;
    }
    return d;
}

/* The vocabulary of an input's ids; ids of a vocabulary per field are the fields' own affair. */
static const char *vocab_of_input(const Graph *g, const Tensor *t)
{
    for (int i = 0; t->vocab && i < g->naxes; i++) {
        if (g->axes[i]->kind == AXIS_TABLE && strcmp(g->axes[i]->name, t->vocab) == 0) {
            return NULL;
        }
    }
    return t->vocab;
}

/* "u.known" beside a state u by key: it is given with the state (stream.h). */
static bool is_known(const Graph *g, const char *name)
{
    const char *dot = strrchr(name, '.');
    for (int i = 0; dot && strcmp(dot, ".known") == 0 && i < g->ntensors; i++) {
        const Tensor *t = g->tensors[i];
        size_t n = (size_t)(dot - name);
        if (t->role == ROLE_STATE && t->per_example && strlen(t->name) == n && strncmp(t->name, name, n) == 0) {
            return true;
        }
    }
    return false;
}

/* The inputs that the data fills: all but the row, which every batch has, the scalars the training loop sets, and what
 * belongs to states by key. */
static int inputs_of(const Program *p, DataInput *out, int max, Error *e)
{
    int n = 0;
    for (int i = 0; i < p->graph->ntensors; i++) {
        const Tensor *t = p->graph->tensors[i];
        if (t->role != ROLE_INPUT || t == p->graph->row || strncmp(t->name, "opt.", 4) == 0 ||
            is_known(p->graph, t->name)) {
            continue;
        }
        int first = t->per_example ? 1 : 0; /* dims[0] is the batch */
        if (t->ndim - first > DATA_DIMS || n == max) {
            error_set(e, EXIT_SPEC, "input '%s' has more axes than a data set can fill; give it with heddle run",
                      t->name);
            return -1;
        }
        DataInput *in = &out[n++];
        *in = (DataInput){.name = t->name,
                          .dtype = dtype_of(t->elem, p->plan->real),
                          .vocab = vocab_of_input(p->graph, t),
                          .label = t->is_label,
                          .constant = !t->per_example,
                          .ndim = t->ndim - first};
        for (int d = first; d < t->ndim; d++) {
            in->dims[d - first] = dim_of(t->dims[d], d > 0 ? t->dims[d - 1] : NULL);
        }
    }
    return n;
}

Feed *feed_open(const Project *p, const Program *prog, DataPart part, Error *e)
{
    DataInput inputs[64];
    int n = inputs_of(prog, inputs, 64, e);
    Feed *f = n < 0 ? NULL : calloc(1, sizeof *f);
    if (!f) {
        return NULL;
    }
    f->loader = loader_new(p->data, p->recipe, part, n, inputs, e);
    if (!f->loader) {
        free(f);
        return NULL;
    }
    if (loader_count(f->loader) == 0) {
        error_set(e, EXIT_DATA, "the data set has no example for this part: every history is too short for the spec");
        feed_close(f);
        return NULL;
    }
    return f;
}

void feed_close(Feed *f)
{
    if (f) {
        loader_free(f->loader);
        free(f);
    }
}

int64_t feed_rows(const Feed *f)
{
    return loader_count(f->loader);
}

const char *feed_report(Feed *f)
{
    LoaderStats s = loader_stats(f->loader);
    snprintf(f->report, sizeof f->report, "%lld examples, %lld too short, %lld longer than the bound and cut to it",
             (long long)s.examples, (long long)s.skipped_short, (long long)s.cut);
    return f->report;
}

void feed_order(Feed *f, bool shuffle, uint64_t seed, int64_t epoch)
{
    if (shuffle) {
        loader_shuffle(f->loader, seed, epoch);
    } else {
        loader_in_order(f->loader);
    }
}

bool feed_batch(Feed *f, int64_t first, int64_t n, Batch *out, Error *e)
{
    return loader_batch(f->loader, first, n, out, e);
}

bool feed_examples(Feed *f, int64_t n, const int64_t *examples, Batch *out, Error *e)
{
    return loader_examples(f->loader, n, examples, out, e);
}

bool feed_key(Feed *f, const char *input, int64_t example, int64_t *key, Error *e)
{
    return loader_key(f->loader, input, example, key, e);
}

int64_t feed_time(const Feed *f, int64_t example)
{
    return loader_time(f->loader, example);
}

DataPart feed_part(const Feed *f, int64_t example)
{
    return loader_part(f->loader, example);
}

bool feed_user(Feed *f, int64_t user, Batch *out, Error *e)
{
    int64_t example = loader_example_of(f->loader, user);
    if (example < 0) {
        return error_set(e, EXIT_DATA, "this user's history is too short for the spec");
    }
    return loader_examples(f->loader, 1, &example, out, e);
}

static int64_t fields_of(void *project, const char *name, const char *const **names, const int64_t **sizes)
{
    Project *p = project;
    const char **n;
    int64_t *s;
    int64_t count = recipe_fields(p->data, name, &n, &s);
    if (count < 0) {
        return -1;
    }
    const char **names_copy = arena_alloc(p->arena, ((size_t)count + 1) * sizeof *names_copy);
    int64_t *sizes_copy = arena_alloc(p->arena, ((size_t)count + 1) * sizeof *sizes_copy);
    for (int64_t i = 0; i < count; i++) {
        names_copy[i] = arena_strdup(p->arena, n[i]);
        sizes_copy[i] = s[i];
    }
    free(n);
    free(s);
    *names = names_copy;
    *sizes = sizes_copy;
    return count;
}

static int64_t vocab_of(const Project *p, const char *name)
{
    return recipe_vocab_size(p->data, p->recipe, name);
}

bool project_use_data(Project *p, const DataSet *ds, const FeedOptions *o, Error *e)
{
    p->data = ds;
    p->recipe = arena_alloc(p->arena, sizeof *p->recipe);
    p->fields = fields_of;
    p->data_vocab = vocab_of;
    if (o->recipe) {
        if (!recipe_parse(o->recipe, p->recipe, e)) {
            return false;
        }
    } else {
        recipe_default(ds, p->recipe);
        p->recipe->hold = o->held_back ? 2 : p->recipe->hold;
    }
    for (int i = 0; i < o->nmaps; i++) {
        if (!recipe_map(p->recipe, o->maps[i], e)) {
            return false;
        }
    }
    return true;
}
