/* What is found in the environments of all launchers, right and wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/launch/launch.h"

static struct launch launch;

/* Each test starts with nothing set: this one may itself have been started by a launcher. */
static int clear(void **state)
{
    (void)state;
    static const char *const names[] = {"KOLO_RANK",
                                        "KOLO_SIZE",
                                        "KOLO_PEERS",
                                        "KOLO_RUN_ID",
                                        "KOLO_PORT",
                                        "KOLO_LAUNCHER",
                                        "RANK",
                                        "WORLD_SIZE",
                                        "LOCAL_RANK",
                                        "LOCAL_WORLD_SIZE",
                                        "MASTER_ADDR",
                                        "MASTER_PORT",
                                        "TORCHELASTIC_RUN_ID",
                                        "TORCHELASTIC_RESTART_COUNT",
                                        "OMPI_COMM_WORLD_RANK",
                                        "OMPI_COMM_WORLD_SIZE",
                                        "OMPI_COMM_WORLD_LOCAL_RANK",
                                        "OMPI_COMM_WORLD_LOCAL_SIZE",
                                        "OMPI_MCA_ess_base_jobid",
                                        "PMIX_NAMESPACE",
                                        "PMIX_RANK",
                                        "PMI_RANK",
                                        "PMI_SIZE",
                                        "PMI_FD",
                                        "PMI_PORT",
                                        "PMI_ID",
                                        "MPI_LOCALRANKID",
                                        "MPI_LOCALNRANKS",
                                        "SLURM_JOB_ID",
                                        "SLURM_STEP_ID",
                                        "SLURM_PROCID",
                                        "SLURM_LOCALID",
                                        "SLURM_NTASKS",
                                        "SLURM_STEP_NUM_TASKS",
                                        "SLURM_STEP_NUM_NODES",
                                        "SLURM_STEP_NODELIST"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsetenv(names[i]);
    }
    memset(&launch, 0, sizeof launch);
    return 0;
}

/* Set variables: name, value, name, value, ..., NULL. */
static void set(const char *name, ...)
{
    va_list arguments;
    va_start(arguments, name);
    for (; name != NULL; name = va_arg(arguments, const char *)) {
        setenv(name, va_arg(arguments, const char *), 1);
    }
    va_end(arguments);
}

static void set_torchrun(void)
{
    set("RANK", "3", "WORLD_SIZE", "8", "LOCAL_RANK", "1", "LOCAL_WORLD_SIZE", "2", "MASTER_ADDR",
        "node-a", "MASTER_PORT", "29500", "TORCHELASTIC_RUN_ID", "job",
        "TORCHELASTIC_RESTART_COUNT", "2", NULL);
}

static void set_openmpi(void)
{
    set("OMPI_COMM_WORLD_RANK", "1", "OMPI_COMM_WORLD_SIZE", "4", "OMPI_COMM_WORLD_LOCAL_RANK", "1",
        "OMPI_COMM_WORLD_LOCAL_SIZE", "4", "PMIX_NAMESPACE", "1994194945", NULL);
}

static void set_mpich(void)
{
    set("PMI_RANK", "2", "PMI_SIZE", "4", "MPI_LOCALRANKID", "2", "MPI_LOCALNRANKS", "4", NULL);
}

static void set_slurm(void)
{
    set("SLURM_JOB_ID", "123", "SLURM_STEP_ID", "0", "SLURM_PROCID", "5", "SLURM_LOCALID", "1",
        "SLURM_NTASKS", "16", "SLURM_STEP_NUM_TASKS", "8", "SLURM_STEP_NUM_NODES", "2",
        "SLURM_STEP_NODELIST", "node[07-08]", NULL);
}

static void check(const char *launcher, int rank, int size, int local_rank, const char *run_id)
{
    kolo_status status = launch_read(&launch, NULL);
    if (status != KOLO_OK) {
        fail_msg("%s: %s", kolo_status_name(status), kolo_last_error());
    }
    assert_string_equal(launch.launcher, launcher);
    assert_int_equal(launch.rank, rank);
    assert_int_equal(launch.size, size);
    assert_int_equal(launch.local_rank, local_rank);
    assert_string_equal(launch.run_id, run_id);
}

static void check_contact(const char *host, int port)
{
    assert_int_equal(launch.contacts, 1);
    assert_string_equal(launch.contact[0].host, host);
    assert_int_equal(launch.contact[0].port, port);
}

static int hashed_port(void)
{
    assert_true(launch.contacts == 1);
    assert_in_range(launch.contact[0].port, 20000, 31999);
    return launch.contact[0].port;
}

static void check_error(kolo_status expected, const char *part, const kolo_config *config)
{
    assert_int_equal(launch_read(&launch, config), expected);
    if (strstr(kolo_last_error(), part) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", kolo_last_error(), part);
    }
}

static void nothing_is_a_run_of_one(void **state)
{
    (void)state;
    check("none", 0, 1, -1, "default");
    assert_int_equal(launch.contacts, 0);
    assert_int_equal(launch.port, 0);
}

static void own_variables(void **state)
{
    (void)state;
    set("KOLO_RANK", "2", "KOLO_SIZE", "4", "KOLO_PEERS", "a:1,b:2", "KOLO_RUN_ID", "mine",
        "KOLO_PORT", "7000", NULL);
    check("kolo", 2, 4, -1, "mine");
    assert_int_equal(launch.contacts, 2);
    assert_int_equal(launch.port, 7000);
    set("KOLO_RANK", "", NULL);
    check("kolo", -1, 4, -1, "mine"); /* to be agreed */
}

static void own_variables_win(void **state)
{
    (void)state;
    set_torchrun();
    set_openmpi();
    set_slurm();
    set("KOLO_RANK", "1", "KOLO_SIZE", "2", "KOLO_PEERS", "a:1", NULL);
    check("kolo", 1, 2, -1, "default");
    check_contact("a", 1);
    assert_int_equal(launch.port, 0);
}

static void config_wins_over_all(void **state)
{
    (void)state;
    set("KOLO_RANK", "2", "KOLO_SIZE", "4", "KOLO_PEERS", "a:1", "KOLO_RUN_ID", "env", "KOLO_PORT",
        "7000", NULL);
    kolo_config config = KOLO_CONFIG_INIT;
    config.rank = 1;
    config.size = 3;
    config.peers = "b:2";
    config.run_id = "config";
    config.port = 8000;
    assert_int_equal(launch_read(&launch, &config), KOLO_OK);
    assert_int_equal(launch.rank, 1);
    assert_int_equal(launch.size, 3);
    assert_string_equal(launch.run_id, "config");
    assert_int_equal(launch.port, 8000);
    check_contact("b", 2);
}

static void mistakes_in_own_variables(void **state)
{
    (void)state;
    set("KOLO_SIZE", "4", NULL);
    check_error(KOLO_ERR_ARGUMENT, "KOLO_PEERS", NULL);
    set("KOLO_PEERS", "a:1", "KOLO_RANK", "4", NULL);
    check_error(KOLO_ERR_ARGUMENT, "rank 4 of a run of 4", NULL);
    set("KOLO_RANK", "x", NULL);
    check_error(KOLO_ERR_ARGUMENT, "KOLO_RANK=x", NULL);
    set("KOLO_RANK", "-1", NULL);
    check_error(KOLO_ERR_ARGUMENT, "KOLO_RANK=-1", NULL);
    set("KOLO_RANK", "0", "KOLO_SIZE", "0", NULL);
    check_error(KOLO_ERR_ARGUMENT, "KOLO_SIZE=0", NULL);
    set("KOLO_SIZE", "4", "KOLO_PORT", "65536", NULL);
    check_error(KOLO_ERR_ARGUMENT, "KOLO_PORT=65536", NULL);
    set("KOLO_PORT", "", "KOLO_PEERS", "a", NULL);
    check_error(KOLO_ERR_ARGUMENT, "'a'", NULL);
    set("KOLO_PEERS", "a:1", "KOLO_SIZE", "", "KOLO_RANK", "", NULL);
    check_error(KOLO_ERR_ARGUMENT, "KOLO_PEERS is given without a size", NULL);
    set("KOLO_PEERS", "", "KOLO_RANK", "1", NULL);
    check_error(KOLO_ERR_ARGUMENT, "a rank is given without a size", NULL);
    char id[LAUNCH_RUN_ID_MAX + 1];
    memset(id, 'i', sizeof id);
    id[LAUNCH_RUN_ID_MAX] = '\0';
    set("KOLO_RANK", "", "KOLO_RUN_ID", id, NULL);
    check_error(KOLO_ERR_LIMIT, "KOLO_RUN_ID", NULL);
    id[LAUNCH_RUN_ID_MAX - 1] = '\0';
    set("KOLO_RUN_ID", id, NULL);
    check("none", 0, 1, -1, id);
    set("KOLO_LAUNCHER", "pbs", NULL);
    check_error(KOLO_ERR_ARGUMENT, "KOLO_LAUNCHER=pbs", NULL);
}

static void mistakes_in_config(void **state)
{
    (void)state;
    kolo_config config = KOLO_CONFIG_INIT;
    config.rank = -2;
    check_error(KOLO_ERR_ARGUMENT, "rank -2", &config);
    config.rank = -1;
    config.size = -1;
    check_error(KOLO_ERR_ARGUMENT, "size -1", &config);
    config.size = 0;
    config.port = 65536;
    check_error(KOLO_ERR_ARGUMENT, "port 65536", &config);
}

static void torchrun(void **state)
{
    (void)state;
    set_torchrun();
    check("torchrun", 3, 8, 1, "torchrun-job"); /* several hosts: their restart counts may differ */
    check_contact("node-a", 29501);
    assert_int_equal(launch.port, 0);
    set("RANK", "0", "LOCAL_RANK", "0", "LOCAL_WORLD_SIZE", "8", NULL);
    check("torchrun", 0, 8, 0, "torchrun-job-2");
    assert_int_equal(launch.port, 29501);
}

static void torch_variables_by_hand(void **state)
{
    (void)state;
    set_torchrun();
    unsetenv("TORCHELASTIC_RUN_ID");
    unsetenv("LOCAL_WORLD_SIZE");
    check("torchrun", 3, 8, 1, "torchrun-node-a-29501");
    set("MASTER_PORT", "65535", NULL);
    check_error(KOLO_ERR_ARGUMENT, "MASTER_PORT=65535", NULL);
    set("MASTER_PORT", "29500", "RANK", "8", NULL);
    check_error(KOLO_ERR_ARGUMENT, "RANK=8", NULL);
}

static void torchrun_without_master(void **state)
{
    (void)state;
    set_torchrun();
    unsetenv("MASTER_ADDR");
    check_error(KOLO_ERR_ARGUMENT, "MASTER_ADDR", NULL);
    set("KOLO_PEERS", "a:1", NULL);
    check("torchrun", 3, 8, 1, "torchrun-job");
    check_contact("a", 1);
}

static void ranks_of_hosts_are_refused(void **state)
{
    (void)state;
    set("RANK", "1", "WORLD_SIZE", "4", "MASTER_ADDR", "a", "MASTER_PORT", "29500", NULL);
    check_error(KOLO_ERR_ARGUMENT, "KOLO_RANK", NULL);
    assert_non_null(strstr(kolo_last_error(), "LOCAL_RANK"));
    set("KOLO_LAUNCHER", "none", NULL);
    check("none", 0, 1, -1, "default");
    set("KOLO_LAUNCHER", "", "KOLO_RANK", "1", "KOLO_SIZE", "2", "KOLO_PEERS", "a:1", NULL);
    check("kolo", 1, 2, -1, "default");
}

static void one_host_of_one_is_no_riddle(void **state)
{
    (void)state;
    set("RANK", "0", "WORLD_SIZE", "1", NULL);
    check("none", 0, 1, -1, "default");
}

static void openmpi(void **state)
{
    (void)state;
    set_openmpi();
    check("Open MPI", 1, 4, 1, "openmpi-1994194945");
    int port = hashed_port();
    check_contact("127.0.0.1", port);
    assert_int_equal(launch.port, 0);
    set("OMPI_COMM_WORLD_RANK", "0", "OMPI_COMM_WORLD_LOCAL_RANK", "0", NULL);
    check("Open MPI", 0, 4, 0, "openmpi-1994194945");
    assert_int_equal(launch.port, port);
    unsetenv("PMIX_NAMESPACE");
    set("OMPI_MCA_ess_base_jobid", "77", NULL);
    check("Open MPI", 0, 4, 0, "openmpi-77");
    assert_int_not_equal(launch.port, port);
}

static void openmpi_on_several_hosts(void **state)
{
    (void)state;
    set_openmpi();
    set("OMPI_COMM_WORLD_LOCAL_SIZE", "2", NULL);
    check_error(KOLO_ERR_ARGUMENT, "-x KOLO_PEERS=HOST:PORT", NULL);
    set("PMIX_RANK", "1", NULL);
    check("Open MPI", 1, 4, 1, "openmpi-1994194945");
    assert_int_equal(launch.channel, LAUNCH_PMIX);
    assert_int_equal(launch.contacts, 0);
    assert_non_null(strstr(launch.cure, "-x KOLO_PEERS=HOST:PORT"));
    set("OMPI_COMM_WORLD_LOCAL_SIZE", "4", NULL); /* on one host it is not needed */
    check("Open MPI", 1, 4, 1, "openmpi-1994194945");
    assert_int_equal(launch.channel, LAUNCH_NO_CHANNEL);
    set("OMPI_COMM_WORLD_LOCAL_SIZE", "2", "KOLO_PEERS", "a:5000", "OMPI_COMM_WORLD_RANK", "0",
        "OMPI_COMM_WORLD_LOCAL_RANK", "0", NULL);
    check("Open MPI", 0, 4, 0, "openmpi-1994194945");
    check_contact("a", 5000);
    assert_int_equal(launch.channel, LAUNCH_NO_CHANNEL);
    assert_int_equal(launch.port, 5000); /* rank 0 is there */
}

static void mpich(void **state)
{
    (void)state;
    set_mpich();
    assert_int_equal(launch_read(&launch, NULL), KOLO_OK);
    assert_string_equal(launch.launcher, "MPICH");
    assert_int_equal(launch.rank, 2);
    assert_int_equal(launch.size, 4);
    assert_memory_equal(launch.run_id, "mpich-", 6);
    check_contact("127.0.0.1", hashed_port());
    assert_int_equal(launch.channel, LAUNCH_NO_CHANNEL);
    set("PMI_FD", "6", NULL); /* on one host it is not needed */
    assert_int_equal(launch_read(&launch, NULL), KOLO_OK);
    assert_int_equal(launch.channel, LAUNCH_NO_CHANNEL);
}

static void mpich_on_several_hosts(void **state)
{
    (void)state;
    set_mpich();
    set("MPI_LOCALNRANKS", "1", NULL);
    check_error(KOLO_ERR_ARGUMENT, "-genv KOLO_PEERS", NULL);
    set("PMI_FD", "6", NULL);
    check("MPICH", 2, 4, 2, "");
    assert_int_equal(launch.channel, LAUNCH_PMI);
    assert_int_equal(launch.contacts, 0);
    assert_int_equal(launch.port, 0);
    assert_non_null(strstr(launch.cure, "-genv KOLO_PEERS"));
    set("KOLO_PORT", "7000", NULL);
    check("MPICH", 2, 4, 2, "");
    assert_int_equal(launch.port, 7002);
    set("KOLO_PORT", "", "KOLO_PEERS", "a:5000", NULL);
    check("MPICH", 2, 4, 2, "default");
    assert_int_equal(launch.channel, LAUNCH_NO_CHANNEL);
    check_contact("a", 5000);
}

/* Not even the number of ranks is told then. */
static void mpich_with_a_port_for_pmi(void **state)
{
    (void)state;
    set("PMI_PORT", "host:4242", "PMI_ID", "0", "MPI_LOCALRANKID", "0", "MPI_LOCALNRANKS", "2",
        NULL);
    check_error(KOLO_ERR_ARGUMENT, "-pmi-port", NULL);
}

static void slurm(void **state)
{
    (void)state;
    set_slurm();
    check("Slurm", 5, 8, 1, "slurm-123.0");
    int port = hashed_port();
    check_contact("node07", port);
    set("SLURM_STEP_ID", "1", NULL);
    check("Slurm", 5, 8, 1, "slurm-123.1");
    assert_int_not_equal(hashed_port(), port);
    set("SLURM_STEP_ID", "0", "SLURM_STEP_NUM_NODES", "1", "SLURM_PROCID", "0", "SLURM_LOCALID",
        "0", NULL);
    check("Slurm", 0, 8, 0, "slurm-123.0");
    check_contact("127.0.0.1", port);
    assert_int_equal(launch.port, port);
}

static void slurm_with_broken_variables(void **state)
{
    (void)state;
    set_slurm();
    set("SLURM_STEP_NODELIST", "node[1-", NULL);
    check_error(KOLO_ERR_ARGUMENT, "SLURM_STEP_NODELIST=node[1-", NULL);
    unsetenv("SLURM_STEP_NODELIST");
    check_error(KOLO_ERR_ARGUMENT, "KOLO_PEERS", NULL);
    set("SLURM_PROCID", "8", NULL);
    check_error(KOLO_ERR_ARGUMENT, "SLURM_PROCID=8", NULL);
}

static void a_batch_script_is_no_task(void **state)
{
    (void)state;
    set("SLURM_JOB_ID", "123", "SLURM_PROCID", "0", "SLURM_NTASKS", "4", NULL);
    check_error(KOLO_ERR_ARGUMENT, "srun", NULL);
    set("SLURM_STEP_ID", "4294967291", NULL); /* the number that stands for "batch" */
    check_error(KOLO_ERR_ARGUMENT, "srun", NULL);
    set("SLURM_STEP_ID", "batch", NULL);
    check_error(KOLO_ERR_ARGUMENT, "srun", NULL);
    set("KOLO_LAUNCHER", "slurm", NULL);
    check_error(KOLO_ERR_ARGUMENT, "SLURM_STEP_ID=batch", NULL);
    set("KOLO_LAUNCHER", "none", NULL);
    check("none", 0, 1, -1, "default");
    set("KOLO_LAUNCHER", "", "SLURM_NTASKS", "1", NULL);
    check("none", 0, 1, -1, "default");
}

static void the_innermost_launcher_wins(void **state)
{
    (void)state;
    set_slurm();
    set_mpich();
    assert_int_equal(launch_read(&launch, NULL), KOLO_OK);
    assert_string_equal(launch.launcher, "MPICH");
    set_openmpi();
    check("Open MPI", 1, 4, 1, "openmpi-1994194945");
    set_torchrun();
    check("torchrun", 3, 8, 1, "torchrun-job");
    set("KOLO_LAUNCHER", "slurm", NULL);
    check("Slurm", 5, 8, 1, "slurm-123.0");
    set("KOLO_LAUNCHER", "openmpi", NULL);
    check("Open MPI", 1, 4, 1, "openmpi-1994194945");
}

static void pmi_of_slurm_is_slurm(void **state)
{
    (void)state;
    set_slurm();
    set("PMI_RANK", "5", "PMI_SIZE", "8", NULL);
    check("Slurm", 5, 8, 1, "slurm-123.0");
}

/* An interactive shell of an allocation leaves a step of one task around peers that are started by hand. */
static void a_launcher_of_another_size_is_ignored(void **state)
{
    (void)state;
    set_slurm();
    set("SLURM_STEP_NUM_TASKS", "1", "SLURM_PROCID", "0", "KOLO_SIZE", "4", "KOLO_PEERS", "a:1",
        NULL);
    check("kolo", -1, 4, -1, "default");
    check_contact("a", 1);
    assert_int_equal(launch.port, 0);
}

static void ranks_from_the_launcher_contacts_from_the_user(void **state)
{
    (void)state;
    set_openmpi();
    set("KOLO_SIZE", "4", "KOLO_PEERS", "a:1", NULL);
    check("Open MPI", 1, 4, 1, "openmpi-1994194945");
    check_contact("a", 1);
}

/* All processes of a launcher see the same KOLO_PORT, and those of one host cannot all have it. */
static void a_port_under_a_launcher(void **state)
{
    (void)state;
    set_openmpi();
    set("KOLO_PORT", "7000", NULL);
    check("Open MPI", 1, 4, 1, "openmpi-1994194945");
    check_contact("127.0.0.1", 7000);
    assert_int_equal(launch.port, 7001);
    set("OMPI_COMM_WORLD_RANK", "0", "OMPI_COMM_WORLD_LOCAL_RANK", "0", NULL);
    check("Open MPI", 0, 4, 0, "openmpi-1994194945");
    assert_int_equal(launch.port, 7000);
    set("OMPI_COMM_WORLD_RANK", "3", "OMPI_COMM_WORLD_LOCAL_RANK", "3", "KOLO_PORT", "65534", NULL);
    check_error(KOLO_ERR_ARGUMENT, "KOLO_PORT=65534", NULL);
}

static void a_launcher_that_is_not_there(void **state)
{
    (void)state;
    set("KOLO_LAUNCHER", "mpich", NULL);
    check_error(KOLO_ERR_ARGUMENT, "PMI_SIZE is not set", NULL);
    set("KOLO_LAUNCHER", "torchrun", NULL);
    check_error(KOLO_ERR_ARGUMENT, "WORLD_SIZE is not set", NULL);
}

static void long_job_ids_keep_their_difference(void **state)
{
    (void)state;
    char id[400];
    memset(id, 'j', sizeof id);
    id[sizeof id - 1] = '\0';
    set_torchrun();
    set("TORCHELASTIC_RUN_ID", id, NULL);
    assert_int_equal(launch_read(&launch, NULL), KOLO_OK);
    char first[LAUNCH_RUN_ID_MAX];
    strcpy(first, launch.run_id);
    id[300] = 'k';
    set("TORCHELASTIC_RUN_ID", id, NULL);
    assert_int_equal(launch_read(&launch, NULL), KOLO_OK);
    assert_string_not_equal(first, launch.run_id);
}

int main(void)
{
    setenv("KOLO_LOG", "none", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_is_a_run_of_one, clear),
        cmocka_unit_test_setup(own_variables, clear),
        cmocka_unit_test_setup(own_variables_win, clear),
        cmocka_unit_test_setup(config_wins_over_all, clear),
        cmocka_unit_test_setup(mistakes_in_own_variables, clear),
        cmocka_unit_test_setup(mistakes_in_config, clear),
        cmocka_unit_test_setup(torchrun, clear),
        cmocka_unit_test_setup(torch_variables_by_hand, clear),
        cmocka_unit_test_setup(torchrun_without_master, clear),
        cmocka_unit_test_setup(ranks_of_hosts_are_refused, clear),
        cmocka_unit_test_setup(one_host_of_one_is_no_riddle, clear),
        cmocka_unit_test_setup(openmpi, clear),
        cmocka_unit_test_setup(openmpi_on_several_hosts, clear),
        cmocka_unit_test_setup(mpich, clear),
        cmocka_unit_test_setup(mpich_on_several_hosts, clear),
        cmocka_unit_test_setup(mpich_with_a_port_for_pmi, clear),
        cmocka_unit_test_setup(slurm, clear),
        cmocka_unit_test_setup(slurm_with_broken_variables, clear),
        cmocka_unit_test_setup(a_batch_script_is_no_task, clear),
        cmocka_unit_test_setup(the_innermost_launcher_wins, clear),
        cmocka_unit_test_setup(pmi_of_slurm_is_slurm, clear),
        cmocka_unit_test_setup(a_launcher_of_another_size_is_ignored, clear),
        cmocka_unit_test_setup(ranks_from_the_launcher_contacts_from_the_user, clear),
        cmocka_unit_test_setup(a_port_under_a_launcher, clear),
        cmocka_unit_test_setup(a_launcher_that_is_not_there, clear),
        cmocka_unit_test_setup(long_job_ids_keep_their_difference, clear),
    };
    return cmocka_run_group_tests_name("launch", tests, NULL, NULL);
}
