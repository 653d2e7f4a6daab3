//! The same requests under both, and the lines that stand in their logs then.

use std::time::{Duration, Instant};

use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};

use crate::program::{Folder, Kind, Program, has_nginx};

/// Lines of a log, once there are as many as given.
pub(crate) fn lines(program: &Program, count: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = program.folder.read("access.log");
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < deadline, "{lines:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

async fn ask(program: &Program, request: &str) {
    let mut client = ScriptedClient::connect(program.address).await;
    client.send(request).await;
    client.response().await;
}

/// A handshake, nine bytes back from the upstream, and the end.
async fn tunnel(program: &Program) {
    let mut client = ScriptedClient::connect(program.address).await;
    client.send(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    client.send("nine byte").await;
    client.receives(b"nine byte").await;
    client.end_writes().await;
    client.ends().await;
}

/// Requests in the order in which their lines are expected, each of which is waited for.
async fn requests(program: &Program) -> Vec<String> {
    let plain = "GET /page?x=%20 HTTP/1.1\r\nHost: Site.example\r\nUser-Agent: a \"b\" \\c\r\nX-Real-IP: 9.9.9.9\r\n\
                 X-Forwarded-For: 8.8.8.8\r\nReferer: http://r/\r\nAuthorization: Basic bWU6c2VjcmV0\r\n\r\n";
    ask(program, plain).await;
    lines(program, 1);
    tunnel(program).await;
    lines(program, 2);
    ask(program, "GET /declined HTTP/1.0\r\nHost: a\r\n\r\n").await;
    lines(program, 3)
}

async fn origin() -> ScriptedOrigin {
    ScriptedOrigin::start_with(|index| match index {
        0 => Script::answering("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage").close(),
        1 => Script::websocket_echo(),
        _ => Script::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").close(),
    })
    .await
}

/// A line with the time of day and the seconds that things have taken replaced by words.
fn timeless(line: &str) -> String {
    let mut words = Vec::new();
    for word in line.split(' ') {
        let is_time = word.starts_with('[') && word.contains("/20");
        let is_zone = word.ends_with(']') && (word.starts_with('+') || word.starts_with('-'));
        let is_seconds = word.split_once('.').is_some_and(|(seconds, thousandths)| {
            seconds.parse::<u32>().is_ok() && thousandths.len() == 3 && thousandths.parse::<u32>().is_ok()
        });
        words.push(match (is_time, is_zone, is_seconds) {
            (true, ..) => "TIME",
            (_, true, _) => "ZONE",
            (.., true) => "SECONDS",
            _ => word,
        });
    }
    words.join(" ")
}

/// The configuration that has a log among those that circulate.
#[tokio::test]
async fn the_log_of_a_configuration_that_circulates() {
    for kind in [Kind::Ours, Kind::Nginx] {
        if kind == Kind::Nginx && !has_nginx() {
            continue;
        }
        let origin = origin().await;
        let program = Folder::kept(origin.address(), str::to_owned).start(kind, "server_map.conf", &[]);
        let lines: Vec<String> = requests(&program)
            .await
            .iter()
            .map(|line| timeless(line))
            .collect();
        let expected = [
            "9.9.9.9 - me TIME ZONE \"GET /page?x=%20 HTTP/1.1\" 200 4 \"http://r/\" \"a \\x22b\\x22 \\x5Cc\" \"8.8.8.8\" \
             SECONDS SECONDS",
            "- - - TIME ZONE \"GET /chat HTTP/1.1\" 101 9 \"-\" \"-\" \"-\" SECONDS SECONDS",
            "- - - TIME ZONE \"GET /declined HTTP/1.0\" 403 2 \"-\" \"-\" \"-\" SECONDS SECONDS",
        ];
        assert_eq!(lines, expected, "{kind:?}");
    }
}

#[tokio::test]
async fn formats_conditions_and_places() {
    let text = r#"events {}
        http { include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy;
        map $status $odd { default 1; 200 0; }
        map $http_upgrade $connection_upgrade { default upgrade; '' close; }
        log_format whole escape=json '{"s":$status,"a":"$upstream_addr","u":"$http_user_agent","r":"$remote_addr",'
            '"h":"$host","c":"$connection_upgrade","us":"$upstream_status","n":"$server_name","m":"$scheme"}';
        access_log FOLDER/access.log whole;
        access_log FOLDER/odd.log combined if=$odd;
        server { listen LISTEN; server_name site.example;
            location / { proxy_pass http://UPSTREAM; proxy_http_version 1.1;
                proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }
            location /quiet { access_log off; return 204; } } }"#;
    for kind in [Kind::Ours, Kind::Nginx] {
        if kind == Kind::Nginx && !has_nginx() {
            continue;
        }
        let origin = origin().await;
        let program = Folder::of(origin.address(), text).start(kind, "test.conf", &["--strict"]);
        ask(&program, "GET /quiet HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let lines = requests(&program).await;
        let upstream = origin.address();
        let line = |status: u16, agent: &str, host: &str, connection: &str| {
            format!(
                "{{\"s\":{status},\"a\":\"{upstream}\",\"u\":\"{agent}\",\"r\":\"127.0.0.1\",\"h\":\"{host}\",\
                 \"c\":\"{connection}\",\"us\":\"{status}\",\"n\":\"site.example\",\"m\":\"http\"}}"
            )
        };
        let expected = [
            line(200, "a \\\"b\\\" \\\\c", "site.example", "close"),
            line(101, "", "example.com", "upgrade"),
            line(403, "", "a", "close"),
        ];
        assert_eq!(lines, expected, "{kind:?}");
        let odd = program.folder.read("odd.log");
        assert_eq!(odd.lines().count(), 2, "{kind:?} {odd}");
        let tunnel = timeless(odd.lines().next().unwrap());
        assert_eq!(
            tunnel, "127.0.0.1 - - TIME ZONE \"GET /chat HTTP/1.1\" 101 9 \"-\" \"-\"",
            "{kind:?}"
        );
    }
}

/// What has come of a body, as it was before anything was made of it; of a server that was of no use nothing has.
#[tokio::test]
async fn the_length_of_an_answer() {
    for kind in [Kind::Ours, Kind::Nginx] {
        if kind == Kind::Nginx && !has_nginx() {
            continue;
        }
        let body = "x".repeat(1000);
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n{body}");
        let origin = ScriptedOrigin::start(Script::answering(answer).close()).await;
        let text = format!(
            "events {{}}
            http {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; gzip on;
            log_format length '$status $upstream_status ${{upstream_response_length}}';
            access_log FOLDER/access.log length;
            upstream second {{ server 127.0.0.1:9 backup; server {}; }}
            upstream two {{ server 127.0.0.1:9; server {} backup; }}
            server {{ listen LISTEN; location / {{ proxy_pass http://second; }} location /two {{ proxy_pass http://two; }}
                location /none {{ return 204; }} location /down {{ proxy_pass http://127.0.0.1:9; }} }} }}",
            origin.address(),
            origin.address()
        );
        let program = Folder::of(origin.address(), &text).start(kind, "test.conf", &["--strict"]);
        let cases = [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "200 200 1000"),
            ("GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n", "200 200 1000"),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: gzip\r\n\r\n",
                "200 200 1000",
            ),
            ("GET /two HTTP/1.1\r\nHost: a\r\n\r\n", "200 502, 200 0, 1000"),
            ("GET /none HTTP/1.0\r\n\r\n", "204 - -"),
            ("GET /down HTTP/1.1\r\nHost: a\r\n\r\n", "502 502 0"),
        ];
        for (index, (request, line)) in cases.into_iter().enumerate() {
            ask(&program, request).await;
            assert_eq!(lines(&program, index + 1)[index], line, "{kind:?} {request:?}");
        }
    }
}

/// What a server was sent, and has sent, heads and all: also over a connection that is kept, and in a tunnel.
#[tokio::test]
async fn the_bytes_of_an_upstream() {
    for kind in [Kind::Ours, Kind::Nginx] {
        if kind == Kind::Nginx && !has_nginx() {
            continue;
        }
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\npage";
        let again = |script: Script, _| script.read_head().send(answer);
        let page = ScriptedOrigin::start((0..8).fold(Script::new(), again)).await;
        let echo = ScriptedOrigin::start(Script::websocket_echo()).await;
        let text = format!(
            "events {{}}
            http {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy;
            map $upstream_bytes_sent $sent {{ '' nothing; 0 none; ~^0,.[1-9] 'none, some'; ~^0.:.[1-9] 'none : some'; ~^[1-9] some; default $upstream_bytes_sent; }}
            log_format bytes '$status $sent $upstream_bytes_received';
            access_log FOLDER/access.log bytes;
            upstream two {{ server 127.0.0.1:9; server {page} backup; }}
            upstream kept {{ server {page}; keepalive 1; }}
            server {{ listen LISTEN; proxy_http_version 1.1; location / {{ proxy_pass http://{page}; }}
                location /two {{ proxy_pass http://two; }}
                location /kept {{ proxy_set_header Connection ''; proxy_pass http://kept; }}
                location /none {{ return 204; }} location /down {{ proxy_pass http://127.0.0.1:9; }}
                location /instead {{ error_page 502 = /; proxy_pass http://127.0.0.1:9; }}
                location /chat {{ proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
                    proxy_pass http://{echo}; }} }} }}",
            page = page.address(),
            echo = echo.address()
        );
        let program = Folder::of(page.address(), &text).start(kind, "test.conf", &["--strict"]);
        let of_page = answer.len();
        let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let cases = [
            (get("/"), format!("200 some {of_page}")),
            (get("/kept"), format!("200 some {of_page}")),
            (get("/kept"), format!("200 some {of_page}")),
            (get("/two"), format!("200 none, some 0, {of_page}")),
            (get("/none"), "204 nothing -".to_owned()),
            (get("/down"), "502 none 0".to_owned()),
            (get("/instead"), format!("200 none : some 0 : {of_page}")),
        ];
        let mut count = 0;
        for (request, line) in cases {
            ask(&program, &request).await;
            count += 1;
            assert_eq!(lines(&program, count)[count - 1], line, "{kind:?} {request:?}");
        }
        tunnel(&program).await;
        let all = lines(&program, count + 1);
        let received = all[count].strip_prefix("101 some ").map(str::parse::<usize>);
        let head = "HTTP/1.1 101 Switching Protocols\r\n\r\n".len();
        assert!(
            received.is_some_and(|bytes| bytes.unwrap() > head + "nine byte".len()),
            "{kind:?} {all:?}"
        );
    }
}

/// Where something takes the place of an answer: what is said of the group before is what came of it, and a group that was not asked
/// is none.
#[tokio::test]
async fn one_group_behind_another() {
    for kind in [Kind::Ours, Kind::Nginx] {
        if kind == Kind::Nginx && !has_nginx() {
            continue;
        }
        let answer = |status: &str| format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let page = ScriptedOrigin::start(Script::answering(answer("200 OK")).close()).await;
        let busy = ScriptedOrigin::start(Script::answering(answer("503 Busy")).close()).await;
        let slow = Script::new().read_head().pause(Duration::from_millis(600));
        let slow = ScriptedOrigin::start(slow.send(answer("200 OK")).close()).await;
        let text = format!(
            "events {{}}
            http {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy;
            log_format groups '$upstream_addr|$upstream_status|$upstream_response_time';
            access_log FOLDER/access.log groups; add_header X-Times $upstream_response_time;
            upstream nobody {{ server 127.0.0.1:9 down; }}
            server {{ listen LISTEN; proxy_http_version 1.1;
                location /chat {{ proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
                    proxy_pass http://{page}; }}
                location /nobody {{ error_page 502 = @page; proxy_pass http://nobody; }}
                location /nowhere {{ proxy_pass http://nobody; }}
                location /busy {{ proxy_intercept_errors on; error_page 503 = @slow; proxy_pass http://{busy}; }}
                location @page {{ proxy_pass http://{page}; }}
                location @slow {{ proxy_pass http://{slow}; }} }} }}",
            page = page.address(),
            busy = busy.address(),
            slow = slow.address(),
        );
        let program = Folder::of(page.address(), &text).start(kind, "test.conf", &["--strict"]);
        let (page, busy, slow) = (page.address(), busy.address(), slow.address());
        let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__";
        let cases = [
            (
                format!("/chat HTTP/1.1\r\nHost: a\r\n{h2c}"),
                format!("{page}|200"),
            ),
            (
                "/nobody HTTP/1.1\r\nHost: a".to_owned(),
                format!("nobody : {page}|502 : 200"),
            ),
            ("/nowhere HTTP/1.1\r\nHost: a".to_owned(), "nobody|502".to_owned()),
            (
                "/busy HTTP/1.1\r\nHost: a".to_owned(),
                format!("{busy} : {slow}|503 : 200"),
            ),
        ];
        for (index, (request, expected)) in cases.iter().enumerate() {
            let mut client = ScriptedClient::connect(program.address).await;
            client.send(format!("GET {request}\r\n\r\n")).await;
            let (head, _) = client.response().await;
            let line = lines(&program, index + 1).remove(index);
            let (groups, times) = line.rsplit_once('|').unwrap();
            assert_eq!(groups, expected, "{kind:?} {request}");
            if groups.contains("503 : ") {
                let times: Vec<f64> = times.split(" : ").map(|time| time.parse().unwrap()).collect();
                assert!(times[0] < 0.5 && times[1] >= 0.5, "{kind:?} {line}");
                let so_far = head.headers["x-times"].to_str().unwrap();
                let is_known = so_far
                    .strip_suffix(" : -")
                    .is_some_and(|time| time.parse::<f64>().is_ok());
                assert!(is_known, "{kind:?} {so_far}");
            }
        }
    }
}
