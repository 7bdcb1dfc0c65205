/* Batches from nothing, for timing: inputs of the right shape with plausible values. */
#ifndef HEDDLE_GENERATE_BATCH_H
#define HEDDLE_GENERATE_BATCH_H

#include "driver.h"

/* One batch for a plan with the given length of every ragged axis per example: ids uniform in their vocabulary, int64
 * inputs ascending along ragged axes (times in seconds, gaps of up to a day), reals 0 or 1
 * (labels). Free with generated_free. */
bool batch_generate(const Plan *plan, int64_t batch, const int64_t *lengths, uint64_t seed, Batch *out, Error *e);
void generated_free(Batch *b);

#endif
