#include "tests/transport/conformance/wire_verbs_spare.h"

#include <stdlib.h>

#include "runtime/base/clock.h"
#include "transport/tcp/port.h"
#include "transport/verbs/link.h"

#define PEER_TIMEOUT_NS (3 * NS_PER_S)
#define TRANSPORTS_MAX 16

struct spare_port {
    struct verbs_wire wire; /* first */
    struct tcp_port *port;
};

struct verbs_wire *wire_verbs_spare_open(const struct device_wish *wish, const uint8_t *id)
{
    struct spare_port *made = calloc(1, sizeof *made);
    struct port_config port = {.run = {'s', 'p', 'a', 'r', 'e'},
                               .peer_timeout_ns = PEER_TIMEOUT_NS};
    struct transport_config config = {.peer_timeout_ns = PEER_TIMEOUT_NS};
    memcpy(port.self, id, sizeof port.self);
    memcpy(config.self, id, sizeof config.self);
    if (made == NULL || tcp_port_open(&made->port, &port) != KOLO_OK) {
        free(made);
        return NULL;
    }
    config.wire = made->port;
    made->wire.wish = *wish;
    if (transport_tcp.create(&made->wire.spare, &config) != KOLO_OK) {
        tcp_port_close(made->port);
        free(made);
        return NULL;
    }
    return &made->wire;
}

void wire_verbs_spare_close(struct verbs_wire *wire)
{
    struct spare_port *made = (struct spare_port *)wire;
    wire->spare->ops->destroy(wire->spare);
    tcp_port_close(made->port);
    free(made);
}

/* ---- everything by the spare -------------------------------------------------------------------------------------- */

static struct transport_ops ops;
static struct verbs *transports[TRANSPORTS_MAX];

static kolo_status create(struct transport **transport, const struct transport_config *config)
{
    kolo_status status = transport_verbs.create(transport, config);
    unsigned i = 0;
    while (i < TRANSPORTS_MAX && transports[i] != NULL) {
        i++;
    }
    if (status == KOLO_OK && i < TRANSPORTS_MAX) {
        (*transport)->ops = &ops;
        transports[i] = (struct verbs *)*transport;
    }
    return status;
}

static void destroy(struct transport *transport)
{
    for (unsigned i = 0; i < TRANSPORTS_MAX; i++) {
        if (transports[i] == (struct verbs *)transport) {
            transports[i] = NULL;
        }
    }
    transport_verbs.destroy(transport);
}

/* Is the other end up, or gone? */
static bool other_is_up(const struct verbs_link *link)
{
    for (unsigned i = 0; i < TRANSPORTS_MAX; i++) {
        const struct verbs_link *other = transports[i] != NULL ? transports[i]->links : NULL;
        for (; other != NULL; other = other->next) {
            if (other != link && other->token == link->token && other->state != LINK_UP) {
                return false;
            }
        }
    }
    return true;
}

static enum link_state state(const struct link *base, kolo_status *why, const char **text)
{
    /* It is the transport's, and was never const. */
    struct verbs_link *link = (struct verbs_link *)(uintptr_t)base;
    enum link_state now = transport_verbs.link_state(base, why, text);
    if (now != LINK_UP || spare_path(link) != NULL || link->leaving) {
        return now;
    }
    for (unsigned i = 0; i < link->rails && other_is_up(link); i++) {
        rail_break(&link->rail[i], KOLO_ERR_PEER_LOST, "it is taken away");
    }
    return LINK_CONNECTING;
}

const struct transport_ops *wire_verbs_spare_ops(void)
{
    ops = transport_verbs;
    ops.create = create;
    ops.destroy = destroy;
    ops.link_state = state;
    return &ops;
}
