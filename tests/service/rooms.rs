//! The example `axum_rooms`, as its users and its operator meet it.
#![cfg(unix)]

use std::time::Duration;

use support::program::Program;
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};

fn to(path: &str, lines: &str) -> String {
    let request = UPGRADE_REQUEST.replacen("/chat", path, 1);
    request.replacen("\r\n\r\n", &format!("\r\n{lines}\r\n"), 1)
}

async fn answer(program: &Program, request: impl AsRef<[u8]>) -> (u16, String) {
    let mut client = program.client().await;
    client.send(request).await;
    let (head, body) = client.response().await;
    (head.status.as_u16(), String::from_utf8(body).unwrap())
}

const STATUS: &str = "GET /status HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn login_rooms_status_and_end() {
    let origins = [
        ScriptedOrigin::start(Script::websocket_echo()).await,
        ScriptedOrigin::start(Script::websocket_echo()).await,
        ScriptedOrigin::start(Script::websocket_echo()).await,
    ];
    let urls = origins
        .each_ref()
        .map(|origin| format!("ws://{}", origin.address()));
    let mut program = Program::start("axum_rooms", &["127.0.0.1:0", &urls[0], &urls[1], &urls[2]]).await;

    assert_eq!(
        answer(&program, to("/room/red", "")).await,
        (401, "log in first\n".to_owned())
    );
    let mut client = program.client().await;
    client
        .send("POST /login/ada HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        .await;
    let (head, _) = client.response().await;
    let cookie = head.headers["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let cookie = format!("Cookie: {cookie}\r\n");
    assert_eq!(
        answer(&program, to("/room/grey", &cookie)).await,
        (404, "404 Not Found\n".to_owned())
    );

    let mut users = Vec::new();
    for (origin, room) in origins.iter().zip(["red", "green", "blue"]) {
        let mut user = program.client().await;
        // Nor does anyone become another user by a field, or have it removed.
        let lines = format!("{cookie}X-Forwarded-User: root\r\nConnection: x-forwarded-user\r\n");
        user.send(to(&format!("/room/{room}"), &lines)).await;
        assert_eq!(user.head().await.status, 101);
        user.send("hello").await;
        user.receives(b"hello").await;
        let head = origin.connection(0).await.head().await.to_ascii_lowercase();
        assert!(head.starts_with("get /socket http/1.1\r\n"), "{head}");
        assert!(
            head.contains("\r\nx-forwarded-user: ada\r\n") && !head.contains("root"),
            "{head}"
        );
        assert!(head.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{head}");
        users.push(user);
    }
    // A tunnel writes its counts down when it has sent on what it read: the page may be a moment behind.
    let all = ["red", "green", "blue"].map(|room| format!("ada in /room/{room}: 5 B sent, 5 B received\n"));
    let shown = async {
        loop {
            let (status, list) = answer(&program, STATUS).await;
            assert_eq!(status, 200);
            if all.iter().all(|line| list.contains(line)) {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), shown)
        .await
        .expect("every tunnel, with its counts");

    program.signal("-INT").await;
    // During the grace the page says that the application is about to end.
    while answer(&program, STATUS).await.0 == 200 {
        tokio::task::yield_now().await;
    }
    assert_eq!(answer(&program, to("/room/red", &cookie)).await.0, 503);
    for user in &mut users {
        user.ends().await;
    }
    for _ in 0..3 {
        let line = program.line().await.expect("the end of a tunnel");
        assert!(line.starts_with("websocket: Ok("), "{line}");
    }
    assert!(program.ends().await.success());
}

/// What the README promises of it.
#[test]
fn it_is_sixty_lines() {
    let source = std::fs::read_to_string(support::root().join("examples/axum_rooms.rs")).unwrap();
    let of_function = |name: &str| {
        let begin = source.find(&format!("fn {name}(")).expect("the function");
        let end = source[begin..].find("\n}\n").expect("its end");
        source[begin..begin + end].lines().count() + 1
    };
    let lines: usize = ["rooms", "status", "serve"].into_iter().map(of_function).sum();
    assert!(lines < 60, "{lines} lines");
}
