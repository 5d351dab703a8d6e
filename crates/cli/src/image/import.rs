//! `rhyzome image import`: bytes out of a file or from a URL, hashed, uploaded if need be, named.

mod source;
mod upload;

use std::path::Path;

use clap::{Args, ValueHint};
use clap_complete::ArgValueCandidates;
use rhyzome_client::{Error, Images};
use rhyzome_model::image::{ImageSpec, Tag};
use rhyzome_model::resource::Image;
use rhyzome_model::{Digest, Name};

use super::tag;
use crate::failure::Failure;
use crate::session::{Cx, Session};
use crate::{complete, naming, wait};

use source::{Bytes, Kind};

#[derive(Debug, Args)]
pub struct Import {
    /// A file, or an http, https or file URL.
    #[arg(value_name = "PATH_OR_URL", value_hint = ValueHint::FilePath)]
    source: String,
    /// What to call it; by default what the file is called.
    #[arg(long, value_name = "NAME")]
    name: Option<Name>,
    /// The SHA-256 that it has to have: other bytes are refused, and known ones are not fetched again.
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    sha256: Option<Digest>,
    /// Point the name at these bytes if it is there already. Instances keep those that they were made of.
    #[arg(long)]
    replace: bool,
    /// A tag to point at it, like debian:12; moved if it points at another image. May be given several times.
    #[arg(long = "tag", value_name = "TAG", add = ArgValueCandidates::new(complete::image_tags))]
    tags: Vec<Tag>,
    /// The command line of instances that give none. `{{network_settings}}` stands for the network's
    /// settings as the image's family wants them; `{{ip}} {{prefix}} {{gateway}} {{dns}} {{mac}}
    /// {{hostname}}` and their like are filled in.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    command_line: String,
    /// The initial RAM disk of a kernel: a file or a URL.
    #[arg(long, value_name = "PATH_OR_URL", value_hint = ValueHint::FilePath)]
    initrd: Option<String>,
}

impl Import {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let name = match self.name {
            Some(name) => name,
            None => name_of(&self.source)?,
        };
        let digest = put(&session, &self.source, Kind::Image, self.sha256).await?;
        let initrd = match &self.initrd {
            Some(source) => Some(put(&session, source, Kind::Any, None).await?),
            None => None,
        };
        let spec = ImageSpec {
            digest,
            initrd,
            command_line: self.command_line,
        };
        let scope = &session.scope;
        let look = || format!("`rhyzome image show {name}` says whether it is there");
        let named = async {
            let image = name_it(&scope.image(), &name, &spec, self.replace).await?;
            if self.tags.is_empty() {
                return Ok(image);
            }
            tag::set(scope, &name, &self.tags).await
        };
        let image = wait::asked(named, look).await?;
        let (format, short) = (image.format.as_str(), image.blob.digest.short());
        let size = rough(image.blob.size.as_bytes());
        cx.output
            .done(&image, &format!("image {name}: {format}, {size}, {short}"))
    }
}

/// Brings an open file to the core as an image of a name.
///
/// # Errors
/// The file cannot be read, and what the core says.
pub(crate) async fn of_file(
    session: &Session<'_>,
    file: std::fs::File,
    name: &Name,
    replace: bool,
) -> Result<Image, Failure> {
    let called = format!("image {name}");
    let bytes = Bytes::of_file(session, file.into(), &called).await?;
    if session.scope.blob().exists(&bytes.digest).await? {
        note_known(session, &called, bytes.digest);
    } else {
        upload::upload(session, &called, &bytes).await?;
    }
    let spec = ImageSpec {
        digest: bytes.digest,
        initrd: None,
        command_line: String::new(),
    };
    Ok(name_it(&session.scope.image(), name, &spec, replace).await?)
}

/// Gives the bytes their name. That they have it already is fine: an import that was cut off is run again.
async fn name_it(
    images: &Images,
    name: &Name,
    spec: &ImageSpec,
    replace: bool,
) -> Result<Image, Error> {
    let taken = match images.create(name, spec.clone(), None).await {
        Err(error) if error.code() == Some("name_taken") => error,
        named => return named,
    };
    let there = images.get(name).await?;
    if there.spec == *spec {
        Ok(there)
    } else if replace {
        images.edit(name, |_| spec.clone(), None).await
    } else {
        Err(taken)
    }
}

/// Sees to it that the core has the bytes of a file, whatever they are.
///
/// # Errors
/// Those of reading and of sending it.
pub async fn put_file(session: &Session<'_>, path: &str) -> Result<Digest, Failure> {
    put(session, path, Kind::Any, None).await
}

/// Sees to it that the core has the bytes.
async fn put(
    session: &Session<'_>,
    source: &str,
    kind: Kind,
    pin: Option<Digest>,
) -> Result<Digest, Failure> {
    if let Some(pin) = pin
        && session.scope.blob().exists(&pin).await?
    {
        note_known(session, source, pin);
        return Ok(pin);
    }
    let bytes = wait::asked(Bytes::of(session, source, kind), || {
        "run it again; a download goes on where it ended, if its server can do that".to_owned()
    })
    .await?;
    let digest = bytes.digest;
    if let Some(pin) = pin.filter(|pin| *pin != digest) {
        bytes.forget();
        return Err(Failure::Usage(format!(
            "{source} has the digest {digest}, not the {pin} of --sha256: it was not imported"
        )));
    }
    if pin.is_none() && session.scope.blob().exists(&digest).await? {
        note_known(session, source, digest);
    } else {
        upload::upload(session, source, &bytes).await?;
    }
    bytes.forget();
    Ok(digest)
}

fn note_known(session: &Session<'_>, source: &str, digest: Digest) {
    let short = digest.short();
    session
        .output
        .note(&format!("the core has {source} already ({short})"));
}

fn digest(text: &str) -> Result<Digest, String> {
    let bare = text.strip_prefix("sha256:").unwrap_or(text);
    bare.parse()
        .map_err(|e: rhyzome_model::digest::InvalidDigest| e.to_string())
}

/// A name made of the file's own, without its ending.
fn name_of(source: &str) -> Result<Name, Failure> {
    let plain = source.split(['?', '#']).next().unwrap_or_default();
    let path = if source::is_url(source) {
        Path::new(plain)
    } else {
        Path::new(source)
    };
    let stem = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .unwrap_or_default();
    naming::nearest(stem).ok_or_else(|| {
        Failure::Usage(format!(
            "no name can be made of {source}: give one with --name"
        ))
    })
}

/// A size as people read it: rounded.
pub fn rough(bytes: u64) -> String {
    let units = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => {
            let tenths = bytes.saturating_mul(10) / unit;
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_called_as_its_file() {
        let check = |source: &str, expect: Option<&str>| {
            let name = name_of(source).ok().map(|name| name.to_string());
            assert_eq!(name.as_deref(), expect, "{source}");
        };
        check("./target/hello", Some("hello"));
        check("/boot/vmlinuz-6.1.0-18-amd64", Some("vmlinuz-6-1"));
        check(
            "https://example.org/a/Web_Server.elf?x=y.z",
            Some("web-server"),
        );
        check("/srv/2024.img", None);
        check("https://example.org/", Some("example"));
    }

    #[test]
    fn a_size_is_rounded() {
        assert_eq!(rough(999), "999 B");
        assert_eq!(rough(1536), "1.5 KiB");
        assert_eq!(rough(3 << 30), "3.0 GiB");
    }

    #[test]
    fn a_pin_may_be_written_as_an_image_is() {
        let bare = "ab".repeat(32);
        assert_eq!(digest(&format!("sha256:{bare}")), digest(&bare));
        assert!(digest("ab").is_err());
    }
}
