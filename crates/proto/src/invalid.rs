//! What is wrong with a message, and where in it.

use std::fmt::{self, Display};
use std::str::FromStr;

/// A message that makes no sense: the way to the field from the outside, and what is wrong there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {problem}", Path(.path))]
pub struct Invalid {
    /// Innermost first.
    path: Vec<Step>,
    pub problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(&'static str),
    Item(&'static str, usize),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("is missing")]
    Missing,
    #[error("{0} is no value known here")]
    Unknown(i32),
    #[error("{value} is more than {limit}")]
    TooLarge { value: u64, limit: u64 },
    /// With the sentence of whoever parsed it.
    #[error("{0}")]
    Text(String),
}

impl Invalid {
    pub fn new(field: &'static str, problem: Problem) -> Self {
        Self {
            path: vec![Step::Field(field)],
            problem,
        }
    }

    pub(crate) fn missing(field: &'static str) -> Self {
        Self::new(field, Problem::Missing)
    }

    pub(crate) fn unknown(field: &'static str, value: i32) -> Self {
        Self::new(field, Problem::Unknown(value))
    }

    /// The same, seen from the message around it.
    #[must_use]
    pub fn within(mut self, field: &'static str) -> Self {
        self.path.push(Step::Field(field));
        self
    }

    fn within_item(mut self, field: &'static str, index: usize) -> Self {
        self.path.push(Step::Item(field, index));
        self
    }

    /// As in `job.ensure.instance.interfaces[1].mac`.
    pub fn field(&self) -> String {
        Path(&self.path).to_string()
    }
}

struct Path<'a>(&'a [Step]);

impl Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().rev().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            match step {
                Step::Field(name) => f.write_str(name)?,
                Step::Item(name, item) => write!(f, "{name}[{item}]")?,
            }
        }
        Ok(())
    }
}

/// A text that has to parse.
pub(crate) fn text<T>(field: &'static str, text: &str) -> Result<T, Invalid>
where
    T: FromStr,
    T::Err: Display,
{
    text.parse().map_err(|error: T::Err| {
        let sentence = error.to_string();
        let problem = if sentence.contains(text) {
            sentence
        } else {
            format!("{text:?}: {sentence}")
        };
        Invalid::new(field, Problem::Text(problem))
    })
}

/// A number that has to be of its range.
pub(crate) fn checked<N, T>(field: &'static str, number: N) -> Result<T, Invalid>
where
    T: TryFrom<N, Error: Display>,
{
    T::try_from(number).map_err(|error| Invalid::new(field, Problem::Text(error.to_string())))
}

/// A message that has to be there and to be valid.
pub(crate) fn inner<P, T>(field: &'static str, message: Option<P>) -> Result<T, Invalid>
where
    T: TryFrom<P, Error = Invalid>,
{
    let message = message.ok_or_else(|| Invalid::missing(field))?;
    T::try_from(message).map_err(|error| error.within(field))
}

/// A message that is valid if it is there.
pub(crate) fn optional<P, T>(field: &'static str, message: Option<P>) -> Result<Option<T>, Invalid>
where
    T: TryFrom<P, Error = Invalid>,
{
    message
        .map(T::try_from)
        .transpose()
        .map_err(|error| error.within(field))
}

pub(crate) fn list<P, T>(field: &'static str, messages: Vec<P>) -> Result<Vec<T>, Invalid>
where
    T: TryFrom<P, Error = Invalid>,
{
    messages
        .into_iter()
        .enumerate()
        .map(|(index, message)| {
            T::try_from(message).map_err(|error| error.within_item(field, index))
        })
        .collect()
}

/// A number that has to fit a smaller type.
pub(crate) fn narrow<T: TryFrom<u32>>(
    field: &'static str,
    value: u32,
    limit: T,
) -> Result<T, Invalid>
where
    u64: From<T>,
{
    T::try_from(value).map_err(|_| {
        Invalid::new(
            field,
            Problem::TooLarge {
                value: value.into(),
                limit: limit.into(),
            },
        )
    })
}
