/* cases: every case of the conformance suite, by the file it is in. Each takes the wire as its state. */
#ifndef KOLO_TESTS_CONFORMANCE_CASES_H
#define KOLO_TESTS_CONFORMANCE_CASES_H

#include "tests/transport/conformance/message.h"

#define CONFORMANCE_CASES(CASE)                                                                    \
    /* connect.c */                                                                                \
    CASE(connect_brings_both_ends_up)                                                              \
    CASE(connect_towards_nobody_can_be_closed)                                                     \
    CASE(connect_refuses_hostile_offers)                                                           \
    CASE(connect_refuses_truncated_offers)                                                         \
    CASE(connect_survives_flipped_offers)                                                          \
    CASE(connect_posts_before_up_are_kept)                                                         \
    CASE(connect_full_mesh_of_five)                                                                \
    CASE(connect_again_after_close)                                                                \
    /* lengths.c */                                                                                \
    CASE(lengths_all_up_to_300)                                                                    \
    CASE(lengths_around_powers_of_two)                                                             \
    CASE(lengths_spans)                                                                            \
    CASE(lengths_huge)                                                                             \
    CASE(lengths_huge_spans)                                                                       \
    CASE(lengths_zero_with_every_way_of_posting)                                                   \
    CASE(lengths_are_counted)                                                                      \
    /* flight.c */                                                                                 \
    CASE(flight_thousand_messages_each_way)                                                        \
    CASE(flight_both_directions_at_once)                                                           \
    CASE(flight_posted_after_arrival)                                                              \
    CASE(flight_lane_goes_on_beside_an_unready_send)                                               \
    CASE(flight_lane_goes_on_beside_a_missing_receive)                                             \
    CASE(flight_large_send_waits_for_its_receive)                                                  \
    CASE(flight_small_sends_wait_for_their_receives)                                               \
    /* stream.c */                                                                                 \
    CASE(stream_send_grows_byte_by_byte)                                                           \
    CASE(stream_send_grows_at_random)                                                              \
    CASE(stream_receive_stays_behind_ready)                                                        \
    CASE(stream_spans_in_odd_pieces)                                                               \
    CASE(stream_spans_in_whole_elements)                                                           \
    CASE(stream_spans_stand_still)                                                                 \
    CASE(stream_reserve_and_commit)                                                                \
    CASE(stream_reserve_in_its_turn)                                                               \
    /* failure.c */                                                                                \
    CASE(failure_mismatch_of_header)                                                               \
    CASE(failure_mismatch_of_length)                                                               \
    CASE(failure_mismatch_of_spans)                                                                \
    CASE(failure_cancel_of_an_untouched_receive)                                                   \
    CASE(failure_cancel_of_an_untouched_send)                                                      \
    CASE(failure_cancel_in_mid_send)                                                               \
    CASE(failure_cancel_in_mid_receive)                                                            \
    CASE(failure_cancel_with_others_behind)                                                        \
    /* ending.c */                                                                                 \
    CASE(ending_done_messages_arrive_then_lost)                                                    \
    CASE(ending_done_messages_are_received_later)                                                  \
    CASE(ending_done_messages_outlive_their_transport)                                             \
    CASE(ending_close_is_seen_by_an_idle_peer)                                                     \
    CASE(ending_close_fails_own_transfers)                                                         \
    CASE(ending_close_fails_the_peers_transfers)                                                   \
    CASE(ending_close_in_mid_message)                                                              \
    CASE(ending_death_fails_transfers_and_posts)                                                   \
    CASE(ending_one_link_leaves_the_others)                                                        \
    CASE(ending_destroy_with_everything_posted)                                                    \
    /* process.c */                                                                                \
    CASE(process_talks_with_another)                                                               \
    CASE(process_killed_is_lost_soon)                                                              \
    CASE(process_killed_in_mid_message_is_lost_soon)                                               \
    CASE(process_stopped_loses_nothing)                                                            \
    /* sleeping.c */                                                                               \
    CASE(sleeping_idle_arms)                                                                       \
    CASE(sleeping_woken_by_data)                                                                   \
    CASE(sleeping_woken_by_room)                                                                   \
    CASE(sleeping_woken_by_close)                                                                  \
    CASE(sleeping_pending_data_is_not_slept_on)                                                    \
    CASE(sleeping_without_descriptors)                                                             \
    CASE(sleeping_ends_in_time)                                                                    \
    CASE(sleeping_ping_pong_by_descriptor)                                                         \
    CASE(sleeping_ping_pong_without)                                                               \
    /* showing.c */                                                                                \
    CASE(showing_goes_to_all_peers)                                                                \
    CASE(showing_beside_messages)                                                                  \
    CASE(showing_nothing_of_another_number)                                                        \
    CASE(showing_outlives_its_link)                                                                \
    CASE(showing_is_withdrawn)                                                                     \
    CASE(showing_of_the_dead_never_comes)                                                          \
    CASE(showing_is_not_awaited_behind_messages)                                                   \
    CASE(showing_is_counted)                                                                       \
    CASE(showing_is_not_slept_on)                                                                  \
    CASE(showing_wakes_by_descriptor)                                                              \
    CASE(showing_wakes_without)                                                                    \
    /* stress.c */                                                                                 \
    CASE(stress_at_random)                                                                         \
    CASE(stress_in_two_threads)

#define CONFORMANCE_DECLARE(name) void name(void **state);
CONFORMANCE_CASES(CONFORMANCE_DECLARE)
#undef CONFORMANCE_DECLARE

/** Two peers, linked. */
static inline void pair_open(struct mesh *mesh, void **state)
{
    mesh_open(mesh, *state, 2);
    mesh_connect(mesh);
}

#endif
