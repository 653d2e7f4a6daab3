//! Whether an upstream keeps silent until it is asked, as one that speaks HTTP does.

use tokio::io::AsyncRead;

use crate::error::{Cause, Error};
use crate::wire;

/// Why an upstream is not asked on this fresh connection, if there is a reason: what comes before the request cannot be an answer to it
/// (CVE-2026-1642).
pub(crate) async fn unasked<S: AsyncRead + Unpin>(upstream: &mut S) -> Option<Error> {
    let cause = match wire::read_already(upstream).await? {
        Ok(0) => Cause::Closed,
        Ok(_) => Cause::TalksFirst,
        Err(error) => Cause::of_upstream(error),
    };
    Some(Error::unsent(cause))
}
