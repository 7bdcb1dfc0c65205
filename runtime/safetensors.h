/* Beside runtime.h: reading a safetensors file that is already in memory, for tests and fuzzing. */
#ifndef HEDDLE_SAFETENSORS_H
#define HEDDLE_SAFETENSORS_H

#include "runtime.h"

/* Borrows the bytes until tensor_file_close. `name` stands in messages. */
TensorFile *tensor_file_from_memory(const char *name, const void *bytes, size_t size, Error *e);

/* The array of that name, or NULL. */
const Array *tensor_file_find(TensorFile *f, const char *name);

#endif
