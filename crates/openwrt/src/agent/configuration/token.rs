//! Takes a token that was used out of the file: in one write, with all else as the operator wrote it.

use std::path::{Path, PathBuf};

use rhyzome_uci::{Package, ReadError};

use crate::disk::{self, DiskError};

#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    #[error("{path} cannot be understood any more")]
    Uci { path: PathBuf, source: ReadError },
    #[error("the token that was used is still in the configuration")]
    Disk(#[from] DiskError),
}

/// Removes the token. Nothing is written where there is none.
///
/// # Errors
/// [`ForgetError`]; the file is as it was.
pub fn forget(path: &Path) -> Result<(), ForgetError> {
    let text = disk::read(path)?.unwrap_or_default();
    let without = without_token(&text).map_err(|source| ForgetError::Uci {
        path: path.to_owned(),
        source,
    })?;
    let Some(without) = without else {
        return Ok(());
    };
    // A name that OpenWrt takes for no package.
    let unfinished = path.with_file_name(".rhyzome.new");
    disk::write_unfinished(&unfinished, &without, disk::mode_of(path)?)?;
    Ok(disk::rename(&unfinished, path)?)
}

/// The text without the option; none where it is not in it.
fn without_token(text: &str) -> Result<Option<String>, ReadError> {
    let name = || "rhyzome".parse().expect("it is a package's name");
    let option = "token".parse().expect("it is an option's name");
    let (package, places) = Package::read_placed(name(), text)?;
    let mut wanted = Package::new(name());
    let mut lines = Vec::new();
    for (at, section) in package.sections().iter().enumerate() {
        let mut section = section.clone();
        if section.kind().as_str() == "component" && section.remove(&option).is_some() {
            lines.extend(places.option(at, "token"));
        }
        wanted.add(section).expect("names were different before");
    }
    if lines.is_empty() {
        return Ok(None);
    }
    // Without its line the file keeps its comments. It may be written in a way in which the line is not all of it,
    // or not it alone; then the file is written as `uci` would.
    let kept = (1..).zip(text.split_inclusive('\n'));
    let kept: String = kept
        .filter(|(number, _)| !lines.contains(number))
        .map(|(_, line)| line)
        .collect();
    match Package::read(name(), &kept) {
        Ok(read) if read == wanted => Ok(Some(kept)),
        _ => Ok(Some(wanted.text())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn check(text: &str, expect: Option<&str>) {
        assert_eq!(without_token(text).unwrap().as_deref(), expect, "{text}");
    }

    #[test]
    fn the_token_goes_and_comments_stay() {
        let text = "# by hand\nconfig component 'main'\n\toption core 'https://c:1' # there\n\
            \toption token 'rzj_x'\n\toption name gw\n";
        let without = text.replace("\toption token 'rzj_x'\n", "");
        check(text, Some(&without));
        check(&without, None);
    }

    #[test]
    fn however_it_is_written_nothing_else_goes_with_it() {
        let whole = "\nconfig component 'main'\n\toption name 'gw'\n\n";
        check(
            "config component main ; option token x ; option name gw\n",
            Some(whole),
        );
        check(
            "config component main\noption name gw ; option token x",
            Some(whole),
        );
        check(
            "config component main\noption token 'x\ny'\noption name gw\n",
            Some(whole),
        );
        check(
            "config component main\noption token x\noption name gw\noption token y\n",
            Some(whole),
        );
        check("config other\n\toption token 'x'\n", None);
    }

    #[test]
    fn a_file_keeps_its_mode_and_is_not_written_in_vain() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rhyzome");
        fs::write(&path, "config component main\n\toption token x\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        forget(&path).unwrap();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "config component main\n"
        );
        let there = fs::metadata(&path).unwrap();
        assert_eq!(there.permissions().mode() & 0o7777, 0o600);
        forget(&path).unwrap();
        let then = fs::metadata(&path).unwrap();
        assert_eq!(there.modified().unwrap(), then.modified().unwrap());
        fs::write(&path, "config 'x\n").unwrap();
        assert!(matches!(forget(&path), Err(ForgetError::Uci { .. })));
    }
}
