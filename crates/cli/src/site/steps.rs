//! What a command has done so far, a line a step with the time since it began, on standard error.

use std::time::Instant;

use crate::output::Output;

pub struct Steps<'a> {
    output: &'a Output,
    begin: Instant,
}

impl<'a> Steps<'a> {
    pub fn new(output: &'a Output) -> Self {
        Self {
            output,
            begin: Instant::now(),
        }
    }

    /// Says what has been done, or is.
    pub fn say(&self, text: &str) {
        let seconds = self.begin.elapsed().as_secs_f64();
        self.output.note(&format!("{seconds:7.1} s  {text}"));
    }
}
