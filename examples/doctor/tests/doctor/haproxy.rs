//! HAProxy, which carries upgrades unless its configuration says otherwise.

use crate::examined::{closed_port, examine, origin};
use crate::peer::haproxy;

fn config(server: impl std::fmt::Display, lines: &str) -> String {
    format!(
        "defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    {lines}
frontend clients
    bind LISTEN
    default_backend backend
backend backend
    server backend {server}
"
    )
}

#[tokio::test]
async fn carries_an_upgrade() {
    let origin = origin();
    let Some(haproxy) = haproxy(&config(origin.address, "timeout tunnel 1h")) else {
        return;
    };
    examine(&format!("ws://{}/", haproxy.address)).await.finds(&[&[]]);
}

#[tokio::test]
async fn ends_an_idle_tunnel() {
    let origin = origin();
    let Some(haproxy) = haproxy(&config(origin.address, "timeout tunnel 1s")) else {
        return;
    };
    examine(&format!("--idle 3s ws://{}/", haproxy.address))
        .await
        .finds(&[&["idle-timeout"]]);
}

#[tokio::test]
async fn has_nobody_to_send_it_to() {
    let Some(haproxy) = haproxy(&config(closed_port(), "retries 0")) else {
        return;
    };
    let examined = examine(&format!("ws://{}/", haproxy.address)).await;
    examined.finds(&[&["unavailable"]]);
    examined.says("HAProxy (the page)");
}

#[tokio::test]
async fn reports_a_removed_upgrade() {
    let origin = origin();
    let removes =
        config(origin.address, "").replace("bind LISTEN", "bind LISTEN\n    http-request del-header upgrade");
    let Some(haproxy) = haproxy(&removes) else { return };
    let examined = examine(&format!("ws://{}/", haproxy.address)).await;
    examined.finds(&[&["upgrade-field-lost"]]);
}
