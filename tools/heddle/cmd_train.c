/* heddle train: options, then the training loop of the driver. */
#include "command.h"
#include "train.h"
#include <stdio.h>
#include <string.h>

int cmd_train(int argc, char **argv)
{
    const Command *self = command_named("train");
    Common common = {0};
    TrainOptions t = {.steps = -1, .epochs = -1, .batch = -1, .eval_every = 1};
    TextList maps = {0};
    const char *split = "test";
    Option options[MAX_OPTIONS] = {
        {"--data", "DATA", OPT_TEXT, &t.data, "data set, a directory made by heddle data"},
        {"--out", "RUN", OPT_TEXT, &t.out, "where weights, checkpoints and metrics go"},
        {"--epochs", "N", OPT_INT, &t.epochs, "stop after N epochs (the spec's epochs)"},
        {"--steps", "N", OPT_INT, &t.steps, "stop after N steps"},
        {"--batch", "N", OPT_INT, &t.batch, "examples per step (the spec's batch)"},
        {"--resume", NULL, OPT_FLAG, &t.resume, "go on from the run's checkpoint"},
        {"--checkpoint-steps", "N", OPT_INT, &t.checkpoint_steps, "also write a checkpoint every N steps"},
        {"--eval-every", "N", OPT_INT, &t.eval_every, "evaluate every N epochs (1; 0: never)"},
        {"--eval-split", "test|valid", OPT_TEXT, &split, "which held-out event is evaluated (test)"},
        {"--recipe", "TEXT", OPT_TEXT, &t.recipe, "how the data is cut into examples (docs/data.md)"},
        {"--map", "INPUT=COLUMN", OPT_LIST, &maps, "fill an input from a column of another name"},
        {"--record", "DIR", OPT_TEXT, &t.record, "write initial weights and batches for other programs"},
        {"--record-steps", "K", OPT_INT, &t.record_steps, "how many batches are recorded (with --record)"},
    };
    int n = json_option(options, run_options(options, 13, &common), &common);
    const char *spec;
    int code = parse_options(self, argc, argv, options, n, 1, 1, &spec);
    if (code >= 0) {
        return code;
    }
    if (!t.data || !t.out) {
        return usage_error(self, "--data and --out are both needed");
    }
    if (t.batch == 0) {
        return usage_error(self, "--batch is at least 1");
    }
    if ((t.record != NULL) != (t.record_steps > 0)) {
        return usage_error(self, "--record and --record-steps belong together");
    }
    if (strcmp(split, "test") != 0 && strcmp(split, "valid") != 0) {
        return usage_error(self, "--eval-split is test or valid, not '%s'", split);
    }
    t.nmaps = maps.n;
    t.maps = maps.items;
    t.validate = strcmp(split, "valid") == 0;
    t.seed = (uint64_t)common.seed;
    t.threads = (int)common.threads;
    t.json = common.json;
    t.argc = argc;
    t.argv = argv;
    t.terminal = progress_wanted();
    Project *p = open_project(spec, &common, &code);
    if (!p) {
        return code;
    }
    Error e = {0};
    Text report = {0};
    bool ok = train(p, &t, &report, &e);
    project_close(p);
    if (!ok) {
        code = report.s ? fail_text(e.code ? e.code : EXIT_SPEC, &report) : fail_error(&e);
    } else {
        code = 0;
        text_free(&report);
    }
    return code;
}
