//! What the tests of the library and of its three programs share. Nothing here decides what is right: that stands in the tests.
//!
//! A program or a package that a machine lacks is reported by a printed line, and the test is skipped. With
//! `SWITCHOVER_PEERS=required` that is a failure.

#![allow(clippy::missing_panics_doc, reason = "a launcher that fails is a failed test")]

pub mod black_hole;
pub mod bounded;
pub mod certificates;
pub mod descriptors;
pub mod instructions;
pub mod nginx;
pub mod peers;
pub mod program;
pub mod running_gateway;
pub mod tls_files;
pub mod tls_peer;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};

/// The root of the repository.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A folder for files of tests, beside what Cargo builds. It is made if it is not there.
#[must_use]
pub fn scratch(name: &str) -> PathBuf {
    let folder = built().join("tmp").join(name);
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

/// An address for one program alone. A port that was free a moment ago may be anybody's by the time that the program wants it, so
/// each process of tests has an address of the loopback network to itself, and counts its ports.
#[must_use]
pub fn own_address() -> SocketAddr {
    static PORT: AtomicU16 = AtomicU16::new(8000);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let port = PORT.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from(([127, 64 + high % 64, middle, low], port))
}

/// Where Cargo puts what it builds in the profile of this test: `target/PROFILE`.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("the test has a path");
    let profile = test.parent().and_then(Path::parent);
    profile.expect("it lies in target/PROFILE/deps").to_owned()
}

/// A program of the workspace, or an example of the library. `cargo test` at the root builds both before it runs a test;
/// where only one test target was built, this builds the program.
#[must_use]
pub fn executable(name: &str) -> PathBuf {
    let is_program = ["doctor", "gateway", "nginx_conf"].contains(&name);
    let path = if is_program {
        built().join(name)
    } else {
        built().join("examples").join(name)
    };
    if !path.exists() {
        let mut build = std::process::Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
        let what = if is_program { "--package" } else { "--example" };
        let status = build.args(["build", what, name]).current_dir(root()).status();
        assert!(status.is_ok_and(|status| status.success()), "{name} builds");
    }
    path
}
