//! Upstreams that lose their tunnels: one that was on its way there when the others were ended has its turn as well.
//!
//! Knows names and a window. It must not know why an upstream leaves, nor how long.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::drain_state::Window;
use crate::tunnel::websocket::EndRequest;

/// An upstream that leaves.
pub(super) struct Leaving {
    upstream: Weak<str>,
    /// Whether it still does.
    leaves: Box<dyn Fn() -> bool + Send + Sync>,
    request: EndRequest,
    window: Window,
}

impl Leaving {
    /// `leaves` is asked with the registry locked: it looks at a value and does nothing else.
    pub(super) fn new(
        upstream: &Arc<str>,
        leaves: impl Fn() -> bool + Send + Sync + 'static,
        request: EndRequest,
        window: Duration,
    ) -> Self {
        Leaving {
            upstream: Arc::downgrade(upstream),
            leaves: Box::new(leaves),
            request,
            window: Window::new(Duration::ZERO, window),
        }
    }

    /// Whether it is this one.
    pub(super) fn is(&self, upstream: &Arc<str>) -> bool {
        std::ptr::addr_eq(self.upstream.as_ptr(), Arc::as_ptr(upstream))
    }

    /// Whether it leaves no more, or has left: no tunnel opens to a name that nobody has.
    pub(super) fn is_over(&self) -> bool {
        self.upstream.strong_count() == 0 || !(self.leaves)()
    }

    pub(super) fn window(&self) -> Window {
        self.window
    }

    pub(super) fn request(&self) -> &EndRequest {
        &self.request
    }
}
