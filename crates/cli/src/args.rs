//! What can be said on every command line, and how values are read.

use std::time::Duration;

use clap::{Args as ClapArgs, Parser};
use clap_complete::ArgValueCandidates;
use rhyzome_model::Name;
use rhyzome_model::role::Role;

use crate::command::Command;
use crate::complete;

const AFTER: &str = "\
Exit codes:
  0    done
  1    it failed, or what was asked for failed
  2    the command line is wrong
  3    what was asked for is not there
  4    the core refuses: taken, in use, invalid, no room, not allowed
  5    the core cannot be reached, or no core is configured
  6    the time is over; the core goes on
  130  interrupted; the core goes on

Environment:
  RHYZOME_CONTEXT  RHYZOME_PROJECT        as --context and --project
  RHYZOME_URL                             a core without a context, with
  RHYZOME_TOKEN or RHYZOME_TOKEN_FILE     its token and
  RHYZOME_AUTHORITY_FILE                  its authority's certificate (PEM)
  RHYZOME_CONFIG                          the file with the contexts
  RHYZOME_STATE                           as --state of `up` and `down`
  NO_COLOR                                no colours, ever

Example:
  rhyzome network create lab
  rhyzome image import ./hello
  rhyzome instance create web --image hello --network lab
  rhyzome peer create laptop --network lab
  rhyzome forward web 8080:80";

/// A small cloud for a collective: instances, networks, and WireGuard tunnels to them.
#[derive(Debug, Parser)]
#[command(name = "rhyzome", version, after_long_help = AFTER, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Clone, Debug, Default, ClapArgs)]
pub struct Global {
    /// The context to use instead of the current one.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Global options"
    )]
    #[arg(add = ArgValueCandidates::new(complete::contexts))]
    pub context: Option<String>,
    /// The project to work in; by default the context's, or else `default`.
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help_heading = "Global options"
    )]
    #[arg(add = ArgValueCandidates::new(complete::projects))]
    pub project: Option<Name>,
    /// Print JSON: a document for a thing, an array for a list, a line for each event.
    #[arg(
        long,
        global = true,
        conflicts_with = "quiet",
        help_heading = "Global options"
    )]
    pub json: bool,
    /// Print names only, and no progress.
    #[arg(long, short, global = true, help_heading = "Global options")]
    pub quiet: bool,
}

/// Whether and how long to wait for what the core does.
#[derive(Clone, Copy, Debug, ClapArgs)]
pub struct WaitArgs {
    /// Return as soon as the core has taken the request.
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait at most, like 30s, 5m or 1h.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = duration)]
    pub timeout: Duration,
}

/// A time like `30s`, `5m`, `1h` or `7d`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time like 30s, 5m, 1h or 7d");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let seconds = match &text[digits.len()..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

/// The same, in whole seconds; a bare number is taken for seconds.
pub fn seconds(text: &str) -> Result<u32, String> {
    let seconds = match text.parse() {
        Ok(seconds) => seconds,
        Err(_) => duration(text)?.as_secs(),
    };
    u32::try_from(seconds).map_err(|_| format!("{text:?} is too long"))
}

/// A role in a project.
pub fn project_role() -> impl clap::builder::TypedValueParser<Value = Role> {
    use clap::builder::TypedValueParser as _;
    let roles = Role::ALL.into_iter().filter(|role| !role.is_of_site());
    clap::builder::PossibleValuesParser::new(roles.map(Role::as_str))
        .try_map(|text| text.parse::<Role>())
}

/// A label, `KEY=VALUE`.
pub fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not KEY=VALUE")),
    }
}

/// `on` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    On,
    Off,
}

impl Switch {
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let mut subcommands = command.get_subcommands().peekable();
            if subcommands.peek().is_none() {
                let after = command
                    .get_after_help()
                    .map(ToString::to_string)
                    .unwrap_or_default();
                assert!(
                    after.contains(path.trim()),
                    "{path} has no example: {after:?}"
                );
                assert!(
                    command.get_about().is_some(),
                    "{path} says nothing about itself"
                );
            }
            for subcommand in subcommands {
                check(subcommand, &path);
            }
        }
        check(&Args::command(), "");
    }

    /// The words of a line as a shell takes them, up to where the shell's own begins.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut quoted = false;
        for c in line.chars() {
            match c {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(String::new()),
                c => words.last_mut().unwrap().push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        let end = words
            .iter()
            .position(|w| [">", ">>", "|", "&&"].contains(&w.as_str()));
        words.truncate(end.unwrap_or(words.len()));
        words
    }

    #[test]
    fn every_example_is_a_command_line() {
        fn check(command: &clap::Command, tried: &mut usize) {
            let after = command.get_after_long_help().or(command.get_after_help());
            let after = after.map(ToString::to_string).unwrap_or_default();
            let whole = after.replace("\\\n", "");
            let (_, examples) = whole.split_once("Example:").unwrap_or_default();
            let lines = examples.lines().filter_map(|line| line.strip_prefix("  "));
            for line in lines {
                let line = line.trim_start_matches("sudo ");
                let line = line.split("| ").last().unwrap_or_default();
                if let Err(e) = Args::try_parse_from(words(line)) {
                    panic!("{line}: {e}");
                }
                *tried += 1;
            }
            command.get_subcommands().for_each(|sub| check(sub, tried));
        }
        let mut tried = 0;
        check(&Args::command(), &mut tried);
        assert!(tried > 50, "only {tried} examples were found");
    }

    /// Each `rhyzome …` in the documents, as far as its words name commands.
    #[test]
    fn the_documents_speak_of_commands_that_are_there() {
        let documents = [
            include_str!("../../../README.md"),
            include_str!("../../../ARCHITECTURE.md"),
            include_str!("../../../docs/configuration.md"),
            include_str!("../../../docs/openwrt.md"),
        ];
        let code = documents
            .iter()
            .flat_map(|text| text.split('`').skip(1).step_by(2));
        let lines = code.flat_map(str::lines);
        let spoken: Vec<&str> = lines
            .filter_map(|line| line.strip_prefix("rhyzome "))
            .collect();
        assert!(spoken.len() > 5, "{spoken:?}");
        for line in spoken {
            let mut at = Args::command();
            for word in line.split_whitespace() {
                if !at.has_subcommands() || word.starts_with('-') {
                    break;
                }
                let Some(next) = at.find_subcommand(word) else {
                    panic!("there is no command `rhyzome {line}`");
                };
                at = next.clone();
            }
        }
    }

    #[test]
    fn a_time_has_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        assert_eq!((seconds("2m"), seconds("45")), (Ok(120), Ok(45)));
        assert!(seconds("9999999h").is_err());
        for wrong in [
            "",
            "5",
            "m",
            "-1s",
            "5 m",
            "1.5h",
            "99999999999999999999s",
            "é",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    fn parse(line: &str) -> Result<Args, String> {
        Args::try_parse_from(line.split(' ')).map_err(|e| e.to_string())
    }

    #[test]
    fn global_options_stand_anywhere() {
        for line in [
            "rhyzome --project x --json network list",
            "rhyzome network list --project x --json",
        ] {
            let args = parse(line).unwrap();
            assert!(args.global.json);
            assert_eq!(args.global.project, Some("x".parse().unwrap()));
        }
        assert!(parse("rhyzome network list --json --quiet").is_err());
    }

    #[test]
    fn an_update_without_a_change_is_refused() {
        for command in ["component", "peer", "instance", "network"] {
            let error = parse(&format!("rhyzome {command} update x")).unwrap_err();
            assert!(error.contains("required arguments"), "{error}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused_with_the_reason() {
        let error = parse("rhyzome network create Lab").unwrap_err();
        assert!(
            error.contains("contains 'L'; a-z, 0-9 and - are allowed"),
            "{error}"
        );
    }
}
