//! `proxy_redirect` under both: where an upstream sends the client, as the client sees it.

use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};

use crate::named::{configured, kinds};
use crate::program::Kind;

/// The path of the location, what follows `proxy_pass`, other lines, what the origin says, and what becomes of it. `UP` is
/// the origin's address.
const CASES: &[(&str, &str, &str, &str, &str)] = &[
    ("/one/", "http://UP/two/", "", "http://UP/two/x?y", "/one/x?y"),
    (
        "/one/",
        "http://UP/two/",
        "",
        "http://UP/three/",
        "http://UP/three/",
    ),
    (
        "/one/",
        "http://UP/two/",
        "",
        "https://UP/two/",
        "https://UP/two/",
    ),
    (
        "/one/",
        "http://UP/two/",
        "proxy_redirect default;",
        "http://UP/two/",
        "/one/",
    ),
    (
        "/one/",
        "http://UP/two/",
        "proxy_redirect off;",
        "http://UP/two/",
        "http://UP/two/",
    ),
    ("/one/", "http://UP", "", "http://UP/one/x", "/one/x"),
    ("/one/", "http://UP", "", "http://UP", "http://UP"),
    ("/one/", "http://UP", "", "/elsewhere", "/elsewhere"),
    ("/one/", "http://UP/", "", "http://UP/x", "/one/x"),
    (
        "/one/",
        "http://UP/",
        "proxy_redirect http://here.example/ http://$host/; proxy_redirect default;",
        "http://here.example/x",
        "http://a/x",
    ),
    (
        "/one/",
        "http://UP/",
        "proxy_redirect http://here.example/ http://$host/; proxy_redirect default;",
        "http://UP/x",
        "/one/x",
    ),
    (
        "/one/",
        "http://UP/",
        "proxy_redirect http://here.example/ /x/;",
        "http://UP/x",
        "http://UP/x",
    ),
    (
        "/one/",
        "http://UP/",
        "proxy_redirect $scheme://$mapped/ https://$mapped.example/;",
        "http://costs-5/x",
        "https://costs-5.example/x",
    ),
];

#[tokio::test]
async fn what_becomes_of_a_location() {
    for kind in kinds() {
        for (path, url, lines, said, expected) in CASES {
            let answer = |address: &str| {
                let said = said.replace("UP", address);
                format!(
                    "HTTP/1.1 302 Found\r\nLocation: {said}\r\nRefresh: 5; url={said}\r\nContent-Length: 0\r\n\r\n"
                )
            };
            // It learns its own address from the head.
            let script = Script::new()
                .read_head()
                .answer(move |head| {
                    let host = head.headers["host"].to_str().unwrap();
                    answer(host).into_bytes()
                })
                .close();
            let origin = ScriptedOrigin::start_with(move |_| script.clone()).await;
            let address = origin.address().to_string();
            let locations = format!(
                "location {path} {{ proxy_pass {}; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
                 proxy_set_header Connection $connection_upgrade; {lines} }}",
                url.replace("UP", &address)
            );
            let maps = "map $host $mapped { default none; a costs-5; }";
            let program = configured(kind, maps, &locations, &["--strict"]);
            let upgrade = UPGRADE_REQUEST
                .replacen("GET /chat", &format!("GET {path}"), 1)
                .replacen("example.com", "a", 1);
            for request in [format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"), upgrade] {
                let mut client = ScriptedClient::connect(program.address).await;
                client.send(request).await;
                let (head, _) = client.response().await;
                let given = |name: &str| head.headers[name].to_str().unwrap().replace(&address, "UP");
                // `absolute_redirect`: a path that the proxy has put there becomes a whole address.
                let is_changed = said != expected && expected.starts_with('/');
                let whole = match is_changed {
                    true => format!("http://a:{}{expected}", program.address.port()),
                    false => (*expected).to_owned(),
                };
                assert_eq!(given("location"), whole, "{kind:?} {url} {lines} {said}");
                let refresh = format!("5; url={expected}");
                assert_eq!(given("refresh"), refresh, "{kind:?} {url} {lines} {said}");
            }
        }
    }
}

/// Here the two are joined by one slash, on the way up and on the way down.
#[tokio::test]
async fn a_location_whose_slashes_do_not_match() {
    for (path, url) in [("/one", "http://UP/two/"), ("/one/", "http://UP/two")] {
        let script = Script::new().read_head().answer(|head| {
            let host = head.headers["host"].to_str().unwrap();
            let target = &head.uri;
            format!("HTTP/1.1 302 Found\r\nLocation: http://{host}{target}\r\nContent-Length: 0\r\n\r\n")
                .into_bytes()
        });
        let origin = ScriptedOrigin::start(script).await;
        let url = url.replace("UP", &origin.address().to_string());
        let locations = format!("location {path} {{ proxy_pass {url}; }}");
        let program = configured(Kind::Ours, "", &locations, &["--strict"]);
        let mut client = ScriptedClient::connect(program.address).await;
        client.send("GET /one/x HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(
            client.response().await.0.headers["location"],
            format!("http://a:{}/one/x", program.address.port()),
            "{path} {url}"
        );
    }
}

/// A client that does not say for which host is sent to the address to which it has come.
#[tokio::test]
async fn a_client_that_names_no_host() {
    for kind in kinds() {
        let program = configured(
            kind,
            "",
            "server_name site.example; location / { return 302 /x; }",
            &[],
        );
        for (request, host) in [
            ("GET / HTTP/1.0\r\n\r\n", &*program.address.ip().to_string()),
            ("GET / HTTP/1.0\r\nHost: other.example\r\n\r\n", "other.example"),
        ] {
            let mut client = ScriptedClient::connect(program.address).await;
            client.send(request).await;
            let expected = format!("http://{host}:{}/x", program.address.port());
            assert_eq!(
                client.head().await.headers["location"],
                expected,
                "{kind:?} {request:?}"
            );
        }
    }
}
