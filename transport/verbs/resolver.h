/* resolver: the way to a neighbour on Ethernet. Before a queue pair can send to a RoCE address, the kernel must know the neighbour's hardware
 * address; where nobody answers it asks for a second, and whoever connects the queue pair hangs in that call. So the kernel is asked
 * before, by threads that live while there is something to ask: they make an address handle for the route and drop it again. What the
 * kernel has learned thereby stays in its neighbour table. One thread uses a resolver. */
#ifndef KOLO_VERBS_RESOLVER_H
#define KOLO_VERBS_RESOLVER_H

#include <infiniband/verbs.h>
#include <kolo/kolo.h>
#include <stdbool.h>

#define RESOLVER_THREADS 32 /* at most: neighbours that are asked for at once */

struct resolver;
struct resolution; /* of one route */

/** KOLO_ERR_MEMORY, KOLO_ERR_SYSTEM. Out: resolver, for resolver_close(). */
kolo_status resolver_open(struct resolver **resolver);

/** After all resolutions have ended. Waits for the kernel where it is still busy: a second at most. NULL is allowed. */
void resolver_close(struct resolver *resolver);

/** Polls readable when a resolution is done, until resolver_hear(). Constant. */
int resolver_fd(const struct resolver *resolver);
void resolver_hear(struct resolver *resolver);

/** Ask for a route. `pd` must outlive the resolver. KOLO_ERR_MEMORY; KOLO_ERR_SYSTEM: no thread to be had. Out: resolution, for
 *  resolution_end(). */
kolo_status resolver_ask(struct resolution **resolution, struct resolver *resolver,
                         struct ibv_pd *pd, const struct ibv_ah_attr *route);

/** Is the answer there? Out: error: 0, or what the kernel says of a neighbour that cannot be reached (an errno). */
bool resolution_is_done(const struct resolution *resolution, int *error);

/** It is wanted no more, done or not. NULL is allowed. */
void resolution_end(struct resolution *resolution);

#endif
