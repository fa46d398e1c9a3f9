//! Signing in: both generations of td, with and without mail, against a real SMTP dialogue.

use serde_json::{Value, json};
use tombolo_testkit::eventually::spawn;
use tombolo_testkit::http::{Request, Response};
use tombolo_testkit::served::{Install, Served};
use tombolo_testkit::smtp::{Manner, Received, SmtpServer};
use tombolo_testkit::td::Teammate;

use crate::install;

/// Where links in mails lead; the tests follow them to where the server listens.
const PUBLIC_URL: &str = "http://td.example.test";
const CALLBACK: &str = "https://watch.example.test/callback";
/// The verifier and the challenge of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn with_mail(smtp_url: &str) -> Install {
    let install = install()
        .set(&format!("public_url={PUBLIC_URL}"))
        .set(&format!("mail.smtp_url={smtp_url}"))
        .set("mail.from=Tombolo <sync@example.test>");
    install.ok(&["user", "add", "ann", "--email", "ann@example.test"]);
    install
}

/// A server that sends mail, where Ann has an account, and its mail server.
fn mailing() -> (Served, SmtpServer) {
    let smtp = SmtpServer::start(Manner::Takes);
    (with_mail(&smtp.url()).serve(), smtp)
}

/// A server that sends none, where Ann has an account.
fn without_mail() -> Served {
    let install = install();
    install.ok(&["user", "add", "ann", "--email", "ann@example.test"]);
    install.serve()
}

fn post(served: &Served, path: &str, body: &Value) -> Response {
    served.send(&Request::post(path, body.to_string()))
}

fn submit(served: &Served, path: &str, form: &str) -> Response {
    let request = Request::new("POST", path).header("Content-Type", "application/x-www-form-urlencoded");
    served.send(&request.body(form))
}

fn start_device(served: &Served, email: &str) -> String {
    let body = json!({
        "email": email, "code_challenge": CHALLENGE, "code_challenge_method": "S256", "device_name": "td-cli@laptop"
    });
    let response = post(served, "/v1/auth/device/start", &body);
    assert_eq!(response.status, 200, "{}", response.text());
    let mut started = response.json();
    let device_code = started["device_code"].take();
    assert_eq!(started, json!({"device_code": null, "expires_in": 900, "interval": 5, "email_sent": true}));
    device_code.as_str().unwrap().to_owned()
}

fn poll_device(served: &Served, device_code: &str) -> Response {
    poll_device_with(served, device_code, VERIFIER)
}

fn poll_device_with(served: &Served, device_code: &str, verifier: &str) -> Response {
    post(served, "/v1/auth/device/poll", &json!({"device_code": device_code, "code_verifier": verifier}))
}

/// The device code and the user code.
fn start_code(served: &Served, email: &str) -> (String, String) {
    let response = post(served, "/v1/auth/login/start", &json!({ "email": email }));
    assert_eq!(response.status, 200, "{}", response.text());
    let started = response.json();
    assert_eq!((&started["expires_in"], &started["interval"]), (&json!(900), &json!(5)));
    let text = |name: &str| started[name].as_str().unwrap().to_owned();
    assert!(text("verification_uri").ends_with("/auth/verify"), "{started}");
    assert_eq!((text("device_code").len(), text("user_code").len()), (40, 6));
    (text("device_code"), text("user_code"))
}

fn poll_code(served: &Served, device_code: &str) -> Response {
    post(served, "/v1/auth/login/poll", &json!({ "device_code": device_code }))
}

fn enter(served: &Served, user_code: &str) -> Response {
    let response = submit(served, "/auth/verify", &format!("user_code={user_code}"));
    assert_eq!(response.status, 200);
    response
}

fn is_pending(response: &Response) -> bool {
    response.status == 200 && response.json() == json!({"status": "pending"})
}

/// The key of a poll that was answered with one.
fn key_of(response: &Response, email: &str) -> String {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let complete = response.json();
    let text = |name: &str| complete[name].as_str().unwrap().to_owned();
    assert_eq!((text("status").as_str(), text("email").as_str()), ("complete", email));
    assert!(text("user_id").starts_with("u_") && text("expires_at").ends_with('Z'), "{complete}");
    let key = text("api_key");
    assert!(key.starts_with("td_live_") && key.len() == 40, "{key}");
    key
}

/// Where the link of a mail leads on this server.
fn path_of(mail: &Received) -> String {
    let link = mail.link();
    link.strip_prefix(PUBLIC_URL).unwrap_or_else(|| panic!("a link to {PUBLIC_URL}, not {link}")).to_owned()
}

/// Presses the button on the page that a mail leads to.
fn press(served: &Served, mail: &Received) -> Response {
    let path = path_of(mail);
    let page = served.send(&Request::get(&path));
    let (_, rest) =
        page.text().split_once("name=\"token\" value=\"").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let token = rest.split('"').next().unwrap();
    submit(served, "/auth/device/approve", &format!("token={token}"))
}

/// What the page says in its one paragraph of that class.
fn said(page: &Response, class: &str) -> String {
    let text = page.text();
    let (_, rest) =
        text.split_once(&format!("<p class=\"{class}\"")).unwrap_or_else(|| panic!("no {class} in: {text}"));
    let (_, rest) = rest.split_once('>').unwrap();
    rest.split("</p>").next().unwrap().to_owned()
}

fn keys(served: &Served) -> Vec<Value> {
    served.install.json(&["token", "--list"]).as_array().unwrap().clone()
}

#[test]
fn a_device_signs_in_by_a_mailed_link_that_only_its_button_approves() {
    let (served, smtp) = mailing();
    let device_code = start_device(&served, "Ann@example.test");
    let mail = smtp.arrived(1);
    assert_eq!((mail.from.as_str(), mail.to.as_slice()), ("sync@example.test", &["Ann@example.test".to_owned()][..]));
    assert_eq!(mail.header("From").as_deref(), Some("Tombolo <sync@example.test>"));
    assert_eq!(mail.header("Subject").as_deref(), Some("Sign in a device at td.example.test"));
    assert_eq!(mail.header("Auto-Submitted").as_deref(), Some("auto-generated"));
    assert!(mail.header("Date").is_some() && mail.header("Message-ID").is_some(), "{}", mail.data);
    assert!(mail.header("Content-Type").unwrap().starts_with("text/plain"), "{}", mail.data);
    // A scanner opens the link, in whatever way.
    for method in ["GET", "HEAD", "GET"] {
        let page = served.send(&Request::new(method, &path_of(&mail)));
        assert_eq!(page.status, 200);
        if method == "GET" {
            assert!(page.text().contains("Ann@example.test") && page.text().contains("td-cli@laptop"));
        }
    }
    assert!(is_pending(&poll_device(&served, &device_code)));
    let page = press(&served, &mail);
    assert!(said(&page, "success").starts_with("Device approved"), "{}", page.text());
    let key = key_of(&poll_device(&served, &device_code), "Ann@example.test");
    let (status, code) = (poll_device(&served, &device_code).status, poll_device(&served, &device_code).json());
    assert_eq!((status, &code["code"], &code["error"]["code"]), (410, &json!("expired"), &json!("expired")));
    let keys = keys(&served);
    assert_eq!(
        (&keys[0]["name"], &keys[0]["for"], &keys[0]["user"]),
        (&json!("td-cli@laptop"), &json!("td"), &json!("ann"))
    );
    assert!(keys[0]["expires_at"].is_string());
    // The link is used, however it is opened.
    let page = served.send(&Request::get(&path_of(&mail)));
    assert_eq!((page.status, said(&page, "error").as_str()), (200, "This link has already been used."));
    let token = path_of(&mail).split_once("token=").unwrap().1.to_owned();
    let page = submit(&served, "/auth/device/approve", &format!("token={token}"));
    assert_eq!((page.status, said(&page, "error").as_str()), (200, "This link has already been used."));
    // What was secret is neither stored nor logged, nor is the address logged.
    let stored = crate::stored(&served);
    for secret in [&key, &device_code, &token, &VERIFIER.to_owned()] {
        assert!(!stored.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} is stored");
        assert!(!served.log().contains(secret.as_str()), "{secret} is logged");
    }
    assert!(!served.log().to_lowercase().contains("example.test"), "{}", served.log());
}

#[test]
fn the_code_of_an_older_command_line_has_the_link_mailed_and_approves_nothing() {
    let (served, smtp) = mailing();
    let (device_code, user_code) = start_code(&served, "ann@example.test");
    let page = served.send(&Request::get("/auth/verify"));
    assert_eq!((page.status, page.text().contains("name=\"user_code\"")), (200, true));
    assert_eq!(said(&enter(&served, ""), "error"), "Please enter a code.");
    assert_eq!(said(&enter(&served, "ABC234"), "error"), "Invalid or expired code.");
    assert_eq!(said(&enter(&served, "%00%FF"), "error"), "Invalid or expired code.");
    let typed = format!("+{}-{}", &user_code[..3].to_lowercase(), &user_code[3..]);
    assert!(said(&enter(&served, &typed), "success").starts_with("If that address may sign in here"));
    assert!(is_pending(&poll_code(&served, &device_code)));
    let mail = smtp.arrived(1);
    assert!(mail.text().contains(&user_code), "{}", mail.text());
    press(&served, &mail);
    key_of(&poll_code(&served, &device_code), "ann@example.test");
    let again = poll_code(&served, &device_code);
    assert_eq!((again.status, &again.json()["code"]), (410, &json!("already_used")));
    let never = poll_code(&served, &"0".repeat(40));
    assert_eq!((never.status, &never.json()["code"]), (404, &json!("not_found")));
}

#[test]
fn the_pages_are_not_kept_not_framed_and_run_nothing() {
    let served = without_mail();
    for page in [
        served.send(&Request::get("/auth/verify")),
        served.send(&Request::get("/auth/device/approve")),
        enter(&served, "ABC234"),
    ] {
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        let text = page.text();
        assert!(text.contains("<html lang=\"en\">") && text.contains("width=device-width"), "{text}");
    }
}

#[test]
fn what_a_device_calls_itself_stays_text() {
    let (served, smtp) = mailing();
    let body = json!({
        "email": "ann@example.test", "code_challenge": CHALLENGE, "code_challenge_method": "S256",
        "device_name": format!("<script>alert(1)</script>\r\nBcc: eve@example.test\r\n.\r\n{}", "x".repeat(500))
    });
    assert_eq!(post(&served, "/v1/auth/device/start", &body).status, 200);
    let mail = smtp.arrived(1);
    assert_eq!((mail.header("Bcc"), mail.to.len()), (None, 1));
    let line = mail.text().lines().find(|line| line.contains("Device:")).unwrap().to_owned();
    assert!(line.contains("Bcc- eve") && line.len() < 120, "{line}");
    let page = served.send(&Request::get(&path_of(&mail))).text();
    assert!(page.contains("alert(1)") && !page.contains("<script"), "{page}");
}

#[test]
fn without_mail_the_owner_approves_on_the_command_line() {
    let served = without_mail();
    served.logged(&["no mail server", "tombolo login list"]);
    let device_code = start_device(&served, "ann@example.test");
    let (legacy_code, user_code) = start_code(&served, "new@example.test");
    let page = enter(&served, &user_code);
    assert!(page.text().contains(&format!("tombolo login approve {user_code}")), "{}", page.text());
    assert!(is_pending(&poll_code(&served, &legacy_code)) && is_pending(&poll_device(&served, &device_code)));
    let listed = served.install.json(&["login", "list"]);
    let mut names: Vec<&str> = listed[0].as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["code", "created_at", "device", "email", "expires_at", "flow"]);
    assert_eq!((&listed[1]["email"], &listed[1]["device"]), (&json!("ann@example.test"), &json!("td-cli@laptop")));
    assert_eq!((&listed[0]["flow"], &listed[1]["flow"]), (&json!("code"), &json!("device")), "newest first");
    let table = served.install.ok(&["login", "list"]);
    let newest: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(newest[2], "-", "{table}");
    assert!(newest[3].len() == 20 && newest[3].ends_with('Z'), "{table}");
    let code = listed[1]["code"].as_str().unwrap();
    served.logged(&["a sign-in began", &format!("tombolo login approve {code}")]);
    let typed = format!("{}-{}", &code[..4].to_lowercase(), &code[4..]);
    let approved = served.install.json(&["login", "approve", &typed]);
    assert_eq!((&approved["approved"], &approved["is_new"]), (&json!(true), &json!(false)));
    key_of(&poll_device(&served, &device_code), "ann@example.test");
    // The owner vouches for somebody whom the server does not know.
    let said = served.install.ok(&["login", "approve", &user_code.to_lowercase()]);
    assert!(said.contains("new@example.test") && said.contains("had no account"), "{said}");
    key_of(&poll_code(&served, &legacy_code), "new@example.test");
    assert_eq!(served.install.json(&["login", "list"]), json!([]));
    assert!(served.install.ok(&["login", "list"]).contains("Nobody waits"));
}

#[test]
fn the_owner_is_told_why_a_sign_in_cannot_be_approved() {
    let served = without_mail();
    let (_, user_code) = start_code(&served, "ann@example.test");
    served.install.ok(&["login", "approve", &user_code]);
    start_device(&served, "bob@example.test");
    served.install.ok(&["user", "add", "bob", "--email", "bob@example.test"]);
    served.install.ok(&["user", "disable", "bob"]);
    let waiting = served.install.json(&["login", "list"]);
    let of_bob = waiting[0]["code"].as_str().unwrap();
    for (code, words) in [
        (user_code.as_str(), "approved already"),
        ("ABCD2345", "tombolo login list"),
        ("nonsense", "tombolo login list"),
        ("", "tombolo login list"),
        (of_bob, "disabled"),
    ] {
        let complaint = served.install.refused(&["login", "approve", code]);
        assert!(complaint.contains(words), "{code}: {complaint}");
    }
}

#[test]
fn known_and_unknown_addresses_cannot_be_told_apart() {
    let (mut served, smtp) = mailing();
    let shape = |response: Response| {
        let mut headers: Vec<String> = response.headers.iter().map(|(name, _)| name.clone()).collect();
        headers.sort_unstable();
        let body = if response.header("content-type") == Some("application/json") {
            let body = response.json();
            let fields = body.as_object().unwrap().iter();
            fields.map(|(name, value)| format!("{name}:{}", value.to_string().len())).collect::<Vec<_>>().join(",")
        } else {
            response.text()
        };
        (response.status, headers, body)
    };
    let tell = |email: &str| {
        let body = json!({"email": email, "code_challenge": CHALLENGE, "code_challenge_method": "S256"});
        let started = post(&served, "/v1/auth/device/start", &body);
        let polled = poll_device(&served, started.json()["device_code"].as_str().unwrap());
        let legacy = post(&served, "/v1/auth/login/start", &json!({ "email": email }));
        let entered = enter(&served, legacy.json()["user_code"].as_str().unwrap());
        let asked = poll_code(&served, legacy.json()["device_code"].as_str().unwrap());
        [started, polled, legacy, entered, asked].map(shape)
    };
    let (known, unknown) = (tell("ann@example.test"), tell("eve@example.test"));
    assert_eq!(known, unknown);
    // Only the owner's log tells them apart.
    served.logged(&["a sign-in began", "queued"]);
    served.logged(&["a sign-in began", "no account"]);
    // A server that stops sends what waits: after that nothing more comes.
    assert!(served.terminate().success());
    let to: Vec<String> = smtp.mails().into_iter().flat_map(|mail| mail.to).collect();
    assert_eq!(to, ["ann@example.test"; 2]);
}

#[test]
fn where_sign_up_is_open_a_stranger_gets_a_mail_and_an_account_and_elsewhere_neither() {
    let smtp = SmtpServer::start(Manner::Takes);
    let served = with_mail(&smtp.url()).set("allow_signup=true").serve();
    let device_code = start_device(&served, "new@example.test");
    let mail = smtp.arrived(1);
    let has_account = |served: &Served| {
        let users = served.install.json(&["user", "list"]);
        users.as_array().unwrap().iter().any(|user| user["email"] == "new@example.test")
    };
    assert!(!has_account(&served), "whoever asks makes no account");
    press(&served, &mail);
    key_of(&poll_device(&served, &device_code), "new@example.test");
    assert!(has_account(&served));
}

#[test]
fn a_mail_server_that_is_down_slow_or_refusing_changes_no_answer() {
    let (silent, refusing) = (SmtpServer::start(Manner::Silent), SmtpServer::start(Manner::Refuses));
    for url in [SmtpServer::nobodys_url(), silent.url(), refusing.url()] {
        let served = with_mail(&url).serve();
        let device_code = start_device(&served, "ann@example.test");
        assert!(is_pending(&poll_device(&served, &device_code)), "{url}");
        let (legacy_code, user_code) = start_code(&served, "ann@example.test");
        assert!(said(&enter(&served, &user_code), "success").starts_with("If that address"), "{url}");
        assert!(is_pending(&poll_code(&served, &legacy_code)), "{url}");
        if url == refusing.url() {
            refusing.turned_away(2);
            served.logged(&["a mail was given up", "550"]);
        } else if url == silent.url() {
            silent.called(2);
        } else {
            served.logged(&["a mail could not be sent yet"]);
        }
        assert!(!served.log().contains("ann@example.test"), "{}", served.log());
        // The owner still can.
        served.install.ok(&["login", "approve", &user_code]);
        key_of(&poll_code(&served, &legacy_code), "ann@example.test");
    }
}

#[test]
fn a_mail_that_is_put_off_is_sent_again() {
    let smtp = SmtpServer::start(Manner::PutsOff(1));
    let served = with_mail(&smtp.url()).serve();
    let device_code = start_device(&served, "ann@example.test");
    smtp.turned_away(1);
    served.logged(&["a mail could not be sent yet", "451"]);
    press(&served, &smtp.arrived(1));
    key_of(&poll_device(&served, &device_code), "ann@example.test");
    assert_eq!(smtp.mails().len(), 1);
}

#[test]
fn mails_that_are_put_off_hold_up_no_other() {
    let smtp = SmtpServer::start(Manner::PutsOff(u32::MAX));
    let served = with_mail(&smtp.url()).set("allow_signup=true").set("rate_limit.auth=0").serve();
    for n in 0..12 {
        start_device(&served, &format!("slow{n}@example.test"));
    }
    // Each was tried twice, and waits for two minutes now.
    smtp.turned_away(24);
    smtp.behave(Manner::Takes);
    start_device(&served, "ann@example.test");
    assert_eq!(smtp.arrived(1).to, ["ann@example.test"]);
}

#[test]
fn an_invitation_is_mailed_with_a_tame_name_and_no_mailbox_is_filled() {
    let (served, smtp) = mailing();
    let people = ["ada", "bob"].map(|name| Teammate::new(&served.install, name));
    let invite = |who: &Teammate, project: &str, email: &str| {
        let body = json!({ "email": email, "role": "reader" });
        who.send(&served, "POST", &format!("/v1/projects/{project}/invitations"), &body)
    };
    let names = ["see http://evil.example/now\u{202e}", "two", "three"];
    let projects = people.each_ref().map(|who| names.map(|name| who.create(&served, name)));
    for (n, project) in projects[0].iter().enumerate() {
        assert_eq!(invite(&people[0], project, "Guest@example.test").status, 201);
        let text = smtp.arrived(n + 1).text();
        assert!(!text.contains("evil.example/") && !text.contains('\u{202e}'), "{text}");
    }
    assert!(smtp.mails()[0].text().contains("see http---evil.example-now"), "{}", smtp.mails()[0].text());
    // What mails nothing counts for nothing.
    for _ in 0..20 {
        assert_eq!(invite(&people[0], &projects[0][0], "guest@example.test").status, 409);
    }
    for project in &projects[1][..2] {
        assert_eq!(invite(&people[1], project, "guest@example.test").status, 201);
    }
    let over = invite(&people[1], &projects[1][2], "guest@example.test");
    assert_eq!((over.status, &over.json()["code"]), (429, &json!("rate_limited")));
    assert!(over.header("retry-after").is_some());
    assert_eq!(invite(&people[1], &projects[1][2], "other@example.test").status, 201, "somebody else's mailbox");
    assert_eq!(invite(&people[1], &projects[0][2], "guest@example.test").status, 403, "whatever was mailed");
    smtp.arrived(6);
    let metrics = served.send(&Request::get("/metrics")).text();
    assert!(metrics.contains("rate_limited_requests_total{class=\"invitation\"} 1"), "{metrics}");
}

#[test]
fn pages_say_what_is_wrong_as_pages_and_routes_in_both_shapes() {
    let served = install().set("rate_limit.auth=3").serve();
    let strange = |path: &str| served.send(&Request::post(path, "x").header("Content-Encoding", "rot13"));
    let answer = strange("/v1/auth/device/start");
    assert_eq!((answer.status, &answer.json()["code"]), (415, &json!("unsupported_encoding")));
    assert_eq!(answer.json()["error"]["code"], "unsupported_encoding");
    let page = strange("/auth/verify");
    assert_eq!((page.status, page.header("content-type")), (415, Some("text/html; charset=utf-8")));
    let page = served.send(&Request::new("DELETE", "/auth/verify"));
    assert_eq!((page.status, page.header("content-type")), (405, Some("text/html; charset=utf-8")));
    assert_eq!(page.header("allow"), Some("GET, HEAD, POST, OPTIONS"));
    while served.send(&Request::get("/auth/verify")).status == 200 {}
    let page = served.send(&Request::get("/auth/verify"));
    assert_eq!((page.status, page.header("content-type")), (429, Some("text/html; charset=utf-8")));
    assert!(page.header("retry-after").is_some() && page.header("ratelimit-limit") == Some("3"));
    assert!(said(&page, "error").contains("Wait a minute"), "{}", page.text());
}

#[test]
fn a_server_that_stops_sends_what_waits_and_waits_for_no_silence() {
    let smtp = SmtpServer::start(Manner::PutsOff(1));
    let mut served = with_mail(&smtp.url()).serve();
    start_device(&served, "ann@example.test");
    smtp.turned_away(1);
    assert!(served.terminate().success());
    assert_eq!(smtp.mails().len(), 1);
    let silent = SmtpServer::start(Manner::Silent);
    let mut served = with_mail(&silent.url()).serve();
    start_device(&served, "ann@example.test");
    silent.called(1);
    assert!(served.terminate().success());
    assert!(served.log().contains("mails that could not be sent in time are lost"), "{}", served.log());
}

#[test]
fn two_polls_at_once_get_one_key() {
    let (served, smtp) = mailing();
    let device_code = start_device(&served, "ann@example.test");
    press(&served, &smtp.arrived(1));
    let address = served.address();
    let body = json!({"device_code": device_code, "code_verifier": VERIFIER}).to_string();
    let polls: Vec<_> = (0..8)
        .map(|_| {
            let request = Request::post("/v1/auth/device/poll", body.clone());
            spawn(move || request.send(address).unwrap().status)
        })
        .collect();
    let mut statuses: Vec<u16> = polls.into_iter().map(|poll| poll.join().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 410, 410, 410, 410, 410, 410, 410]);
    assert_eq!(keys(&served).len(), 1);
}

#[test]
fn a_page_signs_in_only_when_it_is_the_one_that_is_configured() {
    let smtp = SmtpServer::start(Manner::Takes);
    let served = with_mail(&smtp.url()).set(&format!("td.web_callback_url={CALLBACK}")).serve();
    let start = |redirect_uri: &str| {
        let body = json!({"email": "ann@example.test", "redirect_uri": redirect_uri, "state": "s 1"});
        post(&served, "/v1/auth/web/start", &body)
    };
    let refused = start("https://evil.example/");
    assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("bad_request")));
    let started = start(CALLBACK);
    let expected = json!({"status": "email_sent_if_allowed", "expires_in": 900, "retry_after": 60});
    assert_eq!((started.status, started.json()), (200, expected));
    let link = smtp.arrived(1).link();
    let query = link.strip_prefix(&format!("{CALLBACK}?token=")).unwrap_or_else(|| panic!("{link}"));
    let (token, state) = query.split_once("&state=").unwrap();
    assert_eq!(state, "s+1");
    let exchange = |token: &str, state: &str| {
        let response = post(&served, "/v1/auth/web/exchange", &json!({"token": token, "state": state}));
        let code = response.json()["code"].as_str().unwrap_or_default().to_owned();
        (response.status, code, response)
    };
    let outcome = |token: &str, state: &str| {
        let (status, code, _) = exchange(token, state);
        (status, code)
    };
    assert_eq!(outcome("nothing", "s 1"), (400, "bad_request".to_owned()));
    assert_eq!(outcome(&format!("{}.{}", "0".repeat(32), "0".repeat(64)), "s 1"), (401, "invalid_token".to_owned()));
    assert_eq!(outcome(token, "other"), (401, "invalid_state".to_owned()));
    key_of(&exchange(token, "s 1").2, "ann@example.test");
    assert_eq!(outcome(token, "s 1"), (401, "token_replayed".to_owned()));
    assert_eq!(keys(&served)[0]["name"], "td-watch-web");
    let off = without_mail();
    let body = json!({"email": "ann@example.test", "redirect_uri": CALLBACK, "state": "s"});
    let refused = post(&off, "/v1/auth/web/start", &body);
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("td.web_callback_url"), "{}", refused.text());
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason_in_both_shapes() {
    let served = without_mail();
    let good = json!({"email": "ann@example.test", "code_challenge": CHALLENGE, "code_challenge_method": "S256"});
    let without = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body.to_string()
    };
    for (path, body, words) in [
        ("/v1/auth/login/start", String::new(), "invalid json body"),
        ("/v1/auth/login/start", "{\"email\":7}".to_owned(), "invalid json body"),
        ("/v1/auth/login/start", "[\"ann@example.test\"]".to_owned(), "invalid json body"),
        ("/v1/auth/login/start", format!("{{\"email\":[\"{}\"]}}", "x".repeat(9_000)), "invalid json body"),
        ("/v1/auth/login/start", "{}".to_owned(), "valid email is required"),
        ("/v1/auth/login/start", "{\"email\":\"Ann <ann@example.test>\"}".to_owned(), "valid email is required"),
        ("/v1/auth/login/poll", "{}".to_owned(), "device_code"),
        ("/v1/auth/device/start", without("email", json!("ann")), "valid email is required"),
        ("/v1/auth/device/start", without("code_challenge", json!("short")), "code_challenge"),
        ("/v1/auth/device/start", without("code_challenge", Value::Null), "code_challenge"),
        ("/v1/auth/device/start", without("code_challenge_method", json!("plain")), "S256"),
        ("/v1/auth/device/poll", "{\"device_code\":\"x\"}".to_owned(), "code_verifier"),
        ("/v1/auth/device/poll", "{\"code_verifier\":\"x\"}".to_owned(), "device_code"),
    ] {
        let response = served.send(&Request::post(path, body.clone()));
        let answer = response.json();
        assert_eq!((response.status, &answer["code"]), (400, &json!("bad_request")), "{path} {body}");
        assert_eq!(answer["error"], json!({"code": answer["code"], "message": answer["message"]}), "{path} {body}");
        assert!(answer["message"].as_str().unwrap().contains(words), "{path} {body}: {answer}");
        assert!(response.body.len() < 1_000, "{path}: {answer}");
    }
}

#[test]
fn what_is_too_large_or_of_another_method_or_no_link_is_refused() {
    let served = without_mail();
    let large = served.send(&Request::post("/v1/auth/login/start", "x".repeat(20_000)));
    assert_eq!((large.status, &large.json()["code"]), (413, &json!("too_large")));
    let large = submit(&served, "/auth/verify", &"x".repeat(20_000));
    assert_eq!((large.status, said(&large, "error").as_str()), (200, "Invalid or expired code."));
    let other = served.send(&Request::get("/v1/auth/device/start"));
    assert_eq!((other.status, other.header("allow")), (405, Some("POST, OPTIONS")));
    assert_eq!(other.json()["code"], "method_not_allowed");
    for query in ["", "?token=", "?token=nothing", "?token=%00", "?other=1"] {
        let page = served.send(&Request::get(&format!("/auth/device/approve{query}")));
        assert_eq!((page.status, said(&page, "error").as_str()), (400, "Invalid link."), "{query}");
    }
    let never = format!("token={}.{}", "0".repeat(32), "0".repeat(64));
    let page = submit(&served, "/auth/device/approve", &never);
    assert_eq!((page.status, said(&page, "error").as_str()), (200, "Invalid or expired link."));
}

#[test]
fn only_who_holds_the_verifier_learns_anything() {
    let (served, smtp) = mailing();
    let device_code = start_device(&served, "ann@example.test");
    let wrong = || {
        let response = poll_device_with(&served, &device_code, "wrong");
        (response.status, response.json()["code"].clone())
    };
    assert_eq!(wrong(), (401, json!("invalid_verifier")));
    press(&served, &smtp.arrived(1));
    assert_eq!(wrong(), (401, json!("invalid_verifier")));
    assert!(is_pending(&poll_device(&served, &"0".repeat(64))));
    assert!(is_pending(&poll_device(&served, "no code at all")));
    key_of(&poll_device(&served, &device_code), "ann@example.test");
}

#[test]
fn mail_needs_a_sender_and_an_address_for_its_links() {
    let smtp = format!("mail.smtp_url={}", SmtpServer::nobodys_url());
    let complaint = install().refused(&["serve", "--set", &smtp, "--set", "mail.from=sync@example.test"]);
    assert!(complaint.contains("public_url"), "{complaint}");
    let complaint = install().refused(&["serve", "--set", &smtp, "--set", "public_url=http://td.example.test"]);
    assert!(complaint.contains("mail.from"), "{complaint}");
}
