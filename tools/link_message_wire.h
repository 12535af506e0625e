/* link_message_wire: one link of the library's own transports between the two ends of a measurement: made over the control
 * connection, with the best transport that works, or the one that was asked for. */
#ifndef KOLO_TOOLS_LINK_MESSAGE_WIRE_H
#define KOLO_TOOLS_LINK_MESSAGE_WIRE_H

#include "tools/link_bench.h"
#include "transport/tcp/port.h"
#include "transport/transport.h"

#define LINK_MESSAGE_TRANSPORTS 3 /* that may be tried at most */

/** A transport that may become the one. */
struct link_message_candidate {
    const struct transport_ops *ops;
    struct transport *transport; /* NULL: cannot be used here */
    struct link *link;
};

struct link_message_wire {
    struct tcp_port *port; /* of the tcp transport; NULL: none */
    struct link_message_candidate candidates[LINK_MESSAGE_TRANSPORTS];
    unsigned count;
    struct transport *transport; /* the one; NULL before link_message_wire_connect() */
    struct link *link;
};

/** Make this end with every transport that the request allows. Out: address: what the other end needs. KOLO_ERR_ARGUMENT: there is no
 *  transport of that name. Undone by link_message_wire_close() in any case. */
kolo_status link_message_wire_open(struct link_message_wire *wire, struct wire_writer *address,
                                   const struct link_place *place);
kolo_status link_message_wire_connect(struct link_message_wire *wire, struct wire_reader *address,
                                      const struct link_place *place, uint64_t deadline_ns);
void link_message_wire_close(struct link_message_wire *wire);

/** Why the link is lost: as the transport says. */
kolo_status link_message_wire_lost(const struct link_message_wire *wire);

/** Sleep until something happens on the wire or on the control connection, for 20 ms at most. */
void link_message_wire_sleep(const struct link_message_wire *wire, int control_fd);

#endif
