//! Reading bytes to see whether they are the ones that they shall be.

use rhyzome_model::Digest;
use sha2::Digest as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::{Error, Key, Location, Result};

const PIECE: usize = 256 << 10;

/// The digest and the number of bytes; `progress` hears how many have been read so far.
pub async fn digest_of(
    mut bytes: impl AsyncRead + Unpin,
    progress: impl Fn(u64),
) -> Result<(Digest, u64)> {
    let (mut hash, mut read, mut piece) = (sha2::Sha256::new(), 0, vec![0; PIECE]);
    loop {
        let count = bytes.read(&mut piece).await;
        let count = count.map_err(|source| Error::Read { source })?;
        if count == 0 {
            return Ok((Digest::from_bytes(hash.finalize().into()), read));
        }
        hash.update(&piece[..count]);
        read += count as u64;
        progress(read);
    }
}

/// Reads all that is under a key. What is wrong with it, in a sentence; none where nothing is.
///
/// # Errors
/// Where it cannot be said: the location does not answer.
pub async fn verify(
    location: &dyn Location,
    key: &Key,
    (digest, size): (Digest, u64),
    progress: impl Fn(u64),
) -> Result<Option<String>> {
    match location.size(key).await? {
        None => return Ok(Some("its bytes are not there any more".to_owned())),
        Some(found) if found != size => {
            return Ok(Some(format!("it has {found} bytes where {size} are right")));
        }
        Some(_) => {}
    }
    let bytes = location.read(key, 0..size).await?;
    let (found, _) = digest_of(bytes, progress).await?;
    Ok((found != digest).then(|| format!("its bytes have the digest {found} by now")))
}
