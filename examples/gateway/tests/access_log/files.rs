//! Where the log goes: appended to a file that may be moved away, and never in anyone's way.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use switchover::test_util::{Script, ScriptedOrigin, TIMEOUT};
use tokio::time::{sleep, timeout};

use crate::nobody;
use crate::program::{Program, refusal};

const GET: &str = "GET /app HTTP/1.1\r\nHost: a\r\n\r\n";

fn place(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("access-log");
    std::fs::create_dir_all(&directory).unwrap();
    let file = directory.join(name);
    let _ = std::fs::remove_file(&file);
    file
}

async fn start(log: &Path) -> Program {
    let (log, upstream) = (log.display(), nobody().await);
    let (log, route) = (
        format!("--access-log={log}"),
        format!("--route=/=http://{upstream}"),
    );
    Program::start("gateway", &["--listen=127.0.0.1:0", &log, &route]).await
}

async fn ask(program: &Program) {
    let mut client = program.client().await;
    client.send(GET).await;
    assert_eq!(client.head().await.status, 502);
}

/// The numbers of the requests in a file, once there are so many.
async fn ids(file: &Path, count: usize) -> Vec<u64> {
    let read = async {
        loop {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            if text.lines().count() == count && text.ends_with('\n') {
                break text;
            }
            sleep(Duration::from_millis(2)).await;
        }
    };
    let text = timeout(TIMEOUT, read).await.expect("so many lines");
    let id = |line: &str| {
        serde_json::from_str::<Value>(line).unwrap()["id"]
            .as_u64()
            .unwrap()
    };
    text.lines().map(id).collect()
}

#[tokio::test]
async fn a_file_is_appended_to() {
    let log = place("appended.log");
    for count in 1..=2 {
        let program = start(&log).await;
        ask(&program).await;
        assert_eq!(ids(&log, count).await, vec![1; count]);
    }
}

#[tokio::test]
async fn a_file_that_was_moved_is_opened_anew_at_the_signal() {
    let (log, old) = (place("rotated.log"), place("rotated.log.1"));
    let program = start(&log).await;
    ask(&program).await;
    assert_eq!(ids(&log, 1).await, [1]);
    std::fs::rename(&log, &old).unwrap();
    // Until the signal, it goes on in the old file.
    ask(&program).await;
    assert_eq!(ids(&old, 2).await, [1, 2]);
    program.signal("-USR1").await;
    let opened = async {
        while !log.exists() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(TIMEOUT, opened).await.expect("a new file");
    ask(&program).await;
    assert_eq!((ids(&log, 1).await, ids(&old, 2).await), (vec![3], vec![1, 2]));
}

/// A rule that moves the logs of all instances signals also those that have none.
#[tokio::test]
async fn the_signal_ends_no_gateway_without_a_log() {
    let route = format!("--route=/=http://{}", nobody().await);
    let program = Program::start("gateway", &["--listen=127.0.0.1:0", &route]).await;
    for _ in 0..2 {
        program.signal("-USR1").await;
        ask(&program).await;
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_anew_is_tried_again() {
    let (log, old) = (place("in-the-way.log"), place("in-the-way.log.1"));
    let _ = std::fs::remove_dir(&log);
    let program = start(&log).await;
    ask(&program).await;
    assert_eq!(ids(&log, 1).await, [1]);
    std::fs::rename(&log, &old).unwrap();
    std::fs::create_dir(&log).unwrap();
    program.signal("-USR1").await;
    ask(&program).await;
    assert_eq!(ids(&old, 2).await, [1, 2]);
    std::fs::remove_dir(&log).unwrap();
    let opened = async {
        while !log.exists() {
            ask(&program).await;
        }
    };
    timeout(TIMEOUT, opened).await.expect("it is tried again");
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_said_at_the_start() {
    let output = refusal(
        "gateway",
        &["--listen=127.0.0.1:0", "--access-log=/nowhere/at/all.log"],
    )
    .await;
    let reported = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{reported}");
    assert_eq!(
        reported.trim_end(),
        "gateway: --access-log /nowhere/at/all.log: No such file or directory (os error 2)"
    );
    let output = refusal("gateway", &["--access-log-query=some"]).await;
    let reported = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(
        (output.status.code(), reported.contains("drop or keep")),
        (Some(2), true),
        "{reported}"
    );
}

#[tokio::test]
async fn nobody_waits_for_a_reader_that_has_stopped_and_what_is_lost_is_counted() {
    const COUNT: u64 = 1500;
    let answer = "HTTP/1.1 204 x\r\n\r\n";
    let script = (0..COUNT).fold(Script::new(), |script, _| script.read_head().send(answer));
    let origin = ScriptedOrigin::start(script).await;
    let route = format!("--route=/=http://{}", origin.address());
    let mut program = Program::start("gateway", &["--listen=127.0.0.1:0", "--access-log=-", &route]).await;
    let request = GET.replacen("/app", &format!("/{}", "x".repeat(4000)), 1);
    let mut client = program.client().await;
    for _ in 0..COUNT {
        client.send(&request).await;
        assert_eq!(client.head().await.status, 204);
    }
    drop(client);
    program.terminate().await;
    let (mut reported, mut lost) = (0, 0);
    while let Some(line) = program.line().await {
        let record: Value = serde_json::from_str(&line).unwrap();
        match record["event"].as_str() {
            Some("lost") => lost += record["count"].as_u64().unwrap(),
            _ => reported += 1,
        }
    }
    assert_eq!(reported + lost, COUNT);
    assert!(lost > 0 && reported > 500, "{reported} reported, {lost} lost");
    assert!(program.ends().await.success());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_ends_nothing() {
    let mut program = start(Path::new("/dev/full")).await;
    for _ in 0..3 {
        ask(&program).await;
    }
    program.terminate().await;
    assert!(program.ends().await.success());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_that_was_full_for_complaints_too_is_written_to_again() {
    let (log, upstream) = (place("link.log"), nobody().await);
    let file = place("behind-the-link.log");
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    let (access, route) = (
        format!("--access-log={}", log.display()),
        format!("--route=/=http://{upstream}"),
    );
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let flags = ["--listen=127.0.0.1:0", &access, &route];
    let program = Program::start_complaining("gateway", &flags, full.into()).await;
    ask(&program).await;
    std::fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink(&file, &log).unwrap();
    program.signal("-USR1").await;
    let opened = async {
        while !file.exists() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(TIMEOUT, opened).await.expect("it is opened again");
    ask(&program).await;
    let written = async {
        while !std::fs::read_to_string(&file).unwrap().contains("\"id\":2") {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(TIMEOUT, written).await.expect("the second request");
}
