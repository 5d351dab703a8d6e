//! A thing's details: labels and values, then tables with a title.

use std::collections::BTreeSet;

use rhyzome_model::Timestamp;
use rhyzome_model::resource::Meta;
use rhyzome_model::status::{Condition, Phase};

use super::table::{Cell, Table, Tone};
use super::time;

#[derive(Default)]
pub struct Details {
    lines: Vec<(&'static str, Cell)>,
    sections: Vec<(&'static str, Table<'static>)>,
}

impl Details {
    /// Begins with what every resource has.
    pub fn of(meta: &Meta, now: Timestamp) -> Self {
        let details = Self::default().text("name", &meta.name);
        let details = match &meta.project {
            Some(project) => details.text("project", project),
            None => details,
        };
        details.text("created", time::ago(meta.created_at, now))
    }

    #[must_use]
    pub fn text(self, label: &'static str, value: impl ToString) -> Self {
        self.cell(label, Cell::new(value))
    }

    #[must_use]
    pub fn maybe(self, label: &'static str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.text(label, value),
            None => self,
        }
    }

    /// A text of several lines, such as the last ones of a console.
    #[must_use]
    pub fn lines(mut self, label: &'static str, text: Option<&str>) -> Self {
        for (index, line) in text.unwrap_or_default().lines().enumerate() {
            self.lines
                .push((if index == 0 { label } else { "" }, Cell::new(line)));
        }
        self
    }

    #[must_use]
    pub fn phase(self, phase: Phase) -> Self {
        self.cell("phase", Cell::phase(phase))
    }

    #[must_use]
    pub fn cell(mut self, label: &'static str, cell: Cell) -> Self {
        self.lines.push((label, cell));
        self
    }

    /// A table of its own; left out where it has no rows.
    #[must_use]
    pub fn section(
        mut self,
        title: &'static str,
        header: &'static [&'static str],
        rows: Vec<Vec<Cell>>,
    ) -> Self {
        if !rows.is_empty() {
            self.sections.push((title, Table { header, rows }));
        }
        self
    }

    #[must_use]
    pub fn conditions(self, conditions: &[Condition], now: Timestamp) -> Self {
        // A peer has one on each of its networks' routers: what is the same is said once.
        let said = |condition: &Condition| {
            let Condition {
                kind,
                reason,
                message,
                ..
            } = condition;
            (kind.clone(), reason.clone(), message.clone())
        };
        let mut seen = BTreeSet::new();
        let new = conditions
            .iter()
            .filter(|condition| seen.insert(said(condition)));
        let rows = new.map(|condition| {
            let tone = if condition.holds {
                Tone::Good
            } else {
                Tone::Busy
            };
            vec![
                Cell::new(&condition.kind),
                Cell::new(&condition.reason).tone(tone),
                Cell::new(time::ago(condition.since, now)),
                Cell::new(&condition.message),
            ]
        });
        self.section(
            "conditions",
            &["KIND", "REASON", "SINCE", "MESSAGE"],
            rows.collect(),
        )
    }

    pub fn render(&self, colour: bool) -> String {
        let width = self
            .lines
            .iter()
            .map(|(label, _)| label.len())
            .max()
            .unwrap_or(0);
        let mut text = String::new();
        for (label, cell) in &self.lines {
            let gap = " ".repeat(width - label.len() + 2);
            let label = match *label {
                "" => String::new(),
                label => Cell::new(label).tone(Tone::Faint).paint(colour),
            };
            text.push_str(&format!("{label}{gap}{}\n", cell.paint(colour)));
        }
        for (title, table) in &self.sections {
            let table = table.render(colour);
            text.push_str(&format!("\n{title}\n"));
            for line in table.lines() {
                text.push_str(&format!("  {line}\n"));
            }
        }
        text
    }
}
