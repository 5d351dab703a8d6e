//! What a host has, in a form that is the same for two that have the same.

use std::collections::BTreeMap;

use rhyzome_end_to_end::World;

/// Each thing with its ids, addresses and counters left out, and how often it is there.
pub type Picture = BTreeMap<String, usize>;

pub fn picture(world: &World) -> Picture {
    let mut picture = Picture::new();
    for thing in world.left() {
        // How far ledgers and logs are depends on how often something was tried.
        if ["/ledger/", "/log/", "/console"]
            .iter()
            .any(|folder| thing.contains(folder))
        {
            continue;
        }
        *picture.entry(anonymous(&thing)).or_default() += 1;
    }
    picture
}

/// Words with a digit in them, and the parts of ids and MAC addresses, are of one moment; so is the order
/// of a link's other names.
fn anonymous(thing: &str) -> String {
    let mut text = String::new();
    let mut word = String::new();
    for character in thing.chars().chain([' ']) {
        if character.is_ascii_alphanumeric() {
            word.push(character);
            continue;
        }
        let hexadecimal = word.chars().all(|character| character.is_ascii_hexdigit());
        let of_an_id = hexadecimal && matches!(word.len(), 2 | 4 | 8 | 12);
        let of_a_moment = of_an_id || word.chars().any(|character| character.is_ascii_digit());
        text.push_str(if of_a_moment { "#" } else { &word });
        word.clear();
        text.push(character);
    }
    let mut parts: Vec<&str> = text.split('\\').map(str::trim).collect();
    if let Some((_, others)) = parts.split_first_mut() {
        others.sort_unstable();
    }
    parts.join(" ")
}

/// What the one has and the other has not, a line each.
pub fn differences(wanted: &Picture, found: &Picture) -> Vec<String> {
    let count = |picture: &Picture, thing: &String| picture.get(thing).copied().unwrap_or(0);
    let mut things: Vec<&String> = wanted.keys().chain(found.keys()).collect();
    things.sort();
    things.dedup();
    let differs = |thing: &&String| count(wanted, thing) != count(found, thing);
    let line = |thing: &String| {
        format!(
            "{} instead of {}: {thing}",
            count(found, thing),
            count(wanted, thing)
        )
    };
    things.into_iter().filter(differs).map(line).collect()
}
