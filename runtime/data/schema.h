/* Between the reader and the writer of schema.json: the names of types and shapes, and checksums. */
#ifndef HEDDLE_DATA_SCHEMA_H
#define HEDDLE_DATA_SCHEMA_H

#include "dataset.h"

extern const char *const data_type_names[]; /* by DType: bool i32 i64 f32 f64 */

typedef struct DataMap {
    void *data;
    size_t bytes;
    bool mapped; /* false: an empty file, nothing to unmap */
} DataMap;

bool map_file(const char *path, DataMap *map, Error *e);
void unmap_file(DataMap *map);

char *path_join(const char *dir, const char *name); /* NULL: no memory */
uint32_t checksum(uint32_t crc, const void *data, size_t bytes);

#endif
