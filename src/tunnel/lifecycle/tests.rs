//! Every row of the table, and random sequences of events on a model of two directions. No stream, no runtime.

use proptest::prelude::*;

use super::*;
use crate::side::Side::{Downstream, Upstream};
use crate::tunnel::config::TunnelConfig;
use crate::tunnel::websocket::{MessageLimit, Refusal, WebSocketConfig, WebSocketSettings};
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

fn state_name<C>(lifecycle: &Lifecycle<C>) -> &'static str {
    match &lifecycle.state {
        State::Running { .. } => "running",
        State::Draining { .. } => "draining",
        State::Closing(closing) if closing.settles_until.is_some() => "closing, settling",
        State::Closing(_) => "closing",
        State::Closed { .. } => "closed",
        State::Failing { .. } => "failing",
        State::Settling { .. } => "settling",
        State::Ended => "ended",
    }
}

fn failed(operation: Operation) -> Event<char> {
    Event::Failed {
        side: Upstream,
        operation,
        is_not_connected: false,
        cause: 'x',
    }
}

/// One row: the state, the event, what is changed of two directions in which nothing has happened, the actions, the state then.
struct Row {
    state: fn(Instant) -> State<char>,
    event: Event<char>,
    frames: bool,
    change: fn(&mut [Direction; 2]),
    actions: Vec<Action<char>>,
    then: &'static str,
}

fn running(_: Instant) -> State<char> {
    State::Running { first: None }
}

fn draining(since: Instant) -> State<char> {
    let end = End::Requested;
    State::Draining { since, end }
}

fn failing(since: Instant) -> State<char> {
    let (side, cause) = (Upstream, 'x');
    State::Failing { since, side, cause }
}

fn closed(since: Instant) -> State<char> {
    let first = Upstream;
    State::Closed { since, first }
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
    State::Settling { until, outcome }
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

fn row(
    state: fn(Instant) -> State<char>,
    event: Event<char>,
    actions: impl IntoIterator<Item = Action<char>>,
    then: &'static str,
) -> Row {
    Row {
        state,
        event,
        frames: false,
        change: nothing,
        actions: actions.into_iter().collect(),
        then,
    }
}

impl Row {
    fn framed(self, change: fn(&mut [Direction; 2])) -> Row {
        Row {
            frames: true,
            change,
            ..self
        }
    }

    fn with(self, change: fn(&mut [Direction; 2])) -> Row {
        Row { change, ..self }
    }
}

fn end(end: End) -> Action<char> {
    Action::End(Outcome::Ended(end))
}

fn closes(end: End) -> [Action<char>; 2] {
    SIDES.map(|to| Action::Close { to, end })
}

fn wanted_by(is_requested: bool) -> Event<char> {
    Event::EndWanted(match is_requested {
        true => End::Requested,
        false => End::Drained,
    })
}

const BOTH_ENDED: Event<char> = Event::BothEnded {
    can_reset: [true, true],
};

fn rows() -> Vec<Row> {
    let stop_both = || SIDES.map(Action::Stop);
    let violation = End::Violation {
        side: Upstream,
        error: ERROR,
    };
    let exceeded = End::LimitExceeded {
        side: Upstream,
        limit: MessageLimit::Fragments,
        allowed: 3,
    };
    let failure = || {
        Action::End(Outcome::Failed {
            side: Upstream,
            cause: 'x',
        })
    };
    let notified = || {
        let end = End::Failed { side: Upstream };
        [
            Action::Abandon(Downstream),
            Action::Close { to: Downstream, end },
            Action::Forget(Upstream),
            Action::Stop(Upstream),
        ]
    };
    let gone = [Action::Abandon(Downstream), Action::Stop(Upstream)];
    vec![
        row(running, Event::Stopped(Upstream), [], "running"),
        row(running, wanted_by(false), stop_both(), "draining"),
        row(running, wanted_by(true), stop_both(), "draining"),
        row(running, wanted_by(false), closes(End::Drained), "closing").framed(nothing),
        row(running, wanted_by(true), closes(End::Requested), "closing").framed(nothing),
        row(running, Event::Deadline(Due::Idle), closes(End::Idle), "closing").framed(nothing),
        row(
            running,
            Event::Deadline(Due::Lifetime),
            closes(End::Lifetime),
            "closing",
        )
        .framed(nothing),
        row(
            running,
            Event::Deadline(Due::PingTimeout(Upstream)),
            closes(End::PingTimeout { side: Upstream })
                .into_iter()
                .chain([Action::Forget(Upstream)]),
            "closing",
        )
        .framed(nothing),
        row(
            running,
            Event::Refused(Upstream, Refusal::Frame(ERROR)),
            [
                Action::Close {
                    to: Downstream,
                    end: violation,
                },
                Action::CloseInPlace {
                    to: Upstream,
                    end: violation,
                },
            ],
            "closing",
        )
        .framed(nothing),
        row(
            running,
            Event::Refused(Upstream, Refusal::Limit(MessageLimit::Fragments, 3)),
            [
                Action::Close {
                    to: Downstream,
                    end: exceeded,
                },
                Action::CloseInPlace {
                    to: Upstream,
                    end: exceeded,
                },
            ],
            "closing",
        )
        .framed(nothing),
        row(running, failed(Operation::Read), gone, "failing"),
        row(
            running,
            failed(Operation::Write),
            [Action::Abandon(Downstream)],
            "failing",
        ),
        // The other side can be sent a Close, unless something may still be read.
        row(running, failed(Operation::Read), notified(), "closing")
            .framed(|it| frames(&mut it[1]).can_close_abnormally = true),
        row(failing, failed(Operation::Read), notified(), "closing")
            .framed(|it| frames(&mut it[1]).can_close_abnormally = true),
        row(
            running,
            failed(Operation::Write),
            [Action::Abandon(Downstream)],
            "failing",
        )
        .framed(|it| frames(&mut it[1]).can_close_abnormally = true),
        row(failing, Event::Stopped(Upstream), [], "closing")
            .framed(|it| frames(&mut it[1]).has_injected_close = true),
        row(failing, Event::Stopped(Upstream), [], "failing").framed(nothing),
        row(failing, Event::Stopped(Downstream), [], "failing")
            .framed(|it| frames(&mut it[0]).has_injected_close = true),
        row(
            failed_and_closing,
            Event::Deadline(Due::Drop),
            [failure()],
            "ended",
        )
        .framed(nothing),
        row(failed_and_closing, BOTH_ENDED, [], "closing, settling").framed(have_ended),
        // Its stream had ended without a Close, and the other side was notified.
        row(
            running,
            failed(Operation::Write),
            [Action::Abandon(Downstream), Action::Stop(Upstream)],
            "closed",
        )
        .framed(|it| {
            frames(&mut it[0]).has_sender_closed = true;
            frames(&mut it[1]).has_injected_close = true;
        }),
        row(
            running,
            failed(Operation::Read),
            [Action::Abandon(Downstream), Action::Stop(Upstream)],
            "closed",
        )
        .framed(have_closed),
        row(
            running,
            failed(Operation::Write),
            [Action::Abandon(Downstream), Action::Stop(Upstream)],
            "closed",
        )
        .framed(have_closed),
        row(
            running,
            failed(Operation::Shutdown),
            [Action::Abandon(Downstream)],
            "failing",
        ),
        row(running, failed(Operation::Shutdown), [], "running").with(|it| it[1].has_ended = true),
        row(draining, failed(Operation::Shutdown), [], "draining"),
        row(
            draining,
            failed(Operation::Write),
            [Action::Abandon(Downstream)],
            "failing",
        ),
        row(
            closed,
            failed(Operation::Write),
            [Action::Abandon(Downstream)],
            "closed",
        ),
        row(
            drained,
            failed(Operation::Read),
            [
                Action::Abandon(Downstream),
                Action::Forget(Upstream),
                Action::Stop(Upstream),
            ],
            "closing",
        )
        .framed(|it| frames(&mut it[1]).is_closed = true),
        row(
            drained,
            failed(Operation::Write),
            [Action::Abandon(Downstream), Action::Forget(Upstream)],
            "closing",
        )
        .framed(|it| frames(&mut it[1]).awaits_place = true),
        row(
            drained,
            failed(Operation::Read),
            [Action::Abandon(Downstream), Action::Stop(Upstream)],
            "failing",
        )
        .framed(nothing),
        row(drained, Event::Moved, [], "closing").framed(nothing),
        row(
            drained,
            Event::Moved,
            [Action::Stop(Upstream), Action::Stop(Downstream)],
            "closing",
        )
        .framed(have_closed),
        row(drained, Event::Deadline(Due::Drop), [end(End::Drained)], "ended").framed(nothing),
        row(drained, Event::Deadline(Due::Drop), [Action::CloseNow], "closing")
            .framed(|it| frames(&mut it[0]).awaits_place = true),
        row(
            failing,
            Event::Refused(Upstream, Refusal::Frame(ERROR)),
            [Action::Stop(Upstream)],
            "failing",
        )
        .framed(nothing),
        row(
            failing,
            Event::Refused(Upstream, Refusal::Frame(ERROR)),
            [],
            "failing",
        )
        .framed(|it| it[1].has_stopped = true),
        row(
            running,
            BOTH_ENDED,
            [end(End::Closed { first: Downstream })],
            "ended",
        )
        .with(have_ended),
        row(
            closed,
            BOTH_ENDED,
            [Action::Discard, end(End::Closed { first: Upstream })],
            "ended",
        )
        .with(have_ended),
        row(draining, BOTH_ENDED, [], "settling").with(have_ended),
        row(failing, BOTH_ENDED, [], "settling").with(have_ended),
        row(drained, BOTH_ENDED, [], "closing, settling").framed(have_ended),
        row(drained, BOTH_ENDED, [], "closing").framed(|it| {
            have_ended(it);
            frames(&mut it[0]).is_closed = true;
        }),
        row(settling, BOTH_ENDED, [], "settling").with(have_ended),
        row(settling, Event::Quiet, [end(End::Drained)], "ended"),
        row(draining, Event::Quiet, [], "draining"),
        row(
            running,
            Event::Deadline(Due::Ping(Upstream)),
            [Action::Ping(Upstream)],
            "running",
        )
        .framed(nothing),
        row(running, Event::Deadline(Due::Idle), [end(End::Idle)], "ended"),
        row(
            running,
            Event::Deadline(Due::Lifetime),
            [end(End::Lifetime)],
            "ended",
        ),
        row(
            running,
            Event::Deadline(Due::HalfCloseTimeout(Upstream)),
            [end(End::HalfCloseTimeout { open: Upstream })],
            "ended",
        )
        .framed(nothing),
        row(
            running,
            Event::Deadline(Due::WriteTimeout(Upstream)),
            [end(End::WriteTimeout { side: Upstream })],
            "ended",
        )
        .framed(nothing),
        row(
            running,
            Event::Deadline(Due::WriteTimeout(Upstream)),
            [
                Action::Close {
                    to: Downstream,
                    end: End::WriteTimeout { side: Upstream },
                },
                Action::Forget(Upstream),
                Action::Stop(Upstream),
                Action::Abandon(Downstream),
            ],
            "closing",
        )
        .framed(|it| frames(&mut it[1]).can_close_abnormally = true),
        row(
            running,
            Event::Deadline(Due::WriteTimeout(Upstream)),
            [end(End::WriteTimeout { side: Upstream })],
            "ended",
        )
        .framed(|it| {
            frames(&mut it[1]).can_close_abnormally = true;
            it[1].is_waiting = true;
        }),
        row(
            running,
            Event::Deadline(Due::HalfCloseTimeout(Upstream)),
            [
                Action::Close {
                    to: Downstream,
                    end: End::HalfCloseTimeout { open: Upstream },
                },
                Action::Forget(Upstream),
                Action::Stop(Upstream),
            ],
            "closing",
        )
        .framed(|it| frames(&mut it[1]).can_close_abnormally = true),
        row(
            failing,
            Event::Deadline(Due::WriteTimeout(Downstream)),
            [failure()],
            "ended",
        )
        .framed(|it| frames(&mut it[0]).can_close_abnormally = true),
        row(
            draining,
            Event::Deadline(Due::Drop),
            [end(End::Requested)],
            "ended",
        ),
        row(
            draining,
            Event::Deadline(Due::Idle),
            [end(End::Requested)],
            "ended",
        ),
        row(
            closed,
            Event::Deadline(Due::Drop),
            [end(End::Closed { first: Upstream })],
            "ended",
        ),
        row(
            closed,
            Event::Deadline(Due::Drop),
            [end(End::WriteTimeout { side: Downstream })],
            "ended",
        )
        .with(|it| it[1].has_tail = true),
        row(
            failing,
            Event::Deadline(Due::WriteTimeout(Downstream)),
            [failure()],
            "ended",
        ),
        row(draining, wanted_by(true), [], "draining"),
        row(
            drained,
            Event::Refused(Upstream, Refusal::Frame(ERROR)),
            [],
            "closing",
        )
        .framed(nothing),
        row(ended, failed(Operation::Read), [], "ended"),
        row(ended, wanted_by(true), [], "ended"),
        row(ended, Event::Deadline(Due::Idle), [], "ended"),
        row(
            ended,
            Event::Refused(Upstream, Refusal::Frame(ERROR)),
            [],
            "ended",
        )
        .framed(nothing),
        row(ended, BOTH_ENDED, [], "ended").with(have_ended),
        row(ended, Event::Quiet, [], "ended"),
    ]
}

#[test]
fn every_row_of_the_table() {
    let (now, tunnel, websocket) = (Instant::now(), config(), WebSocketSettings::default());
    for (place, row) in rows().into_iter().enumerate() {
        let mut lifecycle = Lifecycle {
            state: (row.state)(now),
        };
        let from = state_name(&lifecycle);
        let mut view = View([direction(now, row.frames); 2]);
        (row.change)(&mut view.0);
        let limits = Limits {
            started: now,
            tunnel: &tunnel,
            websocket: row.frames.then_some(&websocket),
        };
        let event = format!("{:?}", row.event);
        let actions = lifecycle.on(row.event, now, &limits, &view);
        assert_eq!(actions, row.actions, "row {place}: {from}, {event}");
        assert_eq!(state_name(&lifecycle), row.then, "row {place}: {from}, {event}");
    }
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
    for state in [draining(now), failing(now), closed(now), drained(now)] {
        assert_eq!(deadline(state, None, nothing), Some((30, Due::Drop)));
    }
    assert_eq!(deadline(settling(now), None, nothing), Some((0, Due::Drop)));
    assert_eq!(deadline(ended(now), None, nothing), None);
}

/// One direction, as a counter of bytes: what it has read is delivered, waits, or is lost with a writer of no use.
#[derive(Default)]
struct Model {
    read: u64,
    delivered: u64,
    lost: u64,
    has_stopped: bool,
    has_ended: bool,
    is_closed: bool,
    has_injected_close: bool,
    has_sender_closed: bool,
    awaits_place: bool,
    is_forgotten: bool,
    moved_at: Option<Instant>,
    waits_until: Option<Instant>,
}

impl Model {
    fn tail(&self) -> u64 {
        self.read - self.delivered - self.lost
    }

    /// Whether its writer can be sent a Close when its reader is gone.
    fn can_close(&self) -> bool {
        !self.is_closed && !self.awaits_place && !self.has_stopped && !self.is_forgotten
    }

    fn close(&mut self) {
        self.has_injected_close |= !self.is_closed;
        self.is_closed = true;
    }

    /// Whether a frame waits for its rate, so that nothing is read.
    fn waits(&self, now: Instant) -> bool {
        self.waits_until.is_some_and(|at| now < at)
    }
}

struct Sim {
    lifecycle: Lifecycle<char>,
    directions: [Model; 2],
    now: Instant,
    started: Instant,
    has_frames: bool,
    is_over: bool,
    /// Bytes may be lost: a stream has failed, or a deadline has ended the tunnel.
    may_lose: bool,
}

impl Sim {
    fn view(&self) -> View {
        View([0, 1].map(|index| {
            let model = &self.directions[index];
            Direction {
                moved_at: model.moved_at.unwrap_or(self.started),
                is_waiting: model.tail() > 0,
                is_blocked: model.tail() > 0,
                has_tail: model.tail() > 0,
                has_stopped: model.has_stopped,
                has_ended: model.has_ended,
                frames: self.has_frames.then_some(Frames {
                    is_closed: model.is_closed,
                    has_sender_closed: model.has_sender_closed,
                    is_done: model.has_sender_closed || model.is_forgotten,
                    has_injected_close: model.has_injected_close,
                    can_close_abnormally: model.can_close(),
                    awaits_place: model.awaits_place,
                    has_queued: model.awaits_place,
                    waits_until: model.waits_until,
                    last_read_at: self.started,
                    pinged_at: None,
                }),
            }
        }))
    }

    fn on(&mut self, event: Event<char>) {
        let (view, tunnel, websocket) = (self.view(), config(), WebSocketSettings::default());
        let limits = Limits {
            started: self.started,
            tunnel: &tunnel,
            websocket: self.has_frames.then_some(&websocket),
        };
        let actions = self.lifecycle.on(event, self.now, &limits, &view);
        assert!(!self.is_over || actions.is_empty(), "after its end: {actions:?}");
        for action in actions {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action<char>) {
        match action {
            Action::Stop(side) => {
                let model = &mut self.directions[side as usize];
                model.has_stopped = true;
                self.close_now(side);
            }
            Action::Abandon(side) => {
                let model = &mut self.directions[side as usize];
                model.lost += model.tail();
                (model.has_stopped, model.has_ended) = (true, true);
            }
            Action::Forget(side) => self.directions[side as usize].is_forgotten = true,
            // At once, as if every byte were a frame.
            Action::Close { to, .. } => self.directions[!to as usize].close(),
            Action::CloseInPlace { to, .. } => {
                let model = &mut self.directions[!to as usize];
                model.awaits_place = !model.is_closed;
            }
            Action::CloseNow => SIDES.into_iter().for_each(|side| self.close_now(side)),
            Action::Ping(_) | Action::Discard => {}
            Action::End(outcome) => {
                let is_whole = matches!(outcome, Outcome::Ended(End::Closed { .. }));
                let has_tail = self.directions.iter().any(|model| model.tail() > 0);
                assert!(!is_whole || !has_tail, "an end in order with bytes undelivered");
                self.is_over = true;
            }
        }
    }

    fn close_now(&mut self, side: Side) {
        let model = &mut self.directions[side as usize];
        if std::mem::take(&mut model.awaits_place) {
            model.close();
        }
    }

    /// What the engine does after every event, until nothing changes.
    fn settle(&mut self) {
        for _ in 0..20 {
            for side in SIDES {
                let model = &mut self.directions[side as usize];
                model.has_ended |= model.has_stopped && model.tail() == 0;
                if model.has_stopped {
                    self.on(Event::Stopped(side));
                }
            }
            self.on(Event::Moved);
            if self.directions.iter().all(|model| model.has_ended) && !self.is_over {
                self.on(Event::BothEnded {
                    can_reset: [true, true],
                });
            }
            let (view, tunnel, websocket) = (self.view(), config(), WebSocketSettings::default());
            let limits = Limits {
                started: self.started,
                tunnel: &tunnel,
                websocket: self.has_frames.then_some(&websocket),
            };
            match self.lifecycle.deadline(&limits, &view) {
                Some((at, due)) if at <= self.now => {
                    let waits = self.directions.iter().any(|model| model.waits(self.now));
                    assert!(due != Due::Idle || !waits, "what waits for its rate is not idle");
                    self.may_lose = true;
                    self.on(Event::Deadline(due));
                }
                _ => return,
            }
        }
        panic!("it does not come to rest");
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Read(side, count) => {
                let model = &mut self.directions[side as usize];
                let waits = model.waits(self.now);
                if !model.has_stopped && model.tail() == 0 && !self.is_over && !waits {
                    model.read += u64::from(count);
                    model.moved_at = Some(self.now);
                }
            }
            Step::Take(side, count) => {
                let model = &mut self.directions[side as usize];
                let taken = model.tail().min(count.into());
                model.delivered += taken;
                if taken > 0 {
                    model.moved_at = Some(self.now);
                }
            }
            Step::Eof(side) | Step::Close(side) if self.directions[side as usize].waits(self.now) => {}
            Step::Eof(side) => {
                if self.has_frames && self.directions[side as usize].can_close() {
                    self.directions[side as usize].close();
                }
                self.directions[side as usize].has_stopped = true;
                self.directions[side as usize].is_forgotten = true;
                self.close_now(side);
            }
            Step::Close(side) if self.has_frames => {
                let model = &mut self.directions[side as usize];
                (model.has_sender_closed, model.is_closed, model.awaits_place) = (true, true, false);
            }
            Step::Violation(side) if self.has_frames => self.on(Event::Refused(side, Refusal::Frame(ERROR))),
            Step::Close(_) | Step::Violation(_) => {}
            Step::Fail(side, is_read) => {
                // A direction that has ended is not polled any more.
                let from = if is_read { side } else { !side };
                if !self.directions[from as usize].has_ended {
                    self.may_lose = true;
                    let operation = if is_read {
                        Operation::Read
                    } else {
                        Operation::Write
                    };
                    self.on(Event::Failed {
                        side,
                        operation,
                        is_not_connected: false,
                        cause: 'x',
                    });
                }
            }
            Step::Want(is_requested) => self.on(wanted_by(is_requested)),
            Step::Quiet => self.on(Event::Quiet),
            Step::Throttle(side, count) if self.has_frames => {
                let at = self.now.after(seconds(count.into()));
                self.directions[side as usize].waits_until = Some(at);
            }
            Step::Throttle(..) => {}
            Step::Wait(seconds) => self.now = self.now.after(Duration::from_secs(seconds.into())),
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Read(Side, u8),
    Take(Side, u8),
    Eof(Side),
    Close(Side),
    Violation(Side),
    Fail(Side, bool),
    Want(bool),
    Quiet,
    /// A frame of this side waits for its rate.
    Throttle(Side, u8),
    Wait(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let side = || prop_oneof![Just(Downstream), Just(Upstream)];
    prop_oneof![
        6 => (side(), any::<u8>()).prop_map(|(side, count)| Step::Read(side, count)),
        6 => (side(), any::<u8>()).prop_map(|(side, count)| Step::Take(side, count)),
        2 => side().prop_map(Step::Eof),
        2 => side().prop_map(Step::Close),
        1 => side().prop_map(Step::Violation),
        1 => (side(), any::<bool>()).prop_map(|(side, is_read)| Step::Fail(side, is_read)),
        1 => any::<bool>().prop_map(Step::Want),
        2 => Just(Step::Quiet),
        1 => (side(), any::<u8>()).prop_map(|(side, count)| Step::Throttle(side, count)),
        2 => (0u8..20).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever happens, it ends; after that there is nothing to do; and no byte that was read is lost but by a failure or a
    /// deadline.
    #[test]
    fn it_always_ends_and_loses_nothing(has_frames: bool, steps in prop::collection::vec(step(), 0..60)) {
        let now = Instant::now();
        let mut sim = Sim {
            lifecycle: Lifecycle::new(),
            directions: Default::default(),
            now,
            started: now,
            has_frames,
            is_over: false,
            may_lose: false,
        };
        for step in &steps {
            sim.step(step);
            sim.settle();
            let lost: u64 = sim.directions.iter().map(|model| model.lost).sum();
            prop_assert!(lost == 0 || sim.may_lose, "{lost} bytes");
            prop_assert!(!sim.is_over || sim.may_lose || sim.directions.iter().all(|model| model.tail() == 0));
        }
        // Nobody does anything any more.
        for _ in 0..60 {
            sim.now = sim.now.after(seconds(50));
            sim.settle();
        }
        prop_assert!(sim.is_over, "it waits for ever");
        for step in &steps {
            sim.step(step);
            sim.settle();
        }
    }
}
