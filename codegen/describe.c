/* The identity of a kernel: one text that says everything its code depends on, with tensors, offset arrays and
 * random streams as argument numbers. It is made before any LLVM object exists, so that thirty-two equal layers cost
 * thirty-two short texts and one compilation, and a warm start costs the texts alone. */
#include "fault.h"
#include "internal.h"
#include "nest.h"
#include <llvm-c/blake3.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    KernelInfo *k;
    const bool *touched;
    int naxes;
    const Axis **axes; /* those whose identity matters, numbered by first use */
    const char *why;
} Describe;

/* Room for one more behind n elements. */
static void *grow(void *array, int n, size_t size)
{
    if (n > 0 && (n < 4 || (n & (n - 1)) != 0)) {
        return array; /* the capacity is 4, then the powers of two */
    }
    void *p = realloc(array, (n < 4 ? 4 : 2 * (size_t)n) * size);
    if (!p) {
        bug("out of memory while describing a kernel");
    }
    return p;
}

/* ---- arguments ---- */

int kernel_tensor(const KernelInfo *k, const Tensor *t)
{
    for (int i = 0; i < k->ntensors; i++) {
        if (k->tensors[i] == t) {
            return i;
        }
    }
    bug("kernel %s: tensor %s is no argument", k->name, t->name);
}

static int find_offsets(const KernelInfo *k, int kind, int naxes, const Axis *const *axes)
{
    for (int i = 0; i < k->noffsets; i++) {
        const OffsetInfo *o = &k->offsets[i];
        if (o->kind == kind && o->naxes == naxes && memcmp(o->axes, axes, (size_t)naxes * sizeof *axes) == 0) {
            return i;
        }
    }
    return -1;
}

int kernel_offsets(const KernelInfo *k, int kind, int naxes, const Axis *const *axes)
{
    int i = find_offsets(k, kind, naxes, axes);
    if (i < 0) {
        bug("kernel %s: offsets of axis %s are no argument", k->name, naxes ? axes[0]->name : "none");
    }
    return i;
}

int kernel_key(const KernelInfo *k, const char *stream, bool by_step)
{
    for (int i = 0; i < k->nkeys; i++) {
        if (strcmp(k->keys[i], stream) == 0 && k->key_by_step[i] == by_step) {
            return i;
        }
    }
    return -1;
}

static void need_offsets(KernelInfo *k, int kind, int naxes, const Axis *const *axes)
{
    if (find_offsets(k, kind, naxes, axes) >= 0) {
        return;
    }
    k->offsets = grow(k->offsets, k->noffsets, sizeof *k->offsets);
    OffsetInfo *o = &k->offsets[k->noffsets++];
    memset(o, 0, sizeof *o);
    o->kind = kind;
    o->naxes = naxes;
    memcpy(o->axes, axes, (size_t)naxes * sizeof *axes);
}

/* What sizes and positions along an axis are read from. */
static void need_axis(KernelInfo *k, const Axis *a)
{
    if (a->kind == AXIS_RAGGED && !a->parent) {
        need_offsets(k, OFF_SIGNATURE, 1, &a);
    } else if (a->kind == AXIS_RAGGED) {
        need_axis(k, a->parent);
        need_offsets(k, OFF_ROWS, 1, &a);
    } else if (a->kind == AXIS_SUM) {
        for (int i = 0; i < a->nparts; i++) {
            need_axis(k, a->parts[i]);
        }
    }
}

/* ---- the text ---- */

static void put_axis(Describe *d, const Axis *a)
{
    Text *t = &d->k->text;
    if (a->kind == AXIS_FIXED) {
        text_printf(t, "%lld", (long long)a->size);
        return;
    }
    if (a->kind == AXIS_BATCH) {
        text_append(t, "b", 1);
        return;
    }
    int n = 0;
    while (n < d->naxes && d->axes[n] != a) {
        n++;
    }
    text_printf(t, "%c%d", a->kind == AXIS_RAGGED ? 'r' : a->kind == AXIS_TABLE ? 't' : 's', n);
    if (n < d->naxes) {
        return;
    }
    d->axes = grow(d->axes, d->naxes, sizeof *d->axes);
    d->axes[d->naxes++] = a;
    text_append(t, "(", 1);
    if (a->parent) {
        put_axis(d, a->parent);
    }
    if (a->kind == AXIS_TABLE) {
        for (int64_t i = 0; i < a->parent->size; i++) {
            text_printf(t, ",%lld", (long long)a->sizes[i]);
        }
    }
    for (int i = 0; i < a->nparts; i++) {
        text_append(t, "+", 1);
        put_axis(d, a->parts[i]);
    }
    text_append(t, ")", 1);
    need_axis(d->k, a);
}

static int put_tensor(Describe *d, const Tensor *t)
{
    KernelInfo *k = d->k;
    for (int i = 0; i < k->ntensors; i++) {
        if (k->tensors[i] == t) {
            return i;
        }
    }
    k->tensors = grow(k->tensors, k->ntensors, sizeof *k->tensors);
    k->layouts = grow(k->layouts, k->ntensors, sizeof *k->layouts);
    k->far = grow(k->far, k->ntensors, sizeof *k->far);
    int n = k->ntensors++;
    k->tensors[n] = t;
    k->far[n] = d->touched && !d->touched[t->id] && (k->scan < 0 || k->tile);
    if (!tensor_layout(t, &k->layouts[n], &d->why)) {
        return n;
    }
    text_printf(&k->text, "tensor %d %c%s", n, "bijrf"[t->elem], t -> per_example ? " each" : "");
    for (int i = 0; i < t->ndim; i++) {
        text_append(&k->text, " ", 1);
        put_axis(d, t->dims[i]);
    }
    if (elem_type(t->elem) == TYPE_INT && t->lo <= t->hi) {
        text_printf(&k->text, " in %lld %lld", (long long)t->lo, (long long)t->hi);
    }
    text_printf(&k->text, "%s%s", t->is_list ? " list" : "", k->far[n] ? " far" : "");
    if (t->tile_dim > 0) {
        text_printf(&k->text, " tile %d", t->tile_dim);
    }
    text_append(&k->text, "\n", 1);
    const Layout *l = &k->layouts[n];
    if (t->per_example && l->nsig > 0) {
        need_offsets(k, OFF_SIGNATURE, l->nsig, l->sig);
    }
    return n;
}

static unsigned slot_of(const Scalar *s)
{
    return (unsigned)s->id * 2654435761u;
}

int kernel_node(const KernelInfo *k, const Scalar *s)
{
    for (unsigned i = slot_of(s);; i++) {
        int n = k->slots[i & (unsigned)(k->nslots - 1)];
        if (n == 0) {
            return -1;
        }
        if (k->nodes[n - 1] == s) {
            return n - 1;
        }
    }
}

static void add_slot(KernelInfo *k, int node)
{
    unsigned i = slot_of(k->nodes[node]);
    while (k->slots[i & (unsigned)(k->nslots - 1)] != 0) {
        i++;
    }
    k->slots[i & (unsigned)(k->nslots - 1)] = node + 1;
}

static void add_node(KernelInfo *k, const Scalar *s)
{
    k->nodes = grow(k->nodes, k->nnodes, sizeof *k->nodes);
    k->nodes[k->nnodes++] = s;
    if (2 * k->nnodes > k->nslots) {
        free(k->slots);
        k->nslots *= 2;
        k->slots = calloc((size_t)k->nslots, sizeof *k->slots);
        if (!k->slots) {
            bug("out of memory while describing a kernel");
        }
        for (int i = 0; i < k->nnodes - 1; i++) {
            add_slot(k, i);
        }
    }
    add_slot(k, k->nnodes - 1);
}

static void put_scalar(Describe *d, const Scalar *s)
{
    KernelInfo *k = d->k;
    if (kernel_node(k, s) >= 0) {
        return;
    }
    for (int i = 0; i < s->nargs; i++) {
        put_scalar(d, s->args[i]);
    }
    int tensor = s->op == OP_LOAD ? put_tensor(d, s->tensor) : 0;
    int key = 0;
    if (s->op == OP_RAND) {
        key = kernel_key(k, s->name, s->by_step);
        if (key < 0) {
            k->keys = grow(k->keys, k->nkeys, sizeof *k->keys);
            k->key_by_step = grow(k->key_by_step, k->nkeys, sizeof *k->key_by_step);
            key = k->nkeys++;
            k->keys[key] = s->name;
            k->key_by_step[key] = s->by_step;
        }
    }
    Text *t = &k->text;
    text_printf(t, "%%%d %c %s", k->nnodes, "bnrf"[s->type], op_info[s->op].name);
    switch (s->op) {
    case OP_CONST:
        if (s->type == TYPE_REAL || s->type == TYPE_F32) {
            text_printf(t, " %a", s->num);
        } else {
            text_printf(t, " %lld", FAULT(28) ? 0 : (long long)s->inum);
        }
        break;
    case OP_LETTER:
        text_printf(t, " %lld", (long long)s->inum);
        break;
    case OP_LOAD:
        text_printf(t, " %d", tensor);
        break;
    case OP_RAND:
        text_printf(t, " %d", key);
        break;
    case OP_INJECT:
    case OP_SIZE:
    case OP_PART:
    case OP_LOCAL:
        text_printf(t, " %lld ", s->op == OP_INJECT ? (long long)s->inum : 0);
        put_axis(d, s->axis);
        break;
    case OP_STEP:
        for (int i = 0; i < s->ntable; i++) {
            text_printf(t, "%c%lld", i ? ',' : ' ', (long long)s->table[i]);
        }
        break;
    default:
        break;
    }
    for (int i = 0; i < s->nargs; i++) {
        text_printf(t, " %%%d", kernel_node(k, s->args[i]));
    }
    text_append(t, "\n", 1);
    add_node(k, s);
}

static void hash_name(KernelInfo *k, const Target *target)
{
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    Text head = {0};
    text_printf(&head, "%s %u.%u.%u %s %s %d %s\n", codegen_version, major, minor, patch, target->cpu, target->features,
                target->vector_bits, pipeline_for(target, k->is_product));
    if (fault_number() != 0) { /* wrong on purpose: nobody else may find it in the cache */
        text_printf(&head, "fault %d\n", fault_number());
    }
    llvm_blake3_hasher h;
    llvm_blake3_hasher_init(&h);
    llvm_blake3_hasher_update(&h, head.s, head.n);
    llvm_blake3_hasher_update(&h, k->text.s, k->text.n);
    uint8_t out[16];
    llvm_blake3_hasher_finalize(&h, out, sizeof out);
    memcpy(k->name, "hd_", 3);
    for (int i = 0; i < 16; i++) {
        k->name[3 + 2 * i] = "0123456789abcdef"[out[i] >> 4];
        k->name[4 + 2 * i] = "0123456789abcdef"[out[i] & 15];
    }
    k->name[35] = 0;
    text_free(&head);
}

bool kernel_describe(KernelInfo *k, const bool *touched, const Target *target, Text *why)
{
    Describe d = {.k = k, .touched = touched};
    const Equation *e = k->e;
    Text *t = &k->text;
    k->nslots = 64;
    k->slots = calloc((size_t)k->nslots, sizeof *k->slots);
    if (!k->slots) {
        bug("out of memory while describing a kernel");
    }
    text_printf(t, "kernel %s %s split %d item %d key %d scan %d%s%s%s%s%s%s%s%s%s%s%s\n",
                reduce_name[e->op] ? reduce_name[e->op] : "", k->real == DT_F64 ? "f64" : "f32", (int)k->split, k->item,
                k->key_dim, k->scan, k->sole ? " sole" : "", k->unread ? " unread" : "", k->loose ? " loose" : "",
                k->accumulate ? " accumulate" : "", k->zero ? " zero" : "", k->is_product ? " product" : "",
                k->convolves ? " convolves" : "", k->keeps ? " keeps" : "", k->turns ? " turns" : "",
                k->products != PRODUCTS_F32 ? " in " : "",
                k->products != PRODUCTS_F32 ? products_name[k->products] : "");
    put_tensor(&d, e->dst);
    for (int i = 0; i < e->nletters; i++) {
        text_printf(t, "letter %d ", e->letters[i].parent);
        put_axis(&d, e->letters[i].axis);
        text_append(t, "\n", 1);
        need_axis(k, e->letters[i].axis);
    }
    if (loops_by_rows(k)) {
        const Axis *rows = e->letters[k->item].axis;
        need_offsets(k, OFF_SIGNATURE, 1, &rows);
    }
    for (int i = 0; i < e->dst->ndim; i++) {
        put_scalar(&d, e->lhs[i]);
    }
    for (int i = 0; i < e->nconds; i++) {
        put_scalar(&d, e->conds[i]);
    }
    put_scalar(&d, e->body);
    if (k->tile) { /* it need not be an index: of a list, where a sum of axes that it is part of is tiled */
        put_scalar(&d, k->tile);
    }
    text_append(t, "=", 1);
    for (int i = 0; i < e->dst->ndim; i++) {
        text_printf(t, " %%%d", kernel_node(k, e->lhs[i]));
    }
    if (k->tile) {
        text_printf(t, " tile %%%d", kernel_node(k, k->tile));
    }
    text_append(t, " if", 3);
    for (int i = 0; i < e->nconds; i++) {
        text_printf(t, " %%%d", kernel_node(k, e->conds[i]));
    }
    text_printf(t, " : %%%d\n", kernel_node(k, e->body));
    free(d.axes);
    if (k->too_large) {
        d.why = "one statement has more than 256 conditions; split it";
    }
    if (d.why) {
        text_printf(why, "%s: %s", e->dst->name, d.why);
        return false;
    }
    hash_name(k, target);
    return true;
}

void kernel_info_free(KernelInfo *k)
{
    free(k->tensors);
    free(k->layouts);
    free(k->far);
    free(k->offsets);
    free(k->keys);
    free(k->key_by_step);
    free(k->nodes);
    free(k->slots);
    text_free(&k->text);
}
