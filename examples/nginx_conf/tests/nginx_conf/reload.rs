//! SIGHUP and SIGUSR1: another configuration without an end of tunnels, and logs that have been moved away.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};

use crate::program::{Folder, Kind, Program};
use crate::read_alike::ask;

const HOST: &str = "Host: x.example\r\n";

fn text(answer: &str) -> String {
    format!(
        "events {{}} worker_processes 2; http {{ access_log FOLDER/access.log;
         map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
         server {{ listen LISTEN; location /says {{ return 200 {answer}; }}
         location / {{ proxy_pass http://UPSTREAM; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
             proxy_set_header Connection $connection_upgrade; proxy_set_header Host $http_host; }} }} }}"
    )
}

fn signal(program: &Program, name: &str) {
    let id = program.id().to_string();
    let reported = std::process::Command::new("kill").args([name, &id]).status();
    assert!(reported.unwrap().success());
}

/// Waits until something is so.
fn awaited(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn says(address: SocketAddr, answer: &str) -> bool {
    ask(address, "/says", HOST) == format!("200  \"{answer}\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn another_configuration_takes_over_and_the_tunnels_of_the_one_before_go_on() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let mut program = Folder::of(origin.address(), &text("one")).start(Kind::Ours, "test.conf", &[]);
    let address = program.address;
    assert!(says(address, "one"));
    let mut open = ScriptedClient::connect(address).await;
    open.send(UPGRADE_REQUEST).await;
    assert_eq!(open.head().await.status, 101);

    program.folder.write("test.conf", &text("two"), origin.address());
    signal(&program, "-HUP");
    awaited("the second answers", || says(address, "two"));
    // For everyone who comes from now on.
    for _ in 0..20 {
        assert!(says(address, "two"));
    }
    open.send("hello").await;
    open.receives(b"hello").await;

    // One with an error changes nothing.
    program
        .folder
        .write("test.conf", "events {} http { nonsense; }", origin.address());
    signal(&program, "-HUP");
    program.reports("the one before is still");
    assert!(says(address, "two"));
    open.send("again").await;
    open.receives(b"again").await;

    signal(&program, "-QUIT");
    awaited("nobody listens", || {
        std::net::TcpStream::connect(address).is_err()
    });
    open.send("still").await;
    open.receives(b"still").await;
    drop(open);
    assert!(program.ends().await);
}

#[test]
fn logs_are_opened_again() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let program = Folder::of(nobody, &text("one")).start(Kind::Ours, "test.conf", &[]);
    let lines = |name: &str| program.folder.read(name).lines().count();
    assert!(says(program.address, "one"));
    awaited("a line", || lines("access.log") == 1);
    std::fs::rename(
        program.folder.path.join("access.log"),
        program.folder.path.join("moved.log"),
    )
    .unwrap();
    signal(&program, "-USR1");
    awaited("a file", || program.folder.path.join("access.log").exists());
    assert!(says(program.address, "one"));
    awaited("a line in the other", || lines("access.log") == 1);
    assert_eq!(lines("moved.log"), 1);
}

/// The programs that come with nginx send it where that is to be another version.
#[test]
fn the_signal_for_another_program_changes_nothing() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let program = Folder::of(nobody, &text("one")).start(Kind::Ours, "test.conf", &[]);
    signal(&program, "-USR2");
    program.reports("SIGUSR2: the program is not replaced");
    assert!(says(program.address, "one"));
}

/// The one that has started it may have closed its end of the pipe.
#[test]
fn nobody_reads_standard_error() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
    let folder = Folder::of(nobody, &text("one"));
    let mut command = std::process::Command::new(support::executable("nginx_conf"));
    command.arg(folder.path.join("test.conf"));
    let piped = std::process::Stdio::piped;
    let mut child = command.stdout(piped()).stderr(piped()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    awaited("it answers", || {
        std::net::TcpStream::connect(folder.address()).is_ok() && says(folder.address(), "one")
    });
    // A refusal is reported to nobody.
    for _ in 0..3 {
        assert!(ask(folder.address(), "/none", HOST).starts_with("502"));
    }
    assert!(child.try_wait().unwrap().is_none());
    let _ = child.kill();
    let _ = child.wait();
}

/// As in nginx: a client that keeps its connection learns with the answer that nothing follows it.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_behind_the_signal_is_the_last_on_its_connection() {
    for name in ["-QUIT", "-HUP"] {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let origin = ScriptedOrigin::start(Script::new().read_head().read(1).send(answer)).await;
        let mut program = Folder::of(origin.address(), &text("one")).start(Kind::Ours, "test.conf", &[]);
        let address = program.address;
        let mut client = ScriptedClient::connect(address).await;
        client
            .send(format!("POST / HTTP/1.1\r\n{HOST}Content-Length: 1\r\n\r\n"))
            .await;
        origin.connection(0).await.head().await;
        program.folder.write("test.conf", &text("two"), origin.address());
        signal(&program, name);
        awaited("the drain starts", || match name {
            "-HUP" => says(address, "two"),
            _ => std::net::TcpStream::connect(address).is_err(),
        });
        client.send("x").await;
        let (head, _) = client.response().await;
        assert_eq!(
            (head.status.as_u16(), &head.headers["connection"]),
            (200, &"close".parse().unwrap())
        );
        client.ends().await;
        drop(client);
        if name == "-HUP" {
            signal(&program, "-QUIT");
        }
        assert!(program.ends().await);
    }
}
