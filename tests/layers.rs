//! The invariants of the house that a compiler does not check: which floor may name what.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The crates that a build with these arguments depends on.
fn dependencies(arguments: &[&str]) -> Vec<String> {
    tree("{lib}", arguments)
}

/// The features that a build with these arguments enables of the crate with this name. A crate of another version is another
/// line.
fn features_of(name: &str, arguments: &[&str]) -> Vec<String> {
    let lines = tree("{lib} {f}", arguments);
    let found = lines.iter().filter_map(|line| line.split_once(' '));
    let found = found.filter(|(lib, _)| *lib == name);
    let features: Vec<String> = found
        .flat_map(|(_, features)| features.split(','))
        .map(|feature| feature.trim_end_matches(" (*)").to_owned())
        .collect();
    assert!(!features.is_empty(), "no {name}: {lines:?}");
    features
}

fn tree(format: &str, arguments: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            "switchover",
            "--offline",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            format,
        ])
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo tree: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The Rust files in these files and folders of the sources, with their lines that are no comments.
fn code(paths: &[&str]) -> Vec<(PathBuf, Vec<String>)> {
    let mut left: Vec<PathBuf> = paths.iter().map(|path| root().join("src").join(path)).collect();
    let mut files = Vec::new();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let lines = text
            .lines()
            .map(str::trim_start)
            .filter(|line| !line.starts_with("//"));
        files.push((path, lines.map(str::to_owned).collect()));
    }
    assert!(files.len() >= paths.len());
    files
}

/// Whether a line names a path like `crate::head`, alone or in a list in braces.
fn names(line: &str, module: &str) -> bool {
    let whole = |at: usize| {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let before = at.checked_sub(1).map(|at| line.as_bytes()[at]);
        let after = line.as_bytes().get(at + module.len()).copied();
        !before.is_some_and(word) && !after.is_some_and(word)
    };
    line.match_indices(module).any(|(at, _)| whole(at))
}

/// Lines of these sources that name one of these modules of the crate.
fn imports(paths: &[&str], modules: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, lines) in code(paths) {
        for line in lines.iter().filter(|line| line.contains("crate::")) {
            let after = &line[line.find("crate::").unwrap_or(0)..];
            if modules.iter().any(|module| names(after, module)) {
                found.push(format!("{}: {line}", path.display()));
            }
        }
    }
    found
}

#[test]
fn the_pure_floors_build_without_tokio() {
    let dependencies = dependencies(&["--no-default-features"]);
    assert!(dependencies.iter().any(|name| name == "http"), "{dependencies:?}");
    for name in &dependencies {
        assert!(
            !["tokio", "mio", "socket2", "hyper", "futures_util"].contains(&name.as_str()),
            "{dependencies:?}"
        );
    }
}

#[test]
fn the_default_features_bring_no_http_library() {
    let dependencies = dependencies(&[]);
    assert!(dependencies.iter().any(|name| name == "tokio"));
    for name in ["hyper", "h2", "tower", "axum", "rustls"] {
        assert!(
            !dependencies.iter().any(|dependency| dependency == name),
            "{name}: {dependencies:?}"
        );
    }
}

#[test]
fn an_application_without_http_2_stays_without() {
    let services = ["--no-default-features", "--features", "hyper"];
    assert!(!dependencies(&services).iter().any(|name| name == "h2"));
    // hyper-util's `http2`, which `server-auto` implies, makes the application's own server speak it: nobody's to enable but
    // the application's.
    for (features, crates) in [
        ("hyper", &["hyper", "hyper_util"][..]),
        ("http2", &["hyper_util"]),
        ("full", &["hyper_util"]),
    ] {
        for name in crates {
            let enabled = features_of(name, &["--no-default-features", "--features", features]);
            assert!(
                enabled.iter().any(|feature| feature == "http1"),
                "{name}: {enabled:?}"
            );
            assert!(
                !enabled.iter().any(|feature| feature == "http2"),
                "{features}: {name}: {enabled:?}"
            );
        }
    }
}

#[test]
fn the_pure_floors_never_name_tokio() {
    for (path, lines) in code(&[
        "head",
        "header",
        "handshake",
        "diagnose",
        "websocket",
        "proxy_protocol",
        "route",
        "side.rs",
        "token.rs",
    ]) {
        for line in lines {
            assert!(!names(&line, "tokio"), "{}: {line}", path.display());
        }
    }
}

#[test]
fn the_tunnel_knows_no_http() {
    let found = imports(
        &["tunnel"],
        &["head", "header", "handshake", "gateway", "exchange", "connect"],
    );
    assert!(found.is_empty(), "{found:#?}");
    // What moves bytes knows no frames either; what an end was is a value that names them.
    let found = imports(&["tunnel"], &["websocket"]);
    let elsewhere = |line: &&String| !line.contains("tunnel/framed/") && !line.contains("tunnel/end.rs");
    let found: Vec<&String> = found.iter().filter(elsewhere).collect();
    assert!(found.is_empty(), "{found:#?}");
    for (path, lines) in code(&["tunnel"]) {
        for line in lines {
            assert!(
                !names(&line, "http") && !names(&line, "httparse"),
                "{}: {line}",
                path.display()
            );
        }
    }
}

#[test]
fn imports_go_down_only() {
    let floors: [(&[&str], &[&str]); 7] = [
        (
            &["side.rs", "token.rs"],
            &[
                "head",
                "header",
                "handshake",
                "websocket",
                "tunnel",
                "error",
                "gateway",
            ],
        ),
        (
            &["head", "proxy_protocol", "websocket"],
            &[
                "header",
                "handshake",
                "tunnel",
                "error",
                "connect",
                "exchange",
                "gateway",
            ],
        ),
        (
            &["header"],
            &["handshake", "tunnel", "error", "connect", "exchange", "gateway"],
        ),
        (
            &["handshake", "connect", "wire.rs"],
            &[
                "tunnel", "tls", "upstream", "proxied", "error", "exchange", "gateway",
            ],
        ),
        (&["tunnel"], &["tls", "upstream", "proxied"]),
        (
            &["upstream", "proxied"],
            &[
                "handshake",
                "tls",
                "http2",
                "error",
                "exchange",
                "gateway",
                "service",
            ],
        ),
        (
            &["tls"],
            &["handshake", "error", "exchange", "gateway", "service"],
        ),
    ];
    for (paths, above) in floors {
        let found = imports(paths, above);
        assert!(found.is_empty(), "{found:#?}");
    }
    let found = imports(&["exchange", "error.rs", "route"], &["gateway", "service"]);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_findings_are_pure_and_nobody_waits_for_them() {
    let above = [
        "tunnel", "connect", "tls", "upstream", "proxied", "http2", "error", "exchange", "gateway",
        "service", "wire",
    ];
    let found = imports(&["diagnose"], &above);
    assert!(found.is_empty(), "{found:#?}");
    let others = [
        "head",
        "header",
        "handshake",
        "websocket",
        "route",
        "tunnel",
        "connect",
        "exchange",
        "gateway",
        "service",
    ];
    let found = imports(&others, &["diagnose"]);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn an_http_2_upstream_is_one_more_connector() {
    let above = ["tunnel", "error", "exchange", "gateway", "service", "wire"];
    let found = imports(&["http2"], &above);
    assert!(found.is_empty(), "{found:#?}");
    let found = imports(
        &["head", "header", "handshake", "connect", "exchange", "gateway"],
        &["http2"],
    );
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn a_group_of_servers_is_one_more_connector() {
    let found = imports(
        &[
            "connect", "tunnel", "tls", "http2", "error.rs", "exchange", "gateway", "service",
        ],
        &["upstream", "proxied"],
    );
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_doors_do_not_know_each_other() {
    for (door, other) in [("gateway", "service"), ("service", "gateway")] {
        let found = imports(&[door], &[other]);
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn only_the_verdict_makes_a_switch() {
    let makers = code(&["."]).into_iter().filter(|(_, lines)| {
        lines
            .iter()
            .any(|line| line.contains("Ok(Switched {") || line.contains("= Switched {"))
    });
    let makers: Vec<PathBuf> = makers.map(|(path, _)| path).collect();
    assert_eq!(makers.len(), 1, "{makers:?}");
    assert!(makers[0].ends_with("handshake/verdict.rs"));
}

/// `Instant + Duration` panics where the sum is beyond the clock. The types are known to the compiler only, so a lint forbids
/// it; here is seen that the lint is on.
#[test]
fn deadlines_are_made_in_one_place() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    assert!(read("src/lib.rs").contains("deny(clippy::arithmetic_side_effects)"));
    let settings = read("clippy.toml");
    let allowed = settings
        .lines()
        .find_map(|line| line.strip_prefix("arithmetic-side-effects-allowed = "));
    let allowed = allowed.expect("a list of numbers");
    for name in allowed.trim_matches(['[', ']']).split(", ") {
        let width = name.trim_matches('"').trim_start_matches(['u', 'i']);
        assert!(
            width == "size" || width.parse::<u8>().is_ok(),
            "{name} is no number"
        );
    }
    for (path, lines) in code(&["."]) {
        let is_clock = path.ends_with("clock.rs");
        for line in lines
            .iter()
            .filter(|line| line.contains("clippy::arithmetic_side_effects"))
        {
            let is_lint = line.contains("cfg_attr(not(test), deny(");
            assert!(is_clock || is_lint, "{}: {line}", path.display());
        }
    }
}
