//! `proxy_next_upstream` under both: after what another server is asked, how often, and what a log says of it.

use std::time::{Duration, Instant};

use switchover::test_util::ScriptedClient;

use crate::black_hole::BlackHole;
use crate::named::{Does, Named, TO_SERVERS, WAYS, Way, configured, grouped, kinds};
use crate::program::{Program, own_address};

const BAD_HEAD: Does = Does::Says("HTTP/1.1 200 OK\r\nBad\u{1}Name: x\r\nContent-Length: 0\r\n\r\n");
const BUSY: Does = Does::Says("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
const FORBIDDEN: Does = Does::Says("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");

/// A group of which the first server has the first turn, and does this.
async fn with_first(
    kind: crate::program::Kind,
    lines: &str,
    does: Does,
    first: &str,
) -> (Program, [Named; 3]) {
    let [a, b, c] = Named::three().await;
    a.now(does);
    // One that answers is waited for on a busy machine too.
    let limit = if matches!(does, Does::Waits) { 2 } else { 20 };
    let locations = format!("location / {{ {TO_SERVERS} proxy_read_timeout {limit}s; {lines} }}");
    let program = grouped(kind, &[(&a, first), (&b, "")], "", &locations, &["--strict"]);
    (program, [a, b, c])
}

#[tokio::test]
async fn after_what_another_server_is_asked() {
    let cases: &[(&str, Does, &str)] = &[
        ("", Does::Closes, "b"),
        ("", Does::Waits, "b"),
        ("", BAD_HEAD, "502"),
        ("", BUSY, "503"),
        ("proxy_next_upstream error;", Does::Closes, "b"),
        ("proxy_next_upstream error;", Does::Waits, "504"),
        ("proxy_next_upstream timeout;", Does::Closes, "502"),
        ("proxy_next_upstream timeout;", Does::Waits, "b"),
        ("proxy_next_upstream error invalid_header;", BAD_HEAD, "b"),
        ("proxy_next_upstream http_503;", BUSY, "b"),
        ("proxy_next_upstream http_502 http_504;", BUSY, "503"),
        ("proxy_next_upstream http_403;", FORBIDDEN, "b"),
        (
            "proxy_next_upstream http_502; proxy_next_upstream http_503;",
            BUSY,
            "b",
        ),
        (
            "proxy_next_upstream http_503; proxy_next_upstream http_502;",
            BUSY,
            "b",
        ),
        ("proxy_next_upstream off;", Does::Closes, "502"),
        ("proxy_next_upstream_tries 1;", Does::Closes, "502"),
        ("proxy_next_upstream_tries 0;", Does::Closes, "b"),
        ("proxy_next_upstream_timeout 500ms;", Does::Waits, "504"),
        ("proxy_next_upstream_timeout 0;", Does::Waits, "b"),
    ];
    for kind in kinds() {
        let mut scenes = tokio::task::JoinSet::new();
        for (lines, does, expected) in cases {
            for way in WAYS {
                // Each has a program of its own; not all at once.
                if scenes.len() == 8 {
                    scenes.join_next().await.unwrap().unwrap();
                }
                scenes.spawn(async move {
                    let (program, _servers) = with_first(kind, lines, *does, "").await;
                    let given = way.served_by(&program, "/").await;
                    assert_eq!(&given, expected, "{kind:?} {way:?} {lines} {does:?}");
                });
            }
        }
        while let Some(scene) = scenes.join_next().await {
            scene.unwrap();
        }
    }
}

#[tokio::test]
async fn an_address_that_refuses_connections() {
    for kind in kinds() {
        for (lines, expected) in [("", "a"), ("proxy_next_upstream timeout;", "502")] {
            for way in WAYS {
                let [a, ..] = Named::three().await;
                let upstreams = format!(
                    "upstream servers {{ server {}; server {}; }}",
                    own_address(),
                    a.address
                );
                let locations = format!("location / {{ {TO_SERVERS} {lines} }}");
                let program = configured(kind, &upstreams, &locations, &["--strict"]);
                let given = way.served_by(&program, "/").await;
                assert_eq!(given, expected, "{kind:?} {way:?} {lines}");
            }
        }
    }
}

#[tokio::test]
async fn an_address_that_swallows_everything_has_the_time_of_one_server() {
    for kind in kinds() {
        for way in WAYS {
            let ([a, ..], hole) = (Named::three().await, BlackHole::open());
            let upstreams = format!(
                "upstream servers {{ server {}; server {}; }}",
                hole.address, a.address
            );
            let locations = format!("location / {{ {TO_SERVERS} proxy_connect_timeout 1s; }}");
            let program = configured(kind, &upstreams, &locations, &["--strict"]);
            let since = Instant::now();
            assert_eq!(way.served_by(&program, "/").await, "a", "{kind:?} {way:?}");
            assert!(since.elapsed() < Duration::from_secs(5), "{kind:?} {way:?}");
        }
    }
}

#[tokio::test]
async fn what_has_been_sent_and_may_have_done_something_is_not_sent_again() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    for kind in kinds() {
        for does in [Does::Closes, BUSY] {
            let lines = "proxy_next_upstream error timeout http_503;";
            let (program, [a, b, _]) = with_first(kind, lines, does, "").await;
            let mut client = ScriptedClient::connect(program.address).await;
            client.send(post).await;
            let status = client.response().await.0.status.as_u16();
            let expected = if does == BUSY { 503 } else { 502 };
            assert_eq!(status, expected, "{kind:?}");
            assert_eq!((a.asked(), b.asked()), (1, 0), "{kind:?}");
        }
        // What has not been sent goes to the next.
        let [a, ..] = Named::three().await;
        let upstreams = format!(
            "upstream servers {{ server {}; server {}; }}",
            own_address(),
            a.address
        );
        let locations = format!("location / {{ {TO_SERVERS} }}");
        let program = configured(kind, &upstreams, &locations, &["--strict"]);
        let mut client = ScriptedClient::connect(program.address).await;
        client.send(post).await;
        assert_eq!(client.response().await.0.headers["x-name"], "a", "{kind:?}");
    }
}

#[tokio::test]
async fn which_failures_count_against_a_server() {
    for (lines, does, counts) in [
        // Also those after which nobody else is asked.
        ("proxy_next_upstream off;", Does::Closes, true),
        ("proxy_next_upstream timeout;", BAD_HEAD, true),
        ("proxy_next_upstream error http_503;", BUSY, true),
        ("proxy_next_upstream error;", BUSY, false),
        ("proxy_next_upstream error http_403;", FORBIDDEN, false),
    ] {
        for kind in kinds() {
            let (program, [a, ..]) = with_first(kind, lines, does, "fail_timeout=60s").await;
            for _ in 0..6 {
                Way::Get.asks(&program, "/", "").await;
            }
            let asked = a.asked();
            assert_eq!(asked == 1, counts, "{kind:?} {lines} {does:?}: {asked}");
        }
    }
}

/// Times are what they are; what there is a time for is the same.
fn timeless(line: &str) -> String {
    let words = line.split_inclusive([' ', ',', '|']);
    let words = words.map(|word| {
        let bare = word.trim_end_matches([' ', ',', '|']);
        let is_time = bare.split_once('.').is_some_and(|(seconds, rest)| {
            rest.len() == 3 && (seconds.to_owned() + rest).parse::<u32>().is_ok()
        });
        match is_time {
            true => word.replace(bare, "T"),
            false => word.to_owned(),
        }
    });
    words.collect()
}

#[tokio::test]
async fn the_log_has_all_servers_that_were_asked() {
    let gone = own_address();
    for kind in kinds() {
        let [a, b, c] = Named::three().await;
        a.now(Does::Closes);
        b.now(BUSY);
        let upstreams = format!(
            "log_format tries '$upstream_addr|$upstream_status|$upstream_connect_time|$upstream_header_time|\
             $upstream_response_time|$status';
             upstream servers {{ server {gone} weight=9; server {} weight=8; server {} weight=7; server {}; }}
             upstream none {{ server {gone} down; }}",
            a.address, b.address, c.address
        );
        let locations = format!(
            "access_log FOLDER/access.log tries;
             location / {{ {TO_SERVERS} proxy_next_upstream error http_503; }}
             location /own {{ return 204; }}
             location /none {{ {} }}",
            TO_SERVERS.replace("servers", "none")
        );
        let program = configured(kind, &upstreams, &locations, &["--strict"]);
        assert_eq!(Way::Get.served_by(&program, "/").await, "c", "{kind:?}");
        lines(&program, 1).await;
        let (status, name, client) = Way::Upgrade.asks(&program, "/", "").await;
        assert_eq!((status, &*name), (101, "c"), "{kind:?}");
        drop(client);
        lines(&program, 2).await;
        Way::Get.asks(&program, "/own", "").await;
        lines(&program, 3).await;
        assert_eq!(Way::Get.served_by(&program, "/none").await, "502", "{kind:?}");
        let given: Vec<String> = lines(&program, 4)
            .await
            .iter()
            .map(|line| timeless(line))
            .collect();
        let expected = [
            format!(
                "{gone}, {}, {}, {}|502, 502, 503, 200|-, T, T, T|-, -, T, T|T, T, T, T|200",
                a.address, b.address, c.address
            ),
            format!("{}|101|T|T|T|101", c.address),
            "-|-|-|-|-|204".to_owned(),
            "none|502|-|-|T|502".to_owned(),
        ];
        assert_eq!(given, expected, "{kind:?}");
    }
}

/// Lines of the log, once there are as many as given.
async fn lines(program: &Program, count: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = program.folder.read("access.log");
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < deadline, "{lines:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
