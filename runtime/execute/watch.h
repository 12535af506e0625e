/* watch: the engine's side of the control connections: hears of failures and good-byes, tells of its own, and asks peers what
 * they are doing when an operation stands still. A part of the engine; nobody else includes it. */
#ifndef KOLO_EXECUTE_WATCH_H
#define KOLO_EXECUTE_WATCH_H

#include "runtime/execute/engine.h"

#define WATCH_WAKE UINT32_MAX /* tags of descriptors in the engine's epoll that are not ranks */
#define WATCH_TRANSPORT (UINT32_MAX - 1)

/** Read what has come on the control connections, waiting at most `wait_ms` for it. Returns KOLO_OK, or the status with which the
 *  engine has failed because of it. */
kolo_status watch_look(struct engine *engine, int wait_ms);

/** Take the frames that have been read from the control connections already, with whatever else has come: frames behind one that
 *  ended a phase are invisible to epoll. Returns as watch_look() does. */
kolo_status watch_drain(struct engine *engine);

/** Tell all peers why this engine fails (engine->status, engine->text). */
void watch_tell_failure(struct engine *engine, uint32_t culprit);

/** Tell a peer the latest operations called here (as far as they are remembered), so that it finds what it has called otherwise. */
void watch_tell_past(struct engine *engine, uint32_t peer);

/** Ask all peers what they are doing: an operation stands still. */
void watch_ask(struct engine *engine);

/** Which peers have not answered: "; rank 3 does not answer: it is not in a call of kolo". Returns text, maybe empty. */
const char *watch_silent(const struct engine *engine, char *text, size_t text_bytes);

/** Tell all peers that this process leaves in good order. */
void watch_say_goodbye(struct engine *engine);

/** Send `bytes` to all as CONTROL_SETTLE, and take the worst of what all send. */
kolo_status watch_settle(struct engine *engine, struct network_uniform *network,
                         const uint8_t *bytes, size_t length, uint64_t deadline_ns);

#endif
