//! What says how a program is used, out of its arguments: a man page and completions for shells.

use std::io;

use clap::Command;
pub use clap_complete::aot::Shell;
use clap_complete::aot::generate;

/// The man page of a program for administrators (section 8), with all its commands.
///
/// # Errors
/// None but those of writing into memory.
pub fn page(mut command: Command) -> io::Result<String> {
    command.build();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone()).section("8");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut page = String::from_utf8(page).map_err(io::Error::other)?;
    page.push_str(".SH COMMANDS\n");
    add_commands(&mut page, &mut command);
    Ok(page)
}

/// The help of each command, and of those below it.
fn add_commands(page: &mut String, command: &mut Command) {
    let shown = |command: &&mut Command| !command.is_hide_set() && command.get_name() != "help";
    for command in command.get_subcommands_mut().filter(shown) {
        if command.has_subcommands() {
            add_commands(page, command);
            continue;
        }
        let name = command.get_bin_name().unwrap_or(command.get_name());
        page.push_str(&format!(".SS {}\n.nf\n", escaped(name)));
        for line in command.render_long_help().to_string().lines() {
            page.push_str(&escaped(line));
            page.push('\n');
        }
        page.push_str(".fi\n");
    }
}

/// As roff(7) wants text: no escapes, no requests, and hyphens that can be copied.
fn escaped(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-");
    match text.chars().next() {
        Some('.' | '\'') => format!("\\&{text}"),
        _ => text,
    }
}

/// What makes a shell complete a program's commands and options.
pub fn completion(mut command: Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    generate(shell, &mut command, name, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use clap::Arg;

    use super::*;

    fn command() -> Command {
        let deep = Command::new("move")
            .about("Move it\n.not a request")
            .arg(Arg::new("to").long("to").help("Where to: a\\b"));
        Command::new("rhyzome-x")
            .about("An example")
            .subcommand(Command::new("db").about("The database").subcommand(deep))
            .subcommand(Command::new("secret").hide(true).about("Not shown"))
    }

    #[test]
    fn a_page_has_all_commands_that_are_shown_and_no_request_of_theirs() {
        let page = page(command()).unwrap();
        assert!(page.contains(".SS rhyzome\\-x db move\n"), "{page}");
        assert!(page.contains("\\-\\-to"), "{page}");
        assert!(page.contains("a\\eb"), "{page}");
        assert!(page.contains("\n\\&.not a request"), "{page}");
        assert!(!page.contains("secret"), "{page}");
    }

    #[test]
    fn each_shell_gets_its_completion() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            assert!(completion(command(), shell).contains("move"), "{shell}");
        }
    }
}
