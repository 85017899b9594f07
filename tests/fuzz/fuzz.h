/* What the fuzz targets share. Each target is one LLVMFuzzerTestOneInput, linked with libFuzzer or with driver.c. */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include <mmcl/mmcl.h>

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count);

/* A context that gets at most a fixed amount of memory. fuzz_end checks that everything has come back. */
mmcl_context *fuzz_begin(void);
void          fuzz_end(mmcl_context *context);

/* The input as a stream, behind options to open it with. */
typedef struct fuzz_input {
    const uint8_t    *bytes;
    size_t            count;
    mmcl_stream       stream;
    mmcl_open_options options;
} fuzz_input;

void fuzz_input_init(fuzz_input *input, const uint8_t *bytes, size_t count);

/* Opens the input as an archive and takes everything out of every array. */
void fuzz_arrays(const uint8_t *bytes, size_t count);

/*
 * A copy with the checksum of each stored zip entry made right, as far as the zip can be understood: without it hardly any
 * mutation gets past the checksums. Released with free().
 */
uint8_t *fuzz_repaired(const uint8_t *bytes, size_t count);

#endif
