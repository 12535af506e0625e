#include "tools/run_options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tools/command.h"
#include "tools/option.h"

#define GRACE_MOST_S 1e6

static const char help[] =
    "Usage: kolo run -n PEERS [OPTIONS] COMMAND [ARGUMENTS...]\n"
    "       kolo run --hosts HOST[:PEERS],... [OPTIONS] COMMAND [ARGUMENTS...]\n"
    "\n"
    "Starts peers that find each other, here or over ssh, and waits until all have ended. Each "
    "gets KOLO_RANK, KOLO_SIZE,\n"
    "KOLO_LOCAL_RANK, KOLO_RUN_ID and KOLO_PEERS. Rank 0 reads the standard input.\n"
    "\n"
    "  -n, --peers N          how many (with --hosts: at most as many as the hosts have places)\n"
    "      --hosts LIST       where: names or addresses, user@name, [IPv6]; :K starts K peers "
    "there. The command runs in\n"
    "                         the folder of this name on each of them, and no peer reads the "
    "standard input\n"
    "      --ssh PROGRAM      what reaches a host, as in --ssh \"ssh -p 2222\" (default: ssh)\n"
    "      --port P           the port on which the first peer of each host is found (default: "
    "29400 to 30399, by run)\n"
    "      --env NAME[=VALUE] give the peers a variable; on other hosts they get only these and "
    "those named KOLO_*\n"
    "      --bind none|core|share  let each peer run on one core of its own, or, with share, on "
    "core\n"
    "                         RANK modulo the number of cores, where there are more peers "
    "(default: none)\n"
    "      --no-prefix        do not write \"[rank] \" before each line: the peers write to the "
    "terminal themselves\n"
    "      --on-failure kill|wait  when one fails: end the others after the grace time, or leave "
    "them alone (default: kill)\n"
    "      --grace SECONDS    how long the others have to end by themselves (default: 30; 0: end "
    "them at once)\n"
    "  -v, --verbose          tell how each peer ended even if all is well\n"
    "  -h, --help             this text\n"
    "\n"
    "INT, TERM, HUP, USR1, USR2 are passed on to the peers; a second INT or TERM kills them. The "
    "exit code is 0 if all\n"
    "peers ended with 0, else that of the first that did not (128 + the signal that killed it).\n";

enum {
    OPTION_HOSTS = 256,
    OPTION_SSH,
    OPTION_PORT,
    OPTION_ENV,
    OPTION_BIND,
    OPTION_NO_PREFIX,
    OPTION_ON_FAILURE,
    OPTION_GRACE
};

static const struct option long_options[] = {
    {"peers", required_argument, NULL, 'n'},
    {"hosts", required_argument, NULL, OPTION_HOSTS},
    {"ssh", required_argument, NULL, OPTION_SSH},
    {"port", required_argument, NULL, OPTION_PORT},
    {"env", required_argument, NULL, OPTION_ENV},
    {"bind", required_argument, NULL, OPTION_BIND},
    {"no-prefix", no_argument, NULL, OPTION_NO_PREFIX},
    {"on-failure", required_argument, NULL, OPTION_ON_FAILURE},
    {"grace", required_argument, NULL, OPTION_GRACE},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/** Which of two words an option's value is. Returns 0 (out: value) or the usage exit code. */
static int read_word(bool *value, const char *option, const char *yes, const char *no)
{
    if (strcmp(optarg, yes) != 0 && strcmp(optarg, no) != 0) {
        return command_usage(&command_run, "%s %s is none of: %s, %s", option, optarg, yes, no);
    }
    *value = strcmp(optarg, yes) == 0;
    return 0;
}

static int read_bind(enum run_binding *bind)
{
    static const char *const words[] = {
        [RUN_BIND_NONE] = "none", [RUN_BIND_CORE] = "core", [RUN_BIND_SHARE] = "share"};
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(optarg, words[i]) == 0) {
            *bind = (enum run_binding)i;
            return 0;
        }
    }
    return command_usage(&command_run, "--bind %s is none of: none, core, share", optarg);
}

static int read_grace(double *grace_s)
{
    if (strcmp(optarg, "0") == 0) {
        *grace_s = 0;
        return 0;
    }
    bool read = option_positive(grace_s, &command_run, "--grace", optarg, GRACE_MOST_S);
    return read ? 0 : COMMAND_USAGE;
}

static int read_peers(unsigned *peers)
{
    int number;
    if (!option_int(&number, &command_run, "--peers", optarg, 1, RUN_PEERS_MAX)) {
        return COMMAND_USAGE;
    }
    *peers = (unsigned)number;
    return 0;
}

static int read_port(int *port)
{
    return option_int(port, &command_run, "--port", optarg, 1, 65535) ? 0 : COMMAND_USAGE;
}

static int add_variable(struct run_options *options)
{
    if (optarg[0] == '\0' || optarg[0] == '=') {
        return command_usage(&command_run, "--env \"%s\" names no variable", optarg);
    }
    if (options->variables == RUN_ENV_MAX) {
        return command_usage(&command_run, "--env can be given %d times", RUN_ENV_MAX);
    }
    options->variable[options->variables++] = optarg;
    return 0;
}

/** Take one option in; `argument` is the word it stood in. Returns 0 if it has a meaning, else the exit code. */
static int take(struct run_options *options, int option, const char *argument)
{
    switch (option) {
    case 'n':
        return read_peers(&options->peers);
    case 'v':
        options->verbose = true;
        return 0;
    case OPTION_HOSTS:
        options->hosts = optarg;
        return 0;
    case OPTION_SSH:
        options->ssh = optarg;
        return 0;
    case OPTION_PORT:
        return read_port(&options->port);
    case OPTION_ENV:
        return add_variable(options);
    case OPTION_BIND:
        return read_bind(&options->bind);
    case OPTION_NO_PREFIX:
        options->prefix = false;
        return 0;
    case OPTION_ON_FAILURE:
        return read_word(&options->others_go_on, "--on-failure", "wait", "kill");
    case OPTION_GRACE:
        return read_grace(&options->grace_s);
    case ':':
        return command_usage(&command_run, "%s needs a value", argument);
    default:
        return command_usage(&command_run, "there is no option %s", argument);
    }
}

/** What one option alone cannot say. */
static int check(const struct run_options *options)
{
    if (options->command[0] == NULL) {
        return command_usage(&command_run, "there is no command to run");
    }
    if (options->peers == 0 && options->hosts == NULL) {
        return command_usage(&command_run, "how many peers? Give -n PEERS, or --hosts");
    }
    if (options->hosts == NULL && (options->port != 0 || options->ssh != NULL)) {
        return command_usage(&command_run,
                             "--port and --ssh are for --hosts: on this machine the peers "
                             "choose free ports by themselves");
    }
    if (options->hosts != NULL && options->bind != RUN_BIND_NONE) {
        return command_usage(&command_run, "--bind is for this machine only, not for --hosts");
    }
    return 0;
}

int run_options_read(struct run_options *options, int argc, char **argv)
{
    *options = (struct run_options){.prefix = true, .grace_s = RUN_GRACE_S};
    optind = 0; /* start over, and stop at the command: its options are its own */
    for (;;) {
        int option = getopt_long(argc, argv, "+:n:vh", long_options, NULL);
        if (option == -1) {
            break;
        }
        if (option == 'h') {
            fputs(help, stdout);
            return COMMAND_OK;
        }
        int status = take(options, option, argv[optind - 1]);
        if (status != 0) {
            return status;
        }
    }
    options->command = argv + optind;
    int status = check(options);
    if (status != 0) {
        return status;
    }
    if (options->ssh == NULL) {
        options->ssh = "ssh";
    }
    return -1;
}
