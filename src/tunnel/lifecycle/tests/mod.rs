//! Every row of the table, what is due in each state, and random sequences of events on a model of two directions. No stream, no
//! runtime.

mod model;
mod table;

use super::*;
use crate::side::Side::{Downstream, Upstream};
use crate::tunnel::config::TunnelConfig;
use crate::tunnel::websocket::{WebSocketConfig, WebSocketSettings};
use crate::websocket::FrameError;

const ERROR: FrameError = FrameError::MaskMissing;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn config() -> TunnelConfig {
    TunnelConfig::default()
        .idle_timeout(seconds(100))
        .write_timeout(seconds(60))
        .half_close_timeout(seconds(30))
        .lifetime(seconds(1000))
}

fn direction(now: Instant, frames: bool) -> Direction {
    let frames = frames.then_some(Frames {
        is_closed: false,
        has_sender_closed: false,
        is_done: false,
        has_injected_close: false,
        can_close_abnormally: false,
        awaits_place: false,
        has_queued: false,
        waits_until: None,
        last_read_at: now,
        pinged_at: None,
        before_ping: 0,
    });
    Direction {
        moved_at: now,
        is_waiting: false,
        is_blocked: false,
        has_tail: false,
        has_stopped: false,
        has_ended: false,
        frames,
    }
}

fn closing(now: Instant, end: End) -> State<char> {
    State::Closing(Box::new(Closing::new(now, end, None)))
}

fn running(_: Instant) -> State<char> {
    State::Running { first: None }
}

fn draining(since: Instant) -> State<char> {
    let end = End::Requested;
    State::Draining(Box::new(Draining { since, end }))
}

fn failing(since: Instant) -> State<char> {
    let (side, cause) = (Upstream, 'x');
    State::Failing(Box::new(Failing { since, side, cause }))
}

fn closed(since: Instant) -> State<char> {
    let first = Upstream;
    State::Closed(Box::new(Closed { since, first }))
}

fn drained(now: Instant) -> State<char> {
    closing(now, End::Drained)
}

/// A tunnel whose upstream has failed, and whose downstream is sent a Close for that.
fn failed_and_closing(now: Instant) -> State<char> {
    let State::Closing(mut it) = closing(now, End::Failed { side: Upstream }) else {
        unreachable!()
    };
    it.cause = Some('x');
    State::Closing(it)
}

fn settling(until: Instant) -> State<char> {
    let outcome = Outcome::Ended(End::Drained);
    State::Settling(Box::new(Settling { until, outcome }))
}

fn ended(_: Instant) -> State<char> {
    State::Ended
}

fn frames(direction: &mut Direction) -> &mut Frames {
    direction.frames.as_mut().unwrap()
}

fn both(change: fn(&mut Direction)) -> impl Fn(&mut [Direction; 2]) {
    move |directions| directions.iter_mut().for_each(change)
}

fn nothing(_: &mut [Direction; 2]) {}

fn have_ended(directions: &mut [Direction; 2]) {
    both(|direction| (direction.has_stopped, direction.has_ended) = (true, true))(directions);
}

fn have_closed(directions: &mut [Direction; 2]) {
    both(|direction| {
        frames(direction).has_sender_closed = true;
        frames(direction).is_closed = true;
        frames(direction).is_done = true;
    })(directions);
}

fn wanted_by(is_requested: bool) -> Event<char> {
    Event::EndWanted(match is_requested {
        true => End::Requested,
        false => End::Drained,
    })
}

#[test]
fn what_is_due_and_when() {
    let (now, tunnel) = (Instant::now(), config());
    let deadline =
        |state: State<char>, websocket: Option<&WebSocketSettings>, change: fn(&mut [Direction; 2])| {
            let mut view = View([direction(now, websocket.is_some()); 2]);
            change(&mut view.0);
            let limits = Limits {
                started: now,
                tunnel: &tunnel,
                websocket,
            };
            let due = Lifecycle { state }.deadline(&limits, &view);
            due.map(|(at, due)| (at.saturating_duration_since(now).as_secs(), due))
        };
    let pinging = WebSocketConfig::default().ping_interval(seconds(20));
    let pinging = pinging.settings().as_ref();
    let pinging = Some(pinging);
    let idle = Some((100, Due::Idle));
    assert_eq!(deadline(running(now), None, nothing), idle);
    let half = deadline(running(now), None, |it| it[0].has_ended = true);
    assert_eq!(half, Some((30, Due::HalfCloseTimeout(Upstream))));
    let stalled = deadline(running(now), None, |it| it[0].is_waiting = true);
    assert_eq!(stalled, Some((60, Due::WriteTimeout(Upstream))));
    assert_eq!(
        deadline(running(now), pinging, nothing),
        Some((20, Due::Ping(Downstream)))
    );
    // What is on its way, blocked or closed is not asked.
    for change in [
        |it: &mut [Direction; 2]| both(|it| frames(it).has_queued = true)(it),
        |it: &mut [Direction; 2]| both(|it| it.is_blocked = true)(it),
        |it: &mut [Direction; 2]| both(|it| frames(it).is_closed = true)(it),
    ] {
        assert_eq!(deadline(running(now), pinging, change), idle);
    }
    // What waits for its rate is not asked either, and it is not idle until then.
    let waits = deadline(running(now), pinging, |it| {
        let at = it[0].moved_at.after(seconds(50));
        frames(&mut it[0]).waits_until = Some(at);
        frames(&mut it[1]).waits_until = Some(at);
    });
    assert_eq!(waits, Some((150, Due::Idle)));
    let asked = deadline(running(now), pinging, |it| {
        let at = it[0].moved_at.after(seconds(1));
        frames(&mut it[1]).pinged_at = Some(at);
    });
    assert_eq!(asked, Some((11, Due::PingTimeout(Downstream))));
    // Another ping that waits for its place gives no more time.
    let again = deadline(running(now), pinging, |it| {
        let at = it[0].moved_at.after(seconds(1));
        frames(&mut it[1]).pinged_at = Some(at);
        frames(&mut it[1]).has_queued = true;
    });
    assert_eq!(again, asked);
    // What lies before the ping is read first.
    let behind = deadline(running(now), pinging, |it| {
        let at = it[0].moved_at.after(seconds(1));
        frames(&mut it[1]).pinged_at = Some(at);
        frames(&mut it[1]).before_ping = 5 * 1024;
    });
    assert_eq!(behind, Some((16, Due::PingTimeout(Downstream))));
    for state in [draining(now), failing(now), closed(now), drained(now)] {
        assert_eq!(deadline(state, None, nothing), Some((30, Due::Drop)));
    }
    assert_eq!(deadline(settling(now), None, nothing), Some((0, Due::Drop)));
    assert_eq!(deadline(ended(now), None, nothing), None);
}
