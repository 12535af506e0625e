#include "runtime/launch/exchange.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/log.h"
#include "runtime/base/status.h"

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
static unsigned rounds; /* under the lock */

static const struct exchange_channel *channel_of(const struct launch *launch)
{
    return launch->channel == LAUNCH_PMI ? &exchange_pmi : &exchange_pmix;
}

/* The channels say what went wrong; only here it is known who asked, and what helps. */
static kolo_status failed(const struct launch *launch, kolo_status status)
{
    char cause[STATUS_TEXT_MAX];
    snprintf(cause, sizeof cause, "%s", kolo_last_error());
    return fail(status, "%s was asked where its %d ranks on several hosts are: %.250s; %s",
                launch->launcher, launch->size, cause, launch->cure);
}

kolo_status exchange_join(struct launch *launch, uint64_t deadline_ns)
{
    if (launch->channel == LAUNCH_NO_CHANNEL) {
        return KOLO_OK;
    }
    char run_id[LAUNCH_RUN_ID_MAX] = "default";
    pthread_mutex_lock(&one_at_a_time);
    kolo_status status = channel_of(launch)->join(run_id, deadline_ns);
    pthread_mutex_unlock(&one_at_a_time);
    if (status != KOLO_OK) {
        return failed(launch, status);
    }
    if (launch->run_id[0] == '\0') {
        memcpy(launch->run_id, run_id, sizeof launch->run_id);
    }
    return KOLO_OK;
}

static void add_peer(struct exchange *exchange, int rank)
{
    rank = (rank + exchange->size) % exchange->size;
    for (unsigned i = 0; i < exchange->peers; i++) {
        if (exchange->peer[i].rank == rank) {
            return;
        }
    }
    assert(exchange->peers < EXCHANGE_PEERS_MAX);
    if (rank != exchange->rank) {
        exchange->peer[exchange->peers++].rank = rank;
    }
}

void exchange_choose(struct exchange *exchange)
{
    exchange->peers = 0;
    if (exchange->size - 1 <= EXCHANGE_PEERS_MAX) {
        for (int distance = 1; distance < exchange->size; distance++) {
            add_peer(exchange, exchange->rank + distance);
        }
        return;
    }
    for (int distance = 1; distance < exchange->size; distance *= 2) {
        add_peer(exchange, exchange->rank + distance);
        add_peer(exchange, exchange->rank - distance);
    }
}

static kolo_status swap(struct exchange *exchange, const struct launch *launch,
                        uint64_t deadline_ns)
{
    pthread_mutex_lock(&one_at_a_time);
    exchange->round = rounds++;
    kolo_status status = channel_of(launch)->swap(exchange, deadline_ns);
    pthread_mutex_unlock(&one_at_a_time);
    return status;
}

static kolo_status take_contacts(struct launch *launch, const struct exchange *exchange)
{
    for (unsigned i = 0; i < exchange->peers; i++) {
        const struct exchange_peer *peer = &exchange->peer[i];
        kolo_status status = launch_add_addresses(launch, peer->text);
        if (status != KOLO_OK) {
            return fail_more(status, "what rank %d says of itself makes no sense", peer->rank);
        }
    }
    log_line(LOG_INFO, "%s gave %u contacts of %u other ranks", launch->launcher, launch->contacts,
             exchange->peers);
    return KOLO_OK;
}

kolo_status exchange_contacts(struct launch *launch, const char *own, uint64_t deadline_ns)
{
    if (launch->channel == LAUNCH_NO_CHANNEL) {
        return KOLO_OK;
    }
    assert(strlen(own) < EXCHANGE_TEXT_MAX && launch->rank >= 0);
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL) {
        return fail(KOLO_ERR_MEMORY, "no memory to exchange contacts with (%zu bytes)",
                    sizeof *exchange);
    }
    exchange->rank = launch->rank;
    exchange->size = launch->size;
    memcpy(exchange->own, own, strlen(own) + 1);
    exchange_choose(exchange);
    kolo_status status = swap(exchange, launch, deadline_ns);
    if (status == KOLO_OK) {
        status = take_contacts(launch, exchange);
    }
    free(exchange);
    return status == KOLO_OK ? KOLO_OK : failed(launch, status);
}
