#include "tools/link_guest.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

const struct link_guest *link_guest_find(const struct link_guest *kinds, uint16_t purpose)
{
    for (; kinds != NULL && kinds->serve != NULL; kinds++) {
        if (kinds->purpose == purpose) {
            return kinds;
        }
    }
    return NULL;
}

static pid_t *free_place(struct link_guests *guests)
{
    pid_t *place = NULL;
    for (unsigned i = 0; i < LINK_GUESTS_MAX; i++) {
        pid_t *child = &guests->child[i];
        if (*child != 0 && waitpid(*child, NULL, WNOHANG) != 0) {
            *child = 0;
        }
        place = *child == 0 ? child : place;
    }
    return place;
}

bool link_guests_room(struct link_guests *guests)
{
    return free_place(guests) != NULL;
}

/* In the new process. */
static _Noreturn void be_child(const struct link_guest *kind, int fd, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(EXIT_FAILURE);
    }
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (fd > STDERR_FILENO + 1) {
        close_range(STDERR_FILENO + 1, (unsigned)fd - 1, 0);
    }
    close_range((unsigned)fd + 1, ~0U, 0);
    kind->serve(fd);
    _exit(EXIT_SUCCESS);
}

bool link_guests_start(struct link_guests *guests, const struct link_guest *kind, int fd)
{
    pid_t *place = free_place(guests);
    assert(place != NULL);
    pid_t parent = getpid();
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        be_child(kind, fd, parent);
    }
    if (child > 0) {
        *place = child;
    }
    return child > 0;
}

void link_guests_end(struct link_guests *guests)
{
    for (unsigned i = 0; i < LINK_GUESTS_MAX; i++) {
        if (guests->child[i] != 0) {
            (void)kill(guests->child[i], SIGKILL);
            while (waitpid(guests->child[i], NULL, 0) < 0 && errno == EINTR) {
            }
            guests->child[i] = 0;
        }
    }
}
