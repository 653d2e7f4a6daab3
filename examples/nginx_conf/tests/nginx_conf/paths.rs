//! What becomes of a path on its way up where `proxy_pass` has one of its own. nginx decodes the path, replaces its prefix and
//! encodes it again; here it goes up as it came. Both are upstreams of their own, and answer the target that they are asked for.

use crate::named::{folder, kinds};
use crate::program::Kind;
use crate::read_alike::ask;

/// The target, and what the upstream is asked for by nginx and by the example; of neither where there is a status.
const CASES: &[(&str, &str, &str)] = &[
    ("/app/a%20b?c=%20d", "/base/a%20b?c=%20d", "/base/a%20b?c=%20d"),
    ("/app/a%3Fb%25c", "/base/a%3Fb%25c", "/base/a%3Fb%25c"),
    ("/app/a;b=1,c:d@e", "/base/a;b=1,c:d@e", "/base/a;b=1,c:d@e"),
    ("/app/%7Euser", "/base/~user", "/base/%7Euser"),
    ("/app/%e4%bd%a0", "/base/%E4%BD%A0", "/base/%e4%bd%a0"),
    ("/app/a%2Fb", "/base/a/b", "/base/a%2Fb"),
    ("/app/a//b", "/base/a/b", "/base/a//b"),
    ("/app/a/./b/../c", "/base/a/c", "/base/a/./b/../c"),
    (
        "/whole/a%2Fb//c/../d",
        "/whole/a%2Fb//c/../d",
        "/whole/a%2Fb//c/../d",
    ),
    ("/whole/caf\u{e9}", "/whole/caf\u{e9}", "400"),
    ("/whole/x?a=\"b\"", "/whole/x?a=\"b\"", "400"),
    ("/whole/x?a=<b>", "/whole/x?a=<b>", "400"),
    (
        "/whole/x|y{z}^?a=|^`{}\\",
        "/whole/x|y{z}^?a=|^`{}\\",
        "/whole/x|y{z}^?a=|^`{}\\",
    ),
    ("/whole/%zz", "400", "400"),
];

#[test]
fn a_path_on_its_way_up() {
    let upstream = "server { listen unix:FOLDER/up; return 200 $request_uri; }";
    let locations = "location /app/ { proxy_pass http://unix:FOLDER/up:/base/; }
        location /whole/ { proxy_pass http://unix:FOLDER/up; }";
    for kind in kinds() {
        let program = folder(upstream, locations).start(kind, "test.conf", &["--strict"]);
        for (target, theirs, ours) in CASES {
            let expected = if kind == Kind::Nginx { theirs } else { ours };
            let expected = match *expected {
                "400" => "400  \"\"".to_owned(),
                target => format!("200  {target:?}"),
            };
            assert_eq!(
                ask(program.address, target, "Host: a\r\n"),
                expected,
                "{kind:?} {target}"
            );
        }
    }
}

/// `--nginx-paths`: as in nginx, but nothing climbs.
#[test]
fn a_path_as_nginx_reads_it() {
    let upstream = "server { listen unix:FOLDER/up; return 200 $request_uri; }";
    let locations = "location /app/ { proxy_pass http://unix:FOLDER/up:/base/; }
        location /open { proxy_pass http://unix:FOLDER/up:/base/; }";
    let program = folder(upstream, locations).start(Kind::Ours, "test.conf", &["--nginx-paths"]);
    let app = CASES.iter().filter(|(target, ..)| target.starts_with("/app/"));
    let app = app.map(|(target, theirs, _)| (*target, format!("200  {theirs:?}")));
    let open = [("/open/x", "200  \"/base//x\""), ("/open../x", "400  \"\"")];
    let open = open.map(|(target, expected)| (target, expected.to_owned()));
    for (target, expected) in app.chain(open) {
        assert_eq!(ask(program.address, target, "Host: a\r\n"), expected, "{target}");
    }
}

/// What a group holds is decoded, and may hold what no target can. nginx sends it so, and an nginx behind it answers 400, or another thing than was asked for.
#[test]
fn a_group_on_its_way_up() {
    let upstream = "server { listen unix:FOLDER/up; return 200 $request_uri; }";
    let locations =
        "location ~ ^/group/(?<rest>.*) { proxy_pass http://unix:FOLDER/up:/base/$rest$is_args$args; }";
    for kind in kinds() {
        let program = folder(upstream, locations).start(kind, "test.conf", &["--strict"]);
        for (target, theirs, ours) in [
            ("/group/a/b?c=%20d", "/base/a/b?c=%20d", "/base/a/b?c=%20d"),
            ("/group/a%20b", "400", "/base/a%20b"),
            ("/group/a%23b", "/base/a#b", "/base/a%23b"),
            // The expression ends before the line feed.
            ("/group/a%0D%0Ab", "400", "/base/a%0D"),
            ("/group/a%3Fb", "/base/a?b", "/base/a?b"),
            ("/group/%22%3Ca%3E", "/base/\"<a>", "/base/%22%3Ca%3E"),
        ] {
            let expected = if kind == Kind::Nginx { theirs } else { ours };
            let given = ask(program.address, target, "Host: a\r\n");
            match expected {
                "400" => assert!(!given.starts_with("200"), "{kind:?} {target}: {given}"),
                expected => assert_eq!(given, format!("200  {expected:?}"), "{kind:?} {target}"),
            }
        }
    }
}
