//! Whether our reader and libuci say the same of a text.

use rhyzome_uci as ours;
use rhyzome_uci_reference as theirs;
use theirs::{Refusal, Value};

/// As the text of a package's file.
pub fn compare(text: &str) -> Result<(), String> {
    let name = "test".parse().map_err(|e| format!("{e}"))?;
    let mine = ours::Package::read(name, text).map(|package| vec![package]);
    let real = theirs::read("test", text).map(|package| vec![package]);
    judge(text, mine, real)
}

/// As an export.
pub fn compare_export(text: &str) -> Result<(), String> {
    let mine = ours::Package::read_export(text);
    judge(text, mine, theirs::read_export(text))
}

fn judge(
    text: &str,
    mine: Result<Vec<ours::Package>, ours::ReadError>,
    real: Result<Vec<theirs::Package>, Refusal>,
) -> Result<(), String> {
    match (mine, real) {
        (Ok(mine), Ok(real)) => {
            let mine: Vec<_> = mine.iter().map(said).collect();
            let real: Vec<_> = real.iter().map(said_by_libuci).collect();
            match mine == real {
                true => Ok(()),
                false => Err(format!("we read {mine:#?} and libuci {real:#?}")),
            }
        }
        (Err(_), Err(_)) => Ok(()),
        // Later versions read it as we do.
        (Ok(_), Err(refusal)) if refusal.is_third_mention() && has_three_sections(text) => Ok(()),
        (Ok(_), Err(refusal)) => Err(format!(
            "libuci refuses it ({}), and we do not",
            refusal.0.trim()
        )),
        (Err(error), Ok(_)) => Err(format!("we refuse it ({error}), and libuci does not")),
    }
}

fn has_three_sections(text: &str) -> bool {
    let words = text.split(|c: char| c.is_ascii_whitespace() || c == ';');
    words.filter(|word| matches!(*word, "c" | "config")).count() >= 3
}

/// Type, name or none, and options, a list of which has a mark; in the order of their names, as the order
/// means nothing and differs between versions.
type Said = (
    String,
    Vec<(String, Option<String>, Vec<(String, bool, Vec<String>)>)>,
);

fn said(package: &ours::Package) -> Said {
    let sections = package.sections().iter().map(|section| {
        let mut options: Vec<_> = section
            .options()
            .map(|(name, value)| (name.to_string(), value.is_list(), value.items().to_vec()))
            .collect();
        options.sort();
        let name = section.name().map(ToString::to_string);
        (section.kind().to_string(), name, options)
    });
    (package.name().to_string(), sections.collect())
}

fn said_by_libuci(package: &theirs::Package) -> Said {
    let sections = package.sections.iter().map(|section| {
        let mut options: Vec<_> = section
            .options
            .iter()
            .map(|(name, value)| match value {
                Value::One(text) => (name.clone(), false, vec![text.clone()]),
                Value::List(items) => (name.clone(), true, items.clone()),
            })
            .collect();
        options.sort();
        let name = (!section.anonymous).then(|| section.name.clone());
        (section.kind.clone(), name, options)
    });
    (package.name.clone(), sections.collect())
}
