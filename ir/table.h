/* What a Graph looks things up in: scalars by what they are, tensors by name. Private to ir/. */
#ifndef HEDDLE_TABLE_H
#define HEDDLE_TABLE_H

#include "ir.h"

typedef struct ScalarTable {
    size_t nslots; /* a power of two */
    Scalar **slots;
    size_t nnames, name_slots;
    Tensor **names; /* open addressing by name; tensors that left the graph are skipped, never removed */
} ScalarTable;

#endif
