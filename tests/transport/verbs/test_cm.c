/* Connections by rdma_cm, both ends in this process, on the devices that the machine has: RoCE or iWARP. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/clock.h"
#include "tests/transport/verbs/stage.h"
#include "transport/verbs/cm.h"
#include "transport/verbs/registration.h"

#define QUEUE 8
#define MEMORY_BYTES 4096u
#define LIMIT_NS (20 * NS_PER_S)

/* One end: its own queues and memory, and what happened to it. */
struct end {
    struct cm_connection *connection;
    struct ibv_cq *cq;
    struct ibv_mr *mr;
    uint8_t *memory;
    unsigned shaped, created;
    bool refuses;
};

/* The side that listens. */
struct host {
    struct end *next_end; /* NULL: refuse */
    unsigned requests;
    uint8_t data[CM_PRIVATE_BYTES];
    size_t data_bytes;
};

static struct devices devices;
static struct sockaddr_storage here;
static struct cm *dialler, *listener;
static struct sockaddr_storage bound;
static struct host host;

static bool shape_end(void *owner, struct pair_shape *shape, struct pair_settings *settings,
                      const struct device_port *port)
{
    struct end *end = owner;
    assert_int_equal(settings->timeout, 0);
    assert_int_equal(shape->sends, 0);
    end->shaped++;
    if (end->refuses) {
        return false;
    }
    end->cq = ibv_create_cq(port->context, 4 * QUEUE, NULL, NULL, 0);
    assert_non_null(end->cq);
    end->memory = kolo_alloc(MEMORY_BYTES);
    assert_int_equal(registration_make(&end->mr, port, end->memory, MEMORY_BYTES,
                                       IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE, false),
                     KOLO_OK);
    *shape = (struct pair_shape){
        .send_cq = end->cq, .receive_cq = end->cq, .sends = QUEUE, .receives = QUEUE};
    return true;
}

static void post_receive(const struct end *end, struct pair *pair, uint64_t id)
{
    struct ibv_sge sge = {
        .addr = (uintptr_t)end->memory, .length = MEMORY_BYTES, .lkey = end->mr->lkey};
    struct ibv_recv_wr request = {.wr_id = id, .sg_list = &sge, .num_sge = 1}, *bad;
    assert_int_equal(ibv_post_recv(pair->qp, &request, &bad), 0);
}

static void end_created(void *owner, struct pair *pair)
{
    struct end *end = owner;
    end->created++;
    post_receive(end, pair, 1);
    post_receive(end, pair, 2);
}

static const struct cm_events events = {.shape = shape_end, .created = end_created};

static void *accept_end(void *context, struct cm_connection *connection,
                        const struct cm_events **its_events, const uint8_t *data, size_t data_bytes)
{
    assert_ptr_equal(context, &host);
    assert_in_range(data_bytes, 0, CM_PRIVATE_BYTES);
    host.requests++;
    memcpy(host.data, data, data_bytes);
    host.data_bytes = data_bytes;
    *its_events = &events;
    if (host.next_end != NULL) {
        host.next_end->connection = connection;
    }
    return host.next_end;
}

static void end_close(struct end *end)
{
    cm_connection_close(end->connection);
    if (end->cq != NULL) {
        assert_int_equal(ibv_dereg_mr(end->mr), 0);
        assert_int_equal(ibv_destroy_cq(end->cq), 0);
        kolo_free(end->memory);
    }
    *end = (struct end){0};
}

static bool settled(const struct end *end)
{
    return end->connection == NULL || cm_state(end->connection, NULL, NULL) != CM_CONNECTING;
}

/* Sleep until one of both sides has something to do, and do it. */
static void step(uint64_t deadline)
{
    struct pollfd waits[] = {{.fd = cm_fd(dialler), .events = POLLIN},
                             {.fd = cm_fd(listener), .events = POLLIN}};
    assert_true(clock_now_ns() < deadline);
    assert_true(poll(waits, 2, clock_ms_until(deadline, clock_now_ns(), 20000)) > 0);
    cm_progress(dialler);
    cm_progress(listener);
}

static void dial(struct end *end, const struct sockaddr_storage *to, const char *data,
                 uint64_t timeout_ns)
{
    assert_int_equal(cm_dial(&end->connection, dialler, (const struct sockaddr *)to,
                             (const uint8_t *)data, strlen(data), timeout_ns, &events, end),
                     KOLO_OK);
    assert_int_equal(cm_state(end->connection, NULL, NULL), CM_CONNECTING);
}

static void settle(struct end *a, struct end *b)
{
    uint64_t deadline = clock_now_ns() + LIMIT_NS;
    while (!settled(a) || !settled(b)) {
        step(deadline);
    }
}

static void expect_up(struct end *end)
{
    const char *text = "";
    if (end->connection == NULL || cm_state(end->connection, NULL, &text) != CM_UP) {
        fail_msg("not connected: %s", text);
    }
}

static void expect_lost(struct end *end, kolo_status expected, const char *words)
{
    kolo_status why;
    const char *text;
    assert_int_equal(cm_state(end->connection, &why, &text), CM_LOST);
    if (why != expected || strstr(text, words) == NULL) {
        fail_msg("%s: %s", kolo_status_name(why), text);
    }
}

static void connect_ends(struct end *a, struct end *b)
{
    host.next_end = b;
    dial(a, &bound, "who I am", LIMIT_NS);
    settle(a, b);
    expect_up(a);
    expect_up(b);
}

/* The next completion; nothing wakes us here but time, since no channel is armed: a poll of the connection's descriptors. */
static struct ibv_wc wait_completion(struct end *end)
{
    struct ibv_wc completion;
    uint64_t deadline = clock_now_ns() + LIMIT_NS;
    while (ibv_poll_cq(end->cq, 1, &completion) == 0) {
        struct pollfd wait = {.fd = cm_fd(dialler), .events = POLLIN};
        assert_true(clock_now_ns() < deadline);
        poll(&wait, 1, 1);
        cm_progress(dialler);
        cm_progress(listener);
    }
    return completion;
}

static int begin(void **state)
{
    (void)state;
    struct device_wish wish = {.gid_index = -1};
    if (!stage_set()) {
        return 0;
    }
    assert_int_equal(devices_open(&devices, &wish), KOLO_OK);
    assert_true(cm_address(&here, &devices.port[0]));
    return 0;
}

static int finish(void **state)
{
    (void)state;
    if (devices.ports > 0) {
        devices_close(&devices);
        stage_clear();
    }
    return 0;
}

static int open_both(void **state)
{
    (void)state;
    host = (struct host){0};
    if (devices.ports > 0) {
        assert_int_equal(cm_open(&dialler, &devices), KOLO_OK);
        assert_int_equal(cm_open(&listener, &devices), KOLO_OK);
        assert_int_equal(cm_listen(listener, &bound, (struct sockaddr *)&here, accept_end, &host),
                         KOLO_OK);
    }
    return 0;
}

static int close_both(void **state)
{
    (void)state;
    if (devices.ports > 0) {
        cm_close(dialler);
        cm_close(listener);
    }
    return 0;
}

static void need_device(void)
{
    if (devices.ports == 0) {
        skip();
    }
}

static void a_connection_carries_data(void **state)
{
    (void)state;
    need_device();
    struct end a = {0}, b = {0};
    connect_ends(&a, &b);
    assert_int_equal(host.requests, 1);
    assert_int_equal(host.data_bytes, strlen("who I am"));
    assert_memory_equal(host.data, "who I am", host.data_bytes);
    assert_int_equal(a.shaped + b.shaped + a.created + b.created, 4);

    struct pair *pair = cm_pair(a.connection);
    struct ibv_sge sge = {.addr = (uintptr_t)a.memory, .length = 1000, .lkey = a.mr->lkey};
    struct ibv_send_wr *bad, request = {.wr_id = 9,
                                        .sg_list = &sge,
                                        .num_sge = 1,
                                        .opcode = IBV_WR_SEND,
                                        .send_flags = IBV_SEND_SIGNALED};
    memset(a.memory, 0x5a, 1000);
    assert_int_equal(ibv_post_send(pair->qp, &request, &bad), 0);
    struct ibv_wc came = wait_completion(&b), went = wait_completion(&a);
    assert_int_equal(came.status, IBV_WC_SUCCESS);
    assert_int_equal(came.byte_len, 1000);
    assert_int_equal(went.status, IBV_WC_SUCCESS);
    assert_memory_equal(a.memory, b.memory, 1000);
    end_close(&a);
    end_close(&b);
}

/* The device's link-local IPv6 address, whose scope has to go along. */
static void over_ipv6(void **state)
{
    (void)state;
    need_device();
    struct ifaddrs *all;
    struct sockaddr_storage v6 = {0};
    assert_int_equal(getifaddrs(&all), 0);
    for (const struct ifaddrs *at = all; at != NULL; at = at->ifa_next) {
        if (at->ifa_addr != NULL && at->ifa_addr->sa_family == AF_INET6 &&
            (at->ifa_flags & IFF_LOOPBACK) == 0) {
            memcpy(&v6, at->ifa_addr, sizeof(struct sockaddr_in6));
        }
    }
    freeifaddrs(all);
    if (v6.ss_family == 0 ||
        cm_listen(listener, &bound, (struct sockaddr *)&v6, accept_end, &host) != KOLO_OK) {
        skip();
    }
    struct end a = {0}, b = {0};
    connect_ends(&a, &b);
    end_close(&a);
    end_close(&b);
}

/* Whoever closes: the other end learns it, and what it has posted comes back. */
static void closing_flushes_the_other_end(void **state)
{
    (void)state;
    need_device();
    for (unsigned who = 0; who < 2; who++) {
        struct end a = {0}, b = {0};
        connect_ends(&a, &b);
        struct end *closer = who == 0 ? &a : &b, *other = who == 0 ? &b : &a;
        end_close(closer);
        uint64_t deadline = clock_now_ns() + LIMIT_NS;
        while (cm_state(other->connection, NULL, NULL) == CM_UP) {
            step(deadline);
        }
        expect_lost(other, KOLO_ERR_PEER_LOST, "closed the connection");
        for (uint64_t id = 1; id <= 2; id++) {
            struct ibv_wc gone = wait_completion(other);
            assert_int_equal(gone.status, IBV_WC_WR_FLUSH_ERR);
            assert_int_equal(gone.wr_id, id);
        }
        end_close(other);
    }
}

static void several_at_once(void **state)
{
    (void)state;
    need_device();
    struct end a[4] = {{0}}, b[4] = {{0}};
    for (size_t i = 0; i < 4; i++) {
        connect_ends(&a[i], &b[i]);
    }
    end_close(&a[1]);
    end_close(&b[2]);
    end_close(&b[1]);
    end_close(&a[2]);
    expect_up(&a[0]);
    expect_up(&b[3]);
    for (size_t i = 0; i < 4; i += 3) {
        end_close(&a[i]);
        end_close(&b[i]);
    }
}

static void requests_are_refused(void **state)
{
    (void)state;
    need_device();
    struct end a = {0}, none = {0};
    dial(&a, &bound, "", LIMIT_NS);
    settle(&a, &none);
    expect_lost(&a, KOLO_ERR_PEER_LOST, "");
    assert_int_equal(host.requests, 1);
    assert_int_equal(host.data_bytes, 0);
    end_close(&a);

    struct end b = {.refuses = true};
    host.next_end = &b;
    dial(&a, &bound, "x", LIMIT_NS);
    settle(&a, &b);
    expect_lost(&a, KOLO_ERR_PEER_LOST, "");
    expect_lost(&b, KOLO_ERR_ABORTED, "refused");
    end_close(&a);
    end_close(&b);
}

static void a_dialler_may_change_its_mind(void **state)
{
    (void)state;
    need_device();
    struct end a = {.refuses = true}, none = {0};
    dial(&a, &bound, "", LIMIT_NS);
    settle(&a, &none);
    expect_lost(&a, KOLO_ERR_ABORTED, "refused");
    assert_null(cm_pair(a.connection));
    assert_int_equal(host.requests, 0);
    end_close(&a);
    for (unsigned steps = 0; steps < 4; steps++) { /* closed at every stage */
        struct end b = {0};
        host.next_end = &b;
        dial(&a, &bound, "", LIMIT_NS);
        uint64_t deadline = clock_now_ns() + LIMIT_NS;
        for (unsigned i = 0; i < steps && !settled(&a); i++) {
            step(deadline);
        }
        end_close(&a);
        cm_progress(listener);
        end_close(&b);
    }
}

static void nobody_listens_there(void **state)
{
    (void)state;
    need_device();
    struct end a = {0}, none = {0};
    cm_close(listener);
    assert_int_equal(cm_open(&listener, &devices), KOLO_OK);
    dial(&a, &bound, "", LIMIT_NS);
    settle(&a, &none);
    expect_lost(&a, KOLO_ERR_PEER_LOST, "");
    end_close(&a);
}

/* A host that is not there: our own limit, or the neighbour's address that cannot be had, whichever is sooner. */
static void nobody_is_there(void **state)
{
    (void)state;
    need_device();
    struct end a = {0}, none = {0};
    struct sockaddr_storage away = bound;
    if (away.ss_family != AF_INET) {
        skip();
    }
    struct sockaddr_in *v4 = (void *)&away;
    v4->sin_addr.s_addr ^= htonl(0x7e); /* most likely on the same network */
    uint64_t before = clock_now_ns();
    dial(&a, &away, "", 300 * NS_PER_MS);
    settle(&a, &none);
    assert_int_equal(cm_state(a.connection, NULL, NULL), CM_LOST);
    assert_true(clock_now_ns() - before < 5 * NS_PER_S);
    end_close(&a);
}

/* A stranger's next step after an event of its connection. */
static void stranger_goes_on(struct rdma_cm_id *id, enum rdma_cm_event_type last, uint8_t lie)
{
    uint8_t data[8] = {lie};
    struct rdma_conn_param parameters = {
        .private_data = data, .private_data_len = sizeof data, .qp_num = 99};
    if (last == RDMA_CM_EVENT_ADDR_RESOLVED) {
        assert_int_equal(rdma_resolve_route(id, 2000), 0);
    } else if (last == RDMA_CM_EVENT_ROUTE_RESOLVED) {
        assert_int_equal(rdma_connect(id, &parameters), 0);
    } else {
        assert_int_equal(last, RDMA_CM_EVENT_REJECTED);
    }
}

/* Asks with data that claim `lie` bytes, until it is rejected. */
static void stranger_is_rejected(uint8_t lie)
{
    struct rdma_cm_id *id = NULL;
    struct rdma_event_channel *channel = rdma_create_event_channel();
    enum rdma_cm_event_type last = RDMA_CM_EVENT_TIMEWAIT_EXIT; /* none yet */
    assert_non_null(channel);
    assert_int_equal(rdma_create_id(channel, &id, NULL, RDMA_PS_TCP), 0);
    assert_int_equal(rdma_resolve_addr(id, NULL, (struct sockaddr *)&bound, 2000), 0);
    while (last != RDMA_CM_EVENT_REJECTED) {
        struct rdma_cm_event *event;
        struct pollfd waits[] = {{.fd = channel->fd, .events = POLLIN},
                                 {.fd = cm_fd(listener), .events = POLLIN}};
        assert_true(poll(waits, 2, 10000) > 0);
        cm_progress(listener);
        if (waits[0].revents != 0) {
            assert_int_equal(rdma_get_cm_event(channel, &event), 0);
            last = event->event;
            rdma_ack_cm_event(event);
            stranger_goes_on(id, last, lie);
        }
    }
    rdma_destroy_id(id);
    rdma_destroy_event_channel(channel);
}

/* Data that are said to be longer than they can be. The owner is not even asked. */
static void a_strangers_frame_is_refused(void **state)
{
    (void)state;
    need_device();
    if (devices.port[0].iwarp) {
        skip(); /* a stranger there needs a queue pair first */
    }
    stranger_is_rejected(CM_PRIVATE_BYTES + 1);
    stranger_is_rejected(255);
    assert_int_equal(host.requests, 0);
}

static void closing_closes_everything(void **state)
{
    (void)state;
    need_device();
    struct end a = {0}, b = {0}, c = {0};
    connect_ends(&a, &b);
    dial(&c, &bound, "", LIMIT_NS);
    cm_close(dialler);
    cm_close(listener);
    cm_close(NULL);
    a.connection = b.connection = c.connection = NULL;
    end_close(&a);
    end_close(&b);
    end_close(&c);
    dialler = listener = NULL;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)

int main(void)
{
    setenv("KOLO_LOG", "none", 1);
    const struct CMUnitTest tests[] = {
        CASE(a_connection_carries_data),     CASE(over_ipv6),
        CASE(closing_flushes_the_other_end), CASE(several_at_once),
        CASE(requests_are_refused),          CASE(a_dialler_may_change_its_mind),
        CASE(nobody_listens_there),          CASE(nobody_is_there),
        CASE(a_strangers_frame_is_refused),  CASE(closing_closes_everything),
    };
    return cmocka_run_group_tests_name("cm", tests, begin, finish);
}
