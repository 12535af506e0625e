/* meeting: how rails come together by rdma_cm, where they must (iWARP) or are told to. Each port listens; the end of the link that
 * dials asks the other one's port for the rail, by the link's token. */
#ifndef KOLO_VERBS_MEETING_H
#define KOLO_VERBS_MEETING_H

#include "transport/transport.h"
#include "transport/verbs/cm.h"

struct rail;
struct verbs;
struct verbs_link;

struct meeting {
    struct cm *cm;   /* NULL: no port needs it */
    bool everywhere; /* wished for on all ports */
    struct sockaddr_storage
        bound[DEVICE_RAILS_MAX]; /* where each port listens; family 0: it does not */
};

/** Have the ports listen that need it. KOLO_ERR_SYSTEM if none of the ports can be reached in any way. */
kolo_status meeting_open(struct verbs *verbs, bool everywhere);
void meeting_close(struct meeting *meeting); /* after the links. A zeroed one is allowed */

static inline bool meeting_is_needed(const struct meeting *meeting, const struct device_port *port)
{
    return port->iwarp || meeting->everywhere;
}

/** Begin to bring an aimed rail to where the peer listens, if this is the end that dials. KOLO_ERR_SYSTEM, KOLO_ERR_MEMORY. */
kolo_status meeting_begin(struct rail *rail, const struct sockaddr_storage *to);

/** The peer's hello has come by this rail: greet, if that waited for it. (Linux's siw may overlook a hello that comes while its end is
 *  still accepting, until something more comes: the end that has dialled probes until it hears.) */
void meeting_heard(struct rail *rail);

/** Handle what has happened, and greet by rails that are connected. True if anything has. */
bool meeting_step(struct verbs *verbs);

#endif
