/* The driver joins the parts: spec -> graph -> passes -> kernels -> plan -> session. Commands and embedders use it.
 *
 *   Project   a spec with its defines and the sizes of its vocabularies: what every compilation of it shares
 *   Program   one mode of the project, compiled: a plan with the graph it came from */
#ifndef HEDDLE_DRIVER_H
#define HEDDLE_DRIVER_H

#include "codegen.h"
#include "frontend.h"
#include "passes.h"
#include "runtime.h"

typedef struct {
    const char *name;
    int64_t size;
} VocabSize;

typedef struct {
    const char *spec;
    const char *variant;
    int ndefines;
    const Define *defines; /* hypers, axis sizes and vocabulary sizes */
    bool lenient;          /* those that the spec lacks are left out */
    const char *std_dir;
    DType real;            /* DT_F32 or DT_F64 */
    Products products;     /* see CodegenOptions */
    const char *cpu;       /* see CodegenOptions */
    const char *cache_dir; /* NULL: the user's cache directory; "": no cache on disk */
    int threads;           /* 0: all */
    const char *skip;      /* passes left out */
    bool verify;           /* check the graph after every pass */
    int noutputs;          /* outputs asked for beside the declared ones */
    const char *const *outputs;
} ProjectOptions;

typedef struct Project {
    Arena *arena;
    Diag *diag;
    Spec *spec;
    ProjectOptions options;
    int nvocabs;
    VocabSize *vocabs;
    char cache_dir[512];
    /* What a data set tells (feed.h), NULL without one: field lists of `fields(NAME)` axes, sizes of vocabularies. */
    int64_t (*fields)(void *project, const char *name, const char *const **names, const int64_t **sizes);
    int64_t (*data_vocab)(const struct Project *p, const char *name);
    const struct DataSet *data;
    struct DataRecipe *recipe;
} Project;

/* NULL after errors: the diagnostics (or one sentence) are in *report. */
Project *project_open(const ProjectOptions *o, Text *report);
void project_close(Project *p);
uint64_t project_hash(const Project *p);                        /* of the text of the spec and of all it uses */
void project_vocab(Project *p, const char *name, int64_t size); /* a size that -D has set stays */
int64_t project_vocab_size(void *project, const char *name);    /* -1: unknown */
/* Takes sizes that are still unknown from the shapes of the params in a weights file. */
bool project_vocabs_from_weights(Project *p, TensorFile *weights, Text *report);

typedef enum {
    PROGRAM_TRAIN,   /* noise on, adjoints and optimizer */
    PROGRAM_GRADS,   /* no noise, adjoints as outputs grad.PATH */
    PROGRAM_FORWARD, /* training without noise: losses and outputs */
    PROGRAM_RANK     /* rank section */
} ProgramKind;

typedef struct {
    ProgramKind kind;
    Graph *graph;
    Schedule *schedule;
    Plan *plan;
    CodegenStats stats;
    double seconds; /* from the syntax tree to the plan */
} Program;

/* The graph of a kind after the passes up to `stop` (NULL: all); NULL after errors. */
Graph *project_graph(Project *p, ProgramKind kind, const char *stop, Text *report);
/* The training graph with its gradients, every sum as it was written: what train_flop counts. NULL: an error. */
Graph *project_written(Project *p, Text *report);
Program *project_compile(Project *p, ProgramKind kind, Text *report);
/* Reads weights into a session of any program: those of params that only the train section has may be there unread. */
bool project_weights(Project *p, Session *s, const char *path, Text *report, Error *e);
void program_free(Program *p);

/* Params and running averages, from one session to another. */
bool weights_copy(Session *to, const Plan *to_plan, Session *from, const Plan *from_plan, Error *e);

double seconds_now(void); /* monotonic */

#endif
