//! Command lines that are wrong: each error names what was wrong, and what to write instead.

use std::process::{Command, Output};

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
        (
            &["--nginx-version", "new", "a.conf"],
            "a version is written as 1.22 or 1.30",
        ),
        (
            &["--explain", "http://a/", "-H", "X", "a.conf"],
            "-H X: a field is written as NAME: VALUE",
        ),
        (
            &["--method", "POST", "a.conf"],
            "--method and --field need --explain URL",
        ),
        (
            &["-H", "X: y", "a.conf"],
            "--method and --field need --explain URL",
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
