/* bench_memory: how much memory does kolo take from a process? Every rank notes its memory before kolo_open, calls every
 * collective with buffers of 8 bytes to 64 MiB, and prints how much more it has then, its own buffers not counted: those are
 * there, and touched, before. What is shared counts for each process that maps it by its share (smaps_rollup: Pss), so that
 * over all processes it counts once. Pages of files (the code) are left out: the page cache has them anyway.
 *
 * Usage: kolo run -n 8 bench_memory [LAST-BYTES]. Prints "rank R: grown BYTES" once for each rank. */
#include <inttypes.h>
#include <kolo/kolo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_BYTES 8
#define LAST_BYTES (64 << 20)
#define FACTOR 8
#define CALLS 3

/* Anonymous and shared memory of this process, in bytes; 0 if the kernel does not say. */
static uint64_t memory_bytes(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    uint64_t sum = 0, kib;
    if (file == NULL) {
        return 0;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "Pss_Anon: %" SCNu64, &kib) == 1 ||
            sscanf(line, "Pss_Shmem: %" SCNu64, &kib) == 1) {
            sum += kib << 10;
        }
    }
    fclose(file);
    return sum;
}

static kolo_status call_all(kolo_comm *comm, float *out, const float *in, size_t bytes)
{
    size_t count = bytes / sizeof(float), part = count / (size_t)kolo_size(comm);
    kolo_status status = kolo_all_reduce(comm, out, in, count, KOLO_F32, KOLO_SUM, NULL);
    if (status == KOLO_OK) {
        status = kolo_reduce_scatter(comm, out, in, part, KOLO_F32, KOLO_SUM, NULL);
    }
    if (status == KOLO_OK) {
        status = kolo_all_gather(comm, out, in, part, KOLO_F32, NULL);
    }
    if (status == KOLO_OK) {
        status = kolo_broadcast(comm, out, in, count, KOLO_F32, 0, NULL);
    }
    return status == KOLO_OK ? kolo_reduce(comm, out, in, count, KOLO_F32, KOLO_SUM, 0, NULL)
                             : status;
}

static kolo_status sweep(kolo_comm *comm, float *out, const float *in, size_t last_bytes)
{
    kolo_status status = KOLO_OK;
    for (size_t bytes = FIRST_BYTES;; bytes *= FACTOR) {
        size_t now_bytes = bytes < last_bytes ? bytes : last_bytes;
        for (int i = 0; i < CALLS && status == KOLO_OK; i++) {
            status = call_all(comm, out, in, now_bytes);
        }
        if (status != KOLO_OK || now_bytes == last_bytes) {
            return status;
        }
    }
}

static int failed(const char *what)
{
    fprintf(stderr, "bench_memory: %s: %s\n", what, kolo_last_error());
    return 1;
}

int main(int argc, char **argv)
{
    size_t last_bytes = argc > 1 ? strtoull(argv[1], NULL, 10) : LAST_BYTES;
    last_bytes = last_bytes > FIRST_BYTES ? last_bytes : FIRST_BYTES;
    float *in = malloc(last_bytes), *out = malloc(last_bytes);
    if (in == NULL || out == NULL) {
        return failed("no memory for the buffers");
    }
    memset(in, 1, last_bytes); /* not 0: that might only be promised */
    memset(out, 1, last_bytes);
    uint64_t before = memory_bytes();
    kolo_comm *comm;
    if (kolo_open(&comm, NULL) != KOLO_OK) {
        return failed("open");
    }
    /* The barriers: all have done all, and none has gone before all have looked. */
    if (sweep(comm, out, in, last_bytes) != KOLO_OK || kolo_barrier(comm, NULL) != KOLO_OK) {
        return failed("collective");
    }
    uint64_t after = memory_bytes();
    if (kolo_barrier(comm, NULL) != KOLO_OK) {
        return failed("barrier");
    }
    printf("rank %d: grown %" PRId64 "\n", kolo_rank(comm), (int64_t)(after - before));
    fflush(stdout);
    kolo_close(comm);
    free(in);
    free(out);
    return 0;
}
