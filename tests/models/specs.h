/* What a spec is tested with: sizes that are small, odd and different from each other. */
#ifndef HEDDLE_TEST_SPECS_H
#define HEDDLE_TEST_SPECS_H

#include "../support/model.h"

typedef struct {
    const char *spec, *variant;
    Define defines[16];
    Define wide[16]; /* in place of these, for the checks without an interpreter: more than a tile of everything */
    const char *scores[4]; /* tensors of the rank section that are wanted as outputs */
    bool coupled;          /* statistics over the batch: in training an example depends on its company */
    bool ranks;            /* a variant of the rank section */
    const char *needs;     /* a param that must be there: the variant has not dropped more than it should */
} SpecCase;

extern const SpecCase spec_cases[];
extern const int nspec_cases;

#endif
