/* MPICH's mpiexec (hydra), and those made from it (Intel MPI, MVAPICH). */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/env.h"
#include "runtime/base/status.h"
#include "runtime/launch/launcher.h"

#define PROXY_NAME "hydra_pmi_proxy" /* 15 letters: as much as the kernel keeps of a name */
#define ANCESTORS_MAX 64

struct process {
    int parent;
    unsigned long long start; /* clock ticks since boot */
    char name[16];
};

/* mpiexec -pmi-port: whoever connects there is told rank and size, and no variable says them. */
static bool told_by_port_only(void)
{
    return launcher_has("PMI_PORT") && launcher_has("MPI_LOCALNRANKS") && !launcher_has("PMI_RANK");
}

/* Slurm's own PMI sets PMI_RANK and PMI_SIZE, too, but knows no MPI_LOCALNRANKS. */
static bool mpich_present(void)
{
    bool hydra = launcher_has("MPI_LOCALNRANKS") || !launcher_slurm.present();
    return (hydra && launcher_has("PMI_RANK") && launcher_has("PMI_SIZE")) || told_by_port_only();
}

/* /proc/PID/stat: "pid (name) state parent ... start ..."; the name may have blanks and brackets, the last one closes it. */
static bool read_process(struct process *process, int pid)
{
    char path[64];
    char line[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    size_t length = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[length] = '\0';
    char *name = strchr(line, '(');
    char *close = strrchr(line, ')');
    if (name == NULL || close == NULL || name > close) {
        return false;
    }
    *close = '\0';
    snprintf(process->name, sizeof process->name, "%.15s", name + 1);
    return sscanf(
               close + 1,
               " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &process->parent, &process->start) == 2;
}

/* Hydra gives its jobs no id. All ranks of a host descend from one proxy, though, whose process id and start are the job's
 * own; wrappers (a shell, numactl) may stand in between. Without a visible proxy (another process namespace): the parent. */
static void read_run_id(struct launcher_word *word)
{
    struct process process;
    int pid = getppid();
    for (int i = 0; i < ANCESTORS_MAX && pid > 1 && read_process(&process, pid); i++) {
        if (strcmp(process.name, PROXY_NAME) == 0) {
            launcher_run_id(word, "mpich-%d-%llu", pid, process.start);
            return;
        }
        pid = process.parent;
    }
    launcher_run_id(word, "mpich-%d", (int)getppid());
}

static kolo_status mpich_read(struct launcher_word *word)
{
    int local_size = 0;
    if (told_by_port_only()) {
        return fail(KOLO_ERR_ARGUMENT,
                    "PMI_PORT is set, and PMI_RANK is not: start mpiexec without "
                    "-pmi-port");
    }
    kolo_status status = launcher_rank_size(word, "PMI_RANK", "PMI_SIZE");
    if (status == KOLO_OK) {
        status = env_int(&word->local_rank, "MPI_LOCALRANKID", 0, LAUNCH_SIZE_MAX);
    }
    if (status == KOLO_OK) {
        status = env_int(&local_size, "MPI_LOCALNRANKS", 1, LAUNCH_SIZE_MAX);
    }
    if (status != KOLO_OK) {
        return status;
    }
    if (local_size == word->size) {
        read_run_id(word);
        launcher_hashed_contact(word, LAUNCH_LOCAL_HOST);
    } else {
        /* A host's proxy says nothing on the others; the job's id is the channel's to tell. */
        word->channel = launcher_has("PMI_FD") ? LAUNCH_PMI : LAUNCH_NO_CHANNEL;
        snprintf(word->cause, sizeof word->cause,
                 "MPICH runs %d ranks on several hosts (%d here) and does not say where",
                 word->size, local_size);
        snprintf(word->cure, sizeof word->cure,
                 "add -genv KOLO_PEERS HOST:PORT to mpiexec, HOST being where rank 0 runs and PORT "
                 "a free one");
    }
    return KOLO_OK;
}

const struct launcher launcher_mpich = {
    .name = "MPICH",
    .keyword = "mpich",
    .present = mpich_present,
    .read = mpich_read,
};
