//! `--explain`: what it says is what happens.

use std::net::SocketAddr;

use crate::program::Folder;

fn explained(http: &str, url: &str, flags: &[&str]) -> String {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let folder = Folder::of(nobody, &format!("events {{}} http {{ {http} }}"));
    let url = url.replace("PORT", &folder.address().port().to_string());
    let flags: Vec<&str> = [&["--no-hints", "--explain", &*url], flags].concat();
    let output = folder.tested("test.conf", &flags);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

const SITE: &str = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }
    upstream chat { server 10.0.0.1:9000; }
    server { listen LISTEN; server_name other.example; }
    server { listen LISTEN; server_name chat.example;
        location / { return 404; }
        location /old/ { rewrite ^/old/(.*)$ /live/$1 last; }
        location ~ ^/live/(?<room>[a-z]+)$ {
            auth_request /auth;
            proxy_pass http://chat; proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Room $room; proxy_set_header Host $host; } }";

#[test]
fn a_websocket_by_a_rewrite_and_a_regular_expression() {
    let said = explained(
        SITE,
        "ws://chat.example:PORT/old/lobby?t=1",
        &["--field", "X-Room: mine"],
    );
    let expected = [
        "server chat.example",
        "is one of its names",
        "location /old/",
        "the longest prefix, and no regular expression matches",
        "rewrite ^/old/(.*)$ /live/$1 last",
        ": matches",
        "the lines of the location make it /live/lobby",
        "location ~ ^/live/(?<room>[a-z]+)$",
        "the first regular expression that matches",
        "auth_request /auth is asked",
        "to chat:80 for /live/lobby?t=1",
        "the upgrade is asked of the origin",
        "the origin receives: GET /live/lobby?t=1 HTTP/1.1",
        "x-room: lobby",
        "host: chat.example",
        "upgrade: websocket",
    ];
    let mut rest = &*said;
    for words in expected {
        let at = rest.find(words).unwrap_or_else(|| panic!("{words}: {said}"));
        rest = &rest[at..];
        if words.contains(": ") && words.starts_with(char::is_lowercase) && !words.starts_with("the ") {
            // Fields are in no order.
            rest = &said;
        }
    }
    assert!(!said.contains("x-room: mine"), "{said}");
}

#[test]
fn an_answer_of_its_own() {
    let said = explained(SITE, "http://chat.example:PORT/", &[]);
    assert!(said.contains("answer 404"), "{said}");
    let said = explained(SITE, "http://nobody.example:PORT/", &[]);
    assert!(said.contains("server other.example"), "{said}");
    assert!(said.contains("and this one is the default"), "{said}");
}

/// What is known before there is an answer: whether this client may be given it compressed.
#[test]
fn an_answer_that_may_be_compressed() {
    let words = "the answer is compressed (gzip)";
    let takes = ["--field", "Accept-Encoding: gzip"];
    for (lines, flags, expected) in [
        ("gzip on;", &takes[..], true),
        ("gzip on;", &[], false),
        ("gzip off;", &takes[..], false),
    ] {
        let said = explained(
            &format!("{lines} {SITE}"),
            "http://chat.example:PORT/old/lobby",
            flags,
        );
        assert_eq!(said.contains(words), expected, "{lines} {flags:?} {said}");
    }
}

#[test]
fn all_files_are_printed_as_nginx_prints_them() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let folder = Folder::of(
        nobody,
        "events {} http { include FOLDER/types.conf; server { listen LISTEN; include FOLDER/types.conf; return 204; } }",
    );
    folder.write("types.conf", "# nothing but a comment\n", nobody);
    let output = folder.tested("test.conf", &["-T"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    let heads: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("# configuration file "))
        .collect();
    assert_eq!(heads.len(), 2, "each file once: {said}");
    assert!(
        heads[0].ends_with("/test.conf:") && heads[1].ends_with("/types.conf:"),
        "{said}"
    );
    assert!(said.ends_with("# nothing but a comment\n\n"), "{said}");
    let checked = folder.tested("test.conf", &["-t"]);
    assert!(checked.stdout.is_empty(), "-t prints no files");
}

#[test]
fn conditions_and_the_reasons_for_a_location() {
    let site = "server { listen LISTEN; server_name a.example; if ($http_x = bad) { return 403; }
        location = /exact { return 200; } location ^~ /static/ { return 200; }
        location / { if ($arg_old) { rewrite ^ /exact last; } return 204; } }";
    for (target, flags, expected) in [
        (
            "/",
            &[][..],
            &[
                "if ($http_x = bad)",
                "does not hold",
                "the longest prefix",
                "if ($arg_old)",
                "does not hold",
                "answer 204",
            ][..],
        ),
        (
            "/",
            &["--field", "X: bad"],
            &["if ($http_x = bad)", ": holds", "answer 403"],
        ),
        (
            "/?old=1",
            &[],
            &[
                "if ($arg_old)",
                ": holds",
                ": matches",
                "location = /exact",
                "the path is this one",
                "answer 200",
            ],
        ),
        (
            "/static/x",
            &[],
            &["regular expressions are not tried behind it", "answer 200"],
        ),
    ] {
        let said = explained(site, &format!("http://a.example:PORT{target}"), flags);
        let mut rest = &*said;
        for words in expected {
            let at = rest
                .find(words)
                .unwrap_or_else(|| panic!("{target}: {words}: {said}"));
            rest = &rest[at + words.len()..];
        }
    }
}

#[test]
fn guards_files_and_the_servers_of_a_group() {
    let site = "upstream group { least_conn; server 10.0.0.1:8000; server 10.0.0.2:8000 backup; }
        server { listen LISTEN; server_name a.example; root FOLDER;
            location /in/ { allow 10.0.0.0/8; deny all; rewrite ^/in/(.*)$ /base/$1 break; proxy_pass http://group; }
            location /file { try_files /none.txt /test.conf =404; proxy_pass http://group; }
            location /none { try_files /none.txt =404; } }";
    let cases: &[(&str, &[&str], &[&str])] = &[
        (
            "/in/x",
            &[],
            &[
                "make it /base/x, and it stays here",
                "allow and deny: 127.0.0.1 is kept out (403 Forbidden)",
                "answer 403",
            ],
        ),
        (
            "/in/x",
            &["--client", "10.2.3.4"],
            &[
                "allow and deny: 10.2.3.4 is let in",
                "to group:80 for /base/x",
                "upstream group (",
                "least_conn; server 10.0.0.1:8000; server 10.0.0.2:8000 backup",
                "GET /base/x HTTP/1.1",
            ],
        ),
        (
            "/file",
            &[],
            &["try_files: /test.conf is there", "GET /file HTTP/1.1"],
        ),
        (
            "/none",
            &[],
            &["try_files: nothing is there, and =404 is the last", "answer 404"],
        ),
    ];
    for (target, flags, expected) in cases {
        let said = explained(site, &format!("http://a.example:PORT{target}"), flags);
        let mut rest = &*said;
        for words in *expected {
            let at = rest.find(words);
            rest = &rest[at.unwrap_or_else(|| panic!("{target}: {words}: {said}"))..];
        }
    }
}
