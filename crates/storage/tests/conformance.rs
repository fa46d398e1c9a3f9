//! What `Logs` and `Bus` promise, on every store.

mod support;

use support::{OnDisk, on_all_stores};
use tombolo_testkit::conformance::bus::{
    a_frame_above_the_limit_is_refused, a_slow_listener_is_told_of_the_gap, commits_tell_how_far_the_log_goes,
    frames_reach_every_listener_once_and_in_order, heads_are_those_of_the_logs,
};
use tombolo_testkit::conformance::concurrency::{one_device_twice_at_once, pushes_from_many_threads};
use tombolo_testkit::conformance::cursors::{
    changes_are_read_in_pages, cursors_are_bounded, head_and_resume, lost_replies_are_sent_again, polls_write_nothing,
    replicas_are_bounded, slow_clocks_miss_no_lost_reply, slow_clocks_resume, unknown_times_are_sent_everything,
};
use tombolo_testkit::conformance::durable;
use tombolo_testkit::conformance::paging::{
    a_download_begun_anew_keeps_its_pages, lost_pages_come_again, pages_joined_are_the_whole,
    writes_between_pages_arrive,
};
use tombolo_testkit::conformance::records::{
    deletions_cascade, homes_are_one, instants_that_go_out, losers_stay_in_the_log, many_deletions_cascade,
    many_merges_in_one_push, names_are_unique, references_are_attached, refusals_touch_no_log, retries_are_stored_once,
    tombstones,
};

on_all_stores!(
    a_download_begun_anew_keeps_its_pages,
    a_frame_above_the_limit_is_refused,
    a_slow_listener_is_told_of_the_gap,
    changes_are_read_in_pages,
    commits_tell_how_far_the_log_goes,
    cursors_are_bounded,
    deletions_cascade,
    frames_reach_every_listener_once_and_in_order,
    head_and_resume,
    heads_are_those_of_the_logs,
    homes_are_one,
    instants_that_go_out,
    losers_stay_in_the_log,
    lost_pages_come_again,
    lost_replies_are_sent_again,
    many_deletions_cascade,
    many_merges_in_one_push,
    names_are_unique,
    one_device_twice_at_once,
    pages_joined_are_the_whole,
    polls_write_nothing,
    pushes_from_many_threads,
    references_are_attached,
    refusals_touch_no_log,
    replicas_are_bounded,
    retries_are_stored_once,
    slow_clocks_miss_no_lost_reply,
    slow_clocks_resume,
    tombstones,
    unknown_times_are_sent_everything,
    writes_between_pages_arrive,
);

#[test]
fn what_was_acknowledged_outlives_a_restart() {
    durable::restarts(&OnDisk::default());
}

#[test]
fn an_older_copy_of_the_file_is_noticed() {
    durable::an_older_copy(&OnDisk::default());
}

#[test]
fn polls_leave_the_file_alone() {
    durable::polls_leave_the_file_alone(&OnDisk::default());
}
