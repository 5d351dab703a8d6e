//! Takes options out of a package one by one, and notes what is wrong and what nobody asked for.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use rhyzome_uci::{Package, Places, Section};

use super::Problem;

/// Below this, a guess would mislead more than it helps.
const LIKELY: f64 = 0.6;

/// The options of one section after the other.
pub(super) struct Options<'a> {
    path: &'a Path,
    package: &'a Package,
    places: &'a Places,
    /// The sections that were asked for, with the options that were.
    asked: Vec<(&'static str, &'static str, Vec<&'static str>)>,
    current: Option<(usize, &'a Section)>,
    problems: Vec<Problem>,
}

impl<'a> Options<'a> {
    pub fn new(path: &'a Path, package: &'a Package, places: &'a Places) -> Self {
        Self {
            path,
            package,
            places,
            asked: Vec::new(),
            current: None,
            problems: Vec::new(),
        }
    }

    /// Goes to a section; false where there is none, and then no option is set.
    pub fn section(&mut self, kind: &'static str, name: &'static str) -> bool {
        let all = self.package.sections().iter().enumerate();
        self.current = all.into_iter().find(|(_, section)| {
            section.kind().as_str() == kind
                && section.name().is_some_and(|found| found.as_str() == name)
        });
        self.asked.push((kind, name, Vec::new()));
        self.current.is_some()
    }

    /// An option as its type reads it.
    pub fn parsed<T: FromStr<Err: Display>>(&mut self, option: &'static str) -> Option<T> {
        self.checked(option, |text| {
            text.parse().map_err(|error: T::Err| error.to_string())
        })
    }

    /// The same, with another way of reading it.
    pub fn checked<T>(
        &mut self,
        option: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.ask(option);
        let (_, section) = self.current?;
        let value = section.get(option)?;
        let Some(text) = value.as_one() else {
            self.complain(option, "is a list, and has one value");
            return None;
        };
        match read(text) {
            Ok(read) => Some(read),
            Err(reason) => {
                self.complain(option, &format!("is not right: {reason}"));
                None
            }
        }
    }

    /// The items of a list.
    pub fn items(&mut self, option: &'static str) -> Vec<String> {
        self.ask(option);
        let sections = self.current.into_iter();
        sections
            .flat_map(|(_, section)| section.items_of(option))
            .map(str::to_owned)
            .collect()
    }

    /// Notes that something is wrong with an option of the section, or with its not being there.
    pub fn complain(&mut self, option: &str, reason: &str) {
        let Some((at, section)) = self.current else {
            return;
        };
        let known = self.problems.len();
        let line = self.places.option(at, option).or(self.places.section(at));
        let what = format!("option {option} of {} {reason}", called(section));
        // One finding an option is enough.
        let line = line.unwrap_or(1);
        let again =
            |one: &Problem| one.line == line && one.what.starts_with(&format!("option {option} "));
        if !self.problems[..known].iter().any(again) {
            self.note(line, what);
        }
    }

    /// All options that were asked for.
    #[cfg(test)]
    pub fn known(&self) -> impl Iterator<Item = &'static str> {
        self.asked.iter().flat_map(|(.., options)| options.clone())
    }

    /// All that is wrong, by its line.
    pub fn finish(mut self) -> Vec<Problem> {
        for (at, section) in self.package.sections().iter().enumerate() {
            self.current = Some((at, section));
            let asked = self.asked.iter().find(|(kind, name, _)| {
                section.kind().as_str() == *kind
                    && section.name().is_some_and(|found| found.as_str() == *name)
            });
            match asked.map(|(.., options)| options.clone()) {
                Some(options) => self.unknown_options(section, &options),
                None => self.unknown_section(at, section),
            }
        }
        self.problems.sort_by_key(|problem| problem.line);
        self.problems
    }

    fn unknown_options(&mut self, section: &Section, known: &[&'static str]) {
        for (name, _) in section.options() {
            if !known.contains(&name.as_str()) {
                let reason = format!("is not known{}", meant(name.as_str(), known));
                self.complain(name.as_str(), &reason);
            }
        }
    }

    fn unknown_section(&mut self, at: usize, section: &Section) {
        let known = self
            .asked
            .iter()
            .map(|(kind, name, _)| format!("{kind} '{name}'"));
        let known: Vec<String> = known.collect();
        let what = format!("{} is not known; {} are", called(section), known.join(", "));
        self.note(self.places.section(at).unwrap_or(1), what);
    }

    fn ask(&mut self, option: &'static str) {
        if let Some((.., options)) = self.asked.last_mut() {
            options.push(option);
        }
    }

    fn note(&mut self, line: usize, what: String) {
        let path = self.path.to_owned();
        self.problems.push(Problem { path, line, what });
    }
}

fn called(section: &Section) -> String {
    match section.name() {
        Some(name) => format!("{} '{name}'", section.kind()),
        None => format!("{} without a name", section.kind()),
    }
}

/// What was probably meant, or all that is known.
fn meant(wrong: &str, known: &[&str]) -> String {
    let likeness = |known: &&str| strsim::normalized_damerau_levenshtein(wrong, known);
    let nearest = known
        .iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest {
        Some(nearest) if likeness(nearest) >= LIKELY => format!("; did you mean {nearest}?"),
        _ => format!("; {} are", known.join(", ")),
    }
}
