/* verbs_regions: makes the messages' memory known to kolo, so that the verbs transport sends from it and puts into it: takes
 * malloc() and free() over in programs that are linked with --wrap for both. */
#ifndef KOLO_TESTS_CONFORMANCE_VERBS_REGIONS_H
#define KOLO_TESTS_CONFORMANCE_VERBS_REGIONS_H

#include <stdbool.h>

/** From now on every piece of memory of VERBS_REGIONS_BYTES or more is a region. */
void verbs_regions_begin(void);

#define VERBS_REGIONS_BYTES 4096

#endif
