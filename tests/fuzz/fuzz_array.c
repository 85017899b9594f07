/* .npy and .safetensors: the format is told by content, so the corpus decides which it is. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    fuzz_arrays(bytes, count);
    return 0;
}
