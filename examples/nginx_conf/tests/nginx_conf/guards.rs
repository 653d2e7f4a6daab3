//! Guards whose effect depends on what they are asked by: limits on the way of another request, locations that a redirection would give
//! away, expressions that give up, and lines that cannot be what was meant.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::named::{folder, kinds};
use crate::program::{Folder, Kind, Program};

const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

/// Longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(20);

fn status(program: &Program, target: &str) -> String {
    let mut stream = TcpStream::connect(program.address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(answer.get(9..12).unwrap_or_default()).into_owned()
}

/// Starts both with these lines of `http` and of its server, and expects these statuses in order.
fn statuses(http: &str, server: &str, cases: &[(&str, &str)]) {
    for kind in kinds() {
        let program = started(kind, http, server);
        for (target, expected) in cases {
            assert_eq!(status(&program, target), *expected, "{kind:?} {target}");
        }
    }
}

fn started(kind: Kind, http: &str, server: &str) -> Program {
    let log = if http.contains("access_log") {
        ""
    } else {
        "access_log off;"
    };
    let text = format!(
        "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; {log} {http}
         server {{ listen LISTEN; root FOLDER/files; {server} }} }}\n"
    );
    let folder = Folder::of(NOBODY, &text);
    std::fs::create_dir_all(folder.path.join("files/img")).unwrap();
    std::fs::create_dir_all(folder.path.join("other")).unwrap();
    std::fs::write(folder.path.join("files/one.txt"), "one").unwrap();
    std::fs::write(folder.path.join("other/two.txt"), "two").unwrap();
    folder.start(kind, "test.conf", &["--strict"])
}

/// What limits the location that `auth_request` names limits what it guards, unless that has been counted already.
#[test]
fn limits_of_what_auth_request_asks() {
    let zones = "limit_req_zone $server_port zone=one:1m rate=1r/m; limit_req_zone $server_port zone=two:1m rate=1r/m;";
    let guard = "location = /guard { limit_req zone=one; try_files /one.txt =404; }";
    statuses(
        zones,
        &format!("location = /in {{ auth_request /guard; try_files /one.txt =404; }} {guard}"),
        &[("/in", "200"), ("/in", "500"), ("/guard", "503")],
    );
    // Counted once for a request: by its own location, which comes first.
    statuses(
        zones,
        &format!(
            "location = /in {{ limit_req zone=two burst=5 nodelay; auth_request /guard; try_files /one.txt =404; }} {guard}"
        ),
        &[
            ("/in", "200"),
            ("/in", "200"),
            ("/guard", "200"),
            ("/guard", "503"),
        ],
    );
    // Or by what it asks, and then no more where it is sent within.
    statuses(
        zones,
        &format!(
            "location = /in {{ auth_request /guard; try_files /none /limited; }} {guard}
             location = /limited {{ limit_req zone=two; try_files /one.txt =404; }}"
        ),
        &[("/limited", "200"), ("/in", "200"), ("/limited", "503")],
    );
}

/// An origin that answers each request when it is told to. It reports what it is asked.
fn held_origin() -> (SocketAddr, Receiver<std::sync::mpsc::Sender<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (reports, reported) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), reports) = (stream, reports.clone()) else {
                return;
            };
            thread::spawn(move || {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    match stream.read(&mut byte) {
                        Ok(1) => head.push(byte[0]),
                        _ => return,
                    }
                }
                let (goes_on, told) = channel();
                let _ = reports.send(goes_on);
                let _ = told.recv_timeout(TIMEOUT);
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
            });
        }
    });
    (address, reported)
}

/// A place under the `limit_conn` of what `auth_request` names is held as long as the request lasts that has asked.
#[test]
fn places_of_what_auth_request_asks() {
    for kind in kinds() {
        let (address, reported) = held_origin();
        let program = started(
            kind,
            "limit_conn_zone $server_port zone=zone:1m;",
            &format!(
                "location = /in {{ auth_request /guard; proxy_pass http://{address}; }}
                 location = /guard {{ limit_conn zone 1; try_files /one.txt =404; }}"
            ),
        );
        let mut held = TcpStream::connect(program.address).unwrap();
        held.set_read_timeout(Some(TIMEOUT)).unwrap();
        write!(held, "GET /in HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let goes_on = reported.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(status(&program, "/in"), "500", "{kind:?}");
        goes_on.send(()).unwrap();
        let mut answer = String::new();
        held.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{kind:?} {answer}");
        let deadline = Instant::now() + TIMEOUT;
        while status(&program, "/guard") != "200" {
            assert!(Instant::now() < deadline, "{kind:?}: the place is not free again");
        }
    }
}

/// A client that leaves while its request is delayed frees its place, and is not answered; one that has only said all it has to say is
/// answered by what needs no waiting.
#[test]
fn a_client_that_leaves_while_it_waits() {
    for kind in kinds() {
        let program = started(
            kind,
            "limit_req_zone $server_port zone=slow:1m rate=1r/m; log_format status $status; access_log FOLDER/left status;",
            "location / { try_files /one.txt =404; } location = /slow { limit_req zone=slow burst=5; try_files /one.txt =404; }",
        );
        let half_closed = |target: &str| {
            let mut stream = TcpStream::connect(program.address).unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            write!(
                stream,
                "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer.get(9..12).unwrap_or_default().to_owned()
        };
        assert_eq!(status(&program, "/slow"), "200", "{kind:?}");
        assert_eq!(half_closed("/one.txt"), "200", "{kind:?}");
        // It would have to wait for a minute.
        assert_eq!(half_closed("/slow"), "", "{kind:?}");
        let deadline = Instant::now() + TIMEOUT;
        while !program.folder.read("left").contains("499") {
            assert!(
                Instant::now() < deadline,
                "{kind:?} {}",
                program.folder.read("left")
            );
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A body that is too large for the location that `auth_request` names, and for one that is named otherwise.
#[test]
fn bodies_that_are_too_large_for_a_location_on_the_way() {
    for kind in kinds() {
        let program = started(
            kind,
            "",
            "client_max_body_size 0; location = /in { auth_request /guard; proxy_pass http://LISTEN/ok; }
             location = /ok { return 200 ok; } location = /guard { client_max_body_size 1; return 204; }
             location = /free { auth_request /any; proxy_pass http://LISTEN/ok; } location = /any { return 204; }
             location = /named { try_files /none @named; } location @named { client_max_body_size 1; return 201; }
             location = /small { client_max_body_size 1; return 201; } location = /to { rewrite ^ /small last; }",
        );
        for (target, expected) in [
            ("/in", "500"),
            ("/free", "200"),
            ("/named", "201"),
            ("/small", "413"),
            ("/to", "413"),
        ] {
            let mut stream = TcpStream::connect(program.address).unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            let head = format!(
                "POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab"
            );
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = Vec::new();
            // A body that nobody has read may end in a reset.
            let _ = stream.read_to_end(&mut answer);
            let given = String::from_utf8_lossy(answer.get(9..12).unwrap_or_default()).into_owned();
            assert_eq!(given, expected, "{kind:?} {target}");
        }
    }
}

/// A path that lacks the slash of an `internal` location is not redirected to it.
#[test]
fn an_internal_location_is_not_given_away() {
    statuses(
        "",
        "location /in/ { internal; proxy_pass http://127.0.0.1:9; } location /out/ { proxy_pass http://127.0.0.1:9; }
         location = /exact/ { internal; proxy_pass http://127.0.0.1:9; }",
        &[
            ("/in", "404"),
            ("/in/", "404"),
            ("/exact", "404"),
            ("/out", "301"),
            ("/out/", "502"),
        ],
    );
}

/// Whatever a value is for that cannot be had, the request is a 500: nothing is asked of an upstream by what stands in its place.
#[test]
fn a_value_that_cannot_be_had() {
    let lines = [
        "proxy_set_header X-Kind $kind; proxy_pass http://127.0.0.1:9;",
        "proxy_set_body $kind; proxy_pass http://127.0.0.1:9;",
        "proxy_method $kind; proxy_pass http://127.0.0.1:9;",
        "proxy_pass http://127.0.0.1:9/$kind;",
        "proxy_pass http://group;",
        "limit_req zone=zone; proxy_pass http://127.0.0.1:9;",
        "limit_conn open 1; try_files /one.txt =404;",
        "root FOLDER/$kind; try_files /one.txt =404;",
        "if ($kind) { return 204; } return 204;",
    ];
    let target = format!("/?kind={}", "a".repeat(64));
    for lines in lines {
        let program = started(
            Kind::Ours,
            "map $arg_kind $kind { default x; ~^(a|a)*(?=b)\\1$ y; } upstream group { hash $kind; server 127.0.0.1:9; }
             limit_req_zone $kind zone=zone:1m rate=1r/s; limit_conn_zone $kind zone=open:1m;",
            &format!("location / {{ {lines} }}"),
        );
        assert_eq!(status(&program, &target), "500", "{lines}");
        assert_ne!(status(&program, "/?kind=b"), "500", "{lines}");
    }
}

/// Names of files that lead out of a folder by what stands before them, and what is no file.
#[test]
fn what_is_no_file_of_a_folder() {
    for kind in kinds() {
        let program = started(
            kind,
            "",
            "location /img { alias FOLDER/files/img/; } location / { }",
        );
        let fifo = program.folder.path.join("files/fifo");
        let made = std::process::Command::new("mkfifo").arg(fifo).status().unwrap();
        assert!(made.success());
        for (target, expected) in [("/one.txt", "200"), ("/fifo", "404"), ("/none", "404")] {
            assert_eq!(status(&program, target), expected, "{kind:?} {target}");
        }
        // nginx answers 200: this is known of it.
        if kind == Kind::Ours {
            assert_eq!(status(&program, "/img../one.txt"), "404");
        }
    }
}

/// The path of a file with a slash behind it is none of a file: what guards by it keeps out.
#[test]
fn a_file_is_no_folder_for_try_files() {
    statuses(
        "",
        "location / { try_files $uri =403; proxy_pass http://127.0.0.1:9; }
         location /alias/ { alias FOLDER/files/; try_files $uri =403; proxy_pass http://127.0.0.1:9; }
         location /folder/ { root FOLDER; try_files /files/img/ =403; return 204; }
         location /slash/ { try_files /one.txt/ =403; proxy_pass http://127.0.0.1:9; }
         location /named/ { alias FOLDER/files/; try_files $uri @else; }
         location @else { return 418; }",
        &[
            ("/one.txt", "502"),
            ("/one.txt/", "403"),
            ("/one.txt//", "403"),
            ("/img/", "403"),
            ("/alias/one.txt", "502"),
            ("/alias/one.txt/", "403"),
            ("/slash/", "403"),
            ("/named/one.txt", "200"),
            ("/named/one.txt/", "418"),
        ],
    );
}

/// Whatever clients write, a key takes as much of a zone as any other.
#[test]
fn keys_as_long_as_a_head() {
    let program = started(
        Kind::Ours,
        "limit_req_zone $http_k zone=often:1m rate=1r/m; limit_conn_zone $http_k zone=open:1m;",
        "location / { limit_req zone=often; limit_conn open 1; try_files /one.txt =404; }",
    );
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
    };
    let long = "k".repeat(40_000);
    let ask = |number: usize| {
        let mut stream = support::bounded::connect(program.address);
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nK: {number}{long}\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer[9..12].to_owned()
    };
    // What the buffers of one connection at a time take is taken by now.
    (0..100).for_each(|number| assert_eq!(ask(number), "200"));
    let before = resident();
    (100..700).for_each(|number| assert_eq!(ask(number), "200"));
    assert_eq!(ask(100), "503");
    let more = resident().saturating_sub(before);
    assert!(more < 12_000, "{more} KiB for 600 keys of 40 KB");
}

/// Lists of all the networks of a country, and of as many texts, are read in a time that grows with them, and no faster.
#[test]
fn long_lists_of_networks_and_texts() {
    const MANY: u32 = 300_000;
    let networks: String = (0..MANY)
        .map(|number| format!("{}/32 {number};\n", std::net::Ipv4Addr::from_bits(number)))
        .collect();
    let texts: String = (0..MANY)
        .map(|number| format!("text{number} {number};\n"))
        .collect();
    let http = format!("geo $place {{ 0.0.0.0/8 eight; {networks} }} map $arg_text $number {{ {texts} }}");
    let folder = folder(&http, "location / { return 200 $place$number; }");
    let tested = folder.tested("test.conf", &[]);
    assert!(
        tested.status.success(),
        "{}",
        String::from_utf8_lossy(&tested.stderr)
    );
}

/// Whether a page may have a page is asked of the location that sends there, not of the one that is sent to.
#[test]
fn pages_of_pages() {
    statuses(
        "",
        "location = /off { error_page 403 = @on; deny all; }
         location @on { recursive_error_pages on; error_page 403 = @last; deny all; }
         location @last { return 204; }
         location = /on { recursive_error_pages on; error_page 403 = @off; deny all; }
         location @off { error_page 403 = @last; deny all; }
         location = /on/off { recursive_error_pages on; error_page 403 = @twice; deny all; }
         location @twice { error_page 403 = @on; deny all; }
         location = /uri { error_page 403 /page; deny all; }
         location = /page { recursive_error_pages on; error_page 403 = @last; deny all; }",
        &[
            ("/off", "403"),
            ("/on", "204"),
            ("/on/off", "403"),
            ("/uri", "403"),
        ],
    );
}

/// What nginx does not start on either, where starting might leave something open.
#[test]
fn lines_that_are_an_error() {
    let of_server = [
        "location / { allow 127.0.0.1 127.0.0.2; deny all; }",
        "location / { deny; }",
        "location / { satisfy any all; }",
        "location / { internal yes; }",
        "location / { auth_basic a b; auth_basic_user_file x; }",
        "location / { auth_request /a /b; }",
        "location / { limit_except { deny all; } }",
        "location / { proxy_pass http://127.0.0.1:9 http://127.0.0.1:10; }",
        "location / { limit_conn zone 1 2; }",
        "location / { break now; }",
        "location / { return; }",
        "location / { try_files /a; }",
        "location = / { location = / { deny all; } }",
        "location @a { location / { deny all; } }",
        "location / { location @a { deny all; } }",
        "location /a { location /b { deny all; } }",
        "merge_slashes on off;",
    ];
    for server in of_server {
        let folder = folder("limit_conn_zone $server_port zone=zone:1m;", server);
        let ours = folder.tested("test.conf", &[]);
        assert!(!ours.status.success(), "{server}");
        if crate::program::has_nginx() {
            assert!(!folder.tested_by_nginx("test.conf").status.success(), "{server}");
        }
    }
    for whole in [
        "events {} http { server { listen LISTEN; } } http { server { listen LISTEN; deny all; } }",
        "events {} events {} http { server { listen LISTEN; } }",
    ] {
        let folder = Folder::of(NOBODY, whole);
        assert!(!folder.tested("test.conf", &[]).status.success(), "{whole}");
        if crate::program::has_nginx() {
            assert!(!folder.tested_by_nginx("test.conf").status.success(), "{whole}");
        }
    }
}

/// What is no UTF-8 in a file of passwords is not what takes its place where such bytes are shown.
#[test]
fn a_password_of_other_bytes() {
    let server =
        "location / { auth_basic realm; auth_basic_user_file FOLDER/users; try_files /one.txt =404; }";
    for kind in kinds() {
        let text = format!(
            "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;\n
             server {{ listen LISTEN; root FOLDER; {server} }} }}\n"
        );
        let folder = Folder::of(NOBODY, &text);
        std::fs::write(folder.path.join("users"), b"me:{PLAIN}p\xe9\nshe:{PLAIN}pass\n").unwrap();
        std::fs::write(folder.path.join("one.txt"), "in").unwrap();
        let program = folder.start(kind, "test.conf", &[]);
        // me:p with U+FFFD behind it, and she:pass
        for (credentials, status) in [("bWU6cO+/vQ==", "401"), ("c2hlOnBhc3M=", "200")] {
            let mut stream = support::bounded::connect(program.address);
            write!(
                stream,
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Basic {credentials}\r\n\r\n"
            )
            .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(&answer[9..12], status, "{kind:?} {credentials}");
        }
    }
}

/// Credentials whose base64 lacks its padding, has bits left over, or has another alphabet.
#[test]
fn credentials_as_clients_write_them() {
    let server = "location / { auth_basic realm; auth_basic_user_file FOLDER/users; root FOLDER; try_files /in.txt =404; }";
    for kind in kinds() {
        let text = format!(
            "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;\n
             server {{ listen LISTEN; {server} }} }}\n"
        );
        let folder = Folder::of(NOBODY, &text);
        std::fs::write(folder.path.join("users"), "me:{PLAIN}pass\n").unwrap();
        std::fs::write(folder.path.join("in.txt"), "in").unwrap();
        let program = folder.start(kind, "test.conf", &[]);
        // me:pass, and me:pas
        for (credentials, status) in [
            ("Basic bWU6cGFzcw==", 200),
            ("Basic bWU6cGFzcw", 200),
            ("Basic bWU6cGFzcw=", 200),
            ("Basic bWU6cGFzcx", 200),
            ("basic bWU6cGFzcw", 200),
            ("Basic bWU6cGFz", 401),
            ("Basic bWU6cGFzc", 401),
            ("Basic bWU6cGFz!w==", 401),
            ("Bearer bWU6cGFzcw==", 401),
        ] {
            let mut stream = TcpStream::connect(program.address).unwrap();
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            let request = format!(
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: {credentials}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(
                answer[9..12],
                status.to_string(),
                "{kind:?} {credentials:?}: {answer}"
            );
        }
    }
}
