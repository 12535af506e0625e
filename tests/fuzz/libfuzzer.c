/* The same decoders for libFuzzer: FUZZ_DECODER names the one. */
#include <stdlib.h>

#include "tests/fuzz/decoders.h"

int LLVMFuzzerInitialize(int *count, char ***words);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

static const struct decoder *decoder;

int LLVMFuzzerInitialize(int *count, char ***words)
{
    (void)count, (void)words;
    setenv("KOLO_LOG", "none", 0);
    decoder = decoder_find(FUZZ_DECODER);
    if (decoder == NULL) {
        abort();
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length <= DECODER_BYTES_MAX) {
        decoder->feed(bytes, length);
    }
    return 0;
}
