//! The disk that a guest reads about itself from.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rhyzome_component::DriverError;
use rhyzome_component::room::unwritten;

/// Writes it anew, as at each start. It may have secrets.
pub fn write(folder: &Path, bytes: &[u8]) -> Result<PathBuf, DriverError> {
    let path = folder.join("seed.iso");
    let new = path.with_extension("new");
    let write = || {
        let _ = fs::remove_file(&new);
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(bytes)?;
        fs::rename(&new, &path)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&new);
        unwritten(
            "the instance's seed disk could not be written",
            folder,
            error,
        )
    })?;
    Ok(path)
}
