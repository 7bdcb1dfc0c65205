/* The way from a Schedule to a Plan, one call per stage. */
#include "plan_build.h"
#include <stdlib.h>
#include <time.h>

typedef struct {
    Arena *arena;
    Jit *jit;
} Owner;

static void destroy(Plan *p)
{
    Owner *o = p->owner;
    Arena *arena = o->arena;
    jit_free(o->jit);
    arena_free(arena); /* the plan itself lies in it */
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool run(Build *b, Owner *owner, CodegenStats *stats, Text *why)
{
    if (!build_calls(b, why)) {
        return false;
    }
    owner->jit = jit_new(why);
    if (!owner->jit) {
        return false;
    }
    KernelInfo **infos = arena_alloc(b->arena, (size_t)(b->ncalls + 1) * sizeof *infos);
    void **fn = arena_alloc(b->arena, (size_t)(b->ncalls + 1) * sizeof *fn);
    int n = 0;
    for (int i = 0; i < b->ncalls; i++) {
        if (!equation_is_extern(b->calls[i].e)) {
            infos[n++] = &b->calls[i].info;
        }
    }
    if (!kernels_compile(n, infos, b->o, b->target, owner->jit, fn, stats, why)) {
        return false;
    }
    for (int i = b->ncalls; i-- > 0;) { /* a function per call: externs have none */
        fn[i] = equation_is_extern(b->calls[i].e) ? NULL : fn[--n];
    }
    return build_plan(b, fn, why);
}

Plan *codegen_compile(const Schedule *s, const CodegenOptions *o, CodegenStats *stats, Text *why)
{
    double start = seconds();
    Target target;
    CodegenStats unwanted, *st = stats ? stats : &unwanted;
    *st = (CodegenStats){0};
    if (!target_init(&target, o->cpu, why)) {
        return NULL;
    }
    target.quick = o->quick;
    if (o->products != PRODUCTS_F32 && !target.amx) {
        text_printf(why,
                    "bf16 matrix products need a CPU with AMX, which code for '%s' may not use: use --products f32, or "
                    "--cpu native on such a CPU",
                    target.cpu);
        target_free(&target);
        return NULL;
    }
    Arena *arena = arena_new();
    Owner *owner = arena_alloc(arena, sizeof *owner);
    owner->arena = arena;
    Build b = {.schedule = s, .o = o, .target = &target, .arena = arena};
    b.plan = arena_alloc(arena, sizeof *b.plan);
    b.plan->owner = owner;
    b.plan->destroy = destroy;
    bool ok = run(&b, owner, st, why);
    for (int i = 0; i < b.ncalls; i++) {
        kernel_info_free(&b.calls[i].info);
    }
    target_free(&target);
    st->seconds = seconds() - start;
    if (!ok) {
        destroy(b.plan);
        return NULL;
    }
    return b.plan;
}
