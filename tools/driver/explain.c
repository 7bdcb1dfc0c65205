/* heddle explain without --after. Every equation that is left after the passes is one kernel; what they were made of
 * (inlined producers) shows in the reads. */
#include "explain.h"
#include "../../passes/contract.h"
#include "count.h"
#include "passes.h"
#include <string.h>

typedef struct {
    const Graph *g;
    const Equation *e;
    const char *kind;
    const char *reason; /* why it is not a better kind, or NULL */
    int64_t length;
    double flop, stored, read;
} Row;

static double tensor_cells(const Tensor *t, int64_t length)
{
    double n = 1;
    for (int d = 0; d < t->ndim; d++) {
        const Axis *a = t->dims[d];
        bool has_child = d + 1 < t->ndim && t->dims[d + 1]->parent == a && a->kind == AXIS_FIXED;
        if (a->kind != AXIS_BATCH && !has_child) {
            int64_t bound = axis_bound(a);
            n *= (double)(axis_is_ragged(a) && length < bound ? length : bound);
        }
    }
    return n;
}

static int elem_bytes(const Tensor *t, int real_bytes)
{
    switch (t->elem) {
    case ELEM_BOOL:
        return 1;
    case ELEM_I64:
        return 8;
    case ELEM_REAL:
        return real_bytes;
    case ELEM_I32:
    case ELEM_F32:
        break;
    }
    return 4;
}

static bool is_keyed(const Equation *e)
{
    for (int d = 0; d < e->dst->ndim; d++) {
        const Scalar *s = e->lhs[d];
        if (s->op != OP_LETTER && s->op != OP_CONST && s->op != OP_INJECT) {
            return true;
        }
    }
    return false;
}

static void classify(Row *r, bool in_scan)
{
    Contraction product;
    if (in_scan) {
        r->kind = "scan";
        r->reason = "a step of a recurrence: runs position by position";
    } else if (is_keyed(r->e)) {
        r->kind = "scatter";
        r->reason = "the cell that is written depends on data or on several letters";
    } else if (contract_match(r->g, r->e, &product)) {
        r->kind = "product";
    } else if (r->e->op == RED_NONE) {
        r->kind = "map";
    } else {
        r->kind = "rows";
        r->reason = r->e->op == RED_SUM ? "the body is not a product of two loads" : "not a sum";
    }
}

typedef struct {
    const Tensor *seen[64];
    int n;
} Reads;

static void collect(const Scalar *s, void *ctx)
{
    Reads *r = ctx;
    if (s->op != OP_LOAD || r->n >= 64) {
        return;
    }
    for (int i = 0; i < r->n; i++) {
        if (r->seen[i] == s->tensor) {
            return;
        }
    }
    r->seen[r->n++] = s->tensor;
}

static Reads reads_of(const Equation *e)
{
    Reads r = {.n = 0};
    sc_walk(e->body, collect, &r);
    for (int i = 0; i < e->nconds; i++) {
        sc_walk(e->conds[i], collect, &r);
    }
    return r;
}

static void print_space(const Equation *e, Text *out)
{
    for (int k = 0; k < e->nletters; k++) {
        text_printf(out, "%s%s%s:%s", k ? " " : "", equation_is_output(e, k) ? "" : "+", e->letters[k].name,
                    e->letters[k].axis->name);
    }
}

static void print_text(const Row *r, Text *out)
{
    Text space = {0};
    print_space(r->e, &space);
    text_printf(out, "%5d  %-8s %-28s [%s]", r->e->span.line, r->kind, r->e->dst->name, space.s ? space.s : "");
    text_printf(out, "  %.3g op, %.3g B stored; reads", r->flop, r->stored);
    Reads reads = reads_of(r->e);
    for (int i = 0; i < reads.n; i++) {
        text_printf(out, " %s", reads.seen[i]->name);
    }
    text_printf(out, "%s%s\n", r->reason ? "; " : "", r->reason ? r->reason : "");
    text_free(&space);
}

static void print_json(const Row *r, int id, Text *out)
{
    Text space = {0};
    print_space(r->e, &space);
    text_printf(out, "{\"id\":%d,\"lines\":[%d],\"kind\":\"%s\",\"space\":\"%s\",\"virtual\":[],\"sources\":[", id,
                r->e->span.line, r->kind, space.s ? space.s : "");
    Reads reads = reads_of(r->e);
    for (int i = 0; i < reads.n; i++) {
        text_printf(out, "%s\"%s\"", i ? "," : "", reads.seen[i]->name);
    }
    text_printf(out, "],\"sinks\":[\"%s\"],\"flop\":%.17g,\"bytes\":%.17g,\"stored_bytes\":%.17g}", r->e->dst->name,
                r->flop, r->read + r->stored, r->stored);
    text_free(&space);
}

/* Pass 0: clusters, 1: products, 2: what is neither, with the reason. */
static void json_part(const Row *rows, int n, int part, Text *out)
{
    bool first = true;
    for (int i = 0; i < n; i++) {
        bool product = strcmp(rows[i].kind, "product") == 0;
        if (part == 2 ? rows[i].reason == NULL : product != (part == 1)) {
            continue;
        }
        text_printf(out, "%s", first ? "" : ",");
        first = false;
        if (part == 2) {
            text_printf(out, "{\"line\":%d,\"name\":\"%s\",\"reason\":\"%s\"}", rows[i].e->span.line,
                        rows[i].e->dst->name, rows[i].reason);
        } else {
            print_json(&rows[i], i, out);
        }
    }
}

bool explain_graph(Graph *g, int real_bytes, bool json, Text *out)
{
    Schedule *s = pass_plan(g);
    if (!s || diag_errors(g->diag) > 0) {
        return false;
    }
    int64_t length = 0;
    for (int i = 0; i < g->naxes; i++) {
        if (g->axes[i]->kind == AXIS_RAGGED && !g->axes[i]->parent && g->axes[i]->size > length) {
            length = g->axes[i]->size;
        }
    }
    Row *rows = arena_alloc(g->arena, ((size_t)g->nequations + 1) * sizeof *rows);
    int n = 0;
    double flop = 0, stored = 0;
    for (int i = 0; i < s->ngroups; i++) {
        for (int j = 0; j < s->groups[i].n; j++) {
            Row *r = &rows[n++];
            *r = (Row){.g = g, .e = s->groups[i].equations[j], .length = length};
            classify(r, s->groups[i].is_scan);
            r->flop = count_equation(g, r->e, length);
            r->stored = tensor_cells(r->e->dst, length) * elem_bytes(r->e->dst, real_bytes);
            Reads reads = reads_of(r->e);
            for (int k = 0; k < reads.n; k++) {
                r->read += tensor_cells(reads.seen[k], length) * elem_bytes(reads.seen[k], real_bytes);
            }
            flop += r->flop;
            stored += r->stored;
        }
    }
    if (!json) {
        text_printf(out, " line  kernel   defines                      [index space; + is reduced]\n");
        for (int i = 0; i < n; i++) {
            print_text(&rows[i], out);
        }
        text_printf(out, "%d kernels; for one example of length %lld: %.4g operations, %.4g bytes written\n", n,
                    (long long)length, flop, stored);
        return true;
    }
    static const char *const parts[] = {"{\"clusters\":[", "],\"products\":[", "],\"unfused\":["};
    for (int part = 0; part < 3; part++) {
        text_printf(out, "%s", parts[part]);
        json_part(rows, n, part, out);
    }
    text_printf(out, "],\"length\":%lld,\"flop\":%.17g,\"stored_bytes\":%.17g}\n", (long long)length, flop, stored);
    return true;
}
