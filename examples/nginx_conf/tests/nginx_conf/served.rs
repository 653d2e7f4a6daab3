//! What the example does beside carrying a WebSocket: limits, groups, logs, sockets, signals.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};

use crate::program::{Folder, Kind, Program, has_nginx};

/// One after the other, where it is there.
fn kinds() -> impl Iterator<Item = Kind> {
    [Kind::Ours, Kind::Nginx]
        .into_iter()
        .filter(|kind| *kind == Kind::Ours || has_nginx())
}

fn start(kind: Kind, upstream: SocketAddr, http: &str) -> Program {
    started(kind, upstream, "", http)
}

fn started(kind: Kind, upstream: SocketAddr, main: &str, http: &str) -> Program {
    let text = format!(
        "pid FOLDER/nginx.pid; error_log FOLDER/error.log;\n{main}\n\
         http {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;\n\
         map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}\n{http}\n}}\n"
    );
    let text = match main.contains("events") {
        true => text,
        false => text.replacen("http {", "events {}\nhttp {", 1),
    };
    Folder::of(upstream, &text).start(kind, "test.conf", &[])
}

/// A location that carries upgrades.
const CARRIES: &str =
    "proxy_pass http://UPSTREAM; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade; proxy_set_header Host $http_host;";

async fn client(program: &Program) -> ScriptedClient {
    ScriptedClient::connect(program.address).await
}

async fn status(program: &Program, request: &str) -> u16 {
    let mut client = client(program).await;
    client.send(request).await;
    client.head().await.status.as_u16()
}

async fn tunnel(program: &Program) -> ScriptedClient {
    let mut client = client(program).await;
    client.send(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101, "{}", program.errors());
    client
}

/// An origin that answers its name, whatever it is asked, for as long as it is asked.
async fn named(name: &str) -> ScriptedOrigin {
    let length = name.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}");
    let script = (0..50).fold(Script::new(), |script, _| script.read_head().send(answer.clone()));
    ScriptedOrigin::start(script).await
}

#[tokio::test]
async fn a_location_without_its_lines_carries_no_upgrade() {
    for without in [
        "proxy_http_version 1.1;",
        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;",
        "proxy_http_version 1.1; proxy_set_header Connection $connection_upgrade;",
        "proxy_http_version 1.1; proxy_set_header Upgrade ''; proxy_set_header Connection $connection_upgrade;",
        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection '';
         proxy_set_header Connection upgrade;",
    ] {
        let origin = named("ordinary").await;
        let http =
            format!("server {{ listen LISTEN; location / {{ proxy_pass http://UPSTREAM; {without} }} }}");
        let ours = start(Kind::Ours, origin.address(), &http);
        assert_eq!(status(&ours, UPGRADE_REQUEST).await, 200, "{without}");
        let head = origin.connection(0).await.head().await.to_lowercase();
        assert!(head.contains("sec-websocket-key"), "{head}");
        assert!(
            !head.contains("\r\nupgrade") && !head.contains("\r\nconnection"),
            "{head}"
        );
    }
}

/// Before 1.29.7 nginx sends the upgrade in HTTP/1.0 then, and an upstream that does not look at the version switches.
#[tokio::test]
async fn an_upgrade_without_the_version_passes_to_an_upstream_that_does_not_look_at_it() {
    for lines in ["", "proxy_http_version 1.0;"] {
        let lines = format!(
            "{lines} proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;"
        );
        let http =
            format!("server {{ listen LISTEN; location / {{ proxy_pass http://UPSTREAM; {lines} }} }}");
        for kind in kinds() {
            let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
            let program = start(kind, origin.address(), &http);
            assert_eq!(status(&program, UPGRADE_REQUEST).await, 101, "{kind:?} {lines}");
        }
    }
}

#[tokio::test]
async fn a_map_that_names_websocket_alone() {
    let http = format!(
        "map $http_upgrade $websocket {{ ~*^websocket$ websocket; default ''; }}
         server {{ listen LISTEN; location / {{ {} }} }}",
        CARRIES.replace("Upgrade $http_upgrade", "Upgrade $websocket")
    );
    for kind in kinds() {
        let origin = ScriptedOrigin::start_with(|index| match index {
            0 => Script::websocket_echo(),
            _ => Script::answering("HTTP/1.1 204 No Content\r\n\r\n"),
        })
        .await;
        let program = start(kind, origin.address(), &http);
        let mut tunnel = tunnel(&program).await;
        tunnel.send("hello").await;
        tunnel.receives(b"hello").await;
        let other = UPGRADE_REQUEST.replacen("Upgrade: websocket", "Upgrade: h2c", 1);
        assert_eq!(status(&program, &other).await, 204, "{kind:?}");
        let head = origin.connection(1).await.head().await.to_lowercase();
        assert!(!head.contains("h2c"), "{kind:?} {head}");
    }
}

#[tokio::test]
async fn bodies_beyond_client_max_body_size() {
    let http = "client_max_body_size 4;
        server { listen LISTEN; location / { proxy_pass http://UPSTREAM; }
            location /more { client_max_body_size 6; proxy_pass http://UPSTREAM; }
            location /any { client_max_body_size 0; proxy_pass http://UPSTREAM; } }";
    let post = |path: &str, length: usize| {
        let body = "x".repeat(length);
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let chunked =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    for kind in kinds() {
        let origin = named("there").await;
        let program = start(kind, origin.address(), http);
        for (path, length, expected) in [
            ("/", 4, 200),
            ("/", 5, 413),
            ("/more", 5, 200),
            ("/more", 7, 413),
            ("/any", 2_000_000, 200),
        ] {
            let given = status(&program, &post(path, length)).await;
            assert_eq!(given, expected, "{kind:?} {path} {length}");
        }
        assert_eq!(status(&program, chunked).await, 413, "{kind:?}");
    }
}

#[tokio::test]
async fn heads_beyond_the_buffers() {
    let http = "large_client_header_buffers 2 1k; client_header_buffer_size 1k;
        server { listen LISTEN; location / { proxy_pass http://UPSTREAM; } }";
    let with = |length: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n",
            "x".repeat(length)
        )
    };
    for kind in kinds() {
        let origin = named("there").await;
        let program = start(kind, origin.address(), http);
        assert_eq!(status(&program, &with(900)).await, 200, "{kind:?}");
        // 431 is the word for it since RFC 6585; nginx says 400.
        let expected = if kind == Kind::Ours { 431 } else { 400 };
        assert_eq!(status(&program, &with(8000)).await, expected, "{kind:?}");
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(8000));
        assert_eq!(status(&program, &long).await, 414, "{kind:?}");
    }
}

#[tokio::test]
async fn clients_that_dawdle() {
    for kind in kinds() {
        let (origin, waiting) = (named("there").await, ScriptedOrigin::start(Script::new()).await);
        let http = format!(
            "client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 1s;
            server {{ listen LISTEN; location / {{ proxy_pass http://UPSTREAM; }}
                location /post {{ proxy_pass http://{}; }} }}",
            waiting.address()
        );
        let program = start(kind, origin.address(), &http);
        let mut slow = client(&program).await;
        slow.send("GET / HTTP/1.1\r\nHost").await;
        let mut body = client(&program).await;
        body.send("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
            .await;
        let mut kept = client(&program).await;
        kept.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(kept.response().await.0.status, 200, "{kind:?}");
        let since = Instant::now();
        kept.ends().await;
        assert!(
            since.elapsed() > Duration::from_millis(700),
            "{kind:?} {:?}",
            since.elapsed()
        );
        for mut dawdling in [slow, body] {
            match kind {
                Kind::Ours => assert_eq!(dawdling.head().await.status, 408),
                // It logs a 408, and closes without a word.
                Kind::Nginx => dawdling.ends().await,
            }
        }
    }
}

#[tokio::test]
async fn servers_of_a_group() {
    let (one, two, spare) = (named("one").await, named("two").await, named("spare").await);
    let gone = crate::program::own_address();
    let http = format!(
        "upstream weighted {{ server {} weight=3; server {}; server {} backup; keepalive 4; }}
         upstream spared {{ server {} down; server {gone}; server {} backup; }}
         server {{ listen LISTEN; location /weighted {{ proxy_pass http://weighted; }}
             location /spared {{ proxy_pass http://spared; proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }} }}",
        one.address(),
        two.address(),
        spare.address(),
        one.address(),
        spare.address(),
    );
    for kind in kinds() {
        let program = start(kind, one.address(), &http);
        let mut names = Vec::new();
        for _ in 0..8 {
            let mut client = client(&program).await;
            client.send("GET /weighted HTTP/1.1\r\nHost: a\r\n\r\n").await;
            names.push(String::from_utf8(client.response().await.1).unwrap());
        }
        names.sort();
        assert_eq!(names.concat(), "oneoneoneoneoneonetwotwo", "{kind:?}");
        // The next server steps in where one cannot be reached, and the backup when there is no other.
        let mut client = client(&program).await;
        client.send(UPGRADE_REQUEST.replacen("/chat", "/spared", 1)).await;
        let (head, body) = client.response().await;
        assert_eq!((head.status.as_u16(), &*body), (200, &b"spare"[..]), "{kind:?}");
    }
}

#[tokio::test]
async fn tunnels_beyond_the_connections_of_the_workers_are_503() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let http = format!("server {{ listen LISTEN; location / {{ {CARRIES} }} }}");
    let main = "worker_processes 2; events { worker_connections 2; }";
    let program = started(Kind::Ours, origin.address(), main, &http);
    let (first, second) = (tunnel(&program).await, tunnel(&program).await);
    assert_eq!(status(&program, UPGRADE_REQUEST).await, 503);
    drop((first, second));
}

#[tokio::test]
async fn fields_that_only_this_program_puts_together() {
    let http = "map $http_x $mapped { default 'costs 5'; one $http_x-$arg_y; }
        server { listen LISTEN; server_name s.example; location / { proxy_pass http://UPSTREAM;
            proxy_set_header X-Mapped $mapped; proxy_set_header X-Line '$request'; proxy_set_header X $mapped;
            proxy_set_header X-Nobody $remote_user; proxy_set_header X-Two $mapped; proxy_set_header X-Two b;
            proxy_set_header Host $mapped.example:$proxy_port; add_header X-Answer $mapped always; } }";
    for kind in kinds() {
        let origin = named("there").await;
        let program = start(kind, origin.address(), http);
        let mut client = client(&program).await;
        client
            .send("GET /a?y=2 HTTP/1.1\r\nHost: a\r\nX: one\r\nX-Nobody: me\r\nX-Mapped: me\r\n\r\n")
            .await;
        let (head, _) = client.response().await;
        assert_eq!(head.headers["x-answer"], "one-2", "{kind:?}");
        let reported = origin.connection(0).await.head().await.to_lowercase();
        let port = origin.address().port();
        for line in [
            "x-mapped: one-2".to_owned(),
            "x-line: get /a?y=2 http/1.1".to_owned(),
            "x: one-2".to_owned(),
            "x-two: one-2\r\nx-two: b".to_owned(),
            format!("host: one-2.example:{port}"),
        ] {
            assert!(
                reported.contains(&format!("\r\n{line}\r\n")),
                "{kind:?} {line}: {reported}"
            );
        }
        assert!(!reported.contains("x-nobody"), "{kind:?} {reported}");
    }
}

/// The name in these credentials has a line break in it. What the client itself says under the field's name is no answer.
#[tokio::test]
async fn a_value_that_no_field_can_hold_leaves_no_room_for_the_clients() {
    let http = "server { listen LISTEN; location / { proxy_pass http://UPSTREAM; proxy_set_header X-User $remote_user; } }";
    let origin = named("there").await;
    let ours = start(Kind::Ours, origin.address(), http);
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-User: root\r\nAuthorization: Basic YQ0KYjpj\r\n\r\n";
    assert_eq!(status(&ours, request).await, 200);
    let reported = origin.connection(0).await.head().await.to_lowercase();
    assert!(!reported.contains("x-user"), "{reported}");
}

/// As if it had stood for nothing: what the client itself says under the field's name does not go up.
#[tokio::test]
async fn a_variable_that_there_is_none_of_leaves_no_room_for_the_clients() {
    let http = "server { listen LISTEN; location / { proxy_pass http://UPSTREAM; proxy_set_header X-Client $ssl_client_s_dn;
        proxy_set_header X-Part a$ssl_client_s_dn; } }";
    for kind in kinds() {
        let origin = named("there").await;
        let program = start(kind, origin.address(), http);
        let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Client: root\r\nX-Part: root\r\n\r\n";
        assert_eq!(status(&program, request).await, 200);
        let reported = origin.connection(0).await.head().await.to_lowercase();
        assert!(
            !reported.contains("x-client") && reported.contains("\r\nx-part: a\r\n"),
            "{kind:?} {reported}"
        );
    }
}

/// The same for its log as for its upstream, and another one's is another.
#[tokio::test]
async fn a_number_for_each_request() {
    let http = "log_format id $request_id; server { listen LISTEN; location / { access_log FOLDER/ids id;
        proxy_set_header X-Request-ID $request_id; proxy_set_header X-Is '$content_type $content_length';
        proxy_pass http://UPSTREAM; } }";
    for kind in kinds() {
        let origin = named("there").await;
        let program = start(kind, origin.address(), http);
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: text/x\r\nContent-Length: 1\r\nConnection: close\r\n\r\n1";
        for _ in 0..2 {
            let mut client = client(&program).await;
            client.send(request).await;
            client.response().await;
            client.ends().await;
        }
        let reported = origin.connection(0).await.head().await.to_lowercase();
        assert!(reported.contains("\r\nx-is: text/x 1\r\n"), "{kind:?} {reported}");
        let (_, id) = reported.split_once("x-request-id: ").unwrap();
        let id = &id[..32];
        assert!(
            id.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{kind:?} {reported}"
        );
        let deadline = Instant::now() + Duration::from_secs(20);
        let logged = loop {
            let logged = program.folder.read("ids");
            if logged.lines().count() == 2 || Instant::now() > deadline {
                break logged;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let ids: Vec<&str> = logged.lines().collect();
        assert!(ids.contains(&id) && ids[0] != ids[1], "{kind:?} {id} {ids:?}");
    }
}

/// A departure: a line end in a path makes no other line of a response.
#[tokio::test]
async fn a_line_end_in_a_path() {
    let http = "server { listen LISTEN; location /moved { return 301 https://a.example$uri; } }";
    for kind in kinds() {
        let program = start(kind, SocketAddr::from(([127, 0, 0, 1], 9)), http);
        let mut split = client(&program).await;
        split
            .send("GET /moved%0d%0aX-Evil:%20x HTTP/1.1\r\nHost: a\r\n\r\n")
            .await;
        let head = split.head().await;
        assert_eq!(head.status, 301);
        assert_eq!(
            head.headers.contains_key("x-evil"),
            kind == Kind::Nginx,
            "{kind:?}"
        );
        assert_eq!(
            head.headers.contains_key("location"),
            kind == Kind::Nginx,
            "{kind:?}"
        );
    }
}

/// An address of its own beside all addresses, at one port.
#[tokio::test]
async fn one_port_at_several_addresses() {
    for kind in kinds() {
        let origin = named("there").await;
        let http = "server { listen LISTEN; return 204; } server { listen PORT; return 202; }";
        let text = format!(
            "pid FOLDER/nginx.pid; error_log FOLDER/error.log; events {{}}
             http {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off; {http} }}"
        );
        let folder = Folder::of(origin.address(), &text);
        let port = folder.address().port();
        folder.write(
            "test.conf",
            &text.replace("PORT", &port.to_string()),
            origin.address(),
        );
        let program = folder.start(kind, "test.conf", &[]);
        let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(status(&program, request).await, 204, "{kind:?}");
        let mut other = ScriptedClient::connect(SocketAddr::from(([127, 0, 0, 1], port))).await;
        other.send(request).await;
        assert_eq!(other.head().await.status, 202, "{kind:?}");
    }
}

#[tokio::test]
async fn a_unix_socket() {
    let origin = named("there").await;
    let text = "events {}\nhttp { include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
        server { listen unix:FOLDER/socket; listen LISTEN; location / { proxy_pass http://UPSTREAM; } } }";
    let program = Folder::of(origin.address(), text).start(Kind::Ours, "test.conf", &[]);
    let socket = program.folder.path.join("socket");
    let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(
        &mut stream,
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await
    .unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer)
        .await
        .unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("there"),
        "{answer}"
    );
    assert_eq!(status(&program, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await, 200);
}

/// nginx: QUIT is a graceful shutdown, TERM a fast one.
#[tokio::test]
async fn asked_to_end() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let http = format!("server {{ listen LISTEN; location / {{ {CARRIES} }} }}");
    let signal = |program: &Program, name: &str| {
        let id = program.id().to_string();
        let reported = std::process::Command::new("kill").args([name, &id]).status();
        assert!(reported.unwrap().success());
    };
    // In order: nobody is let in, the tunnel goes on, and the end comes with its end.
    let mut program = start(Kind::Ours, origin.address(), &http);
    let mut open = tunnel(&program).await;
    signal(&program, "-QUIT");
    let since = Instant::now();
    while tokio::net::TcpStream::connect(program.address).await.is_ok() {
        assert!(since.elapsed() < Duration::from_secs(5), "it still listens");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    open.send("hello").await;
    open.receives(b"hello").await;
    drop(open);
    assert!(program.ends().await);

    // As long as worker_shutdown_timeout.
    let main = "worker_processes 2; worker_shutdown_timeout 300ms;";
    let mut program = started(Kind::Ours, origin.address(), main, &http);
    let mut open = tunnel(&program).await;
    signal(&program, "-QUIT");
    open.ends().await;
    drop(open);
    assert!(program.ends().await);

    // At once.
    let mut program = start(Kind::Ours, origin.address(), &http);
    let mut open = tunnel(&program).await;
    signal(&program, "-TERM");
    open.ends().await;
    drop(open);
    assert!(program.ends().await);
}
