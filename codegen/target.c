/* The machine that code is made for: this one, or a named level of x86-64 for results that travel. */
#include "internal.h"
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void initialise(void)
{
    /* Strength reduction of addresses is half of the time of code generation, and no kernel ran faster with it. The
     * option belongs to the process; nothing else in it compiles. */
    const char *options[] = {"heddle", "-disable-lsr"};
    LLVMParseCommandLineOptions(2, options, NULL);
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    LLVMInitializeNativeAsmParser();
}

static bool has(const char *features, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = features; (p = strstr(p, name)); p += n) {
        if (p > features && p[-1] == '+' && (p[n] == 0 || p[n] == ',')) {
            return true;
        }
    }
    return false;
}

static char *copy(const char *s)
{
    char *p = strdup(s);
    if (!p) {
        bug("out of memory while asking for the CPU");
    }
    return p;
}

const char *codegen_cpu(const char *cpu)
{
    const char *asked = getenv("HEDDLE_CPU");
    bool open = !cpu || strcmp(cpu, "native") == 0;
    return !open ? cpu : asked && *asked ? asked : "native";
}

bool target_init(Target *t, const char *cpu, Text *why)
{
    static const char level2[] = "+cx16,+fxsr,+mmx,+popcnt,+sahf,+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+x87";
    static const char level3[] = ",+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+xsave";
    static const char level4[] = ",+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl";
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, initialise);
    memset(t, 0, sizeof *t);
    char *host = LLVMGetHostCPUFeatures();
    cpu = codegen_cpu(cpu);
    if (strcmp(cpu, "native") == 0) {
        char *name = LLVMGetHostCPUName();
        snprintf(t->cpu, sizeof t->cpu, "%s", name);
        LLVMDisposeMessage(name);
        t->features = copy(host);
    } else {
        bool v4 = strcmp(cpu, "x86-64-v4") == 0, v3 = v4 || strcmp(cpu, "x86-64-v3") == 0;
        bool known = v3 || strcmp(cpu, "x86-64") == 0;
        if (!known || (v4 && !has(host, "avx512f")) || (v3 && !has(host, "avx2"))) {
            text_printf(why,
                        known ? "this machine cannot run code for %s"
                              : "unknown CPU '%s': use native, x86-64-v4, x86-64-v3 or x86-64",
                        cpu);
            LLVMDisposeMessage(host);
            return false;
        }
        snprintf(t->cpu, sizeof t->cpu, "%s", cpu);
        Text f = {0};
        text_printf(&f, "%s%s%s", v3 ? level2 : "+fxsr,+mmx,+sse,+sse2,+x87", v3 ? level3 : "", v4 ? level4 : "");
        t->features = copy(f.s);
        text_free(&f);
    }
    LLVMDisposeMessage(host);
    t->fma = has(t->features, "fma");
    t->avx2 = has(t->features, "avx2");
    t->avx512 = has(t->features, "avx512f") && has(t->features, "avx512vl") && has(t->features, "avx512dq");
    t->amx =
        t->avx512 && has(t->features, "amx-tile") && has(t->features, "amx-bf16") && has(t->features, "avx512bf16");
    t->vector_bits = t->avx512 ? 512 : t->avx2 ? 256 : 128;
    return true;
}

int target_lanes(const Target *t, bool is_double)
{
    return t->vector_bits / (is_double ? 64 : 32);
}

void target_free(Target *t)
{
    free(t->features);
}

LLVMTargetMachineRef target_machine(const Target *t, Text *why)
{
    char *triple = LLVMGetDefaultTargetTriple(), *error = NULL;
    LLVMTargetRef target;
    LLVMTargetMachineRef tm = NULL;
    if (LLVMGetTargetFromTriple(triple, &target, &error)) {
        text_printf(why, "no code generator for this machine: %s", error);
        LLVMDisposeMessage(error);
    } else {
        LLVMTargetMachineOptionsRef o = LLVMCreateTargetMachineOptions();
        LLVMTargetMachineOptionsSetCPU(o, t->cpu);
        LLVMTargetMachineOptionsSetFeatures(o, t->features);
        LLVMTargetMachineOptionsSetCodeGenOptLevel(o, t->quick ? LLVMCodeGenLevelLess : LLVMCodeGenLevelDefault);
        LLVMTargetMachineOptionsSetRelocMode(o, LLVMRelocPIC);
        LLVMTargetMachineOptionsSetCodeModel(o, LLVMCodeModelSmall);
        tm = LLVMCreateTargetMachineWithOptions(target, triple, o);
        LLVMDisposeTargetMachineOptions(o);
    }
    LLVMDisposeMessage(triple);
    return tm;
}

static void set_string(LLVMContextRef ctx, LLVMValueRef fn, const char *key, const char *value)
{
    LLVMAttributeRef a = LLVMCreateStringAttribute(ctx, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}

static void set_enum(LLVMContextRef ctx, LLVMValueRef fn, const char *key, uint64_t value)
{
    unsigned kind = LLVMGetEnumAttributeKindForName(key, strlen(key));
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(ctx, kind, value));
}

void target_attributes(const Target *t, LLVMContextRef ctx, LLVMValueRef fn)
{
    char bits[16];
    snprintf(bits, sizeof bits, "%d", t->vector_bits);
    set_string(ctx, fn, "target-cpu", t->cpu);
    set_string(ctx, fn, "target-features", t->features);
    set_string(ctx, fn, "prefer-vector-width", bits); /* or the vectoriser stays at 256 bits on most CPUs */
    set_enum(ctx, fn, "nounwind", 0);
    set_enum(ctx, fn, "uwtable", 2); /* stack traces through kernels */
}
