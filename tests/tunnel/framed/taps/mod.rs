//! A tunnel under a tap, or with messages of the caller's own.

#[cfg(target_os = "linux")]
mod bulk;
mod compressed;
mod decisions;
mod injection;
mod invisible;
mod observing;
mod waiting;
mod windows;

use bytes::Bytes;
use switchover::tunnel::{Decision, EndRequest, MessageHead, MessageInjector, MessageTap, Tap, Verdict};

use super::*;

type Decide = Box<dyn FnMut(&MessageHead) -> Decision + Send>;
type Read = Box<dyn FnMut(&MessageHead, &Bytes) -> Verdict + Send>;
type Observe = Box<dyn FnMut(&MessageHead, &[u8], bool) -> Option<EndRequest> + Send>;

/// A tap of closures: passes everything, unless a case says otherwise.
pub(crate) struct Closures {
    decide: Decide,
    read: Read,
    observe: Observe,
}

impl Closures {
    pub(crate) fn new(decide: impl FnMut(&MessageHead) -> Decision + Send + 'static) -> Self {
        Closures {
            decide: Box::new(decide),
            read: Box::new(|_, _| Verdict::Pass),
            observe: Box::new(|_, _, _| None),
        }
    }

    pub(crate) fn read(self, read: impl FnMut(&MessageHead, &Bytes) -> Verdict + Send + 'static) -> Self {
        let read = Box::new(read);
        Closures { read, ..self }
    }

    pub(crate) fn observe(
        self,
        observe: impl FnMut(&MessageHead, &[u8], bool) -> Option<EndRequest> + Send + 'static,
    ) -> Self {
        let observe = Box::new(observe);
        Closures { observe, ..self }
    }
}

impl MessageTap for Closures {
    fn decide(&mut self, head: &MessageHead) -> Decision {
        (self.decide)(head)
    }

    fn read(&mut self, head: &MessageHead, payload: &Bytes) -> Verdict {
        (self.read)(head, payload)
    }

    fn observe(&mut self, head: &MessageHead, piece: &[u8], is_last: bool) -> Option<EndRequest> {
        (self.observe)(head, piece, is_last)
    }
}

/// A tunnel under this tap, and the handle that puts messages into it.
pub(crate) fn tapped(
    near: Side,
    table: Table,
    websocket: WebSocketConfig,
    tap: impl Into<Option<Tap>>,
) -> (Talk, MessageInjector) {
    let drain = switchover::tunnel::Drain::new();
    let mut tunnel = seat(near, table.near, table.far)
        .config(unlimited().half_close_timeout(seconds(10)))
        .websocket(websocket)
        .tap(tap);
    let (watch, injector) = (tunnel.watch(), tunnel.injector());
    let talk = Talk {
        near: Peer::new(table.near_peer, near),
        far: Peer::new(table.far_peer, !near),
        tunnel: tokio::spawn(tunnel.drain(drain.signal()).run()),
        drain,
        watch,
    };
    (talk, injector)
}

/// The same with a table that is large enough for everything, and without the handle.
pub(crate) fn under(near: Side, tap: Closures) -> Talk {
    tapped(near, Table::new(100_000), bare(), Tap::new(tap)).0
}

/// Reads the text of one side up to this many bytes; everything else passes.
pub(crate) fn reads_text_of(side: Side, limit: usize) -> Closures {
    Closures::new(move |head| match head.is_text() && head.sender() == side {
        true => Decision::Read(limit),
        false => Decision::Pass,
    })
}

pub(crate) fn close(code: u16, reason: &str) -> EndRequest {
    EndRequest::close(CloseCode(code), reason).unwrap()
}
