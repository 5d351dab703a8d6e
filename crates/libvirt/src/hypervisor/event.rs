//! What libvirt and QEMU say happened to guests.
//!
//! Two sources: libvirt's lifecycle events say that a domain ended; QEMU's own events say why, which
//! libvirt leaves out (a reset looks like a shutdown to it). Both come from one thread in the order in
//! which they happened, but for the start: libvirt tells of it when it is done with it, and a guest may
//! have ended by then. So what belongs to which start is told by its number.

use std::ffi::{CStr, c_char, c_int, c_longlong, c_uint, c_void};
use std::sync::OnceLock;

use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;
use virt::connect::Connect;
use virt::sys;

use super::HypervisorError;

/// Something that happened to a domain, ours or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub uuid: Uuid,
    pub run: Option<Run>,
    pub what: What,
}

/// libvirt's number of a domain from its start to its end; the next start has another one. None is known
/// where it is gone already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run(pub c_int);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It started.
    Started,
    /// QEMU ends it for a reason: `guest-shutdown`, `guest-reset`, `host-signal`, … (`ShutdownCause` in
    /// QEMU's qapi/run-state.json).
    Shutdown(String),
    /// The guest reset the machine, and goes on in it.
    Reset,
    /// The guest said that it panicked.
    Panicked,
    /// It is gone.
    Stopped(Stopped),
}

/// How libvirt says that a domain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// By a shutdown, which most crashes look like.
    Shutdown,
    /// Because somebody forced it.
    Destroyed,
    /// QEMU went away, or the guest panicked.
    Crashed,
    /// It could not be started.
    Failed,
    Other,
}

/// Starts the process's one event loop: libvirt wants it before the first connection.
pub fn start_loop() -> Result<(), HypervisorError> {
    static STARTED: OnceLock<Result<(), virt::error::Error>> = OnceLock::new();
    let started = STARTED.get_or_init(|| {
        // Errors come back from each call; libvirt need not write them to the standard error stream too.
        virt::error::clear_error_callback();
        virt::event::event_register_default_impl()?;
        std::thread::spawn(|| {
            loop {
                if let Err(error) = virt::event::event_run_default_impl() {
                    tracing::error!(%error, "libvirt's event loop failed once");
                }
            }
        });
        Ok(())
    });
    started
        .clone()
        .map_err(|source| HypervisorError::EventLoop { source })
}

/// Sends what happens on a connection into a channel, as long as the connection is open.
pub fn register(
    connection: &Connect,
    events: &UnboundedSender<Event>,
) -> Result<(), virt::error::Error> {
    let opaque = || Box::into_raw(Box::new(events.clone())).cast::<c_void>();
    // SAFETY: the connection is open; each call gets a box of its own, which `free` takes back when
    // libvirt drops the callback. On an error libvirt has not taken it, and it is leaked.
    let registered = unsafe {
        sys::virConnectDomainEventRegister(
            connection.as_ptr(),
            Some(lifecycle),
            opaque(),
            Some(free),
        )
    };
    if registered < 0 {
        return Err(virt::error::Error::last_error());
    }
    // The name of the event may be none: then all come, and most are of no interest.
    for name in [c"SHUTDOWN", c"GUEST_PANICKED", c"RESET"] {
        // SAFETY: as above; a null domain stands for all of them.
        let registered = unsafe {
            sys::virConnectDomainQemuMonitorEventRegister(
                connection.as_ptr(),
                std::ptr::null_mut(),
                name.as_ptr(),
                Some(monitor),
                opaque(),
                Some(free),
                0,
            )
        };
        if registered < 0 {
            return Err(virt::error::Error::last_error());
        }
    }
    Ok(())
}

unsafe extern "C" fn free(opaque: *mut c_void) {
    // SAFETY: made by `register` with `Box::into_raw`, and libvirt calls this once.
    drop(unsafe { Box::from_raw(opaque.cast::<UnboundedSender<Event>>()) });
}

/// Sends an event; a closed channel means that nobody wants to know any more.
///
/// # Safety
/// `domain` is a domain that libvirt holds, `opaque` what `register` made.
unsafe fn send(domain: sys::virDomainPtr, what: What, opaque: *mut c_void) {
    let mut bytes = [0_u8; 16];
    // SAFETY: the domain is valid during the callback, and 16 bytes are what a UUID takes.
    if unsafe { sys::virDomainGetUUID(domain, bytes.as_mut_ptr()) } < 0 {
        return;
    }
    // SAFETY: as above. What is no number, the largest, is of a domain that is not active.
    let run = c_int::try_from(unsafe { sys::virDomainGetID(domain) });
    // SAFETY: the box lives until `free`.
    let events = unsafe { &*opaque.cast::<UnboundedSender<Event>>() };
    let _ = events.send(Event {
        uuid: Uuid::from_bytes(bytes),
        run: run.ok().map(Run),
        what,
    });
}

unsafe extern "C" fn lifecycle(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    let what = match c_uint::try_from(event).unwrap_or(c_uint::MAX) {
        sys::VIR_DOMAIN_EVENT_STARTED => What::Started,
        sys::VIR_DOMAIN_EVENT_CRASHED => What::Panicked,
        sys::VIR_DOMAIN_EVENT_STOPPED => {
            What::Stopped(match c_uint::try_from(detail).unwrap_or(c_uint::MAX) {
                sys::VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN => Stopped::Shutdown,
                sys::VIR_DOMAIN_EVENT_STOPPED_DESTROYED => Stopped::Destroyed,
                sys::VIR_DOMAIN_EVENT_STOPPED_CRASHED => Stopped::Crashed,
                sys::VIR_DOMAIN_EVENT_STOPPED_FAILED => Stopped::Failed,
                _ => Stopped::Other,
            })
        }
        _ => return 0,
    };
    // SAFETY: called by libvirt with what was registered.
    unsafe { send(domain, what, opaque) };
    0
}

unsafe extern "C" fn monitor(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: *const c_char,
    _seconds: c_longlong,
    _micros: c_uint,
    details: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: libvirt passes the event's name; the details may be none.
    let name = unsafe { CStr::from_ptr(event) };
    let details = match details.is_null() {
        true => c"{}",
        // SAFETY: not null, and valid during the callback.
        false => unsafe { CStr::from_ptr(details) },
    };
    let what = match name.to_bytes() {
        b"SHUTDOWN" => What::Shutdown(reason(&details.to_string_lossy())),
        b"GUEST_PANICKED" => What::Panicked,
        b"RESET" if reason(&details.to_string_lossy()) == "guest-reset" => What::Reset,
        _ => return,
    };
    // SAFETY: called by libvirt with what was registered.
    unsafe { send(domain, what, opaque) };
}

/// The field `reason` of the event's details, empty where there is none.
fn reason(details: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(details).unwrap_or_default();
    value["reason"].as_str().unwrap_or_default().to_owned()
}
