//! What is said again and again is counted instead, so that a flood neither fills a router's small log nor
//! drives out of it what was said before. Pure: time is an argument.

use std::time::{Duration, Instant};

use tracing::Level;

/// How long a message is counted after it was said.
const WITHIN: Duration = Duration::from_secs(60);
/// How many different messages are remembered. The one that was said first is forgotten for a new one.
const REMEMBERED: usize = 32;

/// A message, and how grave it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub level: Level,
    pub text: String,
}

#[derive(Debug)]
struct Said {
    line: Line,
    at: Instant,
    /// How often it came again since.
    again: u64,
}

/// What was said lately, the oldest first.
#[derive(Debug, Default)]
pub struct Flood(Vec<Said>);

impl Flood {
    /// Takes a message, and returns what is to be said now: how often came again what was said a while ago, and
    /// the message unless it was said lately.
    pub fn take(&mut self, line: Line, now: Instant) -> Vec<Line> {
        let mut say = self.counted(now);
        match self.0.iter_mut().find(|said| said.line == line) {
            Some(said) => said.again += 1,
            None => {
                if self.0.len() >= REMEMBERED {
                    say.extend(self.0.remove(0).count());
                }
                say.push(line.clone());
                let at = now;
                self.0.push(Said { line, at, again: 0 });
            }
        }
        say
    }

    fn counted(&mut self, now: Instant) -> Vec<Line> {
        let old = |said: &Said| now.duration_since(said.at) >= WITHIN;
        let ended = self.0.extract_if(.., |said| old(said));
        ended.filter_map(Said::count).collect()
    }
}

impl Said {
    fn count(self) -> Option<Line> {
        let Line { level, text } = self.line;
        let times = self.again;
        (times > 0).then(|| Line {
            level,
            text: format!("{times} times more within {} s: {text}", WITHIN.as_secs()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        let (level, text) = (Level::WARN, text.to_owned());
        Line { level, text }
    }

    #[test]
    fn a_flood_is_said_once_a_minute_with_its_count() {
        let (mut flood, begin) = (Flood::default(), Instant::now());
        let mut said = Vec::new();
        for tenth in 0..=600 {
            let now = begin + Duration::from_millis(tenth * 100);
            // Two that take turns are no less a flood.
            said.extend(flood.take(line("no core"), now));
            said.extend(flood.take(line("no clock"), now));
        }
        let texts: Vec<&str> = said.iter().map(|line| line.text.as_str()).collect();
        let expect = [
            "no core",
            "no clock",
            "599 times more within 60 s: no core",
            "599 times more within 60 s: no clock",
            "no core",
            "no clock",
        ];
        assert_eq!(texts, expect);
    }

    #[test]
    fn what_differs_is_all_said_and_little_of_it_remembered() {
        let (mut flood, now) = (Flood::default(), Instant::now());
        for number in 0..1000 {
            let said = flood.take(line(&number.to_string()), now);
            assert_eq!(said, [line(&number.to_string())]);
        }
        assert_eq!(flood.0.len(), REMEMBERED);
        // One that is pushed out is not lost: its count is said.
        flood.take(line("999"), now);
        let mut said = Vec::new();
        for number in 1000..1100 {
            said.extend(flood.take(line(&number.to_string()), now));
        }
        assert!(said.contains(&line("1 times more within 60 s: 999")));
    }

    #[test]
    fn the_same_words_of_another_gravity_are_another_message() {
        let (mut flood, now) = (Flood::default(), Instant::now());
        flood.take(line("x"), now);
        let worse = Line {
            level: Level::ERROR,
            ..line("x")
        };
        assert_eq!(flood.take(worse.clone(), now), [worse]);
    }
}
