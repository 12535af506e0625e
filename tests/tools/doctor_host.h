/* doctor_host: a host that a test puts up: files below a folder that stands for /, and a view to fill in. Removed at the end. */
#ifndef KOLO_TESTS_TOOLS_DOCTOR_HOST_H
#define KOLO_TESTS_TOOLS_DOCTOR_HOST_H

#include "tools/doctor_check.h"

/** The host of the running test. */
extern struct doctor_view host;
extern struct doctor_findings found;

/** For cmocka: an empty host before each test, and its end. */
int host_set_up(void **state);
int host_tear_down(void **state);

/** A file, with the folders it is in; a folder; a symbolic link. */
void host_put(const char *path, const char *text);
void host_folder(const char *path);
void host_link(const char *path, const char *target);

/** An address of an interface: "10.0.0.7/24". */
void host_address(const char *interface, const char *address, bool up);

/** An RDMA device of the kernel with one port of this state ("4: ACTIVE") and link layer, and the same for libibverbs. */
void host_device(const char *name, const char *state, const char *layer, const char *rate);
void host_gid(const char *device, unsigned index, const char *gid, const char *type);

/** Run one check from an empty list. */
void host_look(void (*check)(struct doctor_findings *findings, const struct doctor_view *view));

/** The worst finding is of this severity, and some finding of it has all of this in what was seen, why and cure. NULL: anything. */
void host_expect(enum doctor_severity severity, const char *seen, const char *why,
                 const char *cure);
/** Nothing was found at all. */
void host_expect_nothing(void);

#define HOST_TEST(name) cmocka_unit_test_setup_teardown(name, host_set_up, host_tear_down)

#endif
