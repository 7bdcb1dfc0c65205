/* The progress line. */
#include "progress.h"
#include "driver.h"
#include <stdio.h>

void progress_start(Progress *p, bool terminal, int64_t done)
{
    *p = (Progress){.terminal = terminal, .start = seconds_now(), .done0 = done};
}

static void duration(char *out, size_t size, double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s >= 3600) {
        snprintf(out, size, "%ldh%02ldm", s / 3600, s / 60 % 60);
    } else if (s >= 60) {
        snprintf(out, size, "%ldm%02lds", s / 60, s % 60);
    } else {
        snprintf(out, size, "%lds", s);
    }
}

void progress_step(Progress *p, int64_t done, int64_t total, double examples_per_s, double loss, int64_t epoch,
                   bool force)
{
    double now = seconds_now();
    if (!force && (!p->terminal || now - p->last < 0.2)) {
        return;
    }
    p->last = now;
    double elapsed = now - p->start;
    double left = done > p->done0 ? elapsed / (double)(done - p->done0) * (double)(total - done) : 0;
    char gone[32], remaining[32];
    duration(gone, sizeof gone, elapsed);
    duration(remaining, sizeof remaining, left);
    fprintf(stderr, "%sepoch %lld  step %lld/%lld  loss %.4f  %.0f examples/s  %s gone, %s left%s",
            p->terminal ? "\r\033[K" : "", (long long)epoch, (long long)done, (long long)total, loss, examples_per_s,
            gone, remaining, p->terminal ? "" : "\n");
    fflush(stderr);
}

void progress_clear(Progress *p)
{
    if (p->terminal) {
        fputs("\r\033[K", stderr);
    }
}
