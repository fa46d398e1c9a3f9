//! Every transcript is played, each against a server of its own.

use std::path::Path;

use tombolo_testkit::transcript::play;

#[test]
fn every_transcript_is_what_the_server_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/tickit");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no transcripts in {}", folder.display());
    let differences: Vec<String> = files.iter().filter_map(|file| play(file, &mut crate::serve()).err()).collect();
    assert!(
        differences.is_empty(),
        "{} of {} transcripts differ:\n\n{}",
        differences.len(),
        files.len(),
        differences.join("\n")
    );
}
