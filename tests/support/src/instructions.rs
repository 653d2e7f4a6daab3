//! The instructions that functions of a test program take. Valgrind counts them, so a busy machine changes nothing in them.

use std::process::Command;

use crate::{bounded, peers, scratch};

/// Says to a process that it is the one that is counted.
const COUNTED: &str = "SWITCHOVER_COUNTED";

/// Whether this process is the one that is counted.
#[must_use]
pub fn is_counted() -> bool {
    std::env::var_os(COUNTED).is_some()
}

/// Whether instructions can be counted here.
#[must_use]
pub fn can_be_counted() -> bool {
    let is_here = peers::runs(Command::new("valgrind").arg("--version"));
    peers::has("valgrind, which counts instructions,", is_here)
}

/// Runs one test of this program within valgrind, in which [`is_counted`]. Returns the instructions of each call of a function, in their
/// order: from the call to the return, with what it calls. `function` is its path, and it must not be inlined.
#[must_use]
pub fn of_calls(function: &str, test: &str, calls: usize) -> Vec<u64> {
    let name = format!("{}.{}", function.replace("::", "_"), std::process::id());
    let folder = scratch("instructions").join(name);
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    let counts = folder.join("counts");
    let mut counting = Command::new("valgrind");
    counting
        .arg("--tool=callgrind")
        .arg("--collect-atstart=no")
        .arg(format!("--toggle-collect={function}"))
        .arg(format!("--dump-after={function}"))
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(std::env::current_exe().expect("the test has a path"))
        .args(["--exact", test, "--test-threads=1"])
        .env(COUNTED, "1");
    let ended = bounded::output(&mut counting);
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    let of_call = |index: usize| {
        let report = std::fs::read_to_string(counts.with_extension(index.to_string()));
        let report = report.unwrap_or_else(|error| panic!("no count of call {index} of {function}: {error}"));
        let totals = report.lines().find_map(|line| line.strip_prefix("totals: "));
        let count = totals.and_then(|count| count.trim().parse().ok());
        count.expect("a count of instructions")
    };
    let found = (1..=calls).map(of_call).collect();
    std::fs::remove_dir_all(&folder).expect("the folder was made");
    found
}
