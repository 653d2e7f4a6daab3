//! The table of transitions: each row is a state, an event, the actions, and the state then.

use super::*;
use crate::tunnel::websocket::{MessageLimit, Refusal};

/// One row: the state, the event, what is changed of two directions in which nothing has happened, the actions, the state then.
struct Row {
    state: fn(Instant) -> State<char>,
    event: Event<char>,
    frames: bool,
    change: fn(&mut [Direction; 2]),
    actions: Vec<Action<char>>,
    then: &'static str,
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

fn failed(operation: Operation) -> Event<char> {
    Event::Failed {
        side: Upstream,
        operation,
        is_not_connected: false,
        cause: 'x',
    }
}

fn end(end: End) -> Action<char> {
    Action::End(Outcome::Ended(end))
}

fn closes(end: End) -> [Action<char>; 2] {
    SIDES.map(|to| Action::Close { to, end })
}

const BOTH_ENDED: Event<char> = Event::BothEnded {
    can_reset: [true, true],
};

fn state_name<C>(lifecycle: &Lifecycle<C>) -> &'static str {
    match &lifecycle.state {
        State::Running { .. } => "running",
        State::Draining(_) => "draining",
        State::Closing(closing) if closing.settles_until.is_some() => "closing, settling",
        State::Closing(_) => "closing",
        State::Closed(_) => "closed",
        State::Failing(_) => "failing",
        State::Settling(_) => "settling",
        State::Ended => "ended",
    }
}

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
            drained,
            Event::Deadline(Due::Place),
            [Action::CloseNow],
            "closing",
        )
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
