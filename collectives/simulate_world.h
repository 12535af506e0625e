/* simulate_world: the nodes of a simulation, their lanes, ports and processors, and the shapes of their schedules. simulate.c
 * makes things happen in it. */
#ifndef KOLO_COLLECTIVES_SIMULATE_WORLD_H
#define KOLO_COLLECTIVES_SIMULATE_WORLD_H

#include "collectives/simulate.h"
#include "collectives/simulate_events.h"
#include "collectives/simulate_progress.h"
#include "collectives/simulate_shape.h"

#define WORLD_NO_LANE UINT32_MAX

/** A lane of a node, in one direction. */
struct world_lane {
    double free;      /* sending: the granule before this one is through */
    double link_free; /* sending, on the first lane of a link: the link takes the next granule */
    uint32_t message; /* the current one: being sent, or being taken up */
    union {
        uint32_t facing;   /* sending: the peer's lane that receives */
        uint32_t arriving; /* receiving: the message whose granules arrive */
    };
    uint32_t next_waiting; /* sending: in the queue for the port */
    bool pending;          /* an event or the queue for the port will try it again */
    bool charged;          /* sending: the processor has prepared the current message */
};

struct world_node {
    const struct shape *shape;
    struct world_lane *lane; /* [shape->lanes] */
    uint32_t *page;          /* table of simulate_progress */
    double send_port_Bps, receive_port_Bps;
    double send_port_free, receive_port_free, processor_free; /* when they take the next granule */
    double done;                          /* when the last step so far was over */
    double bytes_sent;                    /* so far */
    uint32_t steps_left;                  /* not over */
    uint32_t waiting_first, waiting_last; /* lanes that wait for the port to send */
    bool port_pending;                    /* an event will serve the queue */
};

struct world {
    const struct network *network;
    struct world_node *node; /* [size] */
    uint32_t size;
    struct shape **shape; /* [shapes], owned; ranks share them */
    uint32_t shapes;
    struct events events;
    struct progress_pool progress;
    double now;            /* seconds */
    double chunk_bytes;    /* of one chunk: fluid, so a fraction is allowed */
    uint64_t messages;     /* of all ranks */
    double chunk_granules; /* pieces that a chunk is moved in, a fraction as well */
    uint32_t depth;        /* of handlers that cause one another at the same time */
    kolo_status status;    /* the first error; the simulation then ends */
};

/** Build the schedules of all ranks and lay out the nodes.
 *  Returns KOLO_OK, KOLO_ERR_MEMORY, KOLO_ERR_LIMIT, KOLO_ERR_INTERNAL. Out: world, to be freed with world_free in any case. */
kolo_status world_init(struct world *world, const struct network *network,
                       const struct algorithm *algorithm, uint32_t root, uint64_t bytes);
void world_free(struct world *world);

/** Granules that a message of so many chunks is moved in. */
uint32_t world_granules(const struct world *world, uint32_t chunks);

#endif
