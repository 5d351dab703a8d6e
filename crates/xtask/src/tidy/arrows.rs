//! Which crate may use which. Arrows point one way:
//!
//! ```text
//!   model ◄ plan ◄ store ◄ app ◄ api                    the core
//!   model ◄ proto, component, hostnet ◄ libvirt, linux  components
//!   model, uci, component ◄ openwrt
//!   model, uci ◄ openwrt-image
//!   model ◄ wire ◄ client ◄ cli                         clients
//! ```
//!
//! The core never sees a driver; a component never sees store, app or api.

use serde::Deserialize;

use super::Finding;

/// What cargo says of the workspace, as far as it matters here.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or null.
    kind: Option<String>,
}

/// A crate, and which crates of ours it may use.
type Row = (&'static str, &'static [&'static str]);

const ARROWS: &[Row] = &[
    ("model", &[]),
    ("settings", &[]),
    ("fault", &[]),
    ("pki", &[]),
    ("wireguard", &[]),
    ("uci", &[]),
    // The real thing in C, for tests to compare with.
    ("uci-reference", &[]),
    // A guest in which tests run.
    ("lab", &[]),
    // A router to try things on: it knows nothing of ours.
    ("test-router", &["uci-reference"]),
    ("plan", &["model"]),
    ("store", &["model", "plan"]),
    ("blob", &["model"]),
    ("oidc", &[]),
    (
        "app",
        &["model", "plan", "store", "blob", "oidc", "pki", "fault"],
    ),
    ("wire", &["model"]),
    ("proto", &["model"]),
    (
        "api",
        &[
            "model", "plan", "store", "blob", "oidc", "app", "wire", "proto", "pki", "settings",
            "fault",
        ],
    ),
    ("component", &["model", "proto", "pki", "settings", "fault"]),
    ("guest", &["model"]),
    ("hostnet", &["model"]),
    (
        "libvirt",
        &[
            "model",
            "component",
            "guest",
            "hostnet",
            "settings",
            "fault",
        ],
    ),
    (
        "linux",
        &[
            "model",
            "component",
            "hostnet",
            "wireguard",
            "settings",
            "fault",
        ],
    ),
    (
        "openwrt",
        &["model", "component", "uci", "wireguard", "fault"],
    ),
    ("openwrt-image", &["model", "uci"]),
    ("client", &["model", "wire"]),
    // `component` for the simulated hosts of `rhyzome up --simulate`, and nothing else.
    (
        "cli",
        &[
            "model",
            "wire",
            "client",
            "wireguard",
            "component",
            "openwrt-image",
        ],
    ),
    (
        "testkit",
        &[
            "model",
            "plan",
            "store",
            "app",
            "wire",
            "proto",
            "pki",
            "settings",
            "api",
            "component",
            "client",
        ],
    ),
    // Speaks with the core as people and as components do; on real hosts as the end-to-end tests do. What the
    // audit log costs it measures within the use cases.
    (
        "bench",
        &[
            "model",
            "store",
            "app",
            "pki",
            "wire",
            "client",
            "component",
            "wireguard",
            "end-to-end",
        ],
    ),
    // Puts all of it together in one process, without a wire.
    (
        "simulation",
        &["model", "store", "app", "api", "proto", "pki", "component"],
    ),
    // Reads what strangers write, as the core and the command line do.
    ("fuzz", &["model", "oidc", "pki", "api"]),
    ("xtask", &[]),
    // Runs the programs, and speaks with them as their users do. Of the programs themselves it knows the
    // lists of their steps, and nothing else.
    (
        "end-to-end",
        &[
            "model",
            "client",
            "hostnet",
            "wireguard",
            "fault",
            "wire",
            "api",
            "app",
            "component",
            "libvirt",
            "linux",
        ],
    ),
];

/// What tests may use besides.
const IN_TESTS: &[Row] = &[
    ("pki", &["proto"]),
    ("client", &["testkit"]),
    ("cli", &["testkit"]),
    ("api", &["testkit", "client", "component"]),
    ("app", &["testkit"]),
    ("component", &["testkit"]),
    ("libvirt", &["testkit"]),
    ("linux", &["testkit", "lab"]),
    ("hostnet", &["lab"]),
    ("uci-reference", &["uci"]),
    (
        "openwrt",
        &["uci-reference", "test-router", "testkit", "lab"],
    ),
    ("end-to-end", &["test-router"]),
];

/// Foreign crates that stay in one of ours; `tests` names those whose tests may use it too.
struct Foreign {
    name: &'static str,
    stays_in: &'static str,
    tests: &'static [&'static str],
}

const FOREIGN: &[Foreign] = &[
    Foreign {
        name: "rusqlite",
        stays_in: "store",
        tests: &[],
    },
    Foreign {
        name: "sqlx",
        stays_in: "store",
        tests: &[],
    },
    // In tests of clients, it is the core that they speak with.
    Foreign {
        name: "axum",
        stays_in: "api",
        tests: &["client", "cli"],
    },
    Foreign {
        name: "prost",
        stays_in: "proto",
        tests: &[],
    },
    Foreign {
        name: "virt",
        stays_in: "libvirt",
        tests: &[],
    },
    Foreign {
        name: "libuci-sys",
        stays_in: "uci-reference",
        tests: &[],
    },
    Foreign {
        name: "gotatun",
        stays_in: "wireguard",
        tests: &[],
    },
    Foreign {
        name: "smoltcp",
        stays_in: "wireguard",
        tests: &[],
    },
    Foreign {
        name: "anyhow",
        stays_in: "",
        tests: &[],
    },
];

/// Programs may have an error without a type in their `main`, and nowhere else.
const PROGRAMS: &[&str] = &[
    "xtask",
    "bench",
    "end-to-end",
    "api",
    "libvirt",
    "linux",
    "openwrt",
    "component",
];

/// Finds arrows that are not in the tables.
pub fn check(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let path = relative(&package.manifest_path);
        let name = short(&package.name);
        let Some(allowed) = row(ARROWS, name) else {
            let text =
                format!("{name} is in no row of the table of arrows; give it one in crates/xtask");
            findings.push(Finding::fail(path, None, text));
            continue;
        };
        for dependency in &package.dependencies {
            let test = dependency.kind.as_deref() == Some("dev");
            let wrong = match ours(&dependency.name, metadata) {
                Some(target) => wrong_arrow(name, target, allowed, test),
                None => wrong_foreign(name, &dependency.name, test),
            };
            findings.extend(wrong.map(|text| Finding::fail(path, None, text)));
        }
    }
    findings
}

fn wrong_arrow(name: &str, target: &str, allowed: &[&str], test: bool) -> Option<String> {
    let in_tests = row(IN_TESTS, name).unwrap_or_default();
    let good = allowed.contains(&target)
        || (test && in_tests.contains(&target))
        || (test && target == name);
    let so_far = if allowed.is_empty() {
        "nothing of ours".to_owned()
    } else {
        allowed.join(", ")
    };
    (!good).then(|| {
        format!(
            "a new arrow: {name} must not use {target}, but {so_far} alone; see ARCHITECTURE.md"
        )
    })
}

fn wrong_foreign(name: &str, dependency: &str, test: bool) -> Option<String> {
    let foreign = FOREIGN.iter().find(|foreign| foreign.name == dependency)?;
    let good = foreign.stays_in == name || (test && foreign.tests.contains(&name));
    match dependency {
        "anyhow" => (!test && !PROGRAMS.contains(&name))
            .then(|| format!("anyhow stays in programs and tests, and {name} is a library")),
        _ => (!good).then(|| {
            format!(
                "{dependency} stays in {}, and {name} must not use it",
                foreign.stays_in
            )
        }),
    }
}

fn row(table: &[Row], name: &str) -> Option<&'static [&'static str]> {
    table
        .iter()
        .find(|(key, _)| *key == name)
        .map(|(_, allowed)| *allowed)
}

/// The crate of ours that a dependency is, if it is one.
fn ours<'a>(dependency: &'a str, metadata: &Metadata) -> Option<&'a str> {
    metadata
        .packages
        .iter()
        .any(|package| package.name == dependency)
        .then(|| short(dependency))
}

fn short(package: &str) -> &str {
    package.strip_prefix("rhyzome-").unwrap_or(package)
}

fn relative(manifest: &str) -> &str {
    manifest
        .find("crates/")
        .map_or(manifest, |at| &manifest[at..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::said;

    fn check_one(package: &str, dependency: &str, kind: Option<&str>) -> Vec<String> {
        let names = ["model", "store", "app", "api", "libvirt", "cli", "client"];
        let mut packages: Vec<Package> = names
            .map(|name| Package {
                name: format!("rhyzome-{name}"),
                manifest_path: format!("/somewhere/crates/{name}/Cargo.toml"),
                dependencies: Vec::new(),
            })
            .into();
        let found = packages
            .iter_mut()
            .find(|p| short(&p.name) == package)
            .unwrap();
        found.dependencies.push(Dependency {
            name: dependency.to_owned(),
            kind: kind.map(str::to_owned),
        });
        said(&super::check(&Metadata { packages }))
    }

    #[test]
    fn an_arrow_of_the_table_is_fine() {
        assert!(check_one("api", "rhyzome-app", None).is_empty());
        assert!(check_one("store", "sqlx", None).is_empty());
        assert!(check_one("client", "axum", Some("dev")).is_empty());
        assert!(check_one("api", "anyhow", None).is_empty());
    }

    #[test]
    fn a_new_arrow_is_found() {
        assert_eq!(
            check_one("libvirt", "rhyzome-store", None),
            [
                "crates/libvirt/Cargo.toml: a new arrow: libvirt must not use store, but model, component, \
              guest, hostnet, settings, fault alone; see ARCHITECTURE.md"
            ]
        );
        assert_eq!(
            check_one("model", "rhyzome-app", Some("dev")),
            [
                "crates/model/Cargo.toml: a new arrow: model must not use app, but nothing of ours alone; \
              see ARCHITECTURE.md"
            ]
        );
    }

    #[test]
    fn a_foreign_crate_stays_where_it_is() {
        assert_eq!(
            check_one("app", "sqlx", None),
            ["crates/app/Cargo.toml: sqlx stays in store, and app must not use it"]
        );
        assert_eq!(
            check_one("client", "axum", None),
            ["crates/client/Cargo.toml: axum stays in api, and client must not use it"]
        );
        assert_eq!(
            check_one("model", "anyhow", None),
            ["crates/model/Cargo.toml: anyhow stays in programs and tests, and model is a library"]
        );
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        let packages = vec![Package {
            name: "rhyzome-new".to_owned(),
            manifest_path: "/x/crates/new/Cargo.toml".to_owned(),
            dependencies: Vec::new(),
        }];
        assert_eq!(
            said(&super::check(&Metadata { packages })),
            [
                "crates/new/Cargo.toml: new is in no row of the table of arrows; give it one in crates/xtask"
            ]
        );
    }

    #[test]
    fn no_arrow_of_the_table_goes_round() {
        fn reaches(from: &str, to: &str) -> bool {
            row(ARROWS, from)
                .unwrap()
                .iter()
                .any(|next| *next == to || reaches(next, to))
        }
        for (name, _) in ARROWS {
            assert!(!reaches(name, name), "{name} uses itself");
        }
        for driver in ["component", "libvirt", "linux", "openwrt", "hostnet"] {
            assert!(!reaches("api", driver), "the core sees {driver}");
            assert!(
                !reaches(driver, "app") && !reaches(driver, "store"),
                "{driver} sees the core"
            );
        }
    }
}
