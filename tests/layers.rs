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
            "--locked",
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
fn no_provider_of_cryptography_that_is_not_asked_for() {
    // rustls' own builders panic in a program with two of them, whichever crate has enabled the second.
    for (features, expected) in [
        ("rustls", &[][..]),
        ("ring", &["ring"]),
        ("aws-lc-rs", &["aws_lc_rs"]),
        ("full", &["ring"]),
    ] {
        let enabled = features_of("rustls", &["--no-default-features", "--features", features]);
        let providers = ["ring", "aws_lc_rs"].into_iter();
        let providers: Vec<&str> = providers
            .filter(|name| enabled.iter().any(|feature| feature == name))
            .collect();
        assert_eq!(providers, expected, "{features}: {enabled:?}");
    }
}

#[test]
fn the_pure_floors_never_name_tokio() {
    for (path, lines) in code(&[
        "http1",
        "header",
        "handshake",
        "diagnose",
        "websocket",
        "proxy_protocol/binary.rs",
        "proxy_protocol/checksum.rs",
        "proxy_protocol/text.rs",
        "proxy_protocol/tlv.rs",
        "route",
        "side.rs",
        "token.rs",
        "tunnel/lifecycle.rs",
        "tunnel/lifecycle",
    ]) {
        for line in lines {
            assert!(!names(&line, "tokio"), "{}: {line}", path.display());
        }
    }
}

/// Every module, from the ground up, and what its code may import. A module imports only what stands above its own row. A file
/// that stands higher than the rest of its folder has a row of its own.
const FLOORS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("side", &[]),
    ("telemetry", &["side"]),
    ("token", &[]),
    ("proxy_protocol", &[]),
    ("http1", &["token"]),
    ("websocket", &["side", "token"]),
    ("header", &["http1", "token"]),
    ("handshake", &["http1", "header", "token", "websocket"]),
    ("route", &["handshake", "http1", "token"]),
    ("diagnose", &["handshake", "http1", "header", "websocket"]),
    ("tunnel", &["clock", "side", "telemetry", "websocket"]),
    ("wire", &[]),
    ("test_util", &["http1", "websocket"]),
    ("connect", &["clock", "header", "http1", "telemetry", "tunnel"]),
    (
        "proxy_protocol/acceptor",
        &["header", "proxy_protocol", "tunnel", "wire"],
    ),
    (
        "proxy_protocol/connector",
        &["connect", "header", "proxy_protocol"],
    ),
    ("tls", &["clock", "connect", "token", "wire"]),
    ("upstream", &["clock", "connect", "telemetry", "tls", "tunnel"]),
    (
        "http2",
        &["clock", "connect", "handshake", "header", "http1", "telemetry"],
    ),
    (
        "error",
        &[
            "connect",
            "handshake",
            "http1",
            "http2",
            "side",
            "telemetry",
            "tls",
            "tunnel",
        ],
    ),
    (
        "exchange",
        &[
            "clock",
            "connect",
            "error",
            "handshake",
            "http1",
            "header",
            "side",
            "telemetry",
            "tunnel",
            "wire",
        ],
    ),
    (
        "gateway",
        &[
            "clock",
            "connect",
            "error",
            "exchange",
            "handshake",
            "http1",
            "header",
            "side",
            "telemetry",
            "tunnel",
            "wire",
        ],
    ),
    (
        "service",
        &[
            "clock",
            "connect",
            "error",
            "exchange",
            "handshake",
            "http1",
            "header",
            "http2",
            "side",
            "telemetry",
            "tls",
            "tunnel",
            "websocket",
            "wire",
        ],
    ),
];

/// The modules of the crate that a file names in its imports and paths: each word behind `crate::`, lists in braces included.
fn named_modules(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let word = |text: &str| -> String {
            let letters = text.trim_start().chars();
            letters.take_while(|c| c.is_alphanumeric() || *c == '_').collect()
        };
        let Some(list) = rest.strip_prefix('{') else {
            found.push(word(rest));
            continue;
        };
        // The names at the first level of the list: at its start, and behind each comma that is in no inner list.
        let mut depth = 0;
        found.push(word(list));
        for (at, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => found.push(word(&list[at + 1..])),
                _ => {}
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// What stands before a file's unit tests: they may look at anything.
fn without_tests(lines: &[String]) -> String {
    // Tests that are a file of their own are named in the middle of a file, and the code goes on behind them.
    let begins =
        |pair: &[String]| pair[0].starts_with("#[cfg(") && pair[0].contains("test") && pair[1].ends_with('{');
    let end = lines.windows(2).position(begins).unwrap_or(lines.len());
    lines[..end].join("\n")
}

#[test]
fn every_import_goes_down_and_is_in_the_table() {
    let listed: Vec<&str> = FLOORS.iter().map(|(module, _)| *module).collect();
    for (row, (module, permitted)) in FLOORS.iter().enumerate() {
        for below in *permitted {
            assert!(
                listed[..row].contains(below),
                "{module} imports {below}, which does not stand below it"
            );
        }
    }
    let mut wrong = Vec::new();
    let mut used = Vec::new();
    for (path, lines) in code(&[""]) {
        let inside = path.strip_prefix(root().join("src")).unwrap();
        let Some(whole) = inside.to_str().unwrap().strip_suffix(".rs") else {
            continue;
        };
        let first = whole.split('/').next().unwrap();
        let own_row = FLOORS.iter().find(|(name, _)| *name == whole);
        let module = own_row.map_or(first, |(name, _)| name);
        if module == "lib" || module == "manual" {
            continue;
        }
        let Some((_, permitted)) = FLOORS.iter().find(|(name, _)| *name == module) else {
            panic!("{module} is in no row of the table");
        };
        for name in named_modules(&without_tests(&lines)) {
            if name != module && !permitted.contains(&name.as_str()) {
                wrong.push(format!("{} imports {name}", path.display()));
            }
            used.push((module.to_owned(), name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (module, permitted) in FLOORS {
        for name in *permitted {
            let edge = ((*module).to_owned(), (*name).to_owned());
            assert!(
                used.contains(&edge),
                "the table permits {module} to import {name}, which it does not"
            );
        }
    }
}

/// The table of floors in the root doc has every public module once, in an order that the table of edges permits.
#[test]
fn the_floors_of_the_root_doc_are_those_of_the_table() {
    let doc = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let table = doc.split("//! # The floors").nth(1).unwrap();
    let table = table.split("//! A module imports").next().unwrap();
    let mut named = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("//! | ")).skip(1) {
        let modules = row.split('|').nth(2).unwrap();
        named.extend(modules.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    let public = doc.lines().filter_map(|line| line.strip_prefix("pub mod "));
    let public = public.map(|name| name.trim_end_matches(';'));
    let mut expected: Vec<&str> = public
        .filter(|name| !["manual", "test_util"].contains(name))
        .collect();
    let mut sorted: Vec<&str> = named.iter().map(String::as_str).collect();
    expected.sort_unstable();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    for (module, permitted) in FLOORS {
        let place = |name: &str| named.iter().position(|found| found == name);
        for below in *permitted {
            if let (Some(here), Some(there)) = (place(module), place(below)) {
                assert!(
                    there < here,
                    "{module} imports {below}, and stands above it in the root doc"
                );
            }
        }
    }
}

#[test]
fn imports_are_found_in_lists_and_paths() {
    let code = "use crate::http1::{Parsed, crate_like};\nuse crate::{side::Side, tunnel::{Cap, drain}, wire};\n\
        fn f() { crate::token::is_token(b\"\"); macro_crate::x(); $crate::y(); }";
    assert_eq!(named_modules(code), ["http1", "side", "tunnel", "wire", "token"]);
}

#[test]
fn the_tunnel_knows_no_http() {
    // What moves bytes knows no frames either; what an end was is a value that names them.
    let rooms = [
        "tunnel/websocket/",
        "tunnel/lifecycle/",
        "tunnel/end.rs",
        "tunnel/traffic.rs",
    ];
    for (path, lines) in code(&["tunnel"]) {
        let may_name_frames = rooms.iter().any(|room| path.display().to_string().contains(room));
        for line in lines {
            let is_named = line.contains("crate::websocket");
            assert!(may_name_frames || !is_named, "{}: {line}", path.display());
            assert!(
                !names(&line, "http") && !names(&line, "httparse"),
                "{}: {line}",
                path.display()
            );
        }
    }
}

/// A page of the manual or of the README that names a file of the repository names one that is there.
#[test]
fn every_path_that_the_manual_names_exists() {
    let mut pages = vec![root().join("README.md"), root().join("CHANGELOG.md")];
    for entry in root().join("src/manual").read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "md" || extension == "rs")
        {
            pages.push(path);
        }
    }
    let (mut found, mut missing) = (0, Vec::new());
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for quoted in text.split('`').skip(1).step_by(2) {
            let is_path = |text: &str| {
                text.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte))
                    && text.contains('/')
                    && !text.starts_with('/')
                    && (text.ends_with('/')
                        || [".rs", ".md", ".toml", ".yaml", ".mjs", ".py"]
                            .iter()
                            .any(|end| text.ends_with(end)))
            };
            if !is_path(quoted) || quoted.starts_with("target/") || quoted.contains("...") {
                continue;
            }
            found += 1;
            // A path of the sources is given from the root of the crate, or from `src`.
            if !root().join(quoted).exists() && !root().join("src").join(quoted).exists() {
                missing.push(format!("{}: {quoted}", page.display()));
            }
        }
    }
    assert!(found > 30, "only {found} paths were found");
    assert!(missing.is_empty(), "{missing:#?}");
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

/// The names of the setters of a configuration: `pub fn name(mut self, …)`.
fn setters(file: &str) -> Vec<String> {
    let lines = &code(&[file])[0].1;
    let named = |line: &String| {
        let (name, arguments) = line.strip_prefix("pub fn ")?.split_once('(')?;
        // Where they are too many for one line, they begin with the next.
        (arguments.is_empty() || arguments.starts_with("mut self")).then(|| name.to_owned())
    };
    lines.iter().filter_map(named).collect()
}

#[test]
fn both_doors_have_every_setter_of_their_upgrades() {
    let repeated = setters("exchange/setters.rs");
    let upgrades = setters("exchange/config.rs");
    assert!(upgrades.len() > 7, "{upgrades:?}");
    let missing: Vec<_> = upgrades.iter().filter(|name| !repeated.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    for file in ["gateway/config.rs", "service/upgrade/config.rs"] {
        let (_, lines) = &code(&[file])[0];
        assert!(
            lines.iter().any(|line| line == "upgrade_setters!(upgrade);"),
            "{file}"
        );
    }
}

/// A test that waits without a limit hangs where it should fail. What has a limit is in `support::bounded`.
#[test]
fn no_test_waits_without_a_limit() {
    const ENDLESS: [&str; 7] = [
        "Barrier",
        "Condvar",
        "thread::park",
        ".recv().unwrap()",
        ".recv().expect(",
        ".wait_with_output()",
        "set_read_timeout(None)",
    ];
    let folders = root().join("tests").read_dir().unwrap();
    let folders = folders.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // Of others, and of strangers.
    let own = folders.filter(|name| !["peers", "downstream", "layers.rs"].contains(&name.as_str()));
    let own: Vec<String> = own.map(|name| format!("../tests/{name}")).collect();
    let programs = [
        "../examples/doctor/tests",
        "../examples/gateway/tests",
        "../examples/nginx_conf/tests",
        "../fuzz/tests",
        "../soak/tests",
    ];
    let paths: Vec<&str> = own.iter().map(String::as_str).chain(programs).collect();
    let mut found = Vec::new();
    for (path, lines) in code(&paths) {
        let endless = lines
            .iter()
            .filter(|line| ENDLESS.iter().any(|word| line.contains(word)));
        found.extend(endless.map(|line| format!("{}: {line}", path.display())));
    }
    assert!(found.is_empty(), "{found:#?}");
}
