/* doctor_socket: connecting, sending and receiving with a deadline, and telling apart the ways in which it fails. */
#ifndef KOLO_TOOLS_DOCTOR_SOCKET_H
#define KOLO_TOOLS_DOCTOR_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/** Every function returns 0 or an errno; ETIMEDOUT: the deadline has passed. ECONNRESET: the other end closed. */

/** Out: fd, non-blocking. */
int doctor_socket_connect(int *fd, const struct sockaddr *address, socklen_t bytes,
                          uint64_t deadline_ns);

/** Listen on `port` (0: any) of all addresses of a family (AF_INET, AF_INET6). Out: fd; port: the one in use. */
int doctor_socket_listen(int *fd, int *port, int family);

/** Accept one connection. Out: fd. */
int doctor_socket_accept(int *fd, int listener, uint64_t deadline_ns);

int doctor_socket_send(int fd, const void *bytes, size_t length, uint64_t deadline_ns);
int doctor_socket_receive(int fd, void *bytes, size_t length, uint64_t deadline_ns);

#endif
