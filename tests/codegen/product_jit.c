/* A module with one function around one matrix product, through LLVM's ORC. */
#include "product_jit.h"
#include "../../codegen/product_turned.h"
#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    const char *cpu, *features;
    JitRange range;
    int passes; /* 0: f32 or f64 */
    int64_t k_first;
    bool turned;
} Setting;

void *product_sums;

static void check(LLVMErrorRef e)
{
    if (e) {
        fprintf(stderr, "%s\n", LLVMGetErrorMessage(e));
        exit(1);
    }
}

static void attributes(void *ctx, LLVMValueRef fn)
{
    const Setting *s = ctx;
    LLVMAddTargetDependentFunctionAttr(fn, "target-cpu", s->cpu);
    LLVMAddTargetDependentFunctionAttr(fn, "target-features", s->features);
    LLVMAddTargetDependentFunctionAttr(fn, "prefer-vector-width", "512");
}

static void row_range(void *ctx, LLVMBuilderRef b, LLVMValueRef row, LLVMValueRef out[2])
{
    const JitRange *r = &((const Setting *)ctx)->range;
    LLVMTypeRef i64 = LLVMTypeOf(row);
    int64_t v[2][2] = {{r->lo_mul, r->lo_add}, {r->hi_mul, r->hi_add}};
    for (int w = 0; w < 2; w++) {
        out[w] = LLVMBuildMul(b, row, LLVMConstInt(i64, (uint64_t)v[w][0], true), "");
        out[w] = LLVMBuildAdd(b, out[w], LLVMConstInt(i64, (uint64_t)v[w][1], true), "");
    }
}

static char *features_of(const char *cpu)
{
    if (!strcmp(cpu, "native")) {
        char *host = LLVMGetHostCPUFeatures(), *copy = strdup(host);
        LLVMDisposeMessage(host);
        return copy;
    }
    static const char v3[] = "+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+popcnt,+sse4.2,";
    static const char v4[] = "+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,";
    char *s = calloc(1, sizeof v3 + sizeof v4);
    strcat(s, strcmp(cpu, "x86-64") ? v3 : "");
    strcat(s, strcmp(cpu, "x86-64-v4") ? "" : v4);
    return s;
}

static Product compile(const char *cpu, bool is_double, const int64_t *sizes, unsigned known, bool accumulate,
                       const Setting *how)
{
    struct timespec t0, t1;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t0);
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    char *features = features_of(cpu), *name = strcmp(cpu, "native") ? strdup(cpu) : LLVMGetHostCPUName();
    Setting setting = *how;
    JitRange range = how->range;
    setting.cpu = name;
    setting.features = features;
    LLVMContextRef llvm = LLVMContextCreate();
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext("product", llvm);
    char *triple = LLVMGetDefaultTargetTriple(), *message = NULL;
    LLVMTargetRef target;
    if (LLVMGetTargetFromTriple(triple, &target, &message)) {
        fprintf(stderr, "%s\n", message);
        exit(1);
    }
    LLVMTargetMachineRef tm =
        LLVMCreateTargetMachine(target, triple, name, features, LLVMCodeGenLevelLess, LLVMRelocPIC, LLVMCodeModelSmall);
    LLVMSetTarget(module, triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
    LLVMSetModuleDataLayout(module, layout);

    LLVMTypeRef ptr = LLVMPointerTypeInContext(llvm, 0), i64 = LLVMInt64TypeInContext(llvm);
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(llvm), (LLVMTypeRef[]){ptr, ptr, ptr, ptr}, 4, false);
    LLVMValueRef f = LLVMAddFunction(module, "product", type), v[NSIZES];
    attributes(&setting, f);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(llvm);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(llvm, f, "entry"));
    for (unsigned i = 0; i < NSIZES; i++) {
        LLVMValueRef at = LLVMConstInt(i64, i, false);
        v[i] = known >> i & 1 ? LLVMConstInt(i64, (uint64_t)sizes[i], true)
                              : LLVMBuildLoad2(b, i64, LLVMBuildGEP2(b, i64, LLVMGetParam(f, 3), &at, 1, ""), "");
    }
    GemmTarget t = {.llvm = llvm, .module = module, .attributes = attributes, .ctx = &setting};
    gemm_target_features(&t, features, is_double);
    Gemm op = {.m = v[M_],
               .n = v[N_],
               .k = v[K_],
               .a = LLVMGetParam(f, 0),
               .a_m = v[AM_],
               .a_k = v[AK_],
               .b = LLVMGetParam(f, 1),
               .b_k = v[BK_],
               .b_n = v[BN_],
               .c = LLVMGetParam(f, 2),
               .c_m = v[CM_],
               .c_n = v[CN_],
               .accumulate = accumulate,
               .k_range = range.kind == RANGE_K ? row_range : NULL,
               .n_range = range.kind == RANGE_N ? row_range : NULL,
               .range_ctx = &setting};
    if (setting.turned) {
        LLVMValueRef where = LLVMConstInt(i64, (uint64_t)(uintptr_t)&product_sums, false);
        op.kept = LLVMBuildLoad2(b, ptr, LLVMConstIntToPtr(where, ptr), "");
        op.n_range = range.kind == RANGE_N_OF_K ? row_range : NULL;
        op.kept_n0 = LLVMConstInt(i64, 0, false);
        gemm_turned(&t, b, &op, op.n);
        gemm_turned_end(&t, b, &op, accumulate);
    } else if (setting.passes > 0) {
        amx_define(&t, setting.passes, amx_kind(&op));
        amx_emit(&t, b, &op, setting.passes, LLVMConstInt(i64, (uint64_t)setting.k_first, false));
    } else {
        gemm_emit(&t, b, &op);
    }
    LLVMBuildRetVoid(b);
    LLVMDisposeBuilder(b);
    if (getenv("PRODUCT_DUMP")) {
        LLVMDumpModule(module);
    }
    if (LLVMVerifyModule(module, LLVMReturnStatusAction, &message)) {
        fprintf(stderr, "%s\n", message);
        exit(1);
    }
    LLVMDisposeMessage(message);
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    check(LLVMRunPasses(module, "function(instcombine<no-verify-fixpoint>,simplifycfg,early-cse)", tm, options));
    LLVMDisposePassBuilderOptions(options);
    if (getenv("PRODUCT_ASM")) {
        LLVMModuleRef copy = LLVMCloneModule(module);
        LLVMTargetMachineEmitToFile(tm, copy, getenv("PRODUCT_ASM"), LLVMAssemblyFile, &message);
        LLVMDisposeModule(copy);
    }
    LLVMMemoryBufferRef object;
    if (LLVMTargetMachineEmitToMemoryBuffer(tm, module, LLVMObjectFile, &message, &object)) {
        fprintf(stderr, "%s\n", message);
        exit(1);
    }
    LLVMOrcLLJITRef jit;
    check(LLVMOrcCreateLLJIT(&jit, NULL));
    check(LLVMOrcLLJITAddObjectFile(jit, LLVMOrcLLJITGetMainJITDylib(jit), object));
    LLVMOrcExecutorAddress address;
    check(LLVMOrcLLJITLookup(jit, &address, "product"));
    LLVMDisposeTargetData(layout);
    LLVMDisposeTargetMachine(tm);
    LLVMDisposeMessage(triple);
    LLVMDisposeModule(module);
    LLVMContextDispose(llvm);
    free(features);
    free(name);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t1);
    Product p = {.jit = jit};
    memcpy(&p.fn, &(void *){(void *)(uintptr_t)address}, sizeof p.fn);
    p.compile_seconds = (double)(t1.tv_sec - t0.tv_sec) + 1e-9 * (double)(t1.tv_nsec - t0.tv_nsec);
    return p;
}

Product product_compile(const char *cpu, bool is_double, const int64_t *sizes, unsigned known, bool accumulate,
                        JitRange range)
{
    return compile(cpu, is_double, sizes, known, accumulate, &(Setting){.range = range});
}

Product product_compile_turned(const char *cpu, bool is_double, const int64_t *sizes, unsigned known, bool accumulate,
                               JitRange range)
{
    Setting how = {.range = range, .turned = true};
    return compile(cpu, is_double, sizes, known, accumulate, &how);
}

Product product_compile_amx(int passes, const int64_t *sizes, unsigned known, bool accumulate, JitRange range,
                            int64_t k_first)
{
    Setting how = {.range = range, .passes = passes, .k_first = k_first};
    return compile("native", false, sizes, known, accumulate, &how);
}

void product_free(Product *p)
{
    check(LLVMOrcDisposeLLJIT(p->jit));
}
