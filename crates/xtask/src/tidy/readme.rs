//! The README's commands are there and can be run, and what continuous integration runs is among them.

use super::Finding;

pub const PAGE: &str = "README.md";
/// What continuous integration runs.
pub const CI: &str = ".ci/run";

/// What is wrong with the commands of the README; `runs` says whether a file is there and executable.
pub fn check(readme: &str, ci: &str, runs: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, command) in commands(readme) {
        if !runs(command) {
            let text = format!("./{command} is not there, or cannot be executed");
            findings.push(Finding::fail(PAGE, line, text));
        }
    }
    let of_ci = ci.lines().find_map(|line| {
        let line = line.trim();
        line.strip_prefix("exec ")
            .unwrap_or(line)
            .strip_prefix("./")
    });
    let named = of_ci.is_some_and(|of_ci| commands(readme).any(|(_, command)| command == of_ci));
    if !named {
        findings.push(Finding::fail(CI, None, "runs no command of the README"));
    }
    findings
}

/// The line, and the path, of each `./…` that begins a line of a block or a piece of code.
fn commands(readme: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = readme.lines().enumerate();
    lines.flat_map(|(number, line)| {
        let whole = std::iter::once(line);
        let pieces = line.split('`').skip(1).step_by(2);
        let paths = whole
            .chain(pieces)
            .filter_map(|text| text.strip_prefix("./"));
        paths.filter_map(move |text| Some((number + 1, text.split_whitespace().next()?)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::said;
    use super::*;

    const README: &str = "Try it:\n\n```\n./begin\n```\n\nor `./begin --once`, and `./test`.\n";
    const RUN: &str = "#!/usr/bin/env bash\nset -e\nexec ./test\n";

    #[test]
    fn commands_that_are_there_are_right() {
        let findings = check(README, RUN, |path| ["begin", "test"].contains(&path));
        assert_eq!(said(&findings), [""; 0]);
    }

    #[test]
    fn commands_that_are_not_there_are_named() {
        let findings = check(README, RUN, |path| path == "test");
        let not_there = "./begin is not there, or cannot be executed";
        let expect = [4, 7].map(|line| format!("README.md:{line}: {not_there}"));
        assert_eq!(said(&findings), expect);
    }

    #[test]
    fn continuous_integration_runs_what_the_readme_says() {
        let findings = check(README, "exec ./other\n", |_| true);
        assert_eq!(said(&findings), [".ci/run: runs no command of the README"]);
    }
}
