/* heddle train: options, then the training loop of the driver. */
#include "command.h"

int cmd_train(int argc, char **argv)
{
    const Command *self = command_named("train");
    Common common = {0};
    TrainOptions t = {0};
    DataOptions data = {0};
    LoopOptions loop = {0};
    Option options[MAX_OPTIONS] = {
        {"--out", "RUN", OPT_TEXT, &t.out, "where weights, checkpoints and metrics go"},
        {"--resume", NULL, OPT_FLAG, &t.resume, "go on from the run's checkpoint"},
        {"--whole-updates", NULL, OPT_FLAG, &t.whole_updates,
         "update all rows of tables in every step (the same bits)"},
        {"--record", "DIR", OPT_TEXT, &t.record, "write initial weights and batches for other programs"},
        {"--record-steps", "K", OPT_INT, &t.record_steps, "how many batches are recorded (with --record)"},
    };
    int n = loop_options(options, data_options(options, 5, &data), &loop);
    n = json_option(options, run_options(options, n, &common), &common);
    const char *spec;
    int code = parse_options(self, argc, argv, options, n, 1, 1, &spec);
    if (code >= 0) {
        return code;
    }
    if (!data.data || !t.out) {
        return usage_error(self, "--data and --out are both needed");
    }
    if ((t.record != NULL) != (t.record_steps > 0)) {
        return usage_error(self, "--record and --record-steps belong together");
    }
    code = use_loop(self, &t, &loop, &data, &common);
    if (code >= 0) {
        return code;
    }
    t.argc = argc;
    t.argv = argv;
    Project *p = open_project(spec, &common, &code);
    if (!p) {
        return code;
    }
    Error e = {0};
    Text report = {0};
    bool ok = train(p, &t, NULL, &report, &e);
    project_close(p);
    return ok ? 0 : fail_either(&report, &e);
}
