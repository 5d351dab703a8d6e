//! Tables: aligned columns under a header, without borders. The last column is not padded.

use rhyzome_model::status::Phase;

/// What a cell's text means, which its colour shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Busy,
    Bad,
    Faint,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub text: String,
    pub tone: Tone,
}

pub struct Table<'a> {
    pub header: &'a [&'a str],
    pub rows: Vec<Vec<Cell>>,
}

impl Cell {
    pub fn new(text: impl ToString) -> Self {
        Self {
            text: printable(&text.to_string()),
            tone: Tone::Plain,
        }
    }

    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// The text, or a hyphen for nothing.
    pub fn maybe(text: Option<impl ToString>) -> Self {
        match text {
            Some(text) => Self::new(text),
            None => Self::new("-").tone(Tone::Faint),
        }
    }

    pub fn phase(phase: Phase) -> Self {
        let tone = match phase {
            Phase::Ready => Tone::Good,
            Phase::Pending | Phase::Deleting => Tone::Busy,
            Phase::Failed | Phase::Unknown => Tone::Bad,
        };
        Self::new(phase.as_str()).tone(tone)
    }

    pub fn yes_no(yes: bool) -> Self {
        if yes {
            Self::new("yes")
        } else {
            Self::new("no").tone(Tone::Faint)
        }
    }

    pub fn paint(&self, colour: bool) -> String {
        let code = match self.tone {
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "31",
            Tone::Faint => "2",
            Tone::Plain => return self.text.clone(),
        };
        if colour {
            format!("\x1b[{code}m{}\x1b[0m", self.text)
        } else {
            self.text.clone()
        }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl Table<'_> {
    pub fn render(&self, colour: bool) -> String {
        let widths: Vec<usize> = (0..self.header.len())
            .map(|column| {
                let cells = self
                    .rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(Cell::width);
                cells
                    .max()
                    .unwrap_or(0)
                    .max(self.header[column].chars().count())
            })
            .collect();
        let header: Vec<Cell> = self
            .header
            .iter()
            .map(|name| Cell::new(name).tone(Tone::Faint))
            .collect();
        let mut text = String::new();
        for row in std::iter::once(&header).chain(&self.rows) {
            for (column, cell) in row.iter().enumerate() {
                text.push_str(&cell.paint(colour));
                if column + 1 < row.len() {
                    let gap = widths[column].saturating_sub(cell.width()) + 2;
                    text.extend(std::iter::repeat_n(' ', gap));
                }
            }
            text.push('\n');
        }
        text
    }
}

/// Text that cannot give a terminal orders: control characters are shown as what they are.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' | '\r' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<'static> {
        Table {
            header: &["NAME", "PHASE", "NOTE"],
            rows: vec![
                vec![
                    Cell::new("a"),
                    Cell::phase(Phase::Ready),
                    Cell::new("short"),
                ],
                vec![
                    Cell::new("longer-name"),
                    Cell::phase(Phase::Pending),
                    Cell::maybe(None::<String>),
                ],
                vec![
                    Cell::new("é\x1b[31m\nb"),
                    Cell::phase(Phase::Failed),
                    Cell::yes_no(true),
                ],
            ],
        }
    }

    #[test]
    fn columns_are_aligned_and_nothing_gives_the_terminal_orders() {
        insta::assert_snapshot!(table().render(false), @r"
        NAME         PHASE    NOTE
        a            ready    short
        longer-name  pending  -
        é�[31m b     failed   yes
        ");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let plain = table().render(true).replace("\x1b[0m", "");
        let plain = ["32", "33", "31", "2"].iter().fold(plain, |text, code| {
            text.replace(&format!("\x1b[{code}m"), "")
        });
        assert_eq!(plain, table().render(false));
        assert_ne!(table().render(true), table().render(false));
    }
}
