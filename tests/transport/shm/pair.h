/* pair: one end of a shared-memory link whose other end is in another process. The two exchange their offers over a
 * socket pair that was made before the fork. */
#ifndef KOLO_TESTS_SHM_PAIR_H
#define KOLO_TESTS_SHM_PAIR_H

#include "transport/transport.h"

#define PAIR_PATIENCE_S                                                                            \
    20 /* no single event takes longer, even with sanitizers on a busy machine */

struct pair_end {
    struct transport *transport;
    struct link *link;
};

/** Make a transport for peer number `self`. Ends the process if that fails. */
struct transport *pair_transport(unsigned self);

/** Connect `transport` of peer `self` with peer `other`, whose process has the other end of `socket`. Ends the process if that
 *  fails. The lower number dials. */
struct link *pair_link(struct transport *transport, unsigned self, unsigned other, int socket);

/** The same for a transport of its own: self is 0 or 1. */
void pair_open(struct pair_end *end, unsigned self, int socket);
void pair_close(struct pair_end *end);

/** Bring a link up. */
void pair_wait_up(struct link *link);

/** Post a transfer with all of `data` ready; its header begins with `tag`. */
void pair_send(struct link *link, unsigned lane, struct transfer *transfer, const void *data,
               size_t length, uint32_t tag);
void pair_receive(struct link *link, unsigned lane, struct transfer *transfer, void *data,
                  size_t length, uint32_t tag);

/** Progress until the transfer is not posted any more; ends the process when that takes too long. */
void pair_wait(struct link *link, const struct transfer *transfer);

/** How often sleep() has returned only because its time was up, in this process. */
extern unsigned pair_slept_out;
#define PAIR_SLEEP_NS (90 * 1000 * 1000ull)

/** The same, with one call of sleep(), or poll() on wait_fd, for each progress() without news. */
void pair_wait_asleep(struct link *link, const struct transfer *transfer);
void pair_wait_polling(struct link *link, const struct transfer *transfer);

#endif
