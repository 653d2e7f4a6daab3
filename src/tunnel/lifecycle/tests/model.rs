//! Random sequences of events on a model of two directions: it always ends, and loses nothing without a reason.

use proptest::prelude::*;

use super::*;
use crate::tunnel::websocket::Refusal;

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
                    before_ping: 0,
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
