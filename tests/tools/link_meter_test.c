/* Rates and distributions: what is computed from given arrivals and durations, in time that is made up. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/base/clock.h"
#include "tools/link_meter.h"
#include "tools/link_sample.h"

static void near(double value, double expected)
{
    assert_true(fabs(value - expected) <= 1e-6 * fabs(expected));
}

static struct link_request request_of(uint64_t duration_ns, uint64_t warmup_ns)
{
    struct link_request request;
    link_request_init(&request);
    request.duration_ns = duration_ns;
    request.warmup_ns = warmup_ns;
    return request;
}

static void a_steady_stream(void **state)
{
    (void)state;
    struct link_request request = request_of(NS_PER_S, NS_PER_S / 4);
    struct link_meter meter;
    struct link_rate rate;
    uint64_t now_ns = 5 * NS_PER_S, messages = 0;
    link_meter_start(&meter, &request, 1000, 1, now_ns);
    do { /* 1000 B each 10 us: 100 MB/s */
        now_ns += 10 * NS_PER_US;
        messages++;
    } while (!link_meter_add(&meter, 1000, now_ns));
    link_meter_rate(&rate, &meter, 1);
    near(rate.mean_Bps, 1e8);
    near(rate.median_Bps, 1e8);
    near(rate.peak_Bps, 1e8);
    assert_int_equal(rate.bytes, 100000000);
    assert_int_equal(rate.ns, NS_PER_S);
    assert_int_equal(messages, 125000);
}

/* Warm-up counts for nothing, however slow; a pause takes its time from the mean, not from the median. */
static void a_pause(void **state)
{
    (void)state;
    struct link_request request = request_of(NS_PER_S, NS_PER_S);
    struct link_meter meter;
    struct link_rate rate;
    uint64_t now_ns = 0;
    link_meter_start(&meter, &request, 1000, 1, now_ns);
    link_meter_add(&meter, 1, NS_PER_S - 1);
    now_ns = NS_PER_S;
    bool paused = false;
    while (!link_meter_add(&meter, 1000, now_ns)) {
        now_ns += 10 * NS_PER_US;
        if (!paused && now_ns > NS_PER_S + NS_PER_S / 2) {
            paused = true;
            now_ns += NS_PER_S / 4;
        }
    }
    link_meter_rate(&rate, &meter, 1);
    assert_in_range((uint64_t)rate.mean_Bps, 74000000, 76000000);
    near(rate.median_Bps, 1e8);
    assert_true(rate.peak_Bps < 1.01e8);
}

static void so_many_messages(void **state)
{
    (void)state;
    struct link_request request = request_of(NS_PER_S, NS_PER_S);
    struct link_meter meter;
    struct link_rate rate;
    request.iterations = 1000;
    request.warmup_iterations = 10;
    uint64_t now_ns = 0;
    link_meter_start(&meter, &request, 64, 2, now_ns);
    unsigned messages = 0;
    do {
        now_ns += NS_PER_US;
        messages++;
    } while (!link_meter_add(&meter, 64, now_ns));
    assert_int_equal(messages, 2 * (1000 + 10)); /* of each stream */
    link_meter_rate(&rate, &meter, 1);
    assert_int_equal(rate.bytes, 64 * 2000);
    near(rate.mean_Bps, 64e6);
    request.iterations = 1; /* fewer than there are intervals */
    request.warmup_iterations = 0;
    link_meter_start(&meter, &request, 1, 1, now_ns);
    assert_true(link_meter_add(&meter, 1, now_ns + NS_PER_US));
    link_meter_rate(&rate, &meter, 1);
    assert_int_equal(rate.bytes, 1);
    near(rate.mean_Bps, 1e6);
}

static void several_streams_add_up(void **state)
{
    (void)state;
    struct link_request request = request_of(NS_PER_S, 0);
    struct link_meter meters[3];
    struct link_rate rate;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t now_ns = i * 1000;
        link_meter_start(&meters[i], &request, 1000, 1, now_ns);
        do {
            now_ns += 10 * NS_PER_US;
        } while (!link_meter_add(&meters[i], 1000 * (i + 1), now_ns));
    }
    link_meter_rate(&rate, meters, 3);
    near(rate.mean_Bps, 6e8);
    near(rate.median_Bps, 6e8);
    meters[1] = (struct link_meter){0}; /* nothing came on one of them */
    link_meter_rate(&rate, meters, 3);
    near(rate.mean_Bps, 4e8);
    link_meter_rate(&rate, &meters[1], 1);
    assert_int_equal(rate.bytes, 0);
    assert_true(rate.mean_Bps <= 0 && rate.peak_Bps <= 0);
}

static void rates_travel(void **state)
{
    (void)state;
    uint8_t bytes[64];
    struct link_rate sent = {1.5, 2.25, 1e300, 7, UINT64_MAX}, got;
    struct wire_writer writer = {.bytes = bytes, .capacity = sizeof bytes};
    link_rate_put(&writer, &sent);
    struct wire_reader reader = {.bytes = bytes, .length = writer.length};
    link_rate_get(&reader, &got);
    assert_false(reader.failed);
    assert_memory_equal(&sent, &got, sizeof got);
}

static void quantiles(void **state)
{
    (void)state;
    struct link_sample sample;
    struct link_times times;
    assert_true(link_sample_init(&sample, 4096));
    for (uint64_t i = 1; i <= 1000; i++) { /* in no order: 7 is prime to 1000 */
        link_sample_add(&sample, (i * 7 % 1000 + 1) * 1000);
    }
    link_sample_times(&times, &sample, 0.5);
    near(times.min, 0.5);
    near(times.median, 250);
    near(times.mean, 250.25);
    near(times.p99, 495);
    near(times.p999, 499.5);
    near(times.max, 500);
    near(times.deviation, 0.5 * sqrt((1000.0 * 1000.0 - 1) / 12));
    link_sample_free(&sample);
}

static void one_and_none(void **state)
{
    (void)state;
    struct link_sample sample;
    struct link_times times;
    assert_true(link_sample_init(&sample, 2));
    link_sample_times(&times, &sample, 1);
    assert_true(times.max <= 0 && times.median <= 0);
    link_sample_add(&sample, 3000);
    link_sample_times(&times, &sample, 1);
    near(times.min, 3);
    near(times.median, 3);
    near(times.p999, 3);
    near(times.max, 3);
    link_sample_free(&sample);
}

/* More than there is room for: thinned evenly, ends kept. */
static void more_than_fits(void **state)
{
    (void)state;
    struct link_sample sample;
    struct link_times times;
    assert_true(link_sample_init(&sample, 1024));
    for (uint64_t i = 1; i <= 100000; i++) {
        link_sample_add(&sample, i);
    }
    assert_int_equal(sample.all, 100000);
    assert_in_range(sample.count, 512, 1024);
    link_sample_times(&times, &sample, 1000);
    near(times.min, 1);
    near(times.max, 100000);
    assert_in_range((uint64_t)times.median, 49500, 50500);
    assert_in_range((uint64_t)times.p99, 98500, 99500);
    link_sample_free(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_steady_stream),  cmocka_unit_test(a_pause),
        cmocka_unit_test(so_many_messages), cmocka_unit_test(several_streams_add_up),
        cmocka_unit_test(rates_travel),     cmocka_unit_test(quantiles),
        cmocka_unit_test(one_and_none),     cmocka_unit_test(more_than_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
