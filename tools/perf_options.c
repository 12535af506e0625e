#include "tools/perf_options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tools/option.h"

static const char help[] =
    "Usage: kolo perf COLLECTIVE [OPTIONS], on every peer: kolo run -n 4 kolo perf all-reduce\n"
    "\n"
    "Times a collective for a range of sizes and checks its results. COLLECTIVE: all-reduce,\n"
    "reduce-scatter, all-gather, broadcast, reduce, barrier. Columns, letters and the meaning of\n"
    "size, algbw and busbw are those of nccl-tests.\n"
    "\n"
    "  -b, --minbytes SIZE      first size of the whole array (default 8); 64, 4K, 16M, 1G\n"
    "  -e, --maxbytes SIZE      last size (default 64M)\n"
    "  -f, --stepfactor N       multiply the size by N (default 2)\n"
    "  -i, --stepbytes SIZE     or add SIZE each time\n"
    "  -n, --iters N            timed calls of each size (default: as many as fit into -t)\n"
    "  -t, --time SECONDS       time for the calls of each size (default 0.25)\n"
    "  -w, --warmup_iters N     untimed calls before (default 5)\n"
    "  -c, --check 0|1          compare every element with the exact result (default 1)\n"
    "  -d, --datatype TYPE      i8 u8 i32 u32 i64 u64 f16 bf16 f32 f64, or all (default f32)\n"
    "  -o, --op OPERATOR        sum prod min max avg, or all (default sum)\n"
    "  -r, --root RANK          of broadcast and reduce (default 0)\n"
    "  -q, --queue N            keep N calls in flight on a queue; a time is that of N calls / N\n"
    "      --memory host|kolo  buffers from malloc or from kolo_alloc (default host)\n"
    "      --transport NAME     shm, tcp, or several with commas (default: KOLO_TRANSPORT, all)\n"
    "      --algorithm NAME     force an algorithm (default: KOLO_ALGORITHM, the best)\n"
    "      --json FILE          write everything as one JSON document when all is done\n"
    "\n"
    "time, algbw and busbw are means over the calls, averaged over the ranks, as in nccl-tests;\n"
    "median and p99 are taken over the calls of each rank: the largest over the ranks is shown.\n"
    "Exit status: 0, 1 if an element was wrong or the run failed, 2 for a wrong command line.\n";

enum { OPTION_MEMORY = 256, OPTION_TRANSPORT, OPTION_ALGORITHM, OPTION_JSON };

static const struct option long_options[] = {
    {"minbytes", required_argument, NULL, 'b'},
    {"maxbytes", required_argument, NULL, 'e'},
    {"stepfactor", required_argument, NULL, 'f'},
    {"stepbytes", required_argument, NULL, 'i'},
    {"iters", required_argument, NULL, 'n'},
    {"time", required_argument, NULL, 't'},
    {"warmup_iters", required_argument, NULL, 'w'},
    {"check", required_argument, NULL, 'c'},
    {"datatype", required_argument, NULL, 'd'},
    {"op", required_argument, NULL, 'o'},
    {"root", required_argument, NULL, 'r'},
    {"queue", required_argument, NULL, 'q'},
    {"memory", required_argument, NULL, OPTION_MEMORY},
    {"transport", required_argument, NULL, OPTION_TRANSPORT},
    {"algorithm", required_argument, NULL, OPTION_ALGORITHM},
    {"json", required_argument, NULL, OPTION_JSON},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0}};

static const char *type_name(int type)
{
    return kolo_type_name((kolo_type)type);
}

static const char *operator_name(int op)
{
    return kolo_operator_name((kolo_operator)op);
}

/* The number of a name among `names` ones, or all of them. */
static bool read_name(int *first, int *last, const struct command *command, const char *what,
                      const char *text, int names, const char *(*name_of)(int))
{
    if (strcmp(text, "all") == 0) {
        *first = 0;
        *last = names - 1;
        return true;
    }
    for (int i = 0; i < names; i++) {
        if (strcmp(text, name_of(i)) == 0) {
            *first = *last = i;
            return true;
        }
    }
    command_usage(command, "there is no %s \"%s\"", what, text);
    return false;
}

static bool read_memory(bool *shareable, const struct command *command, const char *text)
{
    *shareable = strcmp(text, "kolo") == 0;
    if (*shareable || strcmp(text, "host") == 0) {
        return true;
    }
    command_usage(command, "--memory %s is none of: host, kolo", text);
    return false;
}

static bool read_amount(struct perf_options *o, const struct command *command, int letter,
                        const char *text)
{
    switch (letter) {
    case 'b':
        return option_bytes(&o->first_bytes, command, "-b", text);
    case 'e':
        return option_bytes(&o->last_bytes, command, "-e", text);
    case 'f':
        return option_u64(&o->factor, command, "-f", text, 2, 1 << 20);
    case 'i':
        return option_bytes(&o->step_bytes, command, "-i", text);
    case 'n':
        return option_int(&o->calls, command, "-n", text, 1, PERF_CALLS_MAX);
    case 't':
        return option_positive(&o->budget_s, command, "-t", text, 3600);
    case 'w':
        return option_int(&o->warmups, command, "-w", text, 0, PERF_CALLS_MAX);
    case 'c':
        return option_int(&o->check, command, "-c", text, 0, 1);
    case 'r':
        return option_int(&o->root, command, "-r", text, 0, INT32_MAX);
    case 'q':
        return option_int(&o->queue_depth, command, "-q", text, 1, PERF_QUEUE_DEPTH_MAX);
    default: /* getopt_long has said what is wrong */
        command_usage(command, "the command line has no meaning");
        return false;
    }
}

static bool read_option(struct perf_options *o, const struct command *command, int letter,
                        const char *text)
{
    switch (letter) {
    case 'd':
        return read_name(&o->type_first, &o->type_last, command, "type", text, KOLO_TYPES,
                         type_name);
    case 'o':
        return read_name(&o->operator_first, &o->operator_last, command, "operator", text,
                         KOLO_OPERATORS, operator_name);
    case OPTION_MEMORY:
        return read_memory(&o->shareable, command, text);
    case OPTION_TRANSPORT:
        o->transport = text;
        return true;
    case OPTION_ALGORITHM:
        o->algorithm = text;
        return true;
    case OPTION_JSON:
        o->json = text;
        return true;
    default:
        return read_amount(o, command, letter, text);
    }
}

static bool read_collective(struct perf_options *options, const struct command *command,
                            char **names, int count)
{
    if (count != 1) {
        command_usage(command, "name one collective: all-reduce, reduce-scatter, all-gather, "
                               "broadcast, reduce or barrier");
        return false;
    }
    options->collective = perf_collective_find(names[0]);
    if (options->collective == NULL) {
        command_usage(command,
                      "there is no collective \"%s\": use all-reduce, reduce-scatter, "
                      "all-gather, broadcast, reduce or barrier",
                      names[0]);
        return false;
    }
    if (options->last_bytes > PERF_BYTES_MAX) {
        command_usage(command, "the last size (-e) is above 1024G");
        return false;
    }
    if (options->first_bytes > options->last_bytes) {
        command_usage(command, "the first size (-b) is above the last one (-e)");
        return false;
    }
    return true;
}

enum perf_options_next perf_options_read(struct perf_options *options,
                                         const struct command *command, int argc, char **argv)
{
    struct perf_options read = {.first_bytes = 8,
                                .last_bytes = 64 << 20,
                                .factor = 2,
                                .budget_s = 0.25,
                                .warmups = 5,
                                .check = 1,
                                .type_first = KOLO_F32,
                                .type_last = KOLO_F32};
    int letter;
    while ((letter = getopt_long(argc, argv, "b:e:f:i:n:t:w:c:d:o:r:q:h", long_options, NULL)) !=
           -1) {
        if (letter == 'h') {
            fputs(help, stdout);
            return PERF_OPTIONS_HELP;
        }
        if (!read_option(&read, command, letter, optarg)) {
            return PERF_OPTIONS_WRONG;
        }
    }
    if (!read_collective(&read, command, argv + optind, argc - optind)) {
        return PERF_OPTIONS_WRONG;
    }
    *options = read;
    return PERF_OPTIONS_RUN;
}
