/* heddle: one program, one table of commands. */
#include "command.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

const Command commands[] = {
    {"check", "SPEC", "check a spec and describe its inputs, params and outputs",
     "heddle check models/sequential/hstu.heddle\n"
     "heddle check models/sequential/hstu.heddle --json\n",
     cmd_check},
    {"fmt", "SPEC...", "format specs in place",
     "heddle fmt my.heddle\n"
     "heddle fmt --check models/std/*.heddle\n",
     cmd_fmt},
    {"data", "import|synth|show ...", "import, generate and inspect data sets",
     "heddle data synth sequence --out shop\n"
     "heddle data import movielens ml-1m --out ml1m\n"
     "heddle data show ml1m\n",
     cmd_data},
    {"train", "SPEC --data DATA --out RUN", "train a spec on a data set",
     "heddle train models/sequential/hstu.heddle --data ml1m --out runs/hstu --epochs 20\n"
     "heddle train models/sequential/hstu.heddle --data ml1m --out runs/hstu --resume\n",
     cmd_train},
    {"compare", "SPEC... --data DATA --out DIR", "train specs and variants on the same data, one table",
     "heddle compare models/sequential/sasrec.heddle models/sequential/hstu.heddle --data ml1m --out cmp --seeds 3\n"
     "heddle compare my.heddle --variants all --data shop --out ablations --epochs 5\n",
     cmd_compare},
    {"eval", "SPEC --data DATA --weights W", "compute the metrics of the rank section",
     "heddle eval models/sequential/hstu.heddle --data ml1m --weights runs/hstu/weights.safetensors\n", cmd_eval},
    {"rank", "SPEC --data DATA --weights W --user ID", "list the best items for one user",
     "heddle rank models/sequential/hstu.heddle --data ml1m --weights runs/hstu/weights.safetensors --user 7 --top "
     "10\n",
     cmd_rank},
    {"run", "SPEC --weights W --batch B --out O", "run one batch exactly as given",
     "heddle run models/sequential/hstu.heddle --weights w.safetensors --batch b.safetensors --out o.safetensors "
     "--grads\n",
     cmd_run},
    {"explain", "SPEC", "show what the compiler makes of a spec",
     "heddle explain models/sequential/hstu.heddle\n"
     "heddle explain models/sequential/hstu.heddle --after batch\n"
     "heddle explain models/sequential/hstu.heddle --kernels --batch 32 --lengths full:200 -D item=7550\n",
     cmd_explain},
    {"bench", "SPEC --batch B --lengths L", "time training and inference beside the machine's peak",
     "heddle bench models/sequential/hstu.heddle --batch 32 --lengths full:200 --json\n", cmd_bench},
};
const int ncommands = (int)(sizeof commands / sizeof *commands);

const Command *command_named(const char *name)
{
    for (int i = 0; i < ncommands; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static void help(FILE *f)
{
    fputs("heddle: compiles recommendation models written as indexed equations\n\nusage: heddle COMMAND ...\n\n", f);
    for (int i = 0; i < ncommands; i++) {
        fprintf(f, "  %-9s %s\n", commands[i].name, commands[i].summary);
    }
    fputs("\n'heddle COMMAND --help' lists a command's options and examples, 'heddle help CODE' says what a\n"
          "message's code is about.\n",
          f);
}

int main(int argc, char **argv)
{
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of the write, not our end */
    if (argc < 2) {
        help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (argc == 2 && strcmp(argv[1], "help") == 0)) {
        help(stdout);
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "help") == 0) { /* help E0104 */
        const char *meaning = code_meaning(argv[2]), *remedy = code_remedy(argv[2]);
        if (!meaning) {
            fprintf(stderr, "error: no message has the code '%s'\n", argv[2]);
            return EXIT_USAGE;
        }
        printf("%s: %s\n%s%s", argv[2], meaning, remedy ? remedy : "", remedy ? "\n" : "");
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("heddle " HEDDLE_VERSION);
        return 0;
    }
    const Command *c = command_named(argv[1]);
    if (!c) {
        fprintf(stderr, "error: there is no command '%s'; 'heddle --help' lists them\n", argv[1]);
        return EXIT_USAGE;
    }
    return c->run(argc - 1, argv + 1);
}
