/* What libibverbs says of this host's devices. Without RDMA in this build it says nothing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/doctor_view.h"

#ifdef KOLO_HAVE_VERBS

#include <infiniband/verbs.h>

static unsigned mtu_bytes(enum ibv_mtu mtu)
{
    return mtu >= IBV_MTU_256 && mtu <= IBV_MTU_4096 ? 128U << mtu : 0;
}

static void read_ports(struct doctor_device *device, struct ibv_context *context)
{
    struct ibv_device_attr limits;
    if (ibv_query_device(context, &limits) != 0) {
        return;
    }
    device->ports = limits.phys_port_cnt < DOCTOR_DEVICE_PORTS_MAX ? limits.phys_port_cnt
                                                                   : DOCTOR_DEVICE_PORTS_MAX;
    for (unsigned i = 0; i < device->ports; i++) {
        struct ibv_port_attr port;
        if (ibv_query_port(context, (uint8_t)(i + 1), &port) == 0) {
            device->active_mtu[i] = mtu_bytes(port.active_mtu);
            device->max_mtu[i] = mtu_bytes(port.max_mtu);
        }
    }
}

void doctor_view_read_verbs(struct doctor_view *view)
{
    int count = 0;
    view->verbs_built = true;
    struct ibv_device **list = ibv_get_device_list(&count);
    for (int i = 0; i < count && view->devices < DOCTOR_DEVICES_MAX; i++) {
        struct doctor_device *device = &view->device[view->devices++];
        memset(device, 0, sizeof *device);
        snprintf(device->name, sizeof device->name, "%s", ibv_get_device_name(list[i]));
        errno = 0;
        struct ibv_context *context = ibv_open_device(list[i]);
        if (context == NULL) {
            device->open_error = errno != 0 ? errno : ENODEV;
            continue;
        }
        read_ports(device, context);
        ibv_close_device(context);
    }
    if (list != NULL) {
        ibv_free_device_list(list);
    }
}

#else

void doctor_view_read_verbs(struct doctor_view *view)
{
    view->verbs_built = false;
}

#endif
