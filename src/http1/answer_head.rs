//! A response head on its way through a proxy: with its fields as lines, as it was read, or as the type of `http`, as a caller has it.

use std::sync::OnceLock;

use http::{StatusCode, Version, response};

use super::encode::{encode_answer, encode_response};
use super::field_list::FieldList;
use super::parse::ResponseHead;

/// A response head.
#[derive(Clone, Debug)]
pub(crate) enum AnswerHead {
    Parts(Box<response::Parts>),
    /// The type of `http` is made of it when it is asked for.
    Lines(ResponseHead<FieldList>, OnceLock<Box<response::Parts>>),
}

#[cfg_attr(not(feature = "gateway"), allow(dead_code))]
impl AnswerHead {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            AnswerHead::Parts(parts) => parts.status,
            AnswerHead::Lines(head, _) => head.status,
        }
    }

    pub(crate) fn set_version(&mut self, version: Version) {
        match self {
            AnswerHead::Parts(parts) => parts.version = version,
            AnswerHead::Lines(head, parts) => {
                *parts = OnceLock::new();
                head.version = version;
            }
        }
    }

    pub(crate) fn parts(&self) -> &response::Parts {
        match self {
            AnswerHead::Parts(parts) => parts,
            AnswerHead::Lines(head, parts) => parts.get_or_init(|| Box::new(made_of(head))),
        }
    }

    pub(crate) fn into_parts(self) -> response::Parts {
        match self {
            AnswerHead::Parts(parts) => *parts,
            AnswerHead::Lines(head, parts) => match parts.into_inner() {
                Some(parts) => *parts,
                None => made_of(&head),
            },
        }
    }

    /// Appends the head, as [`encode_response`] does.
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        match self {
            AnswerHead::Parts(parts) => encode_response(parts, into),
            AnswerHead::Lines(head, _) => encode_answer(head.status, None, &head.fields, into),
        }
    }
}

fn made_of(head: &ResponseHead<FieldList>) -> response::Parts {
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = head.status;
    parts.version = head.version;
    parts.headers = head.fields.to_map();
    parts
}

impl From<response::Parts> for AnswerHead {
    fn from(parts: response::Parts) -> Self {
        AnswerHead::Parts(Box::new(parts))
    }
}

impl From<ResponseHead<FieldList>> for AnswerHead {
    fn from(head: ResponseHead<FieldList>) -> Self {
        AnswerHead::Lines(head, OnceLock::new())
    }
}
