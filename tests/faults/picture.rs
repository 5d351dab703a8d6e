//! What a host has, and what a core knows, in a form that is the same for two that have the same.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use rhyzome_client::{Client, Scope};
use serde_json::Value;

/// Each thing with its ids, addresses, times and counters left out, and how often it is there.
pub type Picture = BTreeMap<String, usize>;

/// How many of the last jobs are looked at.
const JOBS: u32 = 50;

/// What is said of how something came about is another thing each time, and so is a key.
const HISTORY: [&str; 5] = ["message", "reason", "observed", "facts", "public_key"];

pub fn of_host(things: Vec<String>) -> Picture {
    let mut picture = Picture::new();
    for thing in things {
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

/// What the core says of a project and of components; none where it does not answer.
pub async fn of_records(client: &Client, scope: &Scope) -> Option<Picture> {
    let mut things = Vec::new();
    for network in scope.network().all().await.ok()? {
        let network = scope.network().get(&network.meta.name).await.ok()?;
        things.push(serde_json::to_value(network));
    }
    for instance in scope.instance().all().await.ok()? {
        let instance = scope.instance().get(&instance.meta.name).await.ok()?;
        things.push(serde_json::to_value(instance));
    }
    for peer in scope.peer().all().await.ok()? {
        let peer = scope.peer().get(&peer.meta.name).await.ok()?;
        things.push(serde_json::to_value(peer));
    }
    let images = scope.image().all().await.ok()?;
    things.extend(images.into_iter().map(serde_json::to_value));
    let tags = scope.image_tag().all().await.ok()?;
    things.extend(tags.into_iter().map(serde_json::to_value));
    let uploads = scope.blob().uploads().await.ok()?;
    things.extend(uploads.into_iter().map(serde_json::to_value));
    let held: Vec<_> = client.site().held().try_collect().await.ok()?;
    things.extend(held.into_iter().map(serde_json::to_value));
    for component in client.component().all().await.ok()? {
        let component = client.component().get(&component.meta.name).await.ok()?;
        things.push(serde_json::to_value(component));
    }
    // What is left to be done.
    let jobs = client.job().list(JOBS, None).await.ok()?.items;
    let open = jobs.into_iter().filter(|job| !job.state.ended());
    things.extend(open.map(serde_json::to_value));
    let mut picture = Picture::new();
    for thing in things {
        let mut thing = thing.expect("what came as JSON is JSON");
        forget_history(&mut thing);
        let text = format!("record {thing}");
        *picture.entry(anonymous(&text)).or_default() += 1;
    }
    Some(picture)
}

fn forget_history(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !HISTORY.contains(&name.as_str()));
            fields.values_mut().for_each(forget_history);
        }
        Value::Array(items) => items.iter_mut().for_each(forget_history),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
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
