//! What counts against a server, which address it is spoken to from, and fields that an answer within leaves behind.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use support::bounded::{TIMEOUT, connect};

use crate::named::kinds;
use crate::program::{Folder, Program};

/// All of an answer.
fn answer(program: &Program, target: &str) -> String {
    let mut stream = connect(program.address);
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

/// An origin that answers with its name and the port of its client, but not to every third request if it `fails`. How often it
/// has answered.
fn origin(name: &'static str, fails: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let count = answered.clone();
    thread::spawn(move || {
        for (number, stream) in (1..).zip(listener.incoming()) {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                match stream.read(&mut byte) {
                    Ok(1) => head.push(byte[0]),
                    _ => break,
                }
            }
            if fails && number % 3 == 0 {
                continue;
            }
            count.fetch_add(1, Ordering::Relaxed);
            let body = format!("{name} {}", stream.peer_addr().unwrap());
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    (address, answered)
}

/// What a server does well in between does not make its failures undone.
#[test]
fn failures_among_successes() {
    for kind in kinds() {
        let ((failing, by_failing), (sound, by_sound)) = (origin("failing", true), origin("sound", false));
        let text = format!(
            "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
             upstream u {{ server {failing} max_fails=3; server {sound} max_fails=3; }}
             server {{ listen LISTEN; location / {{ proxy_pass http://u; }} }} }}\n"
        );
        let folder = Folder::of(sound, &text);
        let program = folder.start(kind, "test.conf", &[]);
        for _ in 0..30 {
            let answer = answer(&program, "/");
            assert!(answer.starts_with("HTTP/1.1 200 "), "{kind:?} {answer}");
        }
        let counts = (
            by_failing.load(Ordering::Relaxed),
            by_sound.load(Ordering::Relaxed),
        );
        assert_eq!(counts, (6, 24), "{kind:?}");
    }
}

/// `proxy_bind` with a port as well.
#[test]
fn the_address_that_a_server_is_spoken_to_from() {
    let free = TcpListener::bind("127.0.0.2:0").unwrap().local_addr().unwrap();
    for kind in kinds() {
        let (address, _) = origin("origin", false);
        let text = format!(
            "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
             server {{ listen LISTEN; location / {{ proxy_bind $arg_from; proxy_pass http://{address}; }} }} }}\n"
        );
        let folder = Folder::of(address, &text);
        let program = folder.start(kind, "test.conf", &[]);
        let with_port = answer(&program, &format!("/?from={free}"));
        assert!(
            with_port.ends_with(&format!("origin {free}")),
            "{kind:?} {with_port}"
        );
        let without = answer(&program, "/?from=127.0.0.2");
        assert!(
            without.contains("\r\n\r\norigin 127.0.0.2:"),
            "{kind:?} {without}"
        );
    }
}

/// Each line of a field is kept that an answer in between has.
#[test]
fn fields_of_several_lines_from_an_answer_in_between() {
    for kind in kinds() {
        let (address, _) = origin("origin", false);
        let text = "events {}\nhttp { include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
             server { listen LISTEN;
             location = /up { add_header X-Accel-Redirect /in; add_header Set-Cookie one=1; add_header Set-Cookie two=2; return 204; }
             location = /go { proxy_pass http://LISTEN/up; } location = /in { return 200 in; } } }\n";
        let folder = Folder::of(address, text);
        let program = folder.start(kind, "test.conf", &[]);
        let answer = answer(&program, "/go").to_lowercase();
        let cookies: Vec<&str> = answer
            .lines()
            .filter(|line| line.starts_with("set-cookie:"))
            .collect();
        assert_eq!(
            cookies,
            ["set-cookie: one=1", "set-cookie: two=2"],
            "{kind:?} {answer}"
        );
    }
}

/// An origin that answers, but not what begins with `/waits`: there it reads until its client has left. Each request is reported, and
/// each end of one that waits.
fn waiting_origin() -> (SocketAddr, std::sync::mpsc::Receiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (reports, reported) = std::sync::mpsc::channel();
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
                if head.starts_with(b"GET /waits") {
                    let _ = reports.send("asked");
                    let _ = stream.read(&mut [0]);
                    let _ = reports.send("left");
                    return;
                }
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
            });
        }
    });
    (address, reported)
}

/// A request counts for its server and for `limit_conn` until it is answered, or its client has left. What becomes of the client's
/// connection after that is nobody's concern.
#[test]
fn how_long_a_request_counts() {
    for kind in kinds() {
        for limited in [
            "proxy_pass http://one;",
            "limit_conn zone 1; proxy_pass http://ADDRESS;",
        ] {
            let (address, reported) = waiting_origin();
            let text = format!(
                "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
                 limit_conn_zone $server_port zone=zone:1m; upstream one {{ server {address} max_conns=1; }}
                 server {{ listen LISTEN; location / {{ {} }} }} }}\n",
                limited.replace("ADDRESS", &address.to_string())
            );
            let folder = Folder::of(address, &text);
            let program = folder.start(kind, "test.conf", &[]);
            let status = || answer(&program, "/")[9..12].to_owned();
            let is_free = || {
                let deadline = std::time::Instant::now() + std::time::Duration::from_secs(1);
                std::iter::repeat_with(status)
                    .take_while(|_| std::time::Instant::now() < deadline)
                    .any(|status| status == "200")
            };
            // Answered, and the client keeps its connection, which the proxy closes or does not.
            for connection in ["keep-alive", "close"] {
                let mut client = connect(program.address);
                write!(
                    client,
                    "GET / HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n"
                )
                .unwrap();
                let mut given = Vec::new();
                while !given.ends_with(b"ok") {
                    let mut byte = [0];
                    client.read_exact(&mut byte).unwrap();
                    given.push(byte[0]);
                }
                assert_eq!(status(), "200", "{kind:?} {limited} {connection}");
            }
            // Not answered, until the client ends its write side.
            let mut client = connect(program.address);
            write!(client, "GET /waits HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            assert_eq!(reported.recv_timeout(TIMEOUT).unwrap(), "asked");
            assert!(status().starts_with('5'), "{kind:?} {limited}");
            client.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(reported.recv_timeout(TIMEOUT).unwrap(), "left", "{kind:?}");
            assert!(is_free(), "{kind:?} {limited}");
            assert_eq!(client.read(&mut [0]).unwrap_or(0), 0, "{kind:?} {limited}");
        }
    }
}

/// `proxy_ignore_client_abort`: a client that has ended its write side is answered.
#[test]
fn a_client_that_may_end_its_write_side() {
    for kind in kinds() {
        let (address, _) = origin("origin", false);
        let text = format!(
            "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
             server {{ listen LISTEN; location / {{ proxy_ignore_client_abort on; proxy_pass http://{address}; }} }} }}\n"
        );
        let folder = Folder::of(address, &text);
        let program = folder.start(kind, "test.conf", &["--strict"]);
        let mut client = connect(program.address);
        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut given = String::new();
        client.read_to_string(&mut given).unwrap();
        assert!(given.contains("\r\n\r\norigin "), "{kind:?} {given}");
    }
}

/// In a field of an answer that is still under way, it has taken no time yet; in the log it has.
#[test]
fn the_time_of_an_answer_that_has_begun() {
    for kind in kinds() {
        let (address, _) = origin("origin", false);
        let text = format!(
            "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; log_format times '$upstream_response_time';
             access_log FOLDER/times times; server {{ listen LISTEN; location / {{ add_header X-Status $upstream_status always;
             add_header X-Time \"$upstream_response_time\" always; proxy_pass http://{address}; }} }} }}\n"
        );
        let folder = Folder::of(address, &text);
        let program = folder.start(kind, "test.conf", &[]);
        let answer = answer(&program, "/").to_lowercase();
        assert!(
            answer.contains("\r\nx-status: 200\r\nx-time: -\r\n"),
            "{kind:?} {answer}"
        );
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !program.folder.read("times").starts_with("0.0") {
            assert!(
                std::time::Instant::now() < deadline,
                "{kind:?} {}",
                program.folder.read("times")
            );
            thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}
