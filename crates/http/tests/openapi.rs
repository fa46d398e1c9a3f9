//! The OpenAPI document: it is the one that is kept beside this test, and names every route that there is and no other.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod served;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tombolo_core::UserId;
use tombolo_http::{Options, openapi, routes};
use tombolo_storage::memory::Memory;
use tombolo_testkit::TestEnv;

use self::served::app;

/// The methods of a route, as axum writes them down; HEAD goes with GET, and OPTIONS is answered before any route.
const METHODS: [&str; 5] = ["delete", "get", "patch", "post", "put"];

/// What is registered, such as `get /health`, read from what axum writes down of a router: it has no other way to ask.
fn registered(options: &Options) -> BTreeSet<String> {
    let text = format!("{:?}", routes(&app(Arc::new(Memory::new()), Arc::new(TestEnv::new(1)), options.clone())));
    let (routes, paths) = text.split_once("node: Node { paths: {").unwrap();
    let mut found = BTreeSet::new();
    for route in routes.split("RouteId(").skip(1) {
        let (id, methods) = route.split_once(')').unwrap();
        let path = paths.split_once(&format!("RouteId({id}): \"")).and_then(|(_, rest)| rest.split_once('"'));
        let (path, _) = path.unwrap();
        for method in METHODS {
            let (_, endpoint) = methods.split_once(&format!(" {method}: ")).unwrap();
            if !endpoint.starts_with("None") {
                found.insert(format!("{method} {path}"));
            }
        }
    }
    found
}

fn documented(options: &Options) -> BTreeSet<String> {
    let document = openapi(options);
    let paths = document["paths"].as_object().unwrap();
    let operations = |(path, methods): (&String, &Value)| {
        let methods: Vec<String> = methods.as_object().unwrap().keys().cloned().collect();
        methods.into_iter().map(|method| format!("{method} {path}")).collect::<Vec<_>>()
    };
    paths.iter().flat_map(operations).collect()
}

/// All the ways to switch protocols on and off.
fn settings() -> Vec<Options> {
    let both = [true, false];
    let switched =
        |tickit| both.map(|td| both.map(|simple_sync| Options { tickit, td, simple_sync, ..Options::default() }));
    let of_rooms = |options: &Options| {
        let open = Options { rooms_open_to: Some(UserId::new(1)), ..options.clone() };
        [options.clone(), open, Options { rooms: false, ..options.clone() }]
    };
    let of_wellbeing = |options: Options| both.map(|wellbeing| Options { wellbeing, ..options.clone() });
    let of_all = both.map(switched);
    of_all.as_flattened().as_flattened().iter().flat_map(of_rooms).flat_map(of_wellbeing).collect()
}

#[test]
fn every_route_is_documented_and_no_other() {
    for options in settings() {
        let (registered, documented) = (registered(&options), documented(&options));
        let undocumented: Vec<_> = registered.difference(&documented).collect();
        let absent: Vec<_> = documented.difference(&registered).collect();
        assert!(registered.len() > 5, "{registered:?}");
        assert!(
            undocumented.is_empty() && absent.is_empty(),
            "{options:?}: routes that no openapi.rs names: {undocumented:?}; named, and there is no route: {absent:?}"
        );
    }
}

#[test]
fn every_name_leads_somewhere_and_every_operation_has_one_of_its_own() {
    fn names(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(name) = fields.get("$ref").and_then(Value::as_str) {
                    found.insert(name.to_owned());
                }
                fields.values().for_each(|value| names(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| names(item, found)),
            _ => {}
        }
    }
    for options in settings() {
        let document = openapi(&options);
        let mut found = BTreeSet::new();
        names(&document, &mut found);
        for name in found {
            let place = name.strip_prefix('#').unwrap();
            assert!(document.pointer(place).is_some(), "{name} leads nowhere");
        }
        let operations: Vec<&Value> = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .flat_map(|path| path.as_object().unwrap().values())
            .collect();
        let ids: BTreeSet<&str> =
            operations.iter().map(|operation| operation["operationId"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), operations.len());
        for operation in operations {
            for key in operation["security"].as_array().unwrap().iter().flat_map(|key| key.as_object().unwrap().keys())
            {
                let scheme = &document["components"]["securitySchemes"][key];
                assert!(scheme.is_object(), "{operation}");
            }
        }
    }
}

#[test]
fn the_document_is_the_one_that_is_kept() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots/openapi.json");
    let document = serde_json::to_string_pretty(&openapi(&Options::default())).unwrap() + "\n";
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &document).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = kept.lines().zip(document.lines()).position(|(kept, now)| kept != now);
    assert!(
        kept == document,
        "the document differs from {} from line {} on. Is a change of the protocol meant? \
         Then: UPDATE_SNAPSHOTS=1 cargo test -p tombolo-http --test openapi",
        file.display(),
        differs.map_or(0, |line| line + 1)
    );
}
