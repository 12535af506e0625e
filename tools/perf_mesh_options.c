#include "tools/perf_mesh_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tools/option.h"

#define DURATION_S_MAX 60
#define PERCENT_MAX 99
#define LINE_MAX_BYTES 4096

static const char help[] =
    "Usage: kolo perf mesh HOST[:PORT]... [OPTIONS]     on every HOST: kolo perf mesh --serve\n"
    "\n"
    "Measures the way between every two hosts, in both directions: bandwidth and latency, half of\n"
    "the hosts with the other half at a time, each in one pair. Names the slow pair, the slow\n"
    "direction and the host that does not answer. `kolo perf link --serve` serves as well.\n"
    "\n"
    "      --serve            answer on this host until interrupted\n"
    "      --hosts-file FILE  hosts, one or more a line; # begins a comment\n"
    "      --port PORT        of the hosts that have none of their own, or to serve on (18516)\n"
    "      --test NAME        write, read, send, ..., tcp, message (default: write where both "
    "ends\n"
    "                         have RDMA, else tcp)\n"
    "      --size SIZE        of the messages of the bandwidth test (default 1M)\n"
    "      --duration S       of each measurement (default 1)\n"
    "      --pairs N          queue pairs, or TCP streams (default 1)\n"
    "      --slow PERCENT     slow is so far below the median bandwidth, or four times so far "
    "above\n"
    "                         the median latency (default 25)\n"
    "      --timeout S        to connect (default 5)\n"
    "      --json FILE        write everything as one JSON document\n"
    "      --svg FILE         draw the matrix as a heat map\n"
    "\n"
    "Exit status: 0; 1 if a pair is slow or failed, or a host does not answer; 2 for a wrong\n"
    "command line.\n";

enum {
    OPTION_SERVE = 256,
    OPTION_FILE,
    OPTION_PORT,
    OPTION_TEST,
    OPTION_SIZE,
    OPTION_DURATION,
    OPTION_PAIRS,
    OPTION_SLOW,
    OPTION_TIMEOUT,
    OPTION_JSON,
    OPTION_SVG
};

static const struct option long_options[] = {{"serve", no_argument, NULL, OPTION_SERVE},
                                             {"hosts-file", required_argument, NULL, OPTION_FILE},
                                             {"port", required_argument, NULL, OPTION_PORT},
                                             {"test", required_argument, NULL, OPTION_TEST},
                                             {"size", required_argument, NULL, OPTION_SIZE},
                                             {"duration", required_argument, NULL, OPTION_DURATION},
                                             {"pairs", required_argument, NULL, OPTION_PAIRS},
                                             {"slow", required_argument, NULL, OPTION_SLOW},
                                             {"timeout", required_argument, NULL, OPTION_TIMEOUT},
                                             {"json", required_argument, NULL, OPTION_JSON},
                                             {"svg", required_argument, NULL, OPTION_SVG},
                                             {"help", no_argument, NULL, 'h'},
                                             {NULL, 0, NULL, 0}};

/* Where the address ends and where the port begins (NULL: no port): "a", "a:1", "[fd00::1]:1", "fd00::1". */
static const char *find_port(const char **begin, const char **end, const char *text)
{
    const char *bracket = strchr(text, ']'), *colon = strchr(text, ':');
    *begin = text;
    *end = text + strlen(text);
    if (text[0] == '[' && bracket != NULL) {
        *begin = text + 1;
        *end = bracket;
        return bracket[1] == ':' ? bracket + 2 : NULL;
    }
    if (colon != NULL && strchr(colon + 1, ':') == NULL) {
        *end = colon;
        return colon + 1;
    }
    return NULL;
}

static bool add_host(struct mesh_options *options, const struct command *command, const char *text)
{
    const char *begin, *end, *port = find_port(&begin, &end, text);
    if (options->hosts == MESH_HOSTS_MAX) {
        command_usage(command, "more than %d hosts", MESH_HOSTS_MAX);
        return false;
    }
    if (end == begin || strlen(text) >= MESH_HOST_MAX) {
        command_usage(command, "'%s' is no host", text);
        return false;
    }
    for (unsigned i = 0; i < options->hosts; i++) {
        if (strcmp(options->host[i].name, text) == 0) {
            command_usage(command, "%s is given twice", text);
            return false;
        }
    }
    struct mesh_host *host = &options->host[options->hosts++];
    memset(host, 0, sizeof *host);
    snprintf(host->name, sizeof host->name, "%s", text);
    snprintf(host->address, sizeof host->address, "%.*s", (int)(end - begin), begin);
    return port == NULL || option_int(&host->port, command, "the port of a host,", port, 1, 65535);
}

static bool add_hosts(struct mesh_options *options, const struct command *command, char *text)
{
    static const char blanks[] = " \t\r\n,";
    char *rest = NULL;
    for (char *word = strtok_r(text, blanks, &rest); word != NULL;
         word = strtok_r(NULL, blanks, &rest)) {
        if (!add_host(options, command, word)) {
            return false;
        }
    }
    return true;
}

static bool read_file(struct mesh_options *options, const struct command *command, const char *path)
{
    char line[LINE_MAX_BYTES];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        command_usage(command, "--hosts-file %s: %s", path, strerror(errno));
        return false;
    }
    bool good = true;
    while (good && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "#")] = '\0';
        good = add_hosts(options, command, line);
    }
    fclose(file);
    return good;
}

static bool read_test(struct mesh_options *options, const struct command *command)
{
    enum link_test test = link_test_find(optarg);
    if (test == LINK_TESTS) {
        command_usage(command, "--test %s is none of: write, read, send, write-imm, tcp, message",
                      optarg);
        return false;
    }
    options->tests = 1U << test;
    return true;
}

static bool read_slow(struct mesh_options *options, const struct command *command)
{
    int percent = 0;
    if (!option_int(&percent, command, "--slow", optarg, 1, PERCENT_MAX)) {
        return false;
    }
    options->threshold = percent / 100.0;
    return true;
}

static bool read_option(struct mesh_options *options, const struct command *command, int option)
{
    switch (option) {
    case OPTION_SERVE:
        options->serve = true;
        return true;
    case OPTION_FILE:
        return read_file(options, command, optarg);
    case OPTION_PORT:
        return option_int(&options->port, command, "--port", optarg, 0, 65535);
    case OPTION_TEST:
        return read_test(options, command);
    case OPTION_SIZE:
        return option_bytes(&options->size_bytes, command, "--size", optarg);
    case OPTION_DURATION:
        return option_positive(&options->duration_s, command, "--duration", optarg, DURATION_S_MAX);
    case OPTION_PAIRS:
        return option_int(&options->pairs, command, "--pairs", optarg, 1, LINK_PAIRS_MAX);
    case OPTION_SLOW:
        return read_slow(options, command);
    case OPTION_TIMEOUT:
        return option_positive(&options->connect_timeout_s, command, "--timeout", optarg,
                               DURATION_S_MAX);
    case OPTION_JSON:
        options->json = optarg;
        return true;
    case OPTION_SVG:
        options->svg = optarg;
        return true;
    default:
        fprintf(stderr, "See: kolo %s --help\n", command->name);
        return false;
    }
}

/* What is wrong with the whole of it; NULL: nothing. */
static const char *find_fault(const struct mesh_options *options)
{
    if (options->serve) {
        return options->hosts > 0 ? "--serve takes no hosts" : NULL;
    }
    if (options->port == 0) {
        return "--port 0 (any) is for --serve";
    }
    if (options->size_bytes == 0 || options->size_bytes > LINK_SIZE_BYTES_MAX) {
        return "--size must be from 1 to 1G";
    }
    return options->hosts < 2 ? "two hosts at least; on each: kolo perf mesh --serve" : NULL;
}

enum mesh_options_next mesh_options_read(struct mesh_options *options,
                                         const struct command *command, int argc, char **argv)
{
    memset(options, 0, sizeof *options);
    options->port = LINK_PORT;
    options->size_bytes = 1 << 20;
    options->duration_s = 1;
    options->pairs = 1;
    options->connect_timeout_s = 5;
    options->threshold = 0.25;
    int option;
    optind = 1;
    while ((option = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return MESH_OPTIONS_HELP;
        }
        if (!read_option(options, command, option)) {
            return MESH_OPTIONS_WRONG;
        }
    }
    for (; optind < argc; optind++) {
        if (!add_hosts(options, command, argv[optind])) {
            return MESH_OPTIONS_WRONG;
        }
    }
    const char *fault = find_fault(options);
    if (fault != NULL) {
        command_usage(command, "%s", fault);
        return MESH_OPTIONS_WRONG;
    }
    for (unsigned i = 0; i < options->hosts; i++) {
        options->host[i].port = options->host[i].port != 0 ? options->host[i].port : options->port;
    }
    return MESH_OPTIONS_RUN;
}
