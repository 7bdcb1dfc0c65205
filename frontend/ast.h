/* The syntax tree: what the parser builds, what variants edit and what elaboration reads.
 *
 *   Stmts ── Stmt ─┬─ declarations   hyper, axis, input, fn, rel, block, use
 *                  ├─ containers     section, variant, repeat, in: hold Stmts again
 *                  ├─ model          equation, param, state, output, prove
 *                  └─ settings       optimizer, batch, lr, metrics, ...
 *   Stmt ── Expr ── Expr ...         every operator, reduction, call and index of LANGUAGE's section 2
 *
 * One node type for statements and one for expressions, both flat structs: the kind says which fields mean something.
 * A declaration of several things (`axis D = 50 over d, G = 50 over g`) becomes one Stmt per thing, so that a variant
 * can replace each alone. Everything lives in the arena of the Spec and is never changed after spec_load, except that
 * load.c applies variants before anyone else looks. Names are plain NUL-terminated strings: compare with strcmp (they
 * keep dots, "T.max", and never the prime).
 *
 * Comments and blank lines are not here: the formatter works on tokens (lexer.h), where nothing is lost. */
#ifndef HEDDLE_AST_H
#define HEDDLE_AST_H

#include "frontend.h"

/* ---- expressions ------------------------------------------------------------------------------------------ */

typedef enum {
    EX_NUM,    /* num, is_int: 50, 1e-6 */
    EX_LIST,   /* args[].value: [400, 400]; in hypers, `repeat x in`, and for several axes: Dense<R = [T, C]>(x) */
    EX_NAME,   /* name['][@at][idx...]: letter, member, hyper, axis, tensor with or without an index */
    EX_CALL,   /* name[idx... where cond](args...); has_bracket says whether [..] was written. Also f32(e), stop(e),
                  defined(e), len(T), vocab(item), sees(a, b): nothing is special here */
    EX_REDUCE, /* red[idx... where cond] a; the binders are idx[k].e (EX_NAME, a letter or `batch`) with their sources;
                  a == NULL for any and count */
    EX_NEG,    /* -a */
    EX_NOT,    /* not a */
    EX_BINARY, /* a op b */
    EX_WHERE,  /* a where b */
    EX_ELSE,   /* a else b */
    EX_SOURCE, /* sources[0] a, outside an index: `V item[i]`, `B self`: a as a token of that source of a sum of axes */
    EX_AXIS    /* name<at>: Z<A>; only where an axis is expected (dims of params, inputs and signatures) */
} ExprKind;

typedef enum {
    BIN_ADD,
    BIN_SUB,
    BIN_MUL,
    BIN_DIV,
    BIN_POW,
    BIN_EQ,
    BIN_NE,
    BIN_LT,
    BIN_LE,
    BIN_GT,
    BIN_GE,
    BIN_AND,
    BIN_OR
} BinaryOp;
extern const char *const binary_name[]; /* "+", ..., "and", "or" */

typedef enum { AST_SUM, AST_MAX, AST_MIN, AST_MEAN, AST_ANY, AST_COUNT, AST_DRAW } AstReduce;
extern const char *const ast_reduce_name[]; /* "sum", ... */

/* One place of an index, a left-hand side, a function's bracket or a reduction's binder list.
 *   d            nsources 0, e = EX_NAME d
 *   i + 1        nsources 0, e = EX_BINARY
 *   F f          sources {F}, e = EX_NAME f
 *   F|X|me a     sources {F, X, me}, e = EX_NAME a
 *   me           nsources 0, e = EX_NAME me (elaboration finds that it is a member) */
typedef struct {
    Span span;
    int nsources;
    const char **sources;
    Expr *e;
} Idx;

/* f(x, eps = 1e-6), auc(logit, lab by user) */
typedef struct {
    Span span;
    const char *name; /* NULL: by position */
    Expr *value;
    const char *by; /* NULL unless written; only metrics use it */
} Arg;

struct Expr {
    ExprKind kind;
    Span span;        /* of the whole expression on its first line */
    Span op_span;     /* of the operator, the name or the reduction's word: where a caret points */
    const char *name; /* NAME, CALL, AXIS, SOURCE (the one source) */
    bool prime;       /* NAME: u' */
    const char *at;   /* NAME: x@b -> "b"; AXIS: Z<A> -> "A"; else NULL */
    double num;       /* NUM */
    bool is_int;      /* NUM: written without point and exponent */
    BinaryOp op;      /* BINARY */
    AstReduce red;    /* REDUCE */
    Expr *a, *b;      /* operands */
    bool has_bracket; /* NAME, CALL: [..] was written (it may not be empty) */
    int nidx;         /* NAME, CALL, REDUCE */
    Idx *idx;
    Expr *where; /* CALL, REDUCE: the cond inside the brackets, or NULL */
    int nargs;   /* CALL, LIST */
    Arg *args;
};

/* ---- statements ------------------------------------------------------------------------------------------- */

typedef struct Stmt Stmt;
typedef struct {
    int n;
    Stmt **v;
} Stmts;

/* name['][idx... where cond] */
typedef struct {
    Span span; /* of the name */
    const char *name;
    bool prime;
    bool has_bracket;
    int nidx;
    Idx *idx;
    Expr *where;
} Lhs;

/* Compress<K = n / 2>(x, act = relu) as compress */
typedef struct {
    Span span; /* of the name */
    const char *name;
    int naxes;
    struct AxisArg {
        Span span;
        const char *name;
        Expr *value; /* an axis name, a size, or EX_LIST of axes for a parameter R* */
    } * axes;
    int nargs;
    Arg *args;
} BlockCall;

/* One declared name with dimensions: an argument or a result of a block, a param, a state, an input.
 *   x[Z<A>, D]      dims: EX_AXIS, EX_NAME
 *   W0[H,C,E -> D]  dims H C E D; narrow = 3 (dims before the arrow), -1 without an arrow
 *   WqF[F; D -> E]  dims F D E;   nselect = 1, narrow = 2
 *   pe[2*N - 1]     dims: any integer expression;  ei[vocab(item), D]: an EX_CALL
 *   Wk[s, f, a, d where a <= s]   dims are letters; where is its domain */
typedef struct {
    Span span; /* of the name */
    const char *name;
    bool has_bracket;
    int ndims;
    Expr **dims;
    int nselect;
    int narrow;
    Expr *where;
    Expr *value; /* signature: default (`eps = 1e-5`, `act = relu`); param: initialiser after ~; state: after = */
} Decl;

typedef struct {
    Span span;
    int nsources; /* F | X | me */
    const char **sources;
    const char *letter; /* NULL: none written or _ */
} RelSide;

typedef struct {
    Span span;
    RelSide from, to;
    Expr *cond; /* after `if`, or NULL */
} RelPair;

typedef enum { SECTION_MODEL, SECTION_TRAIN, SECTION_RANK, SECTION_SERVE, SECTION_COUNT } SectionKind;
extern const char *const section_name[];

typedef enum {
    /* Declarations; at file level, and in variants. */
    ST_HYPER,  /* hyper name = value */
    ST_AXIS,   /* axis name<...>: see AxisDecl */
    ST_INPUT,  /* input name[axes] : type */
    ST_FN,     /* fn name[letters](params) = value; `init name(params) = value` is the same with is_init */
    ST_REL,    /* rel name(a, b) and its pairs */
    ST_BLOCK,  /* block name<axes>(sig) -> sig, body */
    ST_EXTERN, /* extern name(params) -> result from "library" [gradient symbol]: a C function */
    ST_USE,    /* use "file"; gone after spec_load */

    /* In blocks and sections; params and states at file level belong to the model. */
    ST_EQUATION, /* lhs, ... = value   or   lhs, ... := value | call [as label] */
    ST_REPEAT,   /* repeat [var in] value [as label]: body */
    ST_PARAM,    /* param decl ~ init @tags */
    ST_STATE,    /* state decl = value by key */
    ST_OUTPUT,   /* output name */
    ST_PROVE,    /* prove causal from -> to along axis, prove to independent of from (along == NULL) */
    ST_SETTING,  /* see SettingDecl */

    /* Containers; the last three are gone after spec_load. */
    ST_SECTION, /* model, train, rank, serve: body. After spec_load at most one of each */
    ST_VARIANT, /* variant name [from a, b]: body */
    ST_IN,      /* in name: body */
    ST_DROP     /* drop lhs, or drop rel pair */
} StmtKind;
extern const char *const stmt_name[]; /* "hyper", "axis", ..., "equation", ... for messages */

/* axis T : ragged(min = 1, max = 200) over i j      kind "ragged", args
 * axis Y in S : ragged(max = 8) over y              parent "S"
 * axis W in F : vocab over w                        kind "vocab", no args
 * axis D = 50 over d, G = 4 * D over g              size; `axis H = heads` too: a name may be a hyper or an axis
 * axis C = {pos, time, sem} over c                  one part with members
 * axis Z<A> = A | F | X | {me} over a b             param "A", four parts */
typedef struct {
    const char *param;  /* Z<A>, or NULL */
    const char *parent; /* in S, or NULL */
    const char *kind;   /* after ':', or NULL */
    int nargs;
    Arg *args;
    Expr *size; /* after '=' when it is one expression, or NULL */
    int nparts; /* after '=' when it holds | or {} */
    struct AxisPart {
        Span span;
        const char *source; /* a name, or NULL: members */
        int nmembers;
        const char **members;
    } * parts;
    int nletters;
    const char **letters;
} AxisDecl;

/* input ts[T] : int64 seconds ascending    type "int64", flags {"seconds", "ascending"}
 * input item[S] : vocab(item)              type "vocab", args
 * input fv[F,O] : W                        type "W": an axis
 * input rating : int64(min = 1, max = 5)   a declared range
 * input safe[F] : bool const, lab : f32 label */
typedef struct {
    const char *type;
    Span type_span;
    int nargs;
    Arg *args;
    bool is_label, is_const, is_ascending, is_seconds;
} InputDecl;

typedef struct {
    Span span;
    const char *name;
    bool star;    /* R* */
    int nletters; /* `over r`; none: the axis has no letter of its own here */
    const char **letters;
} AxisParam;

typedef struct {
    const char *name; /* a table of the parser: optimizer batch epochs lr clip group stream keep metrics seed */
    /* optimizer adamw(lr = 1e-3)    args[0] = EX_CALL
     * group nodecay(decay = 0)      args[0] = EX_CALL
     * batch 128, epochs 101, clip 5, seed 3: args[0]
     * lr = 1e-3 * min(step / 100, 1): args[0]; only in train; an equation of that name is a setting there
     * stream by user chunk 16       args[0] = EX_NAME user, args[1] = the chunk
     * keep best auc, stop after 2   args[0] = EX_NAME auc or NULL, args[1] = the number or NULL
     * metrics hr(at, 10, 50), ...   args: EX_CALLs */
    int nargs;
    Expr **args;
} SettingDecl;

struct Stmt {
    StmtKind kind;
    Span span;         /* of the defining name, or the keyword: where a message about the statement points */
    const char *name;  /* what it declares; hyper, axis, input, fn, rel, block, param, state, output, variant, in;
                          prove: the property ("causal"); use: the path; drop: the name */
    bool from_library; /* it comes from std or `use` rather than from the spec itself */

    /* hyper, fn, repeat: value. equation: value, or call. */
    Expr *value;

    /* equation */
    int nlhs;
    Lhs *lhs;
    bool rebinds;   /* := */
    const char *by; /* equation: by step ("step"); state: by user, by model, or NULL */
    BlockCall *call;
    const char *label; /* equation, repeat: after `as`, or NULL */

    const char *var; /* repeat: the variable before `in`, or NULL */
    Stmts body;      /* repeat, block, section, variant, in */

    Decl *decl;           /* input, param, state */
    AxisDecl *axis;       /* axis */
    InputDecl *input;     /* input */
    SettingDecl *setting; /* setting */
    SectionKind section;  /* section */

    /* fn, rel, block */
    bool is_init;
    int nletters; /* fn: the bracketed letters; rel: its two letters */
    const char **letters;
    int nparams; /* fn: params with optional defaults (dims unused); block, extern: its arguments */
    Decl *params;
    int nresults; /* block; extern: 1 */
    Decl *results;
    int naxis_params; /* block */
    AxisParam *axis_params;
    int npairs; /* rel; drop of pairs: one pair */
    RelPair *pairs;

    int ntags; /* param: "nodecay" for @nodecay */
    const char **tags;

    const char *from, *to, *along; /* prove; extern: from = the library's file, to = symbol of the gradient or NULL */
    int nnames;                    /* variant: the names after `from` */
    const char **names;
};

/* ---- the loaded spec -------------------------------------------------------------------------------------- */

/* A constant of the spec: a number, or a list of numbers (hypers, `repeat width in mlp`). */
typedef struct {
    bool is_list;
    bool is_int; /* of the number, or of all elements */
    int n;       /* list */
    double num;
    double *list;
} Value;

/* Names bound further in than the file: the variable of a `repeat`, a block's hyper arguments. Innermost first. */
typedef struct Binding Binding;
struct Binding {
    const char *name;
    Value value;
    const Binding *next;
};

typedef struct {
    const char *name;
    Value value;
    Span span;
    bool defined; /* by -D */
} Hyper;

struct Spec {
    Arena *arena;
    Diag *diag;
    const char *name;
    const char *path;
    Stmts items; /* file-level statements after `use`, std, `from`, -D and the variant; a library item that the spec
                    hides is not here. Order: libraries first, then the spec's own in textual order */
    Stmt *sections[SECTION_COUNT]; /* or NULL */
    int nhypers;
    Hyper *hypers;
    int nvocabs; /* -D item=7550: sizes of vocabularies */
    struct VocabSize {
        const char *name;
        int64_t size;
    } * vocabs;
    int nlacks; /* defines that set nothing (SpecOptions.lenient) */
    const char **lacks;
    int nvariants;
    const char **variants;
    int ngroups; /* -D cat=[5,7]: sizes of the vocabularies of a group of fields */
    struct FieldGroup {
        const char *name;
        int64_t n;
        const int64_t *sizes;
    } * groups;
    int nsources;
    const Source **sources;
    TrainSettings *train; /* NULL: no train section */
    int nmetrics;
    MetricSetting *metrics;
    int nwarned; /* warnings given so far: lowering in another mode does not repeat them */
    struct Warned {
        const char *code;
        Span at;
    } * warned;
    int nstatements; /* what `prove` asked in any mode lowered so far */
    Statement *statements;
    void *lowered; /* elaboration's own memory of the last spec_lower, for spec_describe_* */
};

/* First file-level statement of that kind and name (kind ST_FN finds inits too), or NULL. */
Stmt *spec_find(const Spec *s, StmtKind kind, const char *name);
const Value *spec_hyper(const Spec *s, const char *name); /* or NULL */

/* Value of an expression over numbers, hypers, bindings, sizes of numbered axes and the table functions (ceil, min,
 * exp, ...). On failure *bad is the expression that is not constant (a letter, a tensor, a cycle of hypers) and nothing
 * is reported. */
bool spec_eval(const Spec *s, const Binding *env, const Expr *e, Value *out, const Expr **bad);
bool spec_eval_int(const Spec *s, const Binding *env, const Expr *e, int64_t *out); /* false: not an integer constant */

/* As written, canonical spacing: for reports and `Init.text`. */
void expr_print(const Expr *e, Text *out);

#endif
