/* A user's C function, called once per example through libffi. Its arguments, in this order:
 *
 *   a pointer per tensor of the plan's list, inputs first: the example's block (laid out as plan.h says), or the whole
 *   tensor if it is the same for all examples; then, for each ragged axis of these tensors in order of first
 *   appearance, an int64_t with its size in this example
 *
 *     void f(const float *x, const float *w, float *y, int64_t rows);        x[T,D], w[D] -> y[T]
 *
 * Outputs are zeroed first. Examples run one after another on the calling thread, with the usual handling of
 * denormals: user code may keep state and need not be reentrant. */
#include "session_impl.h"
#include <dlfcn.h>
#include <ffi.h>
#include <stdlib.h>
#include <string.h>

enum { EXTERN_ARGS = 64 };

static void collect_axes(Extern *x, const Session *s)
{
    const PlanExtern *p = x->plan;
    for (int i = 0; i < p->ntensors; i++) {
        const PlanTensor *t = &s->plan->tensors[p->tensors[i]];
        for (int d = 0; d < t->ndim; d++) {
            bool known = !s->shapes.ragged[t->dims[d]];
            for (int k = 0; k < x->naxes; k++) {
                known = known || x->axes[k] == t->dims[d];
            }
            if (!known && x->naxes < (int)(sizeof x->axes / sizeof *x->axes)) {
                x->axes[x->naxes++] = t->dims[d];
            }
        }
    }
}

bool extern_open(Extern *x, const Session *s, const PlanExtern *plan, Error *e)
{
    *x = (Extern){.plan = plan};
    void *address = plan->fn;
    for (int i = 0; i < plan->ntensors; i++) {
        if (plan->tensors[i] < 0 || plan->tensors[i] >= s->plan->ntensors) {
            return error_set(e, EXIT_SPEC, "internal error: extern '%s' names what does not exist", plan->symbol);
        }
    }
    if (!address) {
        x->library = dlopen(plan->library, RTLD_NOW | RTLD_LOCAL);
        if (!x->library) {
            return error_set(e, EXIT_SPEC, "the library of extern '%s' cannot be loaded: %s", plan->symbol, dlerror());
        }
        address = dlsym(x->library, plan->symbol);
        if (!address) {
            return error_set(e, EXIT_SPEC, "library '%s' has no function '%s': export it, without `static`",
                             plan->library, plan->symbol);
        }
    }
    memcpy(&x->fn, &address, sizeof x->fn); /* C has no cast from an object pointer to a function pointer */
    collect_axes(x, s);
    int n = plan->ntensors + x->naxes;
    if (n > EXTERN_ARGS) {
        return error_set(e, EXIT_SPEC, "extern '%s' has %d arguments: at most %d are passed", plan->symbol, n,
                         EXTERN_ARGS);
    }
    ffi_cif *cif = calloc(1, sizeof *cif);
    ffi_type **types = calloc((size_t)n + 1, sizeof *types);
    x->cif = cif;
    x->types = (void **)types;
    if (!cif || !types) {
        return error_set(e, EXIT_RESOURCES, "no memory for extern '%s'", plan->symbol);
    }
    for (int i = 0; i < n; i++) {
        types[i] = i < plan->ntensors ? &ffi_type_pointer : &ffi_type_sint64;
    }
    if (ffi_prep_cif(cif, FFI_DEFAULT_ABI, (unsigned)n, &ffi_type_void, types) != FFI_OK) {
        return error_set(e, EXIT_SPEC, "extern '%s' cannot be called with %d arguments", plan->symbol, n);
    }
    return true;
}

void extern_close(Extern *x)
{
    free(x->cif);
    free(x->types);
    if (x->library) {
        dlclose(x->library);
    }
}

void extern_run(const Extern *x, Session *s, int64_t from, int64_t to, bool is_fresh)
{
    const PlanExtern *p = x->plan;
    void *blocks[EXTERN_ARGS], *args[EXTERN_ARGS];
    int64_t sizes[EXTERN_ARGS];
    int n = p->ntensors + x->naxes;
    bool once = true;
    for (int i = 0; i < p->ntensors; i++) {
        once = once && !s->plan->tensors[p->tensors[i]].per_example;
        if (i >= p->ntensors - p->nout && is_fresh) {
            int64_t bytes = tensor_bytes(&s->shapes, p->tensors[i]);
            memset(s->data[p->tensors[i]], 0, (size_t)bytes);
        }
    }
    for (int i = 0; i < n; i++) {
        args[i] = i < p->ntensors ? (void *)&blocks[i] : (void *)&sizes[i - p->ntensors];
    }
    for (int64_t b = from; b < (once ? from + 1 : to); b++) {
        for (int i = 0; i < p->ntensors; i++) {
            int t = p->tensors[i];
            int64_t at = tensor_base(&s->shapes, t, b) * (int64_t)dtype_size[s->plan->tensors[t].dtype];
            blocks[i] = (char *)s->data[t] + at;
        }
        for (int i = 0; i < x->naxes; i++) {
            sizes[i] = shapes_axis_size(&s->shapes, x->axes[i], b);
        }
        ffi_call(x->cif, x->fn, NULL, args);
    }
}
