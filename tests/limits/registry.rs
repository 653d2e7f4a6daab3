//! A registry shows the tunnels that are open, and ends those that are chosen.

use std::time::Duration;

use switchover::Side;
use switchover::tunnel::{
    Drain, End, EndRequest, Label, Listing, Schedule, Traffic, Tunnel, TunnelError, TunnelEvent, TunnelState,
    TunnelWatch, Tunnels, WebSocketConfig,
};
use switchover::websocket::{CloseCode, CloseFrame};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::{seconds, table};

type Running = JoinHandle<Result<Traffic, TunnelError>>;

/// A tunnel that runs, listed in a registry.
struct Listed {
    client: DuplexStream,
    origin: DuplexStream,
    watch: TunnelWatch,
    running: Running,
}

fn listed(tunnels: &Tunnels, listing: Listing, websocket: Option<WebSocketConfig>) -> Listed {
    let (client, tunnel, origin) = table();
    let mut tunnel = tunnel.websocket(websocket);
    let watch = tunnel.list_in(tunnels, listing);
    Listed {
        client,
        origin,
        watch,
        running: tokio::spawn(tunnel.run()),
    }
}

fn labelled(tunnels: &Tunnels, user: &'static str) -> Listed {
    listed(tunnels, Listing::default().label(Label::new(user)), None)
}

async fn end_of(running: Running) -> End {
    running.await.unwrap().unwrap().end()
}

#[tokio::test(start_paused = true)]
async fn it_shows_what_is_known_of_a_tunnel_until_that_has_ended() {
    let tunnels = Tunnels::new();
    let listing = Listing::default()
        .client(([192, 0, 2, 7], 50_000))
        .group("chats")
        .upstream("a:9000")
        .protocol("chat")
        .label(Label::new(7_u64));
    let Listed {
        mut client,
        mut origin,
        watch,
        running,
    } = listed(&tunnels, listing, None);
    let id = watch.id().expect("it is listed");
    let found = tunnels.get(id).expect("it is open");
    assert_eq!(id.to_string().parse(), Ok(id));
    assert_eq!(
        (found.client(), found.client_port()),
        (Some([192, 0, 2, 7].into()), Some(50_000))
    );
    assert_eq!(
        (found.group(), found.upstream(), found.protocol()),
        (Some("chats"), Some("a:9000"), Some("chat"))
    );
    assert_eq!((found.label::<u64>(), found.label::<&str>()), (Some(&7), None));
    assert_eq!(
        (
            found.frames_from(Side::Upstream),
            found.round_trip(Side::Upstream)
        ),
        (None, None)
    );
    assert_eq!(
        (tunnels.len(), tunnels.opened(), tunnels.iter().count()),
        (1, 1, 1)
    );

    sleep(seconds(5)).await;
    client.write_all(b"ping").await.unwrap();
    origin.read_exact(&mut [0; 4]).await.unwrap();
    sleep(seconds(5)).await;
    assert_eq!((found.from_downstream(), found.from_upstream()), (4, 0));
    let opened_at = found.opened_at();
    assert_eq!(found.last_activity_from(Side::Downstream), opened_at + seconds(5));
    assert_eq!(found.last_activity_from(Side::Upstream), opened_at);

    assert_eq!(found.state(), TunnelState::Open);
    client.shutdown().await.unwrap();
    sleep(seconds(1)).await;
    assert_eq!(found.state(), TunnelState::HalfClosed);
    drop(origin);
    running.await.unwrap().unwrap();
    assert_eq!(found.state(), TunnelState::Ended);
    assert_eq!(
        (tunnels.len(), tunnels.opened(), tunnels.get(id).is_none()),
        (0, 1, true)
    );
    tunnels.finished().await;
}

#[tokio::test(start_paused = true)]
async fn ids_are_not_given_twice_and_places_are() {
    let tunnels = Tunnels::new();
    let stays = labelled(&tunnels, "stays");
    let former = labelled(&tunnels, "former");
    let former_id = former.watch.id().unwrap();
    drop((former.client, former.origin));
    former.running.await.unwrap().unwrap();
    let latter = labelled(&tunnels, "latter");
    assert!(tunnels.get(former_id).is_none());
    let latter_id = latter.watch.id().unwrap();
    assert_eq!(tunnels.get(latter_id).unwrap().label(), Some(&"latter"));
    assert_ne!(former_id, latter_id);
    assert_eq!(tunnels.iter().count(), 2);
    for text in ["", "7", "7-", "-7", "7-x", "7-3-1", "4294967296-0"] {
        assert!(text.parse::<switchover::tunnel::TunnelId>().is_err(), "{text}");
    }
    drop(stays);
}

#[tokio::test(start_paused = true)]
async fn those_that_are_selected_end_and_no_others() {
    let tunnels = Tunnels::new();
    let (mut selected, mut others) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        selected.push(labelled(&tunnels, "alice"));
        others.push(labelled(&tunnels, "bob"));
    }
    let alices = |tunnel: &TunnelWatch| tunnel.label() == Some(&"alice");
    assert_eq!(
        tunnels.end_where(alices, &EndRequest::default(), Duration::ZERO),
        3
    );
    for listed in selected {
        assert_eq!(end_of(listed.running).await, End::Requested);
    }
    assert_eq!(tunnels.len(), 3);
    for listed in &mut others {
        listed.client.write_all(b"still").await.unwrap();
        listed.origin.read_exact(&mut [0; 5]).await.unwrap();
        assert!(listed.watch.is_open());
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_spreads_the_ends_evenly() {
    let tunnels = Tunnels::new();
    let all: Vec<_> = (0..10).map(|_| labelled(&tunnels, "any")).collect();
    sleep(seconds(1)).await;
    let start = Instant::now();
    assert_eq!(
        tunnels.end_where(|_| true, &EndRequest::default(), seconds(10)),
        10
    );
    for left in (0..10).rev() {
        sleep(Duration::from_millis(500)).await;
        assert_eq!(tunnels.len(), left, "after {:?}", start.elapsed());
        sleep(Duration::from_millis(500)).await;
    }
    for listed in all {
        assert_eq!(end_of(listed.running).await, End::Requested);
    }
}

#[tokio::test(start_paused = true)]
async fn both_sides_are_sent_the_close_that_was_asked_for() {
    let request = EndRequest::close(CloseCode(4001), "signed out").unwrap();
    let expected = CloseFrame::new(CloseCode(4001), "signed out");
    for expires in [false, true] {
        let tunnels = Tunnels::new();
        let Listed {
            mut client,
            mut origin,
            watch,
            running,
        } = listed(&tunnels, Listing::default(), Some(WebSocketConfig::default()));
        sleep(seconds(1)).await;
        match expires {
            false => watch.end_with(&request),
            true => watch.expire_with(Instant::now() + seconds(1), &request),
        }
        let mut frame = [0; 2 + 12];
        client.read_exact(&mut frame).await.unwrap();
        assert_eq!(&frame[..2], b"\x88\x0c");
        assert_eq!(CloseFrame::read(&frame[2..]), expected);
        assert_eq!(watch.state(), TunnelState::Draining);
        client.write_all(b"\x88\x82\0\0\0\0\x0f\xa1").await.unwrap();
        origin.write_all(b"\x88\x02\x0f\xa1").await.unwrap();
        let traffic = running.await.unwrap().unwrap();
        let end = if expires { End::Expired } else { End::Requested };
        assert_eq!(traffic.end(), end);
        for side in [Side::Downstream, Side::Upstream] {
            assert_eq!(traffic.close_sent_to(side), Some(&expected), "{side}");
        }
        drop(client);
    }
}

#[test]
fn only_codes_that_may_be_sent_are_taken() {
    for (code, allowed) in [
        (999, false),
        (1000, true),
        (1005, false),
        (1006, false),
        (1012, true),
        (1015, false),
        (4999, true),
        (5000, false),
    ] {
        assert_eq!(EndRequest::close(CloseCode(code), "").is_ok(), allowed, "{code}");
    }
    assert!(EndRequest::close(CloseCode(4000), &"x".repeat(123)).is_ok());
    assert!(EndRequest::close(CloseCode(4000), &"x".repeat(124)).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_expires_at_its_instant_as_it_is_by_then() {
    struct Case {
        /// When the expiry is set, and to when, in seconds from the start.
        set: &'static [(u64, Option<u64>)],
        ends_at: Option<u64>,
    }
    let cases = [
        Case {
            set: &[(0, Some(10))],
            ends_at: Some(10),
        },
        Case {
            set: &[(0, Some(10)), (5, Some(20))],
            ends_at: Some(20),
        },
        Case {
            set: &[(0, Some(20)), (5, Some(10))],
            ends_at: Some(10),
        },
        Case {
            set: &[(0, Some(10)), (5, None)],
            ends_at: None,
        },
        Case {
            set: &[(10, Some(5))],
            ends_at: Some(10),
        },
        Case {
            set: &[],
            ends_at: None,
        },
    ];
    for Case { set, ends_at } in cases {
        let (_client, mut tunnel, _origin) = table();
        let watch = tunnel.watch();
        let start = Instant::now();
        let mut running = tokio::spawn(tunnel.run());
        for (when, until) in set {
            tokio::time::sleep_until(start + seconds(*when)).await;
            watch.expire_at(until.map(|until| start + seconds(until)));
        }
        let ended = tokio::time::timeout(seconds(100), &mut running).await;
        match ends_at {
            Some(at) => {
                let traffic = ended.expect("it has expired").unwrap().unwrap();
                assert_eq!(traffic.end(), End::Expired, "{set:?}");
                let late = start.elapsed() - seconds(at);
                // What a tunnel of bytes may take to leave.
                assert!(late < seconds(1), "{set:?}: {late:?}");
            }
            None => assert!(ended.is_err(), "{set:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_the_registry_ends_every_tunnel_by_its_schedule() {
    let tunnels = Tunnels::new();
    let all: Vec<_> = (0..4).map(|_| labelled(&tunnels, "any")).collect();
    tunnels.drain(Schedule::default().grace(seconds(10)).spread(seconds(4)));
    assert!(tunnels.is_draining());
    // One that comes later has its turn in the same window.
    let late = labelled(&tunnels, "late");
    sleep(Duration::from_millis(9_900)).await;
    assert_eq!(tunnels.len(), 5);
    sleep(seconds(5)).await;
    tunnels.finished().await;
    for listed in all.into_iter().chain([late]) {
        assert_eq!(end_of(listed.running).await, End::Drained);
    }
    let late = labelled(&tunnels, "when it is over");
    assert_eq!(end_of(late.running).await, End::Drained);
}

#[tokio::test(start_paused = true)]
async fn it_counts_frames_and_messages_and_the_round_trip() {
    let tunnels = Tunnels::new();
    let websocket = WebSocketConfig::default().ping_interval(seconds(10));
    let Listed {
        mut client,
        mut origin,
        watch,
        running,
    } = listed(&tunnels, Listing::default(), Some(websocket));
    // A message in two frames with a ping in between, then one in one.
    origin
        .write_all(b"\x01\x01a\x89\x00\x80\x01b\x81\x01c")
        .await
        .unwrap();
    client.read_exact(&mut [0; 11]).await.unwrap();
    let frames = |side| {
        (
            watch.frames_from(side).unwrap(),
            watch.messages_from(side).unwrap(),
        )
    };
    assert_eq!(
        (frames(Side::Upstream), frames(Side::Downstream)),
        ((4, 2), (0, 0))
    );
    assert_eq!(watch.round_trip(Side::Downstream), None);

    let mut ping = [0; 14];
    client.read_exact(&mut ping).await.unwrap();
    sleep(Duration::from_millis(250)).await;
    let pong = [&b"\x8a\x8c\0\0\0\0"[..], &ping[2..]].concat();
    client.write_all(&pong).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(
        watch.round_trip(Side::Downstream),
        Some(Duration::from_millis(250))
    );
    assert_eq!(watch.round_trip(Side::Upstream), None);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn subscribers_hear_of_starts_and_ends_and_lose_what_they_do_not_read() {
    let tunnels = Tunnels::new();
    let unreported = labelled(&tunnels, "before");
    let (mut quick, slow) = (tunnels.subscribe(16), tunnels.subscribe(3));
    let one = labelled(&tunnels, "one");
    let id = one.watch.id();
    drop((one.client, one.origin));
    one.running.await.unwrap().unwrap();
    let other = labelled(&tunnels, "other");
    other.running.abort();
    assert!(other.running.await.is_err());

    let TunnelEvent::Opened(watch) = quick.recv().await else {
        panic!()
    };
    assert_eq!(watch.id(), id);
    let TunnelEvent::Ended(watch, Some(traffic)) = quick.recv().await else {
        panic!()
    };
    assert_eq!((watch.id(), traffic.end().name()), (id, "closed"));
    assert!(matches!(quick.recv().await, TunnelEvent::Opened(_)));
    assert!(matches!(quick.recv().await, TunnelEvent::Ended(_, None)));
    assert!(quick.try_recv().is_none());
    assert_eq!((quick.lost(), slow.lost()), (0, 1));
    let waits = tokio::spawn(async move { quick.recv().await });
    sleep(seconds(1)).await;
    unreported.running.abort();
    assert!(matches!(waits.await.unwrap(), TunnelEvent::Ended(..)));
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_counted_with_its_bytes() {
    let tunnels = Tunnels::new();
    let (mut one, other, open) = (
        labelled(&tunnels, "one"),
        labelled(&tunnels, "other"),
        labelled(&tunnels, "open"),
    );
    one.client.write_all(b"hello").await.unwrap();
    let mut received = [0; 5];
    one.origin.read_exact(&mut received).await.unwrap();
    assert_eq!(tunnels.ended().count(), 0);
    drop((one.client, one.origin));
    one.running.await.unwrap().unwrap();
    other.running.abort();
    assert!(other.running.await.is_err());
    let ended = tunnels.ended();
    let reasons: std::collections::BTreeMap<_, _> = ended.by_reason().collect();
    assert_eq!(reasons, [("closed", 1), ("dropped", 1)].into());
    assert_eq!(
        (ended.count(), ended.from_downstream(), ended.from_upstream()),
        (2, 5, 0)
    );
    open.running.abort();
}

#[tokio::test(start_paused = true)]
async fn an_end_for_another_reason_is_not_renamed() {
    let drain = Drain::new();
    let tunnels = Tunnels::new();
    let (_client, mut tunnel, _origin) = table();
    let watch = tunnel.list_in(&tunnels, Listing::default());
    let running = tokio::spawn(Tunnel::drain(tunnel, drain.signal()).run());
    sleep(seconds(1)).await;
    drain.complete_now();
    watch.end();
    assert_eq!(running.await.unwrap().unwrap().end(), End::Drained);
}
