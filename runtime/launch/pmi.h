/* pmi: PMI-1 as hydra speaks it: lines of "cmd=NAME key=value ...", one answer to one question, on a stream socket.
 *
 * The socket may be an MPI library's, too: nothing about it is changed, nothing is read beyond the answer, and a question is asked
 * only while no answer to somebody else's is on its way. Errors are explained without a log line; after one, which answer
 * belongs to which question is no longer known, and the conversation is over. */
#ifndef KOLO_LAUNCH_PMI_H
#define KOLO_LAUNCH_PMI_H

#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PMI_LINE_MAX 4096 /* of a question or an answer */
#define PMI_NAME_MAX                                                                               \
    256 /* of the job's key-value space, final zero included; longer ones are refused */

struct pmi {
    int fd;                     /* borrowed */
    char space[PMI_NAME_MAX];   /* name of the key-value space: the job's own */
    int key_bytes, value_bytes; /* the most that the launcher takes, final zero included */
};

/** Begin: "init". Once a process, and not where an MPI library has done it.
 *  All of these return KOLO_OK; KOLO_ERR_TIMEOUT (no answer by `deadline_ns`), KOLO_ERR_PROTOCOL (an answer that is too long, not
 *  to the question, or none of PMI; quoted), KOLO_ERR_SYSTEM (closed, or refused by the launcher; quoted). */
kolo_status pmi_init(const struct pmi *pmi, uint64_t deadline_ns);

/** Ask for the limits and the name of the key-value space. Out: the rest of `pmi`. */
kolo_status pmi_ask_space(struct pmi *pmi, uint64_t deadline_ns);

/** Leave a value, for others to get after the next barrier. No blanks, equal signs or line ends in either. KOLO_ERR_LIMIT if one is
 *  longer than the launcher takes. */
kolo_status pmi_put(const struct pmi *pmi, const char *key, const char *value,
                    uint64_t deadline_ns);

/** Wait until all ranks have called it. */
kolo_status pmi_barrier(const struct pmi *pmi, uint64_t deadline_ns);

/** Out: value, on success only. A key that nobody has put is KOLO_ERR_SYSTEM. */
kolo_status pmi_get(const struct pmi *pmi, char *value, size_t value_bytes, const char *key,
                    uint64_t deadline_ns);

/** Say that this process will end in good order. The launcher closes its end: nobody can use the socket afterwards. */
kolo_status pmi_finalize(const struct pmi *pmi, uint64_t deadline_ns);

/** "cmd=a name=value": the value of `name` up to the next blank. False if it is missing or does not fit. */
bool pmi_field(char *value, size_t value_bytes, const char *line, const char *name);

#endif
