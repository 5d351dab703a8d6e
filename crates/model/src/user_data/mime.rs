//! MIME multi-part user data (RFC 2046 section 5.1), as `cloud-init devel make-mime` writes it: that its
//! parts can be found, and the parts that are plain text are fine themselves.

use super::InvalidUserData;

/// Whether a text begins with the header of a MIME message.
pub(super) fn is_multipart(text: &str) -> bool {
    let head = text.lines().next().unwrap_or_default();
    let (name, _) = head.split_once(':').unwrap_or_default();
    name.eq_ignore_ascii_case("content-type") || name.eq_ignore_ascii_case("mime-version")
}

/// A header: its fields, and the number of lines with the empty one behind it.
struct Head<'a> {
    fields: Vec<(&'a str, String)>,
    lines: usize,
}

impl<'a> Head<'a> {
    fn read(lines: &[&'a str]) -> Option<Self> {
        let mut fields: Vec<(&str, String)> = Vec::new();
        for (number, line) in lines.iter().enumerate() {
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                let lines = number + 1;
                return Some(Self { fields, lines });
            }
            if line.starts_with([' ', '\t']) {
                fields.last_mut()?.1.push_str(line);
            } else {
                let (name, value) = line.split_once(':')?;
                fields.push((name.trim(), value.trim().to_owned()));
            }
        }
        None
    }

    fn get(&self, name: &str) -> Option<&str> {
        let field = self
            .fields
            .iter()
            .find(|field| field.0.eq_ignore_ascii_case(name));
        field.map(|field| field.1.as_str())
    }
}

pub(super) fn check(text: &str, first: usize) -> Result<(), InvalidUserData> {
    let wrong = |line: usize, problem| InvalidUserData::Mime {
        line: first + line,
        problem,
    };
    let lines: Vec<&str> = text.split('\n').collect();
    let head = Head::read(&lines).ok_or_else(|| wrong(0, "its header does not end"))?;
    let kind = head.get("content-type").unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with("multipart/") {
        return Err(wrong(0, "its Content-Type is not multipart/…"));
    }
    let boundary = boundary(kind).ok_or_else(|| wrong(0, "its Content-Type names no boundary"))?;
    let (delimiter, end) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut begins = None;
    for (number, line) in lines.iter().enumerate().skip(head.lines) {
        let line = line.trim_end();
        if line != delimiter && line != end {
            continue;
        }
        if let Some(from) = begins {
            check_part(&lines[from..number], first + from)?;
        }
        if line == end {
            return match begins {
                Some(_) => Ok(()),
                None => Err(wrong(number, "it has no part")),
            };
        }
        begins = Some(number + 1);
    }
    let last = lines.len().saturating_sub(1);
    Err(wrong(last, "its last boundary is missing"))
}

fn check_part(lines: &[&str], first: usize) -> Result<(), InvalidUserData> {
    let head = Head::read(lines).ok_or(InvalidUserData::Mime {
        line: first,
        problem: "a part's header does not end",
    })?;
    let encoding = head.get("content-transfer-encoding").unwrap_or("7bit");
    let plain = ["7bit", "8bit"]
        .iter()
        .any(|plain| encoding.eq_ignore_ascii_case(plain));
    let kind = head.get("content-type").unwrap_or_default();
    let config = kind.split(';').next().unwrap_or_default().trim() == "text/cloud-config";
    if !(plain && config) {
        return Ok(());
    }
    // cloud-init goes by the part's type: the first line need not say it once more.
    super::yaml::check(&lines[head.lines..].join("\n"), first + head.lines)
}

/// The parameter `boundary`, with or without quotes.
fn boundary(kind: &str) -> Option<String> {
    kind.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let value = value.trim().trim_matches('"');
        let found = name.trim().eq_ignore_ascii_case("boundary") && !value.is_empty();
        found.then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use crate::user_data::UserData;

    const HEAD: &str = "Content-Type: multipart/mixed;\n boundary=\"==x==\"\nMIME-Version: 1.0\n\n";

    fn check(text: &str, expect: &str) {
        let got = match UserData::new(text).check() {
            Ok(()) => "fine".to_owned(),
            Err(why) => why.to_string(),
        };
        assert!(got.contains(expect), "{text:?}: {got}");
    }

    #[test]
    fn parts_are_found_and_checked_by_their_type() {
        let part = |kind: &str, body: &str| format!("--==x==\nContent-Type: {kind}\n\n{body}\n");
        let config = part(
            "text/cloud-config; charset=\"utf-8\"",
            "packages:\n  - nginx",
        );
        let script = part("text/x-shellscript", "#!/bin/sh\n: [");
        check(&format!("{HEAD}{config}{script}--==x==--\n"), "fine");
        check(
            &format!("{HEAD}{config}{script}"),
            "last boundary is missing",
        );
        check(&format!("{HEAD}--==x==--\n"), "it has no part");
        let broken = part("text/cloud-config", "a: [1");
        check(
            &format!("{HEAD}{broken}--==x==--\n"),
            "no well-formed YAML in line 8",
        );
        check("Content-Type: text/plain\n\nhello\n", "is not multipart");
        check(
            "MIME-Version: 1.0\nContent-Type: multipart/mixed\n\n--x--\n",
            "names no boundary",
        );
        check(
            "Content-Type: multipart/mixed; boundary=x",
            "header does not end",
        );
    }
}
