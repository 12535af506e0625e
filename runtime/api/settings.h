/* settings: what kolo_open() needs to know, from its configuration and the environment. */
#ifndef KOLO_API_SETTINGS_H
#define KOLO_API_SETTINGS_H

#include <kolo/kolo.h>
#include <stdint.h>

#include "runtime/launch/launch.h"

struct settings {
    struct launch launch;
    uint64_t open_timeout_ns, timeout_ns, peer_timeout_ns;
    uint32_t transports;       /* bits of wires' rows */
    const char *algorithm;     /* NULL: the cost model's choice. Borrowed */
    const char *interfaces;    /* NULL: all. Borrowed */
    const char *verbs_devices; /* NULL: all. Borrowed */
    int verbs_gid_index;       /* -1: chosen */
    int verbs_queue_pairs;     /* of a link on each port */
};

/** Read both; the configuration wins. KOLO_ERR_ARGUMENT names the value and the cure. */
kolo_status settings_read(struct settings *settings, const kolo_config *config);

#endif
