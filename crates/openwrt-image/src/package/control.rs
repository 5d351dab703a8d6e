//! Descriptions of packages: paragraphs of fields, as in Debian's `control` files.

/// One description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Control {
    /// In their order; what goes on in the next line is part of the value.
    fields: Vec<(String, String)>,
}

/// One thing that a package needs: any of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) any: Vec<Wish>,
}

/// A package, maybe in a certain version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) name: String,
    /// The version of a wish for exactly one.
    pub(crate) exactly: Option<String>,
}

impl Control {
    pub(crate) fn read(text: &str) -> Self {
        let mut fields: Vec<(String, String)> = Vec::new();
        for line in text.lines() {
            if line.starts_with([' ', '\t']) {
                if let Some((_, value)) = fields.last_mut() {
                    value.push('\n');
                    value.push_str(line);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.trim().to_owned(), value.trim().to_owned()));
            }
        }
        Self { fields }
    }

    pub(crate) fn get(&self, field: &str) -> Option<&str> {
        let same = |name: &String| name.eq_ignore_ascii_case(field);
        let found = self.fields.iter().find(|(name, _)| same(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn needs(&self) -> Vec<Need> {
        let all = split(self.get("Depends"), ',');
        let need = |text: &str| Need {
            any: split(Some(text), '|').into_iter().map(wish).collect(),
        };
        all.into_iter().map(need).collect()
    }

    /// Its name, and the others that it stands for.
    pub(crate) fn names(&self) -> Vec<String> {
        let own = self.get("Package").map(str::to_owned);
        let others = split(self.get("Provides"), ',').into_iter();
        own.into_iter()
            .chain(others.map(|text| wish(text).name))
            .collect()
    }

    /// Whether this satisfies a wish. Of versions only equality is judged: what is said of the kernel.
    pub(crate) fn satisfies(&self, wish: &Wish) -> bool {
        let is_it = self.get("Package") == Some(&wish.name);
        match &wish.exactly {
            Some(version) if is_it => self.get("Version") == Some(version),
            _ => self.names().contains(&wish.name),
        }
    }
}

/// The descriptions of a file that has several, with empty lines between them.
pub(crate) fn paragraphs(text: &str) -> Vec<Control> {
    let all = text.split("\n\n").map(Control::read);
    all.filter(|control| control.get("Package").is_some())
        .collect()
}

fn split(text: Option<&str>, at: char) -> Vec<&str> {
    let parts = text.unwrap_or_default().split(at).map(str::trim);
    parts.filter(|part| !part.is_empty()).collect()
}

/// Reads `name`, `name (= version)` and `name (>= version)`.
fn wish(text: &str) -> Wish {
    let (name, rest) = text.split_once('(').unwrap_or((text, ""));
    let rest = rest.trim_end_matches(')').trim();
    Wish {
        name: name.trim().to_owned(),
        exactly: rest
            .strip_prefix('=')
            .map(|version| version.trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read_with_what_goes_on_in_the_next_line() {
        let control =
            Control::read("Package: wg\nDescription: a\n b\nDepends: libc, x | y (= 1)\n");
        assert_eq!(control.get("description"), Some("a\n b"));
        let wish = |name: &str, exactly: Option<&str>| Wish {
            name: name.to_owned(),
            exactly: exactly.map(str::to_owned),
        };
        assert_eq!(
            control.needs(),
            [
                Need {
                    any: vec![wish("libc", None)]
                },
                Need {
                    any: vec![wish("x", None), wish("y", Some("1"))]
                },
            ]
        );
    }

    #[test]
    fn a_wish_is_satisfied_by_name_by_what_is_provided_and_by_the_very_version() {
        let all = paragraphs(
            "Package: kernel\nVersion: 6.6.1~abc-r1\n\nPackage: ip-tiny\nVersion: 2\nProvides: ip, tc (= 3)\n\n",
        );
        assert_eq!(all.len(), 2);
        let check = |text: &str, expect: bool| {
            let got = all.iter().any(|control| control.satisfies(&wish(text)));
            assert_eq!(got, expect, "{text}");
        };
        check("kernel", true);
        check("kernel (=6.6.1~abc-r1)", true);
        check("kernel (=6.6.2~abc-r1)", false);
        check("kernel (>= 7)", true);
        check("ip", true);
        check("tc", true);
        check("wg", false);
    }
}
