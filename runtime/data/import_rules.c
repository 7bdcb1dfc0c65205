/* Vocabularies with a least count, numbers with a transform. */
#include "import_rules.h"

#include "lines.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- vocabularies ------------------------------------------------------------------------------------------- */

void rule_free(VocabRule *rule)
{
    free(rule->vocab);
    free(rule->unknown);
    free(rule->counts);
    names_free(&rule->names);
}

bool rule_count(VocabRule *rule, const char *s, size_t n)
{
    int64_t id = names_add(&rule->names, s, n);
    if (id < 0) {
        return false;
    }
    if (id >= rule->room) {
        int64_t room = rule->room ? 2 * rule->room : 1024;
        int64_t *more = realloc(rule->counts, (size_t)room * sizeof *more);
        if (!more) {
            return false;
        }
        for (int64_t k = rule->room; k < room; k++) {
            more[k] = 0;
        }
        rule->counts = more;
        rule->room = room;
    }
    rule->counts[id]++;
    return true;
}

bool rule_keeps(const VocabRule *rule, const char *s, size_t n)
{
    int64_t id = names_find(&rule->names, s, n);
    return id >= 0 && (rule->listed || rule->counts[id] >= rule->min_count);
}

bool rule_settle(const VocabRule *rule, Names *to)
{
    bool good = !rule->unknown || names_add(to, rule->unknown, strlen(rule->unknown)) == 0;
    for (int64_t id = 0; good && id < rule->names.n; id++) {
        size_t n;
        const char *s = names_get(&rule->names, id, &n);
        good = !rule_keeps(rule, s, n) || names_add(to, s, n) >= 0;
    }
    return good;
}

bool rule_list(VocabRule *rule, const char *path, Error *e)
{
    LineReader *lines = lines_open(path, false, e);
    if (!lines) {
        return false;
    }
    char *line;
    size_t n;
    int got;
    rule->listed = true;
    while ((got = lines_next(lines, &line, &n, e)) > 0) {
        const char *why = !text_is_clean(line, n)                  ? "is not valid UTF-8 text"
                          : names_find(&rule->names, line, n) >= 0 ? "is there a second time"
                                                                   : NULL;
        if (why) {
            error_set(e, EXIT_DATA, "%s:%lld: the name %s", path, (long long)lines_number(lines), why);
            got = -1;
            break;
        }
        if (names_add(&rule->names, line, n) < 0) {
            error_set(e, EXIT_RESOURCES, "no memory for the names of %s", path);
            got = -1;
            break;
        }
    }
    lines_close(lines);
    return got == 0;
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

static double after_log(const NumberRule *rule, double x)
{
    return !rule->log ? x : x < 0 ? -log1p(-x) : log1p(x);
}

/* Welford: stable whatever the mean. */
void number_note(NumberRule *rule, double x)
{
    x = after_log(rule, x);
    double d = x - rule->mean;
    rule->mean += d / (double)++rule->n;
    rule->sum2 += d * (x - rule->mean);
}

double number_deviation(const NumberRule *rule)
{
    double d = rule->n > 0 ? sqrt(rule->sum2 / (double)rule->n) : 0;
    return d > 0 ? d : 1;
}

double number_apply(const NumberRule *rule, double x)
{
    x = after_log(rule, x);
    return rule->standardise ? (x - rule->mean) / number_deviation(rule) : x;
}

size_t number_bucket(const NumberRule *rule, double x, char *name)
{
    double bucket = 0;
    if (rule->log_square) {
        double l = x > 2 ? log(x) : 0;
        bucket = x > 2 ? floor(l * l) : floor(x);
    } else {
        while ((int)bucket < rule->nedges && rule->edges[(int)bucket] <= x) {
            bucket++;
        }
    }
    int n = snprintf(name, BUCKET_NAME, "%.0f", bucket);
    if (n >= BUCKET_NAME) { /* a number of 300 digits */
        n = snprintf(name, BUCKET_NAME, "%.17g", bucket);
    }
    return (size_t)n;
}
