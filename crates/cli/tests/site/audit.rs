//! The audit log from the command line: exported, verified here, and after its core was killed.

use std::fs;

use crate::images::core::Core;

fn corpus(name: &str) -> String {
    format!(
        "{}/../fuzz/corpus/audit_file/{name}.jsonl",
        env!("CARGO_MANIFEST_DIR")
    )
}

#[test]
fn what_was_done_is_shown_exported_and_verified_also_after_the_core_was_killed() {
    let mut core = Core::start();
    for number in 0..10 {
        core.run(&["project", "create", &format!("p{number}")])
            .good();
    }
    core.run(&["token", "create", "ci", "--role", "viewer"])
        .good();
    // Whether it came to seal them or not.
    core.kill();
    core.again();
    let shown = core.run(&["audit"]).good();
    assert!(
        shown
            .stdout
            .contains("token_create  api_token ci  by admin from 127.0.0.1"),
        "{shown:?}"
    );
    let whole = core.run(&["audit", "verify", "--site"]).good();
    assert!(
        whole.stdout.contains("the audit log of the site is whole"),
        "{whole:?}"
    );
    crate::wait_for("all is sealed", || {
        let json = core.run(&["audit", "verify", "--json"]).good().stdout;
        json.contains("\"unsealed\": []") || json.contains("\"unsealed\":[]")
    });
    let mark = core.run(&["audit", "verify", "--quiet"]).good().stdout;
    let mark = mark.trim();
    let exported = core.run(&["audit", "export"]).good().stdout;
    let file = core.path("default.jsonl");
    fs::write(&file, &exported).unwrap();
    let path = file.to_str().unwrap();
    core.run(&["audit", "verify", path, "--known", mark]).good();
    // Somebody else's name in it, and a line less.
    fs::write(
        &file,
        exported.replace("\"name\":\"ci\"", "\"name\":\"me\""),
    )
    .unwrap();
    let found = core
        .run(&["audit", "verify", path])
        .refused(1, "is not what was sealed");
    assert!(found.stdout.contains("was altered"), "{found:?}");
    let lines: Vec<&str> = exported.lines().collect();
    fs::write(&file, lines[..lines.len() - 1].join("\n")).unwrap();
    let found = core
        .run(&["audit", "verify", path])
        .refused(1, "is not what was sealed");
    assert!(found.stdout.contains("is missing"), "{found:?}");
    fs::write(&file, "nonsense").unwrap();
    core.run(&["audit", "verify", path])
        .refused(1, "no exported audit log");
}

#[test]
fn a_file_is_verified_without_a_core() {
    let core = Core::start();
    let good = core.run(&["audit", "verify", &corpus("good-whole")]).good();
    assert!(good.stdout.contains("is not sealed yet"), "{good:?}");
    assert!(
        good.stdout
            .contains("the project garden is whole: 4 entries"),
        "{good:?}"
    );
    for (name, says) in [
        ("flawed-removed", "entry 2 was removed"),
        ("flawed-swapped", "entry 1 is not at its place"),
        ("flawed-cut-off", "the last entry, 4, is missing"),
    ] {
        let found = core.run(&["audit", "verify", &corpus(name)]);
        let found = found.refused(1, "is not what was sealed");
        assert!(found.stdout.contains(says), "{found:?}");
    }
    let none = core.run(&["audit", "verify", &corpus("refused-bytes")]);
    none.refused(1, "no exported audit log");
}
