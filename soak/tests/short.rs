//! The program soak, for a few seconds: it ends by itself, finds no fault where there is none, and each that there is.

use std::process::{Command, Output};

fn soak(arguments: &str) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_soak"))
        .args(arguments.split(' '))
        .output()
        .expect("the program starts");
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output, said)
}

#[test]
fn three_seconds_without_a_fault() {
    let (output, said) = soak("--seconds 3 --tunnels 40 --seed 1");
    assert!(output.status.success(), "{}\n{said}", output.status);
}

/// A relay in front of one door does one thing wrong.
fn is_noticed(fault: &str, as_what: &str) {
    let (output, said) = soak(&format!(
        "--seconds 6 --tunnels 320 --seed 1 --patience 6 --fault {fault}"
    ));
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(as_what), "{said}");
}

#[test]
fn a_relay_that_does_nothing_wrong_is_no_fault() {
    let (output, said) = soak("--seconds 6 --tunnels 320 --seed 1 --fault nothing");
    assert!(output.status.success(), "{}\n{said}", output.status);
}

#[test]
fn a_lost_byte_is_noticed() {
    is_noticed("lost", " bytes are missing");
}

#[test]
fn a_repeated_byte_is_noticed() {
    is_noticed("repeated", " bytes came back for ");
}

#[test]
fn a_changed_byte_is_noticed() {
    is_noticed("changed", " bytes came back for ");
}

#[test]
fn a_tunnel_that_does_not_end_is_noticed_by_its_client() {
    is_noticed("endless", "no end within 6s");
}

#[test]
fn a_tunnel_that_stays_is_noticed_at_the_end() {
    is_noticed("kept", " tunnels are left");
}

#[test]
fn a_descriptor_that_stays_is_noticed_at_the_end() {
    is_noticed("descriptor", " descriptors are left");
}
