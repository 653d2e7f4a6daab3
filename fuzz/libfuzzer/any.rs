//! The targets for libFuzzer, which needs a nightly compiler and cargo-fuzz:
//!
//! ```text
//! FUZZ_TARGET=frames cargo +nightly fuzz run --fuzz-dir fuzz/libfuzzer any fuzz/corpus/frames
//! ```
#![no_main]

use std::sync::OnceLock;

fn target() -> fuzz::Target {
    static TARGET: OnceLock<fuzz::Target> = OnceLock::new();
    *TARGET.get_or_init(|| {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names the target");
        let found = fuzz::TARGETS.iter().find(|(target, _)| *target == name);
        found.unwrap_or_else(|| panic!("there is no target {name}")).1
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| target()(data));
