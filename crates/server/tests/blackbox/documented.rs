//! What `/openapi.json` says of the routes, held against the server: each is there, asks for the key that it is said to
//! ask for, and takes no other method.

use serde_json::Value;
use tombolo_testkit::http::Request;

use crate::{install, serve};

/// The methods that a route may take.
const METHODS: [&str; 5] = ["delete", "get", "patch", "post", "put"];

/// A path whose parameters are ids that nothing has.
fn filled(path: &str) -> String {
    let ids = [("id", "p_"), ("user", "u_"), ("invitation", "inv_"), ("key", "ak_"), ("uuid", ""), ("code", "")];
    ids.iter().fold(path.to_owned(), |path, (name, mark)| {
        path.replace(&format!("{{{name}}}"), &format!("{mark}0000000000000000"))
    })
}

#[test]
fn every_documented_route_is_there_and_takes_no_other_method_and_no_stranger() {
    // Each path is asked more often than a person would.
    let served = install().set("rate_limit.auth=0").set("rate_limit.other=0").serve();
    let key = served.install.key_for("owner", "laptop");
    let document = served.send(&Request::get("/openapi.json"));
    assert_eq!((document.status, document.header("content-type")), (200, Some("application/json")));
    let document = document.json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 25, "{:?}", paths.keys());
    for (path, methods) in paths {
        for method in METHODS {
            let asked = format!("{method} {path}");
            let request = Request::new(&method.to_uppercase(), &filled(path));
            let Some(operation) = methods.get(method) else {
                // A stranger is not told which methods there are.
                let response = served.send(&request.bearer(&key));
                assert_eq!(response.status, 405, "{asked}");
                let allowed: Vec<String> =
                    methods.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
                let allow = response.header("allow").unwrap_or_default();
                assert!(allowed.iter().all(|method| allow.contains(&**method)), "{asked}: {allow}");
                assert!(!allow.contains(&*method.to_uppercase()), "{asked}: {allow}");
                continue;
            };
            let response = served.send(&request);
            // A key in the path is one that OpenAPI has no word for.
            let is_open = operation["security"] == Value::Array(Vec::new()) && !path.starts_with("/k/");
            let documented = operation["responses"].as_object().unwrap();
            assert!(documented.contains_key(&response.status.to_string()), "{asked}: {}", response.status);
            assert!(![404, 405].contains(&response.status), "{asked}: {}", response.text());
            assert_eq!(response.status == 401, !is_open, "{asked}: {}", response.text());
        }
    }
}

#[test]
fn only_what_is_switched_on_is_documented() {
    let paths = |served: &tombolo_testkit::served::Served| {
        served.send(&Request::get("/openapi.json")).json()["paths"].as_object().unwrap().clone()
    };
    let all = paths(&serve());
    let switched_off = ["tickit", "td", "simple_sync", "wellbeing"].map(|name| format!("protocols.{name}=false"));
    let none = paths(&switched_off.iter().fold(install(), |install, off| install.set(off)).serve());
    for path in ["/api/v1/sync", "/v1/projects", "/api/v1/events", "/v1/sync/upload"] {
        assert!(all.contains_key(path) && !none.contains_key(path), "{path}");
    }
    assert!(none.contains_key("/health"));
}
