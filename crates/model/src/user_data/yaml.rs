//! Whether a text is YAML with a mapping on top. It is not evaluated: no aliases, no types.

use saphyr_parser::{Event, Parser};

use super::InvalidUserData;

/// The deepest nesting. What is deeper was not written by a person, and its readers are recursive.
const DEPTH: usize = 64;

pub(super) fn check(text: &str, first: usize) -> Result<(), InvalidUserData> {
    let mut depth = 0_usize;
    let mut top = true;
    // To YAML a carriage return alone ends a line.
    let last = text.replace("\r\n", "\n").replace('\r', "\n");
    let last = last.lines().count();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| InvalidUserData::Yaml {
            // What is missing at the end is missing in the last line.
            line: first + error.marker().line().min(last).saturating_sub(1),
            column: error.marker().col() + 1,
            problem: error.info().to_owned(),
        })?;
        let line = first + span.start.line().saturating_sub(1);
        match event {
            Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
            Event::MappingEnd | Event::SequenceEnd => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return Err(InvalidUserData::Yaml {
                line,
                column: span.start.col() + 1,
                problem: format!("nested deeper than {DEPTH} levels"),
            });
        }
        let found = match event {
            Event::SequenceStart(..) => "a list",
            // Nothing at all: comments alone.
            Event::Scalar(ref text, ..) if text.is_empty() || text == "~" => return Ok(()),
            Event::Scalar(..) => "a text",
            Event::MappingStart(..) => {
                top = false;
                continue;
            }
            _ => continue,
        };
        if top {
            return Err(InvalidUserData::NoMapping { line, found });
        }
    }
    Ok(())
}
