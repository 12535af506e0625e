#include "tools/plan_options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "tools/option.h"
#include "tools/quantity.h"

/* What is assumed when nothing is said: a node of a small cluster, and a gradient bucket. */
#define RANKS_DEFAULT 8
#define BYTES_DEFAULT (64ULL << 20)
#define RATE_DEFAULT_BPS (25e9 / 8)
#define LATENCY_DEFAULT_S 5e-6

enum option_key {
    KEY_COLLECTIVE = 256, /* beyond all characters: no short options */
    KEY_ALGORITHM,
    KEY_RANKS,
    KEY_ROOT,
    KEY_RANK,
    KEY_BYTES,
    KEY_RATE,
    KEY_PORT_RATE,
    KEY_LATENCY,
    KEY_OVERHEAD,
    KEY_REDUCE_RATE,
    KEY_SVG,
    KEY_FULL,
    KEY_NO_PROOF,
    KEY_LIST,
    KEY_HELP
};

static const struct option long_options[] = {
    {"collective", required_argument, NULL, KEY_COLLECTIVE},
    {"algorithm", required_argument, NULL, KEY_ALGORITHM},
    {"ranks", required_argument, NULL, KEY_RANKS},
    {"root", required_argument, NULL, KEY_ROOT},
    {"rank", required_argument, NULL, KEY_RANK},
    {"bytes", required_argument, NULL, KEY_BYTES},
    {"rate", required_argument, NULL, KEY_RATE},
    {"port-rate", required_argument, NULL, KEY_PORT_RATE},
    {"latency", required_argument, NULL, KEY_LATENCY},
    {"overhead", required_argument, NULL, KEY_OVERHEAD},
    {"reduce-rate", required_argument, NULL, KEY_REDUCE_RATE},
    {"svg", required_argument, NULL, KEY_SVG},
    {"full", no_argument, NULL, KEY_FULL},
    {"no-proof", no_argument, NULL, KEY_NO_PROOF},
    {"list", no_argument, NULL, KEY_LIST},
    {"help", no_argument, NULL, KEY_HELP},
    {NULL, 0, NULL, 0}};

void plan_options_help(void)
{
    puts("Usage: kolo plan [OPTIONS]\n"
         "\n"
         "Shows a collective algorithm: what every rank does, the proof that it is right, and how "
         "long\n"
         "it takes on a network. Without --algorithm: all algorithms of the collective, fastest "
         "first.\n"
         "\n"
         "  --list              name all algorithms, and end\n"
         "  --collective NAME   all-reduce (default), reduce-scatter, all-gather, broadcast, "
         "reduce, "
         "barrier\n"
         "  --algorithm NAME    only this one, with its instructions\n"
         "  --ranks N           size of the group (default 8)\n"
         "  --root R            of broadcast and reduce (default 0)\n"
         "  --rank R            list the instructions of this rank only\n"
         "  --full              list all instructions, however many\n"
         "  --svg FILE          draw rounds x ranks into FILE (with --algorithm)\n"
         "  --no-proof          skip the proof, which takes long for thousands of ranks\n"
         "\n"
         "The network, all nodes alike:\n"
         "  --bytes SIZE        of the vector, for example 8, 64K, 64M, 1G (default 64M)\n"
         "  --rate RATE         of a link, each direction, for example 25Gbit, 3GB (default "
         "25Gbit)\n"
         "  --port-rate RATE    of a node, all its links together (default: as --rate)\n"
         "  --latency TIME      of a link, for example 200ns, 5us, 1ms (default 5us)\n"
         "  --overhead TIME     of a processor, to send or to receive a message (default 0)\n"
         "  --reduce-rate RATE  of a processor, bytes added up (default: costs nothing)");
}

/* ---- names ---------------------------------------------------------------------------------------------------------- */

static bool read_collective(enum collective *collective, const struct command *command,
                            const char *text)
{
    int found = collective_from_name(text);
    if (found < 0) {
        char names[256] = "";
        for (int c = 0; c < COLLECTIVES; c++) {
            size_t length = strlen(names);
            snprintf(names + length, sizeof names - length, "%s%s", c > 0 ? ", " : "",
                     collective_name((enum collective)c));
        }
        command_usage(command, "--collective %s is none of: %s", text, names);
        return false;
    }
    *collective = (enum collective)found;
    return true;
}

static bool find_algorithm(struct plan_options *options, const struct command *command,
                           const char *text)
{
    if (text == NULL) {
        return true;
    }
    options->algorithm = algorithm_find(options->collective, text);
    if (options->algorithm != NULL) {
        return true;
    }
    char names[256] = "";
    unsigned count = 0;
    const struct algorithm *table = algorithm_table(&count);
    for (unsigned a = 0; a < count; a++) {
        size_t length = strlen(names);
        if (table[a].collective == options->collective) {
            snprintf(names + length, sizeof names - length, "%s%s", length > 0 ? ", " : "",
                     table[a].name);
        }
    }
    command_usage(command, "there is no algorithm \"%s\" for %s; there is: %s", text,
                  collective_name(options->collective), names);
    return false;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

/* Texts whose meaning depends on other options. */
struct later {
    const char *algorithm;
    bool root;
    bool port_rate;
};

static bool read_number(struct plan_options *options, const struct command *command, int key,
                        const char *text)
{
    int number = 0;
    switch (key) {
    case KEY_RANKS:
        if (!option_int(&number, command, "--ranks", text, 1, SCHEDULE_RANKS_MAX)) {
            return false;
        }
        options->ranks = (uint32_t)number;
        return true;
    case KEY_ROOT:
        if (!option_int(&number, command, "--root", text, 0, SCHEDULE_RANKS_MAX - 1)) {
            return false;
        }
        options->root = (uint32_t)number;
        return true;
    default:
        return option_int(&options->rank, command, "--rank", text, 0, SCHEDULE_RANKS_MAX - 1);
    }
}

static bool read_network(struct network_uniform *network, const struct command *command, int key,
                         const char *text)
{
    switch (key) {
    case KEY_RATE:
        return quantity_rate(&network->link_Bps, command, "--rate", text);
    case KEY_PORT_RATE:
        return quantity_rate(&network->port_Bps, command, "--port-rate", text);
    case KEY_REDUCE_RATE:
        return quantity_rate(&network->reduce_Bps, command, "--reduce-rate", text);
    case KEY_LATENCY:
        return quantity_seconds(&network->latency_s, command, "--latency", text);
    default:
        return quantity_seconds(&network->overhead_s, command, "--overhead", text);
    }
}

/* One option. Returns false if its argument has no meaning. */
static bool read_option(struct plan_options *options, struct later *later,
                        const struct command *command, int key)
{
    switch (key) {
    case KEY_COLLECTIVE:
        return read_collective(&options->collective, command, optarg);
    case KEY_ALGORITHM:
        later->algorithm = optarg;
        return true;
    case KEY_RANKS:
    case KEY_ROOT:
    case KEY_RANK:
        later->root = later->root || key == KEY_ROOT;
        return read_number(options, command, key, optarg);
    case KEY_BYTES:
        return option_bytes(&options->bytes, command, "--bytes", optarg);
    case KEY_RATE:
    case KEY_PORT_RATE:
    case KEY_LATENCY:
    case KEY_OVERHEAD:
    case KEY_REDUCE_RATE:
        return read_network(&options->network, command, key, optarg);
    case KEY_SVG:
        options->svg = optarg;
        return true;
    case KEY_FULL:
        options->full = true;
        return true;
    default:
        options->prove = false;
        return true;
    }
}

/* What the options mean together. */
static bool check(struct plan_options *options, const struct later *later,
                  const struct command *command)
{
    if (!find_algorithm(options, command, later->algorithm)) {
        return false;
    }
    if (options->network.port_Bps <= 0) {
        options->network.port_Bps = options->network.link_Bps;
    }
    if (later->root && !collective_has_root(options->collective)) {
        command_usage(command, "--root has no meaning for %s: it has no root",
                      collective_name(options->collective));
    } else if (options->root >= options->ranks) {
        command_usage(command, "--root %u is none of %u ranks: 0 to %u", options->root,
                      options->ranks, options->ranks - 1);
    } else if (options->rank != PLAN_RANK_ALL && (uint32_t)options->rank >= options->ranks) {
        command_usage(command, "--rank %d is none of %u ranks: 0 to %u", options->rank,
                      options->ranks, options->ranks - 1);
    } else if (options->algorithm == NULL && options->svg != NULL) {
        command_usage(command, "--svg draws one algorithm: name it with --algorithm");
    } else if (options->algorithm == NULL && options->rank != PLAN_RANK_ALL) {
        command_usage(command, "--rank lists one algorithm: name it with --algorithm");
    } else if (options->algorithm != NULL && options->ranks > options->algorithm->size_max) {
        command_usage(command, "%s by %s is for at most %u ranks, not %u",
                      collective_name(options->collective), options->algorithm->name,
                      options->algorithm->size_max, options->ranks);
    } else {
        return true;
    }
    return false;
}

enum plan_action plan_options_read(struct plan_options *options, const struct command *command,
                                   int argc, char **argv)
{
    struct later later = {0};
    *options = (struct plan_options){
        .collective = COLLECTIVE_ALL_REDUCE,
        .ranks = RANKS_DEFAULT,
        .rank = PLAN_RANK_ALL,
        .bytes = BYTES_DEFAULT,
        .network = {.latency_s = LATENCY_DEFAULT_S, .link_Bps = RATE_DEFAULT_BPS},
        .prove = true};
    int key = 0;
    opterr = 0; /* what is wrong is said here */
    while ((key = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
        if (key == KEY_HELP || key == KEY_LIST) {
            return key == KEY_HELP ? PLAN_HELP : PLAN_LIST;
        }
        if (key == ':' || key == '?') {
            const char *word = argv[optind - 1];
            command_usage(command, "%s %s", word,
                          key == ':' ? "needs a value" : "is no option of it");
            return PLAN_WRONG;
        }
        if (!read_option(options, &later, command, key)) {
            return PLAN_WRONG;
        }
    }
    if (optind < argc) {
        command_usage(command, "\"%s\" is not understood: everything is an option here",
                      argv[optind]);
        return PLAN_WRONG;
    }
    return check(options, &later, command) ? PLAN_RUN : PLAN_WRONG;
}
