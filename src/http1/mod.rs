//! Floor 1: HTTP/1.1 message heads, from bytes and back to bytes. Pure: no IO, no clock.
//!
//! For proxies that read their own sockets. [`parse_request`] and [`parse_response`] take what has arrived so far
//! and say [`Parsed::Partial`], [`Parsed::Complete`] with the count of bytes consumed, or a typed [`HeadError`].
//! What follows the head in the buffer is the caller's: it is never looked at.
//!
//! The parser is strict where leniency has been used to smuggle requests: lines end with CRLF and nothing else, no
//! line folding, no white space before a colon, no control bytes, one framing per message, one valid `Host`.
//!
//! ```
//! use switchover::http1::{HeadLimits, Parsed, parse_request};
//!
//! let bytes = b"GET /chat HTTP/1.1\r\nHost: example.com\r\n\r\nthe rest";
//! let limits = HeadLimits::default();
//! assert!(matches!(parse_request(&bytes[..20], &limits), Ok(Parsed::Partial)));
//! let Ok(Parsed::Complete { parts, consumed }) = parse_request(bytes, &limits) else { panic!() };
//! assert_eq!(parts.uri, "/chat");
//! assert_eq!(&bytes[consumed..], b"the rest");
//! ```

mod answer_head;
mod any_fields;
mod any_request;
mod body;
mod chunked;
mod encode;
mod error;
mod field_list;
mod fields;
mod framing;
mod host;
mod limits;
mod lists;
mod marks;
mod names;
mod parse;
mod received;
mod request_head;
mod request_line;
mod scan;
mod singleton;
mod target;

pub use body::BodyScanner;
pub use chunked::{ChunkedError, ChunkedScanner};
#[cfg(feature = "hyper")]
pub(crate) use encode::encode_answer;
pub use encode::{encode_request, encode_response};
pub use error::HeadError;
pub use framing::{BodyLength, FramingError};
pub use host::{HostError, check_host, host_name, validate_host};
pub use limits::HeadLimits;
pub use parse::{Parsed, parse_request, parse_response};
pub use received::{check_request, check_request_within};
pub use request_head::RequestHead;
pub use request_line::RequestLineError;
pub use scan::HeadScan;
pub use target::{RequestTarget, TargetError};

pub(crate) use answer_head::AnswerHead;
pub(crate) use any_fields::AnyFields;
pub(crate) use any_request::AnyRequest;
#[cfg(feature = "gateway")]
pub(crate) use field_list::FieldList;
#[cfg(feature = "hyper")]
pub(crate) use fields::Received;
pub(crate) use received::check_request_unlimited;
#[cfg(feature = "hyper")]
pub(crate) use scan::end_of_head;

#[cfg(feature = "gateway")]
pub(crate) use encode::encode_fields;
#[cfg(feature = "gateway")]
pub(crate) use host::host_and_port;
#[cfg(feature = "gateway")]
pub(crate) use parse::ResponseHead;
#[cfg(feature = "gateway")]
pub(crate) use parse::{request_from_head, response_from_head, trailer_fields};
