/* The tile registers of AMX: bf16 matrix products (Plan.products) run on them. */
#ifndef HEDDLE_AMX_H
#define HEDDLE_AMX_H

#include "runtime.h"

/* Asks the operating system to let this process use them, once; false with the reason and the remedy: the CPU has none,
 * or the system refuses. Whoever runs a compiled model needs it, so session_new asks too. */
bool amx_request(Error *e);

#endif
