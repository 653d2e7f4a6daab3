//! The variables that the library does not know: those of a request that rewrites change, of its connection, of its answer, and
//! what only a log wants to know.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, Version};

use super::clock::Moment;
use super::files;
use super::text::Asked;
use super::tls_variables::OfTls;
use super::tries::Try;
use super::variable_names::{PLAIN, Plain};

/// How a request has ended.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) at: SystemTime,
    pub(crate) status: u16,
    /// What the client has been sent: with heads, and without. None where that is not known.
    pub(crate) bytes: Option<u64>,
    pub(crate) body_bytes: Option<u64>,
    pub(crate) time: Duration,
}

/// A variable that is not the library's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    Plain(Plain),
    /// `$arg_NAME`.
    Argument(String),
    /// `$http_NAME` of a name whose hyphens may be underscores, with those alone. Of others the library knows.
    Field(String),
    /// `$sent_http_NAME`.
    Sent(HeaderName),
    /// `$upstream_http_NAME`.
    Upstream(HeaderName),
    /// `$upstream_cookie_NAME`.
    UpstreamCookie(String),
}

impl Own {
    pub(crate) fn named(name: &str) -> Option<Own> {
        let name = name.to_ascii_lowercase();
        let field = |name: &str| HeaderName::from_bytes(name.replace('_', "-").as_bytes()).ok();
        if let Some(of) = OfTls::named(&name) {
            return Some(Own::Plain(Plain::Tls(of)));
        }
        if let Some((_, plain)) = PLAIN.iter().find(|(known, _)| *known == name) {
            return Some(Own::Plain(*plain));
        }
        if let Some(name) = name.strip_prefix("arg_") {
            return Some(Own::Argument(name.to_owned()));
        }
        if let Some(name) = name.strip_prefix("http_").filter(|name| name.contains('_')) {
            return Some(Own::Field(name.to_owned()));
        }
        if let Some(name) = name.strip_prefix("sent_http_") {
            return field(name).map(Own::Sent);
        }
        if let Some(name) = name.strip_prefix("upstream_http_") {
            return field(name).map(Own::Upstream);
        }
        let cookie = name.strip_prefix("upstream_cookie_")?;
        Some(Own::UpstreamCookie(cookie.to_owned()))
    }

    pub(crate) fn value(&self, asked: &Asked<'_>) -> String {
        match self {
            Own::Plain(plain) => plain.value(asked),
            Own::Argument(name) => argument(&asked.state.lock().args, name),
            Own::Field(wanted) => {
                let location = asked.state.lock().location.clone();
                let is_known = |name: &str| {
                    let is_kept = || {
                        location
                            .as_ref()
                            .is_some_and(|location| location.fields.keeps_underscores())
                    };
                    name.replace('-', "_") == *wanted && (!name.contains('_') || is_kept())
                };
                let lines = asked.head.headers.iter();
                let lines = lines.filter(|(name, _)| is_known(name.as_str()));
                let lines = lines.map(|(_, line)| String::from_utf8_lossy(line.as_bytes()).into_owned());
                lines.collect::<Vec<_>>().join(", ")
            }
            Own::Sent(name) => {
                let state = asked.state.lock();
                state
                    .sent
                    .as_ref()
                    .map_or(String::new(), |(_, headers)| field(headers, name))
            }
            Own::Upstream(name) => {
                let state = asked.state.lock();
                state
                    .upstream
                    .as_ref()
                    .map_or(String::new(), |(_, headers)| field(headers, name))
            }
            Own::UpstreamCookie(name) => {
                let state = asked.state.lock();
                let cookies = state
                    .upstream
                    .iter()
                    .flat_map(|(_, headers)| headers.get_all("set-cookie"));
                let mut pairs =
                    cookies.filter_map(|line| line.to_str().ok()?.split(';').next()?.split_once('='));
                let found = pairs.find(|(known, _)| known.trim().eq_ignore_ascii_case(name));
                found.map_or(String::new(), |(_, value)| value.trim().to_owned())
            }
        }
    }
}

impl Plain {
    fn value(self, asked: &Asked<'_>) -> String {
        let head = asked.head;
        match self {
            Plain::Args => asked.state.lock().args.clone(),
            Plain::BinaryRemoteAddress => asked
                .hop
                .client()
                .map_or(String::new(), |address| address.to_string()),
            Plain::Connection => asked.facts.number.to_string(),
            Plain::ConnectionRequests => asked.facts.requests.to_string(),
            Plain::ContentLength => field(&head.headers, &CONTENT_LENGTH),
            Plain::ContentType => field(&head.headers, &CONTENT_TYPE),
            Plain::DocumentRoot | Plain::RealpathRoot => files::root(asked),
            Plain::Hostname => hostname().to_owned(),
            Plain::Http2 if head.version == Version::HTTP_2 && asked.facts.tls.is_some() => "h2".to_owned(),
            Plain::Http2 if head.version == Version::HTTP_2 => "h2c".to_owned(),
            Plain::Https if asked.hop.scheme() == "https" => "on".to_owned(),
            // No request is taken before its handshake is complete.
            Plain::Http2 | Plain::Https | Plain::ProxyInternal | Plain::NotHere => String::new(),
            Plain::IsArgs if asked.state.lock().args.is_empty() => String::new(),
            Plain::IsArgs => "?".to_owned(),
            Plain::LimitConnStatus => asked.state.lock().limit_conn.unwrap_or_default().to_owned(),
            Plain::LimitReqStatus => asked.state.lock().limit_req.unwrap_or_default().to_owned(),
            Plain::NginxVersion => super::version::CLAIMED.to_owned(),
            Plain::Pipe if asked.state.lock().is_pipelined => "p".to_owned(),
            Plain::Pipe => ".".to_owned(),
            Plain::RequestLength => asked.state.lock().length.to_string(),
            Plain::ProcessId => std::process::id().to_string(),
            Plain::ProxyPort => asked.target.map_or(String::new(), |target| target.port.clone()),
            Plain::ProxyProtocolAddress => host(asked.proxied.client),
            Plain::ProxyProtocolPort => port(asked.proxied.client),
            Plain::ProxyProtocolServerAddress => host(asked.proxied.server),
            Plain::ProxyProtocolServerPort => port(asked.proxied.server),
            Plain::RealIpPort => asked.facts.port.map_or(String::new(), |port| port.to_string()),
            Plain::RemoteUser => remote_user(&head.headers).unwrap_or_default(),
            Plain::Request | Plain::RequestMethod if asked.state.lock().is_unread => String::new(),
            Plain::Request => {
                let path = || head.uri.path_and_query().map_or("/", |target| target.as_str());
                let target = match head.version {
                    // Its authority is a field of its own.
                    Version::HTTP_2 => path().to_owned(),
                    // As it came, be it absolute or an authority.
                    _ => head.uri.to_string(),
                };
                format!("{} {target} {}", head.method, protocol(head.version))
            }
            Plain::RequestFilename => files::filename(asked),
            Plain::RequestId => format!("{:032x}", asked.id),
            Plain::RequestMethod => {
                let state = asked.state.lock();
                state.asking_method.as_ref().unwrap_or(&state.method).to_string()
            }
            Plain::ServerAddress => asked.facts.server.map_or(String::new(), |ip| ip.to_string()),
            Plain::ServerProtocol => protocol(head.version).to_owned(),
            Plain::Tls(of) => of.value(asked.facts.tls.as_ref()),
            // Such an upstream is a 501: its path is not split.
            Plain::FastcgiPathInfo => String::new(),
            Plain::Uri | Plain::FastcgiScriptName => asked.state.lock().uri.clone(),
            of_the_answer => of_the_answer.of_the_answer(asked).unwrap_or_default(),
        }
    }

    fn of_the_answer(self, asked: &Asked<'_>) -> Option<String> {
        let now = || asked.ending.map_or_else(SystemTime::now, |ending| ending.at);
        Some(match self {
            Plain::BodyBytesSent => asked
                .ending
                .map_or(Some(0), |ending| ending.body_bytes)?
                .to_string(),
            Plain::BytesSent => asked.ending.map_or(Some(0), |ending| ending.bytes)?.to_string(),
            Plain::DateGmt => Moment::of(now()).as_http_date(),
            Plain::Milliseconds => Moment::of(now()).in_seconds(),
            Plain::RequestCompletion => asked
                .ending
                .filter(|ending| ending.status != 499)
                .map(|_| "OK".to_owned())?,
            Plain::RequestTime => seconds(
                asked
                    .ending
                    .map_or_else(|| asked.begun.elapsed(), |ending| ending.time),
            ),
            Plain::Status => {
                let state = asked.state.lock();
                // Behind an `error_page` it is the one that the page keeps.
                let kept = state.kept_status.map(|status| status.as_u16());
                let sent = state.sent.as_ref().map(|(status, _)| status.as_u16());
                let ended = asked.ending.map(|ending| ending.status);
                format!("{:03}", ended.or(kept).or(sent).unwrap_or(0))
            }
            Plain::TimeIso8601 => Moment::of(now()).in_iso_8601(),
            Plain::TimeLocal => Moment::of(now()).as_in_logs(),
            Plain::UpstreamAddress => of_each(asked, |server| Some(server.server.clone())),
            Plain::UpstreamBytesReceived => of_each(asked, |server| Some(server.bytes_received.to_string())),
            Plain::UpstreamBytesSent => of_each(asked, |server| Some(server.bytes_sent.to_string())),
            Plain::UpstreamConnectTime => of_each(asked, |server| server.connected.map(seconds)),
            Plain::UpstreamHeaderTime => of_each(asked, |server| server.answered.map(seconds)),
            Plain::UpstreamResponseLength => of_each(asked, |server| Some(server.body_length.to_string())),
            // One that is still answering has taken no time yet, as in nginx.
            Plain::UpstreamResponseTime => of_each(asked, |server| {
                let is_over = asked.ending.is_some() || server.is_over;
                is_over.then(|| seconds(server.took))
            }),
            Plain::UpstreamStatus => of_each(asked, |server| Some(format!("{:03}", server.status?))),
            _ => return None,
        })
    }
}

/// What there is to say of each server that was asked, as nginx writes it.
fn of_each(asked: &Asked<'_>, what: impl Fn(&Try) -> Option<String>) -> String {
    let (mut groups, last, sent) = {
        let state = asked.state.lock();
        let sent = state.sent.as_ref().map(|(status, _)| status.as_u16());
        (state.tries_before.clone(), state.tries.clone(), sent)
    };
    let group = asked.target.map_or("", |target| &target.host);
    let status = asked.ending.map(|ending| ending.status).or(sent);
    let last = last.map(|last| last.all(group, status)).unwrap_or_default();
    // Servers of one group, and then those of the location that the request was sent on to.
    groups.extend(Some(last).filter(|last| !last.is_empty()));
    let groups = groups.iter().map(|tries| {
        let each = tries.iter().map(|server| what(server).unwrap_or("-".to_owned()));
        each.collect::<Vec<_>>().join(", ")
    });
    groups.collect::<Vec<_>>().join(" : ")
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
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// The name of this machine, in small letters, as it was when it was first asked for.
pub(crate) fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
        name.map_or(String::new(), |name| name.trim().to_ascii_lowercase())
    })
}

/// All lines of a field.
fn field(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines = headers.get_all(name).iter();
    let lines = lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned());
    lines.collect::<Vec<_>>().join(", ")
}

/// `$arg_NAME`: the first argument of the name, which has no case.
fn argument(args: &str, name: &str) -> String {
    let mut pairs = args.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map_or(String::new(), |(_, value)| value.to_owned())
}

/// The name in `Authorization: Basic`.
fn remote_user(headers: &HeaderMap) -> Option<String> {
    credentials(headers).map(|(name, _)| name)
}

/// As nginx reads it: the padding may be missing, and bits that are left over are of no interest.
const BASIC: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Name and password in `Authorization: Basic`.
pub(crate) fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    // Behind the first padding nothing is read.
    let credentials = credentials.trim().split('=').next()?;
    let decoded = BASIC.decode(credentials).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    scheme
        .eq_ignore_ascii_case("basic")
        .then(|| (name.to_owned(), password.to_owned()))
}
