//! `if` in a location, under both: which server is asked, and with which fields the answer comes.

use crate::named::{Named, WAYS, Way, configured, kinds};

/// The configurations that circulate with it: WebSockets to another server than pages, by the field or by the method, and
/// fields for CORS.
#[tokio::test]
async fn another_server_for_some_requests() {
    let [pages, sockets, special] = Named::three().await;
    let locations = format!(
        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
         proxy_set_header Connection $connection_upgrade;
         location / {{
             if ($http_upgrade = websocket) {{ proxy_pass http://{sockets}; }}
             if ($arg_to = special) {{ proxy_pass http://{special}; }}
             proxy_pass http://{pages};
         }}
         location /broken {{
             if ($http_upgrade) {{ proxy_pass http://{sockets}; break; }}
             if ($arg_to = special) {{ proxy_pass http://{special}; }}
             if ($arg_to = nobody) {{ return 403; }}
             proxy_pass http://{pages};
         }}
         location /prefixed/ {{
             if ($arg_to = special) {{ add_header X-Special 1; }}
             proxy_pass http://{pages}/;
         }}
         location /end {{ break; return 403; proxy_pass http://{pages}; }}",
        pages = pages.address,
        sockets = sockets.address,
        special = special.address,
    );
    let [pages, sockets, special] = ["a", "b", "c"];
    // The target, whom an ordinary request gets, and whom an upgrade.
    let cases = [
        ("/", pages, sockets),
        ("/?to=special", special, special),
        ("/broken", pages, sockets),
        ("/broken?to=special", special, sockets),
        ("/broken?to=nobody", "403", sockets),
        ("/prefixed/?to=special", pages, pages),
        ("/end", pages, pages),
    ];
    for kind in kinds() {
        let program = configured(kind, "", &locations, &["--strict"]);
        for (target, ordinary, upgrade) in cases {
            for way in WAYS {
                let expected = if way == Way::Get { ordinary } else { upgrade };
                let served = way.served_by(&program, target).await;
                assert_eq!(served, expected, "{kind:?} {way:?} {target}");
            }
        }
    }
}

#[tokio::test]
async fn fields_of_an_if() {
    let server = Named::start("a").await;
    let locations = format!(
        "add_header X-Outer outer;
         location / {{
             if ($request_method = 'OPTIONS') {{
                 add_header 'Access-Control-Allow-Origin' '*';
                 add_header 'Access-Control-Max-Age' 1728000;
                 return 204;
             }}
             if ($request_method = 'GET') {{ add_header 'Access-Control-Allow-Origin' '*' always; }}
             if ($arg_last) {{ add_header X-Last $arg_last always; }}
             if ($arg_gone) {{ return 410; }}
             proxy_pass http://{};
         }}",
        server.address
    );
    let cases: &[(&str, &[&str])] = &[
        (
            "OPTIONS /",
            &[
                "204",
                "access-control-allow-origin: *",
                "access-control-max-age: 1728000",
            ],
        ),
        ("GET /", &["200", "access-control-allow-origin: *"]),
        ("PUT /", &["200", "x-outer: outer"]),
        ("GET /?last=1", &["200", "x-last: 1"]),
        // The last one has the fields of the location around it, which are not for this status.
        ("GET /?gone=1", &["410"]),
    ];
    for kind in kinds() {
        let program = configured(kind, "", &locations, &["--strict"]);
        for (request, expected) in cases {
            let mut client = switchover::test_util::ScriptedClient::connect(program.address).await;
            client
                .send(format!("{request} HTTP/1.1\r\nHost: a\r\n\r\n"))
                .await;
            let head = client.head().await;
            let mut seen = vec![head.status.as_str().to_owned()];
            let fields = head.headers.iter().filter(|(name, _)| {
                let name = name.as_str();
                name.starts_with("access-")
                    || name.starts_with("x-") && !["x-name", "x-content-type-options"].contains(&name)
            });
            seen.extend(fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())));
            assert_eq!(seen, *expected, "{kind:?} {request}");
        }
    }
}

/// Served without it, what it keeps out would come in.
#[test]
fn what_else_stands_in_an_if_is_an_error() {
    for (locations, words) in [
        (
            "location / { if ($arg_a) { deny all; } }",
            "deny may not stand here",
        ),
        (
            "if ($arg_a) { proxy_pass http://127.0.0.1:9; }",
            "proxy_pass may not stand here",
        ),
        (
            "location / { if ($arg_a) { proxy_pass http://127.0.0.1:9/x; } }",
            "takes no path behind the host",
        ),
    ] {
        let output = crate::named::folder("", locations).tested("test.conf", &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(words), "{said}");
    }
}
