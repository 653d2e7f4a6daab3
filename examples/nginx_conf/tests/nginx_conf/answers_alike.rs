//! Answers of the configuration's own, under both: their fields, their pages, and who gets them.

use std::io::{Read, Write};
use std::net::SocketAddr;

use support::bounded::connect;

use crate::named::kinds;
use crate::program::{Folder, Program};
use crate::read_alike::both_answer;

/// All of an answer, in small letters.
fn answer(program: &Program, target: &str, lines: &str) -> String {
    let mut stream = connect(program.address);
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap().to_ascii_lowercase()
}

/// Both with these lines of a server, with a page and a file of passwords in the folder.
fn both(server: &str, look: impl Fn(&dyn Fn(&str, &str) -> String)) {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let text = format!(
        "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
         server {{ listen LISTEN; root FOLDER/files; {server} }} }}\n"
    );
    for kind in kinds() {
        let folder = Folder::of(nobody, &text);
        std::fs::create_dir_all(folder.path.join("files")).unwrap();
        folder.write("files/page.html", "page", nobody);
        folder.write("users", "user:{PLAIN}secret\n", nobody);
        let program = folder.start(kind, "test.conf", &["--strict"]);
        let ask = |target: &str, lines: &str| answer(&program, target, lines);
        look(&ask);
    }
}

#[test]
fn pages_and_their_types() {
    let server = "charset utf-8; location = /401 { return 401; } location = /404 { return 404; } location = /301 { return 301 /x; }
                  location = /302 { return 302 /x; } location = /303 { return 303 /x; } location = /307 { return 307 /x; }
                  location = /418 { return 418; } location = /426 { return 426; } location = /599 { return 599; }";
    both(server, |ask| {
        for (target, title, kind) in [
            ("/401", "401 authorization required", "text/html; charset=utf-8"),
            ("/404", "404 not found", "text/html; charset=utf-8"),
            ("/301", "301 moved permanently", "text/html"),
            ("/302", "302 found", "text/html"),
            ("/303", "303 see other", "text/html; charset=utf-8"),
            ("/307", "307 temporary redirect", "text/html; charset=utf-8"),
        ] {
            let answer = ask(target, "");
            assert!(answer.contains(&format!("<h1>{title}</h1>")), "{answer}");
            assert!(
                answer.contains(&format!("\r\ncontent-type: {kind}\r\n")),
                "{answer}"
            );
        }
        // Without a page in nginx.
        for target in ["/418", "/426", "/599"] {
            let answer = ask(target, "");
            assert!(
                answer.starts_with(&format!("http/1.1 {} ", &target[1..])),
                "{answer}"
            );
            assert!(
                !answer.contains("content-type") && answer.ends_with("\r\n\r\n"),
                "{answer}"
            );
        }
    });
}

/// What a page is a part of is the answer that it belongs to: it has no time of its own, and no parts.
#[test]
fn a_file_as_the_page_of_an_answer() {
    let server = "error_page 404 /page.html; error_page 403 =200 /page.html; location = /403 { return 403; }";
    both(server, |ask| {
        let fields = |answer: &str| {
            let has = |name: &str| answer.contains(&format!("\r\n{name}: "));
            ["etag", "last-modified", "accept-ranges"].map(has)
        };
        for range in [
            "",
            "Range: bytes=0-1\r\n",
            "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT\r\n",
        ] {
            let page = ask("/missing", range);
            assert!(
                page.starts_with("http/1.1 404 ") && page.ends_with("\r\n\r\npage"),
                "{page}"
            );
            assert_eq!(fields(&page), [true, false, false], "{page}");
        }
        let file = ask("/403", "");
        assert!(file.starts_with("http/1.1 200 "), "{file}");
        assert_eq!(fields(&file), [true, true, true], "{file}");
    });
}

/// A guard that has asked for a password has done so, whatever the next one comes to.
#[test]
fn a_guard_that_fails_behind_one_that_asks() {
    let server = "location = /auth { return 500; }
                  location / { satisfy any; auth_basic r; auth_basic_user_file FOLDER/users; auth_request /auth; }";
    both(server, |ask| {
        let answer = ask("/page.html", "");
        assert!(answer.starts_with("http/1.1 500 "), "{answer}");
        assert!(
            answer.contains("\r\nwww-authenticate: basic realm=\"r\"\r\n"),
            "{answer}"
        );
    });
}

#[test]
fn redirections_without_an_end_are_no_page() {
    both_answer(
        "server { listen LISTEN; root FOLDER/files; error_page 403 =200 /loop; location = /403 { return 403; }
             location /loop { try_files /none /loop; } }",
        &[("/403", "Host: a\r\n", "500  \"\""), ("/loop", "Host: a\r\n", "500  \"\"")],
    );
}

/// Who the client is, is found out once: by the server, if it finds anybody, be it the proxy itself.
#[test]
fn the_client_is_found_once() {
    let expected = |who| format!("200  {who:?}");
    both_answer(
        "server { listen LISTEN; set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For;
             location / { return 200 $remote_addr; }
             location /guarded { real_ip_recursive on; allow 10.0.0.0/8; deny all; root FOLDER/files; try_files /one.txt =404; } }
         server { listen LISTEN; server_name late.example; root FOLDER/files;
             location /guarded { set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For; real_ip_recursive on;
                 allow 10.0.0.0/8; deny all; try_files /one.txt =404; } }",
        &[
            ("/", "Host: a\r\nX-Forwarded-For: 10.1.1.1\r\n", &expected("10.1.1.1")),
            ("/", "Host: a\r\nX-Forwarded-For: 10.1.1.1, 127.0.0.9\r\n", &expected("127.0.0.9")),
            ("/guarded", "Host: a\r\nX-Forwarded-For: 10.1.1.1\r\n", &expected("one\n")),
            ("/guarded", "Host: a\r\nX-Forwarded-For: 10.1.1.1, 127.0.0.1\r\n", "403  \"\""),
            ("/guarded", "Host: a\r\n", "403  \"\""),
            (
                "/guarded",
                "Host: late.example\r\nX-Forwarded-For: 10.1.1.1, 127.0.0.1\r\n",
                &expected("one\n"),
            ),
        ],
    );
}

#[test]
fn credentials_with_any_padding() {
    let ask = |credentials: &str| format!("Host: a\r\nAuthorization: {credentials}\r\n");
    // "user:secret"
    let cases = [
        ("Basic dXNlcjpzZWNyZXQ=", "200  \"one\\n\""),
        ("basic dXNlcjpzZWNyZXQ", "200  \"one\\n\""),
        ("Basic dXNlcjpzZWNyZXQ==", "200  \"one\\n\""),
        ("Basic dXNlcjpzZWNyZXQ=x", "200  \"one\\n\""),
        ("Basic dXNlcjpzZWNyZX", "401  \"\""),
        ("Basic =dXNlcjpzZWNyZXQ=", "401  \"\""),
        ("Bearer dXNlcjpzZWNyZXQ=", "401  \"\""),
    ];
    let lines: Vec<String> = cases.iter().map(|(credentials, _)| ask(credentials)).collect();
    let cases: Vec<_> = cases
        .iter()
        .zip(&lines)
        .map(|((_, expected), lines)| ("/one.txt", &**lines, *expected))
        .collect();
    both_answer(
        "server { listen LISTEN; root FOLDER/files; auth_basic r; auth_basic_user_file FOLDER/files/../users; }",
        &cases,
    );
}

/// `$server_name`, and `$host` of a request without one.
#[test]
fn names_are_in_small_letters() {
    both_answer(
        "server { listen LISTEN; server_name ONE.Example; return 200 \"$server_name\"; }",
        &[("/", "Host: a\r\n", "200  \"one.example\"")],
    );
}

#[test]
fn a_part_of_a_file_that_is_not_there() {
    both("", |ask| {
        let answer = ask("/page.html", "Range: bytes=99-\r\n");
        assert!(answer.starts_with("http/1.1 416 "), "{answer}");
        assert!(answer.contains("\r\ncontent-range: bytes */4\r\n"), "{answer}");
        assert!(
            answer.contains("<h1>416 requested range not satisfiable</h1>"),
            "{answer}"
        );
        assert!(
            !answer.contains("etag") && !answer.contains("last-modified"),
            "{answer}"
        );
    });
}

/// Where a client is sent is an address also where its path has letters beyond ASCII.
#[test]
fn redirections_to_paths_beyond_ascii() {
    both("location / { return 302 /r$uri; }", |ask| {
        let answer = ask("/%C3%A9", "");
        assert!(
            answer.contains("\r\nlocation: http://a:") && answer.contains("/r/\u{e9}\r\n"),
            "{answer}"
        );
    });
}

/// What an upstream that names another location has said of cookies is changed as where it was asked.
#[test]
fn cookies_of_an_answer_that_names_another_location() {
    let server = "location /up { add_header Set-Cookie 'a=b; Path=/'; add_header X-Accel-Redirect /page.html; return 204; }
                  location / { proxy_cookie_path / /x/; proxy_pass http://LISTEN/up; } location = /page.html { }";
    both(server, |ask| {
        let answer = ask("/asked", "");
        assert!(answer.ends_with("\r\n\r\npage"), "{answer}");
        assert!(answer.contains("\r\nset-cookie: a=b; path=/x/\r\n"), "{answer}");
    });
}
