/* pmi_server: a process manager for tests. A thread that reads questions on one end of a socket pair and answers by a script. */
#ifndef KOLO_TESTS_LAUNCH_PMI_SERVER_H
#define KOLO_TESTS_LAUNCH_PMI_SERVER_H

/** An answer is sent as it stands, its line end included. */
struct pmi_turn {
    const char *
        question; /* without its line end; NULL: any, or with no answer either, the end of the script */
    const char *answer; /* NULL: silence; "": hang up */
};

#define PMI_INIT                                                                                   \
    {                                                                                              \
        "cmd=init pmi_version=1 pmi_subversion=1",                                                 \
            "cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n"                           \
    }
#define PMI_MAXES                                                                                  \
    {                                                                                              \
        "cmd=get_maxes", "cmd=maxes kvsname_max=256 keylen_max=64 vallen_max=1024\n"               \
    }
#define PMI_SPACE                                                                                  \
    {                                                                                              \
        "cmd=get_my_kvsname", "cmd=my_kvsname kvsname=kvs_1_0_h\n"                                 \
    }

/** Start; returns the client's end. The script ends with {0}. */
int pmi_server_start(const struct pmi_turn *script);

/** Wait for its end, close both ends. Fails the test on a question that was not in the script; returns how many there were. */
int pmi_server_stop(void);

#endif
