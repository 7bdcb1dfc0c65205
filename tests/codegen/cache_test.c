/* The cache on disk and the identity of kernels: equal statements of different layers are one function; a second
 * compilation reads everything; damaged, truncated and foreign files are compiled again; two processes may fill one
 * directory at the same time. */
#include "codegen.h"
#include "passes.h"
#include "runtime.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int failures;

static void expect(const char *what, long have, long want)
{
    if (have != want) {
        fprintf(stderr, "%s: %ld, not %ld\n", what, have, want);
        failures++;
    }
}

/* n layers of the same two statements, each with params of its own; the sum of the result of a known batch. */
static double run_layers(int n, const char *dir, CodegenStats *stats)
{
    Arena *arena = arena_new();
    Diag *diag = diag_new();
    Text t = {0}, why = {0};
    Error e = {0};
    text_printf(&t, "graph layers\naxis D = 7\ninput x0[D] : real per_example\n");
    for (int i = 0; i < n; i++) {
        text_printf(&t, "param w%d[D, D] : real ~ normal(0.0, 0.1)\nvalue s%d[D] : real per_example\n", i, i);
        text_printf(&t, "value x%d[D] : real per_example output\n", i + 1);
    }
    for (int i = 0; i < n; i++) {
        text_printf(&t, "s%d[d] max= x%d[c] * w%d[c, d]  over d: D, c: D\n", i, i, i);
        text_printf(&t, "x%d[d] = tanh(s%d[d]) + x%d[d]  over d: D\n", i + 1, i, i);
    }
    Graph *g = graph_parse(arena, diag, "layers", t.s);
    PipelineOptions po = {.verify = true};
    double sum = 0;
    if (!g || !pipeline_run(g, &po)) {
        diag_print(diag, &why);
        fprintf(stderr, "%s\n", why.s);
        exit(1);
    }
    CodegenOptions o = {.real = DT_F64, .threads = 2, .cache_dir = dir};
    Plan *plan = codegen_compile(pass_plan(g), &o, stats, &why);
    Pool *pool = pool_new(1, &e);
    Session *s = plan ? session_new(plan, pool, 1, &e) : NULL;
    double x[3 * 7];
    for (int i = 0; i < 21; i++) {
        x[i] = 0.1 * i - 1;
    }
    Batch b = {.n = 1, .batch = 3};
    b.arrays = &(Array){.name = "x0", .dtype = DT_F64, .ndim = 2, .dims = {3, 7}, .data = x};
    char last[16];
    snprintf(last, sizeof last, "x%d", n);
    Array out;
    if (!s || !session_run(s, &b, 1, &e) || !session_fetch(s, last, &out, &e)) {
        fprintf(stderr, "%s%s\n", why.s ? why.s : "", e.text);
        exit(1);
    }
    for (int i = 0; i < 21; i++) {
        sum += ((double *)out.data)[i];
    }
    free(out.data);
    session_free(s);
    pool_free(pool);
    plan->destroy(plan);
    text_free(&t);
    diag_free(diag);
    arena_free(arena);
    return sum;
}

/* Calls f on every file of the directory; returns their number. */
static int each_file(const char *dir, void (*f)(const char *path))
{
    DIR *d = opendir(dir);
    int n = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[600];
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
            n++;
            if (f) {
                f(path);
            }
        }
    }
    if (d) {
        closedir(d);
    }
    return n;
}

static void cut(const char *path)
{
    struct stat s;
    if (stat(path, &s) == 0 && truncate(path, s.st_size / 2) != 0) {
        failures++;
    }
}

static void flip(const char *path)
{
    FILE *f = fopen(path, "r+b");
    if (f) {
        fseek(f, 300, SEEK_SET);
        int c = fgetc(f);
        fseek(f, 300, SEEK_SET);
        fputc(c ^ 4, f);
        fclose(f);
    }
}

static void empty(const char *path)
{
    if (truncate(path, 0) != 0) {
        failures++;
    }
}

static void erase(const char *path)
{
    unlink(path);
}

int main(void)
{
    char dir[] = "/tmp/heddle-cache-XXXXXX", sub[64];
    CodegenStats st;
    if (!mkdtemp(dir)) {
        return 1;
    }
    snprintf(sub, sizeof sub, "%s/a/b", dir); /* made on demand */
    double first = run_layers(6, sub, &st);
    int unique = st.unique;
    expect("kernels of six layers", st.kernels > st.unique, 1);
    expect("nothing cached at first", st.cached, 0);
    expect("files", each_file(sub, NULL), unique);
    expect("the same values from the cache", run_layers(6, sub, &st) == first, 1);
    expect("all cached", st.cached, unique);
    run_layers(12, sub, &st);
    expect("twice the layers are the same kernels", st.unique, unique);
    expect("and cached", st.cached, unique);
    void (*const damage[])(const char *) = {cut, flip, empty};
    for (int i = 0; i < 3; i++) {
        each_file(sub, damage[i]);
        expect("the same values after damage", run_layers(6, sub, &st) == first, 1);
        expect("nothing read from damaged files", st.cached, 0);
        run_layers(6, sub, &st);
        expect("and written again", st.cached, unique);
    }
    each_file(sub, erase);
    pid_t child[4];
    for (int i = 0; i < 4; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            _exit(run_layers(6, sub, &st) != first);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status = 1;
        waitpid(child[i], &status, 0);
        expect("a process beside others", status, 0);
    }
    expect("files of all", each_file(sub, NULL), unique);
    each_file(sub, erase);
    double without = run_layers(6, "/proc/heddle/nowhere", &st);
    expect("a directory that cannot be written", without == first, 1);
    rmdir(sub);
    snprintf(sub, sizeof sub, "%s/a", dir);
    rmdir(sub);
    rmdir(dir);
    return failures > 0;
}
