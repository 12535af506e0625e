#include "runtime/api/settings.h"

#include <stddef.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/env.h"
#include "runtime/base/status.h"
#include "runtime/execute/wires.h"

#define OPEN_TIMEOUT_S 60.0
#define TIMEOUT_S 300.0
#define PEER_TIMEOUT_S 10.0
#define GID_INDEX_MAX 255 /* a GID index has eight bits */
#define QUEUE_PAIRS_MAX 4 /* of a verbs link, over all its ports */

/* A caller compiled against an older, shorter structure is served with the defaults of what it does not know. */
static kolo_status copy_config(kolo_config *copy, const kolo_config *config)
{
    *copy = (kolo_config)KOLO_CONFIG_INIT;
    if (config == NULL) {
        return KOLO_OK;
    }
    if (config->struct_size < offsetof(kolo_config, size) || config->struct_size > 4096) {
        return fail(KOLO_ERR_ARGUMENT,
                    "kolo_open: config->struct_size is %zu; start from KOLO_CONFIG_INIT",
                    config->struct_size);
    }
    size_t known = config->struct_size < sizeof *copy ? config->struct_size : sizeof *copy;
    memcpy(copy, config, known);
    return KOLO_OK;
}

static kolo_status read_time(uint64_t *span_ns, double given_s, const char *variable,
                             double default_s)
{
    double seconds = default_s;
    kolo_status status = KOLO_OK;
    if (given_s != 0) {
        seconds = given_s;
        if (!(seconds > 0)) {
            return fail(KOLO_ERR_ARGUMENT,
                        "kolo_open: a time limit of %g s; it must be above 0 (0: the default)",
                        seconds);
        }
    } else {
        status = env_seconds(&seconds, variable);
    }
    *span_ns = clock_ns_from_s(seconds);
    return status;
}

static const char *read_text(const char *given, const char *variable)
{
    return given != NULL && given[0] != '\0' ? given : env_text(variable);
}

kolo_status settings_read(struct settings *settings, const kolo_config *config)
{
    kolo_config copy;
    memset(settings, 0, sizeof *settings);
    kolo_status status = copy_config(&copy, config);
    if (status == KOLO_OK) {
        status = launch_read(&settings->launch, &copy);
    }
    if (status == KOLO_OK) {
        status = read_time(&settings->open_timeout_ns, copy.open_timeout_s, "KOLO_OPEN_TIMEOUT",
                           OPEN_TIMEOUT_S);
    }
    if (status == KOLO_OK) {
        status = read_time(&settings->timeout_ns, copy.timeout_s, "KOLO_TIMEOUT", TIMEOUT_S);
    }
    if (status == KOLO_OK) {
        status = read_time(&settings->peer_timeout_ns, copy.peer_timeout_s, "KOLO_PEER_TIMEOUT",
                           PEER_TIMEOUT_S);
    }
    if (status == KOLO_OK) {
        status = wires_parse(&settings->transports, read_text(copy.transport, "KOLO_TRANSPORT"));
    }
    settings->verbs_devices = env_text("KOLO_VERBS_DEVICE");
    settings->verbs_gid_index = -1;
    if (status == KOLO_OK) {
        status = env_int(&settings->verbs_gid_index, "KOLO_VERBS_GID_INDEX", 0, GID_INDEX_MAX);
    }
    settings->verbs_queue_pairs = 1;
    if (status == KOLO_OK) {
        status =
            env_int(&settings->verbs_queue_pairs, "KOLO_VERBS_QUEUE_PAIRS", 1, QUEUE_PAIRS_MAX);
    }
    settings->algorithm = read_text(copy.algorithm, "KOLO_ALGORITHM");
    settings->interfaces = read_text(copy.interfaces, "KOLO_INTERFACES");
    return status;
}
