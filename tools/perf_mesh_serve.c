#include "tools/perf_mesh_serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tools/doctor_peer.h"
#include "tools/link.h"
#include "tools/perf_mesh_agent.h"

/* One `kolo doctor HOST`: look at this host, then answer. */
static void answer_doctor(int fd)
{
    struct doctor_view *view = calloc(1, sizeof *view);
    if (view != NULL) {
        doctor_view_read(view);
        doctor_peer_answer(fd, view);
        free(view);
    }
}

const struct link_guest mesh_guests[] = {
    {LINK_PURPOSE_MESH, mesh_agent_serve}, {LINK_PURPOSE_DOCTOR, answer_doctor}, {0, NULL}};

static void say_port(void *context, int port)
{
    const struct command *command = context;
    printf("kolo %s: serving on port %d\n", command->name, port);
    fflush(stdout);
}

int mesh_serve(const struct command *command, int port)
{
    struct command copy = *command;
    struct link_service service = {
        .port = port, .guests = mesh_guests, .listening = say_port, .context = &copy};
    service.end = (struct link_end){.gid_index = -1, .numa_node = -1, .core = -1};
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    service.stop_fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    if (service.stop_fd < 0) {
        return command_failed(command, "signalfd: %s", strerror(errno));
    }
    kolo_status status = link_serve(&service);
    close(service.stop_fd);
    return status == KOLO_OK ? COMMAND_OK : command_failed(command, "%s", kolo_last_error());
}
