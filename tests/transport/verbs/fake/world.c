#include "tests/transport/verbs/fake/world.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>

struct world world = {.lock = PTHREAD_MUTEX_INITIALIZER,
                      .wake = PTHREAD_COND_INITIALIZER,
                      .resolved = PTHREAD_COND_INITIALIZER,
                      .objects = {.previous = &world.objects, .next = &world.objects},
                      .speed = 1,
                      .random = 1};

void world_lock(void)
{
    int error = pthread_mutex_lock(&world.lock);
    assert(error == 0);
    (void)error;
}

void world_unlock(void)
{
    int error = pthread_mutex_unlock(&world.lock);
    assert(error == 0);
    (void)error;
}

static uint64_t real_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Both clocks move on from a common point, so that a new speed does not change the past. */
uint64_t world_now_ns(void)
{
    uint64_t real = real_ns();
    if (world.clock_real_ns == 0) {
        world.clock_real_ns = real;
        world.clock_ns = 1;
    }
    world.clock_ns += (real - world.clock_real_ns) * world.speed;
    world.clock_real_ns = real;
    return world.clock_ns;
}

/* splitmix64 */
uint64_t world_random(uint64_t below)
{
    assert(below > 0);
    uint64_t z = world.random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % below;
}

int world_verb(enum fake_verb verb, const struct hca *hca)
{
    struct fault *fault = &world.fault[verb];
    fault->calls++;
    if (fault->in > 0 && --fault->in == 0) {
        return fault->error;
    }
    return hca != NULL && hca->gone ? EIO : 0;
}

void object_open(struct object *object, const char *kind, uint32_t number)
{
    object->kind = kind;
    object->number = number;
    object->children = 0;
    object->next = &world.objects;
    object->previous = world.objects.previous;
    object->previous->next = object;
    world.objects.previous = object;
}

void object_needs(struct object *object, struct object *parent)
{
    unsigned i = 0;
    while (object->parent[i] != NULL) {
        i++;
        assert(i < WORLD_PARENTS_MAX);
    }
    object->parent[i] = parent;
    parent->children++;
}

int object_close(struct object *object)
{
    if (object->children > 0) {
        return EBUSY;
    }
    object->previous->next = object->next;
    object->next->previous = object->previous;
    for (unsigned i = 0; i < WORLD_PARENTS_MAX && object->parent[i] != NULL; i++) {
        object->parent[i]->children--;
    }
    return 0;
}

unsigned fake_leaks(void)
{
    unsigned leaks = 0;
    world_lock();
    for (const struct object *o = world.objects.next; o != &world.objects; o = o->next) {
        fprintf(stderr, "fake: still open: %s %u\n", o->kind, o->number);
        leaks++;
    }
    world_unlock();
    return leaks;
}
