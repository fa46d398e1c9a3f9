//! What is kept of histories where there is not room for all.

use super::*;

#[test]
fn what_does_not_fit_is_streamed_as_it_is_stored() {
    let bench = Bench::filled(500_000, 1_000);
    wait(async {
        for asked in [PACKED, PLAIN, Asked { from_millis: Some(300_000), ..PLAIN }] {
            let shown = bench.shown(asked).await;
            assert_eq!((shown.encoding, shown.bytes), (Encoding::Identity, None));
            assert_eq!(take(shown).await.unwrap().text(), Bench::expected(&bench.log.entries(), asked));
            assert!(bench.bytes() < 500_000);
        }
        encoded();
        bench.log.push(7, 1);
        assert_eq!(bench.sent(PLAIN).await.text(), Bench::expected(&bench.log.entries(), PLAIN));
        assert_eq!(encoded(), 1_001, "it is not tried again");
        // Another database, which is smaller.
        bench.log.set_back(100);
        assert_eq!(bench.sent(PACKED).await.encoding, Encoding::Gzip);
        bench.log.set_back(0);
        (0..1_000).for_each(|n| bench.log.push(n, 1_000));
        bench.sent(PLAIN).await;
        assert_eq!(bench.bytes(), 0);
        bench.cache.forget();
        encoded();
        bench.sent(PLAIN).await;
        assert!(encoded() > 1_000, "it is tried again");
    });
}

#[test]
fn what_was_not_asked_for_longest_goes_first() {
    wait(async {
        let bench = Bench::filled(LARGE, 1_000);
        for asked in [PLAIN, PACKED, asked(Form::First, Encoding::Gzip)] {
            bench.sent(asked).await;
        }
        // What all of it takes; then there is room for all but what is compressed twice, and for one text only.
        let all = bench.bytes();
        let text = Bench::filled(LARGE, 1_000);
        text.sent(PLAIN).await;
        let text = text.bytes();
        let packed = (all - 2 * text) / 2;
        assert!(packed < text / 10);

        let bench = bench.recached(all - packed / 2);
        bench.sent(PACKED).await;
        bench.env.advance(IDLE);
        bench.sent(asked(Form::First, Encoding::Gzip)).await;
        assert!(bench.bytes() <= all - packed / 2);
        encoded();
        assert_eq!(bench.sent(asked(Form::First, Encoding::Gzip)).await.encoding, Encoding::Gzip);
        bench.sent(PLAIN).await;
        assert_eq!(encoded(), 0, "both texts are there");
        assert!(
            bench.cache.shelves().get(Form::Today, Encoding::Identity).unwrap().snapshot.segments.packed_bytes() == 0
        );

        let bench = bench.recached(text + packed * 2);
        bench.sent(PACKED).await;
        bench.env.advance(IDLE);
        bench.sent(asked(Form::First, Encoding::Identity)).await;
        assert!(bench.cache.shelves().get(Form::Today, Encoding::Identity).is_none());

        // Its text fits, and not what is compressed of it.
        let bench = bench.recached(text + packed / 2);
        let sent = bench.sent(PACKED).await;
        assert_eq!((sent.encoding, bench.bytes()), (Encoding::Identity, text));
        assert_eq!(sent.text(), Bench::expected(&bench.log.entries(), PACKED));
        bench.sent(PACKED).await;
        assert_eq!(bench.bytes(), text);
    });
}

#[test]
fn two_that_do_not_fit_together_do_not_push_each_other_out() {
    wait(async {
        let (text, _) = sizes(1_000).await;
        let bench = Bench::filled(text * 3 / 2, 1_000);
        let first = asked(Form::First, Encoding::Identity);
        let of = |sent: &Sent, entry: usize| sent.pieces[entry].as_ptr();
        bench.sent(PLAIN).await;
        bench.sent(first).await;
        encoded();
        let kept = bench.sent(PLAIN).await;
        for _ in 0..10 {
            // One is sent as it is kept, by however many; the other is streamed.
            let again = bench.sent(PLAIN).await;
            assert_eq!((encoded(), of(&again, 1)), (0, of(&kept, 1)));
            let shown = bench.shown(first).await;
            assert_eq!(shown.bytes, None);
            assert_eq!(take(shown).await.unwrap().text(), Bench::expected(&bench.log.entries(), first));
            assert_eq!(encoded(), 1_000, "what is streamed is encoded once");
            assert!(bench.bytes() <= text * 3 / 2);
            bench.env.advance(IDLE / 2);
        }
        // Also after a push, which both have.
        bench.log.push(7, 1);
        bench.sent(PLAIN).await;
        bench.sent(first).await;
        assert_eq!(encoded(), 1 + 1_001);
        // Who is asked for by nobody any more makes room.
        bench.env.advance(IDLE);
        bench.sent(first).await;
        encoded();
        assert!(bench.shown(first).await.bytes.is_some());
        assert!(bench.shown(PLAIN).await.bytes.is_none());
        // A clock that is set back ends what is in use; what was in use then goes.
        bench.env.set(TestEnv::START);
        assert!(bench.shown(PLAIN).await.bytes.is_some());
        assert!(bench.shown(first).await.bytes.is_none());
    });
}

#[test]
fn what_is_compressed_pushes_out_no_text_that_is_in_use() {
    wait(async {
        let (text, packed) = sizes(1_000).await;
        let first = asked(Form::First, Encoding::Identity);
        let bench = Bench::filled(2 * text + packed / 2, 1_000);
        bench.sent(first).await;
        assert_eq!(bench.sent(PACKED).await.encoding, Encoding::Identity);
        encoded();
        for _ in 0..10 {
            assert_eq!(bench.sent(PACKED).await.encoding, Encoding::Identity);
            assert_eq!(bench.sent(first).await.encoding, Encoding::Identity);
            assert_eq!((encoded(), bench.bytes()), (0, 2 * text), "both texts stay, and nothing is compressed");
            bench.env.advance(IDLE / 2);
        }
        bench.env.advance(IDLE);
        assert_eq!(bench.sent(PACKED).await.encoding, Encoding::Gzip);
        assert_eq!(bench.bytes(), text + packed);
        // A text is worth more than what is compressed, which is not made again and again then.
        let packings =
            || bench.cache.shelves().get(Form::Today, Encoding::Gzip).unwrap().snapshot.segments.packed_bytes();
        bench.sent(first).await;
        assert_eq!(bench.sent(PACKED).await.encoding, Encoding::Identity);
        assert_eq!((bench.bytes(), packings()), (2 * text, 0));
    });
}

#[test]
fn what_slow_readers_hold_of_a_history_that_goes_on_is_bounded() {
    wait(async {
        let bench = Bench::filled(3_000_000, 2_000);
        let asked = Asked { form: Form::Today, encoding: Encoding::Identity, from_millis: None, known: None };
        let mut held = Vec::new();
        for round in 0..20 {
            // One into each segment, so that each is another one.
            (0..40).for_each(|n| bench.log.push(n * 50_000 + round, 10));
            held.push(bench.shown(asked).await);
            assert!(bench.cache.meter.bytes() < 2 * 3_000_000 + 3_000_000, "{round}: {}", bench.cache.meter.bytes());
        }
        let is_streamed = |shown: &Shown| shown.bytes.is_none();
        assert!(!is_streamed(&held[0]) && is_streamed(&held[19]));
        drop(held);
        assert!(bench.cache.meter.bytes() < 3_000_000);
        assert!(!is_streamed(&bench.shown(asked).await));
    });
}
