//! The tunnel's end of its watch: what it is asked is passed on before bytes move, and what has moved is written down after.
//!
//! The one place where the registry and the engine meet.

use std::sync::Arc;
use std::task::Context;

use tokio::time::Instant;

use super::TunnelId;
use super::entry::Entry;
use super::listing::Listing;
use super::watch::TunnelWatch;
use crate::side::Side;
use crate::tunnel::engine::Engine;
use crate::tunnel::traffic::{Traffic, TunnelError};

/// The tunnel's end of its watch. 8 bytes. When it is dropped, the tunnel is gone.
pub(crate) struct Watched {
    entry: Arc<Entry>,
}

impl Watched {
    /// Of a tunnel that is in no registry.
    pub(in crate::tunnel) fn unlisted(is_framed: bool) -> Self {
        Watched::of(Arc::new(Entry::new(
            Listing::default(),
            TunnelId::UNLISTED,
            None,
            is_framed,
        )))
    }

    pub(super) fn of(entry: Arc<Entry>) -> Self {
        Watched { entry }
    }

    pub(crate) fn watch(&self) -> TunnelWatch {
        TunnelWatch {
            entry: self.entry.clone(),
        }
    }

    /// Which tunnel it is, if it is in a registry.
    pub(in crate::tunnel) fn id(&self) -> Option<TunnelId> {
        self.is_listed().then_some(self.entry.id)
    }

    /// Whether it is in a registry.
    pub(in crate::tunnel) fn is_listed(&self) -> bool {
        self.entry.kind.is_some()
    }

    /// Before the tunnel moves anything: passes on that it is to end, or returns when it is to.
    pub(in crate::tunnel) fn listen(&self, cx: &mut Context<'_>, engine: &mut Engine) -> Option<Instant> {
        self.entry.register(cx.waker());
        // After that: an end that was appointed before there was a waker is seen here.
        let due = self.entry.due()?;
        let now = Instant::now();
        if now < due {
            return Some(due);
        }
        let (end, request) = self.entry.take_due(now)?;
        engine.end(end, &request);
        None
    }

    /// After the tunnel has moved what it could: writes that down.
    pub(in crate::tunnel) fn record(&self, engine: &Engine) {
        for side in [Side::Downstream, Side::Upstream] {
            let half = engine.half(side);
            let delivered = half.delivered();
            // Most often one side alone has sent something.
            if !self.entry.has_news(side, delivered) {
                continue;
            }
            // First: of what is written down as spliced, all is among the bytes.
            #[cfg(feature = "metrics")]
            self.entry.note_spliced(side, half.outlet().spliced());
            self.entry.moved(side, delivered, half.outlet().moved_at());
        }
        self.entry.note_state(engine.is_half_closed(), engine.is_ending());
        if let Some(frames) = self.entry.frames() {
            for side in [Side::Downstream, Side::Upstream] {
                if let Some(framed) = engine.half(side).framed() {
                    frames.note(side, framed.counts_revision(), || framed.counted());
                }
            }
        }
    }

    /// The tunnel has ended and its streams are closed.
    pub(in crate::tunnel) fn conclude(self, result: &Result<Traffic, TunnelError>) {
        let traffic = match result {
            Ok(traffic) => traffic,
            Err(error) => error.traffic(),
        };
        self.leave(Some(traffic));
    }

    fn leave(&self, traffic: Option<&Traffic>) {
        self.entry.close();
        if let Some(kind) = &self.entry.kind {
            kind.tunnels.remove(&self.entry, traffic);
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.entry.is_open() {
            self.leave(None);
        }
    }
}
