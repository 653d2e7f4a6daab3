//! Floor 3: why an upgrade fails, and at which hop. Facts of an attempt in, findings out. Pure, on `http` types: no IO, no
//! clock.
//!
//! The caller makes an attempt and records what is known of it ([`Attempt`]): what was sent, how far it came, the answer
//! ([`Answer`]), what became of the connection after a 101 ([`Conversation`]), and, where the origin reports it, what arrived there.
//! [`Attempt::findings`] says what is wrong: each [`Finding`] has a stable name, one sentence, what to change, and a source.
//! Of several attempts, from the public URL inwards, [`Chain`] says between which two of them the upgrade is lost.
//!
//! The program `doctor` makes such attempts; a gateway of one's own can do so to its upstreams. Symptoms, causes and
//! remedies are listed in the manual, under "diagnose".
//!
//! ```
//! use switchover::diagnose::{Answer, Attempt, Diagnosis};
//!
//! let (request, ()) = http::Request::get("http://chat.example/ws")
//!     .header("host", "chat.example")
//!     .header("connection", "Upgrade")
//!     .header("upgrade", "websocket")
//!     .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
//!     .header("sec-websocket-version", "13")
//!     .body(())
//!     .unwrap()
//!     .into_parts();
//! let (answer, ()) = http::Response::builder()
//!     .status(400)
//!     .header("server", "nginx/1.22.1")
//!     .body(())
//!     .unwrap()
//!     .into_parts();
//! let answer = Answer::from(answer).body("Can \"Upgrade\" only to \"WebSocket\".");
//! let attempt = Attempt::new(request).answered(answer);
//!
//! let findings = attempt.findings();
//! assert_eq!(findings[0].diagnosis(), Diagnosis::UpgradeLost);
//! assert_eq!(findings[0].name(), "upgrade-lost");
//! assert_eq!(findings[0].seen(), Some("nginx/1.22.1 (Server)"));
//! assert!(findings[0].change().contains("proxy_set_header Upgrade $http_upgrade"));
//! ```

mod answer;
mod arrived;
mod attempt;
mod chain;
mod conversation;
mod declined;
mod diagnosis;
mod failure;
mod finding;
mod idle;
mod lines;
mod product;
mod redirect;
mod said;
mod severity;
mod status;
mod switch;

pub use answer::{Answer, BodyKind};
pub use attempt::{Attempt, Variation};
pub use chain::Chain;
pub use conversation::{Conversation, Echo, End, Ending};
pub use diagnosis::Diagnosis;
pub use failure::{Failure, TlsFault};
pub use finding::Finding;
pub use product::Product;
pub use severity::Severity;
