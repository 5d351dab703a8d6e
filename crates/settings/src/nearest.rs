//! "Did you mean": the known key nearest to a wrong one.

/// Below this, a guess would mislead more than it helps.
const LIKELY: f64 = 0.6;

/// The known name nearest to a wrong one, unless none is near. Dots,
/// underscores and dashes count as one, since people mix them.
pub(crate) fn nearest<'a>(wrong: &str, known: &'a [String]) -> Option<&'a str> {
    known
        .iter()
        .map(|key| ((likeness(wrong, key), whole(wrong, key)), key))
        .filter(|((score, _), _)| *score >= LIKELY)
        // Of equals the one that is nearer as a whole, then the first.
        .max_by(|(a, key_a), (b, key_b)| {
            let scores = a.0.total_cmp(&b.0).then_with(|| a.1.total_cmp(&b.1));
            scores.then_with(|| key_b.cmp(key_a))
        })
        .map(|(_, key)| key.as_str())
}

/// What may stand beside a wrong key: the keys of its table, or all.
pub(crate) fn beside<'a>(wrong: &str, known: &'a [String]) -> Vec<&'a str> {
    let table = wrong.rsplit_once('.').map(|(table, _)| format!("{table}."));
    let of_table = |key: &&String| table.as_ref().is_some_and(|table| key.starts_with(table));
    let mut found: Vec<&String> = known.iter().filter(of_table).collect();
    if found.is_empty() {
        found = known.iter().collect();
    }
    found.into_iter().map(String::as_str).collect()
}

/// From 0 to 1: the keys as they are written, whole.
fn whole(wrong: &str, known: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(wrong, known)
}

/// From 0 to 1. A key written without its table, or in a wrong one, is near.
fn likeness(wrong: &str, known: &str) -> f64 {
    let (wrong, known) = (plain(wrong), plain(known));
    let whole = strsim::normalized_damerau_levenshtein(&wrong, &known);
    let ((wrong_table, wrong), (known_table, known)) = (parts(&wrong), parts(&known));
    let last = if wrong_table == known_table {
        strsim::normalized_damerau_levenshtein(wrong, known)
    } else if wrong == known {
        0.9
    } else {
        0.0
    };
    // Within a table, what the table's name contributes says nothing.
    if wrong_table == known_table && !wrong_table.is_empty() {
        last
    } else {
        whole.max(last)
    }
}

fn plain(key: &str) -> String {
    key.to_lowercase().replace(['_', '-'], ".")
}

fn parts(key: &str) -> (&str, &str) {
    key.rsplit_once('.').unwrap_or(("", key))
}

#[cfg(test)]
mod tests;
