//! What `/etc/openwrt_release` says: assignments as a shell reads them.

/// Which OpenWrt it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    /// As `24.10.4`.
    pub(crate) version: String,
    /// As packages name it: `x86_64`.
    pub(crate) architecture: String,
    /// As `x86/64`.
    pub(crate) target: String,
}

impl Release {
    pub(crate) fn read(text: &str) -> Self {
        let value = |key: &str| {
            let found = text.lines().find_map(|line| {
                let (name, value) = line.trim().split_once('=')?;
                (name == key).then(|| value.trim_matches(['\'', '"']))
            });
            found.unwrap_or_default().to_owned()
        };
        Self {
            version: value("DISTRIB_RELEASE"),
            architecture: value("DISTRIB_ARCH"),
            target: value("DISTRIB_TARGET"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_with_either_quotes_or_none() {
        let text = "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='24.10.4'\nDISTRIB_TARGET=\"x86/64\"\n\
                    DISTRIB_ARCH=x86_64\n";
        let expect = Release {
            version: "24.10.4".to_owned(),
            architecture: "x86_64".to_owned(),
            target: "x86/64".to_owned(),
        };
        assert_eq!(Release::read(text), expect);
        assert_eq!(Release::read("").version, "");
    }
}
