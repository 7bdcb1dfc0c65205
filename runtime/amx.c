/* The state of the tile registers is 8 KiB a thread, which Linux (5.16) keeps only for processes that ask. The answer
 * holds for the whole process, threads that run already included. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "amx.h"
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#if defined(__x86_64__) && defined(SYS_arch_prctl)
enum { REQUEST = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM, and the component of the state */

static bool has_amx(void)
{
    enum { AMX_BF16 = 1U << 22, AMX_TILES = 1U << 24, AVX512_BF16 = 1U << 5 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & AMX_BF16) || !(d & AMX_TILES)) {
        return false;
    }
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & AVX512_BF16);
}

bool amx_request(Error *e)
{
    if (!has_amx()) {
        return error_set(e, EXIT_RESOURCES,
                         "bf16 matrix products need a CPU with AMX, which this one has not: "
                         "use --products f32");
    }
    if (syscall(SYS_arch_prctl, REQUEST, TILE_DATA) != 0) {
        return error_set(e, EXIT_RESOURCES,
                         "bf16 matrix products need AMX, which the operating system refuses to this process "
                         "(arch_prctl: %s): run it on Linux 5.16 or later, outside a sandbox, or use --products f32",
                         strerror(errno));
    }
    return true;
}
#else
bool amx_request(Error *e)
{
    return error_set(e, EXIT_RESOURCES,
                     "bf16 matrix products need a CPU with AMX, which this machine has not: "
                     "use --products f32");
}
#endif
