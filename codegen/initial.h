/* Initial values of params and states for the plan. */
#ifndef HEDDLE_INITIAL_H
#define HEDDLE_INITIAL_H

#include "internal.h"

bool initial_values(const Tensor *t, Arena *arena, PlanTensor *p, Text *why);

#endif
