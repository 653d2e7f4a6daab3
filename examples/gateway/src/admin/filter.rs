//! Which tunnels are meant: all that fit every condition of a request.

use std::net::IpAddr;
use std::time::Duration;

use switchover::tunnel::{TunnelId, TunnelWatch};

use super::asked::{self, Asked};
use super::query::Query;

#[derive(Default)]
pub(super) struct Filter {
    ids: Vec<TunnelId>,
    client: Option<IpAddr>,
    server: Option<String>,
    place: Option<usize>,
    group: Option<String>,
    protocol: Option<String>,
    state: Option<String>,
    host: Option<String>,
    path: Option<String>,
    text: Option<String>,
    older_than: Option<Duration>,
    idle_longer_than: Option<Duration>,
}

pub(super) const FILTERS: [&str; 12] = [
    "id",
    "client",
    "server",
    "place",
    "group",
    "protocol",
    "state",
    "host",
    "path",
    "text",
    "older_than",
    "idle_longer_than",
];

const STATES: [&str; 3] = ["open", "half-closed", "draining"];

impl Filter {
    pub(super) fn new(query: &Query) -> Result<Filter, String> {
        let text = |name: &str| {
            query.parsed(name, |text| match text {
                // It would select nothing, and be a mistake.
                "" => Err("is empty".to_owned()),
                _ => Ok(text.to_owned()),
            })
        };
        let ids = query.parsed("id", |ids| {
            let ids = ids.split(',').map(|id| id.trim().parse::<TunnelId>());
            ids.collect::<Result<Vec<_>, _>>().map_err(|why| why.to_string())
        });
        let client = query.parsed("client", |client| {
            client
                .parse()
                // Clients are shown so, too.
                .map(|client: IpAddr| client.to_canonical())
                .map_err(|_| "expected an IP address without a port".to_owned())
        });
        let state = query.parsed("state", |state| match STATES.contains(&state) {
            true => Ok(state.to_owned()),
            false => Err(format!("expected one of {}", STATES.join(", "))),
        });
        Ok(Filter {
            ids: ids?.unwrap_or_default(),
            client: client?,
            server: text("server")?,
            place: query.number("place")?,
            group: text("group")?,
            protocol: text("protocol")?,
            state: state?,
            host: text("host")?,
            path: query.parsed("path", path)?,
            text: text("text")?.map(|text| text.to_lowercase()),
            older_than: query.duration("older_than")?,
            idle_longer_than: query.duration("idle_longer_than")?,
        })
    }

    /// Whether there is no condition.
    pub(super) fn is_empty(&self) -> bool {
        let texts = [
            &self.server,
            &self.group,
            &self.protocol,
            &self.state,
            &self.host,
            &self.path,
            &self.text,
        ];
        self.ids.is_empty()
            && self.client.is_none()
            && self.place.is_none()
            && self.older_than.is_none()
            && self.idle_longer_than.is_none()
            && texts.iter().all(|text| text.is_none())
    }

    pub(super) fn selects(&self, tunnel: &TunnelWatch) -> bool {
        let asked = tunnel.label::<Asked>();
        let fits = |wanted: &Option<String>, is: Option<&str>, same: fn(&str, &str) -> bool| {
            wanted
                .as_deref()
                .is_none_or(|wanted| is.is_some_and(|is| same(is, wanted)))
        };
        let exactly = |is: &str, wanted: &str| is == wanted;
        let longer = |than: Option<Duration>, since: tokio::time::Instant| {
            than.is_none_or(|than| since.elapsed() > than)
        };
        (self.ids.is_empty() || tunnel.id().is_some_and(|id| self.ids.contains(&id)))
            && self.client.is_none_or(|client| tunnel.client() == Some(client))
            && fits(&self.server, tunnel.upstream(), exactly)
            && self.place.is_none_or(|place| tunnel.place() == Some(place))
            && fits(&self.group, tunnel.group(), exactly)
            && fits(&self.protocol, tunnel.protocol(), str::eq_ignore_ascii_case)
            && fits(&self.state, Some(tunnel.state().name()), exactly)
            && fits(&self.host, asked.map(Asked::host), str::eq_ignore_ascii_case)
            && self
                .path
                .as_deref()
                .is_none_or(|path| asked.is_some_and(|asked| is_path(path, asked)))
            && longer(self.older_than, tunnel.opened_at())
            && longer(self.idle_longer_than, tunnel.last_activity())
            && self
                .text
                .as_deref()
                .is_none_or(|text| has_text(tunnel, asked, text))
    }
}

/// What is kept of a path has to show whether it is this one.
fn path(wanted: &str) -> Result<String, String> {
    match wanted.strip_suffix('*').unwrap_or(wanted) {
        _ if wanted.is_empty() => Err("is empty".to_owned()),
        start if start.len() > asked::MOST => Err(format!(
            "of a path {} bytes are kept: give so many at most, and a star",
            asked::MOST
        )),
        _ => Ok(wanted.to_owned()),
    }
}

/// A path, or with a star at its end all that begin so.
fn is_path(wanted: &str, asked: &Asked) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => asked.path().starts_with(start),
        None => asked.path() == wanted && asked.is_whole(),
    }
}

/// Whether a text, in lower case, stands in one of the values that the other filters are for.
fn has_text(tunnel: &TunnelWatch, asked: Option<&Asked>, text: &str) -> bool {
    let contains = |shown: &str| shown.to_lowercase().contains(text);
    let texts = [
        tunnel.upstream(),
        tunnel.group(),
        tunnel.protocol(),
        asked.map(Asked::host),
        asked.map(Asked::path),
        Some(tunnel.state().name()),
    ];
    texts.into_iter().flatten().any(contains)
        || tunnel
            .client()
            .is_some_and(|client| contains(&client.to_string()))
        // A part of an id would select tunnels that nobody means.
        || tunnel.id().is_some_and(|id| id.to_string() == text)
}
