//! The variables that the library does not know: what a log wants to be told, and a few of the request.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Version;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use switchover::route::path_as_nginx;

use super::clock::Moment;
use super::text::Asked;
use super::tries::Try;

/// How a request has ended.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) at: SystemTime,
    pub(crate) status: u16,
    /// What the client has been sent: with heads, and without. None where that is not known.
    pub(crate) bytes: Option<u64>,
    pub(crate) body_bytes: Option<u64>,
    pub(crate) time: Duration,
    /// The servers that were asked, in order.
    pub(crate) tries: Vec<Try>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    BodyBytesSent,
    BytesSent,
    ContentLength,
    ContentType,
    Hostname,
    Https,
    Milliseconds,
    Pipe,
    ProcessId,
    ProxyPort,
    ProxyProtocolAddress,
    ProxyProtocolPort,
    ProxyProtocolServerAddress,
    ProxyProtocolServerPort,
    RemoteUser,
    Request,
    RequestId,
    RequestTime,
    ServerProtocol,
    Status,
    TimeIso8601,
    TimeLocal,
    UpstreamAddress,
    UpstreamConnectTime,
    UpstreamHeaderTime,
    UpstreamResponseTime,
    UpstreamStatus,
    Uri,
}

impl Own {
    pub(crate) fn named(name: &str) -> Option<Own> {
        Some(match name.to_ascii_lowercase().as_str() {
            "body_bytes_sent" => Own::BodyBytesSent,
            "bytes_sent" => Own::BytesSent,
            "content_length" => Own::ContentLength,
            "content_type" => Own::ContentType,
            "hostname" => Own::Hostname,
            "https" => Own::Https,
            "msec" => Own::Milliseconds,
            "pid" => Own::ProcessId,
            "pipe" => Own::Pipe,
            "proxy_port" => Own::ProxyPort,
            "proxy_protocol_addr" => Own::ProxyProtocolAddress,
            "proxy_protocol_port" => Own::ProxyProtocolPort,
            "proxy_protocol_server_addr" => Own::ProxyProtocolServerAddress,
            "proxy_protocol_server_port" => Own::ProxyProtocolServerPort,
            "remote_user" => Own::RemoteUser,
            "request" => Own::Request,
            "request_id" => Own::RequestId,
            "request_time" => Own::RequestTime,
            "server_protocol" => Own::ServerProtocol,
            "status" => Own::Status,
            "time_iso8601" => Own::TimeIso8601,
            "time_local" => Own::TimeLocal,
            "uri" | "document_uri" => Own::Uri,
            "upstream_addr" => Own::UpstreamAddress,
            "upstream_connect_time" => Own::UpstreamConnectTime,
            "upstream_header_time" => Own::UpstreamHeaderTime,
            "upstream_response_time" => Own::UpstreamResponseTime,
            "upstream_status" => Own::UpstreamStatus,
            _ => return None,
        })
    }

    pub(crate) fn value(self, asked: &Asked<'_>) -> String {
        let head = asked.head;
        let target = || head.uri.path_and_query().map_or("/", |target| target.as_str());
        match self {
            Own::ContentLength => field(asked, &CONTENT_LENGTH),
            Own::ContentType => field(asked, &CONTENT_TYPE),
            Own::Hostname => std::fs::read_to_string("/proc/sys/kernel/hostname")
                .map_or(String::new(), |name| name.trim().to_owned()),
            Own::Https if asked.hop.scheme() == "https" => "on".to_owned(),
            Own::Https => String::new(),
            Own::Pipe => ".".to_owned(),
            Own::ProcessId => std::process::id().to_string(),
            Own::ProxyPort => asked.target.map_or(String::new(), |target| target.port.clone()),
            Own::ProxyProtocolAddress => host(asked.proxied.client),
            Own::ProxyProtocolPort => port(asked.proxied.client),
            Own::ProxyProtocolServerAddress => host(asked.proxied.server),
            Own::ProxyProtocolServerPort => port(asked.proxied.server),
            Own::RemoteUser => remote_user(asked).unwrap_or_default(),
            Own::Request => format!("{} {} {}", head.method, target(), protocol(head.version)),
            Own::RequestId => format!("{:032x}", asked.id),
            Own::ServerProtocol => protocol(head.version).to_owned(),
            // What cannot be decoded is refused before anything is asked of it.
            Own::Uri => path_as_nginx(head.uri.path())
                .map_or(String::new(), |path| String::from_utf8_lossy(&path).into_owned()),
            of_the_end => asked
                .ending
                .and_then(|end| of_the_end.of(end))
                .unwrap_or_default(),
        }
    }

    fn of(self, ending: &Ending) -> Option<String> {
        Some(match self {
            Own::BodyBytesSent => ending.body_bytes?.to_string(),
            Own::BytesSent => ending.bytes?.to_string(),
            Own::Milliseconds => Moment::of(ending.at).in_seconds(),
            Own::RequestTime => seconds(ending.time),
            Own::Status => format!("{:03}", ending.status),
            Own::TimeIso8601 => Moment::of(ending.at).in_iso_8601(),
            Own::TimeLocal => Moment::of(ending.at).as_in_logs(),
            Own::UpstreamAddress => of_each(ending, |server| Some(server.server.clone())),
            Own::UpstreamConnectTime => of_each(ending, |server| server.connected.map(seconds)),
            Own::UpstreamHeaderTime => of_each(ending, |server| server.answered.map(seconds)),
            Own::UpstreamResponseTime => of_each(ending, |server| Some(seconds(server.took))),
            Own::UpstreamStatus => of_each(ending, |server| Some(format!("{:03}", server.status?))),
            _ => return None,
        })
    }
}

/// What there is to say of each server that was asked, as nginx writes it.
fn of_each(ending: &Ending, what: impl Fn(&Try) -> Option<String>) -> String {
    let each = ending
        .tries
        .iter()
        .map(|server| what(server).unwrap_or("-".to_owned()));
    each.collect::<Vec<_>>().join(", ")
}

fn seconds(time: Duration) -> String {
    format!("{}.{:03}", time.as_secs(), time.subsec_millis())
}

fn host(address: Option<SocketAddr>) -> String {
    address.map_or(String::new(), |address| address.ip().to_canonical().to_string())
}

fn port(address: Option<SocketAddr>) -> String {
    address.map_or(String::new(), |address| address.port().to_string())
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

fn field(asked: &Asked<'_>, name: &HeaderName) -> String {
    let value = asked.head.headers.get(name);
    value.map_or(String::new(), |value| {
        String::from_utf8_lossy(value.as_bytes()).into_owned()
    })
}

/// The name in `Authorization: Basic`.
fn remote_user(asked: &Asked<'_>) -> Option<String> {
    let value = asked.head.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    let decoded = STANDARD.decode(credentials.trim()).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, _) = text.split_once(':')?;
    scheme.eq_ignore_ascii_case("basic").then(|| name.to_owned())
}
