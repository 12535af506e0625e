#include "transport/shm/copy.h"

#include <string.h>

/* From 8 KiB on, the C library copies by `rep movsb` (glibc's x86.rep_movsb_threshold), which on lines that another processor
 * has read takes three times as long (Zen 4). */
#define PIECE_BYTES 4096u

#if defined(__SSE2__)
#include <emmintrin.h>

#define LINE 64u

static void copy_lines_around(uint8_t *to, const uint8_t *from, size_t lines)
{
    for (; lines > 0; lines--, to += LINE, from += LINE) {
        const __m128i *in = (const __m128i *)(const void *)from;
        __m128i *out = (__m128i *)(void *)to;
        __m128i a = _mm_loadu_si128(in), b = _mm_loadu_si128(in + 1);
        __m128i c = _mm_loadu_si128(in + 2), d = _mm_loadu_si128(in + 3);
        _mm_stream_si128(out, a);
        _mm_stream_si128(out + 1, b);
        _mm_stream_si128(out + 2, c);
        _mm_stream_si128(out + 3, d);
    }
    _mm_sfence(); /* such stores keep no order by themselves */
}

static void copy_around(uint8_t *to, const uint8_t *from, size_t bytes)
{
    size_t head = (size_t)(-(uintptr_t)to & (LINE - 1));
    size_t lines = (bytes - head) / LINE;
    size_t body = lines * LINE;
    memcpy(to, from, head);
    memcpy(to + head + body, from + head + body, bytes - head - body);
    copy_lines_around(to + head, from + head, lines);
}
#else
static void copy_around(uint8_t *to, const uint8_t *from, size_t bytes)
{
    memcpy(to, from, bytes);
}
#endif

void shm_copy_to_ring(uint8_t *to, const uint8_t *from, size_t bytes)
{
    if (bytes >= SHM_COPY_AROUND_BYTES) {
        copy_around(to, from, bytes);
    } else {
        memcpy(to, from, bytes);
    }
}

void shm_copy_to_board(uint8_t *to, const uint8_t *from, size_t bytes)
{
    while (bytes > PIECE_BYTES) {
        memcpy(to, from, PIECE_BYTES);
        to += PIECE_BYTES;
        from += PIECE_BYTES;
        bytes -= PIECE_BYTES;
    }
    if (bytes > 0) { /* with no bytes there may be no memory */
        memcpy(to, from, bytes);
    }
}
