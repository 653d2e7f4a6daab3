//! An app with a chat. A message of more than 4 KiB, or beyond ten in a second, goes nowhere, and its sender receives a notice. A sender
//! that does not stop is sent away. Others notice nothing.

#![forbid(unsafe_code)]

use std::time::{Duration, Instant};

use axum::Router;
use switchover::service::{ServiceConfig, UpgradeService};
use switchover::tunnel::{
    Decision, EndRequest, MessageHead, MessageInjector, MessageTap, Tap, WebSocketConfig,
};
use switchover::websocket::CloseCode;
use switchover::{Side, TcpConnect, UpgradeConfig};

/// What a message may come to in all of its frames.
pub const LONGEST: usize = 4096;
/// How many messages may come in a second.
pub const MOST: usize = 10;
/// How many messages are refused before their sender is sent away.
pub const REFUSALS: usize = 5;

/// Decides about what one client says.
#[derive(Default)]
struct Moderator {
    injector: Option<MessageInjector>,
    /// When the last messages came, at most [`MOST`] of them.
    recent: Vec<Instant>,
    refused: usize,
}

impl Moderator {
    /// The message goes nowhere, and its sender receives a notice.
    fn refuse(&mut self, why: &'static str) -> Decision {
        self.refused += 1;
        if self.refused > REFUSALS {
            let close = EndRequest::close(CloseCode::POLICY_VIOLATION, "too many refused messages");
            return Decision::Close(close.unwrap_or_default());
        }
        if let Some(injector) = self.injector.clone() {
            // A tap does not wait.
            tokio::spawn(async move { injector.send_text(Side::Downstream, why).await });
        }
        Decision::Drop
    }

    fn is_too_fast(&mut self) -> bool {
        let now = Instant::now();
        self.recent
            .retain(|at| now.duration_since(*at) < Duration::from_secs(1));
        let is_too_fast = self.recent.len() >= MOST;
        if !is_too_fast {
            self.recent.push(now);
        }
        is_too_fast
    }
}

impl MessageTap for Moderator {
    fn start(&mut self, injector: &MessageInjector) {
        self.injector = Some(injector.clone());
    }

    fn decide(&mut self, head: &MessageHead) -> Decision {
        if head.sender() == Side::Upstream {
            return Decision::Pass;
        }
        if head.first_frame_length() > LONGEST as u64 {
            return self.refuse("refused: too long");
        }
        if self.is_too_fast() {
            return self.refuse("refused: too fast");
        }
        match head.is_whole() {
            true => Decision::Pass,
            // How long it is shows only with its last frame. Beyond the limit its sender is sent away with 1009.
            false => Decision::Read(LONGEST),
        }
    }
}

/// `/chat`, tunnelled to this server.
pub fn router(chat: &str) -> Router {
    let websocket = WebSocketConfig::default().close_timeout(Duration::from_millis(100));
    let upgrade = UpgradeConfig::default()
        .websocket(websocket)
        .tap(|_, _| Some(Tap::new(Moderator::default())));
    let chat = UpgradeService::new(TcpConnect::to(chat)).config(ServiceConfig::default().upgrade(upgrade));
    Router::new().route_service("/chat", chat)
}
