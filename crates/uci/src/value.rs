//! Values of options: one text, or a list of them.

/// What an option says. There is no empty one: libuci takes an option that is set to nothing away, and writes
/// nothing of a list without items.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Value(Inner);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Inner {
    One(String),
    List(Vec<String>),
}

/// A text that `uci set` would not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    #[error("a value may not be empty: it would take the option away")]
    Empty,
    #[error("a list has to have an item")]
    NoItems,
    #[error("a value may not contain the control character {0:?}")]
    Control(char),
}

/// All control characters but these three are refused by `uci_validate_text` (`util.c`).
fn check(text: &str) -> Result<(), InvalidValue> {
    let control = |c: &char| *c < ' ' && !matches!(c, '\t' | '\n' | '\r');
    match text.chars().find(control) {
        Some(found) => Err(InvalidValue::Control(found)),
        None => Ok(()),
    }
}

impl Value {
    /// # Errors
    /// An empty text, and control characters other than tab, newline and carriage return.
    pub fn one(text: impl Into<String>) -> Result<Self, InvalidValue> {
        let text = text.into();
        check(&text)?;
        Self::read_one(text).ok_or(InvalidValue::Empty)
    }

    /// # Errors
    /// No items, and control characters other than tab, newline and carriage return.
    pub fn list<T: Into<String>>(items: impl IntoIterator<Item = T>) -> Result<Self, InvalidValue> {
        let items: Vec<String> = items.into_iter().map(Into::into).collect();
        items.iter().try_for_each(|item| check(item))?;
        Self::read_list(items).ok_or(InvalidValue::NoItems)
    }

    /// As it stands in a file, where libuci takes any byte but zero.
    pub(crate) fn read_one(text: String) -> Option<Self> {
        (!text.is_empty()).then_some(Self(Inner::One(text)))
    }

    pub(crate) fn read_list(items: Vec<String>) -> Option<Self> {
        (!items.is_empty()).then_some(Self(Inner::List(items)))
    }

    /// This with one more item behind it: what was one text becomes a list.
    pub(crate) fn and(self, item: String) -> Self {
        let mut items = match self.0 {
            Inner::One(text) => vec![text],
            Inner::List(items) => items,
        };
        items.push(item);
        Self(Inner::List(items))
    }

    /// The text of what is no list.
    pub fn as_one(&self) -> Option<&str> {
        match &self.0 {
            Inner::One(text) => Some(text),
            Inner::List(_) => None,
        }
    }

    pub fn is_list(&self) -> bool {
        matches!(self.0, Inner::List(_))
    }

    /// The items of a list, or the one text.
    pub fn items(&self) -> &[String] {
        match &self.0 {
            Inner::One(text) => std::slice::from_ref(text),
            Inner::List(items) => items,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_what_uci_set_takes() {
        assert!(Value::one("two\nlines\tand 'quotes' and ünïcode\r").is_ok());
        assert_eq!(Value::one(""), Err(InvalidValue::Empty));
        assert_eq!(Value::one("a\u{1}"), Err(InvalidValue::Control('\u{1}')));
        assert_eq!(Value::list(["a", "\0"]), Err(InvalidValue::Control('\0')));
        assert_eq!(
            Value::list(Vec::<String>::new()),
            Err(InvalidValue::NoItems)
        );
        assert!(Value::list(["", ""]).is_ok());
    }

    #[test]
    fn an_item_behind_a_text_makes_a_list() {
        let list = Value::one("a").unwrap().and("b".to_owned());
        assert_eq!(list, Value::list(["a", "b"]).unwrap());
        assert_eq!((list.as_one(), list.is_list()), (None, true));
    }
}
