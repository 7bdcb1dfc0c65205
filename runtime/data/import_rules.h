/* What a declaration asks of a column beyond its type, where the answer needs the data themselves: a vocabulary that
 * keeps only frequent names, a number that is standardised. A first pass over the training files finds it
 * (import_parts, import_table.h); the second pass writes. */
#ifndef HEDDLE_DATA_IMPORT_RULES_H
#define HEDDLE_DATA_IMPORT_RULES_H

#include "names.h"

#include "../runtime.h"

struct cJSON;

/* Names that occur at least min_count times in the training rows keep an id of their own, in order of appearance; all
 * others are the entry `unknown`, id 0. Without `unknown` they make a row bad. */
typedef struct {
    char *vocab, *unknown;
    int64_t min_count;
    bool listed; /* the names came from a file: nothing is counted */
    Names names;
    int64_t *counts, room;
} VocabRule;

enum { MAX_EDGES = 256 };

/* A number x, cell by cell. As a bucket it becomes a name (rule_bucket); else log, then standardise. */
typedef struct NumberRule {
    bool log;         /* sign(x) ln(1 + |x|) */
    bool standardise; /* less the mean of the training rows, divided by their deviation (1 where that is 0) */
    bool log_square;  /* bucket: floor(ln(x)^2) for x > 2, else floor(x) */
    int nedges;       /* bucket: how many of these ascending numbers are at most x */
    double edges[MAX_EDGES];
    bool has_missing; /* an empty cell is `missing`, as stored */
    double missing;
    int64_t n; /* of the training rows, after log */
    double mean, sum2;
} NumberRule;

void rule_free(VocabRule *rule);
bool rule_count(VocabRule *rule, const char *s, size_t n); /* false: no memory */
bool rule_keeps(const VocabRule *rule, const char *s, size_t n);
/* The names that stay, into `to`: the unknown entry first. */
bool rule_settle(const VocabRule *rule, Names *to);
/* Names of a file, one a line; they are not counted. */
bool rule_list(VocabRule *rule, const char *path, Error *e);

void number_note(NumberRule *rule, double x);
double number_apply(const NumberRule *rule, double x);
double number_deviation(const NumberRule *rule);
/* Name of x's bucket, into a buffer of BUCKET_NAME bytes; its length. */
enum { BUCKET_NAME = 32 };
size_t number_bucket(const NumberRule *rule, double x, char *name);

#endif
