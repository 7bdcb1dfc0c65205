/* Golden vectors: one block of FuXi-alpha, HSTU and SASRec on a row of four events, every parameter filled with
 * 0.5 sin(0.7 k + o), k the flat index in the layout of the reference modules ([out, in] for linear maps). The
 * expected values come from the reference modules run in double precision; nothing here shares their code or ours. */
#include "driver.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where a param of the spec lies in the reference's tensor: as it is; columns col0.. of a [rows, total] matrix; or
 * rows row0.. of an [out, in] matrix, transposed. */
typedef enum { PLAIN, COLUMNS, TRANSPOSED } Layout;
typedef struct {
    const char *param;
    double o;
    Layout layout;
    int first, total; /* COLUMNS: col0, total columns. TRANSPOSED: row0 */
    int cols;         /* columns of the spec's param seen as [rows, cols] */
} Fill;

typedef struct {
    const char *spec;
    int ndefines;
    Define defines[12];
    Fill fills[20];
    double out[16], nll[4], loss;
} Golden;

static const Golden goldens[] = {
    {"sequential/fuxi_alpha.heddle",
     10,
     {{"layers", "1"},
      {"heads", "2"},
      {"negatives", "3"},
      {"N", "7"},
      {"D", "4"},
      {"E", "3"},
      {"F", "2"},
      {"G", "8"},
      {"T.max", "5"},
      {"item", "8"}},
     {{"emb", 1, PLAIN, 0, 0, 0},
      {"pe", 2, PLAIN, 0, 0, 0},
      {"layer.0.Wu", 3, COLUMNS, 0, 28, 12},
      {"layer.0.Wv", 3, COLUMNS, 12, 28, 4},
      {"layer.0.Wq", 3, COLUMNS, 16, 28, 6},
      {"layer.0.Wk", 3, COLUMNS, 22, 28, 6},
      {"layer.0.w_time", 4, PLAIN, 0, 0, 0},
      {"layer.0.w_pos", 5, PLAIN, 0, 0, 0},
      {"layer.0.W0", 6, TRANSPOSED, 0, 0, 4},
      {"layer.0.b0", 7, PLAIN, 0, 0, 0},
      {"layer.0.W1", 8, TRANSPOSED, 0, 0, 8},
      {"layer.0.W3", 9, TRANSPOSED, 0, 0, 8},
      {"layer.0.W2", 10, TRANSPOSED, 0, 0, 4}},
     {0.727933, -0.676049, 0.113952, -0.009298, -0.644823, -0.676497, 0.097464, -0.342135, -0.232067, 0.725031,
      0.631430, -0.147552, 0.150544, 0.792084, 0.539966, -0.241611},
     {2.815120, 6.638174, 0.017587, 12.055421},
     5.381575},
    {"sequential/hstu.heddle",
     9,
     {{"layers", "1"},
      {"heads", "2"},
      {"negatives", "3"},
      {"N", "7"},
      {"D", "4"},
      {"E", "3"},
      {"F", "2"},
      {"T.max", "5"},
      {"item", "8"}},
     {{"emb", 1, PLAIN, 0, 0, 0},
      {"pe", 2, PLAIN, 0, 0, 0},
      {"layer.0.Wu", 3, COLUMNS, 0, 20, 4},
      {"layer.0.Wv", 3, COLUMNS, 4, 20, 4},
      {"layer.0.Wq", 3, COLUMNS, 8, 20, 6},
      {"layer.0.Wk", 3, COLUMNS, 14, 20, 6},
      {"layer.0.w_time", 4, PLAIN, 0, 0, 0},
      {"layer.0.w_pos", 5, PLAIN, 0, 0, 0},
      {"layer.0.Wo", 6, TRANSPOSED, 0, 0, 4},
      {"layer.0.bo", 7, PLAIN, 0, 0, 0}},
     {0.392095, 0.236936, -0.645533, -0.611073, -0.285462, -0.906553, -0.294536, 0.099609, 0.086694, 0.366698, 0.543310,
      0.750221, -0.009754, 0.653078, 0.346603, 0.673246},
     {9.661302, 8.878791, 0.804941, 30.099823},
     12.361214},
    {"sequential/sasrec.heddle",
     9,
     {{"layers", "1"},
      {"heads", "2"},
      {"negatives", "3"},
      {"N", "7"},
      {"D", "4"},
      {"E", "2"},
      {"G", "4"},
      {"T.max", "5"},
      {"item", "8"}},
     {{"emb", 1, PLAIN, 0, 0, 0},
      {"pe", 2, PLAIN, 0, 0, 0},
      {"layer.0.Wq", 3, TRANSPOSED, 0, 0, 4},
      {"layer.0.Wk", 3, TRANSPOSED, 4, 0, 4},
      {"layer.0.Wv", 3, TRANSPOSED, 8, 0, 4},
      {"layer.0.bq", 4, PLAIN, 0, 0, 0},
      {"layer.0.bk", 4, PLAIN, 4, 0, 0},
      {"layer.0.bv", 4, PLAIN, 8, 0, 0},
      {"layer.0.Wp", 6, TRANSPOSED, 0, 0, 4},
      {"layer.0.bp", 7, PLAIN, 0, 0, 0},
      {"layer.0.W1", 8, TRANSPOSED, 0, 0, 4},
      {"layer.0.b1", 9, PLAIN, 0, 0, 0},
      {"layer.0.W2", 10, TRANSPOSED, 0, 0, 4},
      {"layer.0.b2", 11, PLAIN, 0, 0, 0}},
     {0.231630, 0.145217, -0.229592, -0.934102, -0.666158, -0.293952, -0.049926, 0.683617, -0.898942, -0.002012,
      0.202138, 0.388638, -0.920363, 0.069188, 0.242911, 0.298561},
     {10.300529, 0.000365, 10.240088, 27.873870},
     12.103713},
};

static bool fill(Session *s, const Plan *plan, const Fill *f)
{
    int64_t n;
    void *p = session_param(s, f->param, &n);
    if (!p) {
        printf("  there is no param %s\n", f->param);
        return false;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t k = f->first + i;
        if (f->layout == COLUMNS) {
            k = i / f->cols * f->total + f->first + i % f->cols;
        } else if (f->layout == TRANSPOSED) {
            k = (f->first + i % f->cols) * (n / f->cols) + i / f->cols;
        }
        double v = 0.5 * sin(0.7 * (double)k + f->o);
        if (plan->real == DT_F64) {
            ((double *)p)[i] = v;
        } else {
            ((float *)p)[i] = (float)v;
        }
    }
    return true;
}

static int compare(Session *s, const char *name, const double *want, int64_t n, double tolerance)
{
    Array a;
    Error e = {0};
    if (!session_fetch(s, name, &a, &e)) {
        printf("  %s: %s\n", name, e.text);
        return 1;
    }
    int bad = 0;
    for (int64_t i = 0; i < n; i++) {
        double have = a.dtype == DT_F64 ? ((double *)a.data)[i] : (double)((float *)a.data)[i];
        if (!(fabs(have - want[i]) <= tolerance * fmax(1, fabs(want[i])))) {
            printf("  %s[%d] = %.7f, expected %.6f\n", name, (int)i, have, want[i]);
            bad++;
        }
    }
    free(a.data);
    return bad;
}

static int run_one(const Golden *g, const char *models, DType real)
{
    char path[1024], std[1024];
    snprintf(path, sizeof path, "%s/%s", models, g->spec);
    snprintf(std, sizeof std, "%s/std", models);
    ProjectOptions o = {.spec = path,
                        .ndefines = g->ndefines,
                        .defines = g->defines,
                        .std_dir = std,
                        .real = real,
                        .cache_dir = "",
                        .verify = true};
    Text report = {0};
    Project *p = project_open(&o, &report);
    Program *prog = p ? project_compile(p, PROGRAM_FORWARD, &report) : NULL;
    Error e = {0};
    Pool *pool = prog ? pool_new(1, &e) : NULL;
    Session *s = pool ? session_new(prog->plan, pool, 0, &e) : NULL;
    int64_t offsets[] = {0, 4}, items[] = {3, 1, 6, 2}, ts[] = {100, 160, 7360, 7361}, now[] = {100000}, target[] = {5};
    int64_t neg[] = {1, 4, 7, 1, 4, 7, 1, 4, 7, 1, 4, 7};
    Array arrays[] = {
        {"T.offsets", DT_I64, 1, {2}, offsets}, {"item", DT_I64, 1, {4}, items}, {"target", DT_I64, 1, {1}, target},
        {"neg", DT_I64, 2, {4, 3}, neg},        {"ts", DT_I64, 1, {4}, ts},      {"now", DT_I64, 1, {1}, now}};
    bool timed = s && plan_find(prog->plan, "ts") >= 0;
    Batch b = {timed ? 6 : 4, arrays, 1};
    int bad = s ? 0 : 1;
    for (int i = 0; s && g->fills[i].param; i++) {
        bad += !fill(s, prog->plan, &g->fills[i]);
    }
    if (!bad && !session_run(s, &b, 0, &e)) {
        bad++;
    }
    if (!bad) {
        double tolerance = real == DT_F64 ? 6e-7 : 1e-5;
        bad += compare(s, "out", g->out, 16, tolerance);
        bad += compare(s, "nll", g->nll, 4, tolerance);
        bad += compare(s, "loss", &g->loss, 1, tolerance);
    }
    printf("%s %s in %s%s%s\n", bad ? "FAIL" : "ok", g->spec, real == DT_F64 ? "f64" : "f32", e.text[0] ? ": " : "",
           e.text);
    if (report.s) {
        fputs(report.s, stdout);
    }
    text_free(&report);
    session_free(s);
    pool_free(pool);
    program_free(prog);
    project_close(p);
    return bad;
}

int main(int argc, char **argv)
{
    const char *models = argc > 1 ? argv[1] : "models";
    int bad = 0;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        bad += run_one(&goldens[i], models, DT_F64);
        bad += run_one(&goldens[i], models, DT_F32);
    }
    return bad ? 1 : 0;
}
