/* Of two connections between the same two processes both ends must keep the same one, in whatever order they see them. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/membership/candidate.h"

/* One end: its view of the other, and a connection's number by its control. */
struct end {
    struct candidates candidates;
    struct candidate *other;
    int kept; /* the number of the connection it has; -1: none */
};

static struct control *some_control(void)
{
    int fds[2];
    struct control *control = NULL;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    close(fds[1]);
    assert_int_equal(control_open(&control, fds[0]), KOLO_OK);
    return control;
}

static void end_open(struct end *end, uint8_t self, uint8_t other)
{
    uint8_t id[TRANSPORT_ID_BYTES] = {other};
    *end = (struct end){.kept = -1};
    end->candidates.self[0] = self;
    end->other = candidates_get(&end->candidates, id);
    assert_non_null(end->other);
}

static void see(struct end *end, int number, bool dialled)
{
    if (candidate_prefers(&end->candidates, end->other, dialled)) {
        candidate_adopt(end->other, some_control(), dialled);
        end->kept = number;
    }
}

/* Connection 0 is dialled by end 0, connection 1 by end 1. Each end sees both, in one of two orders. */
static void both_ends_keep_the_same_connection_in_all_orders(void **state)
{
    (void)state;
    for (unsigned orders = 0; orders < 8; orders++) {
        struct end ends[2];
        bool swap = (orders & 4) != 0; /* which end has the smaller identity */
        end_open(&ends[0], swap ? 9 : 3, swap ? 3 : 9);
        end_open(&ends[1], swap ? 3 : 9, swap ? 9 : 3);
        for (int i = 0; i < 2; i++) {
            int first = (int)(orders >> i) & 1;
            see(&ends[i], first, first == i);
            see(&ends[i], 1 - first, 1 - first == i);
        }
        assert_int_equal(ends[0].kept, ends[1].kept);
        assert_int_equal(ends[0].kept, swap ? 1 : 0); /* the smaller identity's */
        candidates_free(&ends[0].candidates);
        candidates_free(&ends[1].candidates);
    }
}

static void one_connection_alone_is_kept_whoever_dialled(void **state)
{
    (void)state;
    for (int dialled = 0; dialled < 2; dialled++) {
        for (int smaller = 0; smaller < 2; smaller++) {
            struct end end;
            end_open(&end, smaller ? 1 : 2, smaller ? 2 : 1);
            see(&end, 0, dialled);
            assert_int_equal(end.kept, 0);
            see(&end, 1, dialled); /* a second one in the same direction changes nothing */
            assert_int_equal(end.kept, 0);
            candidates_free(&end.candidates);
        }
    }
}

static void any_connection_will_do_after_the_end_of_one(void **state)
{
    (void)state;
    struct end end;
    end_open(&end, 1, 2);
    see(&end, 0, true);
    end.other->ready_hash = 5;
    candidate_drop(end.other);
    assert_null(end.other->control);
    assert_int_equal(end.other->ready_hash, 0);
    assert_true(end.other->was_here);
    see(&end, 1, false);
    assert_int_equal(end.kept, 1);
    candidates_free(&end.candidates);
}

static void candidates_are_found_by_identity(void **state)
{
    (void)state;
    struct candidates *candidates = calloc(1, sizeof *candidates);
    uint8_t a[TRANSPORT_ID_BYTES] = {1}, b[TRANSPORT_ID_BYTES] = {[15] = 1};
    assert_null(candidates_find(candidates, a));
    struct candidate *first = candidates_get(candidates, a);
    assert_ptr_equal(candidates_get(candidates, a), first);
    assert_ptr_not_equal(candidates_get(candidates, b), first);
    assert_ptr_equal(candidates_find(candidates, a), first);
    assert_int_equal(candidates->count, 2);
    assert_int_equal(candidates_connected(candidates), 0);
    candidate_adopt(first, some_control(), true);
    assert_int_equal(candidates_connected(candidates), 0); /* its record has not come */
    first->known = true;
    assert_int_equal(candidates_connected(candidates), 1);
    candidates_free(candidates);
    assert_int_equal(candidates->count, 0);
    free(candidates);
}

static void there_is_a_limit(void **state)
{
    (void)state;
    struct candidates *candidates = calloc(1, sizeof *candidates);
    uint8_t id[TRANSPORT_ID_BYTES] = {0};
    for (uint32_t i = 0; i < CANDIDATES_MAX; i++) {
        memcpy(id, &i, sizeof i);
        assert_non_null(candidates_get(candidates, id));
    }
    id[15] = 1;
    assert_null(candidates_get(candidates, id));
    candidates_free(candidates);
    free(candidates);
}

static void adopting_closes_the_one_before(void **state)
{
    (void)state;
    struct end end;
    end_open(&end, 1, 2);
    see(&end, 0, false);
    int fd = control_fd(end.other->control);
    struct control *better = some_control();
    assert_true(candidate_prefers(&end.candidates, end.other, true));
    candidate_adopt(end.other, better, true);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_ptr_equal(end.other->control, better);
    candidates_free(&end.candidates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_keep_the_same_connection_in_all_orders),
        cmocka_unit_test(one_connection_alone_is_kept_whoever_dialled),
        cmocka_unit_test(any_connection_will_do_after_the_end_of_one),
        cmocka_unit_test(candidates_are_found_by_identity),
        cmocka_unit_test(there_is_a_limit),
        cmocka_unit_test(adopting_closes_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
