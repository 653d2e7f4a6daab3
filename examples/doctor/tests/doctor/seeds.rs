//! The lines of nginx without which no WebSocket passes: what each mistake looks like to three servers, one that shows what
//! has arrived, one that answers what it does not like, and one that does not answer ordinary requests at all.

use tokio::task::JoinSet;

use crate::examined::{examine, origin};
use crate::peer::nginx;
use crate::programs::{Server, has_node, has_python, node, python};

struct Case {
    lines: &'static str,
    /// From the doctor's own origin; Host is changed as well, by default.
    ours: &'static [&'static str],
    websockets: &'static [&'static str],
    ws: &'static [&'static str],
}

const CASES: [Case; 6] = [
    Case {
        lines: "",
        ours: &["http10-hop", "upgrade-lost", "host-changed"],
        websockets: &["http10-hop"],
        ws: &["upgrade-lost"],
    },
    Case {
        lines: "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";",
        ours: &["http10-hop", "host-changed"],
        websockets: &["http10-hop"],
        // It accepts an upgrade in HTTP/1.0.
        ws: &[],
    },
    Case {
        lines: "proxy_http_version 1.1;",
        ours: &["upgrade-lost", "host-changed"],
        websockets: &["connection-field-lost"],
        ws: &["upgrade-lost"],
    },
    Case {
        lines: "proxy_http_version 1.1; proxy_set_header Connection \"upgrade\";",
        ours: &["upgrade-field-lost", "host-changed"],
        websockets: &["upgrade-field-lost"],
        ws: &["upgrade-lost"],
    },
    Case {
        lines: "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;",
        ours: &["connection-field-lost", "host-changed"],
        websockets: &["connection-field-lost"],
        ws: &["upgrade-lost"],
    },
    Case {
        lines: "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";
                proxy_set_header Host $http_host;",
        // nginx ends both directions with one.
        ours: &["half-close-ends"],
        websockets: &[],
        ws: &[],
    },
];

/// All at once: a server that does not answer is waited for.
async fn compare(server: &Server, expected: impl Fn(&Case) -> &'static [&'static str]) {
    let locations: String = CASES
        .iter()
        .enumerate()
        .map(|(index, case)| {
            let (address, lines) = (server.address, case.lines);
            format!("location /{index} {{ proxy_pass http://{address}; {lines} }}")
        })
        .collect();
    let Some(nginx) = nginx(&format!("server {{ listen LISTEN; {locations} }}")) else {
        return;
    };
    let mut running = JoinSet::new();
    for (index, case) in CASES.iter().enumerate() {
        let arguments = format!(
            "--timeout 2s ws://{}/{index} ws://{}/",
            nginx.address, server.address
        );
        let expected = expected(case);
        running.spawn(async move {
            let examined = examine(&arguments).await;
            examined.finds(&[expected, &[]]);
            let fails = examined.text.contains("  error ");
            let lost = examined.text.starts_with("It works at ws://127.");
            assert_eq!(lost, fails, "{}", examined.text);
            if fails {
                examined.says("proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;");
            }
        });
    }
    running.join_all().await;
}

#[tokio::test]
async fn in_front_of_the_doctors_origin() {
    compare(&origin(), |case| case.ours).await;
}

#[tokio::test]
async fn in_front_of_websockets_of_python() {
    if has_python() {
        compare(&Server::start(&mut python("websockets_server.py")), |case| {
            case.websockets
        })
        .await;
    }
}

#[tokio::test]
async fn in_front_of_ws_of_node() {
    if has_node() {
        compare(&Server::start(&mut node("ws_server.mjs")), |case| case.ws).await;
    }
}
