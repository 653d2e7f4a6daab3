//! A gateway for an API that streams what a language model writes, as text messages. Each key has a budget of tokens. They are counted
//! as they pass, without holding a message back, and a client whose key has used them up is sent a Close 4008.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use switchover::gateway::{Gateway, GatewayConfig};
use switchover::tunnel::{Decision, EndRequest, MessageHead, MessageTap, Tap, WebSocketConfig};
use switchover::websocket::CloseCode;
use switchover::{Side, TcpConnect};
use tokio::net::TcpListener;

/// How many tokens each key has left. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budgets {
    initial: u64,
    left: Arc<Mutex<HashMap<String, Arc<AtomicU64>>>>,
}

impl Budgets {
    /// So many tokens for each key.
    pub fn new(initial: u64) -> Self {
        Budgets {
            initial,
            left: Arc::default(),
        }
    }

    /// What this key has left: the same for all of its tunnels.
    pub fn of(&self, key: &str) -> Arc<AtomicU64> {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = left
            .entry(key.to_owned())
            .or_insert_with(|| Arc::new(AtomicU64::new(self.initial)));
        Arc::clone(budget)
    }
}

/// Counts the tokens of one tunnel. A token is a word here; a real one would be the model's.
struct Meter {
    left: Arc<AtomicU64>,
    /// A word has begun that the next piece may continue.
    is_in_word: bool,
}

impl Meter {
    /// The words that begin in this piece.
    fn count(&mut self, piece: &[u8]) -> u64 {
        let mut words = 0;
        for byte in piece {
            let is_space = byte.is_ascii_whitespace();
            words += u64::from(!is_space && !self.is_in_word);
            self.is_in_word = !is_space;
        }
        words
    }

    /// Whether that was the last of the budget.
    fn spend(&self, tokens: u64) -> bool {
        let spend = |left: u64| Some(left.saturating_sub(tokens));
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        before.unwrap_or_default() <= tokens
    }
}

impl MessageTap for Meter {
    fn decide(&mut self, head: &MessageHead) -> Decision {
        match head.sender() {
            Side::Upstream if head.is_text() => Decision::Observe,
            // A question of somebody who has nothing left.
            Side::Downstream if self.left.load(Ordering::Relaxed) == 0 => Decision::Close(budget_spent()),
            _ => Decision::Pass,
        }
    }

    fn observe(&mut self, _: &MessageHead, piece: &[u8], is_last: bool) -> Option<EndRequest> {
        let words = self.count(piece);
        self.is_in_word &= !is_last;
        (words > 0 && self.spend(words)).then(budget_spent)
    }
}

fn budget_spent() -> EndRequest {
    EndRequest::close(CloseCode(4008), "budget spent").unwrap_or_default()
}

/// Serves clients until the listener fails.
///
/// # Errors
///
/// The listener's.
pub async fn serve(listener: TcpListener, model: String, budgets: Budgets) -> io::Result<()> {
    let websocket = WebSocketConfig::default().close_timeout(Duration::from_secs(1));
    let config = GatewayConfig::default().websocket(websocket).tap(move |head, _| {
        let key = head
            .headers
            .get("authorization")
            .and_then(|key| key.to_str().ok());
        Some(Tap::new(Meter {
            left: budgets.of(key.unwrap_or_default()),
            is_in_word: false,
        }))
    });
    let gateway = Gateway::builder(TcpConnect::to(model)).config(config).build();
    loop {
        let (client, peer) = listener.accept().await?;
        let gateway = gateway.clone();
        tokio::spawn(async move { gateway.serve(client, peer).await });
    }
}
