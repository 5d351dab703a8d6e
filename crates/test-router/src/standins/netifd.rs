//! netifd: devices and interfaces out of the package `network`, as it was measured to behave.
//!
//! ```text
//!   ubus ── reload, up, down, renew ──► queue ──► worker: one after the other ──► kernel
//!        ◄── status ── what the worker has published
//! ```
//!
//! Every call is answered at once, and with success, before anything is done. A file that libuci does not read changes
//! nothing. A reload changes neither peers nor addresses of a WireGuard interface.

mod command;
mod device;
mod dhcp;
mod interface;
mod kernel;
mod routing;
mod state;
mod vxlan;
mod wireguard;

pub use command::{ifdown, ifstatus, ifup};
pub use dhcp::write_lease;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::has;
use super::ubus::{Reply, Status, serve};
use rhyzome_test_router::Fault;
use state::State;

/// How long after a call a reload begins, and how much later with [`Fault::ReloadLate`].
const DELAY: Duration = Duration::from_millis(50);
const LATE: Duration = Duration::from_secs(2);
/// How often devices that have come and gone are noticed.
const TICK: Duration = Duration::from_millis(100);

enum Order {
    Reload,
    Restart,
    DownAll,
    Up(String),
    Down(String),
    Renew(String),
}

/// The answers to `status`, by interface.
type Published = Arc<Mutex<BTreeMap<String, Value>>>;

pub fn run() -> ExitCode {
    let published = Published::default();
    let (orders, queue) = channel();
    let shared = Arc::clone(&published);
    let names = Arc::clone(&published);
    let mut state = State::new(published);
    state.reload();
    // Of these, the script that started this tells who wants to know.
    state.came_up.clear();
    let orders = Mutex::new(orders);
    serve(
        "netifd",
        move |object, method, arguments| {
            let orders = orders.lock().expect("nobody panics with it").clone();
            answer(&shared, &orders, object, method, arguments)
        },
        move || {
            let names = names.lock().expect("nobody panics with it");
            let interfaces = names.keys().map(|name| format!("network.interface.{name}"));
            let objects = ["network", "network.device", "network.interface"];
            interfaces.chain(objects.map(str::to_owned)).collect()
        },
    );
    work(&mut state, &queue)
}

fn work(state: &mut State, queue: &Receiver<Order>) -> ExitCode {
    loop {
        match queue.recv_timeout(TICK) {
            Ok(Order::Reload) => {
                std::thread::sleep(if has(Fault::ReloadLate) { LATE } else { DELAY });
                state.reload();
            }
            Ok(Order::Restart) => {
                state.down_all();
                state.reload();
                state.up_all();
            }
            Ok(Order::DownAll) => state.down_all(),
            Ok(Order::Up(name)) => state.up(&name),
            Ok(Order::Down(name)) => state.down(&name),
            Ok(Order::Renew(name)) => state.renew(&name),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return ExitCode::FAILURE,
        }
        state.tick();
    }
}

fn answer(
    published: &Published,
    orders: &Sender<Order>,
    object: &str,
    method: &str,
    arguments: &Value,
) -> Reply {
    let statuses = published.lock().expect("nobody panics with it").clone();
    let order = |order| {
        let _ = orders.send(order);
        Ok(Value::Null)
    };
    if let Some(name) = object.strip_prefix("network.interface.") {
        let status = statuses.get(name).ok_or(Status::NotFound)?;
        return match method {
            "status" => Ok(status.clone()),
            "up" => order(Order::Up(name.to_owned())),
            "down" => order(Order::Down(name.to_owned())),
            "renew" => order(Order::Renew(name.to_owned())),
            _ => Err(Status::MethodNotFound),
        };
    }
    match (object, method) {
        ("network", "reload") if has(Fault::ReloadIgnored) => Ok(Value::Null),
        ("network", "reload") => order(Order::Reload),
        ("network", "restart") => order(Order::Restart),
        ("network", "down") => order(Order::DownAll),
        ("network.interface", "dump") => {
            let all = statuses.into_iter().map(|(name, mut status)| {
                status["interface"] = json!(name);
                status
            });
            Ok(json!({"interface": all.collect::<Vec<Value>>()}))
        }
        ("network.interface", _) => {
            let name = arguments["interface"]
                .as_str()
                .ok_or(Status::InvalidArgument)?;
            let object = format!("network.interface.{name}");
            answer(published, orders, &object, method, arguments)
        }
        ("network.device", "status") => {
            kernel::device_status(arguments["name"].as_str().ok_or(Status::InvalidArgument)?)
        }
        _ => Err(Status::MethodNotFound),
    }
}
