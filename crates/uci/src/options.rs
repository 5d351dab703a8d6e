//! The options of a section, in one piece of memory: a router with a thousand peers has ten thousand of them.

use std::iter;

use crate::{Name, Value};

/// No two have the same name. As text: of each, its name, whether it is a list and of how many items, and the items; a
/// zero byte behind each of these, which is in none of them.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Options(Box<str>);

/// One of them.
pub(crate) struct Item<'a> {
    pub name: &'a str,
    is_list: bool,
    /// The items, with a zero byte behind each.
    items: &'a str,
}

const ONE: &str = "1";

impl Options {
    /// In their order.
    pub fn iter(&self) -> impl Iterator<Item = Item<'_>> {
        let mut rest = &*self.0;
        iter::from_fn(move || {
            let (name, after) = rest.split_once('\0')?;
            let (kind, after) = after.split_once('\0')?;
            let count = match kind {
                ONE => 1,
                list => list.strip_prefix('l')?.parse().ok()?,
            };
            let ends = after.match_indices('\0').map(|(at, _)| at + 1);
            let end = iter::once(0).chain(ends).nth(count)?;
            let items;
            (items, rest) = after.split_at(end);
            Some(Item {
                name,
                is_list: kind != ONE,
                items,
            })
        })
    }

    pub fn get(&self, option: &str) -> Option<Item<'_>> {
        self.iter().find(|item| item.name == option)
    }

    /// Gives an option a value, in the place that it has.
    pub fn set(&mut self, option: &Name, value: &Value) {
        let mut text = String::with_capacity(self.0.len());
        let mut is_there = false;
        for item in self.iter() {
            match item.name == option.as_str() {
                true => write(&mut text, option, value),
                false => item.copy(&mut text),
            }
            is_there |= item.name == option.as_str();
        }
        if !is_there {
            write(&mut text, option, value);
        }
        self.0 = text.into();
    }

    /// Takes an option away. Returns what it was.
    pub fn remove(&mut self, option: &Name) -> Option<Value> {
        let was = self.get(option.as_str())?.value();
        let mut text = String::with_capacity(self.0.len());
        for item in self.iter().filter(|item| item.name != option.as_str()) {
            item.copy(&mut text);
        }
        self.0 = text.into();
        was
    }
}

impl<'a> Item<'a> {
    pub fn items(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.text().split('\0')
    }

    /// The text of what is no list.
    pub fn as_one(&self) -> Option<&'a str> {
        (!self.is_list).then(|| self.text())
    }

    fn text(&self) -> &'a str {
        self.items.strip_suffix('\0').unwrap_or_default()
    }

    pub fn value(&self) -> Option<Value> {
        match self.as_one() {
            Some(text) => Value::read_one(text.to_owned()),
            None => Value::read_list(self.items().map(str::to_owned).collect()),
        }
    }

    fn copy(&self, text: &mut String) {
        begin(text, self.name, self.is_list, self.items().count());
        text.push_str(self.items);
    }
}

fn write(text: &mut String, option: &Name, value: &Value) {
    begin(text, option.as_str(), value.is_list(), value.items().len());
    for item in value.items() {
        text.push_str(item);
        text.push('\0');
    }
}

fn begin(text: &mut String, name: &str, is_list: bool, count: usize) {
    text.push_str(name);
    text.push('\0');
    match is_list {
        true => text.push_str(&format!("l{count}")),
        false => text.push_str(ONE),
    }
    text.push('\0');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(options: &mut Options, name: &str, value: Value) {
        options.set(&name.parse().unwrap(), &value);
    }

    fn all(options: &Options) -> Vec<(String, Value)> {
        let all = options.iter();
        all.map(|item| (item.name.to_owned(), item.value().unwrap()))
            .collect()
    }

    #[test]
    fn what_is_put_in_comes_out() {
        let mut options = Options::default();
        let values = [
            ("a", Value::one("1").unwrap()),
            ("b", Value::list(["", "x\ny", ""]).unwrap()),
            ("c", Value::list(["l2"]).unwrap()),
            ("d", Value::one("l1").unwrap()),
        ];
        for (name, value) in values.clone() {
            set(&mut options, name, value);
        }
        let expect = values.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(all(&options), expect);
        assert_eq!(options.get("d").unwrap().as_one(), Some("l1"));
        assert!(options.get("c").unwrap().as_one().is_none());
        assert!(options.get("x").is_none());
    }

    #[test]
    fn one_that_is_set_again_keeps_its_place_and_one_that_is_removed_leaves_the_others() {
        let mut options = Options::default();
        for name in ["a", "b", "c"] {
            set(&mut options, name, Value::one(name).unwrap());
        }
        let list = Value::list(["1", "2"]).unwrap();
        set(&mut options, "b", list.clone());
        assert_eq!(options.iter().nth(1).unwrap().value(), Some(list.clone()));
        assert_eq!(options.remove(&"b".parse().unwrap()), Some(list));
        assert_eq!(options.remove(&"b".parse().unwrap()), None);
        let names: Vec<&str> = options.iter().map(|item| item.name).collect();
        assert_eq!(names, ["a", "c"]);
    }
}
