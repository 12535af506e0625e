#include "tools/link_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "runtime/base/clock.h"
#include "tools/option.h"
#include "tools/quantity.h"

#define SWEEP_FIRST 2
#define SWEEP_LAST (8u << 20)
#define WORD_BYTES 64

static const char help[] =
    "Usage: kolo perf link --serve [--port P] [--once]        on one host, and on the other:\n"
    "       kolo perf link HOST [OPTIONS]\n"
    "\n"
    "Measures bandwidth, message rate and latency of the way to HOST. All options are the "
    "client's: nothing is to be\n"
    "matched by hand. Methods are those of perftest (RDMA) and iperf3 (TCP), so that figures "
    "compare.\n"
    "\n"
    "What is measured\n"
    "  -t, --test NAMES          write, read, send, write-imm, atomic-add, atomic-cas, tcp, "
    "message (the library's own way);\n"
    "                            several with commas (default: write if both ends have a device, "
    "else tcp)\n"
    "      --bandwidth           bandwidth only\n"
    "      --latency             latency only (half of a round trip; read, atomics: the whole)\n"
    "  -b, --bidirectional       both ends send at the same time\n"
    "      --reverse             HOST sends\n"
    "  -s, --size LIST           message sizes: 8,64K,1M (the default)\n"
    "  -a, --all                 all powers of two from 2 to 8M\n"
    "  -D, --duration SECONDS    of each measurement (default 1)\n"
    "  -n, --iterations N        messages of each pair, instead of a duration\n"
    "      --warmup SECONDS      before each measurement (default 0.25); with -n a number of "
    "messages (default 100)\n"
    "\n"
    "How\n"
    "  -q, --pairs N             queue pairs, or TCP streams (default 1)\n"
    "      --depth N             messages in flight on each pair (default 128)\n"
    "  -I, --inline BYTES        largest message that goes inline (default: as perftest)\n"
    "  -l, --post-list N         work requests a doorbell (default 1)\n"
    "  -Q, --signal-interval N   one completion for so many messages (default: 64 for bandwidth "
    "up to 8 KiB, else 1)\n"
    "  -m, --mtu BYTES           path MTU of RDMA: 256 to 4096\n"
    "  -S, --service-level N     0 to 15\n"
    "  -T, --traffic-class N     0 to 255\n"
    "  -R, --rdma-cm             connect through rdma_cm (iWARP: always)\n"
    "  -e, --events              sleep until something comes;      --poll  never sleep\n"
    "      --rate-limit RATE     do not send faster: 10Gbit, 500MB\n"
    "      --validate            compare all that comes with what was sent\n"
    "      --huge-pages          buffers on huge pages\n"
    "      --transport NAME      message: shm, tcp or verbs (default: the best)\n"
    "  -d, --device NAME[:PORT]  RDMA device of this host; --remote-device of HOST\n"
    "  -x, --gid-index N         of it;                    --remote-gid-index\n"
    "      --core N              where to run (hwloc);     --remote-core\n"
    "      --numa-node N         thread and memory;        --remote-numa-node\n"
    "\n"
    "Output\n"
    "      --json FILE           everything as one JSON document\n"
    "      --plot FILE.svg       bandwidth and latency over size\n"
    "      --min-gbps X          exit with 1 if the best bandwidth of a test is below X Gbit/s\n"
    "\n"
    "  -p, --port P              of the server (default 18516; with --serve 0: any that is free)\n"
    "      --once                serve one client\n"
    "With --serve, --device, --gid-index, --core and --numa-node hold where the client asks for "
    "nothing else.\n"
    "Exit status: 0; 1 if the measurement failed, data was wrong or --min-gbps was missed; 2 for a "
    "wrong command line.\n";

enum {
    OPTION_SERVE = 256,
    OPTION_ONCE,
    OPTION_BANDWIDTH,
    OPTION_LATENCY,
    OPTION_REVERSE,
    OPTION_WARMUP,
    OPTION_DEPTH,
    OPTION_POLL,
    OPTION_RATE_LIMIT,
    OPTION_VALIDATE,
    OPTION_HUGE_PAGES,
    OPTION_TRANSPORT,
    OPTION_CORE,
    OPTION_NUMA_NODE,
    OPTION_REMOTE_DEVICE,
    OPTION_REMOTE_GID_INDEX,
    OPTION_REMOTE_CORE,
    OPTION_REMOTE_NUMA_NODE,
    OPTION_JSON,
    OPTION_PLOT,
    OPTION_MIN_GBPS
};

static const struct option long_options[] = {
    {"serve", no_argument, NULL, OPTION_SERVE},
    {"once", no_argument, NULL, OPTION_ONCE},
    {"port", required_argument, NULL, 'p'},
    {"test", required_argument, NULL, 't'},
    {"bandwidth", no_argument, NULL, OPTION_BANDWIDTH},
    {"latency", no_argument, NULL, OPTION_LATENCY},
    {"bidirectional", no_argument, NULL, 'b'},
    {"reverse", no_argument, NULL, OPTION_REVERSE},
    {"size", required_argument, NULL, 's'},
    {"all", no_argument, NULL, 'a'},
    {"duration", required_argument, NULL, 'D'},
    {"iterations", required_argument, NULL, 'n'},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"pairs", required_argument, NULL, 'q'},
    {"depth", required_argument, NULL, OPTION_DEPTH},
    {"inline", required_argument, NULL, 'I'},
    {"post-list", required_argument, NULL, 'l'},
    {"signal-interval", required_argument, NULL, 'Q'},
    {"mtu", required_argument, NULL, 'm'},
    {"service-level", required_argument, NULL, 'S'},
    {"traffic-class", required_argument, NULL, 'T'},
    {"rdma-cm", no_argument, NULL, 'R'},
    {"events", no_argument, NULL, 'e'},
    {"poll", no_argument, NULL, OPTION_POLL},
    {"rate-limit", required_argument, NULL, OPTION_RATE_LIMIT},
    {"validate", no_argument, NULL, OPTION_VALIDATE},
    {"huge-pages", no_argument, NULL, OPTION_HUGE_PAGES},
    {"transport", required_argument, NULL, OPTION_TRANSPORT},
    {"device", required_argument, NULL, 'd'},
    {"gid-index", required_argument, NULL, 'x'},
    {"core", required_argument, NULL, OPTION_CORE},
    {"numa-node", required_argument, NULL, OPTION_NUMA_NODE},
    {"remote-device", required_argument, NULL, OPTION_REMOTE_DEVICE},
    {"remote-gid-index", required_argument, NULL, OPTION_REMOTE_GID_INDEX},
    {"remote-core", required_argument, NULL, OPTION_REMOTE_CORE},
    {"remote-numa-node", required_argument, NULL, OPTION_REMOTE_NUMA_NODE},
    {"json", required_argument, NULL, OPTION_JSON},
    {"plot", required_argument, NULL, OPTION_PLOT},
    {"min-gbps", required_argument, NULL, OPTION_MIN_GBPS},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0}};

/* What is being read. */
struct reading {
    struct link_options options;
    const struct command *command;
    const char *warmup; /* a time or a number: known when all is read */
};

/* Call `take` for every word between commas. */
static bool each_word(struct reading *reading, const char *name, const char *list,
                      bool (*take)(struct reading *reading, const char *word))
{
    for (const char *at = list;; at++) {
        size_t length = strcspn(at, ",");
        char word[WORD_BYTES];
        if (length == 0 || length >= sizeof word) {
            command_usage(reading->command, "%s %s: there is an empty or an endless word in it",
                          name, list);
            return false;
        }
        memcpy(word, at, length);
        word[length] = '\0';
        if (!take(reading, word)) {
            return false;
        }
        at += length;
        if (*at == '\0') {
            return true;
        }
    }
}

static bool take_test(struct reading *reading, const char *word)
{
    enum link_test test = link_test_find(word);
    if (test == LINK_TESTS) {
        command_usage(reading->command,
                      "there is no test \"%s\": use write, read, send, write-imm, atomic-add, "
                      "atomic-cas, tcp or message",
                      word);
        return false;
    }
    reading->options.goal.tests |= 1u << test;
    return true;
}

static bool take_size(struct reading *reading, const char *word)
{
    struct link_request *request = &reading->options.goal.request;
    uint64_t bytes = 0;
    if (!option_bytes(&bytes, reading->command, "--size", word)) {
        return false;
    }
    if (request->size_count == LINK_SIZES_MAX) {
        command_usage(reading->command, "--size: more than %d sizes", LINK_SIZES_MAX);
        return false;
    }
    request->size_bytes[request->size_count++] = bytes;
    return true;
}

static void sweep(struct link_request *request)
{
    request->size_count = 0;
    for (uint64_t bytes = SWEEP_FIRST; bytes <= SWEEP_LAST; bytes *= 2) {
        request->size_bytes[request->size_count++] = bytes;
    }
}

static bool read_u32(uint32_t *value, const struct command *command, const char *name,
                     const char *text, uint32_t least, uint32_t most)
{
    uint64_t read = 0;
    if (!option_u64(&read, command, name, text, least, most)) {
        return false;
    }
    *value = (uint32_t)read;
    return true;
}

static bool read_u8(uint8_t *value, const struct command *command, const char *name,
                    const char *text, uint8_t most)
{
    uint32_t read = 0;
    if (!read_u32(&read, command, name, text, 0, most)) {
        return false;
    }
    *value = (uint8_t)read;
    return true;
}

static bool read_inline(struct link_request *request, const struct command *command,
                        const char *text)
{
    uint32_t bytes = 0;
    if (!read_u32(&bytes, command, "--inline", text, 0, LINK_INLINE_MAX)) {
        return false;
    }
    request->inline_bytes = (int32_t)bytes;
    return true;
}

static bool read_name(char *name, size_t capacity, const struct command *command, const char *what,
                      const char *text)
{
    if (strlen(text) >= capacity) {
        command_usage(command, "%s %s is longer than %zu characters", what, text, capacity - 1);
        return false;
    }
    snprintf(name, capacity, "%s", text);
    return true;
}

static bool read_rate_limit(struct link_request *request, const struct command *command,
                            const char *text)
{
    double rate_Bps = 0;
    if (!quantity_rate(&rate_Bps, command, "--rate-limit", text)) {
        return false;
    }
    request->rate_limit_Bps = rate_Bps < 1      ? 1
                              : rate_Bps > 1e15 ? (uint64_t)1e15
                                                : (uint64_t)rate_Bps;
    return true;
}

static bool read_duration(struct link_request *request, const struct command *command,
                          const char *text)
{
    double seconds = 0;
    if (!option_positive(&seconds, command, "--duration", text, LINK_DURATION_S_MAX)) {
        return false;
    }
    request->duration_ns = clock_ns_from_s(seconds);
    return true;
}

static bool read_least(double *least_Bps, const struct command *command, const char *text)
{
    double gbps = 0;
    if (!option_positive(&gbps, command, "--min-gbps", text, 1e6)) {
        return false;
    }
    *least_Bps = gbps * 1e9 / 8;
    return true;
}

static bool read_end(struct reading *reading, int letter, const char *text)
{
    const struct command *command = reading->command;
    struct link_end *here = &reading->options.goal.request.ends[LINK_CLIENT];
    struct link_end *there = &reading->options.goal.request.ends[LINK_SERVER];
    switch (letter) {
    case 'd':
        return read_name(here->device, sizeof here->device, command, "--device", text);
    case OPTION_REMOTE_DEVICE:
        return read_name(there->device, sizeof there->device, command, "--remote-device", text);
    case 'x':
        return option_int(&here->gid_index, command, "--gid-index", text, 0, 255);
    case OPTION_REMOTE_GID_INDEX:
        return option_int(&there->gid_index, command, "--remote-gid-index", text, 0, 255);
    case OPTION_CORE:
        return option_int(&here->core, command, "--core", text, 0, 65535);
    case OPTION_REMOTE_CORE:
        return option_int(&there->core, command, "--remote-core", text, 0, 65535);
    case OPTION_NUMA_NODE:
        return option_int(&here->numa_node, command, "--numa-node", text, 0, 65535);
    case OPTION_REMOTE_NUMA_NODE:
        return option_int(&there->numa_node, command, "--remote-numa-node", text, 0, 65535);
    default: /* getopt_long has said what is wrong */
        command_usage(command, "the command line has no meaning");
        return false;
    }
}

static bool read_amount(struct reading *reading, int letter, const char *text)
{
    const struct command *command = reading->command;
    struct link_request *request = &reading->options.goal.request;
    switch (letter) {
    case 'D':
        return read_duration(request, command, text);
    case 'n':
        return option_u64(&request->iterations, command, "--iterations", text, 1,
                          LINK_ITERATIONS_MAX);
    case 'q':
        return read_u32(&request->pairs, command, "--pairs", text, 1, LINK_PAIRS_MAX);
    case OPTION_DEPTH:
        return read_u32(&request->depth, command, "--depth", text, 1, LINK_DEPTH_MAX);
    case 'I':
        return read_inline(request, command, text);
    case 'l':
        return read_u32(&request->post_list, command, "--post-list", text, 1, LINK_POST_LIST_MAX);
    case 'Q':
        return read_u32(&request->signal_interval, command, "--signal-interval", text, 1,
                        LINK_DEPTH_MAX);
    case 'm':
        return read_u32(&request->mtu, command, "--mtu", text, 256, 4096);
    case 'S':
        return read_u8(&request->service_level, command, "--service-level", text, 15);
    case 'T':
        return read_u8(&request->traffic_class, command, "--traffic-class", text, 255);
    case OPTION_RATE_LIMIT:
        return read_rate_limit(request, command, text);
    case OPTION_MIN_GBPS:
        return read_least(&reading->options.least_Bps, command, text);
    case 'p':
        return option_int(&reading->options.goal.port, command, "--port", text, 0, 65535);
    default:
        return read_end(reading, letter, text);
    }
}

/* Options without an argument. False: it is none of them. */
static bool read_flag(struct reading *reading, int letter)
{
    struct link_options *options = &reading->options;
    struct link_request *request = &options->goal.request;
    switch (letter) {
    case OPTION_SERVE:
        return options->serve = true;
    case OPTION_ONCE:
        return options->service.once = true;
    case OPTION_BANDWIDTH:
        request->modes = LINK_BANDWIDTH;
        return true;
    case OPTION_LATENCY:
        request->modes = LINK_LATENCY;
        return true;
    case 'b':
        return request->bidirectional = true;
    case OPTION_REVERSE:
        return request->reverse = true;
    case 'a':
        sweep(request);
        return true;
    case 'R':
        return request->rdma_cm = true;
    case 'e':
        request->wait = LINK_WAIT_EVENTS;
        return true;
    case OPTION_POLL:
        request->wait = LINK_WAIT_POLL;
        return true;
    case OPTION_VALIDATE:
        return request->validate = true;
    case OPTION_HUGE_PAGES:
        return request->huge_pages = true;
    default:
        return false;
    }
}

static bool read_option(struct reading *reading, int letter, const char *text)
{
    struct link_request *request = &reading->options.goal.request;
    switch (letter) {
    case 't':
        return each_word(reading, "--test", text, take_test);
    case 's':
        request->size_count = 0;
        return each_word(reading, "--size", text, take_size);
    case OPTION_TRANSPORT:
        return read_name(request->transport, sizeof request->transport, reading->command,
                         "--transport", text);
    case OPTION_WARMUP:
        reading->warmup = text;
        return true;
    case OPTION_JSON:
        reading->options.json = text;
        return true;
    case OPTION_PLOT:
        reading->options.plot = text;
        return true;
    default:
        return read_flag(reading, letter) || read_amount(reading, letter, text);
    }
}

static bool settle_warmup(struct reading *reading)
{
    struct link_request *request = &reading->options.goal.request;
    if (reading->warmup == NULL) {
        return true;
    }
    if (request->iterations > 0) {
        return option_u64(&request->warmup_iterations, reading->command, "--warmup",
                          reading->warmup, 0, LINK_ITERATIONS_MAX);
    }
    char *rest = NULL;
    double seconds = strtod(reading->warmup, &rest);
    if (rest == reading->warmup || *rest != '\0' || !(seconds >= 0) ||
        seconds > LINK_WARMUP_S_MAX) {
        command_usage(reading->command, "--warmup %s is not a number of seconds from 0 to %d",
                      reading->warmup, LINK_WARMUP_S_MAX);
        return false;
    }
    request->warmup_ns = clock_ns_from_s(seconds);
    return true;
}

/* What can only be judged when all is read. */
static bool settle(struct reading *reading, char **names, int count)
{
    struct link_options *options = &reading->options;
    const struct command *command = reading->command;
    if (options->serve ? count != 0 : count != 1) {
        command_usage(command, options->serve ? "--serve takes no host: clients come to it"
                                              : "name the host to measure, or --serve on this one");
        return false;
    }
    if (!settle_warmup(reading)) {
        return false;
    }
    if (options->serve) {
        options->service.port = options->goal.port;
        options->service.end = options->goal.request.ends[LINK_CLIENT];
        return true;
    }
    if (options->service.once || options->goal.port == 0) {
        command_usage(command, options->service.once ? "--once goes with --serve"
                                                     : "--port 0 goes with --serve");
        return false;
    }
    options->goal.host = names[0];
    if (link_request_check(&options->goal.request) != KOLO_OK) {
        command_usage(command, "%s", kolo_last_error());
        return false;
    }
    return true;
}

static void begin(struct reading *reading, const struct command *command)
{
    *reading = (struct reading){.command = command};
    reading->options.goal.port = LINK_PORT;
    reading->options.service.stop_fd = -1;
    struct link_request *request = &reading->options.goal.request;
    link_request_init(request);
    if (getrandom(&request->seed, sizeof request->seed, 0) < 0) {
        request->seed = clock_now_ns();
    }
}

enum link_options_next link_options_read(struct link_options *options,
                                         const struct command *command, int argc, char **argv)
{
    struct reading reading;
    int letter;
    begin(&reading, command);
    optind = 0; /* the caller's own getopt may have run before */
    while ((letter = getopt_long(argc, argv, "p:t:bs:aD:n:q:I:l:Q:m:S:T:Red:x:h", long_options,
                                 NULL)) != -1) {
        if (letter == 'h') {
            fputs(help, stdout);
            return LINK_OPTIONS_HELP;
        }
        if (!read_option(&reading, letter, optarg)) {
            return LINK_OPTIONS_WRONG;
        }
    }
    if (!settle(&reading, argv + optind, argc - optind)) {
        return LINK_OPTIONS_WRONG;
    }
    *options = reading.options;
    return LINK_OPTIONS_RUN;
}
