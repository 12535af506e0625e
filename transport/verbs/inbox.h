/* inbox: the receives of one lane, and the frames that have come for them. Spans point into the slots; other receives are copied
 * from there, or find their bytes in place (a put). A slot is given back when all of its frame has been taken. */
#ifndef KOLO_VERBS_INBOX_H
#define KOLO_VERBS_INBOX_H

#include "transport/queue.h"
#include "transport/verbs/credit.h"

#define INBOX_PUT_BYTES (64u * 1024) /* shorter receives are not granted: copying them is as fast */
#define INBOX_STEP_BYTES (1u << 20)  /* copied by one step */

struct verbs_link;

struct inbox {
    struct verbs_link *link;
    struct credit_in *in;
    unsigned lane;
    struct queue queue;
    bool open;       /* a message has been matched with the first receive */
    bool loaded;     /* `frame` is the front frame */
    bool broken;     /* the peer sent nonsense */
    bool crossed;    /* a mismatch has made grants wrong that the peer may use */
    uint32_t number; /* of the message that comes next or is open */
    struct transfer
        *unasked; /* first receive that has not been considered for a grant; NULL: none */
    uint32_t unasked_number; /* its message's */
    /* The front frame. For spans its end may be lengthened by the first bytes of those behind it (see extend()). */
    struct frame frame;
    size_t end;              /* bytes of message behind its header */
    size_t taken;            /* of those */
    uint32_t merged;         /* frames behind it that have wholly become part of it */
    size_t merged_bytes;     /* of the next one behind those, likewise */
    uint64_t expected;       /* offset of the frame that is loaded next */
    uint64_t received_bytes; /* payload, ever */
};

/** Bring what has come to its receives. True if anything moved. */
bool inbox_step(struct inbox *box);

/** Give back the first bytes of the span. */
void inbox_release(struct inbox *box, struct transfer *transfer, size_t bytes);

/** A receive has been put into the queue. */
void inbox_posted(struct inbox *box, struct transfer *transfer);

/** Grant puts for receives that suit. True if it told the peer of any. */
bool inbox_grant(struct inbox *box);

/** Take back a receive of which nothing has moved, that no other follows, and that the peer may not write. False: impossible. */
bool inbox_cancel(struct inbox *box, struct transfer *transfer);

/** Has all of the message come that is the next or open? */
bool inbox_has_whole(struct inbox *box);

/** Where in a granted receive these bytes of the peer's put belong; NULL: nothing of the kind was granted. */
uint8_t *inbox_granted(const struct inbox *box, uint64_t address, size_t bytes);

/** May the peer write the poster's memory? */
bool inbox_lends(const struct inbox *box);

#endif
