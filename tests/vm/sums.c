/* sums: a peer that adds up so many times, checks every sum, and says "ready" when the first ones have come out. Usage: sums TIMES. Ends
 * with "done" and status 0, or with "STATUS seconds: explanation" and 3 when a call fails; 1 if a sum is wrong or it cannot begin. For
 * scenarios in which something is taken away meanwhile, and the sums go on. */
#include <kolo/kolo.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/clock.h"

#define COUNT 100000
#define READY_STEP 3

/* Returns false, having said so, if a sum is not what it must be. */
static bool check_sums(const int32_t *out, int step, int size)
{
    for (int i = 0; i < COUNT; i++) {
        if (out[i] != (i + step) * size) {
            printf("wrong sum at %d of step %d\n", i, step);
            return false;
        }
    }
    return true;
}

static int add_up(kolo_comm *comm, int times)
{
    static int32_t in[COUNT], out[COUNT];
    for (int step = 0; step < times; step++) {
        for (int i = 0; i < COUNT; i++) {
            in[i] = i + step;
        }
        uint64_t start_ns = clock_now_ns();
        kolo_status status = kolo_all_reduce(comm, out, in, COUNT, KOLO_I32, KOLO_SUM, NULL);
        if (status != KOLO_OK) {
            double seconds = (double)(clock_now_ns() - start_ns) / (double)NS_PER_S;
            printf("%s %.2f: %s\n", kolo_status_name(status), seconds, kolo_last_error());
            return 3;
        }
        if (!check_sums(out, step, kolo_size(comm))) {
            return 1;
        }
        if (step == READY_STEP) {
            printf("ready\n");
            fflush(stdout);
        }
    }
    printf("done\n");
    return 0;
}

int main(int argc, char **argv)
{
    kolo_comm *comm = NULL;
    if (argc != 2 || atoi(argv[1]) <= 0) {
        fprintf(stderr, "usage: sums TIMES\n");
        return 2;
    }
    if (kolo_open(&comm, NULL) != KOLO_OK) {
        printf("open: %s\n", kolo_last_error());
        return 1;
    }
    int exit_status = add_up(comm, atoi(argv[1]));
    fflush(stdout);
    kolo_close(comm);
    return exit_status;
}
