/* kolo train: the main job on real input. Peers train one model on one text, each on its own part. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/command.h"
#include "tools/train_blas.h"
#include "tools/train_run.h"
#include "tools/train_weights.h"

#define PEERS_FAILED 3 /* exit status: the peers could not go on together */
#define WHY_BYTES 512

/* A kolo call failed: the exit status, explained. */
static int failed(const char *what, kolo_status status)
{
    const char *why = kolo_last_error();
    command_failed(&command_train, "%s: %s%s%s", what, kolo_status_name(status), *why ? ": " : "",
                   why);
    return status / 100 == 2 ? PEERS_FAILED : COMMAND_FAILED;
}

/* Refuse to begin where peers would do different things: all must have the same options and a text of the same length. */
static kolo_status compare_peers(bool *same, kolo_comm *comm, const struct train_options *options,
                                 const struct train_text *text)
{
    uint64_t numbers[] = {(uint64_t)options->steps,          (uint64_t)text->batch,
                          (uint64_t)options->layers,         (uint64_t)options->hidden,
                          (uint64_t)options->context,        (uint64_t)options->embedding,
                          (uint64_t)(options->rate * 1e12),  options->seed,
                          (uint64_t)options->validate_every, text->bytes};
    enum { NUMBERS = sizeof numbers / sizeof *numbers };
    uint64_t most[2 * NUMBERS]; /* the least is the complement of the complement's most */
    for (int i = 0; i < NUMBERS; i++) {
        most[i] = numbers[i];
        most[NUMBERS + i] = ~numbers[i];
    }
    kolo_status status = kolo_all_reduce(comm, most, most, 2 * NUMBERS, KOLO_U64, KOLO_MAX, NULL);
    *same = true;
    for (int i = 0; i < NUMBERS; i++) {
        *same = *same && most[i] == ~most[NUMBERS + i];
    }
    return status;
}

static int file_failed(const char *option, const char *path)
{
    return command_failed(&command_train, "%s %s: %s", option, path, strerror(errno));
}

/* What rank 0 leaves behind. */
static int write_files(const struct train_run *run)
{
    const struct train_options *o = run->options;
    char subtitle[256];
    snprintf(subtitle, sizeof subtitle,
             "%d peer%s, %d samples a step, %zu parameters, validation loss %.3f",
             kolo_size(run->comm), kolo_size(run->comm) == 1 ? "" : "s", run->text->batch,
             run->model.parameter_count, run->progress.validation);
    if (o->save != NULL && !train_weights_save(&run->model, o->save)) {
        return file_failed("--save", o->save);
    }
    if (o->svg != NULL && !train_curve_write_svg(&run->curve, o->svg, subtitle)) {
        return file_failed("--svg", o->svg);
    }
    if (o->csv != NULL && !train_curve_write_csv(&run->curve, o->csv)) {
        return file_failed("--csv", o->csv);
    }
    return COMMAND_OK;
}

static int conclude(const struct train_run *run)
{
    int code = COMMAND_OK;
    if (kolo_rank(run->comm) == 0) {
        train_progress_end(&run->progress, train_run_loss(run));
        code = write_files(run);
    }
    uint8_t digest[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    train_weights_digest(digest, &run->model);
    sha256_hex(hex, digest);
    printf("digest: %s\n", hex);
    fflush(stdout);
    return code;
}

static int train(kolo_comm *comm, const struct train_options *options,
                 const struct train_text *text)
{
    struct train_run run;
    kolo_status status = train_run_init(&run, options, text, comm);
    if (status != KOLO_OK) {
        return failed("start", status);
    }
    if (kolo_rank(comm) == 0) {
        printf("model: %zu parameters; %d samples a step, %d on each peer\n",
               run.model.parameter_count, text->batch, text->sample_count);
    }
    status = train_run_steps(&run);
    int code;
    if (status == KOLO_OK) {
        code = conclude(&run);
    } else if (status == KOLO_ERR_ARGUMENT) {
        code = command_failed(&command_train,
                              "the loss is not a finite number any more: use a lower --rate");
    } else {
        code = failed("training", status);
    }
    train_run_free(&run);
    return code;
}

/* Samples of a step, over `size` peers. */
static int choose_batch(const struct train_options *options, int size)
{
    if (options->batch > 0) {
        return options->batch;
    }
    int share = options->batch_per_peer > 0 ? options->batch_per_peer
                                            : (TRAIN_BATCH_DEFAULT + size - 1) / size;
    return share * size;
}

/* With the peers there: read this one's part and begin. */
static int train_on(kolo_comm *comm, const struct train_options *options)
{
    struct train_text text;
    char why[WHY_BYTES];
    int size = kolo_size(comm);
    int batch = choose_batch(options, size);
    if (batch % size != 0) {
        return command_usage(&command_train,
                             "--batch %d cannot be shared out among %d peers: use a multiple",
                             batch, size);
    }
    if (train_text_measure(&text, why, sizeof why, options->file, options->context, batch,
                           options->seed) != NULL) {
        return command_failed(&command_train, "%s", why);
    }
    bool same;
    kolo_status status = compare_peers(&same, comm, options, &text);
    if (status != KOLO_OK) {
        return failed("start", status);
    }
    if (!same) {
        return command_failed(&command_train,
                              "the peers have different options, or texts of different lengths");
    }
    int code = COMMAND_FAILED;
    if (train_text_read(&text, why, sizeof why, options->file, kolo_rank(comm), size) != NULL) {
        command_failed(&command_train, "%s", why);
    } else {
        code = train(comm, options, &text);
    }
    train_text_free(&text);
    return code;
}

/* What can be found wrong before any peer is waited for. */
static bool prepare(const struct train_options *options)
{
    struct train_text text;
    char why[WHY_BYTES];
    int batch = choose_batch(options, 1);
    if (train_text_measure(&text, why, sizeof why, options->file, options->context, batch,
                           options->seed) != NULL) {
        command_failed(&command_train, "%s", why);
        return false;
    }
    if (train_blas_load() == NULL) {
        command_failed(&command_train,
                       "no BLAS library could be loaded (tried %s): install one, for example "
                       "libopenblas0, or name it in KOLO_BLAS",
                       train_blas_tried());
        return false;
    }
    return true;
}

static int train_main(int argc, char **argv)
{
    struct train_options options;
    switch (train_options_read(&options, &command_train, argc, argv)) {
    case TRAIN_OPTIONS_HELP:
        return COMMAND_OK;
    case TRAIN_OPTIONS_WRONG:
        return COMMAND_USAGE;
    case TRAIN_OPTIONS_RUN:
        break;
    }
    if (!prepare(&options)) {
        return COMMAND_FAILED;
    }
    kolo_comm *comm;
    kolo_status status = kolo_open(&comm, NULL);
    if (status != KOLO_OK) {
        return failed("open", status);
    }
    if (kolo_rank(comm) == 0) {
        train_progress_ring(comm);
    }
    int code = train_on(comm, &options);
    kolo_close(comm);
    return code;
}

const struct command command_train = {
    .name = "train", .what = "train a small language model with peers", .main = train_main};
