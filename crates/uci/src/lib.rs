//! UCI, the configuration format of OpenWrt, as text and as a difference. No I/O, no async.
//!
//! A [`Package`] is what one file of `/etc/config` says: sections, each with a type, a name or none, and
//! options. It is read from the file's text or `uci export` ([`Package::read`], [`Package::read_export`]) or
//! from `uci show` ([`Package::read_show`]), and written as libuci writes it ([`Package::text`]). [`difference`]
//! says what separates two packages, and [`Package::apply`] applies that, both within sections that the caller
//! calls its own.
//!
//! The rules of the text are those of libuci (<https://git.openwrt.org/project/uci.git>, `file.c` and `list.c`
//! as of 2025), also where they surprise: what a router does with its files is what counts. Left out on
//! purpose: comments, which libuci loses with any commit; the delta files of uncommitted changes; and the order
//! of options, which means nothing.
//!
//! Values of options that are secrets are not printed by `Debug` or `Display`.

mod batch;
mod change;
mod name;
mod options;
mod package;
mod read;
mod show;
mod value;
mod write;

pub use batch::batch;
pub use change::{Change, ChangeError, difference};
pub use name::{InvalidName, Name, PackageName, SectionType};
pub use package::{Package, Section, Taken};
pub use read::{Places, ReadError, What};
pub use value::{InvalidValue, Value};
