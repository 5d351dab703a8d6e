//! An exported chain: a line of JSON for the chain as it was when the export began, and one for each entry.
//! It may come from anywhere: nothing in it is believed before it is verified.

use super::{AuditChain, AuditEntry, Mark, Verification, Verifier};

/// A line is never longer. Bytes.
pub const MAX_LINE: usize = 1 << 20;

/// A line that is none of an exported chain.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    #[error(
        "line {line} is not what an exported audit log begins with: a line about the chain comes first"
    )]
    Chain {
        line: u64,
        source: serde_json::Error,
    },
    #[error("line {line} is no entry of an audit log")]
    Entry {
        line: u64,
        source: serde_json::Error,
    },
    #[error("line {line} is longer than a line of an audit log can be")]
    Long { line: u64 },
    #[error("there is nothing in it")]
    Empty,
}

/// Verifies a file line by line.
#[derive(Debug, Default)]
pub struct FileVerifier {
    known: Option<Mark>,
    lines: u64,
    verifier: Option<Verifier>,
}

impl FileVerifier {
    /// `known` is a mark that somebody noted elsewhere.
    pub fn new(known: Option<Mark>) -> Self {
        Self {
            known,
            ..Self::default()
        }
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// [`LineError`]: it is no line of an audit log.
    pub fn line(&mut self, text: &str) -> Result<(), LineError> {
        self.lines += 1;
        let line = self.lines;
        if text.len() > MAX_LINE {
            return Err(LineError::Long { line });
        }
        match &mut self.verifier {
            None => {
                let chain: AuditChain = serde_json::from_str(text)
                    .map_err(|source| LineError::Chain { line, source })?;
                // Entries may have been sealed while it was written.
                self.verifier = Some(Verifier::new(chain, self.known, false));
            }
            Some(verifier) => {
                let entry: AuditEntry = serde_json::from_str(text)
                    .map_err(|source| LineError::Entry { line, source })?;
                verifier.see(&entry);
            }
        }
        Ok(())
    }

    /// # Errors
    /// [`LineError::Empty`].
    pub fn end(self) -> Result<Verification, LineError> {
        self.verifier.map(Verifier::end).ok_or(LineError::Empty)
    }
}
