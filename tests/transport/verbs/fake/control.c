/* The controls of fake.h: order, time and faults. */
#include <assert.h>

#include "tests/transport/verbs/fake/world.h"

void fake_order(enum fake_order order, uint64_t seed)
{
    world_lock();
    world.order = order;
    world.random = seed;
    fabric_wake();
    world_unlock();
}

void fake_hold_resolving(bool on)
{
    world_lock();
    world.holds_resolving = on;
    pthread_cond_broadcast(&world.resolved);
    world_unlock();
}

void fake_garbage(bool on)
{
    world_lock();
    world.garbage = on;
    world_unlock();
}

unsigned fake_step(unsigned steps)
{
    world_lock();
    unsigned done = fabric_steps(steps);
    world_unlock();
    return done;
}

void fake_speed(unsigned factor)
{
    assert(factor > 0);
    world_lock();
    world_now_ns(); /* the past at the old speed */
    world.speed = factor;
    world_unlock();
}

void fake_advance(uint64_t ns)
{
    world_lock();
    world_now_ns();
    world.clock_ns += ns;
    fabric_wake();
    world_unlock();
}

void fake_fail(enum fake_verb verb, unsigned nth, int error)
{
    assert(verb < FAKE_VERB_COUNT);
    world_lock();
    world.fault[verb].in = error != 0 ? nth : 0;
    world.fault[verb].error = error;
    world_unlock();
}

unsigned fake_calls(enum fake_verb verb)
{
    assert(verb < FAKE_VERB_COUNT);
    world_lock();
    unsigned calls = world.fault[verb].calls;
    world_unlock();
    return calls;
}

const char *fake_verb_name(enum fake_verb verb)
{
    static const char *const name[] = {
#define FAKE_VERB_TEXT(name) #name,
        FAKE_VERBS(FAKE_VERB_TEXT)
#undef FAKE_VERB_TEXT
    };
    assert(verb < FAKE_VERB_COUNT);
    return name[verb];
}

/* Tell every open context of a device. */
static void raise_on_device(const struct hca *hca, enum ibv_event_type type, int port)
{
    for (struct object *o = world.objects.next; o != &world.objects; o = o->next) {
        if (o->parent[0] == NULL) { /* a context: all others have parents */
            struct context *context = WORLD_OWNER(o, struct context, object);
            if (context->hca == hca) {
                event_raise(&context->verbs.context, type, NULL, port);
            }
        }
    }
}

void fake_port_set(unsigned device, unsigned port, bool up)
{
    world_lock();
    assert(device < world.hcas && port >= 1 && port <= world.hca[device].shape.ports);
    struct hca *hca = &world.hca[device];
    if (hca->shape.port[port - 1].down == up) {
        hca->shape.port[port - 1].down = !up;
        raise_on_device(hca, up ? IBV_EVENT_PORT_ACTIVE : IBV_EVENT_PORT_ERR, (int)port);
        fabric_wake();
    }
    world_unlock();
}

void fake_remove(unsigned device, bool flush)
{
    world_lock();
    assert(device < world.hcas);
    struct hca *hca = &world.hca[device];
    if (!hca->gone) {
        hca->gone = true;
        raise_on_device(hca, IBV_EVENT_DEVICE_FATAL, 0);
        for (unsigned i = 0; flush && i < world.pairs; i++) {
            if (world.made[i]->hca == hca) {
                pair_fail(world.made[i]);
            }
        }
    }
    world_unlock();
}

void fake_path(unsigned device_a, unsigned port_a, unsigned device_b, unsigned port_b, bool cut,
               uint64_t delay_ns)
{
    world_lock();
    assert(device_a < world.hcas && device_b < world.hcas);
    assert(port_a >= 1 && port_a <= FAKE_PORTS_MAX && port_b >= 1 && port_b <= FAKE_PORTS_MAX);
    struct path path = {cut, delay_ns};
    world.path[device_a][port_a - 1][device_b][port_b - 1] = path;
    world.path[device_b][port_b - 1][device_a][port_a - 1] = path;
    fabric_wake();
    world_unlock();
}

bool fake_break(uint32_t qp_number)
{
    world_lock();
    struct queue_pair *pair = pair_find(qp_number);
    if (pair != NULL) {
        event_raise(pair->qp.context, IBV_EVENT_QP_FATAL, &pair->qp, 0);
        pair_fail(pair);
    }
    world_unlock();
    return pair != NULL;
}

unsigned fake_pairs(void)
{
    world_lock();
    unsigned pairs = world.pairs;
    world_unlock();
    return pairs;
}

uint32_t fake_pair(unsigned index)
{
    world_lock();
    uint32_t number = index < world.pairs ? world.made[index]->qp.qp_num : 0;
    world_unlock();
    return number;
}

void fake_not_ready(uint32_t qp_number, unsigned count)
{
    world_lock();
    struct queue_pair *pair = pair_find(qp_number);
    assert(pair != NULL);
    pair->feign_not_ready = count;
    world_unlock();
}

void fake_device_memory(const void *base, size_t bytes)
{
    world_lock();
    world.device_memory = base;
    world.device_memory_bytes = bytes;
    world_unlock();
}
