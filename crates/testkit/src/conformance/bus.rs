//! What `Bus` promises inside one process, and what commits tell.

use tokio::time::timeout;
use tombolo_core::{Seq, UserId};
use tombolo_storage::{FRAME_BYTES_MAX, Frame, Listener, Message, Refused, SpaceAddress, TOPIC_BYTES_MAX};

use super::peers;
use crate::eventually::FOREVER;
use crate::{Note, Place, at, put, wait};

/// More messages than any listener may be behind.
const FLOOD: usize = 5_000;

/// A frame of that topic, filled with bytes of no meaning.
#[must_use]
pub fn frame(topic: &str, bytes: usize) -> Frame {
    let payload: Vec<u8> = (0..bytes).map(|n| u8::try_from(n % 251).expect("a small number")).collect();
    Frame { topic: topic.into(), payload: payload.into() }
}

/// The next message.
///
/// # Panics
/// When none comes.
pub async fn next(listener: &mut Listener) -> Message {
    timeout(FOREVER, listener.next()).await.expect("there is a message").expect("the store is there")
}

fn publish(place: &Place, frame: &Frame) {
    wait(place.store.bus().publish(frame.clone())).expect("the frame is on its way");
}

fn heard(listener: &mut Listener) -> Message {
    wait(next(listener))
}

/// Small ones and large ones, of any bytes.
pub fn frames_reach_every_listener_once_and_in_order(place: &Place) {
    publish(place, &frame("nobody listens yet", 10));
    let bus = place.store.bus();
    let mut listeners = [bus.listen(), bus.listen(), bus.listen()];
    let sizes = [0, 1, 100, 200_000, 7_000, 3, FRAME_BYTES_MAX, 4_000, 5];
    let longest = "ü".repeat(TOPIC_BYTES_MAX / 2);
    let topics = (0..sizes.len()).map(|n| if n == 4 { longest.clone() } else { format!("the {n}th; of many") });
    let frames: Vec<Frame> = topics.zip(sizes).map(|(topic, bytes)| frame(&topic, bytes)).collect();
    frames.iter().for_each(|frame| publish(place, frame));
    for listener in &mut listeners {
        for frame in &frames {
            assert!(heard(listener) == Message::Frame(frame.clone()), "the frame {} is missing", frame.topic);
        }
    }
    // Nothing came twice, or it would come before this.
    let last = frame("last", 1);
    publish(place, &last);
    listeners.iter_mut().for_each(|listener| assert_eq!(heard(listener), Message::Frame(last.clone())));
}

/// It reaches nobody.
pub fn a_frame_above_the_limit_is_refused(place: &Place) {
    let mut listener = place.store.bus().listen();
    let topic = "t".repeat(TOPIC_BYTES_MAX + 1);
    for large in [frame("large", FRAME_BYTES_MAX + 1), frame(&topic, 1)] {
        wait(place.store.bus().publish(large)).expect_err("it is too large");
    }
    let good = frame("good", 1);
    publish(place, &good);
    assert_eq!(heard(&mut listener), Message::Frame(good));
}

/// Who does not listen in time is told so, and hears all that is still there; nobody waits for him.
pub fn a_slow_listener_is_told_of_the_gap(place: &Place) {
    let (mut slow, mut quick) = (place.store.bus().listen(), place.store.bus().listen());
    for n in 0..FLOOD {
        let one = frame(&n.to_string(), 1);
        publish(place, &one);
        assert_eq!(heard(&mut quick), Message::Frame(one));
    }
    assert_eq!(heard(&mut slow), Message::Gap);
    let Message::Frame(first) = heard(&mut slow) else { panic!("after the gap it goes on") };
    let first: usize = first.topic.parse().expect("it is one of the flood");
    assert!(first > 0, "a listener is not kept everything");
    for n in first + 1..FLOOD {
        assert_eq!(heard(&mut slow), Message::Frame(frame(&n.to_string(), 1)));
    }
}

/// Each commit that makes the log grow tells how far, and no other request tells anything.
pub fn commits_tell_how_far_the_log_goes(place: &Place) {
    let [mut a, mut b] = peers();
    let mut listener = place.store.bus().listen();
    for n in 0..10_i64 {
        let before = head(place);
        let write = put(&format!("n{n}"), &Note::new("1", "1"), at(n));
        let again = a.clone();
        a.sync(place, vec![write.clone(), put("shared", &Note::new(&n.to_string(), "1"), at(n))]);
        let now = head(place);
        assert!(now > before, "it grew");
        assert_eq!(heard(&mut listener), Message::Grew(place.address, now));
        // A repeat, news for another, and a refusal make nothing grow.
        let _repeat = again.lost(place, vec![write]);
        b.sync(place, Vec::new());
        let (record, kind, reason) = ("r".to_owned(), "k".to_owned(), format!("reason {n}"));
        let _told = place.refuse("a", a.cursor, vec![Refused { record, kind, reason }]);
        assert_eq!(head(place), now);
    }
    let last = frame("last", 1);
    publish(place, &last);
    assert_eq!(heard(&mut listener), Message::Frame(last));
}

/// The heads of many spaces, in the order in which they were asked for, and as often.
pub fn heads_are_those_of_the_logs(place: &Place) {
    let unknown = SpaceAddress { owner: UserId::new(77), ..place.address };
    assert_eq!(heads(place, &[]), Vec::<Seq>::new());
    assert_eq!(heads(place, &[place.address, unknown]), [Seq::ZERO, Seq::ZERO]);
    let [mut a] = peers();
    a.sync(place, vec![put("n", &Note::new("1", "1"), at(1)), put("m", &Note::new("1", "1"), at(1))]);
    let head = place.head().seq;
    assert_eq!(head, Seq::new(place.log().len() as u64));
    let spaces = [unknown, place.address, unknown, place.address];
    assert_eq!(heads(place, &spaces), [Seq::ZERO, head, Seq::ZERO, head]);
}

fn heads(place: &Place, spaces: &[SpaceAddress]) -> Vec<Seq> {
    wait(place.store.heads(spaces)).expect("the heads read")
}

fn head(place: &Place) -> Seq {
    heads(place, &[place.address])[0]
}
