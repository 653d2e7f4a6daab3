//! Command lines that are wrong: each error names what was wrong, and what to write instead.

use std::process::{Command, Output};

use crate::program::{Folder, Kind};
use crate::read_alike::ask;

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(support::executable("nginx_conf"));
    command.args(arguments).output().expect("the program starts")
}

#[test]
fn what_is_wrong_and_what_to_write_instead() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "a FILE is needed, as /etc/nginx/nginx.conf"),
        (&["-t"], "a FILE is needed"),
        (&["-q", "a.conf"], "-q: there is no such flag; see --help"),
        (&["--to_rust", "a.conf"], "--to_rust: there is no such flag"),
        (&["a.conf", "b.conf"], "one FILE is read"),
        (&["a.conf", "-c", "b.conf"], "one FILE is read"),
        (&["a.conf", "-p"], "-p needs a value"),
        (&["a.conf", "--allow-upgrade"], "--allow-upgrade needs a value"),
        (
            &["--allow-upgrade", "a b", "a.conf"],
            "a protocol is written as NAME or NAME/VERSION",
        ),
        (
            &["--nginx-version", "new", "a.conf"],
            "a version is written as 1.22 or 1.30",
        ),
        (
            &["--explain", "http://a/", "-H", "X", "a.conf"],
            "-H X: a field is written as NAME: VALUE",
        ),
        (
            &["--explain", "http://a/", "--client", "me", "a.conf"],
            "--client me: an address is expected",
        ),
        (
            &["--method", "POST", "a.conf"],
            "--method, --field and --client need --explain URL",
        ),
        (
            &["-H", "X: y", "a.conf"],
            "--method, --field and --client need --explain URL",
        ),
    ];
    for (arguments, words) in cases {
        let output = run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
}

#[test]
fn what_is_asked_of_the_program_itself() {
    for (flag, start) in [
        ("--help", "Runs what a configuration of nginx says"),
        ("-h", "Runs what a configuration of nginx says"),
        ("--version", concat!("nginx_conf ", env!("CARGO_PKG_VERSION"))),
        ("-V", "nginx_conf "),
    ] {
        let output = run(&[flag]);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.starts_with(start),
            "{flag}: {text}"
        );
    }
}

/// As in nginx: files and logs begin at `-p`, certificates and passwords at the folder of the configuration.
#[test]
fn where_relative_paths_begin() {
    let text = "events {}\nhttp { access_log access;
        server { listen LISTEN; root .; auth_basic x; auth_basic_user_file passwords; } }\n";
    let folder = Folder::of(([127, 0, 0, 1], 9).into(), text);
    let other = folder.path.join("other");
    std::fs::create_dir_all(&other).unwrap();
    std::fs::write(folder.path.join("passwords"), "one:{PLAIN}two\n").unwrap();
    std::fs::write(other.join("a.txt"), "other").unwrap();
    let flags = ["--strict", "-p", other.to_str().unwrap()];
    let program = folder.start(Kind::Ours, "test.conf", &flags);
    let lines = "Host: a\r\nAuthorization: Basic b25lOnR3bw==\r\n";
    assert_eq!(ask(program.address, "/a.txt", lines), "200  \"other\"");
    assert_eq!(ask(program.address, "/a.txt", "Host: a\r\n"), "401  \"\"");
    assert!(other.join("access").exists());
}
