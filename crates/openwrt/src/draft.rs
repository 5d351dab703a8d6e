//! Writing sections down. Only for what was validated: a text that UCI does not take is a fault of ours here.

use std::fmt::Display;

use rhyzome_uci::{Name, Package, Section, Value};

pub(crate) struct Draft(Section);

impl Draft {
    pub fn new(kind: &str, name: Name) -> Self {
        let kind = kind.parse().expect("types of sections are constants");
        Self(Section::named(kind, name))
    }

    pub fn one(mut self, option: &str, text: impl Display) -> Self {
        let value = Value::one(text.to_string()).expect("what is written was validated");
        self.0.set(name(option), value);
        self
    }

    pub fn list<T: Display>(mut self, option: &str, items: impl IntoIterator<Item = T>) -> Self {
        let items = items.into_iter().map(|item| item.to_string());
        let value = Value::list(items).expect("what is written was validated");
        self.0.set(name(option), value);
        self
    }

    pub fn add_to(self, package: &mut Package) {
        package
            .add(self.0)
            .expect("no two parts of networks have the same name");
    }
}

fn name(option: &str) -> Name {
    option.parse().expect("options are constants")
}
