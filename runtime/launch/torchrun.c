/* torchrun, and whatever sets the variables of torch.distributed's env:// for every process. */
#include <stdio.h>

#include "runtime/base/env.h"
#include "runtime/base/status.h"
#include "runtime/launch/launcher.h"

/* RANK and WORLD_SIZE alone do not count: some platforms set them once a host, not once a process. LOCAL_RANK tells. */
static bool torchrun_present(void)
{
    bool ranks = launcher_has("RANK") && launcher_has("WORLD_SIZE") && launcher_has("LOCAL_RANK");
    bool store = launcher_has("MASTER_ADDR") && launcher_has("MASTER_PORT");
    return ranks && (store || launcher_has("TORCHELASTIC_RUN_ID"));
}

/* MASTER_PORT itself is bound by torch's store; its neighbour is ours. */
static kolo_status read_contact(struct launcher_word *word)
{
    const char *host = env_text("MASTER_ADDR");
    int port = 0;
    kolo_status status = env_int(&port, "MASTER_PORT", 1, UINT16_MAX - 1);
    if (status != KOLO_OK) {
        return status;
    }
    if (host == NULL || port == 0) {
        snprintf(word->cause, sizeof word->cause, "MASTER_ADDR and MASTER_PORT are not both set");
        snprintf(word->cure, sizeof word->cure,
                 "set KOLO_PEERS=HOST:PORT, HOST being where rank 0 runs");
        return KOLO_OK;
    }
    if (snprintf(word->contact.host, sizeof word->contact.host, "%s", host) >= LAUNCH_HOST_MAX) {
        return fail(KOLO_ERR_ARGUMENT, "MASTER_ADDR is longer than %d bytes", LAUNCH_HOST_MAX - 1);
    }
    word->contact.port = port + 1;
    return KOLO_OK;
}

/* Agents count restarts each for themselves (those that another host's failure causes are not counted), so that the count
 * tells incarnations apart on one host only. */
static void read_run_id(struct launcher_word *word, int local_size)
{
    const char *id = env_text("TORCHELASTIC_RUN_ID");
    const char *restarts = env_text("TORCHELASTIC_RESTART_COUNT");
    if (id == NULL) {
        launcher_run_id(word, "torchrun-%s-%d", word->contact.host, word->contact.port);
    } else if (local_size == word->size && restarts != NULL) {
        launcher_run_id(word, "torchrun-%s-%s", id, restarts);
    } else {
        launcher_run_id(word, "torchrun-%s", id);
    }
}

static kolo_status torchrun_read(struct launcher_word *word)
{
    int local_size = 0;
    kolo_status status = launcher_rank_size(word, "RANK", "WORLD_SIZE");
    if (status == KOLO_OK) {
        status = env_int(&word->local_rank, "LOCAL_RANK", 0, LAUNCH_SIZE_MAX);
    }
    if (status == KOLO_OK) {
        status = env_int(&local_size, "LOCAL_WORLD_SIZE", 1, LAUNCH_SIZE_MAX);
    }
    if (status == KOLO_OK) {
        status = read_contact(word);
    }
    if (status == KOLO_OK) {
        read_run_id(word, local_size);
    }
    return status;
}

const struct launcher launcher_torchrun = {
    .name = "torchrun",
    .keyword = "torchrun",
    .present = torchrun_present,
    .read = torchrun_read,
};
