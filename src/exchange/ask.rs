//! This file decides when another upstream is asked the same: where the previous one has given no answer that counts, and the
//! client has not received a byte of one.

use super::config::UpgradeConfig;
use super::outgoing::Outgoing;
use super::{Answer, Exchange};
use crate::connect::Connect;
use crate::error::Error;
use crate::tunnel::Timer;

/// Steps (5) to (7) for a request without a body: the first head that the client gets to see, of whichever upstream.
///
/// An upstream that fails or declines is followed by another as long as the connector has one and wants it
/// ([`Attempts`](crate::connect::Attempts)). Where that leads to none, the last word is that of the one before. `timer` is for all
/// deadlines from here on.
pub(crate) async fn ask<'a, C: Connect>(
    connect: &C,
    outgoing: &'a Outgoing,
    config: &UpgradeConfig,
    mut timer: Timer,
) -> Result<Answer<'a, C::Stream>, Error> {
    let mut former: Option<Box<Result<_, _>>> = None;
    loop {
        let tries = outgoing.tries();
        let answer = ask_one(connect, outgoing, config, std::mem::take(&mut timer)).await;
        let goes_on = match &answer {
            Err(error) if error.is_exhaustion() => return former.map_or(answer, |former| *former),
            Err(error) => outgoing.goes_on_after(error),
            Ok(Answer::Declined(..)) => outgoing.goes_on_after_decline(),
            Ok(Answer::Interim(..) | Answer::Switched(..)) => false,
        };
        let answer = match (answer, former.take()) {
            // An answer that another upstream was to better is the last word where no other has one.
            (Err(_), Some(passed)) if passed.is_ok() => *passed,
            (answer, _) => answer,
        };
        // One that was tried is not tried again: this ends.
        if !goes_on || outgoing.tries() == tries {
            return answer;
        }
        former = Some(Box::new(answer));
    }
}

async fn ask_one<'a, C: Connect>(
    connect: &C,
    outgoing: &'a Outgoing,
    config: &UpgradeConfig,
    timer: Timer,
) -> Result<Answer<'a, C::Stream>, Error> {
    let mut exchange = Exchange::start(connect, outgoing, config, timer).await?;
    loop {
        match exchange.next().await? {
            // Not for the client, which has not asked for it.
            Answer::Interim(next, None) => exchange = *next,
            answer => return Ok(answer),
        }
    }
}
