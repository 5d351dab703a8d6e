//! What an instance boots from: its image, pinned to a digest, and the kernel's command line.

use rhyzome_model::address::{router_ipv4, router_ipv6};
use rhyzome_model::image::{ImageFormat, ImageSpec, Tag};
use rhyzome_model::instance::{BlobPin, InstanceSpec};
use rhyzome_model::template::{self, InterfaceValues, Values};
use rhyzome_model::{Digest, Name, ProjectId};
use rhyzome_store::lease::Lease;
use rhyzome_store::network::Network;
use rhyzome_store::{image, image_tag, instance};

use crate::work::Work;
use crate::{Core, Error, Result, placing};

/// What an instance boots from, found by the name, tag or digest in its spec.
pub(super) struct Boots {
    /// The image's name, or as its digest was given.
    pub(super) name: String,
    pub(super) image: ImageSpec,
    pub(super) format: ImageFormat,
    pub(super) initrd: Option<BlobPin>,
}

pub(super) async fn find(
    work: &mut Work,
    project: ProjectId,
    spec: &InstanceSpec,
) -> Result<Boots> {
    let (name, image, format) = match spec.image.strip_prefix("sha256:") {
        Some(digest) => {
            let (image, format) = by_digest(work, project, digest).await?;
            (spec.image.clone(), image, format)
        }
        None => {
            let name = named(work, project, &spec.image).await?;
            let found = image::get(work, project, &name).await?;
            let why = || Error::invalid("spec.image", format!("there is no image {name}"));
            let found = found.ok_or_else(why)?;
            (name.to_string(), found.spec, found.format)
        }
    };
    let initrd = match image.initrd {
        Some(digest) => Some(initrd_pin(work, project, digest).await?),
        None => None,
    };
    Ok(Boots {
        name,
        image,
        format,
        initrd,
    })
}

/// The name of an image that is asked for by its name or by a tag.
async fn named(work: &mut Work, project: ProjectId, text: &str) -> Result<Name> {
    if !text.contains(':') {
        return text
            .parse()
            .map_err(|why| Error::invalid("spec.image", why));
    }
    let tag: Tag = text
        .parse()
        .map_err(|why| Error::invalid("spec.image", why))?;
    let found = image_tag::get(work, project, &tag).await?;
    let why = || Error::invalid("spec.image", format!("no image has the tag {tag}"));
    Ok(found.ok_or_else(why)?.image)
}

async fn by_digest(
    work: &mut Work,
    project: ProjectId,
    text: &str,
) -> Result<(ImageSpec, ImageFormat)> {
    let digest: Digest = text
        .parse()
        .map_err(|why| Error::invalid("spec.image", why))?;
    let found = image::blob(work, project, digest).await?;
    let missing = || {
        Error::invalid(
            "spec.image",
            format!("no bytes with the digest {digest} were uploaded"),
        )
    };
    let found = found.ok_or_else(missing)?;
    let refused = || {
        found
            .refusal
            .clone()
            .unwrap_or_else(|| "the bytes are no image".to_owned())
    };
    let format = found
        .format
        .clone()
        .ok_or_else(|| Error::invalid("spec.image", refused()))?;
    Ok((
        ImageSpec {
            digest,
            initrd: None,
            command_line: String::new(),
        },
        format,
    ))
}

pub(super) async fn initrd_pin(
    work: &mut Work,
    project: ProjectId,
    digest: Digest,
) -> Result<BlobPin> {
    let found = image::blob(work, project, digest).await?;
    let found = found.ok_or_else(|| Error::not_found("blob", &digest))?;
    Ok(BlobPin {
        digest,
        size: found.blob.size,
    })
}

/// The image that an instance was made from, as it was then: its command line is the default.
pub(super) async fn pinned(work: &mut Work, found: &instance::Instance) -> Result<ImageSpec> {
    let command_line = match &found.image_command_line {
        Some(line) => line.clone(),
        None => present_line(work, found).await?,
    };
    Ok(ImageSpec {
        digest: found.digest,
        initrd: found.initrd,
        command_line,
    })
}

/// The command line of an image that may have been changed since the instance was made.
async fn present_line(work: &mut Work, found: &instance::Instance) -> Result<String> {
    let named = match found.image.parse::<Name>() {
        Ok(name) => image::get(work, found.project, &name).await?,
        Err(_) => None,
    };
    let same = named.filter(|image| image.spec.digest == found.digest);
    Ok(same
        .map(|image| image.spec.command_line)
        .unwrap_or_default())
}

/// Whether the instance has the devices that its image insists on.
pub(super) fn check_devices(spec: &InstanceSpec, format: &ImageFormat) -> Result<()> {
    format
        .check_devices(
            spec.networks.len() + spec.bridges.len(),
            usize::from(spec.disk.is_some()),
        )
        .map_err(|why| Error::invalid(format!("spec.{}", why.field()), why))
}

/// The command line with its placeholders filled in: the instance's own, or the image's, or the network
/// settings that the image's family has to be told.
pub(super) fn command_line(
    core: &Core,
    name: &Name,
    spec: &InstanceSpec,
    (image, format): (&ImageSpec, &ImageFormat),
    (networks, leases): (&[Network], &[Lease]),
) -> Result<String> {
    let interface = |(network, lease): (&Network, &Lease)| InterfaceValues {
        network: network.meta.name.clone(),
        mac: lease.mac,
        ipv4: lease.ipv4,
        prefix4: network.ipv4.prefix_len(),
        gateway4: router_ipv4(network.ipv4),
        ipv6: lease.ipv6,
        prefix6: network.ipv6.prefix_len(),
        gateway6: router_ipv6(network.ipv6),
        domain: placing::domain(core, network),
    };
    let values = Values {
        hostname: name.clone(),
        interfaces: networks.iter().zip(leases).map(interface).collect(),
        format,
    };
    let text = match (&spec.command_line, image.command_line.as_str()) {
        (Some(own), _) => own,
        (None, "") => template::default_for(format, values.interfaces.len()),
        (None, of_image) => of_image,
    };
    template::fill(text, &values).map_err(|why| Error::invalid("spec.command_line", why))
}
