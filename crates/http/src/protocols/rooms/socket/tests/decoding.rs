//! What is read of the bytes of a client.

use proptest::prelude::*;
use tokio::io::{AsyncWriteExt as _, duplex};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::*;
use crate::protocols::rooms::socket::arriving::Arriving;
use crate::protocols::rooms::socket::decoder::{Bounds, Broken, Decoder, Item};
use crate::protocols::rooms::socket::reader::{Ended, Reader};
use crate::protocols::rooms::socket::signals::Signals;

const BOUNDS: Bounds = Bounds { message_bytes_max: 200_000, arriving_bytes_max: 1 << 30 };

/// What was read, to be compared.
#[derive(Clone, Debug, PartialEq)]
enum Read {
    Text(String),
    Binary,
    Ping(Vec<u8>),
    Pong,
    Close(Option<u16>),
}

impl From<Item> for Read {
    fn from(item: Item) -> Self {
        match item {
            Item::Text(text) => Self::Text(text.text),
            Item::Binary => Self::Binary,
            Item::Ping(payload) => Self::Ping(payload),
            Item::Pong(_) => Self::Pong,
            Item::Close(code) => Self::Close(code),
        }
    }
}

/// What is read of `bytes` that come in these portions, up to a close, and what ended it before that.
fn read(portions: &[&[u8]], bounds: Bounds) -> (Vec<Read>, Option<Broken>) {
    let mut decoder = Decoder::new(bounds, &Arriving::default(), HERE);
    let mut items: Vec<Read> = Vec::new();
    for mut portion in portions.iter().copied() {
        loop {
            match decoder.feed(&mut portion) {
                Ok(Some(item)) => items.push(item.into()),
                Ok(None) => break,
                Err(broken) => return (items, Some(broken)),
            }
            if let Some(Read::Close(_)) = items.last() {
                return (items, None);
            }
        }
        assert!(portion.is_empty());
    }
    (items, None)
}

/// What tungstenite reads of the same.
fn reference(bytes: &[u8]) -> (Vec<Read>, Option<Error>) {
    struct Wire<'a>(&'a [u8]);
    impl std::io::Read for Wire<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(into)
        }
    }
    impl std::io::Write for Wire<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let max = Some(BOUNDS.message_bytes_max);
    let config = WebSocketConfig::default().max_message_size(max).max_frame_size(max);
    let mut socket = WebSocketContext::new(Role::Server, Some(config));
    let (mut wire, mut items) = (Wire(bytes), Vec::new());
    loop {
        items.push(match socket.read(&mut wire) {
            Ok(Message::Text(text)) => Read::Text(text.as_str().to_owned()),
            Ok(Message::Ping(payload)) => Read::Ping(payload.to_vec()),
            Ok(Message::Pong(_)) => Read::Pong,
            Ok(Message::Close(frame)) => {
                items.push(Read::Close(frame.map(|frame| frame.code.into())));
                return (items, None);
            }
            Ok(_) => Read::Binary,
            // The bytes have ended, between two frames or in one.
            Err(Error::Protocol(
                tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => {
                return (items, None);
            }
            Err(error) => return (items, Some(error)),
        });
    }
}

/// A message and its frames: cut anywhere, also within a letter, with control frames between its parts.
fn message() -> impl Strategy<Value = (Vec<Read>, Vec<Sent>)> {
    let text =
        prop_oneof![4 => ".{0,20}", 2 => "[ก-๛\u{1f600}-\u{1f64f}]{0,30}", 1 => "a{120,130}", 1 => "[ก]{21840,21850}"];
    (text, prop::collection::vec(any::<prop::sample::Index>(), 0..4), any::<[u8; 4]>(), any::<bool>()).prop_map(
        |(text, cuts, mask, with_control)| {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let parts: Vec<&[u8]> = cuts.windows(2).map(|ends| &text.as_bytes()[ends[0]..ends[1]]).collect();
            let (mut items, mut frames) = (Vec::new(), Vec::new());
            for (index, part) in parts.iter().enumerate() {
                let opcode = if index == 0 { TEXT } else { CONTINUE };
                let is_final = index + 1 == parts.len();
                frames.push(Sent { is_final, mask: Some(mask), ..Sent::whole(opcode, *part) });
                if with_control && !is_final {
                    frames.push(Sent::whole(PING, part[..part.len().min(3)].to_vec()));
                    frames.push(Sent::whole(PONG, []));
                    items.extend([Read::Ping(part[..part.len().min(3)].to_vec()), Read::Pong]);
                }
            }
            items.push(Read::Text(text));
            (items, frames)
        },
    )
}

/// Frames in any order, of which most are faulty sooner or later.
fn any_frame() -> impl Strategy<Value = Sent> {
    let opcode = prop::sample::select(vec![TEXT, BINARY, CONTINUE, CONTINUE, PING, PONG, CLOSE]);
    let payload = prop_oneof![
        6 => ".{0,8}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..8),
        1 => (1000_u16..5000).prop_map(|code| code.to_be_bytes().to_vec()),
        1 => (100_usize..140).prop_map(|bytes| vec![b'x'; bytes]),
        1 => (90_000_usize..210_000).prop_map(|bytes| vec![b'x'; bytes]),
    ];
    let seldom = || prop::bool::weighted(0.03);
    (opcode, payload, prop::bool::weighted(0.6), seldom(), seldom()).prop_map(
        |(opcode, payload, is_final, is_bare, rsv1)| {
            let is_final = is_final || matches!(opcode, OpCode::Control(_)) && !rsv1;
            let whole = Sent::whole(opcode, payload);
            Sent { is_final, mask: whole.mask.filter(|_| !is_bare), rsv1, ..whole }
        },
    )
}

proptest! {
    #[test]
    fn the_same_is_read_however_it_is_cut(
        messages in prop::collection::vec(message(), 0..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        is_bytewise in any::<bool>(),
    ) {
        let (items, frames): (Vec<_>, Vec<_>) = messages.into_iter().unzip();
        let bytes = on_wire(&frames.concat());
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let portions: Vec<&[u8]> = if is_bytewise {
            bytes.chunks(1).collect()
        } else {
            cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]).collect()
        };
        prop_assert_eq!(read(&portions, BOUNDS), (items.concat(), None));
    }

    #[test]
    fn whatever_comes_is_read_as_another_library_reads_it(frames in prop::collection::vec(any_frame(), 0..8)) {
        let bytes = on_wire(&frames);
        let (ours, broken) = read(&[&bytes], BOUNDS);
        let (theirs, error) = reference(&bytes);
        match (broken, error) {
            // It looks at each part of a text, and not only at the whole.
            (_, Some(Error::Utf8(_))) => prop_assert_eq!(&ours[..theirs.len()], &theirs[..]),
            // Of a frame that is both too large and out of place, either may be said.
            (Some(Broken::TooBig | Broken::Protocol), Some(Error::Capacity(_)))
            | (Some(Broken::Protocol), Some(Error::Protocol(_)))
            | (None, None) => prop_assert_eq!(ours, theirs),
            (broken, error) => prop_assert!(false, "{broken:?} {error:?}"),
        }
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        crate::protocols::rooms::fuzzing::fuzz_room_socket(&bytes);
    }
}

#[test]
fn what_breaks_a_connection() {
    let check = |frames: &[Sent], broken: Broken| {
        let bounds = Bounds { message_bytes_max: 10, arriving_bytes_max: 100 };
        assert_eq!(read(&[&on_wire(frames)], bounds).1, Some(broken), "{frames:?}");
    };
    let whole = Sent::whole(TEXT, "x");
    check(&[Sent { mask: None, ..whole.clone() }], Broken::Protocol);
    check(&[Sent { rsv1: true, ..whole.clone() }], Broken::Protocol);
    check(&[Sent::whole(CONTINUE, "x")], Broken::Protocol);
    check(&[Sent::part(TEXT, "x"), whole.clone()], Broken::Protocol);
    check(&[Sent::part(PING, "x")], Broken::Protocol);
    check(&[Sent::whole(PING, vec![0; 126])], Broken::Protocol);
    check(&[Sent::whole(CLOSE, [3])], Broken::Protocol);
    check(&[Sent::whole(OpCode::Data(Data::Reserved(3)), "x")], Broken::Protocol);
    check(&[Sent::whole(OpCode::Control(OpControl::Reserved(11)), "x")], Broken::Protocol);
    check(&[Sent::whole(TEXT, [0xff])], Broken::NotText);
    check(&[Sent::part(TEXT, "ก".as_bytes()[..2].to_vec()), Sent::whole(CONTINUE, "x")], Broken::NotText);
    check(&[Sent::whole(CLOSE, [3, 232, 0xff])], Broken::NotText);
    check(&[Sent::whole(TEXT, "x".repeat(11))], Broken::TooBig);
    check(&[Sent::part(TEXT, "x".repeat(6)), Sent::whole(CONTINUE, "x".repeat(5))], Broken::TooBig);
    // The header alone says it.
    let mut header = Sent::whole(TEXT, "").bytes();
    header.splice(1..2, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    assert_eq!(read(&[&header], BOUNDS), (Vec::new(), Some(Broken::TooBig)));
}

#[test]
fn a_close_is_answered_with_what_may_be_answered() {
    let check = |payload: &[u8], code: Option<u16>| {
        assert_eq!(read(&[&Sent::whole(CLOSE, payload).bytes()], BOUNDS), (vec![Read::Close(code)], None));
    };
    check(&[], None);
    check(&1000_u16.to_be_bytes(), Some(1000));
    check(&4321_u16.to_be_bytes(), Some(4321));
    check(&[3, 233, b'b', b'y', b'e'], Some(1001));
    for never in [0_u16, 999, 1005, 1006, 1015, 2000, 5000] {
        check(&never.to_be_bytes(), Some(1002));
    }
}

#[test]
fn what_arrives_of_all_sockets_has_a_bound_and_is_given_back() {
    let arriving = Arriving::default();
    let bounds = Bounds { message_bytes_max: 1 << 20, arriving_bytes_max: 600_000 };
    let large = on_wire(&[Sent::whole(TEXT, "x".repeat(500_000))]);
    let (mut one, mut other) = (Decoder::new(bounds, &arriving, HERE), Decoder::new(bounds, &arriving, HERE));
    let text = one.feed(&mut &large[..]).unwrap();
    let counted = arriving.bytes();
    assert!((400_000..500_000).contains(&counted), "{counted}");
    assert_eq!(other.feed(&mut &large[..]).unwrap_err(), Broken::NoRoom);
    assert_eq!(arriving.bytes(), counted);
    drop(other);
    assert_eq!(arriving.bytes(), counted);
    // What is done with makes room, for the same connection and others; small ones always have it.
    drop(text);
    assert_eq!(arriving.bytes(), 0);
    let text = one.feed(&mut &large[..]).unwrap();
    assert!(
        Decoder::new(bounds, &arriving, HERE).feed(&mut &on_wire(&[Sent::whole(TEXT, "x")])[..]).unwrap().is_some()
    );
    drop((one, text));
    assert_eq!(arriving.bytes(), 0);
}

#[test]
fn what_is_no_text_is_not_kept_and_has_a_bound_all_the_same() {
    let arriving = Arriving::default();
    let bounds = Bounds { message_bytes_max: 300_000, arriving_bytes_max: 100 };
    let mut decoder = Decoder::new(bounds, &arriving, HERE);
    for part in [Sent::part(BINARY, [7; 200_000]), Sent::part(CONTINUE, [7; 99_999])] {
        assert!(decoder.feed(&mut &part.bytes()[..]).unwrap().is_none());
        assert_eq!((arriving.bytes(), decoder.message_capacity()), (0, 0));
    }
    let whole = on_wire(&[Sent::whole(CONTINUE, [7; 1]), Sent::whole(TEXT, "x")]);
    let mut bytes = &whole[..];
    assert_eq!(decoder.feed(&mut bytes).unwrap().map(Read::from), Some(Read::Binary));
    assert_eq!(decoder.feed(&mut bytes).unwrap().map(Read::from), Some(Read::Text("x".to_owned())));
    let large = on_wire(&[Sent::part(BINARY, [7; 200_000]), Sent::part(CONTINUE, [7; 100_001])]);
    assert_eq!(decoder.feed(&mut &large[..]).unwrap_err(), Broken::TooBig);
}

#[tokio::test]
async fn bytes_may_come_one_by_one_and_all_at_once() {
    let texts = ["งานแรก", "", "\u{1f600} x", "last"];
    let frames: Vec<Sent> = texts.iter().map(|text| Sent::whole(TEXT, *text)).collect();
    for width in [1, 7, 1 << 16] {
        let (mut client, server) = duplex(width);
        let (bytes, signals) = (on_wire(&frames), Signals::new());
        let mut reader = Reader::new(server, Decoder::new(BOUNDS, &Arriving::default(), HERE));
        let write = async {
            client.write_all(&bytes).await.unwrap();
            drop(client);
        };
        let read = async {
            for text in texts {
                assert_eq!(Read::from(reader.next(&signals).await.unwrap()), Read::Text(text.to_owned()));
            }
            assert_eq!(reader.next(&signals).await.unwrap_err(), Ended::Gone);
        };
        tokio::join!(write, read);
    }
}
