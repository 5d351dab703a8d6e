//! The mark that what a component makes on its host carries, in names that the kernel keeps.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Eight hexadecimal digits that tell the components of one host apart. They follow from the path of
/// the component's state directory, so that what it made is found even when that directory is lost,
/// and two sites on one machine do not touch each other's things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mark([u8; 4]);

/// A text that is no mark.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no mark of eight hexadecimal digits")]
pub struct InvalidMark(pub String);

impl Mark {
    /// The mark of the component whose state is in a directory. The path is taken as it is written,
    /// made absolute; symbolic links are not followed, as they may be gone when it is asked again.
    pub fn of_state_dir(path: &Path) -> Self {
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let plain: std::path::PathBuf = absolute.components().collect();
        let digest = Sha256::digest(plain.as_os_str().as_encoded_bytes());
        Self([digest[0], digest[1], digest[2], digest[3]])
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl FromStr for Mark {
    type Err = InvalidMark;
    fn from_str(text: &str) -> Result<Self, InvalidMark> {
        let mut octets = [0; 4];
        hex::decode_to_slice(text, &mut octets).map_err(|_| InvalidMark(text.to_owned()))?;
        Ok(Self(octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_follows_from_the_path_however_it_is_written() {
        let mark = Mark::of_state_dir(Path::new("/var/lib/rhyzome/linux"));
        assert_eq!(
            mark,
            Mark::of_state_dir(Path::new("/var/lib/rhyzome//linux/"))
        );
        assert_ne!(
            mark,
            Mark::of_state_dir(Path::new("/var/lib/rhyzome/libvirt"))
        );
        assert_eq!(mark.to_string().parse(), Ok(mark));
        assert!("12345".parse::<Mark>().is_err());
    }
}
