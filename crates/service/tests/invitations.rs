//! Inviting mails to strangers: within bounds, and what is not mailed counts for nothing.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::sync::Arc;
use std::time::Duration;

use tombolo_core::{CredentialId, EmailAddress, ProjectId, Purpose, Refusal, Role, UserId};
use tombolo_service::{AccessChanges, Caller, InviteOutcome, Outbox, OutgoingMail, Post, ProjectDraft, Projects};
use tombolo_storage::memory::Memory;
use tombolo_testkit::team::Team;
use tombolo_testkit::{TestEnv, wait};

struct Bench {
    env: Arc<TestEnv>,
    team: Team,
    projects: Projects,
    /// What was mailed stays here.
    _mails: OutgoingMail,
}

impl Bench {
    fn new() -> Self {
        let (store, env) = (Arc::new(Memory::new()), Arc::new(TestEnv::new(7)));
        let team = Team::new(vec![store.clone()], env.clone());
        let (outbox, mails) = Outbox::open(Arc::new(|| {}));
        let letter = |letter: &tombolo_service::Letter<'_>| letter.project.to_owned();
        let post = Post { outbox, base_url: "https://sync.example.org".to_owned(), letter };
        let projects = Projects::new(store, env.clone(), Arc::new(AccessChanges::default()), post);
        Self { env, team, projects, _mails: mails }
    }

    fn project(&self, user: UserId) -> ProjectId {
        let draft = ProjectDraft { purpose: Purpose::Td, name: "Work".to_owned(), description: String::new() };
        wait(self.projects.create(caller(user), draft, |_, _| "work".to_owned())).unwrap().unwrap().id
    }

    fn invite(&self, user: UserId, project: ProjectId, name: &str) -> InviteOutcome {
        let email = EmailAddress::parse(&format!("{name}@example.org")).unwrap();
        wait(self.projects.invite(caller(user), project, email, Role::Reader)).unwrap()
    }
}

fn caller(user: UserId) -> Caller {
    Caller { credential: CredentialId::new(1), user, expires_at: None }
}

#[test]
fn one_user_has_ten_mailed_in_a_minute_and_what_is_not_made_counts_for_nothing() {
    let bench = Bench::new();
    let Team { project, owner, reader, .. } = bench.team;
    for n in 0..10 {
        assert_eq!(bench.invite(owner, project, "reader"), InviteOutcome::Already);
        assert!(matches!(bench.invite(reader, project, "other"), InviteOutcome::Refused(Refusal::Lacks { .. })));
        assert!(matches!(bench.invite(owner, project, &format!("guest{n}")), InviteOutcome::Made(_)), "{n}");
    }
    assert!(matches!(bench.invite(owner, project, "guest10"), InviteOutcome::TooMany(_)));
    bench.env.advance(Duration::from_secs(60));
    assert!(matches!(bench.invite(owner, project, "guest10"), InviteOutcome::Made(_)));
}

#[test]
fn one_address_is_mailed_five_times_in_a_quarter_of_an_hour_by_whomever() {
    let bench = Bench::new();
    let Team { project, owner, writer, reader, stranger, .. } = bench.team;
    for user in [owner, writer, reader, stranger, owner] {
        assert!(matches!(bench.invite(user, bench.project(user), "guest"), InviteOutcome::Made(_)));
    }
    let last = bench.project(writer);
    assert!(matches!(bench.invite(writer, last, "GUEST"), InviteOutcome::TooMany(_)));
    assert_eq!(bench.invite(stranger, project, "guest"), InviteOutcome::Refused(Refusal::NotMember));
    assert!(matches!(bench.invite(writer, last, "somebody"), InviteOutcome::Made(_)));
    bench.env.advance(Duration::from_secs(14 * 60));
    assert!(matches!(bench.invite(writer, last, "guest"), InviteOutcome::TooMany(_)));
    bench.env.advance(Duration::from_secs(61));
    assert!(matches!(bench.invite(writer, last, "guest"), InviteOutcome::Made(_)));
}
