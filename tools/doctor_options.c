#include "tools/doctor_options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tools/link.h"
#include "tools/option.h"

#define TIMEOUT_S_MAX 60
#define TIMEOUT_S 3

enum { OPTION_JSON = 256, OPTION_SERVE, OPTION_PORT, OPTION_TIMEOUT };

static void print_help(void)
{
    printf("Usage: kolo doctor [HOST[:PORT]] [OPTIONS]\n\n"
           "What on this host would hurt a run, why, and the command that cures it.\n"
           "With HOST, where `kolo doctor --serve` or `kolo perf link --serve` runs: also whether\n"
           "the two reach each other, both ways, by TCP and by RDMA, and whether their settings\n"
           "agree.\n\n"
           "      --json FILE     write all findings, the good ones too\n"
           "  -v, --verbose       show what is fine, too\n"
           "      --serve         answer `kolo doctor HOST` from other hosts until interrupted\n"
           "      --port PORT     of HOST, or to serve on (%d)\n"
           "      --timeout S     how long HOST may take for each step (%d)\n"
           "      --help          this text\n\n"
           "Exit code: 0 nothing worse than notes; 1 warnings or errors; 2 the command line is "
           "wrong.\n",
           LINK_PORT, TIMEOUT_S);
}

static bool read_option(struct doctor_options *options, const struct command *command, int option)
{
    switch (option) {
    case OPTION_JSON:
        options->json = optarg;
        return true;
    case 'v':
        options->verbose = true;
        return true;
    case OPTION_SERVE:
        options->serve = true;
        return true;
    case OPTION_PORT:
        return option_int(&options->port, command, "--port", optarg, 0, 65535);
    case OPTION_TIMEOUT:
        return option_positive(&options->timeout_s, command, "--timeout", optarg, TIMEOUT_S_MAX);
    default:
        fprintf(stderr, "See: kolo %s --help\n", command->name);
        return false;
    }
}

/* "host", "host:port", "[fd00::1]:port", "fd00::1". */
static bool read_host(struct doctor_options *options, const struct command *command,
                      const char *text)
{
    const char *begin = text, *end = text + strlen(text), *port = NULL;
    if (text[0] == '[' && strchr(text, ']') != NULL) {
        begin = text + 1;
        end = strchr(text, ']');
        port = end[1] == ':' ? end + 2 : NULL;
        if (port == NULL && end[1] != '\0') {
            begin = end; /* refused below */
        }
    } else if (strchr(text, ':') != NULL && strchr(text, ':') == strrchr(text, ':')) {
        end = strchr(text, ':');
        port = end + 1;
    }
    if (end <= begin || (size_t)(end - begin) >= sizeof options->host) {
        command_usage(command, "'%s' is no host", text);
        return false;
    }
    snprintf(options->host, sizeof options->host, "%.*s", (int)(end - begin), begin);
    return port == NULL || option_int(&options->port, command, "the port of HOST", port, 1, 65535);
}

enum doctor_options_next doctor_options_read(struct doctor_options *options,
                                             const struct command *command, int argc, char **argv)
{
    static const struct option names[] = {{"json", required_argument, NULL, OPTION_JSON},
                                          {"verbose", no_argument, NULL, 'v'},
                                          {"serve", no_argument, NULL, OPTION_SERVE},
                                          {"port", required_argument, NULL, OPTION_PORT},
                                          {"timeout", required_argument, NULL, OPTION_TIMEOUT},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    struct doctor_options read = {.port = LINK_PORT, .timeout_s = TIMEOUT_S};
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "vh", names, NULL)) != -1) {
        if (option == 'h') {
            print_help();
            return DOCTOR_OPTIONS_HELP;
        }
        if (!read_option(&read, command, option)) {
            return DOCTOR_OPTIONS_WRONG;
        }
    }
    if (argc - optind > 1 || (read.serve && argc > optind)) {
        command_usage(command, read.serve ? "--serve takes no HOST" : "one HOST at most");
        return DOCTOR_OPTIONS_WRONG;
    }
    if (!read.serve && read.port == 0) {
        command_usage(command, "--port 0 (any) is for --serve");
        return DOCTOR_OPTIONS_WRONG;
    }
    if (argc > optind && !read_host(&read, command, argv[optind])) {
        return DOCTOR_OPTIONS_WRONG;
    }
    *options = read;
    return DOCTOR_OPTIONS_RUN;
}
