/* Errors: one sentence with its remedy, and the exit code it stands for. The first one set is kept by returning at
 * once, so there is no chain of causes to print. */
#include "runtime.h"
#include <stdarg.h>
#include <stdio.h>

bool error_set(Error *e, int code, const char *fmt, ...)
{
    if (!e) {
        return false;
    }
    e->code = code;
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->text, sizeof e->text, fmt, args);
    va_end(args);
    return false;
}
