/* The measured peak and clock lie where one core's can: a loop that the compiler had left out would be far above. */
#include "peak.h"
#include "test.h"

int main(void)
{
    Error e;
    Pool *p = pool_new(1, &e);
    double single = peak_gflops(p, DT_F32, 0.1), wide = peak_gflops(p, DT_F64, 0.1);
    CHECK(single > 0.5 && single < 2000 && wide > 0.2 && wide < 1.5 * single);
    double clock = peak_clock_ghz(p, 0.1);
    CHECK(clock > 0.2 && clock < 10);
    double near = peak_read_gbs(p, 64 << 10, 0.05), far = peak_read_gbs(p, 32 << 20, 0.05);
    CHECK(near > 0.5 && near < 5000 && far > 0.1 && far < 5000);
    CHECK(strlen(peak_instructions()) > 0);
    pool_free(p);
    return report("peak");
}
