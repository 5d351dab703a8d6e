//! Writes a domain as XML, through a writer that escapes: nothing is pasted into text.

use std::io;
use std::path::Path;

use quick_xml::events::{BytesText, Event};
use quick_xml::{Reader, Writer};
use rhyzome_model::MacAddr;

use super::{Boot, Content, DiskDevice, Domain, Machine, NAMESPACE, Nic};
use crate::accelerator::Accelerator;
use crate::disk::Base;

type Out = Writer<Vec<u8>>;

/// Root ports beyond those that the domain's own devices take.
const SPARE_PORTS: usize = 4;

pub fn write(domain: &Domain) -> String {
    let mut out = Writer::new_with_indent(Vec::new(), b' ', 2);
    write_domain(&mut out, domain).expect("writing to memory does not fail");
    String::from_utf8(out.into_inner()).expect("what was written is text")
}

/// A network card alone, as libvirt plugs it in and finds it again.
pub fn write_card(nic: &Nic) -> String {
    let mut out = Writer::new(Vec::new());
    write_nic(&mut out, nic).expect("writing to memory does not fail");
    String::from_utf8(out.into_inner()).expect("what was written is text")
}

/// The Ethernet addresses of a domain's network cards, those that are on their way out too.
pub fn macs(domain: &str) -> Vec<MacAddr> {
    let mut reader = Reader::from_str(domain);
    let mut found = Vec::new();
    loop {
        let element = match reader.read_event() {
            Ok(Event::Start(element) | Event::Empty(element)) => element,
            Ok(Event::Eof) | Err(_) => return found,
            Ok(_) => continue,
        };
        if element.local_name().as_ref() == "mac"
            && let Ok(Some(address)) = element.try_get_attribute("address")
        {
            found.extend(address.value.parse::<MacAddr>());
        }
    }
}

fn text(out: &mut Out, name: &str, value: &str) -> io::Result<()> {
    out.create_element(name)
        .write_text_content(BytesText::new(value))?;
    Ok(())
}

fn empty(out: &mut Out, name: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
    out.create_element(name)
        .with_attributes(attributes.iter().copied())
        .write_empty()?;
    Ok(())
}

fn parent(
    out: &mut Out,
    name: &str,
    attributes: &[(&str, &str)],
    children: impl FnOnce(&mut Out) -> io::Result<()>,
) -> io::Result<()> {
    out.create_element(name)
        .with_attributes(attributes.iter().copied())
        .write_inner_content(children)?;
    Ok(())
}

/// Paths were checked to be text when the domain was described.
fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}

fn write_domain(out: &mut Out, domain: &Domain) -> io::Result<()> {
    parent(
        out,
        "domain",
        &[("type", domain.accelerator.as_str())],
        |out| {
            text(out, "name", &domain.name)?;
            text(out, "uuid", &domain.uuid.to_string())?;
            write_metadata(out, domain)?;
            let memory = (domain.memory.as_bytes() >> 10).to_string();
            out.create_element("memory")
                .with_attribute(("unit", "KiB"))
                .write_text_content(BytesText::new(&memory))?;
            text(out, "vcpu", &domain.cpus.to_string())?;
            write_boot(out, domain)?;
            parent(out, "features", &[], |out| {
                empty(out, "acpi", &[])?;
                empty(out, "apic", &[])
            })?;
            let cpu = match domain.accelerator {
                Accelerator::Kvm => "host-passthrough",
                Accelerator::Qemu => "maximum",
            };
            empty(out, "cpu", &[("mode", cpu)])?;
            empty(out, "clock", &[("offset", "utc")])?;
            // They end the domain, and the event says why; whether it starts again is decided here.
            text(out, "on_poweroff", "destroy")?;
            // A system on a disk restarts itself when it was updated, and means it.
            let on_reboot = if domain.may_reset {
                "restart"
            } else {
                "destroy"
            };
            text(out, "on_reboot", on_reboot)?;
            text(out, "on_crash", "destroy")?;
            write_devices(out, domain)
        },
    )
}

fn write_metadata(out: &mut Out, domain: &Domain) -> io::Result<()> {
    let attributes = domain.mark.attributes();
    parent(out, "metadata", &[], |out| {
        out.create_element("rhyzome:placement")
            .with_attribute(("xmlns:rhyzome", NAMESPACE))
            .with_attributes(attributes.iter().map(|(key, value)| (*key, value.as_str())))
            .write_empty()?;
        Ok(())
    })
}

fn write_boot(out: &mut Out, domain: &Domain) -> io::Result<()> {
    parent(out, "os", &[], |out| {
        out.create_element("type")
            .with_attributes([("arch", "x86_64"), ("machine", domain.machine.as_str())])
            .write_text_content(BytesText::new("hvm"))?;
        match &domain.boot {
            Boot::Kernel {
                path: kernel,
                initrd,
                command_line,
            } => {
                text(out, "kernel", path(kernel))?;
                if let Some(initrd) = initrd {
                    text(out, "initrd", path(initrd))?;
                }
                if !command_line.is_empty() {
                    text(out, "cmdline", command_line)?;
                }
                Ok(())
            }
            Boot::Bios => empty(out, "boot", &[("dev", "hd")]),
            Boot::Uefi { ovmf, variables } => {
                out.create_element("loader")
                    .with_attributes([("readonly", "yes"), ("type", "pflash")])
                    .write_text_content(BytesText::new(path(&ovmf.code)))?;
                out.create_element("nvram")
                    .with_attribute(("template", path(&ovmf.variables)))
                    .write_text_content(BytesText::new(path(variables)))?;
                empty(out, "boot", &[("dev", "hd")])
            }
        }
    })
}

fn write_devices(out: &mut Out, domain: &Domain) -> io::Result<()> {
    parent(out, "devices", &[], |out| {
        empty(
            out,
            "controller",
            &[("type", "usb"), ("index", "0"), ("model", "none")],
        )?;
        if domain.machine == Machine::Q35 {
            empty(
                out,
                "controller",
                &[("type", "pci"), ("index", "0"), ("model", "pcie-root")],
            )?;
            let own = domain.nics.len() + domain.disks.len() + usize::from(domain.random);
            let ports = own + domain.card_slots.max(domain.cards.len()) + SPARE_PORTS;
            for index in 1..=ports {
                let index = index.to_string();
                empty(
                    out,
                    "controller",
                    &[
                        ("type", "pci"),
                        ("index", &index),
                        ("model", "pcie-root-port"),
                    ],
                )?;
            }
        }
        for (index, disk) in domain.disks.iter().enumerate() {
            write_disk(out, disk, index)?;
        }
        for nic in domain.nics.iter().chain(&domain.cards) {
            write_nic(out, nic)?;
        }
        parent(out, "serial", &[("type", "pipe")], |out| {
            empty(out, "source", &[("path", path(&domain.console))])?;
            empty(out, "target", &[("port", "0")])
        })?;
        if domain.random {
            parent(out, "rng", &[("model", "virtio")], |out| {
                out.create_element("backend")
                    .with_attribute(("model", "random"))
                    .write_text_content(BytesText::new("/dev/urandom"))?;
                Ok(())
            })?;
        }
        empty(out, "memballoon", &[("model", "none")])?;
        empty(out, "panic", &[("model", "isa")])
    })
}

/// What a guest flushes is on the host's disk then (writeback), and the cached base is in memory once for
/// all guests, which a cache mode that goes around the host's memory would not have; a device of its own
/// needs no second copy there (none). The base is left as it is: no QEMU owns what others boot too.
fn write_disk(out: &mut Out, disk: &DiskDevice, index: usize) -> io::Result<()> {
    let target = format!("vd{}", char::from(b'a' + index as u8));
    let (kind, at) = match disk.content {
        Content::Overlay { .. } | Content::Seed => ("file", "file"),
        Content::Device => ("block", "dev"),
    };
    let driver: &[_] = match disk.content {
        Content::Overlay { .. } => &[
            ("type", "qcow2"),
            ("cache", "writeback"),
            ("discard", "unmap"),
        ],
        Content::Device => &[("type", "raw"), ("cache", "none"), ("discard", "unmap")],
        Content::Seed => &[("type", "raw")],
    };
    let driver = [&[("name", "qemu")], driver].concat();
    parent(out, "disk", &[("type", kind), ("device", "disk")], |out| {
        empty(out, "driver", &driver)?;
        empty(out, "source", &[(at, path(&disk.path))])?;
        match &disk.content {
            Content::Overlay { base: Some(base) } => write_base(out, base)?,
            Content::Overlay { base: None } | Content::Device | Content::Seed => {
                empty(out, "backingStore", &[])?;
            }
        }
        empty(out, "target", &[("dev", &target), ("bus", "virtio")])?;
        if disk.content == Content::Seed {
            empty(out, "readonly", &[])?;
        }
        write_slot(out, disk.slot)
    })
}

fn write_base(out: &mut Out, base: &Base) -> io::Result<()> {
    parent(out, "backingStore", &[("type", "file")], |out| {
        empty(out, "format", &[("type", base.layout.as_str())])?;
        parent(out, "source", &[("file", path(&base.path))], |out| {
            empty(out, "seclabel", &[("model", "dac"), ("relabel", "no")])
        })?;
        empty(out, "backingStore", &[])
    })
}

/// libvirt makes the tap, puts it on the bridge and gives it to QEMU; it goes when the guest goes. The
/// port rules name it and are there before.
fn write_nic(out: &mut Out, nic: &Nic) -> io::Result<()> {
    parent(out, "interface", &[("type", "bridge")], |out| {
        empty(out, "mac", &[("address", &nic.mac.to_string())])?;
        empty(out, "source", &[("bridge", &nic.bridge)])?;
        empty(out, "target", &[("dev", &nic.tap)])?;
        empty(out, "model", &[("type", "virtio")])?;
        if let Some(mtu) = nic.mtu {
            empty(out, "mtu", &[("size", &mtu.to_string())])?;
        }
        // A boot ROM would only cost time: the kernel is given.
        empty(out, "rom", &[("enabled", "no")])?;
        write_slot(out, nic.slot)
    })
}

fn write_slot(out: &mut Out, slot: Option<u8>) -> io::Result<()> {
    let Some(slot) = slot else {
        return Ok(());
    };
    let slot = format!("{slot:#04x}");
    let address = [
        ("type", "pci"),
        ("domain", "0x0000"),
        ("bus", "0x00"),
        ("slot", &slot),
        ("function", "0x0"),
    ];
    empty(out, "address", &address)
}
