//! What a program said, and how it ended.

/// What is left of a program. On OpenWrt, an end with 0 says little.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    command: String,
    /// None where a signal ended it.
    pub code: Option<i32>,
    /// On its standard output.
    pub said: String,
    /// On its standard error.
    pub complained: String,
}

/// A program that did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{command:?} ended with {}: {said}", code.map_or("a signal".to_owned(), |code| code.to_string()))]
pub struct Failed {
    pub command: String,
    pub code: Option<i32>,
    /// The first line of what it said of that.
    pub said: String,
}

impl Output {
    pub fn of(program: &str, arguments: &[&str], output: std::process::Output) -> Self {
        // Enough to know which it was; some have very many.
        let first: Vec<&str> = arguments.iter().take(4).copied().collect();
        Self {
            command: format!("{program} {}", first.join(" ")),
            code: output.status.code(),
            said: text(output.stdout),
            complained: text(output.stderr),
        }
    }

    /// What it said, where it ended well.
    pub fn good(self) -> Result<String, Failed> {
        if self.code == Some(0) {
            return Ok(self.said);
        }
        let lines = self.complained.lines().chain(self.said.lines());
        let line = lines
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("no reason given");
        Err(Failed {
            said: line.to_owned(),
            code: self.code,
            command: self.command,
        })
    }
}

/// It may be long: it is copied only where some of it is no text.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}
