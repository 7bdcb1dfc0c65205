/* The runner of tests/ir: kinds of cases. */
#ifndef HEDDLE_IR_TEST_H
#define HEDDLE_IR_TEST_H

#include "interp.h"

/* Runs the commands of an interp case on a graph and prints what they yield. */
void run_script(const Graph *g, const char *script, Text *out);
int run_units(void); /* number of failures, each printed */

#endif
