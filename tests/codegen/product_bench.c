/* Speed of generated matrix products beside OpenBLAS, one thread, same process, same data, interleaved.
 *
 *   product_bench [cpu]      shapes are m x k x n; NN, NT (B transposed), TN (A transposed: a weight gradient)
 *
 * Prints which kernels OpenBLAS uses: an environment that sets OPENBLAS_CORETYPE=Haswell makes the comparison unfair.
 */
#include "product_jit.h"
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef struct {
    const char *what;
    char ta, tb;
    int64_t m, k, n;
    int64_t rows;     /* rows of one call (TN: values of k), 0: all */
    unsigned unknown; /* sizes that the code does not know */
    int causal;       /* 'k': row i sums k <= i; 'n': row i has columns n <= i. OpenBLAS computes the whole square */
} Shape;

/* What the product asks for. */
static double flop(const Shape *s)
{
    return 2.0 * (double)(s->m * s->k * s->n) * (s->causal ? 0.5 * (1 + 1 / (double)s->m) : 1);
}

/* Multiply-adds on twelve independent registers: the limit of this core while the others are measured. */
__attribute__((target("avx512f"), optimize("O2", "unroll-loops"))) static double peak(void)
{
    typedef float V __attribute__((vector_size(64)));
    V a = {0}, b = a, c = a, d = a, e = a, f = a, g = a, h = a, i = a, j = a, k = a, l = a, y = a + 0.999f,
      z = a + 0.001f;
    double t = now();
    for (int r = 0; r < 400000; r++) {
        __asm__ volatile("vfmadd213ps %12, %13, %0\n\tvfmadd213ps %12, %13, %1\n\tvfmadd213ps %12, %13, %2\n\t"
                         "vfmadd213ps %12, %13, %3\n\tvfmadd213ps %12, %13, %4\n\tvfmadd213ps %12, %13, %5\n\t"
                         "vfmadd213ps %12, %13, %6\n\tvfmadd213ps %12, %13, %7\n\tvfmadd213ps %12, %13, %8\n\t"
                         "vfmadd213ps %12, %13, %9\n\tvfmadd213ps %12, %13, %10\n\tvfmadd213ps %12, %13, %11"
                         : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g), "+v"(h), "+v"(i), "+v"(j),
                           "+v"(k), "+v"(l)
                         : "v"(y), "v"(z));
    }
    t = now() - t;
    return 4e5 * 12 * 16 * 2 / t * 1e-9;
}

static void blas(const Shape *s, int64_t m, int64_t k, const float *a, const float *b, float *c, bool add)
{
    cblas_sgemm(CblasRowMajor, s->ta == 'T' ? CblasTrans : CblasNoTrans, s->tb == 'T' ? CblasTrans : CblasNoTrans,
                (int)m, (int)s->n, (int)k, 1, a, (int)(s->ta == 'T' ? s->m : s->k), b,
                (int)(s->tb == 'T' ? s->k : s->n), add, c, (int)s->n);
}

static double measure(const Shape *s, ProductFn fn, const float *a, const float *b, float *c, const int64_t *sizes)
{
    int64_t work = 2 * s->m * s->k * s->n, repeats = 1 + 50000000 / (work + 1);
    double t = now();
    for (int64_t r = 0; r < repeats; r++) {
        bool tn = s->ta == 'T' && s->rows;
        int64_t total = tn ? s->k : s->m, step = s->rows ? s->rows : total;
        for (int64_t i = 0; i < total; i += step) {
            int64_t size = i + step < total ? step : total - i, m = tn ? s->m : size, k = tn ? size : s->k;
            const float *ai = a + (tn ? i * s->m : i * s->k), *bi = b + (tn ? i * s->n : 0);
            float *ci = c + (tn ? 0 : i * s->n);
            if (fn) {
                int64_t now_sizes[NSIZES];
                memcpy(now_sizes, sizes, sizeof now_sizes);
                now_sizes[M_] = m, now_sizes[K_] = k;
                fn(ai, bi, ci, now_sizes);
            } else {
                blas(s, m, k, ai, bi, ci, tn);
            }
        }
    }
    return flop(s) * (double)repeats / (now() - t) * 1e-9;
}

int main(int argc, char **argv)
{
    const char *cpu = argc > 1 ? argv[1] : "native";
    openblas_set_num_threads(1);
    printf("OpenBLAS kernels: %s; generated for %s; GFLOP/s, best of 30 interleaved\n", openblas_get_corename(), cpu);
    printf("%-36s %9s %9s %7s %7s %10s\n", "m x k x n", "OpenBLAS", "generated", "peak", "of it", "compile ms");
    static const Shape shapes[] = {
        {"NN", 'N', 'N', 200, 50, 200, 0, 0, 0},
        {"NN", 'N', 'N', 200, 64, 200, 0, 0, 0},
        {"NN", 'N', 'N', 200, 200, 50, 0, 0, 0},
        {"NN", 'N', 'N', 192, 50, 50, 0, 1u << M_, 0},
        {"NN", 'N', 'N', 192, 150, 50, 0, 1u << M_, 0},
        {"NN", 'N', 'N', 192, 50, 150, 0, 1u << M_, 0},
        {"NN by 200 rows", 'N', 'N', 25600, 50, 200, 200, 1u << M_, 0},
        {"NN by 256 rows", 'N', 'N', 25600, 50, 50, 256, 1u << M_, 0},
        {"NN", 'N', 'N', 25600, 50, 50, 0, 1u << M_, 0},
        {"NN by 200 rows", 'N', 'N', 25600, 64, 64, 200, 1u << M_, 0},
        {"NN", 'N', 'N', 25600, 200, 50, 0, 1u << M_, 0},
        {"NN by 256 rows", 'N', 'N', 4096, 128, 512, 256, 1u << M_, 0},
        {"NN by 256 rows", 'N', 'N', 4096, 400, 400, 256, 1u << M_, 0},
        {"NN by 256 rows", 'N', 'N', 4096, 256, 1024, 256, 1u << M_, 0},
        {"NT (weights, backward)", 'N', 'T', 25600, 50, 50, 256, 1u << M_, 0},
        {"NT (weights, backward)", 'N', 'T', 25600, 200, 50, 256, 1u << M_, 0},
        {"NT, n unknown (scores)", 'N', 'T', 200, 50, 200, 0, 1u << M_ | 1u << N_ | 1u << CM_, 0},
        {"NN, k unknown (outputs)", 'N', 'N', 200, 200, 50, 0, 1u << M_ | 1u << K_ | 1u << AM_, 0},
        {"TN, k unknown (attention)", 'T', 'N', 200, 200, 50, 0, 1u << M_ | 1u << K_ | 1u << AK_, 0},
        {"NT, causal scores", 'N', 'T', 200, 50, 200, 0, 1u << M_ | 1u << N_ | 1u << CM_, 'n'},
        {"NN, causal outputs", 'N', 'N', 200, 200, 50, 0, 1u << M_ | 1u << K_ | 1u << AM_, 'k'},
        {"NT, causal scores", 'N', 'T', 800, 50, 800, 0, 1u << M_ | 1u << N_ | 1u << CM_, 'n'},
        {"NN, causal outputs", 'N', 'N', 800, 800, 50, 0, 1u << M_ | 1u << K_ | 1u << AM_, 'k'},
        {"TN (gradient)", 'T', 'N', 50, 256, 50, 256, 1u << K_, 0},
        {"TN (gradient)", 'T', 'N', 150, 256, 50, 256, 1u << K_, 0},
        {"TN (gradient)", 'T', 'N', 50, 256, 150, 256, 1u << K_, 0},
        {"NT catalogue", 'N', 'T', 200, 50, 7550, 0, 1u << M_, 0},
        {"TN by 1024 (gradient)", 'T', 'N', 50, 25600, 50, 1024, 1u << K_, 0},
        {"TN by 1024 (gradient)", 'T', 'N', 64, 25600, 64, 1024, 1u << K_, 0},
        {"TN by 1024 (gradient)", 'T', 'N', 50, 25600, 200, 1024, 1u << K_, 0},
        {"TN by 1024 (gradient)", 'T', 'N', 200, 25600, 50, 1024, 1u << K_, 0},
        {"TN table gradient", 'T', 'N', 3883, 6400, 64, 0, 0, 0},
        {"NN table adjoint, by 192", 'N', 'N', 6400, 3883, 64, 192, 1u << M_, 0},
        {"NT logits, by 192", 'N', 'T', 6400, 64, 3883, 192, 1u << M_, 0},
        {"TN by 1024 (gradient)", 'T', 'N', 400, 4096, 400, 1024, 1u << K_, 0},
    };
    for (unsigned i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const Shape *s = &shapes[i];
        int64_t size[NSIZES] = {s->m,
                                s->n,
                                s->k,
                                s->ta == 'T' ? 1 : s->k,
                                s->ta == 'T' ? s->m : 1,
                                s->tb == 'T' ? 1 : s->n,
                                s->tb == 'T' ? s->k : 1,
                                s->n,
                                1};
        size_t na = (size_t)(s->m * s->k), nb = (size_t)(s->k * s->n), nc = (size_t)(s->m * s->n);
        float *a = aligned_alloc(64, (na * 4 + 63) / 64 * 64),
              *b = aligned_alloc(64, (nb * 4 + GEMM_SLACK + 63) / 64 * 64);
        float *c = aligned_alloc(64, (nc * 4 + 63) / 64 * 64);
        for (size_t j = 0; j < na; j++) {
            a[j] = (float)(j % 17) * 0.01f;
        }
        for (size_t j = 0; j < nb; j++) {
            b[j] = (float)(j % 13) * 0.01f;
        }
        memset(c, 0, nc * 4);
        bool add = s->ta == 'T' && s->rows;
        Product p = product_compile(cpu, false, size, ~s->unknown, add,
                                    (JitRange){s->causal == 'k'   ? RANGE_K
                                               : s->causal == 'n' ? RANGE_N
                                                                  : RANGE_NONE,
                                               0, 0, 1, 1});
        double best[3] = {0}; /* this core changes its speed from second to second: take turns */
        for (int trial = 0; trial < 30; trial++) {
            double speed[3] = {measure(s, NULL, a, b, c, size), measure(s, p.fn, a, b, c, size), peak()};
            for (int j = 0; j < 3; j++) {
                best[j] = speed[j] > best[j] ? speed[j] : best[j];
            }
        }
        char name[64];
        snprintf(name, sizeof name, "%ldx%ldx%ld %s", s->m, s->k, s->n, s->what);
        printf("%-36s %9.0f %9.0f %7.0f %6.0f%% %10.1f\n", name, best[0], best[1], best[2], 100 * best[1] / best[2],
               1e3 * p.compile_seconds);
        product_free(&p);
        free(a);
        free(b);
        free(c);
    }
    return 0;
}
