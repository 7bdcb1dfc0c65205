/* The front end: spec text -> tokens -> syntax tree -> checked equations (a Graph), or diagnostics.
 *
 *   spec_load    parse, `use`, defines, variants: a syntax tree with every hyper known
 *   spec_lower   one mode of the spec as a Graph of one example (before pass_batch), completely checked
 *   spec_format  the formatter
 *
 * docs/language.md is the reference of what is accepted. */
#ifndef HEDDLE_FRONTEND_H
#define HEDDLE_FRONTEND_H

#include "../ir/ir.h"

typedef struct Spec Spec;

typedef struct {
    const char *name, *value; /* -D name=value; value as written: 8, 0.2, [400,400] */
} Define;

typedef struct {
    int ndefines;
    const Define *defines;
    const char *variant; /* NULL: none */
    const char *std_dir; /* models/std */
    bool lenient;        /* a define that sets nothing here is no mistake: see spec_lacks */
} SpecOptions;

Spec *spec_load(Arena *arena, Diag *diag, const char *path, const SpecOptions *o); /* NULL after errors */

typedef enum {
    MODE_TRAIN, /* training, noise: loss, outputs of model and train */
    MODE_RUN,   /* training without noise: what `heddle run` computes */
    MODE_RANK   /* neither: outputs of model and rank, places */
} Mode;

typedef struct {
    Mode mode;
    /* size of a vocabulary, -1 if unknown (check works without) */
    int64_t (*vocab_size)(void *ctx, const char *vocab);
    /* data of fields(NAME) / const inputs: number of fields, or -1; see docs/language.md */
    int64_t (*fields)(void *ctx, const char *name, const char *const **names, const int64_t **sizes);
    void *ctx;
    int nwanted;
    const char *const *wanted; /* outputs asked for by name beside the declared ones (--output) */
} LowerOptions;

Graph *spec_lower(Spec *s, Arena *arena, const LowerOptions *o); /* NULL after errors */

/* ---- what the spec says beside equations ------------------------------------------------------------------- */

/* A setting's value as an expression of step, epoch, misses, evaluated when needed: lr = 1e-3 * min(step / 100, 1). */
typedef struct Expr Expr;
bool setting_value(const Spec *s, const Expr *e, double step, double epoch, double misses, double *out);

typedef struct {
    const char *optimizer; /* adamw, adam, sgd, adagrad */
    Optimizer *values;     /* its constants, groups, clip */
    const Expr *lr;        /* NULL: the optimizer's default */
    double default_lr;
    int64_t batch, epochs; /* 0: not set */
    const char *stream_by; /* stream by KEY chunk N, or NULL */
    int64_t chunk;
    const char *keep_best; /* metric, or NULL */
    int64_t stop_after;
    int nlosses; /* names the loss adds up, for reports */
    const char *const *losses;
} TrainSettings;
const TrainSettings *spec_train(const Spec *s); /* NULL: no train section */

typedef struct {
    const char *name; /* hr, ndcg, mrr, auc, gauc, logloss, mse */
    int ntensors;
    const char *tensors[3]; /* per-example outputs it reads: at; logit, lab; and the key after `by` */
    int ncutoffs;
    int64_t cutoffs[8];
} MetricSetting;
int spec_metrics(const Spec *s, const MetricSetting **metrics);

/* A `prove` of the sections lowered so far. */
typedef struct {
    const char *text;              /* "prove causal item -> out along T" */
    const char *from, *to, *along; /* along NULL: independent */
    int line;
    bool holds; /* in every mode lowered so far */
} Statement;
int spec_statements(const Spec *s, const Statement **statements);

/* JSON of `heddle check --json` (CONTRACTS.md's keys), text with --domains. */
void spec_describe_json(Spec *s, const Graph *g, Text *out);
void spec_describe_domains(Spec *s, const Graph *g, Text *out);
const char *spec_name(const Spec *s);
bool spec_lacks(const Spec *s, const char *define);          /* it has nothing of that name to set */
int spec_variants(const Spec *s, const char *const **names); /* in textual order */
int64_t spec_vocab_define(const Spec *s, const char *vocab); /* size that -D gives a vocabulary, -1: none */
/* Number of fields that -D gives a group, with the sizes of their vocabularies; -1: none. */
int64_t spec_group_define(const Spec *s, const char *group, const int64_t **sizes);
/* Every file read, for hashing: path and text. */
int spec_sources(const Spec *s, const Source *const **sources);

/* ---- codes of messages (codes.def) --------------------------------------------------------------------------- */

const char *code_meaning(const char *code); /* "E0104" -> "an index is used but not bound"; NULL: no such code */
const char *code_remedy(const char *code);  /* what to do about it, in general; NULL: its messages say it */
const char *code_at(int k);                 /* all of them, 0 and up; NULL past the last */

/* ---- formatter --------------------------------------------------------------------------------------------- */

bool spec_format(Arena *arena, Diag *diag, const char *path, const char *text, Text *out);

#endif
