/* Functions of REAL, named by NAME; included once for each precision. D is the spec's axis D. */
#include <math.h>
#include <stdint.h>

#ifndef D
#define D 3
#endif

void NAME(smooth)(const REAL *x, const REAL *w, REAL *y, int64_t t);
void NAME(smooth_grad)(const REAL *x, const REAL *w, const REAL *gy, REAL *gx, REAL *gw, int64_t t);
void NAME(pair)(const REAL *x, const REAL *m, REAL *p, int64_t t, int64_t s);
void NAME(pair_grad)(const REAL *x, const REAL *m, const REAL *gp, REAL *gx, REAL *gm, int64_t t, int64_t s);
void NAME(length)(const REAL *w, REAL *n);
void NAME(length_grad)(const REAL *w, const REAL *gn, REAL *gw);
void NAME(sign)(const REAL *x, REAL *q, int64_t t);

/* y[i,d] = tanh(w[d] * x[i,d]) + 0.5 * y[i-1,d] */
void NAME(smooth)(const REAL *x, const REAL *w, REAL *y, int64_t t)
{
    for (int64_t i = 0; i < t; i++) {
        for (int d = 0; d < D; d++) {
            y[i * D + d] = (REAL)tanh((double)(w[d] * x[i * D + d])) + (i > 0 ? (REAL)0.5 * y[(i - 1) * D + d] : 0);
        }
    }
}

void NAME(smooth_grad)(const REAL *x, const REAL *w, const REAL *gy, REAL *gx, REAL *gw, int64_t t)
{
    for (int d = 0; d < D; d++) {
        REAL g = 0;
        for (int64_t i = t; i-- > 0;) {
            REAL th = (REAL)tanh((double)(w[d] * x[i * D + d]));
            g = gy[i * D + d] + (REAL)0.5 * g;
            gx[i * D + d] = g * (1 - th * th) * w[d];
            gw[d] += g * (1 - th * th) * x[i * D + d];
        }
    }
}

/* p[k,i] = m[k] * sum over d of x[i,d]^2 */
void NAME(pair)(const REAL *x, const REAL *m, REAL *p, int64_t t, int64_t s)
{
    for (int64_t k = 0; k < s; k++) {
        for (int64_t i = 0; i < t; i++) {
            for (int d = 0; d < D; d++) {
                p[k * t + i] += m[k] * x[i * D + d] * x[i * D + d];
            }
        }
    }
}

void NAME(pair_grad)(const REAL *x, const REAL *m, const REAL *gp, REAL *gx, REAL *gm, int64_t t, int64_t s)
{
    for (int64_t k = 0; k < s; k++) {
        for (int64_t i = 0; i < t; i++) {
            for (int d = 0; d < D; d++) {
                gx[i * D + d] += 2 * gp[k * t + i] * m[k] * x[i * D + d];
                gm[k] += gp[k * t + i] * x[i * D + d] * x[i * D + d];
            }
        }
    }
}

void NAME(length)(const REAL *w, REAL *n)
{
    for (int d = 0; d < D; d++) {
        *n += w[d] * w[d];
    }
}

void NAME(length_grad)(const REAL *w, const REAL *gn, REAL *gw)
{
    for (int d = 0; d < D; d++) {
        gw[d] = 2 * *gn * w[d];
    }
}

/* No gradient: it is 0 wherever there is one. */
void NAME(sign)(const REAL *x, REAL *q, int64_t t)
{
    for (int64_t i = 0; i < t * D; i++) {
        q[i] = x[i] < 0 ? -1 : 1;
    }
}
