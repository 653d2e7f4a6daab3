//! The deciding half of a small reverse proxy: bytes of heads in, bytes of heads and decisions out.
//!
//! It does no IO. The owner of the sockets, blocking or not, asks [`Core::decide`] about what a client has sent and
//! [`Core::judge`] about what the upstream has answered, and does what it answers. Every connection carries one request.

#![forbid(unsafe_code)]

use std::net::IpAddr;

use http::header::{CONNECTION, HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode, Uri, request, response};
use switchover::handshake::{HandshakePolicy, PendingUpgrade, Rejection, UpgradeRequest, Verdict};
use switchover::header::{ConnectionMap, Forwarding, Hop, Protocol, hop_by_hop};
use switchover::http1::{
    BodyLength, HeadError, HeadLimits, Parsed, encode_request, encode_response, parse_request, parse_response,
};
use switchover::route::{RouteError, RoutePattern, Routes};

/// Where requests go, and what replaces the prefix that led there.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    pub address: String,
    pub path: Option<String>,
}

/// Routes and rules.
#[derive(Debug, Default)]
pub struct Core {
    routes: Routes<Upstream>,
    policy: HandshakePolicy,
    forwarding: Forwarding,
    limits: HeadLimits,
}

/// What to do with what a client has sent.
#[derive(Debug)]
pub enum Decision<'a> {
    /// Read more, and ask again with all of it.
    ReadMore,
    /// Send the head upstream, and then as much of the body as there is. The body begins after the first `consumed`
    /// bytes; what follows it must wait until the answer has been judged.
    Forward {
        upstream: &'a Upstream,
        head: Vec<u8>,
        body: BodyLength,
        consumed: usize,
        asked: Asked,
    },
    /// Send this to the client, and close.
    Refuse(Vec<u8>),
}

/// What an answer is measured by.
#[derive(Debug)]
pub enum Asked {
    Upgrade(PendingUpgrade),
    Ordinary(Method),
}

/// What to do with what an upstream has answered.
#[derive(Debug)]
pub enum Judgement {
    /// Read more, and ask again with all of it.
    ReadMore(Asked),
    /// Send the head to the client, if there is one. The answer is still to come, after the first `consumed` bytes.
    Interim {
        head: Option<Vec<u8>>,
        consumed: usize,
        asked: Asked,
    },
    /// Send the head and the body to the client, and close. Nothing that has waited goes on.
    Answer {
        head: Vec<u8>,
        body: BodyLength,
        consumed: usize,
    },
    /// Send the head to the client. From here on bytes go both ways, first those that have waited.
    Switched {
        head: Vec<u8>,
        consumed: usize,
        protocol: Protocol,
    },
    /// Send this to the client, and close both connections.
    Refuse(Vec<u8>),
}

impl Core {
    /// A core without routes: everything is refused.
    pub fn new(policy: HandshakePolicy) -> Self {
        Core {
            policy,
            forwarding: Forwarding::default(),
            ..Core::default()
        }
    }

    /// Adds a route.
    ///
    /// # Errors
    ///
    /// It is there already.
    pub fn route(mut self, pattern: RoutePattern, upstream: Upstream) -> Result<Self, RouteError> {
        self.routes.add(pattern, upstream)?;
        Ok(self)
    }

    /// Decides about everything that a client has sent so far.
    pub fn decide(&self, buffer: &[u8], peer: IpAddr) -> Decision<'_> {
        // Every way to refuse a request is a `Rejection`, and every `Rejection` knows its answer.
        self.try_decide(buffer, peer)
            .unwrap_or_else(|rejection| Decision::Refuse(whole(rejection.into_response())))
    }

    fn try_decide(&self, buffer: &[u8], peer: IpAddr) -> Result<Decision<'_>, Rejection> {
        let Parsed::Complete { mut parts, consumed } = parse_request(buffer, &self.limits)? else {
            return Ok(Decision::ReadMore);
        };
        let upgrade = UpgradeRequest::parse(&parts, &self.policy)?;
        let upstream = self.find(&mut parts)?;
        let (parts, body, asked) = match upgrade {
            Some(upgrade) => {
                let body = upgrade.body_length();
                let (parts, pending) = upgrade.forward(parts, peer, &self.forwarding);
                (parts, body, Asked::Upgrade(pending))
            }
            None => {
                let body = BodyLength::of_request(&parts).map_err(HeadError::from)?;
                self.rewrite(&mut parts, peer)?;
                let method = parts.method.clone();
                (parts, body, Asked::Ordinary(method))
            }
        };
        let mut head = Vec::new();
        encode_request(&parts, &mut head);
        Ok(Decision::Forward {
            upstream,
            head,
            body,
            consumed,
            asked,
        })
    }

    /// The upstream of a request, whose target becomes the one that the route wants.
    fn find(&self, parts: &mut request::Parts) -> Result<&Upstream, Rejection> {
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        let target = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let found = self.routes.find(host, target)?;
        if let Some(path) = &found.value.path {
            let replaced = found.replace_prefix(path, target).ok_or(Rejection::NoRoute)?;
            parts.uri = Uri::from(replaced);
        }
        Ok(found.value)
    }

    /// Makes of an ordinary request the one for the upstream. Remove first, then add: the order is the rule.
    fn rewrite(&self, parts: &mut request::Parts, peer: IpAddr) -> Result<(), Rejection> {
        let headers = &mut parts.headers;
        // The body goes on as it came, so its coding has to stay in the head.
        let stripped = hop_by_hop::strip_keeping_coding(headers)?;
        // `Upgrade` is gone by now, so this is `Connection: close`: one request on each connection.
        ConnectionMap::default().apply(headers);
        if stripped.trailers {
            headers.append(CONNECTION, HeaderValue::from_static("te"));
        }
        self.forwarding.forwarded_rules().apply(headers, &Hop::from(peer));
        Ok(())
    }

    /// Judges everything that an upstream has answered so far, without what has been judged already.
    pub fn judge(&self, asked: Asked, buffer: &[u8]) -> Judgement {
        let (parts, consumed) = match parse_response(buffer, &self.limits) {
            Ok(Parsed::Partial) => return Judgement::ReadMore(asked),
            Ok(Parsed::Complete { parts, consumed }) => (parts, consumed),
            Err(_) => return bad_gateway(),
        };
        let pending = match asked {
            Asked::Upgrade(pending) => pending,
            Asked::Ordinary(method) => return ordinary(parts, consumed, method),
        };
        match pending.judge(parts) {
            Ok(Verdict::Interim { pending, response }) => Judgement::Interim {
                head: response.map(encoded),
                consumed,
                asked: Asked::Upgrade(pending),
            },
            Ok(Verdict::Declined(declined)) => Judgement::Answer {
                body: declined.body_length(),
                head: encoded(declined.into_response()),
                consumed,
            },
            Ok(Verdict::Switched(switched)) => {
                let (response, protocol) = switched.into_response();
                Judgement::Switched {
                    head: encoded(response),
                    consumed,
                    protocol,
                }
            }
            Err(bad) => Judgement::Refuse(whole(bad.into_response())),
        }
    }
}

/// The answer to a request that asked for no upgrade.
fn ordinary(mut parts: response::Parts, consumed: usize, method: Method) -> Judgement {
    // Nobody has asked for a switch. A status alone opens nothing.
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return bad_gateway();
    }
    let Ok(body) = BodyLength::of_response(&parts, &method) else {
        return bad_gateway();
    };
    if hop_by_hop::strip_keeping_coding(&mut parts.headers).is_err() {
        return bad_gateway();
    }
    if parts.status.is_informational() {
        return Judgement::Interim {
            head: Some(encoded(parts)),
            consumed,
            asked: Asked::Ordinary(method),
        };
    }
    parts
        .headers
        .insert(CONNECTION, HeaderValue::from_static("close"));
    Judgement::Answer {
        head: encoded(parts),
        body,
        consumed,
    }
}

fn bad_gateway() -> Judgement {
    Judgement::Refuse(b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n".to_vec())
}

fn encoded(parts: response::Parts) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_response(&parts, &mut bytes);
    bytes
}

fn whole(response: Response<String>) -> Vec<u8> {
    let (parts, body) = response.into_parts();
    let mut bytes = encoded(parts);
    bytes.extend_from_slice(body.as_bytes());
    bytes
}
