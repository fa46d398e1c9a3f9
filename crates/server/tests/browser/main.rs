//! A real browser: a page on another origin than the server, in headless Chromium.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod rooms;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tombolo_testkit::pages::Page;
use tombolo_testkit::served::{Folder, Install, Served};
use tombolo_testkit::simple_sync::Participant;

/// A browser that looks at one page. It does not outlive the test.
struct Browser {
    child: Child,
    _profile: Folder,
}

impl Browser {
    /// Where it is; `None` where there is none, which was said loudly.
    fn find() -> Option<PathBuf> {
        let places = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
        if let Some(found) = places.iter().map(Path::new).find(|place| place.is_file()) {
            return Some(found.to_owned());
        }
        let how = "there is no Chromium: on Debian, apt-get install chromium";
        assert!(std::env::var_os("TOMBOLO_REQUIRE_CLIENTS").is_none_or(|value| value != "1"), "{how}");
        // Past the test harness, which shows only what failing tests print.
        let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {how} ***\n");
        None
    }

    fn open(program: &Path, url: &str) -> Self {
        let profile = Folder::new();
        let mut command = Command::new(program);
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.args(["--disable-dev-shm-usage", "--remote-debugging-port=0"]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg(url);
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self { child: spawned.unwrap(), _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PASSWORD: &str = "correct horse battery";

/// The page of Ada's app, and the event that it records.
fn page(served: &Served) -> (Page, Value) {
    let mut event = Participant::with_key("ada", "").event("chore.dishes", "done");
    event["userUuid"] = event["user"].take();
    event["itemUuid"] = event["item"].take();
    let html = include_str!("page.html")
        .replace("{server}", &format!("http://{}", served.address()))
        .replace("{username}", "ada")
        .replace("{password}", PASSWORD)
        .replace("{event}", &event.to_string());
    (Page::serve(&html), event)
}

/// A server whose Ada has a password, and where everybody may do chores; and its root.
fn house(install: Install) -> (Served, Participant) {
    install.ok_with_input(&["user", "add", "ada", "--password-stdin"], &format!("{PASSWORD}\n"));
    let root = Participant::root(&install);
    let served = install.serve();
    assert_eq!(root.rule(&served, &["A *|chore.*|*"]).status, 200);
    (served, root)
}

fn install() -> Install {
    Install::new(env!("CARGO_BIN_EXE_tombolo"))
}

#[test]
fn a_page_of_another_origin_signs_in_pushes_and_sees_anothers_event_live() {
    let Some(program) = Browser::find() else { return };
    let (served, root) = house(install().set("cors.origins=*"));
    let (page, own) = page(&served);
    let _browser = Browser::open(&program, &page.origin());
    let pushed = page.report();
    assert_eq!((&pushed["what"], &pushed["detail"]["status"]), (&json!("pushed"), &json!(200)), "{pushed}");
    assert!(pushed["detail"]["uuids"].as_array().unwrap().contains(&own["uuid"]), "{pushed}");
    assert!(pushed["detail"]["cursor"].is_string() && pushed["detail"]["requestId"].is_string(), "{pushed}");
    assert_eq!(page.report()["what"], "open");
    let others = root.event("chore.windows", "done");
    assert_eq!(root.push(&served, std::slice::from_ref(&others)).status, 200);
    let seen = page.report();
    assert_eq!((&seen["what"], &seen["detail"]["event"]["uuid"]), (&json!("event"), &others["uuid"]), "{seen}");
    assert_eq!(
        seen["detail"]["event"]["itemUuid"], "chore.windows",
        "in the spelling of who signed in with a password"
    );
    assert!(seen["detail"]["id"].as_str().is_some_and(|id| !id.is_empty()), "{seen}");
}

#[test]
fn a_page_of_an_origin_that_is_not_listed_gets_nothing() {
    let Some(program) = Browser::find() else { return };
    let (served, root) = house(install().set("cors.origins=https://app.example.org"));
    let (page, _) = page(&served);
    let _browser = Browser::open(&program, &page.origin());
    let refused = page.report();
    assert_eq!(refused["what"], "failed", "{refused}");
    let history = root.history(&served);
    assert!(history.iter().all(|event| event["item"] == ".acl"), "{history:?}");
}
