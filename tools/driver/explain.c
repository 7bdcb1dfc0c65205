/* heddle explain without --after: the kernels of a graph, of one example at the bound. */
#include "explain.h"
#include "kernels.h"
#include <string.h>

enum { MAX_LINES = 64 };

static void print_space(const Equation *e, Text *out)
{
    for (int k = 0; k < e->nletters; k++) {
        text_printf(out, "%s%s%s:%s", k ? " " : "", equation_is_output(e, k) ? "" : "+", e->letters[k].name,
                    e->letters[k].axis->name);
    }
}

static void print_names(const TensorList *l, const char *separator, const char *quote, Text *out)
{
    for (int i = 0; i < l->n; i++) {
        text_printf(out, "%s%s%s%s", i ? separator : "", quote, l->tensors[i]->name, quote);
    }
}

static void print_equation(const Kernels *k, const KernelFacts *x, const Equation *e, const char *spec, bool inside,
                           Text *out)
{
    const char *reason;
    KernelFacts one = {
        .kind = kernel_kind(k->g, e, &reason), .n = 1, .members = (Equation *const[]){(Equation *)(uintptr_t)e}};
    Text at = {0};
    kernel_place(e->span, spec, &at);
    text_printf(out, "%9s  %s%-*s %-28s [", at.s, inside ? "  " : "", inside ? 6 : 8, inside ? one.kind : x->kind,
                e->dst->name);
    text_free(&at);
    print_space(e, out);
    text_printf(out, "]  %.3g op, ", kernel_flop(k, &one));
    if (k->is_virtual[e->dst->id]) {
        text_printf(out, "a tile at a time; reads ");
    } else {
        text_printf(out, "%.3g B stored; reads ", kernel_stored(k, &one));
    }
    TensorList sources = kernel_sources(k, &one);
    print_names(&sources, " ", "", out);
    text_printf(out, "%s%s\n", !inside && x->reason ? "; " : "", !inside && x->reason ? x->reason : "");
}

static void print_text(const Kernels *k, const char *spec, Text *out)
{
    double flop = 0, stored = 0;
    text_printf(out, "     line  kernel   defines                      [index space; + is reduced]\n");
    for (int i = 0; i < k->n; i++) {
        const KernelFacts *x = &k->kernels[i];
        if (strcmp(x->kind, "cluster") == 0) {
            text_printf(out, "           cluster  %s along %s: %.3g op, %.3g B stored\n",
                        x->by_rows ? "rows" : "tile by tile", x->axis->name, kernel_flop(k, x), kernel_stored(k, x));
        }
        for (int m = 0; m < x->n; m++) {
            print_equation(k, x, x->members[m], spec, strcmp(x->kind, "cluster") == 0, out);
        }
        flop += kernel_flop(k, x);
        stored += kernel_stored(k, x);
    }
    for (int i = 0; i < k->g->nstored; i++) {
        const struct StoredTensor *s = &k->g->stored[i];
        text_printf(out, "%9d  %s is stored: %s\n", s->tensor->span.line, s->tensor->name, s->reason);
    }
    for (int i = 0; i < k->g->ndense; i++) {
        const struct StoredTensor *s = &k->g->dense[i];
        text_printf(out, "%9d  %s is not summed by runs: %s\n", s->tensor->span.line, s->tensor->name, s->reason);
    }
    text_printf(out, "%d kernels; for one example of length %lld: %.4g operations, %.4g bytes written\n", k->n,
                (long long)k->lengths[0], flop, stored);
}

/* ---- JSON --------------------------------------------------------------------------------------------------- */

static void print_json(const Kernels *k, int id, Text *out)
{
    const KernelFacts *x = &k->kernels[id];
    int lines[MAX_LINES], n = kernel_lines(x, true, MAX_LINES, lines);
    text_printf(out, "{\"id\":%d,\"kind\":\"%s\",\"lines\":[", id, x->kind);
    for (int i = 0; i < n; i++) {
        text_printf(out, "%s%d", i ? "," : "", lines[i]);
    }
    text_printf(out, "],\"space\":\"");
    for (int i = 0; i < x->n; i++) {
        text_printf(out, "%s", i ? "; " : "");
        print_space(x->members[i], out);
    }
    TensorList virtuals = kernel_virtual(k, x), sources = kernel_sources(k, x), sinks = kernel_sinks(k, x);
    text_printf(out, "\",\"virtual\":[");
    print_names(&virtuals, ",", "\"", out);
    text_printf(out, "],\"sources\":[");
    print_names(&sources, ",", "\"", out);
    text_printf(out, "],\"sinks\":[");
    print_names(&sinks, ",", "\"", out);
    text_printf(out, "],\"flop\":%.17g,\"bytes\":%.17g,\"stored_bytes\":%.17g}", kernel_flop(k, x), kernel_bytes(k, x),
                kernel_stored(k, x));
}

static void print_unfused(Text *out, bool *first, const Tensor *t, int line, const char *reason)
{
    text_printf(out, "%s{\"line\":%d,\"name\":\"%s\",\"reason\":\"%s\"}", *first ? "" : ",", line, t->name, reason);
    *first = false;
}

static void print_all_json(const Kernels *k, Text *out)
{
    double flop = 0, stored = 0;
    for (int products = 0; products < 2; products++) {
        text_printf(out, products ? "],\"products\":[" : "{\"clusters\":[");
        bool first = true;
        for (int i = 0; i < k->n; i++) {
            if ((strcmp(k->kernels[i].kind, "product") == 0) == (products == 1)) {
                text_printf(out, "%s", first ? "" : ",");
                first = false;
                print_json(k, i, out);
            }
        }
    }
    text_printf(out, "],\"unfused\":[");
    bool first = true;
    for (int i = 0; i < k->g->nstored; i++) {
        const Tensor *t = k->g->stored[i].tensor;
        print_unfused(out, &first, t, t->span.line, k->g->stored[i].reason);
    }
    for (int i = 0; i < k->g->ndense; i++) {
        const Tensor *t = k->g->dense[i].tensor;
        print_unfused(out, &first, t, t->span.line, k->g->dense[i].reason);
    }
    for (int i = 0; i < k->n; i++) {
        const KernelFacts *x = &k->kernels[i];
        flop += kernel_flop(k, x);
        stored += kernel_stored(k, x);
        for (int m = 0; m < x->n; m++) {
            const Equation *e = x->members[m];
            const char *why = x->reason ? x->reason : k->is_virtual[e->dst->id] ? NULL : k->why[e->id];
            if (why) {
                print_unfused(out, &first, e->dst, e->span.line, why);
            }
        }
    }
    text_printf(out, "],\"length\":%lld,\"flop\":%.17g,\"stored_bytes\":%.17g}\n", (long long)k->lengths[0], flop,
                stored);
}

bool explain_graph(Graph *g, const char *spec, int real_bytes, bool json, Text *out)
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
    Kernels k = kernels_of(s, real_bytes, 1, &length);
    if (json) {
        print_all_json(&k, out);
    } else {
        print_text(&k, spec, out);
    }
    return true;
}
