//! The program soak, for three seconds: it ends by itself, and finds no fault.

use std::process::Command;

#[test]
fn three_seconds_without_a_fault() {
    let output = Command::new(env!("CARGO_BIN_EXE_soak"))
        .args(["--seconds", "3", "--tunnels", "40", "--seed", "1"])
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{complaints}", output.status);
}
