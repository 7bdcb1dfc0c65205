/* Shared by the generators. */
#ifndef HEDDLE_DATA_SYNTH_IMPL_H
#define HEDDLE_DATA_SYNTH_IMPL_H

#include "builder.h"
#include "synth.h"

struct cJSON;

bool synth_sequence(const char *out, const SynthOptions *o, SynthReport *report, Error *e);
bool synth_xor(const char *out, const SynthOptions *o, SynthReport *report, Error *e);

/* The vocabulary "1", "2" ... n. */
bool synth_names(Builder *b, int vocab, int64_t n, Error *e);
struct cJSON *synth_source(const char *kind, const SynthOptions *o);
void synth_best(struct cJSON *extra, const char *recipe, const SynthReport *r);

#endif
