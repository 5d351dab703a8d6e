//! The image for a virtual machine.

use std::process::Command;

use rhyzome_test_router::Router;

#[test]
fn an_image_is_a_sound_file_system_with_an_init_and_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    let builder = Router::builder().file("/etc/uci-defaults/90-test", "true\n");
    builder.write_image(&image, 128);
    let run = |program: &str, words: &[&str]| {
        let mut command = Command::new(program);
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let output = command.args(words).arg(&image).output().unwrap();
        assert!(output.status.success(), "{program}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run("e2fsck", &["-fn"]);
    assert!(run("dumpe2fs", &["-h"]).contains("Block count"));
    assert_eq!(std::fs::metadata(&image).unwrap().len(), 128 << 20);
    let init = run("debugfs", &["-R", "stat /sbin/init"]);
    assert!(
        init.contains("Fast link dest: \"/usr/libexec/standins\""),
        "{init}"
    );
    let file = run("debugfs", &["-R", "cat /etc/uci-defaults/90-test"]);
    assert_eq!(file, "true\n");
    assert!(!folder.path().join("image.tree").exists());
}
