/* stage: the RDMA devices of a test that runs on the fake provider and, as another program, on what the machine has. */
#ifndef KOLO_TESTS_STAGE_H
#define KOLO_TESTS_STAGE_H

#include <stdbool.h>

/** Ready for use: at least one device with a port that is up. False: this machine has none, and the test is to be skipped. */
bool stage_set(void);

/** Assert, where it can be known, that nothing is left open. */
void stage_clear(void);

#endif
