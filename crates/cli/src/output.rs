//! What is printed: tables and details for people, JSON for programs, names for scripts.
//!
//! Only what was asked for goes to the standard output. Progress, notes and errors go to standard error.

pub mod details;
pub mod table;
pub mod time;

use std::env;
use std::io::{self, IsTerminal, Write};

use rhyzome_model::Timestamp;
use serde::Serialize;

use crate::args::Global;
use crate::failure::Failure;

pub use details::Details;
pub use table::{Cell, Table};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    People,
    Json,
    Quiet,
}

/// How to print.
#[derive(Clone, Debug)]
pub struct Output {
    pub mode: Mode,
    colour: bool,
    stderr_colour: bool,
    terminal: bool,
}

/// A row of a list.
pub trait Row: Serialize {
    const HEADER: &'static [&'static str];
    /// What `--quiet` prints.
    fn name(&self) -> String;
    fn cells(&self, now: Timestamp) -> Vec<Cell>;
}

/// A thing that is shown by itself.
pub trait Thing: Serialize {
    /// What `--quiet` prints.
    fn name(&self) -> String;
    fn details(&self, now: Timestamp) -> Details;
}

impl Output {
    pub fn new(global: &Global) -> Self {
        let mode = match (global.json, global.quiet) {
            (true, _) => Mode::Json,
            (_, true) => Mode::Quiet,
            _ => Mode::People,
        };
        let coloured = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && env::var_os("TERM").is_none_or(|term| term != "dumb");
        let (stdout, stderr) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self {
            mode,
            colour: coloured && stdout,
            stderr_colour: coloured && stderr,
            terminal: stdout,
        }
    }

    pub fn stderr_colour(&self) -> bool {
        self.stderr_colour
    }

    /// Whether the standard output is a terminal, which obeys escape sequences.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Prints a list; `empty` is told to people where there is nothing.
    pub fn list<R: Row>(&self, rows: &[R], empty: &str) -> Result<(), Failure> {
        match self.mode {
            Mode::Json => self.json(&rows),
            Mode::Quiet => {
                self.print(&rows.iter().map(|row| row.name() + "\n").collect::<String>())
            }
            Mode::People if rows.is_empty() => {
                self.note(empty);
                Ok(())
            }
            Mode::People => {
                let now = time::now();
                let rows = rows.iter().map(|row| row.cells(now)).collect();
                self.print(
                    &Table {
                        header: R::HEADER,
                        rows,
                    }
                    .render(self.colour),
                )
            }
        }
    }

    /// Prints a thing with its details.
    pub fn thing<T: Thing>(&self, thing: &T) -> Result<(), Failure> {
        match self.mode {
            Mode::Json => self.json(thing),
            Mode::Quiet => self.line(&thing.name()),
            Mode::People => self.print(&thing.details(time::now()).render(self.colour)),
        }
    }

    /// Prints what became of a thing: a sentence for people, the thing for programs.
    pub fn done<T: Thing>(&self, thing: &T, sentence: &str) -> Result<(), Failure> {
        match self.mode {
            Mode::Json => self.json(thing),
            Mode::Quiet => self.line(&thing.name()),
            Mode::People => self.line(sentence),
        }
    }

    /// Prints that a thing is gone; programs get its last state, or null.
    pub fn gone<T: Serialize>(&self, last: &T, name: &str, sentence: &str) -> Result<(), Failure> {
        match self.mode {
            Mode::Json => self.json(last),
            Mode::Quiet => self.line(name),
            Mode::People => self.line(sentence),
        }
    }

    /// Prints what came of something that is no thing with a name.
    pub fn outcome<T: Serialize>(&self, outcome: &T, sentence: &str) -> Result<(), Failure> {
        match self.mode {
            Mode::Json => self.json(outcome),
            Mode::Quiet => Ok(()),
            Mode::People => self.line(sentence),
        }
    }

    /// Prints one JSON document.
    pub fn json<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(value)
            .expect("the API's types have no maps with odd keys");
        self.line(&text)
    }

    /// Prints one JSON document on one line.
    pub fn json_line<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), Failure> {
        let text =
            serde_json::to_string(value).expect("the API's types have no maps with odd keys");
        self.line(&text)
    }

    pub fn line(&self, text: &str) -> Result<(), Failure> {
        self.print(&format!("{text}\n"))
    }

    /// A cell's text with its colour, for output that is no table.
    pub fn paint(&self, cell: &Cell) -> String {
        cell.paint(self.colour)
    }

    /// Details with their colours, for output that begins otherwise.
    pub fn render(&self, details: &Details) -> String {
        details.render(self.colour)
    }

    pub fn print(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    pub fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        written.map_err(|source| Failure::Output { source })
    }

    /// Tells people something besides; programs and scripts are not told.
    pub fn note(&self, text: &str) {
        if self.mode == Mode::People {
            eprintln!("{text}");
        }
    }
}

#[cfg(test)]
mod tests;
