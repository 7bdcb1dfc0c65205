/* Mistakes on purpose. In a build with HEDDLE_FAULTS, FAULT(n) is true where the environment variable HEDDLE_FAULT is
 * n, so that a test can show that the tests would find such a mistake (tests/random/faults.def names them all). In any
 * other build it is the constant 0 and leaves no trace. */
#ifndef HEDDLE_FAULT_H
#define HEDDLE_FAULT_H

#ifdef HEDDLE_FAULTS
#include <stdatomic.h>
#include <stdlib.h>

/* Read once; two threads that come first both read the same. */
static inline int fault_number(void)
{
    static _Atomic int known = -1;
    int n = atomic_load_explicit(&known, memory_order_relaxed);
    if (n < 0) {
        const char *text = getenv("HEDDLE_FAULT");
        n = text ? atoi(text) : 0;
        n = n < 0 ? 0 : n;
        atomic_store_explicit(&known, n, memory_order_relaxed);
    }
    return n;
}
#define FAULT(n) (fault_number() == (n))
#else
#define FAULT(n)       0
#define fault_number() 0
#endif

#endif
