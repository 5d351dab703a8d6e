//! `cargo xtask postgres`: the tests of the core once more, on the PostgreSQL that `RHYZOME_TEST_POSTGRES` names.
//!
//! The programs are those of `cargo test --workspace`: choosing the packages themselves would build nearly all there is
//! anew, with a feature less here and there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::cargo::cargo;

const VARIABLE: &str = "RHYZOME_TEST_POSTGRES";
/// The folders of the packages that know a database.
const PACKAGES: [&str; 3] = ["crates/store", "crates/app", "crates/api"];

/// What cargo says of something that it built, as far as it is of interest here (`cargo build --message-format json`).
#[derive(Deserialize)]
struct Built {
    manifest_path: PathBuf,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Runs all of them, also behind one that fails. What was said on chooses among the tests.
pub fn run(root: &Path, arguments: &[&str]) -> anyhow::Result<bool> {
    ensure!(
        std::env::var_os(VARIABLE).is_some(),
        "no PostgreSQL: scripts/with-postgres cargo xtask postgres"
    );
    let mut build = cargo(root);
    build.args(["test", "--quiet", "--locked", "--workspace", "--no-run"]);
    build.args(["--message-format", "json-render-diagnostics"]);
    let built = build.stderr(Stdio::inherit()).output();
    let built = built.context("cargo test --no-run")?;
    ensure!(built.status.success(), "the tests cannot be built");
    let mut good = true;
    for package in PACKAGES {
        let folder = root.join(package);
        let programs = programs(&built.stdout, &folder.join("Cargo.toml"));
        ensure!(!programs.is_empty(), "{package} has no tests");
        for program in programs {
            println!("     Running {}", program.display());
            let mut tests = Command::new(&program);
            let status = tests.args(arguments).current_dir(&folder).status();
            let status = status.with_context(|| program.display().to_string())?;
            good &= status.success();
        }
    }
    Ok(good)
}

/// The test programs of a package, among what cargo says that it built.
fn programs(said: &[u8], manifest: &Path) -> Vec<PathBuf> {
    let lines = said.split(|byte| *byte == b'\n');
    let built = lines.filter_map(|line| serde_json::from_slice::<Built>(line).ok());
    let own = built.filter(|built| built.profile.test && built.manifest_path == manifest);
    own.filter_map(|built| built.executable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_programs_of_a_package_are_found_among_all_that_was_built() {
        let line = |manifest: &str, test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"{manifest}","profile":{{"test":{test}}},"executable":{executable}}}"#
            )
        };
        let said = [
            line("/a/Cargo.toml", true, r#""/deps/a-1""#),
            line("/a/Cargo.toml", false, r#""/deps/a""#),
            line("/a/Cargo.toml", false, "null"),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
            line("/b/Cargo.toml", true, r#""/deps/b-1""#),
            line("/a/Cargo.toml", true, r#""/deps/a-2""#),
        ];
        let found = programs(said.join("\n").as_bytes(), Path::new("/a/Cargo.toml"));
        assert_eq!(found, [Path::new("/deps/a-1"), Path::new("/deps/a-2")]);
    }
}
