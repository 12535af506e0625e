/* wire_verbs_spare: what a verbs transport is told that has a TCP transport beside it, on a port of its own, for links that lose all
 * their rails. */
#ifndef KOLO_TESTS_CONFORMANCE_WIRE_VERBS_SPARE_H
#define KOLO_TESTS_CONFORMANCE_WIRE_VERBS_SPARE_H

#include "transport/transport.h"
#include "transport/verbs/verbs.h"

/** For the peer with that identity. NULL: it cannot be made. Freed by wire_verbs_spare_close(), after the verbs transport. */
struct verbs_wire *wire_verbs_spare_open(const struct device_wish *wish, const uint8_t *id);
void wire_verbs_spare_close(struct verbs_wire *wire);

/** As transport_verbs, but that links lose their rails as soon as both ends have come up: everything goes by the spare. For several
 *  peers in one process. */
const struct transport_ops *wire_verbs_spare_ops(void);

#endif
