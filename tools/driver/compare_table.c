/* The table of a comparison, as text, CSV and JSON. Means and intervals are over the seeds that have finished; the
 * difference to the first row is taken seed by seed, since runs of one seed share batches and initial values. */
#include "compare.h"
#include "files.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_SEEDS = 1000 };

/* Quantile 0.975 of Student's t with `df` degrees of freedom: exact to 4 digits up to 10, then Cornish and Fisher's
 * expansion in 1 / df, which is good to 3e-4 from there on. */
static double student(int64_t df)
{
    static const double small[] = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281};
    if (df <= 10) {
        return small[df - 1];
    }
    double z = 1.959964, n = (double)df, z2 = z * z;
    return z + z * (z2 + 1) / (4 * n) + z * ((5 * z2 + 16) * z2 + 3) / (96 * n * n);
}

void mean_interval(int64_t n, const double *v, double *mean, double *half)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += v[i];
    }
    *mean = n > 0 ? sum / (double)n : NAN;
    for (int64_t i = 0; i < n; i++) {
        squares += (v[i] - *mean) * (v[i] - *mean);
    }
    *half = n > 1 ? student(n - 1) * sqrt(squares / (double)(n - 1) / (double)n) : NAN;
}

static const Outcome *outcome(const Table *t, int row, int64_t seed)
{
    return &t->outcomes[row * t->seeds + seed];
}

static double figure(const Outcome *o, const char *name)
{
    for (int i = 0; o->done && !o->failed && i < o->result.nfigures; i++) {
        if (strcmp(o->result.figures[i].name, name) == 0) {
            return o->result.figures[i].value;
        }
    }
    return NAN;
}

/* Values of a metric over the seeds of a row that have it; less those of the first row if `less`. */
static int64_t values_of(const Table *t, int row, const char *name, bool less, double *out)
{
    int64_t n = 0;
    for (int64_t s = 0; s < t->seeds && n < MAX_SEEDS; s++) {
        double v = figure(outcome(t, row, s), name) - (less ? figure(outcome(t, 0, s), name) : 0);
        if (!isnan(v)) {
            out[n++] = v;
        }
    }
    return n;
}

static bool is_best(const char *name)
{
    return strncmp(name, "best ", 5) == 0;
}

/* Every metric of any row, in order of first appearance; what was best on the way behind the others. */
static int metrics_of(const Table *t, const char **names)
{
    int n = 0;
    for (int best = 0; best < 2; best++) {
        for (int64_t k = 0; k < t->n * t->seeds; k++) {
            const TrainResult *r = &t->outcomes[k].result;
            for (int i = 0; i < r->nfigures; i++) {
                bool known = is_best(r->figures[i].name) != best;
                for (int j = 0; j < n; j++) {
                    known = known || strcmp(names[j], r->figures[i].name) == 0;
                }
                if (!known && n < MAX_FIGURES) {
                    names[n++] = r->figures[i].name;
                }
            }
        }
    }
    return n;
}

typedef struct {
    int64_t done, failed, params;
    double flop, rate, peak; /* means over the runs; the peak is the largest */
} Sums;

static Sums sums_of(const Table *t, int row)
{
    Sums s = {.flop = NAN, .rate = NAN, .peak = NAN};
    double flop = 0, rate = 0;
    int64_t nflop = 0, nrate = 0;
    for (int64_t k = 0; k < t->seeds; k++) {
        const Outcome *o = outcome(t, row, k);
        s.done += o->done && !o->failed;
        s.failed += o->failed;
        if (!o->done || o->failed) {
            continue;
        }
        s.params = o->result.params;
        s.peak = isnan(s.peak) || o->peak_bytes > s.peak ? o->peak_bytes : s.peak;
        if (!isnan(o->result.flop)) {
            flop += o->result.flop;
            nflop++;
        }
        if (!isnan(o->result.examples_per_s)) {
            rate += o->result.examples_per_s;
            nrate++;
        }
    }
    s.flop = nflop ? flop / (double)nflop : NAN;
    s.rate = nrate ? rate / (double)nrate : NAN;
    return s;
}

/* ---- text ---- */

static void text_cell(Text *out, int width, const char *format, double v)
{
    if (isnan(v)) {
        text_printf(out, "%*s", width, "-");
    } else {
        char cell[64];
        snprintf(cell, sizeof cell, format, v);
        text_printf(out, "%*s", width, cell);
    }
}

static void text_figure(Text *out, int width, int64_t n, const double *v, const char *sign)
{
    char cell[64] = "-";
    double mean, half;
    mean_interval(n, v, &mean, &half);
    if (n > 1) {
        snprintf(cell, sizeof cell, *sign ? "%+.4f +- %.4f" : "%.4f +- %.4f", mean, half);
    } else if (n > 0) {
        snprintf(cell, sizeof cell, *sign ? "%+.4f" : "%.4f", mean);
    }
    text_printf(out, "%*s", width, cell);
}

void table_text(const Table *t, Text *out)
{
    const char *names[MAX_FIGURES];
    double v[MAX_SEEDS];
    int nnames = metrics_of(t, names), widest = 4, cell = t->seeds > 1 ? 18 : 10;
    int64_t failed = 0;
    for (int row = 0; row < t->n; row++) {
        int n = (int)strlen(t->entrants[row].name);
        widest = n > widest ? n : widest;
    }
    text_printf(out, "%-*s  runs    params  flop/example  examples/s  peak MiB", widest, "name");
    for (int m = 0; m < nnames; m++) {
        text_printf(out, "  %*s", cell, names[m]);
    }
    if (t->n > 1 && nnames > 0) {
        text_printf(out, "  %*s", cell + 4, "to the first row");
    }
    text_printf(out, "\n");
    for (int row = 0; row < t->n; row++) {
        Sums s = sums_of(t, row);
        failed += s.failed;
        text_printf(out, "%-*s  %4lld", widest, t->entrants[row].name, (long long)s.done);
        text_cell(out, 10, "%.0f", s.done ? (double)s.params : NAN);
        text_cell(out, 14, "%.4g", s.flop);
        text_cell(out, 12, "%.0f", s.rate);
        text_cell(out, 10, "%.1f", s.peak / 1048576);
        for (int m = 0; m < nnames; m++) {
            text_printf(out, "  ");
            text_figure(out, cell, values_of(t, row, names[m], false, v), v, "");
        }
        if (t->n > 1 && nnames > 0) {
            text_printf(out, "  ");
            text_figure(out, cell + 4, row > 0 ? values_of(t, row, names[0], true, v) : 0, v, "+");
        }
        text_printf(out, "\n");
    }
    if (t->seeds > 1) {
        text_printf(out, "+- is half the 95 %% interval of the mean over seeds (Student's t)");
        text_printf(out, t->n > 1 && nnames > 0 ? "; the last column is %s less the first row's, seed by seed\n" : "\n",
                    nnames > 0 ? names[0] : "");
    }
    if (failed > 0) {
        text_printf(out, "%lld run%s ended with a loss that is not finite\n", (long long)failed,
                    failed == 1 ? "" : "s");
    }
}

/* ---- CSV: one line per row and seed would hide the summary, so both are there: seed "mean", "ci95" and each seed --
 */

static void csv_words(Text *out, const char *s)
{
    bool quote = strpbrk(s, ",\"\n") != NULL;
    text_append(out, "\"", quote);
    for (; *s; s++) {
        text_append(out, "\"\"", *s == '"' ? 2 : 0);
        text_append(out, s, *s != '"');
    }
    text_append(out, "\"", quote);
}

static void csv_row(Text *out, const Entrant *w)
{
    csv_words(out, w->name);
    text_append(out, ",", 1);
    csv_words(out, w->spec);
    text_append(out, ",", 1);
    csv_words(out, w->variant ? w->variant : "");
}

static void csv_number(Text *out, double v)
{
    text_printf(out, isnan(v) ? "," : ",%.9g", v);
}

void table_csv(const Table *t, Text *out)
{
    const char *names[MAX_FIGURES];
    double v[MAX_SEEDS];
    int nnames = metrics_of(t, names);
    text_printf(out, "name,spec,variant,seed,params,train_flop,examples_per_s,peak_rss_bytes");
    for (int m = 0; m < nnames; m++) {
        text_printf(out, ",%s", names[m]);
    }
    text_printf(out, "\n");
    for (int row = 0; row < t->n; row++) {
        const Entrant *w = &t->entrants[row];
        Sums s = sums_of(t, row);
        for (int part = 0; part < 2; part++) { /* the mean, the interval */
            csv_row(out, w);
            text_printf(out, ",%s", part ? "ci95" : "mean");
            csv_number(out, part || !s.done ? NAN : (double)s.params);
            csv_number(out, part ? NAN : s.flop);
            csv_number(out, part ? NAN : s.rate);
            csv_number(out, part ? NAN : s.peak);
            for (int m = 0; m < nnames; m++) {
                double mean, half;
                mean_interval(values_of(t, row, names[m], false, v), v, &mean, &half);
                csv_number(out, part ? half : mean);
            }
            text_printf(out, "\n");
        }
        for (int64_t k = 0; k < t->seeds; k++) {
            const Outcome *o = outcome(t, row, k);
            if (!o->done || o->failed) {
                continue;
            }
            csv_row(out, w);
            text_printf(out, ",%lld,%lld", (long long)t->first_seed + k, (long long)o->result.params);
            csv_number(out, o->result.flop);
            csv_number(out, o->result.examples_per_s);
            csv_number(out, o->peak_bytes);
            for (int m = 0; m < nnames; m++) {
                csv_number(out, figure(o, names[m]));
            }
            text_printf(out, "\n");
        }
    }
}

/* ---- JSON ---- */

static void json_number(Text *out, const char *key, double v)
{
    text_printf(out, isnan(v) ? "\"%s\":null" : "\"%s\":%.12g", key, v);
}

static void json_figures(const Table *t, int row, int nnames, const char **names, bool less, Text *out)
{
    double v[MAX_SEEDS], mean, half;
    for (int m = 0; m < nnames; m++) {
        int64_t n = values_of(t, row, names[m], less, v);
        mean_interval(n, v, &mean, &half);
        text_printf(out, "%s\"%s\":{", m ? "," : "", names[m]);
        json_number(out, "mean", mean);
        text_printf(out, ",");
        json_number(out, "ci95", half);
        text_printf(out, ",\"values\":[");
        for (int64_t k = 0; k < n; k++) {
            text_printf(out, "%s%.12g", k ? "," : "", v[k]);
        }
        text_printf(out, "]}");
    }
}

void table_json(const Table *t, Text *out)
{
    const char *names[MAX_FIGURES];
    int nnames = metrics_of(t, names);
    text_printf(out, "{\"seeds\":%lld,\"first_seed\":%lld,\"rows\":[", (long long)t->seeds, (long long)t->first_seed);
    for (int row = 0; row < t->n; row++) {
        const Entrant *w = &t->entrants[row];
        Sums s = sums_of(t, row);
        text_printf(out, "%s\n{\"name\":", row ? "," : "");
        json_string(out, w->name);
        text_printf(out, ",\"spec\":");
        json_string(out, w->spec);
        text_printf(out, ",\"variant\":");
        if (w->variant) {
            json_string(out, w->variant);
        } else {
            text_printf(out, "null");
        }
        text_printf(out, ",\"runs\":%lld,\"failed\":%lld,\"params\":%lld,", (long long)s.done, (long long)s.failed,
                    (long long)s.params);
        json_number(out, "train_flop", s.flop);
        text_printf(out, ",");
        json_number(out, "examples_per_s", s.rate);
        text_printf(out, ",");
        json_number(out, "peak_rss_bytes", s.peak);
        text_printf(out, ",\"metrics\":{");
        json_figures(t, row, nnames, names, false, out);
        text_printf(out, "},\"less_first_row\":{");
        json_figures(t, row, nnames, names, true, out);
        text_printf(out, "}}");
    }
    text_printf(out, "\n]}\n");
}
