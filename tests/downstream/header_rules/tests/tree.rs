//! What the promise of `default-features = false` comes to.

use std::process::Command;

#[test]
fn there_is_no_runtime_in_the_tree() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{lib}",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    let crates: Vec<&str> = tree.lines().collect();
    assert!(
        crates.contains(&"switchover") && crates.contains(&"http"),
        "{tree}"
    );
    for runtime in ["tokio", "mio", "hyper", "futures_util", "async_std", "smol"] {
        assert!(!crates.contains(&runtime), "{tree}");
    }
}
