#include "tools/run_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/command.h"
#include "tools/run_settings.h"

/** The keeper's life. Never returns. */
static void keep(int launcher, const char *folder)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL); /* what is sent to the group is meant for the peers */
    char byte;
    while (read(launcher, &byte, 1) < 0 && errno == EINTR) {
    }
    if (folder[0] != '\0') {
        run_settings_remove_folder(
            folder); /* the peers themselves have died with the launcher: PR_SET_PDEATHSIG */
    }
    kill(0, SIGKILL);
    _exit(0);
}

int run_keeper_start(struct run_keeper *keeper, const char *folder)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return command_failed(&command_run, "pipe failed: %s", strerror(errno));
    }
    keeper->group = fork();
    if (keeper->group < 0) {
        int error = errno;
        close(ends[0]);
        close(ends[1]);
        return command_failed(&command_run, "fork failed: %s", strerror(error));
    }
    if (keeper->group == 0) {
        setpgid(0, 0);
        dup2(ends[0],
             0); /* holds nothing else open: not the terminal, not a pipe that somebody waits for */
        close_range(1, ~0U, 0);
        keep(0, folder);
    }
    setpgid(keeper->group, keeper->group); /* whoever is first: the peers join at once */
    close(ends[0]);
    keeper->alive = ends[1];
    return 0;
}

void run_keeper_stop(struct run_keeper *keeper)
{
    kill(-keeper->group, SIGKILL);
    while (waitpid(keeper->group, NULL, 0) < 0 && errno == EINTR) {
    }
    close(keeper->alive);
}
