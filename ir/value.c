/* The value column of scalar.def as two switches: over doubles, and over integers wide enough never to overflow,
 * whose results then wrap to 64 bits as the generated code's do. */
#include "value.h"

#include <math.h>

__extension__ typedef __int128 Wide;

static int64_t floor_div(int64_t a, int64_t b)
{
    if (b == 0) {
        bug("a division by zero was not refused");
    }
    Wide q = (Wide)a / b;
    return (int64_t)(q - ((Wide)a % b != 0 && (a < 0) != (b < 0)));
}

static int64_t floor_mod(int64_t a, int64_t b)
{
    if (b == 0) {
        bug("a remainder by zero was not refused");
    }
    Wide r = (Wide)a % b;
    return (int64_t)(r != 0 && (r < 0) != (b < 0) ? r + b : r);
}

#define I(x) ((int64_t)(x))

static double over_doubles(Op op, double a, double b, double c)
{
    switch (op) {
#define OP(name, nargs, rule, value, da, db, dc, flags)                                                                \
    case OP_##name:                                                                                                    \
        return (double)(value);
#include "scalar.def"
#undef OP
    default:
        bug("value of the structural operator '%s'", op_info[op].name);
    }
}

static Wide over_integers(Op op, Wide a, Wide b, Wide c)
{
    switch (op) {
#define OP(name, nargs, rule, value, da, db, dc, flags)                                                                \
    case OP_##name:                                                                                                    \
        return (Wide)(value);
#include "scalar.def"
#undef OP
    default:
        bug("value of the structural operator '%s'", op_info[op].name);
    }
}

static bool is_integer(Type t)
{
    return t == TYPE_INT || t == TYPE_BOOL;
}

const char *value_apply(const Scalar *s, const Value *args, Value *out)
{
    int n = s->nargs;
    Type last = s->args[n - 1]->type; /* the type the operands were unified to: select's first one is a condition */
    if (is_integer(last) && is_integer(s->type)) {
        if ((s->op == OP_idiv || s->op == OP_mod || s->op == OP_div) && args[1].inum == 0) {
            return "an integer is divided by zero";
        }
        Wide r = over_integers(s->op, args[0].inum, n > 1 ? args[1].inum : 1, n > 2 ? args[2].inum : 0);
        out->inum = s->type == TYPE_BOOL ? r != 0 : (int64_t)r;
        return NULL;
    }
    if (s->op == OP_f32 && last == TYPE_INT) { /* one rounding, not two */
        out->num = (double)(float)args[0].inum;
        return NULL;
    }
    double x[3] = {0, 0, 0};
    for (int k = 0; k < n; k++) {
        x[k] = is_integer(s->args[k]->type) ? (double)args[k].inum : args[k].num;
    }
    double r = over_doubles(s->op, x[0], x[1], x[2]);
    switch (s->type) {
    case TYPE_REAL:
        out->num = r;
        return NULL;
    case TYPE_F32:
        out->num = (double)(float)r;
        return NULL;
    case TYPE_BOOL:
        out->inum = r != 0;
        return NULL;
    case TYPE_INT:
        break;
    }
    if (!(r >= -0x1p63 && r < 0x1p63)) {
        return "a number does not fit an integer";
    }
    out->inum = (int64_t)r;
    return NULL;
}
