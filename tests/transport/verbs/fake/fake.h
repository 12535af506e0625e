/* fake: RDMA devices that exist only in this process. The object library defines the functions of libibverbs that kolo calls, so
 * a test that links it runs the real transport on devices that obey: they vanish, lose their port, place payload in any
 * order, or fail any verb at any call. Reliable connected queue pairs behave as the InfiniBand specification (volume 1) and
 * ibv_post_send(3) say; nothing is ever corrupted silently. Not a model of speed, and not of unreliable services.
 *
 * Work that is posted is carried out later: when any completion queue is polled, by a thread of the fake's own (it lives while
 * a device is open, for those who sleep), or by fake_step(). The order of events is drawn from a seed.
 *
 * Every function may be called from any thread, at any time after fake_start(). */
#ifndef KOLO_TESTS_FAKE_H
#define KOLO_TESTS_FAKE_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_DEVICES_MAX 8
#define FAKE_PORTS_MAX 4
#define FAKE_GIDS_MAX 8

/** A slot of a port's GID table. */
struct fake_gid {
    const char *address; /* "10.77.0.1", "fe80::1"; NULL: the slot is empty */
    enum ibv_gid_type type;
};

/** A port; zero means the default. */
struct fake_port {
    bool down;
    bool infiniband;  /* reached by LID; else Ethernet, reached by GID */
    unsigned fabric;  /* ports reach each other within one fabric only */
    uint16_t lid;     /* InfiniBand: 0: 1 + 4 * device + port */
    enum ibv_mtu mtu; /* 4096 */
    uint8_t width;    /* as ibv_port_attr's: 2 (4x) */
    uint8_t speed;    /* as ibv_port_attr's: 32 (25 Gbit/s a lane) */
    struct fake_gid gid
        [FAKE_GIDS_MAX]; /* all empty: RoCE v1 and v2 of fe80::<device>:<port>, RoCE v2 of 10.77.<device>.<port> */
};

/** A device; zero means the default. Borrowed until fake_start() returns. */
struct fake_device {
    const char *name; /* "fake<index>" */
    unsigned ports;   /* 1 */
    struct fake_port port[FAKE_PORTS_MAX];
    bool iwarp;                /* announces itself as iWARP; carries data all the same */
    bool dmabuf;               /* ibv_reg_dmabuf_mr() works, on descriptors that can be mapped */
    bool peer_memory;          /* ibv_reg_mr() takes device memory (see fake_device_memory) */
    uint64_t pinned_bytes_max; /* registering more is ENOMEM, as RLIMIT_MEMLOCK does; unlimited */
    uint32_t inline_bytes_max; /* 256; more is refused with EINVAL */
    struct ibv_device_attr limits; /* fields that are 0 get a usual value */
};

/** A new world with these devices (NULL: all default); everything else is back at its default too. The old world must be
 *  empty: it aborts, naming what is open, if it is not. */
void fake_start(unsigned devices, const struct fake_device *device);

/** Objects that are open: contexts, domains, regions, channels, queues, pairs. Prints each of them. */
unsigned fake_leaks(void);

/* Order */

enum fake_order {
    FAKE_PROMPT = 0, /* all that can be done is done at every poll */
    FAKE_SHUFFLED, /* a few steps at every poll, drawn: pieces of payload in any order, then the receiver's completion, then
                        the sender's; queue pairs overtake each other */
    FAKE_MANUAL    /* only fake_step() does anything, in the manner of FAKE_SHUFFLED */
};
void fake_order(enum fake_order order, uint64_t seed);

/** Fill the place of a message with noise when its first byte comes, so that reading too early shows. Off at the start. */
void fake_garbage(bool on);

/** At most so many steps now. Returns how many there were. */
unsigned fake_step(unsigned steps);

/* Time: timeouts and delays pass as real time does, `factor` times as fast (1 at the start), and jump with fake_advance(). */
void fake_speed(unsigned factor);
void fake_advance(uint64_t ns);

/* Faults */

#define FAKE_VERBS(X)                                                                              \
    X(GET_DEVICE_LIST)                                                                             \
    X(OPEN_DEVICE)                                                                                 \
    X(QUERY_DEVICE)                                                                                \
    X(QUERY_PORT)                                                                                  \
    X(QUERY_GID)                                                                                   \
    X(QUERY_GID_TABLE)                                                                             \
    X(QUERY_PKEY)                                                                                  \
    X(ALLOC_PD)                                                                                    \
    X(CREATE_AH)                                                                                   \
    X(REG_MR)                                                                                      \
    X(REG_DMABUF_MR)                                                                               \
    X(CREATE_COMP_CHANNEL)                                                                         \
    X(CREATE_CQ)                                                                                   \
    X(RESIZE_CQ)                                                                                   \
    X(CREATE_SRQ)                                                                                  \
    X(CREATE_QP)                                                                                   \
    X(MODIFY_QP)                                                                                   \
    X(QUERY_QP)                                                                                    \
    X(POST_SEND)                                                                                   \
    X(POST_RECV)                                                                                   \
    X(POST_SRQ_RECV)                                                                               \
    X(POLL_CQ)                                                                                     \
    X(REQ_NOTIFY_CQ)                                                                               \
    X(GET_CQ_EVENT)                                                                                \
    X(GET_ASYNC_EVENT)                                                                             \
    X(FORK_INIT)

enum fake_verb {
#define FAKE_VERB_ENUMERATOR(name) FAKE_VERB_##name,
    FAKE_VERBS(FAKE_VERB_ENUMERATOR)
#undef FAKE_VERB_ENUMERATOR
        FAKE_VERB_COUNT
};

/** Make the nth call (1: the next) of the verb from now fail with this errno; 0: none. One fault a verb. */
void fake_fail(enum fake_verb verb, unsigned nth, int error);
/** How often the verb was called since fake_start(). */
unsigned fake_calls(enum fake_verb verb);
const char *fake_verb_name(enum fake_verb verb); /* "ALLOC_PD" */

/** The port goes down or up: its state changes, IBV_EVENT_PORT_ERR or _ACTIVE is raised, and nothing passes while it is down. Ports
 *  count from 1, devices from 0. */
void fake_port_set(unsigned device, unsigned port, bool up);

/** The device is pulled out: IBV_EVENT_DEVICE_FATAL, every verb but those that destroy fails with EIO, and it is listed no more. With
 *  `flush` what was posted comes back with IBV_WC_WR_FLUSH_ERR; without, its completion queues stay silent for ever. */
void fake_remove(unsigned device, bool flush);

/** What lies between two ports, both directions. Cut: queue pairs see retry exceeded after their own timeouts. */
void fake_path(unsigned device_a, unsigned port_a, unsigned device_b, unsigned port_b, bool cut,
               uint64_t delay_ns);

/** ibv_create_ah() does not return before this is taken back: nobody answers who has the address. */
void fake_hold_resolving(bool on);

/** The queue pair fails: IBV_EVENT_QP_FATAL, all is flushed. Its peer will see retry exceeded. False if there is none of this number. */
bool fake_break(uint32_t qp_number);

/** How many queue pairs there are, and the number of the index-th, in order of creation; 0 if there are fewer. */
unsigned fake_pairs(void);
uint32_t fake_pair(unsigned index);

/** The next `count` messages that need a receive find none, whatever is posted: the sender sees receiver-not-ready. */
void fake_not_ready(uint32_t qp_number, unsigned count);

/** This memory counts as a GPU's: ibv_reg_mr() is EFAULT on it, but for devices with peer_memory. One range; NULL: none. */
void fake_device_memory(const void *base, size_t bytes);

#endif
