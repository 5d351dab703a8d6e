//! The commands of a guide, as they stand there.
//!
//! In a fenced block that is marked `console`, a line that begins with a machine's name and `#` or `$` is
//! a command on that machine, as in `core# rhyzome component list`. It goes on in the next line behind a
//! backslash, and up to the line `END` where it has `<<'END'` in it. The lines below are what it prints:
//! each has to be among what it really prints, in this order; `…` stands for anything, also for whole
//! lines where it stands alone.
//!
//! Left out on purpose: running them.

use std::fmt;

/// A command, where it stands, and what it is said to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// From 1.
    pub line: usize,
    pub machine: String,
    pub command: String,
    pub prints: Vec<String>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, machine, .. } = self;
        write!(f, "line {line}: {machine}# {}", self.command)
    }
}

/// All commands of a guide, in their order.
///
/// # Panics
/// Where a block begins with something that is no command.
pub fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((_, line)) = lines.next() {
        if line.trim_end() != "```console" {
            continue;
        }
        let mut is_first = true;
        while let Some((index, line)) = lines.next() {
            if line.starts_with("```") {
                break;
            }
            if let Some((machine, command)) = prompt(line) {
                let mut command = command.to_owned();
                while let Some(more) = rest(&command).then(|| lines.next()).flatten() {
                    command.push('\n');
                    command.push_str(more.1);
                }
                steps.push(Step {
                    line: index + 1,
                    machine: machine.to_owned(),
                    command,
                    prints: Vec::new(),
                });
            } else {
                assert!(!is_first, "line {}: no command: {line}", index + 1);
                let step = steps.last_mut().expect("the block began with a command");
                step.prints.push(line.to_owned());
            }
            is_first = false;
        }
    }
    steps
}

/// The machine and the command of a line that is one.
fn prompt(line: &str) -> Option<(&str, &str)> {
    let end = line.find(|c: char| !c.is_ascii_alphanumeric())?;
    let (machine, behind) = line.split_at(end);
    let command = behind
        .strip_prefix("# ")
        .or_else(|| behind.strip_prefix("$ "))?;
    (!machine.is_empty()).then_some((machine, command))
}

/// Whether a command goes on in the next line.
fn rest(command: &str) -> bool {
    let last = command.lines().last().unwrap_or_default();
    if command.contains("<<'END'") {
        return last != "END";
    }
    last.ends_with('\\')
}

/// The first of the lines that are said to be printed and are not there, in their order.
pub fn missing<'a>(expected: &'a [String], printed: &str) -> Option<&'a str> {
    let mut there = printed.lines();
    let mut wanted = expected.iter().map(|line| line.trim());
    wanted.find(|line| *line != "…" && !there.any(|printed| matches(line, printed.trim())))
}

/// Whether a line is as it should be; runs of spaces are one, and `…` is anything.
fn matches(pattern: &str, line: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (pattern, line) = (words(pattern), words(line));
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut left) = line.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, between)) = parts.split_last() else {
        return left.is_empty();
    };
    for part in between {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUIDE: &str = "\
Words.

```console
core# rhyzome component \\
  list
NAME   STATE
h1     connected …
…
host1$ cat >file <<'END'
a = 1
END
```

```toml
core# = \"no command\"
```
";

    #[test]
    fn commands_are_read_with_their_machine_and_what_they_print() {
        let steps = steps(GUIDE);
        let read: Vec<_> = steps
            .iter()
            .map(|step| (step.line, step.machine.as_str(), step.command.as_str()))
            .collect();
        assert_eq!(
            read,
            [
                (4, "core", "rhyzome component \\\n  list"),
                (9, "host1", "cat >file <<'END'\na = 1\nEND"),
            ]
        );
        assert_eq!(steps[0].prints, ["NAME   STATE", "h1     connected …", "…"]);
        assert!(steps[1].prints.is_empty());
    }

    #[test]
    fn what_is_printed_has_to_be_there_in_its_order() {
        let check = |expected: &[&str], printed: &str, expect: Option<&str>| {
            let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(missing(&expected, printed), expect);
        };
        check(&["a", "b"], "a\nx\n  b", None);
        check(&["b", "a"], "a\nb", Some("a"));
        check(&["a … c"], "a   b c", None);
        check(&["a … c"], "a b c d", Some("a … c"));
        check(&["…", "a"], "b\na", None);
        check(&["a"], "ab", Some("a"));
    }
}
