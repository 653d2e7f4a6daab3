//! The manifest of the manual: its flags are flags, its probes are answered, and its times fit together.
#![cfg(unix)]

use std::time::Duration;

use switchover::test_util::{Script, ScriptedOrigin, UPGRADE_REQUEST};

use crate::probes::{becomes, free_address, get};
use crate::program::Program;
use crate::seconds;

const MANIFEST: &str = include_str!("../../../../src/manual/kubernetes.yaml");

/// What stands behind a key, once.
fn value(key: &str) -> &'static str {
    let mut values = MANIFEST
        .lines()
        .filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
    let value = values.next().unwrap_or_else(|| panic!("no {key}"));
    assert_eq!(values.next(), None, "{key}");
    value
}

/// What stands below a line.
fn block(line: &str) -> Vec<&'static str> {
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let mut lines = MANIFEST.lines().skip_while(|other| other.trim() != line);
    let deep = indentation(lines.next().unwrap_or_else(|| panic!("no {line}")));
    lines
        .take_while(|line| indentation(line) > deep)
        .map(str::trim)
        .collect()
}

fn flag<'a>(flags: &[&'a str], name: &str) -> &'a str {
    let value = flags
        .iter()
        .find_map(|flag| flag.strip_prefix(name)?.strip_prefix('='));
    value.unwrap_or_else(|| panic!("no {name}"))
}

fn duration(text: &str) -> Duration {
    match text.strip_suffix('m') {
        Some(minutes) => seconds(60 * minutes.parse::<u64>().unwrap()),
        None => seconds(text.strip_suffix('s').unwrap().parse().unwrap()),
    }
}

#[test]
fn the_times_fit_together() {
    let flags: Vec<&str> = block("args:").iter().map(|flag| &flag[2..]).collect();
    let (delay, timeout) = (
        duration(flag(&flags, "--drain-delay")),
        duration(flag(&flags, "--drain-timeout")),
    );
    let grace = seconds(value("terminationGracePeriodSeconds").parse().unwrap());
    assert!(
        grace > delay + timeout + seconds(2),
        "the gateway would be killed"
    );
    let probe = block("readinessProbe:");
    let number = |key: &str| -> u64 { flag_of(&probe, key).parse().unwrap() };
    let noticed = seconds(number("periodSeconds") * number("failureThreshold"));
    assert!(
        delay > noticed + seconds(1),
        "clients would be sent to a closed port"
    );
}

fn flag_of(block: &[&'static str], key: &str) -> &'static str {
    let value = block
        .iter()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {key}"))
}

#[tokio::test]
async fn the_flags_and_the_probes_are_those_of_the_gateway() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let health = free_address();
    // As they stand there, but for the addresses of this machine and the name of the service.
    let flags: Vec<String> = block("args:")
        .iter()
        .map(|flag| match flag[2..].split_once('=').unwrap() {
            ("--listen", _) => "--listen=127.0.0.1:0".to_owned(),
            ("--health", _) => format!("--health={health}"),
            ("--route", route) => {
                let service = "chat.default.svc.cluster.local:9000";
                let localhost = format!("localhost:{}", origin.address().port());
                assert!(route.contains(service));
                format!("--route={}", route.replacen(service, &localhost, 1))
            }
            _ => flag[2..].to_owned(),
        })
        .collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let program = Program::start("gateway", &flags).await;
    let mut client = program.client().await;
    client.send(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);

    for probe in ["readinessProbe:", "livenessProbe:"] {
        let path = flag_of(&block(probe), "path");
        assert_eq!(get(health, path).await.0, 200, "{path}");
    }
    program.terminate().await;
    let ready = flag_of(&block("readinessProbe:"), "path");
    becomes(health, ready, 503).await;
    assert_eq!(
        get(health, flag_of(&block("livenessProbe:"), "path")).await.0,
        200
    );
    // And it is still there for a client that has not learned of it.
    let mut client = program.client().await;
    client.send(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
}
