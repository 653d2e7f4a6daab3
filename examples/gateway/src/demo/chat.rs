//! The chat room of the demo: a line from one goes to all others, with the name of who said it.
//!
//! It must not know HTTP: it is given a socket on which the handshake is done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{self, Receiver, Sender};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::Socket;
use super::echo::{close, fail};

/// Lines that a slow reader may be behind; older ones are lost to it.
const BACKLOG: usize = 256;
const LONGEST_NAME: usize = 32;
const LONGEST_LINE: usize = 4096;

#[derive(Clone)]
pub(super) struct Room(Arc<Shared>);

struct Shared {
    members: Mutex<Members>,
    /// A line, and the number of the seat that it need not go to.
    lines: Sender<(u64, Utf8Bytes)>,
}

#[derive(Default)]
struct Members {
    seats_given: u64,
    names: BTreeMap<u64, String>,
}

impl Room {
    pub(super) fn open() -> Self {
        Self(Arc::new(Shared {
            members: Mutex::default(),
            lines: broadcast::channel(BACKLOG).0,
        }))
    }

    /// One member, from joining to leaving.
    pub(super) async fn chat(&self, mut socket: Socket, name: Option<String>) {
        let mut seat = self.join(name);
        if socket.send(Message::text(seat.welcome())).await.is_err() {
            return;
        }
        loop {
            let line = tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(line))) => {
                        seat.say(&line);
                        continue;
                    }
                    Some(Ok(Message::Binary(_))) => {
                        let reason = "this room speaks text".into();
                        return close(socket, CloseFrame { code: CloseCode::Unsupported, reason }).await;
                    }
                    // The library answers a ping and a Close frame by itself.
                    Some(Ok(_)) => continue,
                    Some(Err(error)) => return fail(socket, &error).await,
                    None => return,
                },
                line = seat.lines.recv() => match line {
                    Ok((sender, _)) if sender == seat.number => continue,
                    Ok((_, line)) => line,
                    Err(RecvError::Lagged(missed)) => format!("* {missed} lines went by too fast").into(),
                    Err(RecvError::Closed) => return,
                },
            };
            if socket.send(Message::Text(line)).await.is_err() {
                return;
            }
        }
    }

    fn join(&self, name: Option<String>) -> Seat {
        let mut members = self.members();
        members.seats_given += 1;
        let number = members.seats_given;
        let name = name
            .as_deref()
            .and_then(presentable)
            .unwrap_or_else(|| format!("guest {number}"));
        members.names.insert(number, name.clone());
        // Listening begins before anyone can see the name, so no line that answers it is missed.
        let lines = self.0.lines.subscribe();
        drop(members);
        let seat = Seat {
            room: self.clone(),
            number,
            name,
            lines,
        };
        seat.tell_others(format!("* {} joined", seat.name));
        seat
    }

    /// The names stay right whatever task panicked while it looked at them.
    fn members(&self) -> MutexGuard<'_, Members> {
        self.0.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the room; to drop it is to leave.
struct Seat {
    room: Room,
    number: u64,
    name: String,
    lines: Receiver<(u64, Utf8Bytes)>,
}

impl Seat {
    fn welcome(&self) -> String {
        let names: Vec<_> = self.room.members().names.values().cloned().collect();
        format!("* you are {}; here now: {}", self.name, names.join(", "))
    }

    fn say(&self, line: &str) {
        let line = line.trim();
        if !line.is_empty() {
            self.tell_others(format!("{}: {}", self.name, truncate(line, LONGEST_LINE)));
        }
    }

    fn tell_others(&self, line: String) {
        // An error says that nobody listens.
        let _ = self.room.0.lines.send((self.number, line.into()));
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.members().names.remove(&self.number);
        self.tell_others(format!("* {} left", self.name));
    }
}

/// A name that cannot pretend to be a line of the room: no control characters, no leading star, not too long.
fn presentable(name: &str) -> Option<String> {
    let name: String = name
        .chars()
        .filter(|character| !character.is_control() && *character != ':')
        .collect();
    let name = truncate(name.trim_start_matches(['*', ' ']).trim(), LONGEST_NAME).to_owned();
    (!name.is_empty()).then_some(name)
}

/// At most so many characters, never cut within one.
fn truncate(text: &str, characters: usize) -> &str {
    text.char_indices()
        .nth(characters)
        .map_or(text, |(end, _)| &text[..end])
}
