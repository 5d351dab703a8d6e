use proptest::prelude::*;

use super::*;

fn entry(number: u64) -> AuditEntry {
    AuditEntry {
        id: Uuid::from_u128(u128::from(number) + 1),
        time: Timestamp::from_millis(1_700_000_000_000 + i64::try_from(number).unwrap()),
        actor: Actor {
            kind: ActorKind::Token,
            id: Some(Uuid::from_u128(7)),
            name: "garden/ada".to_owned(),
            person: None,
        },
        from: Some("192.0.2.7".to_owned()),
        request_id: Some("01a2031f".to_owned()),
        operation: "network_create".to_owned(),
        project: Some("garden".parse().unwrap()),
        resource: Some(AuditResource {
            kind: "network".to_owned(),
            id: Some(Uuid::from_u128(9)),
            name: format!("net{number}"),
        }),
        result: AuditResult::Done,
        reason: None,
        count: 1,
        since: None,
        jobs: vec![JobId(Uuid::from_u128(11))],
        cause: None,
        seal: None,
    }
}

/// A chain with so many entries that are sealed, and some more that are not.
fn chain(sealed: u64, unsealed: u64) -> (AuditChain, Vec<AuditEntry>) {
    let checkpoint = Mark {
        number: 0,
        hash: beginning("garden"),
    };
    let mut head = checkpoint;
    let mut entries = Vec::new();
    for number in 1..=sealed {
        let mut entry = entry(number);
        head = Mark {
            number,
            hash: seal(&head.hash, number, &entry),
        };
        entry.seal = Some(head);
        entries.push(entry);
    }
    entries.extend((1..=unsealed).map(|number| entry(sealed + number)));
    let chain = AuditChain {
        chain: "garden".to_owned(),
        project: Some("garden".parse().unwrap()),
        ended: false,
        checkpoint,
        head,
        unsealed,
    };
    (chain, entries)
}

fn verify(chain: &AuditChain, entries: &[AuditEntry], known: Option<Mark>) -> Verification {
    let mut verifier = Verifier::new(chain.clone(), known, true);
    entries.iter().for_each(|entry| verifier.see(entry));
    verifier.end()
}

fn flaws(chain: &AuditChain, entries: &[AuditEntry]) -> Vec<Flaw> {
    let found = verify(chain, entries, None);
    assert_eq!(found.good, found.flaws.is_empty());
    found.flaws
}

#[test]
fn a_chain_as_it_was_sealed_is_good_and_names_its_unsealed_tail() {
    let (chain, entries) = chain(9, 2);
    let found = verify(&chain, &entries, Some(entries[4].seal.unwrap()));
    assert!(found.good, "{found:?}");
    assert_eq!((found.entries, found.seen), (9, chain.head));
    assert_eq!(found.unsealed, [entries[9].id, entries[10].id]);
}

/// The form is a promise to whoever has exported a chain: it does not change unnoticed.
#[test]
fn the_form_that_is_hashed_stays_as_it_is() {
    let (chain, _) = chain(2, 0);
    assert_eq!(
        chain.checkpoint.hash.to_string(),
        "ebe0da943f9b929be936d85d9f8ed140ff0e17b87fb1b1a39745843514eff456"
    );
    assert_eq!(
        chain.head.hash.to_string(),
        "c2837ea74fdd0cbfa92d94d819992dd3ac5d2d3be4c6fb41cf3b18978b907e6a"
    );
}

#[test]
fn an_entry_that_was_removed_is_missed() {
    let (chain, mut entries) = chain(9, 0);
    entries.remove(3);
    assert_eq!(
        flaws(&chain, &entries),
        [Flaw::Removed { first: 4, last: 4 }]
    );
    entries.drain(5..7);
    let found = flaws(&chain, &entries);
    assert_eq!(found[1], Flaw::Removed { first: 7, last: 8 });
}

#[test]
fn entries_that_change_their_places_are_found() {
    let (chain, mut entries) = chain(9, 0);
    entries.swap(3, 4);
    assert_eq!(flaws(&chain, &entries), [Flaw::Reordered { number: 4 }]);
    // Also where their numbers say that they are in order.
    let (one, other) = (entries[3].seal, entries[4].seal);
    (entries[3].seal, entries[4].seal) = (other, one);
    assert!(flaws(&chain, &entries).len() > 1);
}

#[test]
fn a_chain_that_is_cut_off_is_found_by_its_head_and_by_what_was_noted() {
    let (mut chain, mut entries) = chain(9, 0);
    let noted = chain.head;
    entries.truncate(7);
    assert_eq!(
        flaws(&chain, &entries),
        [Flaw::CutOff { first: 8, last: 9 }]
    );
    // Whoever cut it off wrote another head.
    chain.head = entries[6].seal.unwrap();
    assert!(verify(&chain, &entries, None).good);
    let found = verify(&chain, &entries, Some(noted));
    assert_eq!(found.flaws, [Flaw::CutOff { first: 8, last: 9 }]);
    // Or made a whole new one.
    let (forged, mut others) = self::chain(9, 0);
    let mut hash = beginning("garden");
    for (number, entry) in (1..).zip(&mut others) {
        entry.actor.name = "mallory".to_owned();
        hash = seal(&hash, number, entry);
        entry.seal = Some(Mark { number, hash });
    }
    let forged = AuditChain {
        head: others[8].seal.unwrap(),
        ..forged
    };
    assert!(verify(&forged, &others, None).good);
    let found = verify(&forged, &others, Some(noted));
    assert_eq!(found.flaws, [Flaw::OtherThanNoted { number: 9 }]);
}

#[test]
fn what_was_dropped_for_its_age_is_explained_by_an_entry_and_only_then_not_missed() {
    let (mut chain, mut entries) = chain(9, 0);
    let checkpoint = entries[3].seal.unwrap();
    entries.drain(..4);
    chain.checkpoint = checkpoint;
    let unexplained = Flaw::UnexplainedBeginning { number: 4 };
    assert_eq!(flaws(&chain, &entries), [unexplained]);
    let mut dropped = entry(10);
    dropped.operation = DROPPED.to_owned();
    dropped.reason = Some(checkpoint.to_string());
    entries.push(dropped);
    assert_eq!(flaws(&chain, &entries), []);
    let known = Mark {
        number: 2,
        ..checkpoint
    };
    assert!(verify(&chain, &entries, Some(known)).known_is_dropped);
}

#[test]
fn an_entry_of_one_chain_is_not_at_home_in_another() {
    let (mut chain, entries) = chain(3, 0);
    chain.chain = "shed".to_owned();
    assert_eq!(flaws(&chain, &entries), [Flaw::WrongBeginning]);
}

fn file(chain: &AuditChain, entries: &[AuditEntry]) -> Vec<String> {
    let mut lines = vec![serde_json::to_string(chain).unwrap()];
    lines.extend(entries.iter().map(|e| serde_json::to_string(e).unwrap()));
    lines
}

fn verify_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Verification, LineError> {
    let mut verifier = FileVerifier::new(None);
    for line in lines {
        verifier.line(line)?;
    }
    verifier.end()
}

proptest! {
    /// Whatever is changed in an exported entry, somebody who has the end of the chain finds it.
    #[test]
    fn no_change_of_a_byte_goes_unnoticed(at in 0_usize..3000, byte in 0x20_u8..0x7f) {
        let (chain, entries) = chain(4, 0);
        let lines = file(&chain, &entries);
        let mut bytes = lines[1..].join("\n").into_bytes();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != b'\n' && bytes[at] != byte);
        bytes[at] = byte;
        let text = String::from_utf8(bytes).unwrap();
        let changed = text.lines().map(serde_json::from_str::<AuditEntry>);
        let same = changed.zip(&entries).all(|(now, before)| {
            now.is_ok_and(|now| now == *before)
        });
        // A name of a field may be another one that nobody looks at: then nothing is changed.
        let found = verify_lines([lines[0].as_str()].into_iter().chain(text.lines()));
        match found {
            Ok(found) => prop_assert_eq!(found.good, same, "{:?}", found),
            Err(_) => prop_assert!(!same),
        }
    }

    #[test]
    fn no_file_makes_it_panic(text in "\\PC{0,200}", lines in proptest::collection::vec("\\PC{0,80}", 0..8)) {
        let _ = verify_lines([text.as_str()]);
        let (chain, entries) = chain(2, 1);
        let whole = file(&chain, &entries);
        let all = whole.iter().take(2).chain(&lines).map(String::as_str);
        let _ = verify_lines(all);
    }

    #[test]
    fn no_numbers_make_it_panic(numbers in proptest::collection::vec(any::<u64>(), 0..20), head: u64, checkpoint: u64, known: u64) {
        let hash = beginning("x");
        let mark = |number| Mark { number, hash };
        let (mut chain, _) = chain(0, 0);
        (chain.head, chain.checkpoint) = (mark(head), mark(checkpoint));
        let mut verifier = Verifier::new(chain, Some(mark(known)), true);
        for number in numbers {
            verifier.see(&AuditEntry { seal: Some(mark(number)), ..entry(1) });
        }
        prop_assert!(!verifier.end().good);
    }
}

/// What was exported once can be verified for ever.
#[test]
fn a_file_is_written_as_the_corpus_has_it() {
    let (chain, entries) = chain(4, 1);
    let text = file(&chain, &entries).join("\n") + "\n";
    let good = include_str!("../../../fuzz/corpus/audit_file/good-whole.jsonl");
    assert_eq!(good, text);
}
