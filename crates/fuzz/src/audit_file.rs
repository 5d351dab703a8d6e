//! An exported audit log.

use rhyzome_model::Digest;
use rhyzome_model::audit::{
    AuditChain, AuditEntry, FileVerifier, LineError, Mark, Verification, beginning, seal,
};

/// What is called good is a chain, also by a computation of our own; what was noted of it is still true of it, and nothing else is.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(found) = verdict(&text, None) else {
        return;
    };
    assert_eq!(found.good, found.flawed == 0);
    assert!(found.flaws.len() <= 100 && found.flaws.len() as u64 <= found.flawed);
    assert!(found.flaws.iter().all(|flaw| !flaw.to_string().is_empty()));
    assert!(found.begins() > 0);
    // Written in another way, it is the same.
    assert_eq!(verdict(&written(&text), None).expect("taken before"), found);
    if found.good {
        assert_chain(&text, &found);
        let again = verdict(&text, Some(found.seen)).expect("taken before");
        assert!(again.good, "{again:?}");
        let hash = beginning("what nobody noted");
        let other = verdict(&text, Some(Mark { hash, ..found.seen }));
        assert!(!other.expect("taken before").good);
    }
}

/// As `rhyzome audit verify` does it, line by line.
pub fn verdict(text: &str, known: Option<Mark>) -> Result<Verification, LineError> {
    let mut verifier = FileVerifier::new(known);
    for line in lines(text) {
        verifier.line(line)?;
    }
    verifier.end()
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.split_inclusive('\n');
    lines.map(|line| line.trim_end_matches(['\r', '\n']))
}

fn read(text: &str) -> (AuditChain, Vec<AuditEntry>) {
    let mut lines = lines(text);
    let chain = lines.next().expect("a first line");
    let chain = serde_json::from_str(chain).expect("a chain");
    let entries = lines.map(|line| serde_json::from_str(line).expect("an entry"));
    (chain, entries.collect())
}

fn written(text: &str) -> String {
    let (chain, entries) = read(text);
    let mut written = serde_json::to_string(&chain).expect("JSON");
    for entry in &entries {
        written = written + "\n" + &serde_json::to_string(entry).expect("JSON");
    }
    written
}

/// From its checkpoint on, each entry is sealed with the next number, over the hash of the one before.
fn assert_chain(text: &str, found: &Verification) {
    let (chain, entries) = read(text);
    let (mut number, mut previous): (u64, Digest) =
        (chain.checkpoint.number, chain.checkpoint.hash);
    assert!(number > 0 || previous == beginning(&chain.chain));
    let sealed: Vec<_> = entries
        .iter()
        .filter(|entry| entry.seal.is_some())
        .collect();
    for entry in &sealed {
        number += 1;
        previous = seal(&previous, number, entry);
        let hash = previous;
        assert_eq!(entry.seal, Some(Mark { number, hash }));
        assert!(number != chain.head.number || hash == chain.head.hash);
    }
    assert!(number >= chain.head.number);
    assert_eq!(
        found.seen,
        Mark {
            number,
            hash: previous
        }
    );
    assert_eq!(found.entries, sealed.len() as u64);
}
