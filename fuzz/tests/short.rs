//! Each target with its corpus and a few thousand mutations of it, always the same ones.

use std::time::Duration;

/// Long enough for the number of inputs where the machine is busy.
const AT_MOST: Duration = Duration::from_secs(3);

fn short(name: &str) {
    let (name, target) = fuzz::TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .expect("a target");
    let report = fuzz::run(name, *target, 1, AT_MOST, 20_000);
    assert!(report.inputs > 100, "{name}: only {} inputs", report.inputs);
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { short(stringify!($name)); })*

        #[test]
        fn every_target_has_a_test() {
            let tested = [$(stringify!($name)),*];
            for (name, _) in fuzz::TARGETS {
                assert!(tested.contains(name), "{name}");
            }
        }
    };
}

targets! {
    request_head response_head chunked frames tunnel tls_handshake proxy_protocol paths templates extended_connect nginx_words
}
