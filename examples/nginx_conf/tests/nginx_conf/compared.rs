//! The configurations that circulate, as they are, under nginx and under the example: what the origin receives, what the
//! client receives, and how it ends. Where the example departs on purpose, the table says so, and why.

use std::collections::BTreeSet;

use crate::program::{Kind, has_nginx};
use crate::seen::Scenario::{self, *};
use crate::seen::{Kept, Seen};

const KEPT: [Kept; 7] = [
    Kept {
        file: "buffers.conf",
        path: "/api/v1/ws",
    },
    Kept {
        file: "fixed.conf",
        path: "/chat/room",
    },
    Kept {
        file: "map.conf",
        path: "/chat/room",
    },
    Kept {
        file: "server_fixed.conf",
        path: "/any",
    },
    Kept {
        file: "server_map.conf",
        path: "/any",
    },
    Kept {
        file: "whole.conf",
        path: "/websocket/x",
    },
    Kept {
        file: "location.conf",
        path: "/ws/x",
    },
];

/// One thing that differs on purpose.
struct Difference {
    what: &'static str,
    /// `-` is not there, `*` anything; `*` at the end stands for any end.
    nginx: &'static str,
    ours: &'static str,
    /// In which scenes, with which configurations.
    holds: &'static [(&'static [Scenario], Files)],
    why: &'static str,
}

#[derive(Clone, Copy)]
enum Files {
    All,
    Only(&'static [&'static str]),
    But(&'static [&'static str]),
}

/// `Connection "upgrade"`, whatever the request.
const FIXED: Files = Files::But(&["map.conf", "server_map.conf"]);
const MAPPED: Files = Files::Only(&["map.conf", "server_map.conf"]);
/// A head of 20 KiB passes nginx.
const ROOM: Files = Files::Only(&["buffers.conf"]);
/// It passes neither.
const SHORT: Files = Files::Only(&["whole.conf"]);
/// It passes the example alone.
const USUAL: Files = Files::But(&["buffers.conf", "whole.conf"]);

/// Where the answer is one of the proxy's own, in both.
const OWN: &[(&[Scenario], Files)] = &[
    (&[Silent, Refused], Files::All),
    (&[LargeHead, LargeOrdinaryHead], SHORT),
];

const DIFFERENCES: &[Difference] = &[
    Difference {
        what: "client server",
        nginx: "nginx/*",
        ours: "origin",
        holds: &[
            (&[Ordinary, Posted, OtherProtocol], Files::All),
            (&[LargeOrdinaryHead], ROOM),
        ],
        why: "the origin's own Server passes; the proxy does not name itself",
    },
    Difference {
        what: "client server",
        nginx: "nginx/*",
        ours: "-",
        holds: &[
            (&[Upgrade, Declined, WrongVersion, Silent, Refused], Files::All),
            (&[LargeHead], ROOM),
            (&[LargeHead, LargeOrdinaryHead], SHORT),
        ],
        why: "where the origin has no Server, neither has the answer",
    },
    Difference {
        what: "client date",
        nginx: "now",
        ours: "Sun, 06 Nov 1994 *",
        holds: &[
            (&[Ordinary, Posted, OtherProtocol], Files::All),
            (&[LargeOrdinaryHead], ROOM),
        ],
        why: "the origin's own Date passes (RFC 9110, section 6.6.1)",
    },
    Difference {
        what: "client date",
        nginx: "now",
        ours: "-",
        holds: &[(&[Upgrade], Files::All), (&[LargeHead], ROOM)],
        why: "a 101 needs none (RFC 9110, section 6.6.1)",
    },
    Difference {
        what: "client connection",
        nginx: "keep-alive",
        ours: "-",
        holds: &[
            (&[Ordinary, Posted], Files::All),
            (&[LargeOrdinaryHead], ROOM),
            (&[LargeOrdinaryHead], SHORT),
        ],
        why: "in HTTP/1.1 a connection goes on unless something is said",
    },
    Difference {
        what: "client connection",
        nginx: "keep-alive",
        ours: "close",
        holds: &[
            (&[Declined, OtherProtocol, Silent, Refused], Files::All),
            (&[LargeHead], SHORT),
        ],
        why: "after an upgrade that has come to nothing the connection closes: what follows may be the other protocol (RFC 9931)",
    },
    Difference {
        what: "upstream connection",
        nginx: "upgrade",
        ours: "-",
        holds: &[
            (&[Ordinary, Posted, LargeOrdinaryHead], FIXED),
            (&[OtherProtocol], Files::All),
        ],
        why: "upgrade is a connection option of requests with Upgrade, and of no others (RFC 9110, section 7.8)",
    },
    Difference {
        what: "upstream connection",
        nginx: "close",
        ours: "-",
        holds: &[(&[Ordinary, Posted, LargeOrdinaryHead], MAPPED)],
        why: "connections to upstreams are kept for other requests",
    },
    Difference {
        what: "upstream upgrade",
        nginx: "h2c",
        ours: "-",
        holds: &[(&[OtherProtocol], Files::All)],
        why: "behind h2c the origin would take requests that no rule of the proxy sees",
    },
    Difference {
        what: "upstream http2-settings",
        nginx: "*",
        ours: "-",
        holds: &[(&[OtherProtocol], Files::All)],
        why: "it belongs to h2c, and its sender nominates it in Connection (RFC 9110, section 7.6.1)",
    },
    Difference {
        what: "client content-type",
        nginx: "text/html*",
        ours: "text/plain; charset=utf-8",
        holds: OWN,
        why: "an answer of the proxy's own is a line of text that says why",
    },
    Difference {
        what: "client content-length",
        nginx: "*",
        ours: "*",
        holds: OWN,
        why: "an answer of the proxy's own is a line of text that says why",
    },
    Difference {
        what: "client x-content-type-options",
        nginx: "-",
        ours: "nosniff",
        holds: OWN,
        why: "no browser is to take the text for a page",
    },
    Difference {
        what: "client status",
        nginx: "502",
        ours: "101",
        holds: &[(&[LargeHead], USUAL)],
        why: "64 KiB are room for every head that origins have; nginx has 4 KiB unless it is configured otherwise",
    },
    Difference {
        what: "client status",
        nginx: "502",
        ours: "200",
        holds: &[(&[LargeOrdinaryHead], USUAL)],
        why: "64 KiB are room for ordinary heads too",
    },
    Difference {
        what: "upstream",
        nginx: "asked",
        ours: "not asked",
        holds: &[(&[WrongVersion], Files::All)],
        why: "a version other than 13 is refused by the proxy (RFC 6455, section 4.2.2)",
    },
    Difference {
        what: "client connection",
        nginx: "keep-alive",
        ours: "close, upgrade",
        holds: &[(&[WrongVersion], Files::All)],
        why: "a 426 has Upgrade, and with it the connection option (RFC 9110, section 15.5.22)",
    },
    Difference {
        what: "client body",
        nginx: "",
        ours: "a text of the proxy's",
        holds: &[(&[WrongVersion], Files::All)],
        why: "the 426 is the proxy's own, and says why",
    },
    Difference {
        what: "client content-length",
        nginx: "0",
        ours: "*",
        holds: &[(&[WrongVersion], Files::All)],
        why: "the 426 is the proxy's own, and says why",
    },
    Difference {
        what: "client content-type",
        nginx: "-",
        ours: "text/plain; charset=utf-8",
        holds: &[(&[WrongVersion], Files::All)],
        why: "the 426 is the proxy's own, and says why",
    },
    Difference {
        what: "client x-content-type-options",
        nginx: "-",
        ours: "nosniff",
        holds: &[(&[WrongVersion], Files::All)],
        why: "no browser is to take the text for a page",
    },
    Difference {
        what: "client status",
        nginx: "101",
        ours: "502",
        holds: &[(&[WrongAccept], Files::All)],
        why: "a 101 that does not answer the key is none (RFC 6455, section 4.1)",
    },
    Difference {
        what: "tunnel after the client's end",
        nginx: "",
        ours: "the last word",
        holds: &[(&[HalfClose], Files::All)],
        why: "the end of one direction is passed on, and the other goes on; nginx ends both",
    },
];

impl Difference {
    fn holds_in(&self, scenario: Scenario, kept: Kept) -> bool {
        let here = |(scenarios, files): &(&[Scenario], Files)| {
            let has_file = match files {
                Files::All => true,
                Files::Only(files) => files.contains(&kept.file),
                Files::But(files) => !files.contains(&kept.file),
            };
            scenarios.contains(&scenario) && has_file
        };
        self.holds.iter().any(here)
    }

    fn is(&self, what: &str, theirs: &str, ours: &str) -> bool {
        self.what == what && fits(self.nginx, theirs) && fits(self.ours, ours)
    }
}

fn fits(pattern: &str, value: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => value != "-" && value.starts_with(start),
        None => value == pattern,
    }
}

/// What differs. Where one side was not asked, or has another status, all else of that is no news.
fn differences(theirs: &Seen, ours: &Seen) -> Vec<(String, String, String)> {
    let differ = |what: &str| theirs.get(what) != ours.get(what);
    let keys: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let news = keys.into_iter().filter(|what| match &***what {
        "client status" | "upstream" => differ(what),
        what if what.starts_with("upstream") => differ(what) && !differ("upstream"),
        what => differ(what) && !differ("client status"),
    });
    let value = |seen: &Seen, what: &str| seen.get(what).map_or("-", String::as_str).to_owned();
    news.map(|what| (what.clone(), value(theirs, what), value(ours, what)))
        .collect()
}

/// Plays one scene with one configuration under both.
async fn compare(scenario: Scenario, kept: Kept) {
    let (theirs, ours) = tokio::join!(
        scenario.play(Kind::Nginx, kept, &[]),
        scenario.play(Kind::Ours, kept, &[]),
    );
    let expected = DIFFERENCES
        .iter()
        .filter(|difference| difference.holds_in(scenario, kept));
    let mut expected: Vec<&Difference> = expected.collect();
    for (what, theirs, ours) in differences(&theirs, &ours) {
        let known = expected
            .iter()
            .position(|difference| difference.is(&what, &theirs, &ours));
        let Some(known) = known else {
            panic!(
                "{} {scenario:?} {what}: {theirs:?} in nginx, {ours:?} here",
                kept.file
            );
        };
        expected.remove(known);
    }
    let missing: Vec<&str> = expected.iter().map(|difference| difference.what).collect();
    assert!(
        missing.is_empty(),
        "{} {scenario:?}: no difference in {missing:?}",
        kept.file
    );
}

#[tokio::test]
async fn what_differs_is_what_the_table_says() {
    if !has_nginx() {
        return;
    }
    for scenario in Scenario::ALL {
        // Those that wait do so at the same time.
        let mut scenes = tokio::task::JoinSet::new();
        for kept in KEPT {
            scenes.spawn(compare(scenario, kept));
        }
        while let Some(scene) = scenes.join_next().await {
            scene.unwrap();
        }
    }
}

#[test]
fn every_difference_has_a_reason_and_a_scene() {
    for difference in DIFFERENCES {
        let scene = |scenario| KEPT.iter().any(|kept| difference.holds_in(scenario, *kept));
        assert!(Scenario::ALL.into_iter().any(scene), "{}", difference.what);
        assert!(difference.why.len() > 20, "{}", difference.what);
    }
}

/// What the configurations promise, looked at without nginx.
#[tokio::test]
async fn every_configuration_carries_its_websocket() {
    let mut scenes = tokio::task::JoinSet::new();
    for kept in KEPT {
        scenes.spawn(async move {
            let seen = Upgrade.play(Kind::Ours, kept, &[]).await;
            assert_eq!(seen["client status"], "101", "{}", kept.file);
            assert_eq!(seen["tunnel"], "echoes", "{}", kept.file);
            assert_eq!(seen["upstream upgrade"], "websocket", "{}", kept.file);
            assert_eq!(seen["upstream connection"], "upgrade", "{}", kept.file);
            let seen = Idle.play(Kind::Ours, kept, &[]).await;
            assert_eq!(seen["tunnel ends"], "after the silence", "{}", kept.file);
        });
    }
    while let Some(scene) = scenes.join_next().await {
        scene.unwrap();
    }
}

/// With nginx's own limits on heads both refuse what both would.
#[tokio::test]
async fn with_the_defaults_of_nginx_a_large_head_is_a_502_in_both() {
    for kept in KEPT.into_iter().filter(|kept| kept.file == "fixed.conf") {
        for scenario in [LargeHead, LargeOrdinaryHead] {
            let ours = scenario.play(Kind::Ours, kept, &["--nginx-defaults"]).await;
            assert_eq!(ours["client status"], "502");
            if has_nginx() {
                let theirs = scenario.play(Kind::Nginx, kept, &[]).await;
                assert_eq!(theirs["client status"], "502");
            }
        }
    }
}
