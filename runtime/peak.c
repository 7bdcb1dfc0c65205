/* Chains of fused multiply-adds on enough independent accumulators to hide their latency (4 cycles, 2 per cycle), all
 * in registers. The best of many short runs counts: a run that was interrupted says nothing about the machine. */
#include "peak.h"
#include "amx.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHAINS = 12, ROUNDS = 4096 };

#if defined(__x86_64__)
#define HAS_X86 1
#else
#define HAS_X86 0
#endif

/* Vectors of gcc; with the target attribute below, x * a + b becomes one instruction of that width. */
typedef float Float16 __attribute__((vector_size(64)));
typedef double Double8 __attribute__((vector_size(64)));
typedef float Float8 __attribute__((vector_size(32)));
typedef double Double4 __attribute__((vector_size(32)));
typedef float Float4 __attribute__((vector_size(16)));
typedef double Double2 __attribute__((vector_size(16)));

/* Writes its result through `out` so that the work cannot be left out; returns operations done. */
typedef double (*Burn)(double *out);

#define BURN(NAME, VECTOR, ELEMENT, ATTRIBUTES)                                                                        \
    ATTRIBUTES static double NAME(double *out)                                                                         \
    {                                                                                                                  \
        enum { LANES = sizeof(VECTOR) / sizeof(ELEMENT) };                                                             \
        VECTOR x[CHAINS], a, b, sum;                                                                                   \
        for (int l = 0; l < LANES; l++) {                                                                              \
            a[l] = (ELEMENT)(0.999 + 1e-6 * *out);                                                                     \
            b[l] = (ELEMENT)(0.001 + 1e-6 * l);                                                                        \
        }                                                                                                              \
        for (int c = 0; c < CHAINS; c++) {                                                                             \
            x[c] = a + (ELEMENT)c;                                                                                     \
        }                                                                                                              \
        for (int r = 0; r < ROUNDS; r++) {                                                                             \
            _Pragma("GCC unroll 12") for (int c = 0; c < CHAINS; c++)                                                  \
            {                                                                                                          \
                x[c] = x[c] * a + b;                                                                                   \
            }                                                                                                          \
        }                                                                                                              \
        sum = x[0];                                                                                                    \
        for (int c = 1; c < CHAINS; c++) {                                                                             \
            sum += x[c];                                                                                               \
        }                                                                                                              \
        *out = (double)sum[0];                                                                                         \
        return 2.0 * LANES * CHAINS * ROUNDS;                                                                          \
    }

#define FAST __attribute__((optimize("O3", "fp-contract=fast")))
#if HAS_X86
BURN(burn_avx512_f32, Float16, float, FAST __attribute__((target("avx512f"))))
BURN(burn_avx512_f64, Double8, double, FAST __attribute__((target("avx512f"))))
BURN(burn_avx2_f32, Float8, float, FAST __attribute__((target("avx2,fma"))))
BURN(burn_avx2_f64, Double4, double, FAST __attribute__((target("avx2,fma"))))
#endif
BURN(burn_f32, Float4, float, FAST)
BURN(burn_f64, Double2, double, FAST)

const char *peak_instructions(void)
{
#if HAS_X86
    return __builtin_cpu_supports("avx512f")                                 ? "avx512"
           : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? "avx2"
                                                                             : "sse2";
#else
    return "generic";
#endif
}

static Burn choose(DType real)
{
    bool is_double = real == DT_F64;
#if HAS_X86
    const char *have = peak_instructions();
    if (strcmp(have, "avx512") == 0) {
        return is_double ? burn_avx512_f64 : burn_avx512_f32;
    }
    if (strcmp(have, "avx2") == 0) {
        return is_double ? burn_avx2_f64 : burn_avx2_f32;
    }
#endif
    return is_double ? burn_f64 : burn_f32;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Cycles: additions of a register that wait for one another take one each (those of a constant may take none). The
 * multiply-adds between them, too few to be waited for, keep the clock where vector code has it. */
enum { CLOCK_ADDS = 12 };
#define CLOCK(NAME, VECTOR, ATTRIBUTES)                                                                                \
    ATTRIBUTES static double NAME(double *out)                                                                         \
    {                                                                                                                  \
        VECTOR x = {1}, y = {2}, a = {0.5F}, b = {0.25F};                                                              \
        int64_t n = 0, k = (int64_t)*out;                                                                              \
        for (int r = 0; r < ROUNDS; r++) {                                                                             \
            x = x * a + b;                                                                                             \
            y = y * a + b;                                                                                             \
            _Pragma("GCC unroll 12") for (int c = 0; c < CLOCK_ADDS; c++)                                              \
            {                                                                                                          \
                n += k;                                                                                                \
                __asm__ volatile("" : "+r"(n), "+r"(k)); /* or the additions would become one */                       \
            }                                                                                                          \
        }                                                                                                              \
        *out = (double)(x[0] + y[0]) + 1e-30 * (double)n;                                                              \
        return (double)CLOCK_ADDS * ROUNDS;                                                                            \
    }
#if HAS_X86
CLOCK(clock_avx512, Float16, FAST __attribute__((target("avx512f"))))
CLOCK(clock_avx2, Float8, FAST __attribute__((target("avx2,fma"))))
#endif
CLOCK(clock_plain, Float4, FAST)

static Burn choose_clock(void)
{
#if HAS_X86
    const char *have = peak_instructions();
    return strcmp(have, "avx512") == 0 ? clock_avx512 : strcmp(have, "avx2") == 0 ? clock_avx2 : clock_plain;
#else
    return clock_plain;
#endif
}

enum { REPEATS = 200, MAX_ITEMS = 1024 };

typedef struct {
    Burn burn;
    double done[MAX_ITEMS];
} Work;

static void burn_item(void *ctx, int64_t item)
{
    Work *w = ctx;
    double value = 0.5, done = 0;
    for (int r = 0; r < REPEATS; r++) {
        done += w->burn(&value);
        value = value > 1 || value < 0 ? 0.5 : value;
    }
    w->done[item] = value < -1 ? 0 : done; /* never: it keeps the values alive */
}

static double measure(Pool *pool, Burn burn, double seconds)
{
    Work w = {.burn = burn};
    int threads = pool_threads(pool) < MAX_ITEMS ? pool_threads(pool) : MAX_ITEMS;
    double best = 0, end = now() + seconds;
    do {
        double start = now(), done = 0;
        pool_run(pool, threads, burn_item, &w);
        double took = now() - start;
        for (int i = 0; i < threads; i++) {
            done += w.done[i];
        }
        best = done / took > best ? done / took : best;
    } while (now() < end);
    return best / 1e9;
}

double peak_gflops(Pool *pool, DType real, double seconds)
{
    return measure(pool, choose(real), seconds);
}

#if HAS_X86
/* Four tiles of sums, each the product of one of two tiles by one of two others: as generated code has them. */
static double burn_bf16(double *out)
{
    static const _Alignas(64) unsigned char tiles[64] = {
        [0] = 1,   [16] = 64, [18] = 64, [20] = 64, [22] = 64, [24] = 64, [26] = 64, [28] = 64, [30] = 64,
        [48] = 16, [49] = 16, [50] = 16, [51] = 16, [52] = 16, [53] = 16, [54] = 16, [55] = 16}; /* of 16 x 64 bytes */
    __asm__ volatile("ldtilecfg %0\n\ttilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3\n\t"
                     "tilezero %%tmm4\n\ttilezero %%tmm5\n\ttilezero %%tmm6\n\ttilezero %%tmm7" ::"m"(tiles));
    for (int r = 0; r < ROUNDS / 8; r++) {
        __asm__ volatile("tdpbf16ps %tmm6, %tmm4, %tmm0\n\ttdpbf16ps %tmm7, %tmm4, %tmm1\n\t"
                         "tdpbf16ps %tmm6, %tmm5, %tmm2\n\ttdpbf16ps %tmm7, %tmm5, %tmm3");
    }
    __asm__ volatile("tilerelease");
    *out = 0.5;
    return 2.0 * 16 * 16 * 32 * 4 * (ROUNDS / 8);
}
#endif

double peak_bf16_gflops(Pool *pool, double seconds)
{
#if HAS_X86
    Error none = {0};
    if (amx_request(&none)) {
        return measure(pool, burn_bf16, seconds);
    }
#endif
    (void)pool, (void)seconds;
    return 0;
}

/* Short runs, each timed by its own thread: whoever else uses the machine only makes them slower. */
static void clock_item(void *ctx, int64_t item)
{
    Work *w = ctx;
    double value = 0.5, start = now();
    double cycles = w->burn(&value);
    double rate = cycles / (now() - start);
    w->done[item] = value >= 0 && rate > w->done[item] ? rate : w->done[item];
}

double peak_clock_ghz(Pool *pool, double seconds)
{
    Work w = {.burn = choose_clock()};
    int threads = pool_threads(pool) < MAX_ITEMS ? pool_threads(pool) : MAX_ITEMS;
    double best = 0, end = now() + seconds;
    do {
        pool_run(pool, threads, clock_item, &w);
    } while (now() < end);
    for (int i = 0; i < threads; i++) {
        best = w.done[i] > best ? w.done[i] : best;
    }
    return best / 1e9;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

typedef struct {
    const int64_t *data; /* thread t: data + t * count */
    int64_t count, repeats;
    int64_t sum[MAX_ITEMS];
    double rate[MAX_ITEMS]; /* bytes per second, the best so far */
} Reading;

/* Under the thread sanitizer not: its code in the choice between clones would run before it is ready. */
#if HAS_X86 && !defined(__SANITIZE_THREAD__)
FAST __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static int64_t
read_all(const int64_t *restrict x, int64_t n)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum ^= x[i];
    }
    return sum;
}

static void read_item(void *ctx, int64_t item)
{
    Reading *r = ctx;
    double start = now();
    for (int64_t k = 0; k < r->repeats; k++) {
        r->sum[item] += read_all(r->data + item * r->count, r->count);
    }
    double rate = (double)(r->count * 8 * r->repeats) / (now() - start);
    r->rate[item] = rate > r->rate[item] ? rate : r->rate[item];
}

double peak_read_gbs(Pool *pool, int64_t bytes, double seconds)
{
    enum { LEAST = 1 << 22 }; /* bytes of a run that is worth timing */
    int threads = pool_threads(pool) < MAX_ITEMS ? pool_threads(pool) : MAX_ITEMS;
    Reading r = {.count = bytes / 8, .repeats = bytes < LEAST ? LEAST / bytes : 1};
    int64_t *data = malloc((size_t)(r.count * threads) * sizeof *data);
    double sum = 0, end = now() + seconds;
    if (!data) {
        return 0;
    }
    memset(data, 1, (size_t)(r.count * threads) * sizeof *data);
    r.data = data;
    do {
        pool_run(pool, threads, read_item, &r);
    } while (now() < end);
    free(data);
    for (int i = 0; i < threads; i++) {
        sum += r.sum[i] == 1 ? 0 : r.rate[i]; /* never 1: it keeps the sums alive */
    }
    return sum / 1e9;
}
