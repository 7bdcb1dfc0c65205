/* The parts of matrix products that kernels share (product_micro.h): strips with their tiles, packing. A kernel names
 * those it calls as undefined symbols of its object; here they are looked for, and each is defined in an object of its
 * own, found in the cache or compiled. Twenty kernels of a model need the same few parts; to compile them with every
 * kernel would be half of the time that a cold start takes. */
#include "internal.h"
#include "product_amx.h"
#include "product_match.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Object.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <llvm-c/blake3.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PARTS_USED = 64 };

typedef struct {
    bool is_double;
    int nv;
    char kind;
    LLVMMemoryBufferRef object;
    Text why;
} Part;

typedef struct {
    int n;
    Part part[MAX_PARTS_USED];
    const CodegenOptions *o;
    const Target *target;
    pthread_mutex_t lock;
    int next;
} Parts;

void product_target(GemmTarget *g, const Target *t, LLVMModuleRef module, bool is_double)
{
    *g = (GemmTarget){.llvm = module ? LLVMGetModuleContext(module) : NULL,
                      .module = module,
                      .is_double = is_double,
                      .lanes = target_lanes(t, is_double),
                      .registers = t->vector_bits == 512 ? 32 : 16,
                      .has_fma = t->fma,
                      .shares = true};
}

/* ---- which are needed --------------------------------------------------------------------------------------- */

static void need(Parts *u, const char *symbol)
{
    size_t prefix = strlen(GEMM_SHARED_PREFIX);
    int bits, nv;
    char kind;
    if (strncmp(symbol, GEMM_SHARED_PREFIX, prefix) != 0 ||
        sscanf(symbol + prefix, "f%d_%d%c", &bits, &nv, &kind) != 3) {
        return;
    }
    for (int i = 0; i < u->n; i++) {
        if (u->part[i].is_double == (bits == 64) && u->part[i].nv == nv && u->part[i].kind == kind) {
            return;
        }
    }
    if (u->n == MAX_PARTS_USED) {
        bug("too many parts of products: %s", symbol);
    }
    u->part[u->n++] = (Part){.is_double = bits == 64, .nv = nv, .kind = kind};
}

static bool find_symbols(Parts *u, LLVMMemoryBufferRef object, Text *why)
{
    char *error = NULL;
    LLVMBinaryRef binary = LLVMCreateBinary(object, NULL, &error);
    if (!binary) {
        text_printf(why, "generated code cannot be read: %s", error ? error : "");
        LLVMDisposeMessage(error);
        return false;
    }
    LLVMSymbolIteratorRef s = LLVMObjectFileCopySymbolIterator(binary);
    for (; !LLVMObjectFileIsSymbolIteratorAtEnd(binary, s); LLVMMoveToNextSymbol(s)) {
        const char *name = LLVMGetSymbolName(s);
        if (name) {
            need(u, name);
        }
    }
    LLVMDisposeSymbolIterator(s);
    LLVMDisposeBinary(binary);
    return true;
}

/* ---- making them --------------------------------------------------------------------------------------------- */

static void part_name(const Part *part, const Target *t, char name[48])
{
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    Text text = {0};
    text_printf(&text, "product %s %u.%u.%u %s %s %d %d %s %d %d %c\n", codegen_version, major, minor, patch, t->cpu,
                t->features, t->vector_bits, t->quick, pipeline_for(t, true), part->is_double, part->nv, part->kind);
    llvm_blake3_hasher h;
    llvm_blake3_hasher_init(&h);
    llvm_blake3_hasher_update(&h, text.s, text.n);
    uint8_t out[16];
    llvm_blake3_hasher_finalize(&h, out, sizeof out);
    text_free(&text);
    int n = snprintf(name, 48, "hd_gemm_");
    for (int i = 0; i < 16; i++) {
        n += snprintf(name + n, 48 - (size_t)n, "%02x", out[i]);
    }
}

static void attributes(void *ctx, LLVMValueRef fn)
{
    target_attributes(ctx, LLVMGetModuleContext(LLVMGetGlobalParent(fn)), fn);
}

static void compile(Parts *u, Part *part, const char *name)
{
    LLVMTargetMachineRef tm = target_machine(u->target, &part->why);
    if (!tm) {
        return;
    }
    LLVMContextRef ctx = LLVMContextCreate();
    LLVMModuleRef m = LLVMModuleCreateWithNameInContext(name, ctx);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
    char *triple = LLVMGetTargetMachineTriple(tm), *error = NULL;
    LLVMSetTarget(m, triple);
    LLVMSetModuleDataLayout(m, layout);
    LLVMDisposeMessage(triple);
    LLVMDisposeTargetData(layout);
    Target target = *u->target;
    GemmTarget g;
    product_target(&g, u->target, m, part->is_double);
    g.attributes = attributes;
    g.ctx = &target;
    if (amx_is_kind(part->kind)) {
        amx_define(&g, part->nv, part->kind);
    } else {
        gemm_define_shared(&g, part->nv, part->kind);
    }
    if (LLVMVerifyModule(m, LLVMReturnStatusAction, &error)) {
        bug("part %d%c of products is malformed: %s", part->nv, part->kind, error);
    }
    LLVMDisposeMessage(error);
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef e = LLVMRunPasses(m, pipeline_for(u->target, true), tm, options);
    LLVMDisposePassBuilderOptions(options);
    if (e) {
        char *text = LLVMGetErrorMessage(e);
        text_printf(&part->why, "matrix products cannot be optimised: %s", text);
        LLVMDisposeErrorMessage(text);
    } else if (LLVMTargetMachineEmitToMemoryBuffer(tm, m, LLVMObjectFile, &error, &part->object)) {
        text_printf(&part->why, "matrix products cannot be compiled: %s", error);
        LLVMDisposeMessage(error);
        part->object = NULL;
    } else {
        cache_write(u->o->cache_dir, name, LLVMGetBufferStart(part->object), LLVMGetBufferSize(part->object));
    }
    LLVMDisposeModule(m);
    LLVMContextDispose(ctx);
    LLVMDisposeTargetMachine(tm);
}

static void *work(void *arg)
{
    Parts *u = arg;
    for (;;) {
        pthread_mutex_lock(&u->lock);
        int i = u->next++;
        pthread_mutex_unlock(&u->lock);
        if (i >= u->n) {
            return NULL;
        }
        char name[48];
        part_name(&u->part[i], u->target, name);
        if (!cache_read(u->o->cache_dir, name, &u->part[i].object)) {
            compile(u, &u->part[i], name);
        }
    }
}

bool product_link_parts(int n, const LLVMMemoryBufferRef *objects, const CodegenOptions *o, const Target *t, Jit *jit,
                        Text *why)
{
    Parts u = {.o = o, .target = t};
    bool ok = true;
    for (int i = 0; i < n && ok; i++) {
        ok = find_symbols(&u, objects[i], why);
    }
    pthread_mutex_init(&u.lock, NULL);
    pthread_t thread[MAX_PARTS_USED];
    int threads = 0;
    while (ok && threads + 1 < o->threads && threads + 1 < u.n &&
           pthread_create(&thread[threads], NULL, work, &u) == 0) {
        threads++;
    }
    if (ok) {
        work(&u);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(thread[i], NULL);
    }
    pthread_mutex_destroy(&u.lock);
    for (int i = 0; i < u.n; i++) {
        Part *part = &u.part[i];
        if (ok && part->why.n > 0) {
            text_append(why, part->why.s, part->why.n);
        }
        ok = ok && part->object != NULL;
        if (ok) {
            ok = jit_add(jit, part->object, why);
        } else if (part->object) {
            LLVMDisposeMemoryBuffer(part->object);
        }
        text_free(&part->why);
    }
    return ok;
}
