//! nginx in front with the lines that people forget, or get wrong: what their clients receive, and what works all the
//! same.

use http::Method;
use http::header::UPGRADE;
use http::request::Parts;
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST, switching_protocols};

use crate::chains::{ask, ask_head, connect};
use crate::programs::Server;
use crate::proxies::Kind;

/// Ordinary requests are answered, upgrades switched.
async fn origin() -> ScriptedOrigin {
    let answer = |head: &Parts| {
        let page = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
        if head.headers.contains_key(UPGRADE) {
            return switching_protocols(head);
        }
        match head.method {
            Method::HEAD => page.into(),
            _ => format!("{page}page").into(),
        }
    };
    ScriptedOrigin::start(Script::new().read_head().answer(answer).echo()).await
}

const ORDINARY: &str = "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";

#[tokio::test]
async fn lines_without_which_the_upgrade_is_lost() {
    let cases = [
        ("", "proxy_http_version 1.1"),
        (
            "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";",
            "proxy_http_version 1.1",
        ),
        (
            "proxy_http_version 1.1;",
            "proxy_set_header Upgrade $http_upgrade",
        ),
        (
            "proxy_http_version 1.1; proxy_set_header Connection \"upgrade\";",
            "proxy_set_header Upgrade $http_upgrade",
        ),
        (
            "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;",
            "proxy_set_header Connection \"upgrade\"",
        ),
    ];
    let origin = origin().await;
    let route = format!("/=http://{}", origin.address());
    let gateway = Server::gateway(&["--route", &route, "--incomplete-handshakes", "refuse"]);
    for (lines, missing) in cases {
        let kind = Kind::Nginx(lines);
        if !kind.is_here() {
            return;
        }
        let nginx = kind.start(gateway.address);
        let before = origin.requests();
        let (head, text) = ask(nginx.address, UPGRADE_REQUEST).await;
        assert_eq!(head.status, 426, "{lines:?}: {text}");
        assert!(text.contains(missing), "{lines:?}: {text}");
        assert_eq!(origin.requests(), before, "{lines:?}: no origin hears of it");

        let (head, text) = ask(nginx.address, ORDINARY).await;
        assert_eq!((head.status.as_u16(), &*text), (200, "page"), "{lines:?}");
    }
}

/// `Connection "upgrade"` for every request, also where there is no `Upgrade`: what most pages say.
#[tokio::test]
async fn lines_that_are_wrong_for_ordinary_requests_and_do_no_harm() {
    let cases = [
        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";",
        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection 'Upgrade';
         proxy_set_header Host $host; proxy_buffering off; proxy_read_timeout 86400;",
        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
         proxy_set_header Connection $connection_upgrade_or_keep;",
    ];
    let origin = origin().await;
    let gateway = Server::gateway_to(origin.address());
    for lines in cases {
        let kind = Kind::Nginx(lines);
        if !kind.is_here() {
            return;
        }
        let nginx = kind.start(gateway.address);
        let mut client = connect(nginx.address).await;
        for request in [
            ORDINARY.to_owned(),
            ORDINARY.replace("GET", "HEAD"),
            ORDINARY.replace("\r\n\r\n", "\r\nUpgrade-Insecure-Requests: 1\r\n\r\n"),
        ] {
            client.send(&request).await;
            assert_eq!(client.head().await.status, 200, "{lines:?}: {request:?}");
            if !request.starts_with("HEAD") {
                client.receives(b"page").await;
            }
        }
        client.send(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101, "{lines:?}");
        client.send("hello").await;
        client.receives(b"hello").await;
    }
}

/// One of the pages has nginx say `Origin xxx`. With an allow-list that is an origin like any other, or none.
#[tokio::test]
async fn an_origin_that_nginx_has_made_up() {
    let origin = origin().await;
    let route = format!("/=http://{}", origin.address());
    let gateway = Server::gateway(&["--route", &route, "--allow-origin", "https://example.com"]);
    for (made_up, status) in [("xxx", 403), ("https://example.com", 101)] {
        let lines = format!(
            "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
             proxy_set_header Connection \"upgrade\"; proxy_set_header Origin {made_up};"
        );
        // Once for each case, in a program that ends soon.
        let kind = Kind::Nginx(lines.leak());
        if !kind.is_here() {
            return;
        }
        let nginx = kind.start(gateway.address);
        let request = UPGRADE_REQUEST.replacen("\r\n\r\n", "\r\nOrigin: https://example.com\r\n\r\n", 1);
        assert_eq!(ask_head(nginx.address, request).await.status, status, "{made_up}");
    }
}
