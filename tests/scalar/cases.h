/* One case (or several) for every row of ir/scalar.def: the arguments, the meaning in long double, the bounds. */
#ifndef HEDDLE_TEST_SCALAR_CASES_H
#define HEDDLE_TEST_SCALAR_CASES_H

#include "ir.h"

typedef long double (*Meaning)(long double a, long double b, long double c);

typedef struct {
    Op op;
    const char *args;    /* a letter per argument: r real, i integer, b condition */
    char result;         /* the same of the result */
    double lo[3], hi[3]; /* where arguments are drawn from, uniformly; integers: both ends included */
    Meaning meaning;
    double ulp64, ulp32; /* bounds on |result - meaning| in units of the last place of the meaning; 0: exact */
    /* Distance of the arguments from the nearest kink or step, or NULL: there is none. Derivatives are compared with
     * differences where it is at least 1e-3. */
    Meaning kink;
    /* A point on the kink and the derivatives that are defined to hold there. */
    int nat;
    double at[3][2], at_derivative[3][2];
} Case;

extern const Case cases[];
extern const int ncases;

#endif
