//! The list of tunnels, by filters and pages, and the end of those that a filter selects.

use std::time::Duration;

use serde_json::{Value, json};
use switchover::Side;
use switchover::tunnel::{EndRequest, RoundTrips, TunnelId, TunnelWatch, Tunnels};
use switchover::websocket::CloseCode;
use tokio::time::Instant;

use super::asked::Asked;
use super::filter::{FILTERS, Filter};
use super::history::History;
use super::query::Query;

/// How many stand on a page, unless the query says otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

const SORTS: &str = "opened, client, server, path, state, from_downstream, from_upstream, activity or rate";

/// One page of the tunnels that a filter selects.
pub(super) fn list(tunnels: &Tunnels, history: &History, query: &Query) -> Result<Value, String> {
    let names = [
        &FILTERS[..],
        &["sort", "order", "offset", "limit", "cursor", "rates"],
    ]
    .concat();
    query.allow(&names)?;
    let filter = Filter::new(query)?;
    let sort_by = query.get("sort").unwrap_or("opened");
    let is_down = match query.get("order") {
        None | Some("up") => false,
        Some("down") => true,
        Some(_) => return Err("order: expected up or down".to_owned()),
    };
    let cursor = query.parsed("cursor", |text| {
        text.parse::<TunnelId>().map_err(|why| why.to_string())
    })?;
    let (offset, limit) = (query.number("offset")?, query.number("limit")?.unwrap_or(USUAL));
    if !(1..=MOST).contains(&limit) {
        return Err(format!("limit: expected 1 to {MOST}"));
    }
    if cursor.is_some() && (sort_by != "opened" || offset.is_some()) {
        return Err("cursor: it goes on in the order opened, and not together with offset".to_owned());
    }
    let with_rates = query.truth("rates")?.unwrap_or(false);
    let mut found: Vec<_> = tunnels.iter().filter(|tunnel| filter.selects(tunnel)).collect();
    sort(&mut found, sort_by, history)?;
    if is_down {
        found.reverse();
    }
    let offset = match cursor {
        None => offset.unwrap_or(0),
        Some(last) => found.partition_point(|tunnel| match is_down {
            false => tunnel.id() <= Some(last),
            true => tunnel.id() >= Some(last),
        }),
    };
    let page: Vec<_> = found.iter().skip(offset).take(limit).collect();
    let is_last = offset.saturating_add(page.len()) >= found.len();
    let next = page.last().filter(|_| sort_by == "opened" && !is_last);
    let shown: Value = match with_rates {
        false => page.iter().map(|tunnel| shown(tunnel)).collect(),
        true => history.rates(|rates| {
            let shown = page.iter().map(|tunnel| {
                let mut value = shown(tunnel);
                value["rates"] = json!(rates(tunnel.id()));
                value
            });
            shown.collect()
        }),
    };
    Ok(json!({
        "total": found.len(),
        "open": tunnels.len(),
        "offset": offset,
        "next": next.map(|tunnel| id(tunnel)),
        "tunnels": shown,
    }))
}

fn sort(tunnels: &mut [TunnelWatch], by: &str, history: &History) -> Result<(), String> {
    let path = |tunnel: &TunnelWatch| {
        let asked = tunnel.label::<Asked>();
        asked.map(|asked| (asked.host().to_owned(), asked.path().to_owned()))
    };
    match by {
        // Ids are given in the order in which tunnels open.
        "opened" => tunnels.sort_unstable_by_key(TunnelWatch::id),
        "client" => tunnels.sort_by_key(|tunnel| (tunnel.client(), tunnel.client_port())),
        "server" => {
            tunnels.sort_by(|a, b| (a.upstream(), a.place(), a.id()).cmp(&(b.upstream(), b.place(), b.id())))
        }
        "path" => tunnels.sort_by_cached_key(path),
        // Once each: the numbers change while they are compared.
        "state" => tunnels.sort_by_cached_key(|tunnel| (tunnel.state().name(), tunnel.id())),
        "from_downstream" => tunnels.sort_by_cached_key(TunnelWatch::from_downstream),
        "from_upstream" => tunnels.sort_by_cached_key(TunnelWatch::from_upstream),
        "activity" => tunnels.sort_by_cached_key(TunnelWatch::last_activity),
        "rate" => {
            let rates = history.last_rates();
            // No rate is negative, and such floats are in the order of their bits.
            let rate = |id| rates.get(&id).copied().unwrap_or_default().to_bits();
            tunnels.sort_by_cached_key(|tunnel| (tunnel.id().map(rate), tunnel.id()));
        }
        _ => return Err(format!("sort: expected {SORTS}")),
    }
    Ok(())
}

fn id(tunnel: &TunnelWatch) -> Option<String> {
    tunnel.id().map(|id| id.to_string())
}

fn shown(tunnel: &TunnelWatch) -> Value {
    let seconds = |since: Instant| (since.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    let round_trip = |side, of: fn(&RoundTrips) -> Option<Duration>| {
        Some(of(&tunnel.round_trips(side)?)?.as_secs_f64() * 1000.0)
    };
    let asked = tunnel.label::<Asked>();
    json!({
        "id": id(tunnel),
        "client": tunnel.client(),
        "client_port": tunnel.client_port(),
        "server": tunnel.upstream(),
        "place": tunnel.place(),
        // It is called by the pattern of its route.
        "group": tunnel.group(),
        "host": asked.map(Asked::host),
        "path": asked.map(Asked::path),
        "protocol": tunnel.protocol(),
        "state": tunnel.state().name(),
        "open_seconds": seconds(tunnel.opened_at()),
        "idle_seconds": seconds(tunnel.last_activity()),
        "idle_from_downstream_seconds": seconds(tunnel.last_activity_from(Side::Downstream)),
        "idle_from_upstream_seconds": seconds(tunnel.last_activity_from(Side::Upstream)),
        "from_downstream": tunnel.from_downstream(),
        "from_upstream": tunnel.from_upstream(),
        "frames_from_downstream": tunnel.frames_from(Side::Downstream),
        "frames_from_upstream": tunnel.frames_from(Side::Upstream),
        "messages_from_downstream": tunnel.messages_from(Side::Downstream),
        "messages_from_upstream": tunnel.messages_from(Side::Upstream),
        "round_trip_downstream_ms": round_trip(Side::Downstream, RoundTrips::last),
        "round_trip_upstream_ms": round_trip(Side::Upstream, RoundTrips::last),
        "round_trip_smallest_downstream_ms": round_trip(Side::Downstream, RoundTrips::smallest),
        "round_trip_smallest_upstream_ms": round_trip(Side::Upstream, RoundTrips::smallest),
        "round_trip_mean_downstream_ms": round_trip(Side::Downstream, RoundTrips::mean),
        "round_trip_mean_upstream_ms": round_trip(Side::Upstream, RoundTrips::mean),
    })
}

/// Ends the tunnels that a filter selects. All of them only where that is said.
pub(super) fn end(tunnels: &Tunnels, knows_frames: bool, query: &Query) -> Result<Value, String> {
    let names = [&FILTERS[..], &["all", "code", "reason", "spread"]].concat();
    query.allow(&names)?;
    let filter = Filter::new(query)?;
    if filter.is_empty() != query.truth("all")?.unwrap_or(false) {
        return Err(format!(
            "which tunnels? Say one or more of {}, or all=true alone",
            FILTERS.join(", ")
        ));
    }
    let request = match (query.number("code")?, query.get("reason")) {
        (None, None) => EndRequest::default(),
        (None, Some(_)) => return Err("reason: needs a code".to_owned()),
        (Some(_), _) if !knows_frames => {
            return Err(
                "code: needs --tunnel-mode websocket; without it a tunnel ends without a Close".to_owned(),
            );
        }
        (Some(code), reason) => {
            let code = u16::try_from(code).map_err(|_| "code: expected 1000 to 4999".to_owned())?;
            EndRequest::close(CloseCode(code), reason.unwrap_or_default())
                .map_err(|why| format!("code or reason: {why}"))?
        }
    };
    let spread = query.duration("spread")?.unwrap_or_default();
    let ended = tunnels.end_where(|tunnel| filter.selects(tunnel), &request, spread);
    Ok(json!({ "ended": ended }))
}
