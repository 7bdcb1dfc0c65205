/* Weights and checkpoints. Numbers of the training place stand in the file's header as text, so that a checkpoint is
 * readable by anything that reads safetensors. */
#include "checkpoint.h"
#include "convert.h"
#include "safetensors.h"
#include "session_impl.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_optimizer(const char *name)
{
    return strncmp(name, "opt.", 4) == 0;
}

static bool is_saved(const Session *s, int t, bool everything)
{
    const PlanTensor *x = &s->plan->tensors[t];
    return s->kept[t] && (x->role == PT_PARAM || (x->role == PT_STATE && (everything || !is_optimizer(x->name))));
}

/* Arrays over the session's own memory. */
static int collect(const Session *s, bool everything, Array *out, Error *e)
{
    int n = 0;
    for (int t = 0; t < s->plan->ntensors; t++) {
        if (is_saved(s, t, everything)) {
            out[n] = (Array){.name = s->plan->tensors[t].name, .dtype = s->plan->tensors[t].dtype, .data = s->kept[t]};
            if (!packed_dims(&s->shapes, t, &out[n].ndim, out[n].dims, e)) {
                return -1;
            }
            n++;
        }
    }
    return n;
}

/* Arrays of the session, then two for each table of states by key. */
static bool write_all(Session *s, bool everything, const char *path, int nkeyed, KeyState *const *keyed,
                      const char *const *meta, Error *e)
{
    Array *arrays = calloc((size_t)s->plan->ntensors + 2 * (size_t)nkeyed + 1, sizeof *arrays);
    if (!arrays) {
        return error_set(e, EXIT_RESOURCES, "no memory to write %s", path);
    }
    tables_settle(s);
    int own = collect(s, everything, arrays, e), n = own;
    bool good = own >= 0;
    for (int i = 0; good && i < nkeyed; i++) {
        good = keystate_save(keyed[i], &arrays[n], e);
        n += good ? 2 : 0;
    }
    good = good && tensor_file_write(path, n, arrays, meta, e);
    for (int i = own; own >= 0 && i < n; i++) {
        free(arrays[i].data);
        free((void *)(uintptr_t)arrays[i].name);
    }
    free(arrays);
    return good;
}

bool weights_write(Session *s, const char *path, int nkeyed, KeyState *const *keyed, const char *const *meta, Error *e)
{
    return write_all(s, false, path, nkeyed, keyed, meta, e);
}

static bool same_shape(const Session *s, int t, const Array *a, const char *path, Error *e)
{
    int ndim;
    int64_t dims[PLAN_DIMS];
    if (!packed_dims(&s->shapes, t, &ndim, dims, e)) {
        return false;
    }
    bool same = ndim == a->ndim;
    char got[128] = "[", want[128] = "[";
    size_t g = 1, w = 1;
    for (int i = 0; i < ndim || i < a->ndim; i++) {
        same = same && dims[i] == a->dims[i];
        if (i < a->ndim && g < sizeof got) {
            g += (size_t)snprintf(got + g, sizeof got - g, "%s%" PRId64, i ? ", " : "", a->dims[i]);
        }
        if (i < ndim && w < sizeof want) {
            w += (size_t)snprintf(want + w, sizeof want - w, "%s%" PRId64, i ? ", " : "", dims[i]);
        }
    }
    return same || error_set(e, EXIT_DATA,
                             "%s: '%s' has shape %s], the model wants %s]: use the weights' own hyper-parameters (-D)",
                             path, a->name, got, want);
}

static bool read_tensor(Session *s, int t, const Array *a, const char *path, Error *e)
{
    if (!a) {
        return error_set(e, EXIT_RESOURCES, "%s: no memory to read '%s'", path, s->plan->tensors[t].name);
    }
    if (!same_shape(s, t, a, path, e)) {
        return false;
    }
    int64_t bad = 0;
    ConvertStatus status =
        convert(s->kept[t], s->plan->tensors[t].dtype, 1, a->data, a->dtype, 1, tensor_count(&s->shapes, t), &bad);
    return status == CONVERT_OK ||
           error_set(e, EXIT_DATA, "%s: '%s', element %" PRId64 " %s", path, a->name, bad, convert_text(status));
}

static bool has_array(TensorFile *f, const char *name)
{
    for (int i = 0; i < tensor_file_count(f); i++) {
        if (strcmp(tensor_file_array(f, i)->name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_listed(const char *const *names, const char *name)
{
    for (int i = 0; names && names[i]; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

bool weights_read(Session *s, const char *path, const char *const *also, Error *e)
{
    TensorFile *f = tensor_file_open(path, e);
    if (!f) {
        return false;
    }
    bool good = true;
    tables_settle(s);
    for (int i = 0; good && i < tensor_file_count(f); i++) {
        const Array *a = tensor_file_array(f, i);
        int t = a ? plan_find(s->plan, a->name) : -1;
        if (!a) {
            good = error_set(e, EXIT_RESOURCES, "%s: no memory to read its tensors", path);
        } else if (t >= 0 && is_saved(s, t, true)) {
            good = read_tensor(s, t, a, path, e);
        } else if (!is_optimizer(a->name) && strncmp(a->name, "keyed.", 6) != 0 && !is_listed(also, a->name)) {
            good = error_set(e, EXIT_DATA, "%s: '%s' is no param of '%s': are these the weights of another model?",
                             path, a->name, s->plan->name);
        }
    }
    for (int t = 0; good && t < s->plan->ntensors; t++) {
        if (s->kept[t] && s->plan->tensors[t].role == PT_PARAM && !has_array(f, s->plan->tensors[t].name)) {
            good = error_set(e, EXIT_DATA, "%s: param '%s' is missing: are these the weights of another model?", path,
                             s->plan->tensors[t].name);
        }
    }
    tensor_file_close(f);
    return good;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------ */

enum { PLACE_KEYS = 6, META_MAX = 64 };

bool checkpoint_write(Session *s, const char *path, const TrainPlace *place, int nkeyed, KeyState *const *keyed,
                      const char *const *meta, Error *e)
{
    char seed[24], step[24], epoch[24], position[24];
    snprintf(seed, sizeof seed, "%" PRIu64, place->seed);
    snprintf(step, sizeof step, "%" PRIu64, place->step);
    snprintf(epoch, sizeof epoch, "%" PRId64, place->epoch);
    snprintf(position, sizeof position, "%" PRId64, place->position);
    const char *pairs[META_MAX + 1] = {"heddle.checkpoint", "1",   "heddle.model",    s->plan->name,
                                       "heddle.seed",       seed,  "heddle.step",     step,
                                       "heddle.epoch",      epoch, "heddle.position", position};
    for (int i = 0; meta && meta[i]; i++) {
        if (2 * PLACE_KEYS + i >= META_MAX) {
            return error_set(e, EXIT_USAGE, "%s: more than %d entries for its header", path, META_MAX / 2 - PLACE_KEYS);
        }
        pairs[2 * PLACE_KEYS + i] = meta[i];
    }
    return write_all(s, true, path, nkeyed, keyed, pairs, e);
}

static bool read_number(const TensorFile *f, const char *path, const char *key, bool is_signed, void *out, Error *e)
{
    const char *text = tensor_file_metadata(f, key);
    char *end = NULL;
    errno = 0;
    if (text && text[0] && is_signed) {
        *(int64_t *)out = strtoll(text, &end, 10);
    } else if (text && text[0] && text[0] != '-') {
        *(uint64_t *)out = strtoull(text, &end, 10);
    }
    return (end && *end == '\0' && errno == 0) ||
           error_set(e, EXIT_DATA, "%s: its header has no %s: it is not a checkpoint", path, key);
}

static bool read_keyed(TensorFile *f, const char *path, KeyState *k, Error *e)
{
    char name[300];
    snprintf(name, sizeof name, "keyed.%s.keys", keystate_name(k));
    const Array *keys = tensor_file_find(f, name);
    snprintf(name, sizeof name, "keyed.%s.rows", keystate_name(k));
    const Array *rows = tensor_file_find(f, name);
    if (!keys || !rows) {
        return error_set(e, EXIT_DATA, "%s: state '%s' is missing", path, keystate_name(k));
    }
    return keystate_load(k, keys, rows, e);
}

bool states_read(const char *path, int nkeyed, KeyState *const *keyed, Error *e)
{
    TensorFile *f = tensor_file_open(path, e);
    bool good = f != NULL;
    for (int i = 0; good && i < nkeyed; i++) {
        good = read_keyed(f, path, keyed[i], e);
    }
    tensor_file_close(f);
    return good;
}

bool checkpoint_read(Session *s, const char *path, TrainPlace *place, int nkeyed, KeyState *const *keyed, Error *e)
{
    TensorFile *f = tensor_file_open(path, e);
    if (!f) {
        return false;
    }
    tables_settle(s);
    const char *model = tensor_file_metadata(f, "heddle.model");
    bool good = read_number(f, path, "heddle.seed", false, &place->seed, e) &&
                read_number(f, path, "heddle.step", false, &place->step, e) &&
                read_number(f, path, "heddle.epoch", true, &place->epoch, e) &&
                read_number(f, path, "heddle.position", true, &place->position, e);
    if (good && (!model || strcmp(model, s->plan->name) != 0)) {
        good =
            error_set(e, EXIT_DATA, "%s: a checkpoint of '%s', not of '%s'", path, model ? model : "?", s->plan->name);
    }
    for (int t = 0; good && t < s->plan->ntensors; t++) {
        if (is_saved(s, t, true)) {
            const char *name = s->plan->tensors[t].name;
            const Array *a = tensor_file_find(f, name);
            good = a && a->dtype == s->plan->tensors[t].dtype
                       ? same_shape(s, t, a, path, e)
                       : error_set(e, EXIT_DATA, "%s: '%s' is %s: it was written by another version of the model", path,
                                   name, a ? "of another element type" : "missing");
        }
    }
    for (int i = 0; good && i < nkeyed; i++) {
        good = read_keyed(f, path, keyed[i], e);
    }
    for (int t = 0; good && t < s->plan->ntensors; t++) { /* only now: a refused file changes no param */
        if (is_saved(s, t, true)) {
            memcpy(s->kept[t], tensor_file_find(f, s->plan->tensors[t].name)->data, (size_t)s->kept_bytes[t]);
        }
    }
    tensor_file_close(f);
    return good;
}
