//! No test waits for ever, and a test that has waited too long names what it waited for.

use std::future::Future;
use std::time::Duration;

/// How long the scripted peers wait for anything before they panic: far longer than a busy machine needs.
pub const TIMEOUT: Duration = Duration::from_secs(20);

pub(super) async fn within<T>(limit: Duration, awaited: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, future).await {
        Ok(output) => output,
        Err(_) => panic!("timed out after {limit:?} waiting for {awaited}"),
    }
}

/// Bytes as a test's author would have written them.
pub(super) fn show(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}
