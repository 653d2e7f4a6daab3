//! The lines that are carried out and probably not what was meant: those that circulate with configurations for WebSocket.
//! Each hint says what to write instead, in nginx's words.

use super::fields::has_token;
use super::findings::{Findings, Place};
use super::location::Surroundings;
use super::locations::Pattern;
use super::proxy::{Pass, Proxy};
use super::scope::{Field, Scope};
use super::tree::Directive;
use super::version::Version;

const MAP: &str = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }";

/// Hints for a location with `proxy_pass`, which stands in `line`.
pub(crate) fn of_proxy(
    line: &Directive,
    scope: &Scope,
    pattern: &Pattern,
    proxy: &Proxy,
    around: &mut Surroundings<'_>,
) {
    let version = around.version;
    let findings = &mut *around.findings;
    if carries_upgrades(line, scope, version, findings) {
        waits(line, scope, findings);
        response_fields(scope, findings);
        host_and_origin(line, scope, proxy, findings);
        slash_of_location(line, pattern, findings);
        own_fields_alone(scope, findings);
    }
    let name = scope.set.iter().find(|field| field.is("X-NginX-Proxy"));
    if let Some(field) = name {
        findings.hint(&field.place, "X-NginX-Proxy is read by no server: leave it out");
    }
    slashes_of_replacement(line, pattern, proxy, findings);
}

/// The lines of a location are gone through before anyone is asked: a `return` behind an `if` answers also the requests that the `if`
/// holds for.
pub(crate) fn never_reached(lines: &[&Directive], findings: &mut Findings) {
    let Some(at) = lines.iter().position(|line| line.name == "return") else {
        return;
    };
    let stops = |line: &Directive| match &*line.name {
        "break" | "return" => true,
        "rewrite" => line.arguments.len() > 2,
        _ => false,
    };
    for block in lines[..at].iter().filter(|line| line.name == "if") {
        let within = block.lines();
        let pass = within.iter().find(|line| line.name == "proxy_pass");
        if let Some(pass) = pass.filter(|_| !within.iter().any(stops)) {
            let answer = &lines[at];
            let text = format!(
                "this proxy_pass is never reached: {} ({}) answers the requests of the if as well. Write break; behind it, within \
                 the if",
                answer.shown(),
                answer.place
            );
            findings.hint(&pass.place, text);
        }
    }
}

/// The one thing in which an upgrade without the client's fields departs from nginx, whose upstream would get a handshake that is none.
fn own_fields_alone(scope: &Scope, findings: &mut Findings) {
    let is_set = |name| scope.set.iter().any(|field| field.is(name));
    let are_set = is_set("Sec-WebSocket-Key") && is_set("Sec-WebSocket-Version");
    if let Some(said) = scope
        .handling
        .passes_fields
        .as_ref()
        .filter(|on| !on.value && !are_set)
    {
        findings.warning(
            &said.place,
            "Sec-WebSocket-Key and Sec-WebSocket-Version of an upgrade go up all the same: without them there is none. \
             Write what is done: proxy_set_header Sec-WebSocket-Key $http_sec_websocket_key; \
             proxy_set_header Sec-WebSocket-Version $http_sec_websocket_version;",
        );
    }
}

/// Whether any upgrade can pass; if none can, says why.
fn carries_upgrades(line: &Directive, scope: &Scope, version: Version, findings: &mut Findings) -> bool {
    let first = |name| scope.set.iter().find(|field| field.is(name));
    let (upgrade, connection) = (first("Upgrade"), first("Connection"));
    repeated(scope, findings);
    lost_by_inheritance(scope, upgrade.is_some(), connection.is_some(), findings);

    let upgrade = upgrade.filter(|field| field.value.constant() != Some(""));
    let asks = |field: &&Field| {
        field
            .value
            .constant()
            .is_none_or(|value| has_token(value, "upgrade"))
    };
    let asking = connection.filter(asks);
    if let (Some(upgrade), Some(connection)) = (upgrade, asking) {
        asked_in_1_0(upgrade, scope, version, findings);
        constant_connection(connection, findings);
        tokens(upgrade, findings);
        return true;
    }
    let mut missing = Vec::new();
    if !speaks_1_1(scope, version) {
        missing.push("proxy_http_version 1.1;");
    }
    if upgrade.is_none() {
        missing.push("proxy_set_header Upgrade $http_upgrade;");
    }
    if asking.is_none() {
        missing.push("proxy_set_header Connection $connection_upgrade;");
    }
    let mut text = format!(
        "no WebSocket passes here, as in nginx. It would with: {}",
        missing.join(" ")
    );
    if asking.is_none() {
        text += &format!(" and in http: {MAP}");
    }
    // Where some of it is there, that is the line to look at.
    let begun = [upgrade, connection].into_iter().flatten().next();
    findings.hint(begun.map_or(&line.place, |field| &field.place), text);
    false
}

fn speaks_1_1(scope: &Scope, version: Version) -> bool {
    scope
        .http_1_1
        .as_ref()
        .map_or(version.speaks_1_1(), |said| said.value)
}

fn asked_in_1_0(upgrade: &Field, scope: &Scope, version: Version, findings: &mut Findings) {
    if speaks_1_1(scope, version) {
        return;
    }
    let place = scope.http_1_1.as_ref().map_or(&upgrade.place, |said| &said.place);
    let text = "nginx sends this upgrade in HTTP/1.0, unless it is 1.29.7 or later: only an upstream that does not look at the \
                version answers 101 to that. Write proxy_http_version 1.1; here it is sent in 1.1 either way";
    findings.hint(place, text);
}

/// Of `Connection` nginx sends the first line, of all others every line.
fn repeated(scope: &Scope, findings: &mut Findings) {
    for (index, field) in scope.set.iter().enumerate() {
        if !scope.set[..index].iter().any(|before| before.is(&field.name)) {
            continue;
        }
        let text = match ["Connection", "Host", "Upgrade"]
            .iter()
            .find(|name| field.is(name))
        {
            Some(name) => format!("proxy_set_header {name} is there already: the first line holds"),
            None => format!(
                "proxy_set_header {} is there already: the upstream gets both lines",
                field.name
            ),
        };
        findings.hint(&field.place, text);
    }
}

fn lost_by_inheritance(scope: &Scope, upgrade: bool, connection: bool, findings: &mut Findings) {
    let own = scope.set.first();
    for (name, is_here) in [("Upgrade", upgrade), ("Connection", connection)] {
        let outer = scope.not_inherited.iter().find(|field| field.is(name));
        if let (Some(outer), Some(own), false) = (outer, own, is_here) {
            let text = format!(
                "because of this line the proxy_set_header {name} of {} does not hold here: repeat it",
                outer.place
            );
            findings.hint(&own.place, text);
        }
    }
}

fn constant_connection(connection: &Field, findings: &mut Findings) {
    if let Some(value) = connection.value.constant() {
        let text = format!(
            "nginx says Connection: {value} of every request, also of those without Upgrade. Write \
             proxy_set_header Connection $connection_upgrade; and in http: {MAP}"
        );
        findings.hint(&connection.place, text);
    }
}

fn tokens(upgrade: &Field, findings: &mut Findings) {
    if upgrade
        .value
        .source()
        .trim_matches(['$', '{', '}'])
        .eq_ignore_ascii_case("http_upgrade")
    {
        let text = "nginx lets every protocol through that a client names, h2c too. Here websocket passes, and what --allow-upgrade names. For nginx \
                    write proxy_set_header Upgrade $websocket; and in http: \
                    map $http_upgrade $websocket { ~*^websocket$ websocket; default ''; }";
        findings.hint(&upgrade.place, text);
    }
}

fn waits(line: &Directive, scope: &Scope, findings: &mut Findings) {
    let said = scope.upstream_read_timeout.as_ref();
    let (seconds, place) = said.map_or((60, &line.place), |said| (said.value.as_secs(), &said.place));
    if seconds <= 60 {
        let said = if said.is_some() {
            ""
        } else {
            ", which is what holds without the line"
        };
        let text = format!(
            "proxy_read_timeout {seconds}s{said}: a WebSocket ends when neither side has sent a byte for so long. Let one \
             of them send pings more often, or write proxy_read_timeout 3600s;"
        );
        findings.hint(place, text);
    }
    if let Some(place) = &scope.response_buffers {
        let instead = match &scope.response_head {
            None => {
                "Write proxy_buffer_size 64k; beside it, where this is run by nginx: without it 64k hold here"
            }
            Some(_) => "Of the two lines that is the one that helps; nginx only wants this one to go with it",
        };
        let text = format!(
            "proxy_buffers has no bearing on a WebSocket, and none on \"upstream sent too big header\": the head of the \
             response has to fit proxy_buffer_size alone. {instead}"
        );
        findings.hint(place, text);
    }
}

fn response_fields(scope: &Scope, findings: &mut Findings) {
    for field in &scope.added {
        if field.name.to_ascii_lowercase().starts_with("access-control-") {
            let text = format!(
                "{}: CORS does not govern WebSockets, no browser looks at it. What keeps the pages of others out is the \
                 Origin. Write in http: map $http_origin $foreign {{ default 1; https://example.com 0; }} and here: \
                 if ($foreign) {{ return 403; }}",
                field.name
            );
            findings.hint(&field.place, text);
        } else if !field.always {
            let text = format!(
                "add_header {} without always is not for a 101: write always behind it",
                field.name
            );
            findings.hint(&field.place, text);
        }
    }
}

fn host_and_origin(line: &Directive, scope: &Scope, proxy: &Proxy, findings: &mut Findings) {
    let instead = "Servers compare it with Origin: write proxy_set_header Host $http_host;";
    let last = scope.set.iter().find(|field| field.is("Host"));
    let (place, value) = last.map_or((&line.place, ""), |field| (&field.place, field.value.source()));
    let sent: Option<&Place> = match value {
        "" | "$proxy_host" | "${proxy_host}" => Some(place),
        value if value.contains("proxy_port") => {
            let text = format!("Host {value} has the client's host with the upstream's port. {instead}");
            findings.hint(place, text);
            None
        }
        _ => None,
    };
    if let Some(place) = sent {
        let host = match &proxy.whom {
            Pass::Fixed { target, .. } => &*target.host,
            Pass::Variable(_) => "$proxy_host",
        };
        let text = format!("the upstream receives Host: {host}, its own name here. {instead}");
        findings.hint(place, text);
    }
    let origin = scope.set.iter().find(|field| field.is("Origin"));
    if let Some(field) = origin.filter(|field| !field.value.source().contains("http_origin")) {
        let text = "with an Origin of the proxy's own the upstream takes the pages of all the web for its own: leave it out, \
                    and let the upstream know the origins that may connect";
        findings.hint(&field.place, text);
    }
}

fn slash_of_location(line: &Directive, pattern: &Pattern, findings: &mut Findings) {
    let Pattern::Prefix { path, .. } = pattern else {
        return;
    };
    if let Some(path) = path.strip_suffix('/').filter(|path| !path.is_empty()) {
        let text = format!(
            "a WebSocket to {path}, without the slash at the end, gets a redirection, which no browser follows: write \
             location {path} if it is to be served too"
        );
        findings.hint(&line.place, text);
    }
}

fn slashes_of_replacement(line: &Directive, pattern: &Pattern, proxy: &Proxy, findings: &mut Findings) {
    let (Pattern::Prefix { path, .. }, Pass::Fixed { target, .. }) = (pattern, &proxy.whom) else {
        return;
    };
    let Some(replacement) = &target.replacement else {
        return;
    };
    let text = match (path.ends_with('/'), replacement.ends_with('/')) {
        (false, true) => format!(
            "nginx makes {replacement}/x of {path}/x, with two slashes, and lets {path}../x climb out. Here there is one. \
             Write both with a slash at the end, or both without"
        ),
        (true, false) => format!(
            "nginx makes {replacement}x of {path}x, without a slash between. Here there is one. Write both with a slash at \
             the end, or both without"
        ),
        _ => return,
    };
    findings.hint(&line.place, text);
}
