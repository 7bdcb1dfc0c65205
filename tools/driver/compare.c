/* The runs of a comparison, one process after another, and what is kept of them. */
#include "compare.h"
#include "data/dataset.h"
#include "files.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

static const char *run_path(const CompareOptions *o, int row, int64_t seed, const char *file, char *out, size_t size)
{
    snprintf(out, size, "%s/%s/seed-%lld%s%s", o->out, o->entrants[row].name, (long long)o->train.seed + seed,
             file ? "/" : "", file ? file : "");
    return out;
}

/* ---- results ---- */

static bool write_result(const char *path, const Outcome *x, Error *e)
{
    cJSON *o = cJSON_CreateObject(), *figures = cJSON_CreateObject();
    cJSON_AddBoolToObject(o, "failed", x->failed);
    cJSON_AddNumberToObject(o, "steps", (double)x->result.steps);
    cJSON_AddNumberToObject(o, "params", (double)x->result.params);
    cJSON_AddNumberToObject(o, "train_flop", x->result.flop); /* NaN becomes null */
    cJSON_AddNumberToObject(o, "examples_per_s", x->result.examples_per_s);
    cJSON_AddNumberToObject(o, "peak_rss_bytes", x->peak_bytes);
    for (int i = 0; i < x->result.nfigures; i++) {
        cJSON_AddNumberToObject(figures, x->result.figures[i].name, x->result.figures[i].value);
    }
    cJSON_AddItemToObject(o, "figures", figures);
    char *text = cJSON_PrintUnformatted(o);
    bool ok = text ? file_write(path, text, strlen(text), e) : error_set(e, EXIT_RESOURCES, "out of memory");
    cJSON_free(text);
    cJSON_Delete(o);
    return ok;
}

static double number_of(const cJSON *o, const char *key)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : NAN;
}

static bool read_result(const char *path, Outcome *x, Error *e)
{
    char *text = file_read(path, e);
    cJSON *o = text ? cJSON_Parse(text) : NULL;
    const cJSON *figures = o ? cJSON_GetObjectItemCaseSensitive(o, "figures") : NULL, *f;
    bool ok = cJSON_IsObject(figures) && !isnan(number_of(o, "params"));
    free(text);
    if (ok) {
        *x = (Outcome){.done = true, .failed = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "failed"))};
        x->result.params = (int64_t)number_of(o, "params");
        x->result.flop = number_of(o, "train_flop");
        x->result.examples_per_s = number_of(o, "examples_per_s");
        x->peak_bytes = number_of(o, "peak_rss_bytes");
        cJSON_ArrayForEach(f, figures)
        {
            if (x->result.nfigures < MAX_FIGURES && cJSON_IsNumber(f)) {
                Figure *to = &x->result.figures[x->result.nfigures++];
                snprintf(to->name, sizeof to->name, "%s", f->string);
                to->value = f->valuedouble;
            }
        }
    }
    cJSON_Delete(o);
    return ok || (e->code != 0 ? false : error_set(e, EXIT_DATA, "%s is not the result of a run: remove it", path));
}

/* ---- settings ---- */

/* What decides the bits of a run. */
static char *settings_of(const CompareOptions *o, const Entrant *who, const Project *p, const char *data, int64_t seed)
{
    Text t = {0};
    text_printf(&t, "spec %s, hash %016llx\nvariant %s\n", spec_name(p->spec), (unsigned long long)project_hash(p),
                who->variant ? who->variant : "none");
    text_printf(&t, "data %s\nrecipe %s\nevaluated %s\n", data, o->train.recipe ? o->train.recipe : "default",
                o->train.validate ? "valid" : "test");
    for (int i = 0; i < o->train.nmaps; i++) {
        text_printf(&t, "map %s\n", o->train.maps[i]);
    }
    text_printf(&t, "seed %lld\nbatch %lld\neval every %lld\n", (long long)seed, (long long)o->train.batch,
                (long long)o->train.eval_every);
    text_printf(&t, o->train.steps >= 0 ? "steps %lld\n" : "epochs %lld\n",
                (long long)(o->train.steps >= 0 ? o->train.steps : o->train.epochs));
    text_printf(&t, "%s", o->settings ? o->settings : "");
    return t.s;
}

/* Notes the settings of a new run; refuses a directory that was made with others. */
static bool settle(const char *dir, const char *settings, Error *e)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/settings.txt", dir);
    if (!file_exists(path)) {
        return dir_make(dir, e) && file_write(path, settings, strlen(settings), e);
    }
    char *before = file_read(path, e);
    bool same = before && strcmp(before, settings) == 0;
    const char *a = before, *b = settings; /* the first line that differs */
    while (before && !same && *a && strcspn(a, "\n") == strcspn(b, "\n") && strncmp(a, b, strcspn(a, "\n")) == 0) {
        a += strcspn(a, "\n") + 1;
        b += strcspn(b, "\n") + 1;
    }
    if (before && !same) {
        error_set(e, EXIT_USAGE, "%s was made with other settings (%.*s, now %.*s): choose another --out", dir,
                  (int)strcspn(a, "\n"), *a ? a : "fewer", (int)strcspn(b, "\n"), *b ? b : "fewer");
    }
    free(before);
    return same;
}

/* ---- one run, in a process of its own ---- */

static int child(const CompareOptions *o, const Entrant *who, const char *dir, int64_t seed)
{
    Error e = {0};
    Text report = {0};
    char path[4200], checkpoint[4200];
    int code = 0;
    snprintf(path, sizeof path, "%s/result.json", dir);
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.safetensors", dir);
    Project *p = o->open(o->ctx, who, &code);
    if (!p) {
        return code;
    }
    TrainOptions t = o->train;
    t.out = dir;
    t.seed = (uint64_t)seed;
    t.json = false;
    t.resume = file_exists(checkpoint);
    Outcome x = {0};
    bool ok = train(p, &t, &x.result, &report, &e);
    if (!ok && e.code == EXIT_NONFINITE) { /* so it would be next time */
        fprintf(stderr, "error: %s: %s\n", who->name, e.text);
        x.failed = true;
        x.result.flop = x.result.examples_per_s = NAN;
        ok = true;
        e = (Error){0};
    }
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    x.peak_bytes = (double)use.ru_maxrss * 1024;
    ok = ok && write_result(path, &x, &e);
    if (!ok) {
        fprintf(stderr, "%s%s%s", report.s ? report.s : "error: ", report.s ? "" : e.text, report.s ? "" : "\n");
    }
    return ok ? 0 : e.code ? e.code : EXIT_SPEC;
}

/* The exit code of the run; an interruption of us is one of it. */
static int run_in_child(const CompareOptions *o, const Entrant *who, const char *dir, int64_t seed, Error *e)
{
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        error_set(e, EXIT_RESOURCES, "cannot start a run: %s", strerror(errno));
        return EXIT_RESOURCES;
    }
    if (pid == 0) {
        signal(SIGINT, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGINT); /* a run whose comparison was killed writes a checkpoint and ends */
        dup2(STDERR_FILENO, STDOUT_FILENO);
        int code = getppid() == parent ? child(o, who, dir, seed) : EXIT_INTERRUPTED;
        fflush(NULL);
        _exit(code);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            error_set(e, EXIT_RESOURCES, "lost a run: %s", strerror(errno));
            return EXIT_RESOURCES;
        }
    }
    if (interrupted || (WIFSIGNALED(status) && WTERMSIG(status) == SIGINT)) {
        return EXIT_INTERRUPTED;
    }
    if (WIFSIGNALED(status)) {
        error_set(e, EXIT_RESOURCES, "the run in %s was ended by signal %d; the same command goes on with it", dir,
                  WTERMSIG(status));
        return EXIT_RESOURCES;
    }
    return WEXITSTATUS(status);
}

/* ---- all of them ---- */

static bool write_tables(const CompareOptions *o, const Outcome *outcomes, Text *shown, Error *e)
{
    static const struct {
        const char *name;
        void (*print)(const Table *, Text *);
    } forms[] = {{"table.txt", table_text}, {"table.csv", table_csv}, {"table.json", table_json}};
    Table table = {o->n, o->entrants, o->seeds, (int64_t)o->train.seed, outcomes};
    bool ok = true;
    for (int i = 0; ok && i < 3; i++) {
        char path[4200];
        Text t = {0};
        forms[i].print(&table, &t);
        snprintf(path, sizeof path, "%s/%s", o->out, forms[i].name);
        ok = file_write(path, t.s, t.n, e);
        if (i == (o->train.json ? 2 : 0)) {
            text_free(shown);
            *shown = t;
        } else {
            text_free(&t);
        }
    }
    return ok;
}

/* Settings of all runs, before the first is started: what is refused should be refused now. */
static bool settle_all(const CompareOptions *o, const char *data, int *code, Error *e)
{
    for (int row = 0; row < o->n; row++) {
        Project *p = o->open(o->ctx, &o->entrants[row], code);
        if (!p) {
            return false;
        }
        bool ok = true;
        for (int64_t seed = 0; ok && seed < o->seeds; seed++) {
            char dir[4096];
            char *settings = settings_of(o, &o->entrants[row], p, data, (int64_t)o->train.seed + seed);
            ok = settle(run_path(o, row, seed, NULL, dir, sizeof dir), settings, e);
            free(settings);
        }
        project_close(p);
        if (!ok) {
            *code = 0;
            return false;
        }
    }
    return true;
}

/* One comparison at a time in a directory. The lock is shared with the run that is on its way, so that one whose
 * comparison was killed has written its checkpoint before the next begins. */
static int lock(const CompareOptions *o, Error *e)
{
    enum { TENTHS = 300 };
    char path[4200];
    snprintf(path, sizeof path, "%s/lock", o->out);
    int fd = open(path, O_RDWR | O_CREAT, 0666);
    int tries = 0;
    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK || ++tries > TENTHS) {
            close(fd);
            error_set(e, EXIT_USAGE, "another heddle compare is at work in %s", o->out);
            return -1;
        }
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    if (fd < 0) {
        error_set(e, EXIT_RESOURCES, "cannot write %s: %s", path, strerror(errno));
    }
    return fd;
}

int compare(const CompareOptions *o, Text *table, Error *e)
{
    int64_t runs = o->n * o->seeds;
    Outcome *outcomes = calloc((size_t)runs, sizeof *outcomes);
    DataSet *ds = outcomes ? data_open(o->train.data, false, e) : NULL;
    int code = 0, failed = 0, locked = -1;
    bool ok = (outcomes || error_set(e, EXIT_RESOURCES, "out of memory")) && ds && dir_make(o->out, e) &&
              (locked = lock(o, e)) >= 0 && settle_all(o, ds->fingerprint, &code, e);
    data_close(ds);
    void (*before)(int) = signal(SIGINT, on_interrupt);
    for (int64_t k = 0; ok && k < runs; k++) { /* every model with the first seed, then with the next */
        int row = (int)(k % o->n);
        int64_t seed = k / o->n;
        char dir[4096], path[4200];
        Outcome *x = &outcomes[row * o->seeds + seed];
        run_path(o, row, seed, NULL, dir, sizeof dir);
        run_path(o, row, seed, "result.json", path, sizeof path);
        bool there = file_exists(path);
        fprintf(stderr, "%lld of %lld: %s, seed %lld%s\n", (long long)k + 1, (long long)runs, o->entrants[row].name,
                (long long)o->train.seed + seed, there ? ": done before" : "");
        code = there ? 0 : run_in_child(o, &o->entrants[row], dir, (int64_t)o->train.seed + seed, e);
        if (code == EXIT_INTERRUPTED) {
            error_set(e, EXIT_INTERRUPTED, "interrupted; the same command goes on");
        }
        ok = code == 0 && read_result(path, x, e) && write_tables(o, outcomes, table, e);
        failed += x->failed;
    }
    signal(SIGINT, before);
    if (locked >= 0) {
        close(locked);
    }
    free(outcomes);
    return !ok ? (code ? code : e->code) : failed ? EXIT_NONFINITE : 0;
}
