//! The program gateway as an operator sees and steers it: `--admin`.
#![cfg(unix)]

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use tokio::time::sleep;

use crate::probes::free_address;
use crate::program::{Program, refusal};
use support::{peers, scratch};

const MARK: &str = "X-Switchover-Admin: 1\r\n";

struct Gateway {
    program: Program,
    admin: SocketAddr,
    origin: ScriptedOrigin,
}

impl Gateway {
    async fn start(arguments: &[&str]) -> Gateway {
        Gateway::to(Script::websocket_echo(), arguments).await
    }

    async fn to(script: Script, arguments: &[&str]) -> Gateway {
        let origin = ScriptedOrigin::start(script).await;
        let admin = free_address();
        let (admin_flag, route) = (
            format!("--admin={admin}"),
            format!("--route=/=http://{}", origin.address()),
        );
        let own = [
            "--listen=127.0.0.1:0",
            "--tunnel-mode=websocket",
            "--workers=2",
            "--route=/gone=http://127.0.0.1:1",
            &admin_flag,
            &route,
        ];
        let program = Program::start("gateway", &[&own, arguments].concat()).await;
        Gateway {
            program,
            admin,
            origin,
        }
    }

    async fn ask(&self, method: &str, target: &str, fields: &str, body: &str) -> (u16, String) {
        let host = format!("Host: {}\r\n", self.admin);
        self.ask_of(&host, method, target, fields, body).await
    }

    async fn ask_of(
        &self,
        host: &str,
        method: &str,
        target: &str,
        fields: &str,
        body: &str,
    ) -> (u16, String) {
        let mut client = ScriptedClient::connect(self.admin).await;
        let length = body.len();
        client
            .send(format!(
                "{method} {target} HTTP/1.1\r\n{host}Content-Length: {length}\r\n{fields}\r\n{body}"
            ))
            .await;
        let (head, text) = client.response().await;
        (head.status.as_u16(), String::from_utf8(text).unwrap())
    }

    async fn post(&self, target: &str) -> (u16, String) {
        self.ask("POST", target, MARK, "").await
    }

    async fn json(&self, target: &str) -> Value {
        let (status, text) = self.ask("GET", target, "", "").await;
        assert_eq!(status, 200, "{target}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn total(&self, query: &str) -> u64 {
        self.json(&format!("/tunnels{query}")).await["total"]
            .as_u64()
            .unwrap()
    }

    async fn tunnel(&self, path: &str) -> ScriptedClient {
        let mut client = self.program.client().await;
        client.send(UPGRADE_REQUEST.replacen("/chat", path, 1)).await;
        assert_eq!(client.head().await.status, 101);
        client
    }

    async fn total_becomes(&self, total: u64) {
        let since = Instant::now();
        while self.total("").await != total {
            assert!(since.elapsed() < TIMEOUT, "{}", self.total("").await);
            sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_tunnel_is_listed_with_what_is_known_of_it() {
    let answer = Script::new()
        .read_head()
        .switch()
        .read(8)
        .send(b"\x81\x02hi")
        .echo();
    let gateway = Gateway::to(answer, &[]).await;
    let mut client = gateway.tunnel("/room?secret=1").await;
    client.send(b"\x81\x82\0\0\0\0hi").await;
    client.receives(b"\x81\x02hi").await;
    let list = gateway.json("/tunnels").await;
    let tunnel = &list["tunnels"][0];
    let expected = [
        ("client", json!("127.0.0.1")),
        ("server", json!(gateway.origin.address().to_string())),
        ("group", json!("/")),
        ("path", json!("/room")),
        ("protocol", json!("websocket")),
        ("state", json!("open")),
        ("from_downstream", json!(8)),
        ("messages_from_downstream", json!(1)),
    ];
    for (name, value) in expected {
        assert_eq!(tunnel[name], value, "{name}: {tunnel}");
    }
    assert!(
        !list.to_string().contains("secret"),
        "a query may hold a credential: {list}"
    );
    let seconds = |name: &str| {
        tunnel[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {tunnel}"))
    };
    let (down, up) = (
        seconds("idle_from_downstream_seconds"),
        seconds("idle_from_upstream_seconds"),
    );
    assert!(down.min(up) <= seconds("idle_seconds") + 0.5, "{tunnel}");
    assert!(seconds("open_seconds") + 0.02 >= down.max(up), "{tunnel}");
}

#[tokio::test]
async fn filters_select() {
    let second = ScriptedOrigin::start(Script::websocket_echo()).await;
    let routes = ["/case", "/Case"].map(|route| format!("--route={route}=http://{}", second.address()));
    let gateway = Gateway::start(&routes.each_ref().map(String::as_str)).await;
    let long = format!("/{}", "x".repeat(255));
    let longer = format!("{long}y");
    let _open = (gateway.tunnel("/room/a").await, gateway.tunnel("/other").await);
    {
        let _cases = (gateway.tunnel("/case").await, gateway.tunnel("/Case").await);
        for route in ["/case", "/Case"] {
            let list = gateway.json(&format!("/tunnels?group={route}")).await;
            assert_eq!(list["total"], 1, "{list}");
            assert_eq!(list["tunnels"][0]["path"], route, "{list}");
        }
        let _long = (gateway.tunnel(&long).await, gateway.tunnel(&longer).await);
        for (query, expected) in [
            (format!("?path={long}"), 1),
            (format!("?path={long}*"), 2),
            ("?path=/x*".to_owned(), 2),
        ] {
            assert_eq!(gateway.total(&query).await, expected, "{query}");
        }
        for query in [
            format!("path={longer}"),
            format!("path={longer}*"),
            "path=".to_owned(),
        ] {
            let (status, text) = gateway.ask("GET", &format!("/tunnels?{query}"), "", "").await;
            assert!(
                status == 400 && text.contains("path: "),
                "{query}: {status} {text}"
            );
        }
    }
    gateway.total_becomes(2).await;
    let first = gateway.json("/tunnels?path=/room/a").await["tunnels"][0].clone();
    let id = first["id"].as_str().unwrap();
    let part_of_id = &id[..id.len() - 1];
    let host = gateway.json("/tunnels").await["tunnels"][0]["host"]
        .as_str()
        .unwrap()
        .to_owned();
    let server = gateway.origin.address();
    for (query, expected) in [
        (String::new(), 2),
        ("?path=/room/a".to_owned(), 1),
        ("?path=/room/*".to_owned(), 1),
        ("?path=/room".to_owned(), 0),
        ("?client=127.0.0.1".to_owned(), 2),
        ("?client=127.0.0.2".to_owned(), 0),
        ("?client=::ffff:127.0.0.1".to_owned(), 2),
        ("?group=/".to_owned(), 2),
        ("?group=/other".to_owned(), 0),
        (format!("?server={server}"), 2),
        ("?server=nobody".to_owned(), 0),
        (format!("?host={host}&path=/other"), 1),
        ("?protocol=websocket&state=open".to_owned(), 2),
        ("?state=draining".to_owned(), 0),
        ("?older_than=1h".to_owned(), 0),
        ("?older_than=0s".to_owned(), 2),
        ("?idle_longer_than=1h".to_owned(), 0),
        ("?text=ROOM".to_owned(), 1),
        (format!("?text={id}"), 1),
        // It may be the whole of no id, and is a part of many.
        (format!("?text={part_of_id}"), 0),
        ("?text=Open".to_owned(), 2),
        ("?text=/other".to_owned(), 1),
        ("?text=127.0.0".to_owned(), 2),
        // Names are compared as they are written, hosts and protocols as HTTP does.
        ("?protocol=WebSocket".to_owned(), 2),
        (format!("?host={}", host.to_uppercase()), 2),
        ("?path=/ROOM/a".to_owned(), 0),
    ] {
        assert_eq!(gateway.total(&query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn pages_follow_each_other_in_either_order() {
    let gateway = Gateway::start(&[]).await;
    let mut open = Vec::new();
    for _ in 0..5 {
        open.push(gateway.tunnel("/").await);
    }
    for order in ["up", "down"] {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = gateway
                .json(&format!("/tunnels?limit=2&order={order}{cursor}"))
                .await;
            let tunnels = page["tunnels"].as_array().unwrap();
            ids.extend(
                tunnels
                    .iter()
                    .map(|tunnel| tunnel["id"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        let mut sorted = ids.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!((ids.len(), sorted.len()), (5, 5), "{order}: {ids:?}");
        sorted.reverse();
        assert_eq!(order == "down", ids == sorted, "{ids:?}");
    }
    let sorts = [
        "opened",
        "client",
        "server",
        "path",
        "state",
        "from_downstream",
        "from_upstream",
        "activity",
        "rate",
    ];
    for sort in sorts {
        let page = gateway
            .json(&format!("/tunnels?sort={sort}&offset=3&rates=true"))
            .await;
        assert_eq!(page["tunnels"].as_array().unwrap().len(), 2, "{sort}");
    }
}

#[tokio::test]
async fn one_tunnel_ends_with_the_code_and_another_goes_on() {
    let gateway = Gateway::start(&[]).await;
    let (mut one, mut other) = (gateway.tunnel("/one").await, gateway.tunnel("/other").await);
    let first = gateway.json("/tunnels?path=/one").await;
    let id = first["tunnels"][0]["id"].as_str().unwrap();
    let (status, text) = gateway
        .post(&format!("/tunnels/end?id={id}&code=4001&reason=signed+out"))
        .await;
    assert_eq!((status, text.as_str()), (200, "{\"ended\":1}\n"));
    one.receives(b"\x88\x0c\x0f\xa1signed out").await;
    drop(one);
    gateway.total_becomes(1).await;

    // The other by a filter, in a body.
    let body = json!({ "path": "/other", "code": 1012 }).to_string();
    let (status, text) = gateway.ask("POST", "/tunnels/end", MARK, &body).await;
    assert_eq!((status, text.as_str()), (200, "{\"ended\":1}\n"));
    other.receives(b"\x88\x02\x03\xf4").await;
}

#[tokio::test]
async fn tunnels_end_one_after_the_other_over_a_spread() {
    let gateway = Gateway::start(&[]).await;
    let (_first, _second) = (gateway.tunnel("/").await, gateway.tunnel("/").await);
    let (status, text) = gateway.post("/tunnels/end?all=true&spread=1h").await;
    assert_eq!((status, text.as_str()), (200, "{\"ended\":2}\n"));
    // The first at once, the second after half of it.
    gateway.total_becomes(1).await;
}

#[tokio::test]
async fn a_wrong_request_is_answered_with_what_is_wrong_and_changes_nothing() {
    let gateway = Gateway::start(&[]).await;
    let _open = gateway.tunnel("/").await;
    for (target, named) in [
        ("/tunnels/end", "which tunnels?"),
        ("/tunnels/end?servre=a", "servre: expected one of"),
        ("/tunnels/end?id=7", "id: "),
        ("/tunnels/end?all=true&client=127.0.0.1", "which tunnels?"),
        ("/tunnels/end?all=true&code=1006", "code or reason: "),
        ("/tunnels/end?all=true&code=5000", "code or reason: "),
        ("/tunnels/end?all=true&reason=x", "reason: needs a code"),
        ("/tunnels/end?all=true&all=true", "all: expected once"),
        ("/tunnels/end?all=true&spread=soon", "spread: "),
        ("/tunnels/end?server=", "server: is empty"),
        ("/servers?name=nobody&down=true", "nobody"),
        ("/servers?name=nobody", "down: "),
        ("/drain?grace=1h", "--drain-timeout"),
    ] {
        let (status, text) = gateway.post(target).await;
        let error: Value = serde_json::from_str(&text).unwrap();
        let error = error["error"].as_str().unwrap();
        assert!(
            status == 400 && error.contains(named),
            "{target}: {status} {text}"
        );
    }
    for target in [
        "/tunnels?sort=size",
        "/tunnels?limit=x",
        "/tunnels?limit=0",
        "/tunnels?client=me",
        "/tunnels?order=side",
        "/tunnels?state=ajar",
        "/tunnels?cursor=1-1&sort=rate",
        "/servers?x=1",
    ] {
        assert_eq!(gateway.ask("GET", target, "", "").await.0, 400, "{target}");
    }
    for (body, expected) in [("{", 400), ("[]", 400), ("{\"id\": null}", 400)] {
        assert_eq!(
            gateway.ask("POST", "/tunnels/end", MARK, body).await.0,
            expected,
            "{body}"
        );
    }
    let large = "x".repeat(20_000);
    assert_eq!(gateway.ask("POST", "/tunnels/end", MARK, &large).await.0, 413);
    let twice = "{\"path\": \"/\", \"path\": \"/other\"}";
    let (status, text) = gateway.ask("POST", "/tunnels/end", MARK, twice).await;
    assert!(
        status == 400 && text.contains("path: expected once"),
        "{status} {text}"
    );
    let both = gateway
        .ask("POST", "/tunnels/end?path=/", MARK, "{\"path\": \"/\"}")
        .await;
    assert_eq!(both.0, 400, "{}", both.1);
    assert_eq!(gateway.total("?state=open").await, 1);
}

#[tokio::test]
async fn an_address_answers_its_own_methods_alone() {
    let gateway = Gateway::start(&[]).await;
    let _open = gateway.tunnel("/").await;
    let name = gateway.origin.address();
    let addresses = [
        ("/".to_owned(), "GET, HEAD"),
        ("/page.js".to_owned(), "GET, HEAD"),
        ("/summary".to_owned(), "GET, HEAD"),
        ("/tunnels".to_owned(), "GET, HEAD"),
        ("/failures".to_owned(), "GET, HEAD"),
        ("/metrics".to_owned(), "GET, HEAD"),
        (format!("/servers?name={name}&down=true"), "GET, HEAD, POST"),
        ("/tunnels/end?all=true".to_owned(), "POST"),
        ("/drain".to_owned(), "POST"),
    ];
    for (target, allowed) in addresses {
        for method in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "QUERY",
        ] {
            if allowed.split(", ").any(|own| own == method) {
                continue;
            }
            let mut client = ScriptedClient::connect(gateway.admin).await;
            let host = gateway.admin;
            client
                .send(format!(
                    "{method} {target} HTTP/1.1\r\nHost: {host}\r\n{MARK}\r\n"
                ))
                .await;
            let head = client.head().await;
            assert_eq!(head.status, 405, "{method} {target}");
            assert_eq!(head.headers["allow"], allowed, "{method} {target}");
        }
    }
    assert_eq!(gateway.ask("GET", "/nothing", "", "").await.0, 404);
    assert_eq!(gateway.post("/nothing").await.0, 404);
    assert_eq!(gateway.json("/summary").await["state"], "serving");
    assert_eq!(gateway.json("/servers").await[1]["servers"][0]["down"], false);
    assert_eq!(gateway.total("?state=open").await, 1);
}

#[tokio::test]
async fn a_code_is_refused_where_no_tunnel_could_send_it() {
    let gateway = Gateway::start(&["--tunnel-mode=stream"]).await;
    let mut open = gateway.tunnel("/").await;
    let (status, text) = gateway.post("/tunnels/end?all=true&code=4001").await;
    assert!(
        status == 400 && text.contains("code: needs --tunnel-mode websocket"),
        "{status} {text}"
    );
    assert_eq!(gateway.total("?state=open").await, 1);
    assert_eq!(gateway.post("/tunnels/end?all=true").await.0, 200);
    open.ends().await;
}

#[tokio::test]
async fn a_request_of_another_site_changes_nothing() {
    let gateway = Gateway::start(&["--admin-host=admin.example"]).await;
    let _open = gateway.tunnel("/").await;
    let here = format!("Host: {}\r\n", gateway.admin);
    for (host, fields, expected) in [
        (here.as_str(), "", 403),
        (
            &here,
            "X-Switchover-Admin: 1\r\nOrigin: http://attacker.example\r\n",
            403,
        ),
        (
            &here,
            "X-Switchover-Admin: 1\r\nSec-Fetch-Site: cross-site\r\n",
            403,
        ),
        ("Host: attacker.example\r\n", MARK, 421),
        ("", MARK, 400),
    ] {
        let (status, text) = gateway
            .ask_of(host, "POST", "/tunnels/end?all=true", fields, "")
            .await;
        assert_eq!(status, expected, "{host:?} {fields:?} {text}");
    }
    let read = gateway
        .ask_of("Host: attacker.example\r\n", "GET", "/tunnels", "", "")
        .await;
    assert_eq!(read.0, 421, "a name that was rebound");
    assert_eq!(gateway.total("?state=open").await, 1);
    let named = gateway
        .ask_of(
            "Host: admin.example\r\n",
            "POST",
            "/tunnels/end?all=true",
            MARK,
            "",
        )
        .await;
    assert_eq!(named, (200, "{\"ended\":1}\n".to_owned()));
}

#[tokio::test]
async fn the_page_is_whole_and_loads_nothing_from_elsewhere() {
    let gateway = Gateway::start(&[]).await;
    let mut client = ScriptedClient::connect(gateway.admin).await;
    client
        .send(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.admin))
        .await;
    let (head, _) = client.response().await;
    for (name, value) in [
        ("content-security-policy", "default-src 'none'; "),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("cache-control", "no-store"),
    ] {
        assert!(head.headers[name].to_str().unwrap().starts_with(value), "{name}");
    }
    for path in [
        "/",
        "/page.css",
        "/page.js",
        "/tunnels.js",
        "/draw.js",
        "/gateway.js",
    ] {
        let (status, text) = gateway.ask("GET", path, "", "").await;
        assert_eq!(status, 200, "{path}");
        // What would make markup or a script of a text.
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
        ] {
            assert!(!text.contains(way), "{path}: {way}");
        }
        let elsewhere = text.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !elsewhere.contains("//www") && !elsewhere.contains("http"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn with_a_token_nothing_is_said_or_done_without_it() {
    let file = std::env::temp_dir().join(format!("admin-token-{}", std::process::id()));
    std::fs::write(&file, "0123456789abcdef\n").unwrap();
    let gateway = Gateway::start(&[&format!("--admin-token-file={}", file.display())]).await;
    std::fs::remove_file(file).unwrap();
    let right = "Authorization: Bearer 0123456789abcdef\r\n";
    for target in ["/tunnels", "/servers", "/failures", "/summary", "/nothing"] {
        assert_eq!(gateway.ask("GET", target, "", "").await.0, 401, "{target}");
        let expected = if target == "/nothing" { 404 } else { 200 };
        assert_eq!(
            gateway.ask("GET", target, right, "").await.0,
            expected,
            "{target}"
        );
    }
    let wrong = "Authorization: Bearer 0123456789abcdeX\r\n";
    assert_eq!(gateway.ask("POST", "/drain", wrong, "").await.0, 401);
    assert_eq!(gateway.ask("POST", "/drain", MARK, "").await.0, 401);
    assert_eq!(
        gateway.ask("GET", "/", "", "").await.0,
        200,
        "the page has the form"
    );
    assert_eq!(
        gateway.ask("POST", "/tunnels/end?all=true", right, "").await.0,
        200
    );
}

#[tokio::test]
async fn a_server_is_taken_out_and_put_in_and_failures_say_what_to_change() {
    let gateway = Gateway::start(&[]).await;
    let name = gateway.origin.address();
    for (down, status) in [(true, 502), (false, 101)] {
        assert_eq!(
            gateway.post(&format!("/servers?name={name}&down={down}")).await.0,
            200
        );
        let servers = gateway.json("/servers").await;
        let groups = servers.as_array().unwrap();
        let group = groups
            .iter()
            .find(|group| group["servers"][0]["name"] == name.to_string())
            .unwrap();
        assert_eq!(group["servers"][0]["down"], down);
        let state = if down { "down" } else { "healthy" };
        assert_eq!(group["servers"][0]["state"], state);
        let mut client = gateway.program.client().await;
        client.send(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, status);
    }
    let mut client = gateway.program.client().await;
    client.send(UPGRADE_REQUEST.replacen("/chat", "/gone", 1)).await;
    assert_eq!(client.head().await.status, 502);
    let since = Instant::now();
    let failure = loop {
        let failures = gateway.json("/failures").await;
        if failures[0]["reason"] == "refused" || since.elapsed() > TIMEOUT {
            break failures[0].clone();
        }
        sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(
        (&failure["phase"], &failure["side"]),
        (&json!("connect"), &json!("upstream")),
        "{failure}"
    );
    assert!(!failure["what"].as_str().unwrap().is_empty() && !failure["remedy"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn servers_of_one_name_in_a_group_are_told_apart_by_their_places() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let name = origin.address();
    let gateway = Gateway::start(&[&format!("--route=/twins=http://{name},http://{name}")]).await;
    let mut open = vec![gateway.tunnel("/twins").await, gateway.tunnel("/twins").await];
    let of_place = async |place: usize| gateway.total(&format!("?group=/twins&place={place}")).await;
    assert_eq!(
        [of_place(0).await, of_place(1).await, of_place(2).await],
        [1, 1, 0]
    );
    let server = format!("/servers?name={name}&down=true");
    for (query, named) in [
        ("&place=0", "place: needs a group"),
        ("&place=2&group=/twins", "at place 2"),
        ("&place=first&group=/twins", "place: expected a whole number"),
        ("&place=0&group=/", "name: no such group has a server"),
    ] {
        let (status, text) = gateway.post(&format!("{server}{query}")).await;
        assert_eq!(status, 400, "{query}: {text}");
        assert!(text.contains(named), "{query}: {text}");
    }
    let (status, text) = gateway.post(&format!("{server}&place=0&group=/twins")).await;
    assert_eq!((status, text.as_str()), (200, "{\"groups\":1}\n"));
    let groups = gateway.json("/servers").await;
    let groups = groups.as_array().unwrap();
    let twins = groups.iter().find(|group| group["group"] == "/twins").unwrap();
    let shown = [0, 1].map(|at| {
        (
            twins["servers"][at]["place"].clone(),
            twins["servers"][at]["down"].clone(),
        )
    });
    assert_eq!(shown, [(json!(0), json!(true)), (json!(1), json!(false))]);
    for _ in 0..2 {
        open.push(gateway.tunnel("/twins").await);
    }
    assert_eq!([of_place(0).await, of_place(1).await], [1, 3]);
}

#[tokio::test]
async fn metrics_are_text_that_prometheus_reads() {
    // Of one name in two groups, and taken out in one of them.
    let gateway = Gateway::start(&["--route=/down=http://127.0.0.1:1"]).await;
    let down = gateway
        .post("/servers?name=127.0.0.1:1&down=true&group=/down")
        .await;
    assert_eq!(down.0, 200, "{}", down.1);
    let (open, mut ended) = (gateway.tunnel("/?token=secret").await, gateway.tunnel("/").await);
    let list = gateway.json("/tunnels?order=down").await;
    let id = list["tunnels"][0]["id"].as_str().unwrap();
    assert_eq!(
        gateway.post(&format!("/tunnels/end?id={id}&code=4001")).await.0,
        200
    );
    ended.receives(b"\x88\x02\x0f\xa1").await;
    drop(ended);
    gateway.total_becomes(1).await;
    let mut client = gateway.program.client().await;
    client
        .send(UPGRADE_REQUEST.replacen("/chat", "/gone?token=secret", 1))
        .await;
    assert_eq!(client.head().await.status, 502);
    let mut client = gateway.program.client().await;
    client
        .send(UPGRADE_REQUEST.replacen("Version: 13", "Version: 12", 1))
        .await;
    assert_eq!(client.head().await.status, 426);

    let (status, text) = gateway.ask("GET", "/metrics?collect=all", "", "").await;
    assert_eq!(status, 200, "{text}");
    let origin = gateway.origin.address();
    for line in [
        "switchover_tunnels_open 1".to_owned(),
        "switchover_tunnels_opened_total 2".to_owned(),
        "switchover_tunnels_ended_total{reason=\"requested\",side=\"none\"} 1".to_owned(),
        "switchover_websocket_closes_total{from=\"proxy\",code=\"4xxx\"} 2".to_owned(),
        "switchover_tunnel_duration_seconds_count 1".to_owned(),
        "switchover_connect_seconds_count{kind=\"upgrade\"} 2".to_owned(),
        format!("switchover_server_state{{group=\"/\",server=\"{origin}\",state=\"healthy\"}} 1"),
        format!("switchover_server_tunnels{{group=\"/\",server=\"{origin}\"}} 1"),
        "switchover_server_state{group=\"/down\",server=\"127.0.0.1:1\",state=\"down\"} 1".to_owned(),
        "switchover_server_state{group=\"/gone\",server=\"127.0.0.1:1\",state=\"down\"} 0".to_owned(),
        "switchover_attempts_total{group=\"/gone\",server=\"127.0.0.1:1\",outcome=\"failed\"} 1".to_owned(),
    ] {
        assert!(text.lines().any(|own| own == line), "{line}: {text}");
    }
    for name in [
        "switchover_refused_total{reason=",
        "switchover_failed_total{phase=\"connect\",side=\"upstream\"",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
    assert!(
        !text.contains("secret") && !text.contains("127.0.0.1\""),
        "{text}"
    );
    if peers::has("promtool", peers::runs(Command::new("promtool").arg("--version"))) {
        let file = scratch("admin").join(format!("{}.prom", std::process::id()));
        std::fs::write(&file, &text).unwrap();
        let stdin = std::fs::File::open(&file).unwrap();
        let checked = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(stdin)
            .output()
            .unwrap();
        std::fs::remove_file(file).unwrap();
        let words = String::from_utf8_lossy(&checked.stderr);
        assert!(
            checked.status.success() && checked.stdout.is_empty() && words.is_empty(),
            "{words}\n{text}"
        );
    }
    drop(open);
}

#[tokio::test]
async fn no_answer_has_a_query_or_a_credential() {
    let gateway = Gateway::to(
        Script::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        &[],
    )
    .await;
    let fields = "Authorization: Basic c2VjcmV0\r\nCookie: session=c2VjcmV0\r\n";
    for (path, more, status) in [
        ("/chat?token=secret", "", 403),
        ("/gone?token=secret", "", 502),
        ("/x/..%2fgone?token=secret", "", 400),
        ("/chat?token=secret", "Upgrade: secret\r\n", 403),
        ("/chat?token=secret", "Sec-WebSocket-Version: secret\r\n", 400),
        ("/chat?token=secret", "Content-Length: secret\r\n", 400),
    ] {
        let mut client = gateway.program.client().await;
        let request = UPGRADE_REQUEST.replacen("/chat", path, 1);
        client
            .send(request.replacen("\r\n\r\n", &format!("\r\n{fields}{more}\r\n"), 1))
            .await;
        assert_eq!(client.head().await.status, status, "{path} {more}");
    }
    let since = Instant::now();
    while gateway.json("/failures").await.as_array().unwrap().len() < 6 {
        assert!(since.elapsed() < TIMEOUT, "{}", gateway.json("/failures").await);
        sleep(Duration::from_millis(5)).await;
    }
    for target in ["/failures", "/summary", "/tunnels", "/servers", "/metrics"] {
        let (_, text) = gateway.ask("GET", target, "", "").await;
        assert!(
            !text.contains("secret") && !text.contains("c2VjcmV0"),
            "{target}: {text}"
        );
    }
}

#[tokio::test]
async fn tunnels_of_a_server_that_is_taken_out_end_where_that_is_wanted() {
    for (flags, close) in [
        (&["--evacuate=0s"][..], &b"\x88\x0f\x03\xe9shutting down"[..]),
        (
            &["--evacuate=0s", "--evacuate-close=1012 moving", "--rebalance=1"],
            b"\x88\x08\x03\xf4moving",
        ),
    ] {
        let gateway = Gateway::start(flags).await;
        let mut open = gateway.tunnel("/").await;
        let name = gateway.origin.address();
        let (status, text) = gateway.post(&format!("/servers?name={name}&down=true")).await;
        assert_eq!(status, 200, "{text}");
        open.receives(close).await;
        drop(open);
        gateway.total_becomes(0).await;
        let (_, text) = gateway.ask("GET", "/metrics", "", "").await;
        let line = "switchover_tunnels_ended_total{reason=\"evacuated\",side=\"none\"} 1";
        assert!(text.lines().any(|own| own == line), "{text}");
    }
}

#[tokio::test]
async fn a_port_alone_is_one_of_this_host() {
    for colon in ["", ":"] {
        let flag = format!("--admin={colon}0");
        let mut program = Program::start(
            "gateway",
            &["--listen=127.0.0.1:0", "--route=/=http://127.0.0.1:1", &flag],
        )
        .await;
        let line = program.line().await.unwrap();
        let address = line
            .strip_prefix("administration on http://")
            .and_then(|line| line.strip_suffix('/'))
            .unwrap();
        let address: SocketAddr = address.parse().unwrap();
        assert!(address.ip().is_loopback() && address.port() != 0, "{line}");
        let mut client = ScriptedClient::connect(address).await;
        client
            .send(format!("GET /summary HTTP/1.1\r\nHost: {address}\r\n\r\n"))
            .await;
        assert_eq!(client.response().await.0.status, 200);
    }
}

#[tokio::test]
async fn a_first_signal_leaves_a_drain_of_an_operator_its_grace_and_a_second_ends_it() {
    // Most of them have no tunnel, and end before the signal.
    let mut gateway = Gateway::start(&["--drain-timeout=1h", "--workers=8"]).await;
    let mut open = gateway.tunnel("/").await;
    assert_eq!(gateway.post("/drain").await.0, 200);
    assert_eq!(gateway.json("/summary").await["state"], "draining");
    gateway.program.terminate().await;
    open.receives_nothing_for(Duration::from_millis(300)).await;
    // Two that come too close together are one.
    let hastened = async {
        loop {
            gateway.program.terminate().await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = open.receives(b"\x88\x0f\x03\xe9") => {}
        () = hastened => {}
    }
    drop(open);
    assert!(gateway.program.ends().await.success());
}

#[tokio::test]
async fn a_drain_ends_the_program() {
    let mut gateway = Gateway::start(&[]).await;
    let mut open = gateway.tunnel("/").await;
    let (status, text) = gateway.post("/drain?grace=0s").await;
    assert_eq!((status, text.as_str()), (200, "{\"draining\":1}\n"));
    open.receives(b"\x88\x0f\x03\xe9").await;
    drop(open);
    assert!(gateway.program.ends().await.success());
}

#[tokio::test]
async fn flags_that_make_no_sense_are_refused() {
    let short = std::env::temp_dir().join(format!("admin-short-{}", std::process::id()));
    std::fs::write(&short, "short\n").unwrap();
    let short_flag = format!("--admin-token-file={}", short.display());
    for (arguments, expected) in [
        (&["--admin=0.0.0.0:0"][..], "other hosts can reach this address"),
        (&["--admin=[::]:0"], "other hosts can reach this address"),
        (&["--admin=65536"], "--admin"),
        (
            &["--admin-token-file=/nowhere"],
            "--admin-token-file needs --admin",
        ),
        (&["--admin-host=a.example"], "--admin-host needs --admin"),
        (
            &["--admin=127.0.0.1:0", "--admin-host=http://a.example"],
            "a host name or an address, without a scheme",
        ),
        (
            &["--admin=127.0.0.1:0", "--admin-token-file=/nowhere"],
            "/nowhere",
        ),
        (
            &["--admin=127.0.0.1:0", &short_flag],
            "16 to 1024 printable ASCII characters",
        ),
    ] {
        let all = [&["--listen=127.0.0.1:0"], arguments].concat();
        let output = refusal("gateway", &all).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && text.contains(expected),
            "{arguments:?}: {text}"
        );
    }
    std::fs::remove_file(short).unwrap();
}
