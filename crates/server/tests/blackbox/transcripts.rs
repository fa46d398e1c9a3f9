//! Every transcript is played, each against a server of its own.

use std::path::Path;

use tombolo_testkit::transcript::play;

#[test]
fn every_transcript_is_what_the_server_says() {
    let mut files = Vec::new();
    for protocol in ["tickit", "td", "simple_sync", "rooms", "wellbeing"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(protocol);
        let found = files.len();
        files.extend(std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()));
        assert!(files.len() > found, "no transcripts in {}", folder.display());
    }
    files.sort();
    let differences: Vec<String> = files.iter().filter_map(|file| play(file, &mut crate::serve()).err()).collect();
    assert!(
        differences.is_empty(),
        "{} of {} transcripts differ:\n\n{}",
        differences.len(),
        files.len(),
        differences.join("\n")
    );
}
