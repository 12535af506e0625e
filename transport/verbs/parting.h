/* parting: how a link ends on purpose: the goodbye, the time in which what was sent still arrives, and what is left to receive
 * after the peer's goodbye. */
#ifndef KOLO_VERBS_PARTING_H
#define KOLO_VERBS_PARTING_H

#include "transport/verbs/link.h"

/* For what was sent to arrive, in the background: at least; as long as a silent peer is given, since a rail that is cut off is
 * noticed late. */
#define PARTING_NS (2 * NS_PER_S)
#define PARTING_FLUSH_NS                                                                           \
    (50 * NS_PER_MS) /* the same, when the poster's memory is involved: then the caller waits */
#define PARTING_DESTROY_NS                                                                         \
    (100 * NS_PER_MS)  /* and for all links of a transport that is destroyed */
#define PARTING_MAX 64 /* links in the background */

/** Say goodbye: nothing follows. */
void parting_say(struct verbs_link *link);

/** Has all that was sent been acknowledged by the peer's device, or is there no way any more? */
bool parting_is_over(const struct verbs_link *link);

/** Wait until then, but not beyond the deadline. */
void parting_flush(struct verbs_link *link, uint64_t deadline_ns);

/** link_close(): fail what is posted; let the rest go out in the background. */
void parting_close(struct verbs_link *link);

/** destroy(): forget what is posted, end all links and free them. What breaks meanwhile is mended; a path that is cut in silence is
 *  noticed too late for that. */
void parting_destroy(struct verbs *verbs);

/** The peer has left: have all frames come that it sent before? */
bool parting_has_all(const struct verbs_link *link);

/** The peer has left: is there anything to be received still, and nothing posted that waits in vain? `coming`: frames that it
 *  sent before may still come. */
bool parting_lives_on(struct verbs_link *link, bool coming);

#endif
