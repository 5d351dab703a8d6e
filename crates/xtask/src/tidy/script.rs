//! Shell scripts: strict, and executable.

use super::Finding;

const STRICT: &str = "set -euo pipefail";

/// What runs scripts where there is no bash: busybox in a guest, and OpenWrt's own.
const ELSEWHERE: [&str; 2] = ["#!/bin/busybox sh", "#!/bin/sh /etc/rc.common"];

/// Whether a file is a shell script of this repository's machines, by its first line or its ending.
pub fn is_script(path: &str, content: &str) -> bool {
    // What tests have read, and nobody runs.
    if path.contains("/corpus/") {
        return false;
    }
    let first = content.lines().next().unwrap_or_default();
    if ELSEWHERE.contains(&first) {
        return false;
    }
    let shell = first.starts_with("#!") && (first.ends_with("sh") || first.contains("sh "));
    shell || path.ends_with(".sh")
}

/// Finds what is wrong with a shell script of this mode.
pub fn check(path: &str, content: &str, mode: u32) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !content.starts_with("#!/usr/bin/env bash\n") {
        findings.push(Finding::fail(
            path,
            1,
            "a script begins with #!/usr/bin/env bash",
        ));
    }
    if !content.lines().any(|line| line.trim() == STRICT) {
        findings.push(Finding::fail(
            path,
            None,
            format!("a script says `{STRICT}`"),
        ));
    }
    if mode & 0o111 == 0 {
        findings.push(Finding::fail(
            path,
            None,
            "a script is executable: chmod +x",
        ));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::said;

    #[test]
    fn a_strict_and_executable_script_is_fine() {
        let content = "#!/usr/bin/env bash\n# Of it.\nset -euo pipefail\n";
        assert!(is_script("build", content));
        assert!(check("build", content, 0o100_755).is_empty());
    }

    #[test]
    fn what_busybox_and_openwrt_run_is_not_of_here() {
        assert!(!is_script("tests/corpus/user_data/x", "#!/bin/bash\n"));
        assert!(!is_script("x.init", "#!/bin/sh /etc/rc.common\nSTART=95\n"));
        assert!(!is_script(
            "init",
            "#!/bin/busybox sh\nmount -t proc none /proc\n"
        ));
    }

    #[test]
    fn a_loose_script_is_found() {
        let content = "#!/bin/sh\nset -e\n";
        assert!(is_script("build", content));
        assert_eq!(
            said(&check("build", content, 0o100_644)),
            [
                "build:1: a script begins with #!/usr/bin/env bash",
                "build: a script says `set -euo pipefail`",
                "build: a script is executable: chmod +x",
            ]
        );
    }

    #[test]
    fn other_files_are_no_scripts() {
        assert!(!is_script("a.rs", "//! #!/bin/sh\n"));
        assert!(!is_script("a.py", "#!/usr/bin/env python3\n"));
    }
}
