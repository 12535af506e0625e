/* wish: the user's list of RDMA ports, "mlx5_0,mlx5_1:2", taken apart. */
#ifndef KOLO_VERBS_WISH_H
#define KOLO_VERBS_WISH_H

#include <infiniband/verbs.h>
#include <kolo/kolo.h>

#include "transport/verbs/device.h"

struct wish_port {
    char device[IBV_SYSFS_NAME_MAX];
    unsigned number; /* 0: all that are up */
};

/** KOLO_ERR_ARGUMENT (an empty name, a port that is no number in 1 .. 255, one named twice), KOLO_ERR_LIMIT (more than
 *  DEVICE_RAILS_MAX), neither logged. Out: wanted, count; untouched beyond what was read on failure. */
kolo_status wish_parse(struct wish_port wanted[DEVICE_RAILS_MAX], unsigned *count,
                       const char *names);

#endif
