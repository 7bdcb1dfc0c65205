/* The definition of every random number, shared by the interpreter, the generated code and the runtime: a hash of
 * (seed, step, name) and the indices of the draw, so that a value depends on neither batch, thread nor order. */
#ifndef HEDDLE_RANDOM_H
#define HEDDLE_RANDOM_H

#include <stdint.h>

#define RANDOM_C1   UINT64_C(0xd6e8feb86659fd93)
#define RANDOM_STEP UINT64_C(0x9e3779b97f4a7c15)

/* Two rounds of xor-shift-multiply: full avalanche over 64 bits. */
static inline uint64_t random_mix(uint64_t x)
{
    x ^= x >> 32;
    x *= RANDOM_C1;
    x ^= x >> 32;
    x *= RANDOM_C1;
    x ^= x >> 32;
    return x;
}

/* Folds one more index into a key. */
static inline uint64_t random_fold(uint64_t key, int64_t index)
{
    return random_mix(key + RANDOM_STEP * ((uint64_t)index + 1));
}

/* Uniform in [0, 1): 24 bits, exact in float and double alike. */
static inline double random_uniform(uint64_t hash)
{
    return (double)(hash >> 40) * 0x1p-24;
}

static inline uint64_t random_name(const char *name) /* FNV-1a, then mixed */
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *name; name++) {
        h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
    }
    return random_mix(h);
}

/* Key of a stream: fold the draw's indices (after batch: the row id first) into it, then random_uniform. */
static inline uint64_t random_key(uint64_t seed, uint64_t step, const char *name)
{
    return random_fold(random_fold(random_name(name), (int64_t)seed), (int64_t)step);
}

#endif
