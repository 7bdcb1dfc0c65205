/* The builder's context for one kernel: types, arguments, alias scopes, loops. A kernel is
 *
 *     void hd_...(const KernelArgs *args)
 *
 * All fields of args are read in the entry block. Every tensor argument gets an alias scope of its own: distinct
 * tensors never overlap, and without saying so each vectorised loop would carry an overlap check and a scalar copy. */
#include "internal.h"
#include <llvm-c/DebugInfo.h>
#include <stdlib.h>
#include <string.h>

LLVMTypeRef emit_type(const Emit *x, Type t)
{
    switch (t) {
    case TYPE_BOOL:
        return x->i1;
    case TYPE_INT:
        return x->i64;
    case TYPE_REAL:
        return x->real;
    case TYPE_F32:
        return x->f32;
    }
    bug("unknown type %d", (int)t);
}

LLVMTypeRef emit_elem_type(const Emit *x, const Tensor *t)
{
    switch (t->elem) {
    case ELEM_BOOL:
        return x->i8;
    case ELEM_I32:
        return x->i32;
    case ELEM_I64:
        return x->i64;
    case ELEM_REAL:
        return x->real;
    case ELEM_F32:
        return x->f32;
    }
    bug("unknown element type %d", (int)t->elem);
}

unsigned emit_bytes(const Emit *x, LLVMTypeRef element)
{
    return element == x->i8 ? 1 : element == x->i32 || element == x->f32 ? 4 : 8;
}

LLVMValueRef emit_i64(const Emit *x, int64_t v)
{
    return LLVMConstInt(x->i64, (unsigned long long)v, 1);
}

/* A floating constant of the type, or a splat of it if the type is a vector. */
LLVMValueRef emit_number(const Emit *x, LLVMTypeRef type, double v)
{
    (void)x;
    if (LLVMGetTypeKind(type) != LLVMVectorTypeKind) {
        return LLVMConstReal(type, v);
    }
    LLVMValueRef lane[64];
    unsigned n = LLVMGetVectorSize(type);
    for (unsigned i = 0; i < n && i < 64; i++) {
        lane[i] = LLVMConstReal(LLVMGetElementType(type), v);
    }
    return LLVMConstVector(lane, n);
}

LLVMValueRef emit_local(Emit *x, LLVMTypeRef type, const char *name)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(x->b);
    LLVMPositionBuilderBefore(x->b, LLVMGetFirstInstruction(x->entry));
    LLVMValueRef v = LLVMBuildAlloca(x->b, type, name);
    LLVMPositionBuilderAtEnd(x->b, here);
    return v;
}

LLVMValueRef emit_intrinsic(Emit *x, const char *name, int noverload, LLVMTypeRef *overload, int nargs,
                            LLVMValueRef *args)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    if (id == 0) {
        bug("no intrinsic %s", name);
    }
    LLVMValueRef f = LLVMGetIntrinsicDeclaration(x->module, id, overload, (size_t)noverload);
    LLVMTypeRef type = LLVMIntrinsicGetType(x->ctx, id, overload, (size_t)noverload);
    return LLVMBuildCall2(x->b, type, f, args, (unsigned)nargs, "");
}

static void set_metadata(Emit *x, LLVMValueRef access, const char *kind, LLVMValueRef node)
{
    LLVMSetMetadata(access, LLVMGetMDKindIDInContext(x->ctx, kind, (unsigned)strlen(kind)), node);
}

void emit_mark_invariant(Emit *x, LLVMValueRef load)
{
    if (LLVMIsAInstruction(load)) {
        set_metadata(x, load, "invariant.load", x->invariant);
        if (x->all_scopes) {
            set_metadata(x, load, "noalias", x->all_scopes); /* or a gather from a table keeps a loop scalar */
        }
    }
}

void emit_mark_tensor(Emit *x, LLVMValueRef access, int n)
{
    set_metadata(x, access, "alias.scope", x->scopes[n]);
    if (x->noalias[n]) {
        set_metadata(x, access, "noalias", x->noalias[n]);
    }
}

LLVMValueRef emit_table(Emit *x, int64_t n, const int64_t *v, const char *name)
{
    LLVMValueRef *c = malloc((size_t)(n > 0 ? n : 1) * sizeof *c);
    if (!c) {
        bug("out of memory while emitting a table");
    }
    for (int64_t i = 0; i < n; i++) {
        c[i] = emit_i64(x, v[i]);
    }
    LLVMTypeRef type = LLVMArrayType2(x->i64, (uint64_t)n);
    LLVMValueRef g = LLVMAddGlobal(x->module, type, name);
    LLVMSetInitializer(g, LLVMConstArray2(x->i64, c, (uint64_t)n));
    LLVMSetGlobalConstant(g, 1);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    LLVMSetAlignment(g, 64);
    LLVMSetUnnamedAddress(g, LLVMGlobalUnnamedAddr);
    free(c);
    return g;
}

LLVMBasicBlockRef emit_block(Emit *x, const char *name)
{
    return LLVMAppendBasicBlockInContext(x->ctx, x->fn, name);
}

LLVMValueRef emit_min(Emit *x, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, a, b, ""), a, b, "");
}

LLVMValueRef emit_max(Emit *x, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(x->b, LLVMBuildICmp(x->b, LLVMIntSGT, a, b, ""), a, b, "");
}

/* A metadata node that is equal to no other: it contains itself. */
static LLVMMetadataRef distinct_nodes(Emit *x, int n, const LLVMMetadataRef *others)
{
    enum { MOST = 4 };
    LLVMMetadataRef tmp = LLVMTemporaryMDNode(x->ctx, NULL, 0), ops[MOST] = {tmp};
    for (int i = 0; i < n; i++) {
        ops[1 + i] = others[i];
    }
    LLVMMetadataRef node = LLVMMDNodeInContext2(x->ctx, ops, (size_t)n + 1);
    LLVMMetadataReplaceAllUsesWith(tmp, node);
    return node;
}

static LLVMMetadataRef distinct_node(Emit *x, LLVMMetadataRef second)
{
    return distinct_nodes(x, second ? 1 : 0, &second);
}

/* ---- loops and scopes ---- */

int scope_enter(Emit *x)
{
    return x->nlog;
}

void scope_leave(Emit *x, int mark)
{
    while (x->nlog > mark) {
        x->memo[x->memo_log[--x->nlog]] = NULL;
    }
}

/*   here:  if (lo < hi) ── no ──────────────┐
 *    └ head                                 │
 *       └ body: i = phi; ... ── next: i += step; if (i < hi) body ── exit */
void loop_begin(Emit *x, Loop *l, const char *name, LLVMValueRef lo, LLVMValueRef hi, int64_t step)
{
    LLVMBasicBlockRef head = emit_block(x, "head");
    l->body = emit_block(x, name);
    l->next = LLVMCreateBasicBlockInContext(x->ctx, "next");
    l->exit = LLVMCreateBasicBlockInContext(x->ctx, "exit");
    l->hi = hi;
    l->step = emit_i64(x, step);
    LLVMBuildCondBr(x->b, LLVMBuildICmp(x->b, LLVMIntSLT, lo, hi, ""), head, l->exit);
    LLVMPositionBuilderAtEnd(x->b, head);
    LLVMBuildBr(x->b, l->body);
    LLVMPositionBuilderAtEnd(x->b, l->body);
    l->i = LLVMBuildPhi(x->b, x->i64, name);
    LLVMAddIncoming(l->i, &lo, &head, 1);
    l->mark = scope_enter(x);
    l->inner = false;
    l->whole = 0;
    l->apart = false;
}

static LLVMMetadataRef hint(Emit *x, const char *name, LLVMTypeRef type, int value)
{
    LLVMMetadataRef pair[2] = {LLVMMDStringInContext2(x->ctx, name, strlen(name)),
                               LLVMValueAsMetadata(LLVMConstInt(type, (unsigned)value, 0))};
    return LLVMMDNodeInContext2(x->ctx, pair, 2);
}

/* Lists are short: without masks most rows would end in the scalar remainder. Where there is none, the vectoriser would
 * make one for the rounds of a loop unrolled over several vectors. */
static void vectorise(Emit *x, const Loop *l, LLVMValueRef branch)
{
    LLVMMetadataRef hints[2] = {l->apart   ? hint(x, "llvm.loop.vectorize.enable", x->i1, 0)
                                : l->whole ? hint(x, "llvm.loop.vectorize.width", x->i32, l->whole)
                                           : hint(x, "llvm.loop.vectorize.predicate.enable", x->i1, 1),
                                hint(x, "llvm.loop.interleave.count", x->i32, 1)};
    LLVMMetadataRef node = distinct_nodes(x, l->whole ? 2 : 1, hints);
    set_metadata(x, branch, "llvm.loop", LLVMMetadataAsValue(x->ctx, node));
}

void loop_end(Emit *x, Loop *l)
{
    LLVMBuildBr(x->b, l->next);
    LLVMAppendExistingBasicBlock(x->fn, l->next);
    LLVMPositionBuilderAtEnd(x->b, l->next);
    LLVMValueRef next = LLVMBuildNSWAdd(x->b, l->i, l->step, "");
    LLVMAddIncoming(l->i, &next, &l->next, 1);
    LLVMValueRef more = LLVMBuildICmp(x->b, LLVMIntSLT, next, l->hi, "");
    LLVMValueRef branch = LLVMBuildCondBr(x->b, more, l->body, l->exit);
    if (l->apart || (l->inner && x->target->avx512)) {
        vectorise(x, l, branch);
    }
    LLVMAppendExistingBasicBlock(x->fn, l->exit);
    LLVMPositionBuilderAtEnd(x->b, l->exit);
    scope_leave(x, l->mark);
}

/* ---- the function ---- */

static LLVMValueRef field(Emit *x, LLVMTypeRef args_type, unsigned i, LLVMTypeRef type, const char *name)
{
    LLVMValueRef p = LLVMBuildStructGEP2(x->b, args_type, LLVMGetParam(x->fn, 0), i, "");
    LLVMValueRef v = LLVMBuildLoad2(x->b, type, p, name);
    emit_mark_invariant(x, v);
    return v;
}

static LLVMValueRef item(Emit *x, LLVMValueRef array, int i, LLVMTypeRef type, const char *name)
{
    LLVMValueRef index = emit_i64(x, i);
    LLVMValueRef v = LLVMBuildLoad2(x->b, type, LLVMBuildInBoundsGEP2(x->b, type, array, &index, 1, ""), name);
    emit_mark_invariant(x, v);
    return v;
}

static void make_scopes(Emit *x, int n)
{
    LLVMMetadataRef *scope = malloc((size_t)n * sizeof *scope), *others = malloc((size_t)n * sizeof *others);
    if (!scope || !others) {
        bug("out of memory while emitting a kernel");
    }
    LLVMMetadataRef domain = distinct_node(x, NULL);
    for (int i = 0; i < n; i++) {
        scope[i] = distinct_node(x, domain);
    }
    for (int i = 0; i < n; i++) {
        int m = 0;
        for (int j = 0; j < n; j++) {
            if (j != i) {
                others[m++] = scope[j];
            }
        }
        x->scopes[i] = LLVMMetadataAsValue(x->ctx, LLVMMDNodeInContext2(x->ctx, &scope[i], 1));
        x->noalias[i] = m ? LLVMMetadataAsValue(x->ctx, LLVMMDNodeInContext2(x->ctx, others, (size_t)m)) : NULL;
    }
    x->all_scopes = LLVMMetadataAsValue(x->ctx, LLVMMDNodeInContext2(x->ctx, scope, (size_t)n));
    free(scope);
    free(others);
}

void emit_start(Emit *x, KernelInfo *k, const Target *target, LLVMModuleRef module)
{
    memset(x, 0, sizeof *x);
    x->k = k;
    x->target = target;
    x->module = module;
    x->ctx = LLVMGetModuleContext(module);
    x->b = LLVMCreateBuilderInContext(x->ctx);
    x->i1 = LLVMInt1TypeInContext(x->ctx);
    x->i8 = LLVMInt8TypeInContext(x->ctx);
    x->i16 = LLVMInt16TypeInContext(x->ctx);
    x->i32 = LLVMInt32TypeInContext(x->ctx);
    x->i64 = LLVMInt64TypeInContext(x->ctx);
    x->f32 = LLVMFloatTypeInContext(x->ctx);
    x->f64 = LLVMDoubleTypeInContext(x->ctx);
    x->real = k->real == DT_F64 ? x->f64 : x->f32;
    x->ptr = LLVMPointerTypeInContext(x->ctx, 0);
    x->invariant = LLVMMetadataAsValue(x->ctx, LLVMMDNodeInContext2(x->ctx, NULL, 0));

    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(x->ctx), &x->ptr, 1, 0);
    x->fn = LLVMAddFunction(module, k->name, type);
    target_attributes(target, x->ctx, x->fn);
    x->entry = emit_block(x, "entry");
    x->ret = LLVMCreateBasicBlockInContext(x->ctx, "done");
    LLVMPositionBuilderAtEnd(x->b, x->entry);

    /* KernelArgs of plan.h */
    LLVMTypeRef fields[10] = {x->ptr, x->ptr, x->ptr, x->i64, x->i64, x->i64, x->i64, x->i64, x->ptr, x->i64};
    LLVMTypeRef args = LLVMStructTypeInContext(x->ctx, fields, 10, 0);
    LLVMValueRef tensors = field(x, args, 0, x->ptr, "tensors");
    LLVMValueRef offsets = field(x, args, 1, x->ptr, "offsets");
    LLVMValueRef keys = field(x, args, 2, x->ptr, "keys");
    x->batch = field(x, args, 3, x->i64, "batch");
    x->lo = field(x, args, 4, x->i64, "lo");
    x->hi = field(x, args, 5, x->i64, "hi");
    x->t = field(x, args, 6, x->i64, "t");
    x->last = field(x, args, 7, x->i64, "last");
    if (k->keeps || k->convolves) {
        x->kept = field(x, args, 8, x->ptr, "kept");
        x->phase = field(x, args, 9, x->i64, "phase");
    }

    size_t n = (size_t)k->ntensors;
    x->tensors = calloc(n + 1, sizeof *x->tensors);
    x->offsets = calloc((size_t)k->noffsets + 1, sizeof *x->offsets);
    x->keys = calloc((size_t)k->nkeys + 1, sizeof *x->keys);
    x->scopes = calloc(n + 1, sizeof *x->scopes);
    x->noalias = calloc(n + 1, sizeof *x->noalias);
    x->memo = calloc((size_t)k->nnodes + 1, sizeof *x->memo);
    x->memo_log = calloc((size_t)k->nnodes + 1, sizeof *x->memo_log);
    if (!x->tensors || !x->offsets || !x->keys || !x->scopes || !x->noalias || !x->memo || !x->memo_log) {
        bug("out of memory while emitting a kernel");
    }
    for (int i = 0; i < k->ntensors; i++) {
        x->tensors[i] = item(x, tensors, i, x->ptr, k->tensors[i]->name);
    }
    for (int i = 0; i < k->noffsets; i++) {
        x->offsets[i] = item(x, offsets, i, x->ptr, k->offsets[i].axes[0]->name);
    }
    for (int i = 0; i < k->nkeys; i++) {
        x->keys[i] = item(x, keys, i, x->i64, k->keys[i]);
    }
    make_scopes(x, k->ntensors);
    x->letters = calloc((size_t)k->nnodes + 1, sizeof *x->letters);
    x->safe = calloc((size_t)k->nnodes + 1, sizeof *x->safe);
    if (!x->letters || !x->safe) {
        bug("out of memory while emitting a kernel");
    }
    emit_analyse(x);
}

void emit_finish(Emit *x)
{
    LLVMBuildBr(x->b, x->ret);
    LLVMAppendExistingBasicBlock(x->fn, x->ret);
    LLVMPositionBuilderAtEnd(x->b, x->ret);
    LLVMBuildRetVoid(x->b);
    LLVMDisposeBuilder(x->b);
    free(x->tensors);
    free(x->offsets);
    free(x->keys);
    free(x->scopes);
    free(x->noalias);
    free(x->memo);
    free(x->memo_log);
    free(x->letters);
    free(x->safe);
}
