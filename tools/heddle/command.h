/* The command line: a table of commands, each with a table of options, from which parsing and --help are made. */
#ifndef HEDDLE_COMMAND_H
#define HEDDLE_COMMAND_H

#include "files.h"
#include "ranker.h"
#include "train.h"

typedef struct {
    int n;
    const char **items;
} TextList;

typedef enum { OPT_FLAG, OPT_TEXT, OPT_INT, OPT_LIST } OptionKind;

typedef struct {
    const char *name; /* "--steps", "-D" */
    const char *arg;  /* how help shows its value; NULL for a flag */
    OptionKind kind;
    void *value; /* bool *, const char **, int64_t *, TextList * */
    const char *help;
} Option;

typedef struct {
    const char *name, *args, *summary;
    const char *examples; /* lines shown by --help */
    int (*run)(int argc, char **argv);
} Command;

extern const Command commands[];
extern const int ncommands;

enum { MAX_OPTIONS = 40, MAX_POSITIONAL = 8 };

/* Parses argv[1..]; positional arguments go to args (at least `least`, at most `most`). Returns -1 to go on, else the
 * exit code (0 after --help, 2 after a mistake, which is on standard error). */
int parse_options(const Command *c, int argc, char **argv, const Option *options, int noptions, int least, int most,
                  const char **args);

/* ---- options that many commands share ---------------------------------------------------------------------- */

typedef struct {
    const char *variant, *dtype, *products, *cpu, *skip;
    int64_t threads, seed;
    bool json, no_cache, verify;
    bool lenient; /* defines that a spec lacks are left out (set by a command, not an option) */
    TextList defines, outputs;
} Common;

/* Append options of Common to a table, those that mean something to a command; return the new count. run_options has
 * spec_options and dtype_option in it. */
int spec_options(Option *options, int n, Common *c);
int dtype_option(Option *options, int n, Common *c);
int json_option(Option *options, int n, Common *c);
int run_options(Option *options, int n, Common *c);

/* Which data, and how they are read. */
typedef struct {
    const char *data, *recipe;
    TextList maps;
} DataOptions;
int data_options(Option *options, int n, DataOptions *d);
void use_data(RankerOptions *o, const DataOptions *d, const Common *c, bool held_back);

/* How long a training loop runs and what it evaluates. use_loop fills the train options from all of them; it returns
 * -1, or the exit code after a mistake, reported. */
typedef struct {
    const char *split;
    int64_t epochs, steps, batch, checkpoint_steps, eval_every;
} LoopOptions;
int loop_options(Option *options, int n, LoopOptions *l);
int use_loop(const Command *self, TrainOptions *t, const LoopOptions *l, const DataOptions *d, const Common *c);

/* A project from a spec path and the common options; NULL with the exit code in *code after a mistake, reported. */
Project *open_project(const char *spec, const Common *c, int *code);

int fail_error(const Error *e);                /* prints "error: text", returns its exit code */
int fail_text(int code, Text *report);         /* prints the report, frees it */
int fail_either(Text *report, const Error *e); /* whichever of the two says why; frees the report */
int usage_error(const Command *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool progress_wanted(void); /* standard error is a terminal */
const Command *command_named(const char *name);

int cmd_check(int argc, char **argv);
int cmd_fmt(int argc, char **argv);
int cmd_data(int argc, char **argv);
int cmd_train(int argc, char **argv);
int cmd_eval(int argc, char **argv);
int cmd_rank(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_bench(int argc, char **argv);

#endif
