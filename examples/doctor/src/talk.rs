//! What is tried after the switch: pings, messages where the origin is known to echo, silence, and the end. Each step ends by
//! its deadline, and all together after a number of frames.

use http::request::Parts;
use switchover::diagnose::{Conversation, Echo, End, Ending};
use switchover::websocket::{CloseCode, ClosePayload, OpCode};
use tokio::time::{Duration, Instant};

use super::clock::Clock;
use super::frames::{Event, Frames};
use super::protocol;

/// More than a length of two bytes can say, and more than the usual buffers hold.
const LARGE: usize = 70 * 1024;

/// More frames than any server sends while it is asked for a pong. Those in a time of silence are not counted.
const MAX_FRAMES: u64 = 10_000;

/// The ping that is sent at once after the 101.
const FIRST: &[u8] = b"first";

/// For the answer to a Close: a library gives it at once.
const CLOSE_TIME: Duration = Duration::from_secs(2);

pub(crate) struct Talk<'a> {
    frames: &'a mut Frames,
    clock: Clock,
    since: Instant,
    known: Conversation,
    /// The origin's first frame.
    arrived: Option<Parts>,
    greeted: bool,
    /// Whether pings are answered.
    answers: bool,
    /// How many frames may still come.
    allowed: u64,
    over: bool,
}

/// What was found, and what the origin says has arrived there.
pub(crate) async fn talk(
    frames: &mut Frames,
    is_doctor: bool,
    clock: Clock,
    idle: Option<Duration>,
) -> (Conversation, Option<Parts>) {
    let mut talk = Talk {
        frames,
        clock,
        since: Instant::now(),
        known: Conversation::default(),
        arrived: None,
        greeted: false,
        answers: false,
        allowed: MAX_FRAMES,
        over: false,
    };
    talk.pings().await;
    if is_doctor {
        let greeted = talk.greeted;
        talk.know(|known| known.greeting(greeted));
        talk.messages().await;
    }
    if let Some(idle) = idle {
        talk.idle(idle).await;
    }
    match is_doctor {
        true => talk.half_close().await,
        false => talk.close().await,
    }
    (talk.known, talk.arrived)
}

impl Talk<'_> {
    fn know(&mut self, fact: impl FnOnce(Conversation) -> Conversation) {
        self.known = fact(std::mem::take(&mut self.known));
    }

    /// The next frame that is a message or a pong. None where nothing comes in time, or nothing any more.
    async fn next(&mut self, until: Instant) -> Option<(OpCode, Vec<u8>)> {
        loop {
            if self.frames.count >= self.allowed {
                self.flooded();
                return None;
            }
            let last = self.frames.last;
            match self.frames.next(until).await {
                Event::Frame(header, payload) if header.opcode == OpCode::Ping => {
                    self.know(Conversation::unprompted_frame);
                    let _ = self.frames.send(OpCode::Pong, &payload, until).await;
                }
                Event::Frame(header, payload) => {
                    if let Some(arrived) = protocol::arrived(&payload) {
                        (self.arrived, self.greeted) = (Some(arrived), true);
                        continue;
                    }
                    if !header.opcode.is_control() {
                        self.know(Conversation::unprompted_frame);
                    }
                    return Some((header.opcode, payload));
                }
                Event::End(ending) => {
                    self.ended(ending, last);
                    return None;
                }
                Event::Invalid(error) => {
                    self.over = true;
                    self.know(|known| known.invalid(error));
                    return None;
                }
                Event::Late => return None,
            }
        }
    }

    fn flooded(&mut self) {
        self.over = true;
        let (count, within) = (self.frames.count, self.since.elapsed());
        self.know(|known| known.flooded(count, within));
    }

    fn ended(&mut self, ending: Ending, last: Instant) {
        self.over = true;
        let end = End::new(ending, self.since.elapsed(), last.elapsed());
        self.know(|known| known.ended(end));
    }

    async fn ping(&mut self, payload: &[u8]) -> bool {
        let until = self.clock.step();
        // What cannot be sent is not answered; reading shows why.
        let _ = self.frames.send(OpCode::Ping, payload, until).await;
        while !self.over {
            match self.next(until).await {
                Some((OpCode::Pong, pong)) if pong == payload => return true,
                Some((OpCode::Pong, pong)) if pong == FIRST => self.first_came_late(),
                Some(_) => self.know(Conversation::unprompted_frame),
                None => return false,
            }
        }
        false
    }

    async fn pings(&mut self) {
        self.answers = self.ping(FIRST).await;
        let answered = self.answers;
        self.know(|known| known.first_ping(answered));
        if answered || self.over {
            return;
        }
        let answered = self.ping(b"second").await;
        self.answers |= answered;
        let answers = self.answers;
        // A connection that has ended meanwhile says nothing about pings.
        if answers || !self.over {
            self.know(|known| known.later_ping(answers));
        }
    }

    /// The peer was slow, and no frame was lost.
    fn first_came_late(&mut self) {
        self.answers = true;
        self.know(|known| known.first_ping(true));
    }

    async fn messages(&mut self) {
        if self.over {
            return;
        }
        let short = self.echo(b"switchover".to_vec()).await;
        self.know(|known| known.short_message(short));
        if self.over {
            return;
        }
        let letters = (b'a'..=b'z').cycle().take(LARGE).collect();
        let large = self.echo(letters).await;
        self.know(|known| known.large_message(large));
    }

    async fn echo(&mut self, message: Vec<u8>) -> Echo {
        let until = self.clock.step();
        let _ = self.frames.send(OpCode::Text, &message, until).await;
        let mut came: Vec<u8> = Vec::new();
        while came.len() < message.len() {
            match self.next(until).await {
                // In fragments, if a hop makes some.
                Some((OpCode::Text | OpCode::Continuation, part)) => came.extend(part),
                Some(_) => {}
                None if came.is_empty() => return Echo::Missing,
                None => return Echo::Changed,
            }
        }
        if came == message {
            Echo::Same
        } else {
            Echo::Changed
        }
    }

    /// Says nothing for so long, but for the pongs that a server asks for. Then a ping shows whether anything is still there.
    async fn idle(&mut self, idle: Duration) {
        let until = self.clock.within(idle);
        self.allowed = u64::MAX;
        while !self.over && Instant::now() < until {
            self.next(until).await;
        }
        self.allowed = self.frames.count.saturating_add(MAX_FRAMES);
        if self.over || !self.answers {
            return;
        }
        let last = self.frames.last;
        if !self.ping(b"after silence").await {
            let ending = self.known.end().map_or(Ending::Vanished, |end| end.ending);
            self.ended(ending, last);
        }
    }

    async fn half_close(&mut self) {
        if self.over {
            return;
        }
        let until = self.clock.step();
        self.frames.end_writes(until).await;
        loop {
            match self.frames.next(until).await {
                Event::Frame(_, payload) if payload == protocol::STILL_OPEN => {
                    return self.know(|known| known.half_close(true));
                }
                Event::Frame(..) => {}
                _ => return self.know(|known| known.half_close(false)),
            }
        }
    }

    /// Closes as a client does. Whatever else comes meanwhile is nobody's fault.
    async fn close(&mut self) {
        if self.over {
            return;
        }
        let until = self.clock.step().min(self.clock.within(CLOSE_TIME));
        self.frames
            .close(ClosePayload::new(CloseCode::NORMAL_CLOSURE, ""), until)
            .await;
        loop {
            match self.frames.next(until).await {
                Event::Frame(..) => {}
                Event::End(_) => return self.know(|known| known.close(true)),
                Event::Late => return self.know(|known| known.close(false)),
                Event::Invalid(_) => return,
            }
        }
    }
}
