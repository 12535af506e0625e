/* print_launch: what launch_read() finds in this environment, on one line. Started by real launchers in launchers.sh. */
#include <stdio.h>

#include "runtime/launch/launch.h"

int main(void)
{
    static struct launch launch;
    kolo_status status = launch_read(&launch, NULL);
    if (status != KOLO_OK) {
        printf("error %s\n", kolo_last_error());
        return 1;
    }
    printf("%s rank %d size %d local %d run %s port %d", launch.launcher, launch.rank, launch.size,
           launch.local_rank, launch.run_id, launch.port);
    for (unsigned i = 0; i < launch.contacts; i++) {
        printf(" contact %s:%d", launch.contact[i].host, launch.contact[i].port);
    }
    printf("\n");
    return 0;
}
