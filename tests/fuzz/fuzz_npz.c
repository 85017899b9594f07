/* .npz as given, and with its checksums made right. */
#include "fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    uint8_t *repaired = fuzz_repaired(bytes, count);
    fuzz_arrays(bytes, count);
    fuzz_arrays(repaired, count);
    free(repaired);
    return 0;
}
