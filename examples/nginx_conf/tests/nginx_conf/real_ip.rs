//! Who the client is behind proxies that are trusted, under both: by a field, or by the header of the PROXY protocol.

use std::net::SocketAddr;

use support::bounded::within;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::io::AsyncReadExt;

use crate::named::kinds;
use crate::program::{Folder, Kind, Program};

/// An origin that answers what it has received about the client.
async fn origin() -> ScriptedOrigin {
    let script = Script::new().read_head().answer(|head| {
        let seen = head.headers["x-seen"].to_str().unwrap();
        format!("HTTP/1.1 403 No\r\nX-Seen: {seen}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    });
    ScriptedOrigin::start_with(move |_| script.clone().close()).await
}

fn started(kind: Kind, upstream: SocketAddr, listen: &str, server: &str, location: &str) -> Program {
    let text = format!(
        "pid FOLDER/nginx.pid; error_log FOLDER/error.log;\nevents {{}}
         http {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
         map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
         server {{ listen LISTEN {listen}; {server} location / {{ {location} proxy_pass http://UPSTREAM;
            proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Seen '$remote_addr|$realip_remote_addr|$proxy_protocol_addr|$proxy_protocol_port'; }} }} }}\n"
    );
    Folder::of(upstream, &text).start(kind, "test.conf", &["--strict"])
}

const REQUESTS: [&str; 2] = ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", UPGRADE_REQUEST];

/// What is said of a client that sends this before its request, and these fields with it.
async fn seen(program: &Program, before: &str, request: &str, fields: &str, apart: bool) -> String {
    let mut client = ScriptedClient::connect(program.address).await;
    let request = request.replacen("\r\n", &format!("\r\n{fields}"), 1);
    if apart {
        client.send(before).await;
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        client.send(request).await;
    } else {
        client.send(format!("{before}{request}")).await;
    }
    client.response().await.0.headers["x-seen"]
        .to_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn by_a_field() {
    let list = "X-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.1\r\n";
    let cases: &[(&str, &str, &str)] = &[
        (
            "set_real_ip_from 127.0.0.1;",
            "X-Real-IP: 192.0.2.1\r\n",
            "192.0.2.1",
        ),
        (
            "set_real_ip_from 127.0.0.0/8;",
            "X-Real-IP: 192.0.2.1\r\n",
            "192.0.2.1",
        ),
        (
            "set_real_ip_from localhost;",
            "X-Real-IP: 192.0.2.1\r\n",
            "192.0.2.1",
        ),
        (
            "set_real_ip_from 10.0.0.0/8;",
            "X-Real-IP: 192.0.2.1\r\n",
            "127.0.0.1",
        ),
        ("", "X-Real-IP: 192.0.2.1\r\n", "127.0.0.1"),
        ("set_real_ip_from 127.0.0.1;", "", "127.0.0.1"),
        (
            "set_real_ip_from 127.0.0.1;",
            "X-Real-IP: nobody\r\n",
            "127.0.0.1",
        ),
        ("set_real_ip_from 127.0.0.1;", list, "127.0.0.1"),
        (
            "set_real_ip_from 127.0.0.1; set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For;",
            list,
            "10.0.0.1",
        ),
        (
            "set_real_ip_from 127.0.0.1; set_real_ip_from 10.0.0.0/8; real_ip_header X-Forwarded-For;
             real_ip_recursive on;",
            list,
            "192.0.2.1",
        ),
        (
            "set_real_ip_from 127.0.0.1; set_real_ip_from 10.0.0.0/8; real_ip_header X-Client;
             real_ip_recursive on;",
            "X-Client: 192.0.2.1, 10.0.0.9\r\nX-Client: 192.0.2.7\r\n",
            "192.0.2.1",
        ),
        (
            "set_real_ip_from 127.0.0.1; real_ip_header proxy_protocol;",
            "X-Real-IP: 192.0.2.1\r\n",
            "127.0.0.1",
        ),
    ];
    let origin = origin().await;
    let upstream = origin.address();
    for kind in kinds() {
        for (lines, fields, expected) in cases {
            for (server, location) in [(*lines, ""), ("", *lines)] {
                let program = started(kind, upstream, "", server, location);
                for request in REQUESTS {
                    let given = seen(&program, "", request, fields, false).await;
                    let expected = format!("{expected}|127.0.0.1||");
                    assert_eq!(given, expected, "{kind:?} {lines} {fields}");
                }
            }
        }
    }
}

#[tokio::test]
async fn by_the_header_of_the_proxy_protocol() {
    let version_2: String = [
        "\r\n\r\n\0\r\nQUIT\n",
        "\u{21}\u{11}\0\u{c}",
        "\u{a}\0\0\u{7}\u{a}\0\0\u{8}\u{12}\u{67}\0\u{50}",
    ]
    .concat();
    let version_1 = "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n";
    let trusting = "real_ip_header proxy_protocol; set_real_ip_from 127.0.0.1;";
    let cases: &[(&str, &str, &str)] = &[
        (trusting, version_1, "192.0.2.1|127.0.0.1|192.0.2.1|4711"),
        (trusting, &version_2, "10.0.0.7|127.0.0.1|10.0.0.7|4711"),
        (
            trusting,
            "PROXY TCP6 2001:db8::1 2001:db8::2 4711 443\r\n",
            "2001:db8::1|127.0.0.1|2001:db8::1|4711",
        ),
        ("", version_1, "127.0.0.1|127.0.0.1|192.0.2.1|4711"),
        (
            "real_ip_header proxy_protocol; set_real_ip_from 10.0.0.1;",
            version_1,
            "127.0.0.1|127.0.0.1|192.0.2.1|4711",
        ),
        (trusting, "PROXY UNKNOWN\r\n", "127.0.0.1|127.0.0.1||"),
    ];
    let origin = origin().await;
    let upstream = origin.address();
    for kind in kinds() {
        for (lines, before, expected) in cases {
            let program = started(kind, upstream, "proxy_protocol", lines, "");
            for request in REQUESTS {
                for apart in [false, true] {
                    let given = seen(&program, before, request, "", apart).await;
                    assert_eq!(&given, expected, "{kind:?} {lines} {before:?}");
                }
            }
        }
        // Without the header nobody is understood.
        let program = started(kind, upstream, "proxy_protocol", trusting, "");
        let mut client = ScriptedClient::connect(program.address).await;
        client.send(REQUESTS[0]).await;
        let mut rest = Vec::new();
        // Closed in order or not.
        let _ = within("the end", client.stream().read_to_end(&mut rest)).await;
        assert_eq!(rest, b"", "{kind:?}");
    }
}
