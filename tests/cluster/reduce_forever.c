/* reduce_forever: a peer that adds up until something goes wrong. Prints "ready" when the first sums have come out, and at the
 * end "STATUS seconds: explanation", where seconds is how long the last call took. Exit status 0 however it ends, 1 if a sum is
 * wrong or it could not even begin. For scenarios that treat it badly from outside. */
#include <kolo/kolo.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define COUNT 100000

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int main(void)
{
    static int32_t in[COUNT], out[COUNT];
    kolo_comm *comm = NULL;
    if (kolo_open(&comm, NULL) != KOLO_OK) {
        printf("open: %s\n", kolo_last_error());
        return 1;
    }
    kolo_status status = KOLO_OK;
    double start_s = 0;
    for (int step = 0; status == KOLO_OK; step++) {
        for (int i = 0; i < COUNT; i++) {
            in[i] = i + step;
        }
        start_s = now_s();
        status = kolo_all_reduce(comm, out, in, COUNT, KOLO_I32, KOLO_SUM, NULL);
        for (int i = 0; status == KOLO_OK && i < COUNT; i++) {
            if (out[i] != (i + step) * kolo_size(comm)) {
                printf("wrong sum at %d of step %d\n", i, step);
                return 1;
            }
        }
        if (step == 3) {
            printf("ready\n");
            fflush(stdout);
        }
    }
    printf("%s %.2f: %s\n", kolo_status_name(status), now_s() - start_s, kolo_last_error());
    fflush(stdout);
    kolo_close(comm);
    return 0;
}
