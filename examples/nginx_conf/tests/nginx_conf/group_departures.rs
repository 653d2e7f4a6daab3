//! What a group does otherwise than in nginx, on purpose: each scene is played under both, and each has a reason.

use switchover::test_util::ScriptedClient;

use crate::named::{Does, Named, TO_SERVERS, Way, grouped, kinds};
use crate::program::{Kind, Program};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// All servers have failed, and work again before their time.
    AllOut,
    /// One tunnel more than all servers may have.
    OneTunnelTooMany,
    /// An ordinary request more than a server may have at a time.
    OneRequestTooMany,
    /// A request with a body, of an idempotent method, at a server that closes.
    PutAtOneThatCloses,
    /// A server has failed once, of five times that it may.
    FailedOnce,
}

struct Departure {
    scene: Scene,
    nginx: &'static str,
    ours: &'static str,
    why: &'static str,
}

const DEPARTURES: &[Departure] = &[
    Departure {
        scene: Scene::AllOut,
        nginx: "502",
        ours: "b",
        why: "it is better to try than to refuse",
    },
    Departure {
        scene: Scene::OneTunnelTooMany,
        nginx: "502",
        ours: "503",
        why: "the servers work, and have no room: RFC 9110, section 15.6.4",
    },
    Departure {
        scene: Scene::OneRequestTooMany,
        nginx: "502",
        ours: "503",
        why: "the servers work, and have no room: RFC 9110, section 15.6.4",
    },
    Departure {
        scene: Scene::PutAtOneThatCloses,
        nginx: "b",
        ours: "502",
        why: "bodies are streamed and not kept: what was sent cannot be sent again",
    },
    Departure {
        scene: Scene::FailedOnce,
        nginx: "caabaaacaaba",
        ours: "acaabaaacaab",
        why: "a server is in or out: its weight is what the configuration says",
    },
];

impl Scene {
    async fn play(self, kind: Kind) -> String {
        let servers = Named::three().await;
        let [a, b, c] = &servers;
        let (lines, parameters): (&str, [&str; 3]) = match self {
            Scene::AllOut => ("", ["fail_timeout=60s", "fail_timeout=60s", "down"]),
            Scene::OneTunnelTooMany => ("", ["max_conns=1", "max_conns=2", "down"]),
            Scene::OneRequestTooMany => ("", ["max_conns=1", "down", "down"]),
            Scene::PutAtOneThatCloses => ("", ["", "", "down"]),
            Scene::FailedOnce => ("", ["weight=5 max_fails=5", "", ""]),
        };
        let [of_a, of_b, of_c] = parameters;
        let program = grouped(
            kind,
            &[(a, of_a), (b, of_b), (c, of_c)],
            lines,
            &format!("location / {{ {TO_SERVERS} }}"),
            &[],
        );
        match self {
            Scene::AllOut => {
                a.now(Does::Closes);
                b.now(Does::Closes);
                assert_eq!(gets(&program, 1).await, "502");
                a.now(Does::Answers);
                b.now(Does::Answers);
                gets(&program, 1).await
            }
            Scene::OneTunnelTooMany => {
                let mut open = Vec::new();
                for expected in ["a", "b", "b"] {
                    let (_, name, client) = Way::Upgrade.asks(&program, "/", "").await;
                    assert_eq!(name, expected, "{kind:?}");
                    open.push(client);
                }
                Way::Upgrade.served_by(&program, "/").await
            }
            Scene::OneRequestTooMany => {
                let _waiting = a.holds_a_request(&program).await;
                gets(&program, 1).await
            }
            Scene::PutAtOneThatCloses => {
                a.now(Does::Closes);
                let mut client = ScriptedClient::connect(program.address).await;
                let put = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
                client.send(put).await;
                let (head, _) = client.response().await;
                match head.headers.get("x-name") {
                    Some(name) => name.to_str().unwrap().to_owned(),
                    None => head.status.as_str().to_owned(),
                }
            }
            Scene::FailedOnce => {
                a.now(Does::Closes);
                assert_ne!(gets(&program, 1).await, "a");
                a.now(Does::Answers);
                gets(&program, 12).await
            }
        }
    }
}

async fn gets(program: &Program, count: usize) -> String {
    let mut names = String::new();
    for _ in 0..count {
        names += &Way::Get.served_by(program, "/").await;
    }
    names
}

#[tokio::test]
async fn what_differs_is_what_the_table_says() {
    for departure in DEPARTURES {
        assert!(departure.why.len() > 20 && departure.nginx != departure.ours);
        for kind in kinds() {
            let expected = match kind {
                Kind::Nginx => departure.nginx,
                Kind::Ours => departure.ours,
            };
            let given = departure.scene.play(kind).await;
            assert_eq!(given, expected, "{kind:?} {:?}", departure.scene);
        }
    }
}
