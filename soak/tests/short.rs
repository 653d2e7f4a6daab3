//! The program soak, for a few seconds: it ends by itself, finds no fault where there is none, and each that there is.

use std::process::{Child, Command, Stdio};

fn soak(arguments: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_soak"))
        .args(arguments.split(' '))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

/// The exit code, and all that was said.
fn ended(run: Child) -> (Option<i32>, String) {
    let output = support::bounded::output_of(run, "soak");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn three_seconds_without_a_fault() {
    let (code, said) = ended(soak("--seconds 3 --tunnels 40 --seed 1"));
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn what_a_relay_in_front_of_a_door_does_wrong_is_noticed() {
    let faults = [
        ("nothing", 0, " 0 faults"),
        ("lost", 1, " bytes are missing"),
        ("repeated", 1, " bytes came back for "),
        ("changed", 1, " bytes came back for "),
        ("endless", 1, "no end within 8s"),
        ("kept", 1, " tunnels are left"),
        ("descriptor", 1, " descriptors are left"),
    ];
    // At the same time: they mostly wait.
    let runs = faults.map(|(fault, code, expected)| {
        // What goes on may be slow; what does not is not waited for.
        let patience = if code == 0 { 60 } else { 8 };
        let arguments = format!("--seconds 6 --tunnels 320 --seed 1 --patience {patience} --fault {fault}");
        (soak(&arguments), fault, code, expected)
    });
    for (run, fault, expected_code, expected) in runs {
        let (code, said) = ended(run);
        assert_eq!(code, Some(expected_code), "{fault}: {said}");
        assert!(said.contains(expected), "{fault}: {said}");
    }
}
