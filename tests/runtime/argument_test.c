/* Every argument error of the public header: refused with its cause, with nothing done, and the communicator works on. Settings of
 * the environment that have no meaning, too. */
// clang-format off
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
// clang-format on

#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/lib/peers.h"

#define LIMIT_S 30

static const char *const quiet[] = {"KOLO_LOG=none", NULL};

/* The call must be refused with this status, in words that contain `word`. */
#define REFUSED(status, word, call)                                                                \
    do {                                                                                           \
        kolo_status status_ = (call);                                                              \
        PEER_CHECK(status_ == (status), "%s from %s", kolo_status_name(status_), #call);           \
        PEER_CHECK(strstr(kolo_last_error(), word) != NULL, "no '%s' from %s", word, #call);       \
    } while (0)
#define WRONG(word, call) REFUSED(KOLO_ERR_ARGUMENT, word, call)

/* What the compiler would not let through. */
static kolo_type type_of(int value)
{
    kolo_type type;
    memcpy(&type, &value, sizeof type);
    return type;
}

static kolo_operator operator_of(int value)
{
    kolo_operator op;
    memcpy(&op, &value, sizeof op);
    return op;
}

static void check_null(kolo_comm *comm, float *a, float *b)
{
    WRONG("comm is NULL", kolo_all_reduce(NULL, a, b, 4, KOLO_F32, KOLO_SUM, NULL));
    WRONG("comm is NULL", kolo_reduce_scatter(NULL, a, b, 4, KOLO_F32, KOLO_SUM, NULL));
    WRONG("comm is NULL", kolo_all_gather(NULL, a, b, 4, KOLO_F32, NULL));
    WRONG("comm is NULL", kolo_broadcast(NULL, a, b, 4, KOLO_F32, 0, NULL));
    WRONG("comm is NULL", kolo_reduce(NULL, a, b, 4, KOLO_F32, KOLO_SUM, 0, NULL));
    WRONG("comm is NULL", kolo_barrier(NULL, NULL));
    WRONG("comm is NULL", kolo_abort(NULL));
    WRONG("out is NULL", kolo_all_reduce(comm, NULL, b, 4, KOLO_F32, KOLO_SUM, NULL));
    WRONG("in is NULL", kolo_all_reduce(comm, a, NULL, 4, KOLO_F32, KOLO_SUM, NULL));
    WRONG("out is NULL", kolo_reduce_scatter(comm, NULL, b, 4, KOLO_F32, KOLO_SUM, NULL));
    WRONG("in is NULL", kolo_reduce_scatter(comm, a, NULL, 4, KOLO_F32, KOLO_SUM, NULL));
    WRONG("out is NULL", kolo_all_gather(comm, NULL, b, 4, KOLO_F32, NULL));
    WRONG("in is NULL", kolo_all_gather(comm, a, NULL, 4, KOLO_F32, NULL));
    WRONG("out is NULL", kolo_broadcast(comm, NULL, b, 4, KOLO_F32, 0, NULL));
    WRONG("in is NULL", kolo_broadcast(comm, a, NULL, 4, KOLO_F32, kolo_rank(comm), NULL));
    WRONG("in is NULL", kolo_reduce(comm, a, NULL, 4, KOLO_F32, KOLO_SUM, 0, NULL));
    WRONG("out is NULL", kolo_reduce(comm, NULL, b, 4, KOLO_F32, KOLO_SUM, kolo_rank(comm), NULL));
}

static void check_values(kolo_comm *comm, float *a, float *b)
{
    for (int i = 0; i < 2; i++) {
        int wrong = i == 0 ? -1 : 10;
        WRONG("not a kolo_type", kolo_all_reduce(comm, a, b, 4, type_of(wrong), KOLO_SUM, NULL));
        WRONG("not a kolo_type",
              kolo_reduce_scatter(comm, a, b, 4, type_of(wrong), KOLO_SUM, NULL));
        WRONG("not a kolo_type", kolo_all_gather(comm, a, b, 4, type_of(wrong), NULL));
        WRONG("not a kolo_type", kolo_broadcast(comm, a, b, 4, type_of(wrong), 0, NULL));
        WRONG("not a kolo_type", kolo_reduce(comm, a, b, 4, type_of(wrong), KOLO_SUM, 0, NULL));
        wrong = i == 0 ? -1 : 5;
        WRONG("not a kolo_operator",
              kolo_all_reduce(comm, a, b, 4, KOLO_F32, operator_of(wrong), NULL));
        WRONG("not a kolo_operator",
              kolo_reduce_scatter(comm, a, b, 4, KOLO_F32, operator_of(wrong), NULL));
        WRONG("not a kolo_operator",
              kolo_reduce(comm, a, b, 4, KOLO_F32, operator_of(wrong), 0, NULL));
        wrong = i == 0 ? -1 : kolo_size(comm);
        WRONG("ranks are 0 to 1", kolo_broadcast(comm, a, b, 4, KOLO_F32, wrong, NULL));
        WRONG("ranks are 0 to 1", kolo_reduce(comm, a, b, 4, KOLO_F32, KOLO_SUM, wrong, NULL));
    }
    const size_t huge[] = {SIZE_MAX, SIZE_MAX / 4, SIZE_MAX / 8, SIZE_MAX / 2 + 1};
    for (int i = 0; i < 4; i++) {
        REFUSED(KOLO_ERR_LIMIT, "do not fit",
                kolo_all_reduce(comm, a, b, huge[i], KOLO_F32, KOLO_SUM, NULL));
        REFUSED(KOLO_ERR_LIMIT, "do not fit", kolo_all_gather(comm, a, b, huge[i], KOLO_F32, NULL));
        REFUSED(KOLO_ERR_LIMIT, "do not fit",
                kolo_reduce_scatter(comm, a, b, huge[i], KOLO_F32, KOLO_SUM, NULL));
    }
}

static void check_places(kolo_comm *comm, float *a, float *b)
{
    void *odd = (char *)a + 1;
    int self = kolo_rank(comm);
    WRONG("not aligned", kolo_all_reduce(comm, odd, b, 4, KOLO_F32, KOLO_SUM, NULL));
    WRONG("not aligned", kolo_all_reduce(comm, b, odd, 4, KOLO_F32, KOLO_SUM, NULL));
    WRONG("not aligned", kolo_all_gather(comm, odd, b, 4, KOLO_F32, NULL));
    WRONG("not aligned", kolo_broadcast(comm, odd, b, 4, KOLO_F32, self, NULL));
    WRONG("not aligned", kolo_reduce(comm, b, odd, 4, KOLO_F32, KOLO_SUM, self, NULL));
    WRONG("overlap", kolo_all_reduce(comm, a, a + 1, 4, KOLO_F32, KOLO_SUM, NULL));
    WRONG("overlap", kolo_all_reduce(comm, a + 3, a, 4, KOLO_F32, KOLO_SUM, NULL));
    WRONG("overlap", kolo_broadcast(comm, a, a + 1, 4, KOLO_F32, self, NULL));
    WRONG("overlap", kolo_reduce(comm, a + 2, a, 4, KOLO_F32, KOLO_SUM, self, NULL));
    /* In place means one's own block, not another's. */
    WRONG("overlap", kolo_all_gather(comm, a, a + 4 * (1 - self), 4, KOLO_F32, NULL));
    WRONG("overlap", kolo_reduce_scatter(comm, a + 4 * (1 - self), a, 4, KOLO_F32, KOLO_SUM, NULL));
    WRONG("overlap", kolo_all_gather(comm, a, a + 7, 4, KOLO_F32, NULL));
}

static void check_others(kolo_comm *comm)
{
    kolo_queue *queue = NULL;
    int done = 0;
    char text[256];
    kolo_statistics statistics = {.struct_size = 3};
    WRONG("comm is NULL", kolo_queue_create(&queue, NULL));
    WRONG("queue is NULL", kolo_queue_create(NULL, comm));
    WRONG("queue is NULL", kolo_queue_wait(NULL, 1));
    WRONG("queue is NULL", kolo_queue_poll(NULL, &done));
    PEER_CHECK(kolo_queue_create(&queue, comm) == KOLO_OK, "create");
    WRONG("done is NULL", kolo_queue_poll(queue, NULL));
    WRONG("not a kolo_type", kolo_all_gather(comm, text, text, 1, type_of(99), queue));
    PEER_CHECK(kolo_queue_destroy(queue) == KOLO_OK, "what was refused is not the queue's");
    WRONG("NULL", kolo_describe_peer(NULL, text, sizeof text, 0));
    WRONG("NULL", kolo_describe_peer(comm, NULL, 10, 0));
    WRONG("text_bytes", kolo_describe_peer(comm, text, 0, 0));
    WRONG("2 is not a rank", kolo_describe_peer(comm, text, sizeof text, 2));
    WRONG("-1 is not a rank", kolo_describe_peer(comm, text, sizeof text, -1));
    WRONG("NULL", kolo_get_statistics(NULL, &statistics));
    WRONG("NULL", kolo_get_statistics(comm, NULL));
    WRONG("struct_size", kolo_get_statistics(comm, &statistics));
    PEER_CHECK(kolo_describe_peer(comm, text, 5, 0) == KOLO_OK && strcmp(text, "rank") == 0,
               "cut: %s", text);
}

static int make_every_mistake(unsigned rank, void *context)
{
    (void)context;
    float *a = calloc(16, sizeof *a), *b = calloc(16, sizeof *b);
    kolo_comm *comm = peer_open();
    kolo_statistics statistics = {.struct_size = sizeof statistics};
    check_null(comm, a, b);
    check_values(comm, a, b);
    check_places(comm, a, b);
    check_others(comm);
    PEER_CHECK(kolo_get_statistics(comm, &statistics) == KOLO_OK, "statistics");
    PEER_CHECK(statistics.operations == 0, "nothing was done");
    for (int i = 0; i < 4; i++) {
        b[i] = (float)(rank + 1);
    }
    PEER_CHECK(kolo_all_reduce(comm, a, b, 4, KOLO_F32, KOLO_SUM, NULL) == KOLO_OK, "it works on");
    PEER_CHECK(a[0] == 3.0f && a[3] == 3.0f, "%g", (double)a[0]);
    PEER_CHECK(kolo_all_reduce(comm, NULL, NULL, 0, KOLO_F32, KOLO_SUM, NULL) == KOLO_OK,
               "nothing may be nowhere");
    PEER_CHECK(kolo_close(comm) == KOLO_OK && kolo_close(NULL) == KOLO_OK, "close");
    free(a);
    free(b);
    return 0;
}

static void mistakes_are_refused_and_harmless(void **state)
{
    (void)state;
    peers_run(2, make_every_mistake, NULL, quiet, LIMIT_S);
}

/* ---- after a failure ---- */

static int use_after_abort(unsigned rank, void *context)
{
    (void)context;
    float value = 1;
    kolo_comm *comm = peer_open();
    PEER_CHECK(kolo_barrier(comm, NULL) == KOLO_OK, "barrier");
    if (rank == 0) {
        PEER_CHECK(kolo_abort(comm) == KOLO_OK && kolo_abort(comm) == KOLO_OK, "abort");
    }
    for (int i = 0; i < 3; i++) {
        REFUSED(KOLO_ERR_ABORTED, "rank 0 called kolo_abort",
                kolo_all_reduce(comm, &value, &value, 1, KOLO_F32, KOLO_SUM, NULL));
        WRONG("not a kolo_type", kolo_all_gather(comm, &value, &value, 1, type_of(99), NULL));
    }
    PEER_CHECK(kolo_size(comm) == 2 && kolo_rank(comm) == (int)rank, "it can still be asked");
    kolo_close(comm);
    return 0;
}

static void a_failed_communicator_says_what_it_failed_of(void **state)
{
    (void)state;
    peers_run(2, use_after_abort, NULL, quiet, LIMIT_S);
}

/* ---- names ---- */

static void names_and_sizes(void **state)
{
    (void)state;
    static const char *const types[] = {"i8",  "u8",  "i32",  "u32", "i64",
                                        "u64", "f16", "bf16", "f32", "f64"};
    static const size_t sizes[] = {1, 1, 4, 4, 8, 8, 2, 2, 4, 8};
    static const char *const operators[] = {"sum", "prod", "min", "max", "avg"};
    for (int i = 0; i < KOLO_TYPES; i++) {
        assert_string_equal(kolo_type_name((kolo_type)i), types[i]);
        assert_int_equal(kolo_type_size((kolo_type)i), sizes[i]);
    }
    for (int i = 0; i < KOLO_OPERATORS; i++) {
        assert_string_equal(kolo_operator_name((kolo_operator)i), operators[i]);
    }
    assert_null(kolo_type_name(type_of(10)));
    assert_null(kolo_type_name(type_of(-1)));
    assert_int_equal(kolo_type_size(type_of(10)), 0);
    assert_null(kolo_operator_name(operator_of(5)));
    assert_null(kolo_operator_name(operator_of(-1)));
    assert_string_equal(kolo_version(), "0.1.0");
    assert_string_equal(kolo_status_name(KOLO_ERR_PEER_LOST), "KOLO_ERR_PEER_LOST");
    assert_int_equal(kolo_rank(NULL), -1);
    assert_int_equal(kolo_size(NULL), 0);
}

/* ---- settings ---- */

static int open_with_wrong_config(unsigned rank, void *context)
{
    (void)rank, (void)context;
    kolo_comm *comm = NULL;
    kolo_config config = KOLO_CONFIG_INIT;
    WRONG("comm is NULL", kolo_open(NULL, &config));
    config.struct_size = 0;
    WRONG("struct_size", kolo_open(&comm, &config));
    config.struct_size = 1 << 20;
    WRONG("struct_size", kolo_open(&comm, &config));
    config.struct_size = sizeof config;
    config.timeout_s = -1;
    WRONG("-1 s", kolo_open(&comm, &config));
    config.timeout_s = 0;
    config.transport = "shm,ib";
    WRONG("'ib'", kolo_open(&comm, &config));
    config.transport = NULL;
    config.algorithm = "foo";
    WRONG("'foo'", kolo_open(&comm, &config));
    config.algorithm = NULL;
    config.port = 70000;
    WRONG("70000", kolo_open(&comm, &config));
    config.port = 0;
    config.rank = 3;
    WRONG("3", kolo_open(&comm, &config));
    PEER_CHECK(comm == NULL, "assigned on success only");
    config.rank = -1;
    PEER_CHECK(kolo_open(&comm, &config) == KOLO_OK, "one alone");
    PEER_CHECK(kolo_size(comm) == 1 && kolo_rank(comm) == 0, "rank 0 of 1");
    PEER_CHECK(kolo_barrier(comm, NULL) == KOLO_OK, "barrier");
    kolo_close(comm);
    return 0;
}

static void a_wrong_config_is_refused(void **state)
{
    (void)state;
    peers_run(1, open_with_wrong_config, NULL, quiet, LIMIT_S);
}

/* An older program's structure ends earlier: what it does not know has its default. */
static int open_with_older_config(unsigned rank, void *context)
{
    (void)rank, (void)context;
    kolo_comm *comm = NULL;
    kolo_config config = KOLO_CONFIG_INIT;
    config.struct_size = offsetof(kolo_config, transport);
    config.transport = "nonsense that must not be read";
    PEER_CHECK(kolo_open(&comm, &config) == KOLO_OK, "open");
    kolo_close(comm);
    return 0;
}

static void an_older_config_is_served(void **state)
{
    (void)state;
    peers_run(1, open_with_older_config, NULL, quiet, LIMIT_S);
}

struct setting {
    const char *name, *value, *word;
    kolo_status status;
};

static int open_with_setting(unsigned rank, void *context)
{
    (void)rank;
    const struct setting *setting = context;
    kolo_comm *comm = NULL;
    setenv(setting->name, setting->value, 1);
    REFUSED(setting->status, setting->word, kolo_open(&comm, NULL));
    PEER_CHECK(strstr(kolo_last_error(), setting->value) != NULL, "the value");
    PEER_CHECK(comm == NULL, "assigned on success only");
    return 0;
}

static void wrong_settings_are_named(void **state)
{
    (void)state;
    static struct setting settings[] = {
        {"KOLO_TIMEOUT", "abc", "KOLO_TIMEOUT", KOLO_ERR_ARGUMENT},
        {"KOLO_TIMEOUT", "-5", "KOLO_TIMEOUT", KOLO_ERR_ARGUMENT},
        {"KOLO_PEER_TIMEOUT", "1x", "KOLO_PEER_TIMEOUT", KOLO_ERR_ARGUMENT},
        {"KOLO_OPEN_TIMEOUT", "soon", "KOLO_OPEN_TIMEOUT", KOLO_ERR_ARGUMENT},
        {"KOLO_TRANSPORT", "ib", "shm, verbs, tcp", KOLO_ERR_ARGUMENT},
        {"KOLO_VERBS_GID_INDEX", "256", "KOLO_VERBS_GID_INDEX", KOLO_ERR_ARGUMENT},
        {"KOLO_VERBS_GID_INDEX", "any", "KOLO_VERBS_GID_INDEX", KOLO_ERR_ARGUMENT},
        {"KOLO_VERBS_QUEUE_PAIRS", "0", "KOLO_VERBS_QUEUE_PAIRS", KOLO_ERR_ARGUMENT},
        {"KOLO_VERBS_QUEUE_PAIRS", "5", "KOLO_VERBS_QUEUE_PAIRS", KOLO_ERR_ARGUMENT},
        {"KOLO_ALGORITHM", "foo", "ring", KOLO_ERR_ARGUMENT},
        {"KOLO_RANK", "5", "rank 5", KOLO_ERR_ARGUMENT},
        {"KOLO_RANK", "first", "KOLO_RANK", KOLO_ERR_ARGUMENT},
        {"KOLO_SIZE", "0", "KOLO_SIZE", KOLO_ERR_ARGUMENT},
        {"KOLO_PORT", "99999", "KOLO_PORT", KOLO_ERR_ARGUMENT},
        {"KOLO_INTERFACES", "nosuch", "lo", KOLO_ERR_ARGUMENT},
        {"KOLO_PEERS", "nohost", "no port", KOLO_ERR_ARGUMENT},
    };
    for (unsigned i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        /* What concerns the group is found out by both, what does not by each alone. */
        bool alone = strcmp(settings[i].name, "KOLO_RANK") != 0 &&
                     strcmp(settings[i].name, "KOLO_PEERS") != 0;
        peers_run(alone ? 1 : 2, open_with_setting, &settings[i], quiet, LIMIT_S);
    }
}

static void a_port_in_use_is_named(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof address;
    char number[16];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    snprintf(number, sizeof number, "%u", ntohs(address.sin_port));
    struct setting setting = {"KOLO_PORT", number, "in use", KOLO_ERR_SYSTEM};
    peers_run(1, open_with_setting, &setting, quiet, LIMIT_S);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_refused_and_harmless),
        cmocka_unit_test(a_failed_communicator_says_what_it_failed_of),
        cmocka_unit_test(names_and_sizes),
        cmocka_unit_test(a_wrong_config_is_refused),
        cmocka_unit_test(an_older_config_is_served),
        cmocka_unit_test(wrong_settings_are_named),
        cmocka_unit_test(a_port_in_use_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
