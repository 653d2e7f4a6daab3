//! Requests that are refused before they are any location's, and handshakes that are refused in theirs: what the server adds to all of its
//! answers, the page that takes their place, and the line in the log. Where nginx refuses them too, under both.

use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};

use crate::logs::lines;
use crate::named::kinds;
use crate::program::{Folder, Kind, Program};

fn started(kind: Kind, origin: &ScriptedOrigin) -> Program {
    let text = "events {}
        http { include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy;
        log_format short '$status \"$request\" $sent_http_x_always';
        access_log FOLDER/access.log short;
        server { listen LISTEN; server_name first; add_header X-Always first always; add_header X-Usual usual;
            proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
            location / { proxy_pass http://UPSTREAM; }
            location /own/ { proxy_pass http://UPSTREAM; add_header X-Always \"$uri\" always; }
            location /gone { proxy_pass http://unix:FOLDER/none.sock; }
            location /page/ { proxy_pass http://UPSTREAM; error_page 400 426 /instead; }
            location = /instead { internal; add_header X-Always \"instead $status\" always; return 200 page; } }
        server { listen LISTEN; server_name second; add_header X-Always second always; } }";
    Folder::of(origin.address(), text).start(kind, "test.conf", &["--no-hints"])
}

/// What is sent, the status, `X-Always`, and the request in the log. Where it is no request at all, nginx shows what it has read of it.
type Case<'a> = (&'a str, u16, &'static str, &'static str);

async fn holds(program: &Program, kind: Kind, cases: &[Case<'_>]) {
    for (index, (request, status, always, logged)) in cases.iter().enumerate() {
        let mut client = ScriptedClient::connect(program.address).await;
        client.send(request).await;
        let head = client.head().await;
        let field = |name: &str| {
            head.headers
                .get(name)
                .map_or("-", |value| value.to_str().unwrap())
        };
        assert_eq!(
            (head.status.as_u16(), field("x-always"), field("x-usual")),
            (*status, *always, "-"),
            "{kind:?} {request:?}"
        );
        let line = lines(program, index + 1).remove(index);
        let shown = match (kind, *logged) {
            (Kind::Nginx, "") => line.split('"').nth(1).unwrap().to_owned(),
            (_, "") => "-".to_owned(),
            (_, logged) => logged.to_owned(),
        };
        assert_eq!(
            line,
            format!("{status} \"{shown}\" {always}"),
            "{kind:?} {request:?}"
        );
    }
}

#[tokio::test]
async fn before_any_location() {
    let cases: &[Case<'_>] = &[
        ("GET /x HTTP/1.1\r\n\r\n", 400, "first", ""),
        ("GET /x HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "first", ""),
    ];
    for kind in kinds() {
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        let program = started(kind, &origin);
        holds(&program, kind, cases).await;
    }
}

/// RFC 9112, section 2.2: empty lines in front of a request are no request, and none waits for its head.
#[tokio::test]
async fn behind_empty_lines() {
    let handshake = UPGRADE_REQUEST.replacen("/chat", "/gone", 1);
    let handshakes = ["", "\r\n", "\r\n\r\n", "\r\n\r\n\r\n"].map(|lines| format!("{lines}{handshake}"));
    let cases = handshakes
        .each_ref()
        .map(|handshake| (&**handshake, 502, "first", "GET /gone HTTP/1.1"));
    for kind in kinds() {
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        holds(&started(kind, &origin), kind, &cases).await;
    }
}

/// Of nginx 1.31 a 405, of 1.22 a 400, because its target begins with no slash.
#[tokio::test]
async fn connect() {
    let case = (
        "CONNECT example.com:443 HTTP/1.1\r\nHost: second\r\n\r\n",
        405,
        "first",
        "CONNECT example.com:443 HTTP/1.1",
    );
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    holds(&started(Kind::Ours, &origin), Kind::Ours, &[case]).await;
}

/// nginx lets them through.
#[tokio::test]
async fn handshakes() {
    let keyless = UPGRADE_REQUEST.replace("Sec-WebSocket-Key", "X-Key");
    let old = UPGRADE_REQUEST.replace("Version: 13", "Version: 12");
    let own = old.replace("GET /chat", "GET /own/a%20b");
    let page = keyless.replace("GET /chat", "GET /page/");
    let cases: &[Case<'_>] = &[
        (&keyless, 400, "first", "GET /chat HTTP/1.1"),
        (&old, 426, "first", "GET /chat HTTP/1.1"),
        (&own, 426, "/own/a b", "GET /own/a%20b HTTP/1.1"),
        (&page, 400, "instead 400", "GET /page/ HTTP/1.1"),
    ];
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let program = started(Kind::Ours, &origin);
    holds(&program, Kind::Ours, cases).await;
    // A 426 says what would do, whoever adds what to it.
    let mut client = ScriptedClient::connect(program.address).await;
    client.send(&own).await;
    let head = client.head().await;
    assert_eq!(head.headers["sec-websocket-version"], "13");
    assert_eq!(head.headers["upgrade"], "websocket");
    assert_eq!(head.headers["connection"], "close, upgrade");
}
