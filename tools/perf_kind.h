/* perf_kind: what `kolo perf` can measure besides collectives: a word after `kolo perf` that has a command line of its own. Each kind
 * exports its row; perf.c holds the table. */
#ifndef KOLO_TOOLS_PERF_KIND_H
#define KOLO_TOOLS_PERF_KIND_H

struct perf_kind {
    const char *name; /* "link" */
    const char *what; /* one line for `kolo perf --help` */
    /** Run it; argv[0] is the kind's name. Returns the exit status (enum command_exit). */
    int (*main)(int argc, char **argv);
};

extern const struct perf_kind perf_kind_link;
extern const struct perf_kind perf_kind_mesh;

#endif
