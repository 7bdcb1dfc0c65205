/* Every function and block of models/std/, used by the small spec NAME.heddle beside this file.
 *
 *   test_std STD_DIR CASES_DIR
 *
 * NAME.expect holds a batch, params, and the outputs, loss and gradients that PyTorch computes for them (reference.py
 * wrote it; nothing there shares our front end). The compiled spec must agree with them to 1e-10 of max(1, |value|) in
 * f64 and 1e-5 in f32 (sums of at most a few dozen terms of size 1), with the interpreter to 1e-10, and its gradients
 * with central differences to 1e-6. An equation of the library without such a pair of files is a failure. */
#include "../support/expected.h"
#include <ctype.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- dropout with noise: a closed form, because nobody else draws our random numbers ---- */

/* With noise y is 0 or a * x / (1 - p), the same cells in every run of a step and others in the next, about p of them
 * dropped, and the gradient knows exactly the cells that were kept. */
static void check_dropout(Expected *t)
{
    enum { CELLS = 400 };
    const double p = 0.25;
    Error e = {0};
    Array y, g;
    Model *m = expected_compile(t, FORM_NOISY);
    Session *s = m ? session_new(m->plan, t->pool, 1, &e) : NULL;
    Batch b = m ? expected_batch(t, m) : (Batch){0};
    const ExpectedLine *a = expected_line(t, "param", "a"), *x = expected_line(t, "input", "x"),
                       *w = expected_line(t, "input", "w");
    if (!s || !expected_params(t, m, s) || !session_run(s, &b, 1, &e) || !session_fetch(s, "y", &y, &e) ||
        !session_fetch(s, "grad.a", &g, &e)) {
        expected_fail(t, "noise", e.text);
    } else {
        int64_t dropped = 0, n = t->batch * CELLS;
        double gradient[CELLS] = {0};
        for (int64_t i = 0; i < n; i++) {
            double kept = a->values[i % CELLS] * x->values[i] / (1 - p), have = array_get(&y, i);
            bool is_dropped = have == 0 && kept != 0;
            dropped += is_dropped;
            if (!is_dropped && !(fabs(have - kept) <= 1e-6 * fmax(1, fabs(kept)))) {
                expected_fail(t, "noise", "a cell is neither dropped nor scaled");
                break;
            }
            gradient[i % CELLS] += is_dropped ? 0 : w->values[i] * x->values[i] / (1 - p) / (double)t->batch;
        }
        for (int i = 0; i < CELLS; i++) {
            if (!(fabs(array_get(&g, i) - gradient[i]) <= 1e-5 * fmax(1, fabs(gradient[i])))) {
                expected_fail(t, "noise", "the gradient has other cells dropped than the value");
                break;
            }
        }
        double sigma = sqrt((double)n * p * (1 - p));
        if (fabs((double)dropped - p * (double)n) > 5 * sigma) {
            expected_fail(t, "noise", "far from a quarter of the cells is dropped");
        }
        Array again;
        if (!session_run(s, &b, 2, &e) || !session_fetch(s, "y", &again, &e)) {
            expected_fail(t, "noise", e.text);
        } else {
            int64_t changed = 0;
            for (int64_t i = 0; i < n; i++) {
                changed += (array_get(&y, i) == 0) != (array_get(&again, i) == 0);
            }
            if (changed < n / 5 || changed > n / 2) { /* 2 p (1 - p) = 0.375 of them for independent steps */
                expected_fail(t, "noise", "the next step does not draw anew");
            }
            free(again.data);
        }
        free(y.data);
        free(g.data);
    }
    batch_drop(&b);
    session_free(s);
    model_free(m);
}

/* ---- finding the library's equations ---- */

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    enum { SIZE = 1 << 18 };
    char *s = f ? calloc(SIZE, 1) : NULL;
    size_t n = s ? fread(s, 1, SIZE - 1, f) : 0;
    if (f) {
        fclose(f);
    }
    if (s && n == 0) {
        free(s);
        return NULL;
    }
    return s;
}

/* The case's spec calls NAME( or NAME[ or NAME<. */
static bool is_used(const char *text, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = strstr(text, name); at; at = strstr(at + 1, name)) {
        bool starts = at == text || !(isalnum((unsigned char)at[-1]) || at[-1] == '_');
        if (starts && at[n] && strchr("([<", at[n])) {
            return true;
        }
    }
    return false;
}

static int run_name(const char *name, const char *std_dir, const char *cases, Pool *pool)
{
    Expected t = {.name = name, .pool = pool};
    char path[1024], spec[1024];
    snprintf(spec, sizeof spec, "%s/%s.heddle", cases, name);
    snprintf(path, sizeof path, "%s/%s.expect", cases, name);
    t.options = (ModelOptions){.spec = spec, .std_dir = std_dir, .real = DT_F64};
    char *text = read_file(spec);
    if (!text || !is_used(text, name)) {
        expected_fail(&t, "no test: there is no spec that uses it", spec);
    } else if (expected_read(&t, path)) {
        expected_run(&t, DT_F64, 0, 12);
        expected_run(&t, DT_F32, 1e-5, 12);
        if (strcmp(name, "dropout") == 0) {
            check_dropout(&t);
        }
    }
    expected_free(&t);
    free(text);
    printf("%s %s\n", t.failures ? "FAIL" : "ok  ", name);
    return t.failures;
}

/* Runs every `fn NAME` and `block NAME` of one file of the library. */
static int run_file(const char *path, const char *std_dir, const char *cases, Pool *pool, int *found)
{
    char *text = read_file(path);
    int failures = text ? 0 : 1;
    for (char *line = text; line && *line;) {
        char *end = strchr(line, '\n');
        char name[64];
        if (sscanf(line, "fn %63[A-Za-z0-9_]", name) == 1 || sscanf(line, "block %63[A-Za-z0-9_]", name) == 1) {
            ++*found;
            failures += run_name(name, std_dir, cases, pool);
        }
        line = end ? end + 1 : NULL;
    }
    free(text);
    return failures;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: test_std STD_DIR CASES_DIR\n");
        return 2;
    }
    Error e = {0};
    Pool *pool = pool_new(2, &e);
    DIR *d = opendir(argv[1]);
    int failures = 0, found = 0;
    for (struct dirent *f = d ? readdir(d) : NULL; f; f = readdir(d)) {
        const char *dot = strrchr(f->d_name, '.');
        char path[1024];
        if (dot && strcmp(dot, ".heddle") == 0) {
            snprintf(path, sizeof path, "%s/%.200s", argv[1], f->d_name);
            failures += run_file(path, argv[1], argv[2], pool, &found);
        }
    }
    if (d) {
        closedir(d);
    }
    pool_free(pool);
    printf("%d equations of the library, %d failures\n", found, failures);
    return failures || !found;
}
