//! Files that a client has already, or wants a part of: what `If-…` fields and `Range` come to, under both.

use std::io::{Read, Write};
use std::net::SocketAddr;

use support::bounded::connect;

use crate::named::kinds;
use crate::program::Folder;

const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

/// The head of an answer, in lines, and its body.
fn answer(address: SocketAddr, target: &str, lines: &str) -> (Vec<String>, String) {
    let mut stream = connect(address);
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().map(str::to_owned).collect(), body.to_owned())
}

fn field(head: &[String], name: &str) -> String {
    let start = format!("{name}: ");
    let line = head.iter().find_map(|line| {
        let (known, value) = line.split_at_checked(start.len())?;
        known.eq_ignore_ascii_case(&start).then(|| value.to_owned())
    });
    line.unwrap_or("-".to_owned())
}

#[test]
fn files_that_a_client_has() {
    let text = "events {}\nhttp { include FOLDER/folders.conf; access_log off;
        server { listen LISTEN; root FOLDER/files;
            location /without/ { etag off; alias FOLDER/files/; }
            location /before/ { if_modified_since before; alias FOLDER/files/; }
            location /off/ { if_modified_since off; alias FOLDER/files/; }
            location = /gone { error_page 410 /one.txt; return 410; }
            location = /found { error_page 410 =200 /one.txt; return 410; } } }\n";
    for kind in kinds() {
        let folder = Folder::of(NOBODY, text);
        std::fs::create_dir_all(folder.path.join("files")).unwrap();
        std::fs::write(folder.path.join("files/one.txt"), "0123456789").unwrap();
        let program = folder.start(kind, "test.conf", &["--strict"]);
        let (head, _) = answer(program.address, "/one.txt", "");
        let (etag, time) = (field(&head, "etag"), field(&head, "last-modified"));
        assert!(
            etag.starts_with('"') && etag.ends_with("-a\""),
            "{kind:?} {head:?}"
        );
        assert_eq!(field(&head, "accept-ranges"), "bytes", "{kind:?}");
        // What is asked, with TAG and TIME of the file; the status; its ETag; what comes of the file.
        let later = "Fri, 01 Jan 2055 00:00:00 GMT";
        for (target, lines, expected) in [
            ("/one.txt", "", "200 TAG 0123456789"),
            ("/one.txt", "If-None-Match: TAG\r\n", "304 TAG "),
            ("/one.txt", "If-None-Match: W/TAG\r\n", "304 TAG "),
            ("/one.txt", "If-None-Match: \"other\"\r\n", "200 TAG 0123456789"),
            ("/one.txt", "If-Modified-Since: TIME\r\n", "304 TAG "),
            ("/one.txt", "If-Modified-Since: LATER\r\n", "200 TAG 0123456789"),
            (
                "/one.txt",
                "If-None-Match: \"other\"\r\nIf-Modified-Since: TIME\r\n",
                "200 TAG 0123456789",
            ),
            ("/one.txt", "If-Match: TAG\r\n", "200 TAG 0123456789"),
            ("/one.txt", "If-Match: \"other\"\r\n", "412 - "),
            (
                "/one.txt",
                "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
                "412 - ",
            ),
            ("/one.txt", "Range: bytes=2-3\r\n", "206 TAG 23"),
            ("/one.txt", "Range: items=2-3\r\n", "200 TAG 0123456789"),
            ("/one.txt", "Range: bytes=2-3\r\nIf-Range: TAG\r\n", "206 TAG 23"),
            ("/one.txt", "Range: bytes=2-3\r\nIf-Range: TIME\r\n", "206 TAG 23"),
            (
                "/one.txt",
                "Range: bytes=2-3\r\nIf-Range: \"other\"\r\n",
                "200 TAG 0123456789",
            ),
            ("/without/one.txt", "If-None-Match: TAG\r\n", "200 - 0123456789"),
            ("/without/one.txt", "If-Modified-Since: TIME\r\n", "304 - "),
            ("/before/one.txt", "If-Modified-Since: LATER\r\n", "304 TAG "),
            (
                "/off/one.txt",
                "If-Modified-Since: TIME\r\n",
                "200 TAG 0123456789",
            ),
            ("/gone", "If-None-Match: TAG\r\n", "410 TAG 0123456789"),
            ("/gone", "Range: bytes=2-3\r\n", "410 TAG 0123456789"),
            ("/found", "", "200 TAG 0123456789"),
            ("/found", "If-None-Match: TAG\r\n", "304 TAG "),
            ("/found", "Range: bytes=2-3\r\n", "206 TAG 23"),
        ] {
            let filled = |text: &str| {
                let text = text.replace("TAG", &etag).replace("TIME", &time);
                text.replace("LATER", later)
            };
            let (head, body) = answer(program.address, target, &filled(lines));
            let body = if head[0].contains(" 412 ") { "" } else { &*body };
            let given = format!("{} {} {body}", &head[0][9..12], field(&head, "etag"));
            assert_eq!(given, filled(expected), "{kind:?} {target} {lines:?}");
            if given.starts_with("206") {
                assert_eq!(field(&head, "accept-ranges"), "-", "{kind:?} {head:?}");
            }
        }
    }
}
