//! What an upstream's answer becomes for a client on a raw connection: its head, the framing of its body, and whether either connection
//! goes on after it.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING};
use http::{StatusCode, Version};

use super::asking::Leg;
use super::client::Client;
use super::connection;
use super::passage::Reframe;
use crate::error::Phase;
use crate::header::rules::PreparedRules;
use crate::header::trailer::Ending;
use crate::header::{date, final_answer};
use crate::http1::{AnyFields, BodyLength, FieldList, HeadError, ResponseHead};
use crate::service::config::RelayConfig;
use crate::service::failure::Failure;

/// An upstream's answer, to be relayed.
pub(super) struct Answered<K, S> {
    pub(super) leg: Box<Leg<K, S>>,
    pub(super) head: ResponseHead<FieldList>,
    pub(super) reframe: Reframe,
    pub(super) length: BodyLength,
    /// Of a trailer section, where there may be one.
    pub(super) ending: Option<Arc<Ending>>,
    /// The upstream keeps its connection.
    pub(super) is_kept: bool,
}

/// Makes of the upstream's answer the one that the client gets.
pub(super) fn judge<S, K, U>(
    client: &mut Client<S>,
    leg: Box<Leg<K, U>>,
    mut head: ResponseHead<FieldList>,
    rules: &PreparedRules,
    config: &RelayConfig,
) -> Result<Answered<K, U>, Failure> {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        // Nobody has asked for a switch here. Status alone opens nothing.
        return Err(Failure::unasked_switch());
    }
    let length = BodyLength::of_answer(head.version, head.status, &head.fields, &client.method)
        .map_err(|error| Failure::new(Phase::ResponseHead, HeadError::from(error)))?;
    let is_kept = connection::is_kept(&head, length, leg.upload.is_done());
    let reframe = match length {
        BodyLength::Chunked if client.version < Version::HTTP_11 => Reframe::Unchunk,
        BodyLength::UntilClose if client.version >= Version::HTTP_11 => Reframe::Chunk,
        _ => Reframe::Not,
    };
    // In HTTP/1.0 only the end of the connection ends what has no length.
    let until_close =
        reframe == Reframe::Unchunk || length == BodyLength::UntilClose && reframe == Reframe::Not;
    // RFC 9112, section 9.3: an answer that comes before the request is whole may be the last. Whether the client sends the rest is
    // not known, and it should know that nothing behind it will be read (section 9.6).
    let closes = client.closes || until_close || !leg.upload.is_read() || config.is_draining();
    let fields = &mut head.fields;
    let ending = match (length, reframe) {
        (BodyLength::Chunked, Reframe::Not) => {
            Some(Ending::of_response(fields, Some(rules.rules()), head.status))
        }
        _ => None,
    };
    final_answer::make_ready(fields, head.status, client.version, closes)
        .map_err(|error| Failure::unusable(error.into()))?;
    if matches!(length, BodyLength::Chunked | BodyLength::UntilClose) {
        fields.take_out(&CONTENT_LENGTH);
        if !until_close {
            fields.set(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    rules.apply_to_answer(fields, head.status);
    date::add(fields);
    client.closes = closes;
    Ok(Answered {
        leg,
        head,
        reframe,
        length,
        ending,
        is_kept,
    })
}
