//! What is told comes out as it went in, whatever its size, and what is lost is noticed.

use std::sync::Mutex;

use futures_util::FutureExt as _;
use proptest::collection::vec;
use proptest::prelude::*;
use tombolo_core::{NodeId, PeerName, Purpose, SpaceNumber, UserId};
use tombolo_storage::{Bus, Frame, Listener, LocalBus, Reply, SpaceAddress};

use super::ears::{Ears, Heard};
use super::pump::Pump;
use super::wire::{BODY_BYTES_MAX, Envelope, Note, Part, What};

const SENDER: NodeId = NodeId::new(1);

/// Keeps the frames that are published.
#[derive(Default)]
struct Kept(Mutex<Vec<Vec<u8>>>);

impl Bus for Kept {
    fn publish(&self, frame: Frame) -> Reply<'_, ()> {
        assert!(frame.payload.len() <= tombolo_storage::FRAME_BYTES_MAX);
        self.0.lock().unwrap().push(frame.payload.to_vec());
        Box::pin(async { Ok(()) })
    }

    fn listen(&self) -> Listener {
        LocalBus::default().listen()
    }
}

fn space(number: i64) -> SpaceAddress {
    SpaceAddress { owner: UserId::new(1), purpose: Purpose::Rooms, number: SpaceNumber::new(number) }
}

fn data(bytes: usize) -> What {
    What::Data { from: PeerName::parse("ann", 10).unwrap(), data: "x".repeat(bytes) }
}

/// What is published of notes of these sizes.
fn frames(sizes: &[usize]) -> (Vec<Note>, Vec<Vec<u8>>) {
    let (pump, bus) = (Pump::new(SENDER), Kept::default());
    let notes: Vec<Note> = sizes.iter().map(|size| Note { space: space(7), what: data(*size) }).collect();
    notes.iter().for_each(|note| pump.tell(note.space, note.what.clone()));
    pump.send_all(&bus).now_or_never().unwrap().unwrap();
    (notes, bus.0.into_inner().unwrap())
}

fn hear(ears: &mut Ears, frame: &[u8]) -> (bool, Vec<Note>) {
    match ears.hear(frame) {
        Heard::Notes(node, notes) => {
            assert_eq!(node, SENDER);
            (false, notes)
        }
        Heard::NotesAfterGap(_, notes) => (true, notes),
        Heard::Nothing => (false, Vec::new()),
    }
}

fn size() -> impl Strategy<Value = usize> {
    let near = BODY_BYTES_MAX - 100..BODY_BYTES_MAX + 100;
    prop_oneof![4 => 0_usize..2_000, 1 => near, 1 => BODY_BYTES_MAX..3 * BODY_BYTES_MAX]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_is_told_is_heard_once_and_in_order(sizes in vec(size(), 0..8), again in any::<bool>()) {
        let (told, frames) = frames(&sizes);
        let mut ears = Ears::new(NodeId::new(2));
        let mut heard = Vec::new();
        for frame in &frames {
            heard.extend(hear(&mut ears, frame).1);
            if again {
                prop_assert_eq!(ears.hear(frame), Heard::Nothing);
            }
        }
        prop_assert_eq!(heard, told);
    }

    #[test]
    fn what_is_lost_is_noticed_with_the_next_frame(sizes in vec(size(), 3..8), lost in any::<prop::sample::Index>()) {
        let (told, frames) = frames(&sizes);
        prop_assume!(frames.len() >= 3);
        // Not the first, which nobody can know of, nor the last, after which nothing comes.
        let lost = 1 + lost.index(frames.len() - 2);
        let mut ears = Ears::new(NodeId::new(2));
        for (at, frame) in frames.iter().enumerate().filter(|(at, _)| *at != lost) {
            let (is_after_gap, notes) = hear(&mut ears, frame);
            prop_assert_eq!(is_after_gap, at == lost + 1);
            prop_assert!(notes.iter().all(|note| told.contains(note)));
        }
    }

    #[test]
    fn any_frames_are_heard_or_not(bodies in vec((0_u64..4, 0_u8..4, vec(any::<u8>(), 0..50)), 0..20)) {
        let mut ears = Ears::new(NodeId::new(2));
        for (number, part, body) in bodies {
            let part = [Part::Whole, Part::First, Part::Further, Part::Last][usize::from(part)];
            ears.hear(&Envelope { node: SENDER, number, part, body: &body }.encode());
            ears.hear(&body);
        }
    }
}

#[test]
fn small_notes_share_a_frame() {
    assert_eq!(frames(&[10; 1_000]).1.len(), 1);
    assert_eq!(frames(&[BODY_BYTES_MAX / 2; 3]).1.len(), 3);
}

#[test]
fn whoever_begins_to_listen_in_the_midst_of_a_note_hears_the_next() {
    let (told, frames) = frames(&[2 * BODY_BYTES_MAX, 5]);
    let mut ears = Ears::new(NodeId::new(2));
    let heard: Vec<Note> = frames[1..].iter().flat_map(|frame| hear(&mut ears, frame).1).collect();
    assert_eq!(heard, told[1..]);
}

#[test]
fn a_gap_that_the_bus_told_of_is_not_found_a_second_time_and_nothing_is_heard_twice() {
    let (told, frames) = frames(&[BODY_BYTES_MAX - 100; 4]);
    let mut ears = Ears::new(NodeId::new(2));
    assert_eq!(hear(&mut ears, &frames[0]), (false, told[..1].to_vec()));
    ears.know_of_gap();
    assert_eq!(ears.hear(&frames[0]), Heard::Nothing);
    assert_eq!(hear(&mut ears, &frames[2]), (false, told[2..3].to_vec()));
    assert_eq!(hear(&mut ears, &frames[3]), (false, told[3..].to_vec()));
}

#[test]
fn what_one_tells_oneself_is_not_heard() {
    let (_, frames) = frames(&[5]);
    assert_eq!(Ears::new(SENDER).hear(&frames[0]), Heard::Nothing);
}

#[test]
fn what_does_not_fit_is_said_to_be_missed_where_it_would_have_stood() {
    let (pump, bus) = (Pump::new(SENDER), Kept::default());
    pump.tell(space(1), What::Opened);
    for _ in 0..70 {
        pump.tell(space(2), data(1 << 20));
    }
    // Smaller ones would fit again, and would come before what is missing.
    pump.tell(space(2), data(1));
    pump.tell(space(1), data(1));
    pump.send_all(&bus).now_or_never().unwrap().unwrap();
    pump.tell(space(2), What::Closed);
    pump.send_all(&bus).now_or_never().unwrap().unwrap();
    let mut ears = Ears::new(NodeId::new(2));
    let frames = bus.0.into_inner().unwrap();
    let heard: Vec<Note> = frames.iter().flat_map(|frame| hear(&mut ears, frame).1).collect();
    let of =
        |number| heard.iter().filter(|note| note.space == space(number)).map(|note| &note.what).collect::<Vec<_>>();
    assert_eq!(of(1), [&What::Opened, &data(1)]);
    let two = of(2);
    assert_eq!(two[two.len() - 2..], [&What::Missed, &What::Closed]);
    assert!(two[..two.len() - 2].iter().all(|what| **what == data(1 << 20)));
}
