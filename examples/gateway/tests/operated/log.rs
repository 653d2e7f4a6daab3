//! The program gateway as it says what it does: `--log`.

use std::fs::{self, File};
use std::process::Stdio;

use support::scratch;
use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};

use crate::program::Program;

/// What it has written with this level: of a tunnel, a refusal, and an upstream that is not there.
async fn lines(level: &str) -> String {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let path = scratch("log").join(format!("{}.{level}", std::process::id()));
    let arguments = [
        "--listen=127.0.0.1:0",
        "--route=/gone=http://127.0.0.1:1",
        &format!("--route=/=http://{}", origin.address()),
        &format!("--log={level}"),
    ];
    let errors = Stdio::from(File::create(&path).unwrap());
    let mut program = Program::start_complaining("gateway", &arguments, errors).await;
    let secret = UPGRADE_REQUEST
        .replacen("/chat", "/chat?token=secret", 1)
        .replacen("\r\n\r\n", "\r\nAuthorization: Bearer secret\r\n\r\n", 1);
    for (request, status) in [
        (secret.clone(), 101),
        (secret.replacen("Version: 13", "Version: 12", 1), 426),
        (secret.replacen("/chat", "/gone", 1), 502),
    ] {
        let mut client = program.client().await;
        client.send(request).await;
        assert_eq!(client.head().await.status, status);
        drop(client);
    }
    program.terminate().await;
    assert!(program.ends().await.success());
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(path).unwrap();
    text
}

#[tokio::test]
async fn each_level_has_the_lines_of_those_above_it_and_no_query() {
    let of_all = [
        ("failed", "WARN", "url.path=\"/gone\""),
        ("refused", "INFO", "error.type=\"version-unsupported\""),
        ("tunnel ended", "INFO", "tunnel{"),
        ("connected", "DEBUG", "upgrade{"),
    ];
    for (level, count) in [("warn", 1), ("info", 3), ("debug", 4)] {
        let text = lines(level).await;
        for (index, (words, of_level, more)) in of_all.iter().enumerate() {
            let is_it = |line: &str| line.contains(of_level) && line.contains(words) && line.contains(more);
            assert_eq!(text.lines().any(is_it), index < count, "{level}: {words}: {text}");
        }
        assert!(!text.contains("secret"), "{level}: {text}");
    }
}

/// A span holds what it says for as long as its tunnel is open: of a long text no more than the access log has.
#[tokio::test]
async fn long_texts_are_cut() {
    let path = scratch("log").join(format!("{}.long", std::process::id()));
    let errors = Stdio::from(File::create(&path).unwrap());
    let arguments = [
        "--listen=127.0.0.1:0",
        "--route=/=http://127.0.0.1:1",
        "--log=warn",
    ];
    let mut program = Program::start_complaining("gateway", &arguments, errors).await;
    let mut client = program.client().await;
    let target = format!("/{}", "a".repeat(50_000));
    client.send(UPGRADE_REQUEST.replacen("/chat", &target, 1)).await;
    assert_eq!(client.head().await.status, 502);
    drop(client);
    program.terminate().await;
    assert!(program.ends().await.success());
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(path).unwrap();
    let expected = format!(" url.path=\"{}...\" ", &target[..4096]);
    assert!(text.contains(&expected), "{text}");
}
