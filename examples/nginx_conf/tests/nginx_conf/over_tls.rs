//! `listen … ssl`, certificates by name, and `proxy_pass https://`.

use std::net::SocketAddr;
use std::sync::Arc;

use support::bounded::within;
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::certificates::{Authority, NOW, VERSIONS};
use crate::named::{Named, TO_SERVERS, WAYS, Way, folder, kinds};
use crate::program::{Folder, Kind, Program, has_nginx};

const CARRIES: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade; proxy_set_header X-Scheme $scheme$https;";

fn configuration(servers: &str) -> String {
    format!(
        "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
         map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}\n{servers}\n}}\n"
    )
}

/// What comes back from a handshake under a name, and from a message after it.
async fn echoes(program: &Program, authority: &Authority, name: &'static str) -> String {
    let stream = TcpStream::connect(program.address).await.unwrap();
    echoes_on(stream, authority, name).await
}

async fn echoes_on(stream: TcpStream, authority: &Authority, name: &'static str) -> String {
    let connector = TlsConnector::from(Arc::new(authority.client(&VERSIONS, None)));
    let name = ServerName::try_from(name).unwrap();
    let mut stream = connector
        .connect(name, stream)
        .await
        .expect("a certificate for the name");
    stream.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        received.push(within("a byte", stream.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(received).unwrap();
    if head.starts_with("HTTP/1.1 101 ") {
        stream.write_all(b"hello").await.unwrap();
        let mut echo = [0; 5];
        within("bytes", stream.read_exact(&mut echo)).await.unwrap();
        assert_eq!(&echo, b"hello");
    }
    head[9..12].to_owned()
}

#[tokio::test]
async fn tls_from_clients_by_the_names_of_servers() {
    let authority = Authority::new();
    let servers = "server { listen LISTEN ssl; server_name one.example *.one.example;
            ssl_certificate one.chain.pem; ssl_certificate_key one.key.pem; ssl_protocols TLSv1.2 TLSv1.3;
            location / { proxy_pass http://UPSTREAM; CARRIES } }
        server { listen LISTEN ssl; server_name two.example;
            ssl_certificate two.chain.pem; ssl_certificate_key two.key.pem; ssl_session_cache shared:SSL:1m;
            location / { proxy_pass http://UPSTREAM; CARRIES } }"
        .replace("CARRIES", CARRIES);
    for kind in [Kind::Ours, Kind::Nginx] {
        if kind == Kind::Nginx && !has_nginx() {
            continue;
        }
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        let folder = Folder::of(origin.address(), &configuration(&servers));
        authority
            .issue(&["one.example", "*.one.example"], NOW)
            .write(&folder.path, "one");
        authority.issue(&["two.example"], NOW).write(&folder.path, "two");
        let program = folder.start(kind, "test.conf", &["--strict"]);
        for name in ["one.example", "a.one.example", "two.example"] {
            assert_eq!(echoes(&program, &authority, name).await, "101", "{kind:?} {name}");
        }
        let head = origin.connection(0).await.head().await.to_lowercase();
        assert!(head.contains("\r\nx-scheme: httpson\r\n"), "{kind:?} {head}");
    }
}

/// A server that no name leads to, and the way in which TLS was said before there was a parameter of `listen` for it.
#[tokio::test]
async fn handshakes_that_are_rejected() {
    let authority = Authority::new();
    let servers =
        "server { TLS ssl_reject_handshake on; server_name _; return 204; } server { TLS server_name one.example;
            ssl_certificate one.chain.pem; ssl_certificate_key one.key.pem;
            return 200; }";
    let (parameter, directive) = ("listen LISTEN ssl;", "listen LISTEN; ssl on;");
    // Newer ones do not take the directive.
    for (kind, tls) in [
        (Kind::Ours, parameter),
        (Kind::Nginx, parameter),
        (Kind::Ours, directive),
    ] {
        if kind == Kind::Nginx && !has_nginx() {
            continue;
        }
        let text = configuration(&servers.replace("TLS", tls));
        let folder = Folder::of(SocketAddr::from(([127, 0, 0, 1], 9)), &text);
        authority
            .issue(&["one.example", "two.example"], NOW)
            .write(&folder.path, "one");
        let program = folder.start(kind, "test.conf", &["--strict"]);
        assert_eq!(
            echoes(&program, &authority, "one.example").await,
            "204",
            "{kind:?}"
        );
        let refused = TcpStream::connect(program.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(authority.client(&VERSIONS, None)));
        let name = ServerName::try_from("two.example").unwrap();
        let handshake = connector.connect(name, refused).await;
        assert!(handshake.is_err(), "{kind:?}");
    }
}

/// A request of HTTP/1.0 may have no host: the name in the handshake takes no place of one.
#[tokio::test]
async fn a_request_without_a_host_is_for_the_default_server() {
    let authority = Authority::new();
    let servers = "server { listen LISTEN ssl; server_name one.example; return 403;
            ssl_certificate one.chain.pem; ssl_certificate_key one.key.pem; }
        server { listen LISTEN ssl; server_name two.example; return 204;
            ssl_certificate one.chain.pem; ssl_certificate_key one.key.pem; }";
    for kind in kinds() {
        let folder = Folder::of(SocketAddr::from(([127, 0, 0, 1], 9)), &configuration(servers));
        authority
            .issue(&["one.example", "two.example"], NOW)
            .write(&folder.path, "one");
        let program = folder.start(kind, "test.conf", &["--strict"]);
        for (name, host, expected) in [
            ("two.example", "Host: two.example\r\n", "204"),
            ("two.example", "", "403"),
            ("one.example", "", "403"),
        ] {
            let stream = TcpStream::connect(program.address).await.unwrap();
            let connector = TlsConnector::from(Arc::new(authority.client(&VERSIONS, None)));
            let asked = ServerName::try_from(name).unwrap();
            let mut stream = connector.connect(asked, stream).await.unwrap();
            let request = format!("GET / HTTP/1.0\r\n{host}\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut status = [0; 12];
            within("an answer", stream.read_exact(&mut status)).await.unwrap();
            assert_eq!(&status[9..], expected.as_bytes(), "{kind:?} {name} {host:?}");
        }
    }
}

/// The header of the PROXY protocol comes before TLS.
#[tokio::test]
async fn tls_from_a_balancer_that_says_whose_connection_it_is() {
    let authority = Authority::new();
    let servers = format!(
        "server {{ listen LISTEN ssl proxy_protocol; real_ip_header proxy_protocol; set_real_ip_from 127.0.0.0/8;
            ssl_certificate one.chain.pem; ssl_certificate_key one.key.pem;
            location / {{ proxy_pass http://UPSTREAM; {CARRIES} proxy_set_header X-Client $remote_addr; }} }}"
    );
    for kind in kinds() {
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        let folder = Folder::of(origin.address(), &configuration(&servers));
        authority.issue(&["one.example"], NOW).write(&folder.path, "one");
        let program = folder.start(kind, "test.conf", &["--strict"]);
        let mut stream = TcpStream::connect(program.address).await.unwrap();
        let header = b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n";
        stream.write_all(header).await.unwrap();
        assert_eq!(
            echoes_on(stream, &authority, "one.example").await,
            "101",
            "{kind:?}"
        );
        let head = origin.connection(0).await.head().await.to_lowercase();
        assert!(head.contains("\r\nx-client: 192.0.2.1\r\n"), "{kind:?} {head}");
        assert!(head.contains("\r\nx-scheme: httpson\r\n"), "{kind:?} {head}");
    }
}

/// An origin that speaks TLS: it switches, and echoes.
async fn tls_origin(authority: &Authority) -> SocketAddr {
    let plain = ScriptedOrigin::start(Script::websocket_echo()).await;
    let acceptor = TlsAcceptor::from(Arc::new(authority.localhost().server(&VERSIONS, None, &[])));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut inner = TcpStream::connect(plain.address()).await.unwrap();
            tokio::spawn(async move {
                tokio::io::copy_bidirectional(&mut stream, &mut inner)
                    .await
                    .map(drop)
            });
        }
    });
    address
}

#[tokio::test]
async fn tls_to_upstreams_whose_certificates_are_verified() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for kind in [Kind::Ours, Kind::Nginx] {
        if kind == Kind::Nginx && !has_nginx() {
            continue;
        }
        for (issuer, name, status) in [
            (&authority, "localhost", "101"),
            (&stranger, "localhost", "502"),
            (&authority, "elsewhere.example", "502"),
        ] {
            let upstream = tls_origin(issuer).await;
            let servers = format!(
                "server {{ listen LISTEN ssl; server_name one.example;
                    ssl_certificate one.chain.pem; ssl_certificate_key one.key.pem;
                    location / {{ proxy_pass https://UPSTREAM; {CARRIES}
                        proxy_ssl_trusted_certificate authority.pem; proxy_ssl_verify on;
                        proxy_ssl_server_name on; proxy_ssl_name {name}; }} }}"
            );
            let folder = Folder::of(upstream, &configuration(&servers));
            authority.issue(&["one.example"], NOW).write(&folder.path, "one");
            std::fs::write(folder.path.join("authority.pem"), &authority.pem).unwrap();
            let program = folder.start(kind, "test.conf", &["--strict"]);
            let given = echoes(&program, &authority, "one.example").await;
            assert_eq!(given, status, "{kind:?} {name} {}", program.errors());
        }
    }
}

/// Servers with certificates for these names, of this authority.
async fn secured(authority: &Authority, name: &'static str, names: &[&str]) -> Named {
    let config = authority.issue(names, NOW).server(&VERSIONS, None, &[]);
    Named::over_tls(name, TlsAcceptor::from(Arc::new(config))).await
}

/// What follows `proxy_pass https://servers`, and who answers then.
#[tokio::test]
async fn a_group_of_servers_over_tls() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for kind in kinds() {
        let (good, bad) = (
            secured(&authority, "a", &["localhost", "servers"]).await,
            secured(&stranger, "b", &["localhost", "servers"]).await,
        );
        // It accepts, and never says a word.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstreams = format!(
            "upstream servers {{ server {} weight=3; server {} weight=2; server {}; }}",
            bad.address,
            silent.local_addr().unwrap(),
            good.address
        );
        for (lines, expected) in [
            ("proxy_ssl_name localhost; proxy_ssl_server_name on;", "a"),
            // The name of the group is the name that certificates have to be for.
            ("proxy_ssl_server_name on;", "a"),
            ("proxy_ssl_name $proxy_host;", "a"),
            (
                "proxy_ssl_name elsewhere.example; proxy_next_upstream error timeout;",
                "502",
            ),
        ] {
            for way in WAYS {
                let to_servers = TO_SERVERS.replace("http://", "https://");
                let locations = format!(
                    "location / {{ {to_servers} proxy_ssl_trusted_certificate authority.pem; proxy_ssl_verify on;
                        proxy_connect_timeout 1s; {lines} }}"
                );
                let folder = folder(&upstreams, &locations);
                std::fs::write(folder.path.join("authority.pem"), &authority.pem).unwrap();
                let program = folder.start(kind, "test.conf", &["--strict"]);
                for _ in 0..2 {
                    let given = way.served_by(&program, "/").await;
                    assert_eq!(given, expected, "{kind:?} {way:?} {lines} {}", program.errors());
                }
                assert_eq!(bad.asked(), 0, "{kind:?} {way:?} {lines}");
            }
        }
    }
}

#[test]
fn certificates_that_are_missing_or_none() {
    let upstream = SocketAddr::from(([127, 0, 0, 1], 9));
    for (server, words) in [
        (
            "listen LISTEN ssl;",
            "needs ssl_certificate and ssl_certificate_key",
        ),
        (
            "listen LISTEN ssl; ssl_certificate no.pem; ssl_certificate_key no.pem;",
            "no.pem: No such file",
        ),
        (
            "listen LISTEN ssl; ssl_certificate mime.types; ssl_certificate_key mime.types;",
            "mime.types: ",
        ),
    ] {
        let folder = Folder::of(upstream, &configuration(&format!("server {{ {server} }}")));
        let output = folder.tested("test.conf", &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(words), "{said}");
    }
    let off = "server { listen LISTEN; location / { proxy_pass https://UPSTREAM; proxy_ssl_verify off; } }";
    let folder = Folder::of(upstream, &configuration(off));
    let output = folder.tested("test.conf", &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("hint: ") && said.contains("is not verified"),
        "{said}"
    );
}

/// Of an upstream that nobody knows. Where nothing is said the two differ on purpose.
#[tokio::test]
async fn tls_to_upstreams_whose_certificates_are_not_verified() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (lines, flags, ours, theirs) in [
        ("proxy_ssl_verify off;", &["--strict"][..], "101", "101"),
        ("", &["--strict"], "502", "101"),
        ("", &["--strict", "--nginx-tls"], "101", "101"),
        (
            "proxy_ssl_verify on; proxy_ssl_trusted_certificate authority.pem;",
            &["--strict", "--nginx-tls"],
            "502",
            "502",
        ),
    ] {
        for (kind, expected) in [(Kind::Ours, ours), (Kind::Nginx, theirs)] {
            if kind == Kind::Nginx && !has_nginx() {
                continue;
            }
            let upstream = tls_origin(&stranger).await;
            let servers = format!(
                "server {{ listen LISTEN ssl; server_name one.example;
                    ssl_certificate one.chain.pem; ssl_certificate_key one.key.pem;
                    location / {{ proxy_pass https://UPSTREAM; {CARRIES} {lines} }} }}"
            );
            let folder = Folder::of(upstream, &configuration(&servers));
            authority.issue(&["one.example"], NOW).write(&folder.path, "one");
            std::fs::write(folder.path.join("authority.pem"), &authority.pem).unwrap();
            let program = folder.start(kind, "test.conf", flags);
            let given = echoes(&program, &authority, "one.example").await;
            assert_eq!(given, expected, "{kind:?} {lines} {}", program.errors());
        }
    }
}

/// Of version 1, as `openssl x509 -req` makes it without extensions.
pub(crate) const OLD_CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBGTCBvwIUXB0IfAFGFiv4XxxrypcVpHMHhwowCgYIKoZIzj0EAwIwDjEMMAoG\n\
A1UEAwwDb2xkMCAXDTI2MTEyOTIyMTgxM1oYDzIxMjYxMTA1MjIxODEzWjAOMQww\n\
CgYDVQQDDANvbGQwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQG3MIsc1thmTmg\n\
SNwFdVk4TlTebldN9HYRg+AoSygAClZZyKSGFwMDxtxhwnaBnnyaHAuHaAB0wnhe\n\
gfIPw5fLMAoGCCqGSM49BAMCA0kAMEYCIQCBSsKg15jQVH2DNrhEhCE/uix+hrd2\n\
5ydENOcD16aVogIhAO4D8qKmduXKmBll58rr6GSwqd4Heh3I8Vu1vKh/mrRh\n\
-----END CERTIFICATE-----\n";

pub(crate) const OLD_KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQglr3DN5QAwI9YFMCc\n\
AeNbz136qWq5LOij8aPg8Sw9ygChRANCAAQG3MIsc1thmTmgSNwFdVk4TlTebldN\n\
9HYRg+AoSygAClZZyKSGFwMDxtxhwnaBnnyaHAuHaAB0wnhegfIPw5fL\n\
-----END PRIVATE KEY-----\n";

/// A certificate that no verifier reads is as good as any where none is verified, in both versions of TLS.
#[test]
fn an_upstream_with_a_certificate_of_version_1() {
    let old = "ssl_certificate old.pem; ssl_certificate_key old.key.pem; location / { return 200 up; }";
    let to = "proxy_ssl_verify off; proxy_ssl_protocols TLSv1.2 TLSv1.3; proxy_pass https://unix:FOLDER";
    let text = format!(
        "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
         server {{ listen unix:FOLDER/two ssl; ssl_protocols TLSv1.2; {old} }}
         server {{ listen unix:FOLDER/three ssl; ssl_protocols TLSv1.3; {old} }}
         server {{ listen LISTEN; location /two {{ {to}/two:/; }} location /three {{ {to}/three:/; }} }} }}\n"
    );
    for kind in kinds() {
        let folder = Folder::of(([127, 0, 0, 1], 9).into(), &text);
        std::fs::write(folder.path.join("old.pem"), OLD_CERTIFICATE).unwrap();
        std::fs::write(folder.path.join("old.key.pem"), OLD_KEY).unwrap();
        let program = folder.start(kind, "test.conf", &["--strict", "--no-hints"]);
        for target in ["/two", "/three"] {
            let mut stream = support::bounded::connect(program.address);
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
            let mut answer = String::new();
            std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 200 "),
                "{kind:?} {target}: {answer} {}",
                program.errors()
            );
        }
    }
}

/// `proxy_ssl_verify_depth`: how many certificates may stand between that of the upstream and one that is believed. 1 where nothing is said.
#[tokio::test]
async fn upstreams_whose_certificates_are_far_from_their_root() {
    let root = Authority::new();
    let first = root.below("first");
    let second = first.below("second");
    for (lines, between, expected) in [
        ("", 1, "200"),
        ("", 2, "502"),
        ("proxy_ssl_verify_depth 2;", 2, "200"),
        ("proxy_ssl_verify_depth 1;", 2, "502"),
        ("proxy_ssl_verify_depth 0;", 1, "502"),
        ("proxy_ssl_verify_depth 0;", 0, "200"),
    ] {
        for kind in kinds() {
            let mut identity = match between {
                0 => root.localhost(),
                1 => first.localhost(),
                _ => second.localhost(),
            };
            identity.chain += &match between {
                0 => String::new(),
                1 => first.pem.clone(),
                _ => format!("{}{}", second.pem, first.pem),
            };
            let acceptor = TlsAcceptor::from(Arc::new(identity.server(&VERSIONS, None, &[])));
            let upstream = Named::over_tls("far", acceptor).await;
            let locations = format!(
                "location / {{ proxy_pass https://{}; proxy_ssl_verify on; proxy_ssl_trusted_certificate FOLDER/root.pem;
                 proxy_ssl_name localhost; {lines} }}",
                upstream.address
            );
            let folder = folder("", &locations);
            std::fs::write(folder.path.join("root.pem"), &root.pem).unwrap();
            let program = folder.start(kind, "test.conf", &["--strict", "--no-hints"]);
            let (status, ..) = Way::Get.asks(&program, "/", "").await;
            assert_eq!(
                status.to_string(),
                expected,
                "{kind:?} {lines} {between} {}",
                program.errors()
            );
        }
    }
}

/// `listen … http2` offers it by ALPN, and nothing else does.
#[tokio::test]
async fn what_alpn_comes_to() {
    let authority = Authority::new();
    for (parameter, expected) in [("ssl http2", "h2"), ("ssl", "http/1.1")] {
        let text = configuration(&format!(
            "server {{ listen LISTEN {parameter}; ssl_certificate one.chain.pem; ssl_certificate_key one.key.pem; return 204; }}"
        ));
        for kind in kinds() {
            let folder = Folder::of(SocketAddr::from(([127, 0, 0, 1], 9)), &text);
            authority.issue(&["one.example"], NOW).write(&folder.path, "one");
            let program = folder.start(kind, "test.conf", &[]);
            let mut tls = authority.client(&VERSIONS, None);
            tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let stream = TcpStream::connect(program.address).await.unwrap();
            let name = ServerName::try_from("one.example").unwrap();
            let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
            let stream = stream.unwrap();
            let agreed = stream.get_ref().1.alpn_protocol().unwrap();
            assert_eq!(String::from_utf8_lossy(agreed), expected, "{kind:?}");
        }
    }
}

/// Plain HTTP where TLS is spoken: a 400, unless there is a page for it.
#[test]
fn plain_http_where_tls_is_spoken() {
    let authority = Authority::new();
    for (lines, expected) in [
        ("", "400  \"\""),
        ("error_page 400 /page;", "400  \"\""),
        (
            "error_page 497 https://$host:8443$request_uri;",
            "302 https://a:8443/x?y \"\"",
        ),
        (
            "error_page 497 =301 https://$host$request_uri;",
            "301 https://a/x?y \"\"",
        ),
        ("error_page 497 =200 /page;", "200  \"page\""),
        ("error_page 497 @named;", "403  \"\""),
        ("add_header Location /added always;", "400 /added \"\""),
    ] {
        for kind in [Kind::Ours, Kind::Nginx] {
            if kind == Kind::Nginx && !has_nginx() {
                continue;
            }
            let servers = format!(
                "server {{ listen LISTEN ssl; ssl_certificate one.chain.pem; ssl_certificate_key one.key.pem; {lines}
                    location / {{ return 200 let-in; }} location = /page {{ internal; return 200 page; }}
                    location @named {{ return 403; }} }}"
            );
            let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
            let folder = Folder::of(nobody, &configuration(&servers));
            authority.issue(&["one.example"], NOW).write(&folder.path, "one");
            let program = folder.start(kind, "test.conf", &["--strict"]);
            let given = crate::read_alike::ask(program.address, "/x?y", "Host: a\r\n");
            assert_eq!(given, expected, "{kind:?} {lines}");
        }
    }
}
