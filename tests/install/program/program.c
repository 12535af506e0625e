/* Somebody else's program: a communicator of one, opened with nothing set, whose all-reduce is the identity. It is compiled
 * as C99 and as C++11. */
#include <kolo/kolo.h>

#include <stdio.h>
#include <string.h>

#define COUNT 1000

static int failed(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, kolo_last_error());
    return 1;
}

static int sums_are_the_input(kolo_comm *comm)
{
    static float in[COUNT], out[COUNT];
    for (int i = 0; i < COUNT; i++) {
        in[i] = (float)i;
        out[i] = -1.0f;
    }
    if (kolo_all_reduce(comm, out, in, COUNT, KOLO_F32, KOLO_SUM, NULL) != KOLO_OK) {
        return 0;
    }
    return memcmp(in, out, sizeof in) == 0;
}

int main(void)
{
    kolo_comm *comm = NULL;
    kolo_config config = KOLO_CONFIG_INIT;
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", KOLO_VERSION_MAJOR, KOLO_VERSION_MINOR,
             KOLO_VERSION_PATCH);
    if (strcmp(kolo_version(), version) != 0) {
        return failed("the header is not the library's");
    }
    if (kolo_open(&comm, &config) != KOLO_OK) {
        return failed("kolo_open");
    }
    if (kolo_rank(comm) != 0 || kolo_size(comm) != 1) {
        return failed("not a communicator of one");
    }
    if (!sums_are_the_input(comm)) {
        return failed("kolo_all_reduce");
    }
    if (kolo_close(comm) != KOLO_OK) {
        return failed("kolo_close");
    }
    printf("kolo %s: a ring of one\n", version);
    return 0;
}
