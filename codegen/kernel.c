/* Distinct kernels become machine code: looked up in the cache by name, or emitted, optimised and compiled, several
 * at a time, each on a context and target machine of its own thread. */
#include "internal.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Loops are emitted in the form that default<O3> would bring them into, so that hoisting and vectorising is left, at a
 * fifth of the time. Products are vectors already: what they need is a little tidying. */
const char *pipeline_for(const Target *t, bool is_product)
{
    if (is_product) {
        return "function(sroa,instcombine<no-verify-fixpoint>,simplifycfg,early-cse<memssa>),always-inline";
    }
    if (t->quick) {
        return "function(sroa,early-cse),always-inline";
    }
    return "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(loop-rotate,licm),"
           "loop-vectorize,loop(loop-unroll-full),instcombine<no-verify-fixpoint>,simplifycfg,early-cse<memssa>,"
           "loop-mssa(licm)),always-inline";
}

typedef struct {
    int n;
    KernelInfo **infos; /* distinct ones */
    LLVMMemoryBufferRef *objects;
    const CodegenOptions *o;
    const Target *target;
    pthread_mutex_t lock;
    int next, cached;
    Text why; /* the first error */
} Jobs;

static void fail(Jobs *jobs, const KernelInfo *k, const char *what, const char *text)
{
    pthread_mutex_lock(&jobs->lock);
    if (jobs->why.n == 0) {
        text_printf(&jobs->why, "%s: %s: %s", k->e->dst->name, what, text);
    }
    pthread_mutex_unlock(&jobs->lock);
}

static bool optimise(Jobs *jobs, KernelInfo *k, LLVMModuleRef m, LLVMTargetMachineRef tm)
{
    char *error = NULL;
    if (LLVMVerifyModule(m, LLVMReturnStatusAction, &error)) {
        char *ir = LLVMPrintModuleToString(m);
        bug("kernel of %s is malformed: %s\n%s\n%s", k->e->dst->name, error, k->text.s, ir);
    }
    LLVMDisposeMessage(error);
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMPassBuilderOptionsSetLoopUnrolling(options, 1);
    LLVMErrorRef e = LLVMRunPasses(m, pipeline_for(jobs->target, k->is_product), tm, options);
    LLVMDisposePassBuilderOptions(options);
    if (e) {
        char *text = LLVMGetErrorMessage(e);
        fail(jobs, k, "cannot be optimised", text);
        LLVMDisposeErrorMessage(text);
        return false;
    }
    return true;
}

static void compile(Jobs *jobs, int i, LLVMTargetMachineRef tm)
{
    KernelInfo *k = jobs->infos[i];
    LLVMContextRef ctx = LLVMContextCreate();
    LLVMModuleRef m = LLVMModuleCreateWithNameInContext(k->name, ctx);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
    char *triple = LLVMGetTargetMachineTriple(tm), *error = NULL;
    LLVMSetTarget(m, triple);
    LLVMSetModuleDataLayout(m, layout);
    LLVMDisposeMessage(triple);
    LLVMDisposeTargetData(layout);

    Emit x;
    emit_start(&x, k, jobs->target, m);
    if (k->is_product) {
        product_emit(&x);
    } else if (k->convolves) {
        convolve_emit(&x);
    } else {
        loops_emit(&x);
    }
    emit_finish(&x);
    if (optimise(jobs, k, m, tm)) {
        if (jobs->o->dump) {
            char *ir = LLVMPrintModuleToString(m);
            pthread_mutex_lock(&jobs->lock);
            jobs->o->dump(jobs->o->ctx, k->e->dst->name, ir);
            pthread_mutex_unlock(&jobs->lock);
            LLVMDisposeMessage(ir);
        }
        if (LLVMTargetMachineEmitToMemoryBuffer(tm, m, LLVMObjectFile, &error, &jobs->objects[i])) {
            fail(jobs, k, "cannot be compiled", error);
            LLVMDisposeMessage(error);
            jobs->objects[i] = NULL;
        } else {
            cache_write(jobs->o->cache_dir, k->name, LLVMGetBufferStart(jobs->objects[i]),
                        LLVMGetBufferSize(jobs->objects[i]));
        }
    }
    LLVMDisposeModule(m);
    LLVMContextDispose(ctx);
}

static void *work(void *arg)
{
    Jobs *jobs = arg;
    LLVMTargetMachineRef tm = NULL;
    for (;;) {
        pthread_mutex_lock(&jobs->lock);
        int i = jobs->why.n ? jobs->n : jobs->next;
        jobs->next = i + 1;
        pthread_mutex_unlock(&jobs->lock);
        if (i >= jobs->n) {
            break;
        }
        if (!jobs->o->dump && cache_read(jobs->o->cache_dir, jobs->infos[i]->name, &jobs->objects[i])) {
            pthread_mutex_lock(&jobs->lock);
            jobs->cached++;
            pthread_mutex_unlock(&jobs->lock);
            continue;
        }
        if (!tm) {
            Text why = {0};
            tm = target_machine(jobs->target, &why);
            if (!tm) {
                fail(jobs, jobs->infos[i], "cannot be compiled", why.s);
                text_free(&why);
                break;
            }
        }
        compile(jobs, i, tm);
    }
    if (tm) {
        LLVMDisposeTargetMachine(tm);
    }
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(KernelInfo *const *)a)->name, (*(KernelInfo *const *)b)->name);
}

static int by_text_size(const void *a, const void *b)
{
    size_t p = (*(KernelInfo *const *)a)->text.n, q = (*(KernelInfo *const *)b)->text.n;
    return p != q ? (p < q ? 1 : -1) : by_name(a, b);
}

static bool link_all(Jobs *jobs, int n, KernelInfo **infos, Jit *jit, void **fn, Text *why)
{
    for (int i = 0; i < jobs->n; i++) {
        LLVMMemoryBufferRef object = jobs->objects[i];
        jobs->objects[i] = NULL;
        if (!jit_add(jit, object, why)) {
            return false;
        }
    }
    qsort(jobs->infos, (size_t)jobs->n, sizeof *jobs->infos, by_name);
    void **address = calloc((size_t)jobs->n + 1, sizeof *address);
    bool ok = address != NULL;
    for (int i = 0; ok && i < jobs->n; i++) {
        address[i] = jit_find(jit, jobs->infos[i]->name, why);
        ok = address[i] != NULL;
    }
    for (int i = 0; ok && i < n; i++) {
        KernelInfo **at = bsearch(&infos[i], jobs->infos, (size_t)jobs->n, sizeof *jobs->infos, by_name);
        fn[i] = address[at - jobs->infos];
    }
    free(address);
    return ok;
}

bool kernels_compile(int n, KernelInfo **infos, const CodegenOptions *o, const Target *t, Jit *jit, void **fn,
                     CodegenStats *stats, Text *why)
{
    enum { MAX_THREADS = 64 };
    Jobs jobs = {.o = o, .target = t};
    jobs.infos = calloc((size_t)n + 1, sizeof *jobs.infos);
    jobs.objects = calloc((size_t)n + 1, sizeof *jobs.objects);
    if (!jobs.infos || !jobs.objects) {
        bug("out of memory while compiling");
    }
    memcpy(jobs.infos, infos, (size_t)n * sizeof *infos);
    qsort(jobs.infos, (size_t)n, sizeof *jobs.infos, by_name);
    for (int i = 0; i < n; i++) {
        if (jobs.n == 0 || strcmp(jobs.infos[jobs.n - 1]->name, jobs.infos[i]->name) != 0) {
            jobs.infos[jobs.n++] = jobs.infos[i];
        }
    }
    qsort(jobs.infos, (size_t)jobs.n, sizeof *jobs.infos, by_text_size); /* the long ones first */
    pthread_mutex_init(&jobs.lock, NULL);
    pthread_t thread[MAX_THREADS];
    int threads = 0;
    while (threads + 1 < o->threads && threads + 1 < jobs.n && threads < MAX_THREADS) {
        if (pthread_create(&thread[threads], NULL, work, &jobs) != 0) {
            break;
        }
        threads++;
    }
    work(&jobs);
    for (int i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
    }
    pthread_mutex_destroy(&jobs.lock);
    bool ok = jobs.why.n == 0;
    if (!ok) {
        text_append(why, jobs.why.s, jobs.why.n);
    }
    ok = ok && product_link_parts(jobs.n, jobs.objects, o, t, jit, why);
    ok = ok && link_all(&jobs, n, infos, jit, fn, why);
    stats->kernels = n;
    stats->unique = jobs.n;
    stats->cached = jobs.cached;
    for (int i = 0; i < jobs.n; i++) {
        if (jobs.objects[i]) {
            LLVMDisposeMemoryBuffer(jobs.objects[i]);
        }
    }
    text_free(&jobs.why);
    free(jobs.infos);
    free(jobs.objects);
    return ok;
}
