//! What is counted for the operator: how much was asked, answered, refused, and how long it took. Counts only: no label
//! holds anything that a client chose.

mod copied;
mod labels;
mod rooms;
mod text;

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use prometheus_client::encoding;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use tombolo_core::{Purpose, ServerTime};
use tombolo_service::{CommitCounts, RoomCounts, Totals};

use self::copied::Copied;
use self::labels::{ClassLabels, FateLabels, ProtocolLabels, RequestLabels, RouteLabels, StepLabels};
pub use self::labels::{LimitClass, MailFate, SignInStep};
pub(crate) use self::labels::{Route, method_name};
use self::rooms::RoomMetrics;
use self::text::classic;

/// From half a millisecond, below which nobody waits, to the longest that a request may take.
const SECONDS_BOUNDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Up to the largest page that a client can ask for.
const EVENTS_BOUNDS: [f64; 10] = [1.0, 5.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 10_000.0];
/// Up to the largest body that is taken.
const BYTES_BOUNDS: [f64; 8] = [256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0];

/// How much a request or a reply carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Events, or changes.
    pub events: usize,
    /// Bytes, before compression.
    pub bytes: usize,
}

/// What became of the writes of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// They were accepted, in the protocol's sense of it.
    pub accepted: usize,
    /// They were refused with a reason. In td, a repeat is neither.
    pub refused: usize,
}

/// All counts of a process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    started_at: ServerTime,
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    request_count: Counter,
    client_errors: Counter,
    server_errors: Counter,
    pull_requests: Counter,
    push_events: Family<ProtocolLabels, Histogram, fn() -> Histogram>,
    push_bytes: Family<ProtocolLabels, Histogram, fn() -> Histogram>,
    pull_events: Family<ProtocolLabels, Histogram, fn() -> Histogram>,
    pull_bytes: Family<ProtocolLabels, Histogram, fn() -> Histogram>,
    accepted: Family<ProtocolLabels, Counter>,
    refused: Family<ProtocolLabels, Counter>,
    sign_ins: Family<StepLabels, Counter>,
    mails: Family<FateLabels, Counter>,
    limited: Family<ClassLabels, Counter>,
    commit_seconds: Copied,
    commit_jobs: Copied,
    jobs_waiting: Gauge,
    rooms: RoomMetrics,
    spaces: Gauge,
    changes: Gauge,
    uptime: Gauge<f64, AtomicU64>,
    /// What the store last said, and when.
    totals: Mutex<Option<(ServerTime, Totals)>>,
}

impl Metrics {
    /// Nothing counted yet, by a process that starts now.
    #[must_use]
    pub fn new(now: ServerTime) -> Self {
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS_BOUNDS);
        let events: fn() -> Histogram = || Histogram::new(EVENTS_BOUNDS);
        let bytes: fn() -> Histogram = || Histogram::new(BYTES_BOUNDS);
        let mut metrics = Self {
            registry: Registry::with_prefix("tombolo"),
            started_at: now,
            requests: Family::default(),
            durations: Family::new_with_constructor(seconds),
            request_count: Counter::default(),
            client_errors: Counter::default(),
            server_errors: Counter::default(),
            pull_requests: Counter::default(),
            push_events: Family::new_with_constructor(events),
            push_bytes: Family::new_with_constructor(bytes),
            pull_events: Family::new_with_constructor(events),
            pull_bytes: Family::new_with_constructor(bytes),
            accepted: Family::default(),
            refused: Family::default(),
            sign_ins: Family::default(),
            mails: Family::default(),
            limited: Family::default(),
            commit_seconds: Copied::new(1e6),
            commit_jobs: Copied::new(1.0),
            jobs_waiting: Gauge::default(),
            rooms: RoomMetrics::default(),
            spaces: Gauge::default(),
            changes: Gauge::default(),
            uptime: Gauge::default(),
            totals: Mutex::default(),
        };
        metrics.register();
        metrics.begin_at_zero();
        metrics
    }

    /// Names everything, in the order in which `docs/operating.md` has it.
    fn register(&mut self) {
        let mut registry = std::mem::take(&mut self.registry);
        let mut add = |name: &str, help: &str, metric: &dyn Registered| metric.register(&mut registry, name, help);
        add("uptime_seconds", "Since the process started", &self.uptime);
        add("http_requests", "Requests that were answered", &self.requests);
        add("http_request_duration_seconds", "From a request's head to its reply's", &self.durations);
        add("push_size_events", "Writes of one push", &self.push_events);
        add("push_size_bytes", "Body of one push", &self.push_bytes);
        add("pull_size_events", "Changes of one reply", &self.pull_events);
        add("pull_size_bytes", "Body of one reply", &self.pull_bytes);
        add("accepted_writes", "Pushed writes that were accepted", &self.accepted);
        add("refused_writes", "Pushed writes that were refused with a reason", &self.refused);
        add(
            "commit_duration_seconds",
            "From the beginning of a transaction until it was on the disk",
            &self.commit_seconds,
        );
        add("commit_size_jobs", "Requests that one commit served", &self.commit_jobs);
        add("commit_waiting_jobs", "Requests that wait for a commit", &self.jobs_waiting);
        add("stored_spaces", "Spaces in the database", &self.spaces);
        add("stored_changes", "Changes of all logs in the database", &self.changes);
        self.rooms.register(&mut add);
        add("sign_ins", "Steps of sign-ins", &self.sign_ins);
        add("mails", "Mails by what became of them", &self.mails);
        add("rate_limited_requests", "Requests answered with 429, by the limit", &self.limited);
        self.registry = registry;
    }

    /// What is known to exist is shown from the beginning: a rate needs a zero to start from.
    fn begin_at_zero(&self) {
        for step in [SignInStep::Begun, SignInStep::Approved, SignInStep::Completed, SignInStep::Refused] {
            drop(self.sign_ins.get_or_create(&step.labels()));
        }
        for fate in [MailFate::Sent, MailFate::Failed, MailFate::Dropped] {
            drop(self.mails.get_or_create(&fate.labels()));
        }
        use LimitClass::{Auth, Invitation, Other, Poll, Pull, Push, Room, Stream, WrongKey};
        for class in [Auth, Poll, Push, Pull, Other, Stream, Invitation, Room, WrongKey] {
            drop(self.limited.get_or_create(&class.labels()));
        }
    }

    /// Counts a push of `purpose`'s protocol.
    pub fn pushed(&self, purpose: Purpose, volume: Volume, taken: Taken) {
        let labels = ProtocolLabels { protocol: purpose.as_str() };
        observe(&self.push_events, &self.push_bytes, &labels, volume);
        self.accepted.get_or_create(&labels).inc_by(count(taken.accepted));
        self.refused.get_or_create(&labels).inc_by(count(taken.refused));
    }

    /// Counts what a reply of `purpose`'s protocol brought.
    pub fn pulled(&self, purpose: Purpose, volume: Volume) {
        observe(&self.pull_events, &self.pull_bytes, &ProtocolLabels { protocol: purpose.as_str() }, volume);
    }

    /// Counts a step of a sign-in.
    pub fn sign_in(&self, step: SignInStep) {
        self.sign_ins.get_or_create(&step.labels()).inc();
    }

    /// Counts a mail.
    pub fn mail(&self, fate: MailFate) {
        self.mails.get_or_create(&fate.labels()).inc();
    }

    /// Counts a request that was one too many.
    pub fn limited(&self, class: LimitClass) {
        self.limited.get_or_create(&class.labels()).inc();
    }

    /// Counts a request for news of a td client.
    pub(crate) fn asked_for_news(&self) {
        self.pull_requests.inc();
    }

    pub(crate) fn answered(&self, method: &'static str, route: Route, status: StatusCode, took: Duration) {
        self.request_count.inc();
        if status.is_client_error() {
            self.client_errors.inc();
        } else if status.is_server_error() {
            self.server_errors.inc();
        }
        let by_route = RouteLabels { method, route: route.clone() };
        self.durations.get_or_create(&by_route).observe(took.as_secs_f64());
        self.requests.get_or_create(&RequestLabels { method, route, status: status.as_u16() }).inc();
    }

    /// How long the process has run.
    pub(crate) fn uptime(&self, now: ServerTime) -> Duration {
        now.since(self.started_at)
    }

    /// The six numbers that td's original server shows.
    pub(crate) fn summary(&self, now: ServerTime) -> Summary {
        let td = ProtocolLabels { protocol: Purpose::Td.as_str() };
        Summary {
            uptime_seconds: self.uptime(now).as_secs_f64(),
            requests: self.request_count.get(),
            server_errors: self.server_errors.get(),
            client_errors: self.client_errors.get(),
            push_events_accepted: self.accepted.get(&td).map_or(0, |counter| counter.get()),
            pull_requests: self.pull_requests.get(),
        }
    }

    /// What the store last said of itself, when that was less than `age` ago.
    pub(crate) fn known_totals(&self, now: ServerTime, age: Duration) -> Option<Totals> {
        lock(&self.totals).filter(|(at, _)| now.since(*at) < age).map(|(_, totals)| totals)
    }

    /// Notes what the store says of itself.
    pub(crate) fn note_totals(&self, now: ServerTime, totals: Totals) {
        *lock(&self.totals) = Some((now, totals));
        self.spaces.set(signed(totals.spaces));
        self.changes.set(signed(totals.changes));
    }

    /// What is counted of rooms.
    pub(crate) const fn rooms(&self) -> &RoomMetrics {
        &self.rooms
    }

    /// All of it, in Prometheus' text format 0.0.4.
    pub(crate) fn text(&self, now: ServerTime, commits: CommitCounts, rooms: &RoomCounts) -> String {
        self.rooms.show(rooms);
        self.uptime.set(self.uptime(now).as_secs_f64());
        self.commit_seconds.set(commits.micros);
        self.commit_jobs.set(commits.jobs);
        self.jobs_waiting.set(i64::try_from(commits.jobs_waiting).unwrap_or(i64::MAX));
        let mut text = String::new();
        encoding::text::encode(&mut text, &self.registry).expect("a string takes all that is written");
        classic(&text)
    }
}

/// What `/metricz` shows.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Summary {
    uptime_seconds: f64,
    requests: u64,
    server_errors: u64,
    client_errors: u64,
    push_events_accepted: u64,
    pull_requests: u64,
}

/// What can be named in a registry, which keeps a copy that shares the counts.
trait Registered {
    fn register(&self, registry: &mut Registry, name: &str, help: &str);
}

impl<M: Metric + Clone> Registered for M {
    fn register(&self, registry: &mut Registry, name: &str, help: &str) {
        registry.register(name, help, self.clone());
    }
}

type Sizes = Family<ProtocolLabels, Histogram, fn() -> Histogram>;

#[expect(clippy::cast_precision_loss, reason = "sizes are far below what a float counts exactly")]
fn observe(events: &Sizes, bytes: &Sizes, labels: &ProtocolLabels, volume: Volume) {
    events.get_or_create(labels).observe(volume.events as f64);
    bytes.get_or_create(labels).observe(volume.bytes as f64);
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tombolo_service::{CloseReason, Spread};

    use super::*;

    const START: ServerTime = ServerTime::from_micros(1_800_000_000_000_000);

    fn text(metrics: &Metrics) -> String {
        metrics.text(START.plus(Duration::from_millis(1_500)), CommitCounts::default(), &RoomCounts::default())
    }

    /// The value of a sample, by its name with its labels.
    fn sample(text: &str, name: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is missing in:\n{text}")).parse().unwrap()
    }

    #[test]
    fn the_format_is_the_older_one_with_every_sample_below_its_own_type() {
        let metrics = Metrics::new(START);
        metrics.answered("GET", Route::new(None), StatusCode::NOT_FOUND, Duration::from_millis(3));
        metrics.pushed(Purpose::Td, Volume { events: 3, bytes: 700 }, Taken { accepted: 2, refused: 1 });
        metrics.pulled(Purpose::Tickit, Volume { events: 3, bytes: 700 });
        let text = text(&metrics);
        assert!(!text.contains("# EOF") && !text.contains("# UNIT") && text.ends_with('\n'), "{text}");
        let (mut described, mut named, mut kind) = (None, "", "");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                described = rest.split(' ').next();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                (named, kind) = rest.split_once(' ').unwrap();
                assert_eq!(described, Some(named), "{line}");
                assert!(named.starts_with("tombolo_"), "{line}");
                assert_eq!(named.ends_with("_total"), kind == "counter", "{line}");
            } else {
                let name = line.split(['{', ' ']).next().unwrap();
                let suffix = name.strip_prefix(named).unwrap_or_else(|| panic!("{line} below {named}"));
                let expected: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(expected.contains(&suffix), "{line} below {named}, a {kind}");
            }
        }
    }

    #[test]
    fn what_is_counted_is_shown() {
        let metrics = Metrics::new(START);
        for (status, took) in [(200, 3), (200, 40), (404, 1), (500, 1)] {
            let status = StatusCode::from_u16(status).unwrap();
            metrics.answered("GET", Route::new(None), status, Duration::from_millis(took));
        }
        metrics.pushed(Purpose::Td, Volume { events: 4, bytes: 700 }, Taken { accepted: 2, refused: 1 });
        metrics.sign_in(SignInStep::Approved);
        metrics.mail(MailFate::Dropped);
        metrics.limited(LimitClass::Push);
        metrics.asked_for_news();
        metrics.note_totals(START, Totals { spaces: 7, changes: 900 });
        let text = text(&metrics);
        let check = |name: &str, expected: f64| assert_eq!(sample(&text, name), expected, "{name}");
        check("tombolo_http_requests_total{method=\"GET\",route=\"none\",status=\"200\"}", 2.0);
        check("tombolo_http_requests_total{method=\"GET\",route=\"none\",status=\"500\"}", 1.0);
        let by_route = "method=\"GET\",route=\"none\"";
        check(&format!("tombolo_http_request_duration_seconds_count{{{by_route}}}"), 4.0);
        check(&format!("tombolo_http_request_duration_seconds_bucket{{le=\"0.005\",{by_route}}}"), 3.0);
        check(&format!("tombolo_http_request_duration_seconds_bucket{{le=\"+Inf\",{by_route}}}"), 4.0);
        check("tombolo_push_size_events_sum{protocol=\"td\"}", 4.0);
        check("tombolo_push_size_bytes_sum{protocol=\"td\"}", 700.0);
        check("tombolo_accepted_writes_total{protocol=\"td\"}", 2.0);
        check("tombolo_refused_writes_total{protocol=\"td\"}", 1.0);
        check("tombolo_sign_ins_total{step=\"approved\"}", 1.0);
        check("tombolo_sign_ins_total{step=\"begun\"}", 0.0);
        check("tombolo_mails_total{fate=\"dropped\"}", 1.0);
        check("tombolo_rate_limited_requests_total{class=\"push\"}", 1.0);
        check("tombolo_rate_limited_requests_total{class=\"pull\"}", 0.0);
        check("tombolo_stored_spaces", 7.0);
        check("tombolo_stored_changes", 900.0);
        check("tombolo_uptime_seconds", 1.5);
        let summary = serde_json::to_string(&metrics.summary(START.plus(Duration::from_millis(1_500)))).unwrap();
        let expected = "{\"uptime_seconds\":1.5,\"requests\":4,\"server_errors\":1,\"client_errors\":1,\
                        \"push_events_accepted\":2,\"pull_requests\":1}";
        assert_eq!(summary, expected);
    }

    #[test]
    fn commits_are_shown_in_seconds() {
        let metrics = Metrics::new(START);
        let micros = Spread { buckets: vec![(100, 1), (1_000, 2)], above: 1, sum: 2_500_000 };
        let jobs = Spread { buckets: vec![(1, 3)], above: 1, sum: 12 };
        let text = metrics.text(START, CommitCounts { micros, jobs, jobs_waiting: 5 }, &RoomCounts::default());
        let check = |name: &str, expected: f64| assert_eq!(sample(&text, name), expected, "{name}");
        check("tombolo_commit_duration_seconds_bucket{le=\"0.0001\"}", 1.0);
        check("tombolo_commit_duration_seconds_bucket{le=\"0.001\"}", 3.0);
        check("tombolo_commit_duration_seconds_bucket{le=\"+Inf\"}", 4.0);
        check("tombolo_commit_duration_seconds_count", 4.0);
        check("tombolo_commit_duration_seconds_sum", 2.5);
        check("tombolo_commit_size_jobs_sum", 12.0);
        check("tombolo_commit_waiting_jobs", 5.0);
    }

    #[test]
    fn what_the_service_counts_of_rooms_is_shown() {
        let metrics = Metrics::new(START);
        metrics.rooms().note_count(12);
        let closes = vec![(CloseReason::TooSlow, 2), (CloseReason::Left, 7), (CloseReason::Protocol, 4)];
        let counts = RoomCounts { live: 1, peers: 3, received: 40, sent: 500, queue_bytes: 6_000, closes };
        let texts =
            [&RoomCounts::default(), &counts].map(|counts| metrics.text(START, CommitCounts::default(), counts));
        for (name, before, after) in [
            ("tombolo_rooms", 12.0, 12.0),
            ("tombolo_room_peers", 0.0, 3.0),
            ("tombolo_room_frames_total{direction=\"received\"}", 0.0, 40.0),
            ("tombolo_room_frames_total{direction=\"sent\"}", 0.0, 500.0),
            ("tombolo_room_queue_bytes", 0.0, 6_000.0),
            ("tombolo_room_closes_total{reason=\"left\"}", 0.0, 7.0),
            ("tombolo_room_closes_total{reason=\"revoked\"}", 0.0, 0.0),
            ("tombolo_room_closes_total{reason=\"limited\"}", 0.0, 0.0),
            ("tombolo_room_closes_total{reason=\"protocol\"}", 0.0, 4.0),
            ("tombolo_room_closes_total{reason=\"not_text\"}", 0.0, 0.0),
            ("tombolo_room_closes_total{reason=\"too_big\"}", 0.0, 0.0),
            ("tombolo_room_closes_total{reason=\"too_slow\"}", 0.0, 2.0),
            ("tombolo_room_closes_total{reason=\"gone\"}", 0.0, 0.0),
            ("tombolo_room_closes_total{reason=\"busy\"}", 0.0, 0.0),
            ("tombolo_room_closes_total{reason=\"stopping\"}", 0.0, 0.0),
        ] {
            assert_eq!([sample(&texts[0], name), sample(&texts[1], name)], [before, after], "{name}");
        }
    }

    #[test]
    fn what_the_store_said_is_good_for_a_while() {
        let metrics = Metrics::new(START);
        let (age, totals) = (Duration::from_secs(5), Totals { spaces: 1, changes: 2 });
        assert_eq!(metrics.known_totals(START, age), None);
        metrics.note_totals(START, totals);
        assert_eq!(metrics.known_totals(START.plus(Duration::from_secs(4)), age), Some(totals));
        assert_eq!(metrics.known_totals(START.plus(age), age), None);
    }
}
