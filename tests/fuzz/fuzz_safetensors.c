/* Any bytes as a safetensors file: either refused with a sentence, or every element of every tensor can be read. */
#include "safetensors.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Error e = {0};
    TensorFile *f = tensor_file_from_memory("input", data, size, &e);
    if (!f) {
        if (e.code != EXIT_DATA || e.text[0] == '\0') {
            abort();
        }
        return 0;
    }
    volatile unsigned sum = 0;
    for (int i = 0; i < tensor_file_count(f); i++) {
        const Array *a = tensor_file_array(f, i);
        size_t bytes = a ? dtype_size[a->dtype] : 0;
        for (int d = 0; a && d < a->ndim; d++) {
            bytes *= (size_t)a->dims[d];
        }
        for (size_t k = 0; k < bytes; k++) {
            sum += ((const unsigned char *)a->data)[k];
        }
    }
    tensor_file_metadata(f, "heddle.step");
    tensor_file_close(f);
    return 0;
}
