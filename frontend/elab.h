/* Elaboration: from the syntax tree to equations. Private to the front end.
 *
 *   elaborate.c   spec_lower: declarations, sections, outputs, settings
 *   axes.c        declared axes, families Z<A>, letters, what may stand where an axis is expected
 *   scope.c       names: entities of a scope, positions, rebinding
 *   expr.c        expressions -> Val: an IR scalar with the conditions under which it is defined
 *   names.c       what names and indices mean in them
 *   call.c        functions, builtin and the library's macros, relations
 *   reduce.c      sum, max, ...: letters bound and removed
 *   range.c       reductions as equations of their own, ranges that are not empty
 *   read.c        reading a tensor at indices: ranges, domains, cases
 *   domain.c      lists of conditions; which follow from others
 *   interval.c    bounds of scalars, linear forms
 *   equation.c    statements -> tensors and equations;  lhs.c their left-hand sides
 *   blocks.c      block calls, axis parameters, repeat;  extern.c calls of a user's C functions
 *   params.c      inputs, params, initialisers, states
 *   outputs.c     what a caller gets, pruning
 *   labels.c      where labels may go
 *   prove.c, prove_report.c   statements about the model;  describe.c what a spec says of itself
 *
 * Elaboration is driven by demand: reading a name elaborates the statements that define it first. So equations come
 * out in an order in which values are defined before use, and a name met while it is being defined is a recurrence.
 *
 * A letter that is bound is a Var of the statement at hand (Ctx); scalars under construction refer to letter number
 * Var.id. An equation numbers its letters anew when it is emitted (equation.c). */
#ifndef HEDDLE_ELAB_H
#define HEDDLE_ELAB_H

#include "ast.h"

enum { MAX_VARS = 96 };

typedef struct Elab Elab;
typedef struct Scope Scope;
typedef struct Entity Entity;
typedef struct Env Env;
typedef struct Ctx Ctx;

/* ---- axes ------------------------------------------------------------------------------------------------- */

typedef enum { AC_NUMBER, AC_MEMBERS, AC_VOCAB, AC_FIELDS, AC_WIDTH, AC_RAGGED, AC_BATCH, AC_SUM, AC_FAMILY } AxisClass;

/* A declared axis. A family Z<A> has one instance per value of A. */
typedef struct AxisInfo AxisInfo;
struct AxisInfo {
    const char *name;
    Stmt *stmt; /* NULL: anonymous (a size, a vocabulary) */
    AxisClass kind;
    Axis *axis;       /* NULL: a family, or not yet made */
    AxisInfo *family; /* of an instance */
    Axis *param;      /* of an instance: the axis that stands for A */
    bool busy, broken;
    int ninstances;
    AxisInfo **instances;
    AxisInfo *next;
};

/* What a letter declaration says: one axis, a family (its instance is inferred), or any number of axes (R*). */
typedef struct {
    bool found;
    int naxes;
    Axis **axes;
    AxisInfo *family;
} LetterDecl;

AxisInfo *axis_lookup(Elab *E, Scope *s, const char *name); /* declared axis visible in s; made if needed; or NULL */
AxisInfo *axis_info(Elab *E, const Axis *a);
AxisInfo *axis_instance(Elab *E, AxisInfo *family, Axis *param);
Axis *axis_of_size(Elab *E, int64_t n); /* the anonymous axis of n elements */
Axis *axis_of_vocab(Elab *E, const char *vocab);
/* The axes an expression names where axes are expected: any number for a starred parameter. -1: error. */
int axes_of_expr(Elab *E, Scope *s, const Expr *e, Axis **out, int max);
LetterDecl letter_lookup(Elab *E, Scope *s, const char *name);
const char *axis_text(Elab *E, const Axis *a); /* "axis D (50)" for messages */
bool axis_is_number(Elab *E, const Axis *a);   /* its letters are plain integers */
/* Part of the sum axis that a source name stands for; *member is its position when it names a member, else -1. */
int sum_part(Elab *E, Scope *s, const Axis *sum, const char *source, int *member);
/* The axis whose member `name` is; *index its position. */
Axis *member_lookup(Elab *E, Scope *s, const char *name, int *index);

/* ---- conditions ------------------------------------------------------------------------------------------- */

typedef struct {
    int n;
    Scalar **v;
} Conds;

/* ---- values ----------------------------------------------------------------------------------------------- */

/* A reduction that has no equation yet: it becomes the statement's own equation when nothing is done to it, else one
 * of its own. */
typedef struct {
    Reduce op;
    int nvars;
    int vars[MAX_LETTERS];
    Conds conds;     /* range and guards */
    Conds inherited; /* facts where it stands: it need not be computed elsewhere */
    Scalar *body;
} Pending;

typedef struct {
    bool bad; /* an error was reported: silent from here on */
    Scalar *s;
    Conds conds; /* where it is defined */
    Axis *home;  /* the axis an integer belongs to: a letter, a shift of one, an id; NULL: a plain integer */
    bool letter; /* a letter or a shift of one */
    bool bare;   /* a letter, unshifted */
    Axis *part;  /* a token whose source is known: s is the position in it, home is NULL */
    Pending *pending;
    Span span;
    const Expr *expr; /* of an index, as written */
} Val;

/* ---- names ------------------------------------------------------------------------------------------------ */

typedef enum { CASE_BARE, CASE_CONST, CASE_PART } CaseKind;

/* One defining equation of a tensor: which cells, and under which conditions they exist. Letters are dimensions; of a
 * CASE_PART dimension the letter is the position inside the part. */
typedef struct {
    CaseKind kind[MAX_DIMS];
    int64_t which[MAX_DIMS]; /* CONST: the index. PART: number of the part */
    int64_t local[MAX_DIMS]; /* PART: the fixed position (a member), or -1 */
    Conds conds;
    Span span;
} Case;

/* Something that can be read at indices. */
typedef struct Sym Sym;
struct Sym {
    const char *name; /* as the user writes it */
    const char *path;
    Tensor *t; /* NULL while unknown */
    int ndim;
    Axis *dims[MAX_DIMS];
    int ncases;
    Case *cases;      /* none: total */
    Axis *values;     /* axis its values belong to (ids) */
    bool busy;        /* being elaborated: a read is a recurrence */
    bool provisional; /* read while busy: real-valued, per example, domain = its own where */
    bool bad;
    Span span;
    SectionKind section;
    bool is_output;    /* declared so */
    bool read_outside; /* by train or rank */
    Sym *tainted_by;   /* what it reads that depends on a label; itself for the label */
};

typedef enum { ENT_SYM, ENT_EQUATIONS, ENT_CALL, ENT_STATE_NEXT } EntityKind;
typedef struct Call Call;

struct Entity {
    EntityKind kind;
    const char *name; /* with a prime if it has one */
    int pos;          /* of the statement that binds it, in textual order after unrolling */
    Scope *scope;
    Scope *home; /* where its right-hand side is read: a round of a repeat, else == scope */
    SectionKind section;
    Sym *sym; /* ENT_SYM; else once elaborated */
    int ncases;
    Stmt **cases; /* ENT_EQUATIONS */
    int *case_lhs;
    int ndims; /* known from a signature or a state, -1: not */
    Axis *dims[MAX_DIMS];
    Call *call; /* ENT_CALL */
    int result;
    enum { NEW, BUSY, DONE } status;
    bool rebinds;
    bool used;
    Span span;
    Entity *next; /* in the scope, oldest first */
};

/* A block call, expanded on demand. */
struct Call {
    Stmt *stmt;
    const Stmt *ext; /* what is called is extern, or NULL */
    Scope *scope;    /* where the arguments are read */
    int pos;
    SectionKind section;
    const char *path;
    Scope *inner;
    Sym *results[MAX_DIMS];
    enum { CALL_TODO, CALL_BUSY, CALL_DONE } status;
};

typedef struct AxisBinding AxisBinding;
struct AxisBinding {
    const char *name;
    int n;
    Axis **axes;
    int nletters;
    const char **letters;
    bool star;
    bool bound;
    AxisBinding *next;
};

typedef struct FnBinding FnBinding; /* act = relu; or a block's hyper as an expression of the call */
struct FnBinding {
    const char *name, *fn;
    FnBinding *next;
};

typedef struct Counter Counter;
struct Counter {
    const char *label;
    int n;
    Counter *next;
};

struct Scope {
    Scope *parent; /* of a round: names are looked up there too; NULL for the file and for blocks */
    Stmt *block;   /* NULL: the file's sections */
    bool library;  /* its text comes from std or `use` */
    const char *path;
    Entity *entities, *last;
    AxisBinding *axes;
    const Binding *values; /* repeat variables, hyper arguments, sizes of axis parameters */
    FnBinding *fns;
    Counter *counters;
    AxisInfo *instance; /* the one instance of a family in its signature */
    bool single;        /* a round of one statement: it adds no part to paths */
};

/* ---- environments: what names mean inside one statement ------------------------------------------------------ */

typedef struct Slot Slot;
struct Slot {
    const char *name;
    Axis *axis; /* NULL: a family not yet resolved, or unknown */
    AxisInfo *family;
    bool bound;
    int var;    /* bound to a letter */
    Axis *part; /* bound to a position in this source, var is over it (or local is fixed) */
    Scalar *local;
    Slot *next;
};

/* A name that stands for several letters: a bracketed letter of a function, the letter of a starred axis. */
typedef struct Group Group;
struct Group {
    const char *name;
    int n;
    Slot **slots;
    Group *next;
};

typedef struct Thunk Thunk; /* an argument of a macro: an expression where it was written */
struct Thunk {
    const char *name;
    const Expr *e;
    Env *env;
    const Expr *restrict_to; /* f[j where P](s): s where P */
    const char *fn;          /* the name of a function */
    Scalar *value;           /* or a value */
    Thunk *next;
};

struct Env {
    Ctx *ctx;
    Scope *scope;
    bool is_fn; /* tensors other than inputs are out of sight */
    Slot *slots;
    Group *groups;
    Thunk *thunks;
    const Expr *site; /* the call being expanded */
    const Env *caller;
    int depth;
};

/* ---- one statement being elaborated --------------------------------------------------------------------------- */

typedef struct {
    Axis *axis;
    const char *name;
    int parent; /* Var or -1 */
} Var;

typedef struct {
    Tensor *t;
    Equation *eq;
    Conds own, inherited; /* over the letters of eq */
} Sub;

typedef struct {
    const Expr *e;
    const Env *env;
    int nsites;
    const Expr **sites;
} RandSite;

struct Ctx {
    Elab *E;
    Scope *scope;
    Stmt *stmt;
    int pos;
    SectionKind section;
    const char *base; /* path of the tensor being defined: sub-equations are base.1, base.2 */
    bool by_step;
    int nvars;
    Var vars[MAX_VARS];
    Conds facts;        /* what holds where the expression at hand is read; loads of reals are left out */
    Conds letter_conds; /* what left-hand sides and brackets ask of the letters they bind */
    int nshifts;        /* conditions that arose here from an index that may leave its axis */
    struct Shift {
        Scalar *cond;
        const char *name; /* what is read */
        const Axis *axis;
        const Expr *index;
    } * shifts;
    int nunbound; /* letters reported as unbound: each once, however often the statement uses it */
    const char **unbound;
    int nsubs;
    Sub *subs;
    int nrands;
    RandSite *rands;
    const Expr *draw; /* the draw that may stand here: the whole right-hand side */
    bool is_draw;
    int nout;
    int out[MAX_DIMS];   /* the left-hand letters */
    bool live[MAX_VARS]; /* letters that are bound where the expression at hand stands */
    int proving;
    Sym *sym; /* what it defines */
    Ctx *outer;
};

/* A condition "this range is not empty": a load of a boolean tensor that stands for it. */
typedef struct {
    Tensor *any;
    const Sub *sub; /* any over the range */
    Span span;
    AstReduce red;
    bool accepted;    /* a draw from a range that may be empty: an ordinary condition of its name */
    const char *what; /* "mean[i]" */
    Axis *axis;
} NonEmpty;

/* A file-level name that was used, for E0112 and the descriptions. */
struct Elab {
    Spec *spec;
    Graph *g;
    Arena *arena;
    Diag *diag;
    const LowerOptions *o;
    Scope *file;
    AxisInfo *axes, *last_axis;
    AxisInfo **by_id; /* per axis of the graph */
    int nby_id;
    const char *clash; /* a letter with the name of a number that was reported */
    int next_pos;
    int depth;
    int nnonempty;
    NonEmpty *nonempty;
    int nreported; /* (code, place) pairs: an unrolled block reports a mistake once */
    struct Reported {
        const char *code;
        Span at;
    } * reported;
    int nsyms;
    Sym **syms;      /* every named tensor of the user, in order of elaboration */
    Sym **of_tensor; /* by tensor id: what a tensor is called and where it is defined, or NULL */
    int nof_tensor;
    bool training, noise;
    Mode mode;
    int nmistakes;
    int nstates;
    struct StateDecl {
        Scope *scope;
        Stmt *stmt;
    } * states;
    Ctx *ctx; /* innermost */
};

/* ---- elaborate.c, messages ---------------------------------------------------------------------------------- */

/* Reports a user's mistake once per place. NULL-safe remedy. Returns false. */
bool mistake(Elab *E, const char *code, Span at, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void caution(Elab *E, const char *code, Span at, const char *remedy, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
const char *nearest(const char *name, int n, const char *const *names); /* a name one might have meant, or NULL */
const char *expr_text(Elab *E, const Expr *e);
const char *called_like(Elab *E,
                        const Stmt *macro); /* "write rmsnorm[d](x, eps)": how a function or a block is called */
const char *letter_of_axis(Elab *E, const Axis *a); /* "use a letter of D: d", or NULL */
char *fmt(Elab *E, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *join_path(Elab *E, const char *path, const char *name);
const char *fresh_name(Elab *E, const char *base, const char *suffix); /* base.1, base.2, ... */
void name_tensor(Elab *E, Tensor *t, Sym *sym);
Sym *sym_of_tensor(Elab *E, const Tensor *t);

/* ---- scope.c ------------------------------------------------------------------------------------------------ */

Scope *scope_new(Elab *E, Scope *parent, const char *path);
Entity *scope_add(Elab *E, Scope *s, EntityKind kind, const char *name, int pos, Span span);
/* What the name means for a reader at `pos`: NULL if nothing. */
Entity *scope_find(Scope *s, const char *name, int pos);
void scope_open(Elab *E, Scope *s, const Stmts *body, SectionKind section); /* enters the statements as entities */
void scope_force(Elab *E, Scope *s);                                        /* elaborates all of them */
Sym *entity_sym(Elab *E, Entity *e); /* elaborates on demand; NULL after an error */
const char *suggest_name(Elab *E, const Env *env, const char *name);
int count_label(Elab *E, Scope *s, const char *label); /* 0, 1, 2 ... */

/* ---- expr.c ------------------------------------------------------------------------------------------------- */

Val elab(Env *env, const Expr *e);
Val force(Ctx *c, Val v); /* no pending reduction any more */
Val bad_val(void);
Val plain_val(Scalar *s);
/* Conditions under which `e` holds, appended to out and known as facts while the rest is elaborated. False: error. */
bool elab_conds(Env *env, const Expr *e, Conds *out);
Val token_to(Ctx *c, Val v, Axis *axis); /* a token as an index into the sum axis, its source known or not */
Val index_val(Env *env, const Idx *idx);
int index_vals(Env *env, int nidx, const Idx *idx, Val *out, int max);
Env *env_new(Ctx *c, Scope *s);
/* ---- names.c ------------------------------------------------------------------------------------------------ */

Val name_val(Env *env, const Expr *e);
Val source_val(Env *env, const char *source, const Expr *e, Span span); /* a position in that source: a token */
Slot *env_slots(Env *env, const char *name, int *n, Slot ***out);       /* slots of a letter's name, or NULL */
bool is_index_name(const Idx *x, const char *name);
Val slot_val(Ctx *c, const Slot *s, Span span);

/* ---- call.c ------------------------------------------------------------------------------------------------- */

Val elab_call(Env *env, const Expr *e);

/* ---- reduce.c ----------------------------------------------------------------------------------------------- */

Val elab_reduce(Env *env, const Expr *e);
bool bind_slot(Env *env, Slot *s, const Expr *body, Span at); /* fresh letter */
Scalar *emit_pending(Ctx *c, Pending *p, Span span);          /* as an equation of its own; a load of it */
void need_not_empty(Ctx *c, const Pending *range, AstReduce red, const char *what, Span span, Conds *out);
bool range_not_empty(Ctx *c, const Scalar *cond, const Conds *known);
const NonEmpty *nonempty_of(Elab *E, const Scalar *cond);
Axis *infer_instance(Env *env, const Expr *body, const char *letter);

/* ---- read.c ------------------------------------------------------------------------------------------------- */

Scalar *substitute_settled(Graph *g, Scalar *s, int n, Scalar *const *map); /* PART of a known token is known */
Val load_sym(Ctx *c, Sym *sym, int n, Val *args, Val *at, Span span, const Span *arg_spans);

/* ---- domain.c ----------------------------------------------------------------------------------------------- */

void conds_push(Elab *E, Conds *c, Scalar *s);  /* as it is */
void conds_add(Ctx *c, Conds *list, Scalar *s); /* unless it follows; splits `and` */
void conds_join(Ctx *c, Conds *list, const Conds *more);
bool conds_has(const Conds *c, const Scalar *s);
bool conds_false(const Conds *c);                             /* never holds */
Scalar *conds_all(Ctx *c, const Conds *conds);                /* their conjunction */
bool follows(Ctx *c, const Scalar *cond, const Conds *known); /* from known and the statement's facts */
int conds_mark(const Ctx *c);
void facts_push(Ctx *c, const Conds *conds);
void facts_reset(Ctx *c, int mark);
Scalar *negate(Elab *E, Scalar *s);
bool loads_real(const Scalar *s);

/* ---- interval.c --------------------------------------------------------------------------------------------- */

typedef struct {
    double lo, hi;
} Interval;
Interval interval_of(Ctx *c, const Scalar *s);
/* a >= 0 for certain, using known facts. */
bool proves_nonneg(Ctx *c, Scalar *a, const Conds *known);
bool index_in_range(Ctx *c, Scalar *index, const Axis *axis, const Conds *known, bool *low_ok, bool *high_ok);
Scalar *axis_size(Ctx *c, const Axis *axis, int parent_var);
bool uses_var(const Scalar *s, int var);

/* ---- equation.c --------------------------------------------------------------------------------------------- */

Sym *elab_equations(Elab *E, Entity *e);
Equation *emit(Ctx *c, Tensor *dst, Scalar *const *lhs, int nout, const int *out, Reduce op, int nred, const int *red,
               const Conds *conds, Scalar *body, Span span);
bool depends_on_example(Ctx *c, Reduce op, int nred, const int *red, const Conds *conds, const Scalar *body);
int new_var(Ctx *c, Axis *a, const char *name, int parent);
Ctx *ctx_new(Elab *E, Scope *s, Stmt *stmt, int pos, SectionKind section, const char *base);
Elem elem_of(Elab *E, const Val *v);
Tensor *value_tensor(Elab *E, const char *path, Elem elem, int ndim, Axis *const *dims, bool per_example, Span span);
void read_by(Ctx *c, Sym *sym); /* notes the dependency, for labels */

/* ---- blocks.c ----------------------------------------------------------------------------------------------- */

Sym *call_result(Elab *E, Call *call, int k);
void expand_call(Elab *E, Call *call);
void expand_extern(Elab *E, Call *call, int nargs, Sym **given); /* arguments that fit the signature */

/* ---- params.c ----------------------------------------------------------------------------------------------- */

Sym *make_input(Elab *E, Stmt *s);
Sym *make_param(Elab *E, Scope *scope, Stmt *s, SectionKind section);
/* For declarations: a name without a tensor yet; its axes and its initialiser (false, NULL after a message). */
Sym *decl_sym(Elab *E, const char *name, const char *path, Span span, SectionKind section);
bool decl_dims(Elab *E, Scope *scope, const Decl *d, Sym *sym);
Init *decl_init(Elab *E, Env *env, const Decl *d, const Sym *sym);
bool path_is_free(Elab *E, const char *path, Span span);

/* ---- states.c ----------------------------------------------------------------------------------------------- */

Sym *make_state(Elab *E, Scope *scope, Stmt *s, int pos, SectionKind section);
void link_state(Elab *E, Scope *scope, Stmt *s); /* state -> its value afterwards */
void check_streams(Elab *E); /* marks states whose examples come several to a step, and what may not lead to them */

/* ---- describe.c --------------------------------------------------------------------------------------------- */

/* A scalar as a user would write it; `letter` prints the name of letter k. */
void scalar_text(const Scalar *s, void (*letter)(void *ctx, int64_t k, Text *out), void *ctx, Text *out);

/* ---- labels.c, prove.c, optimizer --------------------------------------------------------------------------- */

void check_labels(Elab *E);
void check_proofs(Elab *E);
void output_as(Elab *E, Sym *s, const char *name, Span span); /* under that name, as a copy where it has another */
void mark_outputs(Elab *E);
void prune(Elab *E);

#endif
