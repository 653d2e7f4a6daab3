//! What is tried after the switch: pings, messages where the origin is known to echo, silence, and the end of one direction.

use http::request::Parts;
use switchover::diagnose::{Conversation, Echo, End, Ending};
use switchover::websocket::{CloseCode, ClosePayload, OpCode};
use tokio::time::{Duration, Instant};

use super::frames::{Event, Frames};
use super::protocol;

/// More than a length of two bytes can say, and more than the usual buffers hold.
const LARGE: usize = 70 * 1024;

pub(crate) struct Talk<'a> {
    frames: &'a mut Frames,
    limit: Duration,
    since: Instant,
    known: Conversation,
    /// The origin's first frame.
    arrived: Option<Parts>,
    greeted: bool,
    /// Whether pings are answered.
    answers: bool,
    over: bool,
}

/// What was found, and what the origin says has arrived there.
pub(crate) async fn talk(
    frames: &mut Frames,
    is_doctor: bool,
    limit: Duration,
    idle: Option<Duration>,
) -> (Conversation, Option<Parts>) {
    let mut talk = Talk {
        frames,
        limit,
        since: Instant::now(),
        known: Conversation::default(),
        arrived: None,
        greeted: false,
        answers: false,
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
    if is_doctor {
        talk.half_close().await;
    } else if !talk.over {
        talk.frames
            .close(ClosePayload::new(CloseCode::NORMAL_CLOSURE, ""))
            .await;
    }
    (talk.known, talk.arrived)
}

impl Talk<'_> {
    fn know(&mut self, fact: impl FnOnce(Conversation) -> Conversation) {
        self.known = fact(std::mem::take(&mut self.known));
    }

    /// The next frame that is a message or a pong. None where nothing comes in time, or nothing any more.
    async fn next(&mut self, limit: Duration) -> Option<(OpCode, Vec<u8>)> {
        let deadline = Instant::now() + limit;
        loop {
            let last = self.frames.last;
            let left = deadline.saturating_duration_since(Instant::now());
            match self.frames.next(left).await {
                Event::Frame(header, payload) if header.opcode == OpCode::Ping => {
                    self.know(Conversation::heard);
                    let _ = self.frames.send(OpCode::Pong, &payload).await;
                }
                Event::Frame(header, payload) => {
                    if let Some(arrived) = protocol::arrived(&payload) {
                        (self.arrived, self.greeted) = (Some(arrived), true);
                        continue;
                    }
                    if !header.opcode.is_control() {
                        self.know(Conversation::heard);
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
                Event::Silence => return None,
            }
        }
    }

    fn ended(&mut self, ending: Ending, last: Instant) {
        self.over = true;
        let end = End {
            ending,
            after: self.since.elapsed(),
            silent: last.elapsed(),
        };
        self.know(|known| known.ended(end));
    }

    async fn ping(&mut self, payload: &[u8]) -> bool {
        // What cannot be sent is not answered; reading tells why.
        let _ = self.frames.send(OpCode::Ping, payload).await;
        let deadline = Instant::now() + self.limit;
        while !self.over {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.next(left).await {
                Some((OpCode::Pong, pong)) if pong == payload => return true,
                Some(_) => {}
                None => return false,
            }
        }
        false
    }

    async fn pings(&mut self) {
        self.answers = self.ping(b"first").await;
        let answered = self.answers;
        self.know(|known| known.first_ping(answered));
        if !answered && !self.over {
            self.answers = self.ping(b"second").await;
            let answered = self.answers;
            self.know(|known| known.later_ping(answered));
        }
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
        let _ = self.frames.send(OpCode::Text, &message).await;
        let mut came: Vec<u8> = Vec::new();
        while came.len() < message.len() {
            match self.next(self.limit).await {
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

    /// Says nothing for so long, but for the pongs that a server asks for. Then a ping shows whether anyone is still there.
    async fn idle(&mut self, idle: Duration) {
        let deadline = Instant::now() + idle;
        while !self.over && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            self.next(left).await;
        }
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
        self.frames.end_writes().await;
        let deadline = Instant::now() + self.limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.frames.next(left).await {
                Event::Frame(_, payload) if payload == protocol::STILL_OPEN => {
                    return self.know(|known| known.half_close(true));
                }
                Event::Frame(..) => {}
                _ => return self.know(|known| known.half_close(false)),
            }
        }
    }
}
