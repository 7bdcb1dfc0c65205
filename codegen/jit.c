/* Objects become callable addresses: one LLJIT per plan. It is only ever given finished object files, because an LLJIT
 * that compiles IR shares one target machine between threads. */
#include "internal.h"
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <stdlib.h>

struct Jit {
    LLVMOrcLLJITRef jit;
    Text session; /* what the linker reported besides the returned error */
};

static void report(void *ctx, LLVMErrorRef error)
{
    Jit *j = ctx;
    char *text = LLVMGetErrorMessage(error);
    text_printf(&j->session, "%s%s", j->session.n ? "; " : "", text);
    LLVMDisposeErrorMessage(text);
}

static bool failed(Jit *j, LLVMErrorRef error, const char *what, Text *why)
{
    if (!error) {
        return false;
    }
    char *text = LLVMGetErrorMessage(error);
    text_printf(why, "%s: %s", what, text);
    LLVMDisposeErrorMessage(text);
    if (j && j->session.n) {
        text_printf(why, " (%s)", j->session.s);
    }
    return true;
}

/* Functions of this program that kernels call. */
static LLVMErrorRef define_functions(LLVMOrcLLJITRef jit)
{
    enum { MOST = 64 };
    LLVMOrcCSymbolMapPair pair[MOST];
    size_t n = 0;
    for (const Function *f = convolve_functions; f->name && n < MOST; f++) {
        LLVMJITSymbolFlags flags = {LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable, 0};
        LLVMJITEvaluatedSymbol symbol = {(LLVMOrcExecutorAddress)(uintptr_t)f->fn, flags};
        pair[n++] = (LLVMOrcCSymbolMapPair){LLVMOrcLLJITMangleAndIntern(jit, f->name), symbol};
    }
    return LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(jit), LLVMOrcAbsoluteSymbols(pair, n));
}

Jit *jit_new(Text *why)
{
    Jit *j = calloc(1, sizeof *j);
    if (!j) {
        text_printf(why, "out of memory");
        return NULL;
    }
    if (failed(NULL, LLVMOrcCreateLLJIT(&j->jit, NULL), "cannot start the linker for generated code", why)) {
        free(j);
        return NULL;
    }
    LLVMOrcExecutionSessionSetErrorReporter(LLVMOrcLLJITGetExecutionSession(j->jit), report, j);
    if (failed(j, define_functions(j->jit), "cannot start the linker for generated code", why)) {
        jit_free(j);
        return NULL;
    }
    return j;
}

bool jit_add(Jit *j, LLVMMemoryBufferRef object, Text *why)
{
    LLVMOrcJITDylibRef lib = LLVMOrcLLJITGetMainJITDylib(j->jit);
    return !failed(j, LLVMOrcLLJITAddObjectFile(j->jit, lib, object), "cannot load generated code", why);
}

void *jit_find(Jit *j, const char *name, Text *why)
{
    LLVMOrcExecutorAddress address = 0;
    if (failed(j, LLVMOrcLLJITLookup(j->jit, &address, name), "cannot link generated code", why)) {
        return NULL;
    }
    return (void *)(uintptr_t)address;
}

void jit_free(Jit *j)
{
    if (!j) {
        return;
    }
    LLVMErrorRef error = LLVMOrcDisposeLLJIT(j->jit);
    if (error) {
        LLVMConsumeError(error);
    }
    text_free(&j->session);
    free(j);
}
