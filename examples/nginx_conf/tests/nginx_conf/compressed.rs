//! `gzip`: which answers are compressed, for whom, and that nothing of one waits in the compressor.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use flate2::write::GzDecoder as Decoder;

use crate::named::kinds;
use crate::program::{Folder, Kind, Program};

/// Longer than anything here takes.
const TIMEOUT: Duration = Duration::from_secs(20);

const TEXT: &str = "twenty signs are in it, and some more";

fn started(kind: Kind, lines: &str, upstream: SocketAddr) -> Program {
    let text = format!(
        "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off; gzip on; {lines}
         server {{ listen unix:FOLDER/up; gzip off; default_type text/plain; set $kind text/plain; add_header X-Up 1;
             location / {{ return 200 \"{TEXT}\"; }} location /html {{ default_type text/html; return 200 \"{TEXT}\"; }}
             location /short {{ default_type text/html; return 200 short; }} location /moved {{ return 302 /x; }}
             location /forbidden {{ default_type text/html; return 403 \"{TEXT}\"; }}
             location /error {{ default_type text/html; return 500 \"{TEXT}\"; }}
             location /tag {{ default_type text/html; add_header ETag '\"a\"'; return 200 \"{TEXT}\"; }}
             location /odd {{ default_type text/html; add_header ETag a; return 200 \"{TEXT}\"; }}
             location /own {{ default_type text/html; add_header Content-Encoding br; return 200 \"{TEXT}\"; }}
             location /private {{ default_type text/html; add_header Cache-Control private; return 200 \"{TEXT}\"; }}
             location /old {{ default_type text/html; add_header Expires 'Thu, 01 Jan 1970 00:00:01 GMT'; return 200 \"{TEXT}\"; }} }}
         server {{ listen LISTEN; location / {{ proxy_pass http://unix:FOLDER/up; }} location /stream {{ proxy_buffering off; proxy_pass http://UPSTREAM; }}
             location /file.html {{ root FOLDER/files; types {{ text/html html; }} }} location /off {{ gzip off; proxy_pass http://unix:FOLDER/up:/html; }} }} }}\n"
    );
    let folder = Folder::of(upstream, &text);
    std::fs::create_dir_all(folder.path.join("files")).unwrap();
    std::fs::write(folder.path.join("files/file.html"), TEXT).unwrap();
    folder.start(kind, "test.conf", &["--strict"])
}

/// Status, `Content-Encoding`, `Vary` and `ETag`; and the text as it was.
fn answer(program: &Program, asked: &str) -> (String, String) {
    let mut stream = TcpStream::connect(program.address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(stream, "{asked}\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap();
    let (head, body) = (
        String::from_utf8_lossy(&answer[..end]).into_owned(),
        &answer[end + 4..],
    );
    let field = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let of_it = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        of_it.map(|(_, value)| value).collect::<Vec<_>>().join("+")
    };
    let given = [
        &head[9..12],
        &field("content-encoding"),
        &field("vary"),
        &field("etag"),
    ]
    .join(" ");
    let body = match field("transfer-encoding") == "chunked" {
        true => dechunked(body),
        false => body.to_vec(),
    };
    let mut text = String::new();
    match field("content-encoding") == "gzip" && !asked.starts_with("HEAD") {
        true => GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap(),
        false => (&body[..]).read_to_string(&mut text).unwrap(),
    };
    (given, text)
}

fn dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            break;
        }
        out.extend_from_slice(&body[end + 2..end + 2 + length]);
        body = &body[end + 2 + length + 2..];
    }
    out
}

const TAKES: &str = "\r\nAccept-Encoding: gzip, br";

#[test]
fn what_is_compressed_and_for_whom() {
    // The lines of `http`, what is asked, by whom, and what comes back.
    let cases = [
        ("", "GET /html HTTP/1.1", TAKES, "200 gzip  "),
        ("", "GET /html HTTP/1.1", "", "200   "),
        (
            "",
            "GET /html HTTP/1.1",
            "\r\nAccept-Encoding: br, gzip;q=0.5",
            "200 gzip  ",
        ),
        (
            "",
            "GET /html HTTP/1.1",
            "\r\nAccept-Encoding: gzip;q=0",
            "200   ",
        ),
        ("", "GET /html HTTP/1.1", "\r\nAccept-Encoding: *", "200   "),
        ("", "HEAD /html HTTP/1.1", TAKES, "200 gzip  "),
        ("", "GET /html HTTP/1.0", TAKES, "200   "),
        (
            "gzip_http_version 1.0;",
            "GET /html HTTP/1.0",
            TAKES,
            "200 gzip  ",
        ),
        ("", "GET / HTTP/1.1", TAKES, "200   "),
        ("gzip_types text/plain;", "GET / HTTP/1.1", TAKES, "200 gzip  "),
        (
            "gzip_types text/plain;",
            "GET /html HTTP/1.1",
            TAKES,
            "200 gzip  ",
        ),
        ("gzip_types *;", "GET / HTTP/1.1", TAKES, "200 gzip  "),
        (
            "gzip_types text/css; gzip_types text/plain;",
            "GET / HTTP/1.1",
            TAKES,
            "200 gzip  ",
        ),
        ("", "GET /short HTTP/1.1", TAKES, "200   "),
        (
            "gzip_min_length 5; gzip_comp_level 9;",
            "GET /short HTTP/1.1",
            TAKES,
            "200 gzip  ",
        ),
        ("gzip_min_length 1k;", "GET /html HTTP/1.1", TAKES, "200   "),
        ("", "GET /moved HTTP/1.1", TAKES, "302   "),
        ("", "GET /forbidden HTTP/1.1", TAKES, "403 gzip  "),
        ("", "GET /error HTTP/1.1", TAKES, "500   "),
        ("", "GET /own HTTP/1.1", TAKES, "200 br  "),
        ("", "GET /tag HTTP/1.1", TAKES, "200 gzip  W/\"a\""),
        ("", "GET /odd HTTP/1.1", TAKES, "200 gzip  "),
        (
            "gzip_vary on;",
            "GET /html HTTP/1.1",
            TAKES,
            "200 gzip Accept-Encoding ",
        ),
        ("gzip_vary on;", "GET /html HTTP/1.1", "", "200  Accept-Encoding "),
        ("gzip_vary on;", "GET /short HTTP/1.1", TAKES, "200   "),
        ("", "GET /off HTTP/1.1", TAKES, "200   "),
        (
            "",
            "GET /html HTTP/1.1",
            "\r\nAccept-Encoding: gzip\r\nVia: 1.1 x",
            "200   ",
        ),
        (
            "gzip_proxied any;",
            "GET /html HTTP/1.1",
            "\r\nAccept-Encoding: gzip\r\nVia: 1.1 x",
            "200 gzip  ",
        ),
        (
            "gzip_proxied private;",
            "GET /private HTTP/1.1",
            "\r\nAccept-Encoding: gzip\r\nVia: 1.1 x",
            "200 gzip  ",
        ),
        (
            "gzip_proxied no-store;",
            "GET /private HTTP/1.1",
            "\r\nAccept-Encoding: gzip\r\nVia: 1.1 x",
            "200   ",
        ),
        (
            "gzip_proxied expired;",
            "GET /old HTTP/1.1",
            "\r\nAccept-Encoding: gzip\r\nVia: 1.1 x",
            "200 gzip  ",
        ),
        (
            "gzip_proxied auth;",
            "GET /html HTTP/1.1",
            "\r\nAccept-Encoding: gzip\r\nVia: 1.1 x\r\nAuthorization: x",
            "200 gzip  ",
        ),
        (
            "gzip_disable old;",
            "GET /html HTTP/1.1",
            "\r\nAccept-Encoding: gzip\r\nUser-Agent: Old/1",
            "200   ",
        ),
        (
            "gzip_disable msie6;",
            "GET /html HTTP/1.1",
            "\r\nAccept-Encoding: gzip\r\nUser-Agent: x",
            "200 gzip  ",
        ),
    ];
    for kind in kinds() {
        for (lines, request, fields, expected) in cases {
            let program = started(kind, lines, ([127, 0, 0, 1], 9).into());
            let (given, text) = answer(&program, &format!("{request}{fields}"));
            assert_eq!(given, expected, "{kind:?} {lines} {request} {fields:?}");
            if given.starts_with("200") && !request.starts_with("HEAD") && !request.contains("/short") {
                assert_eq!(text, TEXT, "{kind:?} {lines} {request} {fields:?}");
            }
        }
        let program = started(kind, "", ([127, 0, 0, 1], 9).into());
        let (given, text) = answer(&program, &format!("GET /file.html HTTP/1.1{TAKES}"));
        assert!(given.starts_with("200 gzip "), "{kind:?} {given}");
        assert_eq!(text, TEXT, "{kind:?}");
    }
}

/// What is compressed is sent whole, and a part of what would be compressed for others says so.
#[test]
fn parts_of_files() {
    let range = "\r\nRange: bytes=0-5";
    let both = format!("{range}{TAKES}");
    let cases = [
        ("", range, "206   ", &TEXT[..6]),
        ("gzip_vary on;", range, "206  Accept-Encoding ", &TEXT[..6]),
        ("gzip_vary on; gzip_min_length 1000;", range, "206   ", &TEXT[..6]),
        ("gzip_vary on;", &both, "200 gzip Accept-Encoding ", TEXT),
        ("", &both, "200 gzip  ", TEXT),
        ("gzip_min_length 1000;", &both, "206   ", &TEXT[..6]),
    ];
    for kind in kinds() {
        for (lines, fields, expected, text) in cases {
            let program = started(kind, lines, ([127, 0, 0, 1], 9).into());
            let (given, content) = answer(&program, &format!("GET /file.html HTTP/1.1{fields}"));
            let given = given.rsplit_once(' ').map_or(given.as_str(), |(given, _)| given);
            assert_eq!(
                (format!("{given} ").as_str(), content.as_str()),
                (expected, text),
                "{kind:?} {lines} {fields:?}"
            );
        }
    }
}

/// What an upstream has sent arrives before it sends more.
#[test]
fn nothing_waits_in_the_compressor() {
    for kind in kinds() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let program = started(kind, "", listener.local_addr().unwrap());
        let mut client = TcpStream::connect(program.address).unwrap();
        client.set_read_timeout(Some(TIMEOUT)).unwrap();
        write!(client, "GET /stream HTTP/1.1\r\nHost: a{TAKES}\r\n\r\n").unwrap();
        let mut up = accepted(&listener);
        up.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\nfirst ")
            .unwrap();
        let mut given = Vec::new();
        let mut decoded = read_until(&mut client, &mut given, "first ");
        assert_eq!(decoded, "first ", "{kind:?}");
        up.write_all(b"second").unwrap();
        drop(up);
        decoded = read_until(&mut client, &mut given, "first second");
        assert_eq!(decoded, "first second", "{kind:?}");
    }
}

/// The request of the client, which has no body.
fn accepted(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let deadline = Instant::now() + TIMEOUT;
    let mut stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(why) => assert!(Instant::now() < deadline, "nobody has connected: {why}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    stream
}

/// Reads until the body so far is this text.
fn read_until(client: &mut TcpStream, given: &mut Vec<u8>, text: &str) -> String {
    loop {
        let body = given.windows(4).position(|window| window == b"\r\n\r\n");
        let body = body.map(|at| partly_dechunked(&given[at + 4..]));
        let mut decoder = Decoder::new(Vec::new());
        let _ = decoder.write_all(&body.unwrap_or_default());
        let _ = decoder.flush();
        let decoded = String::from_utf8_lossy(decoder.get_ref()).into_owned();
        if decoded == text {
            return decoded;
        }
        let mut more = [0; 1024];
        match client.read(&mut more) {
            Ok(count @ 1..) => given.extend_from_slice(&more[..count]),
            _ => return decoded,
        }
    }
}

/// As far as chunks have come whole.
fn partly_dechunked(mut body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let length = std::str::from_utf8(&body[..end]).ok();
        let length = length.and_then(|length| usize::from_str_radix(length, 16).ok());
        let Some(data) = length.and_then(|length| body.get(end + 2..end + 2 + length)) else {
            break;
        };
        out.extend_from_slice(data);
        body = body.get(end + 2 + data.len() + 2..).unwrap_or_default();
    }
    out
}
