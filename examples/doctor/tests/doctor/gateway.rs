//! This library's own gateway: nothing is found where it is set up well, and its refusals say why.

use crate::examined::{examine, origin};
use crate::peer::nginx;
use crate::programs::Server;

#[tokio::test]
async fn carries_everything() {
    let origin = origin();
    let gateway = Server::gateway_to(origin.address);
    let examined = examine(&format!("ws://{}/ ws://{}/", gateway.address, origin.address)).await;
    examined.finds(&[&[], &[]]);
    examined.says("It works at all URLs.");
    examined.says("added:   x-forwarded-for: 127.0.0.1");
}

#[tokio::test]
async fn refuses_by_its_flags() {
    let origin = origin();
    let route = format!("/chat=http://{}", origin.address);
    let cases: &[(&[&str], &str, &[&str])] = &[
        (&[], "ws://GATEWAY/elsewhere", &["not-found"]),
        (
            &["--allow-origin", "https://example.com"],
            "ws://GATEWAY/chat",
            &["origin-refused"],
        ),
        (
            &["--allow-origin", "https://example.com"],
            "--origin https://example.com ws://GATEWAY/chat",
            &[],
        ),
        (
            &["--read-timeout", "1s"],
            "--idle 3s ws://GATEWAY/chat",
            &["idle-timeout"],
        ),
    ];
    for (flags, arguments, expected) in cases {
        let flags = [&["--route", &route], *flags].concat();
        let gateway = Server::gateway(&flags);
        let arguments = arguments.replace("GATEWAY", &gateway.address.to_string());
        examine(&arguments).await.finds(&[expected]);
    }
}

/// The hop in front of the gateway has lost the upgrade, and the gateway says what nginx lacks.
#[tokio::test]
async fn behind_a_proxy_that_loses_the_upgrade() {
    let origin = origin();
    let route = format!("/=http://{}", origin.address);
    let gateway = Server::gateway(&["--route", &route, "--incomplete-handshakes", "refuse"]);
    let (good, origin) = (gateway.address, origin.address);
    let config = format!("server {{ listen LISTEN; location / {{ proxy_pass http://{good}; }} }}");
    let Some(nginx) = nginx(&config) else { return };
    let examined = examine(&format!("ws://{}/ ws://{good}/ ws://{origin}/", nginx.address)).await;
    examined.finds(&[&["http10-hop"], &[], &[]]);
    examined.says(&format!(
        "It works at ws://{good}/ and fails at ws://{}/: a hop speaks HTTP/1.0",
        nginx.address
    ));
    examined.says("an nginx in front needs `proxy_http_version 1.1`");
}
