//! The machine that the figures are of.

use serde_json::{Value, json};

pub fn described() -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?.to_owned();
        line.split_once(':')
            .map(|(_, value)| value.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    json!({
        "processor": field(&read("/proc/cpuinfo"), "model name"),
        "cores": cores,
        "memory": field(&read("/proc/meminfo"), "MemTotal"),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "tcp": read("/proc/sys/net/ipv4/tcp_congestion_control").trim(),
        "load_1min": read("/proc/loadavg").split(' ').next(),
        "profile": if cfg!(debug_assertions) { "dev" } else { "release" },
    })
}
