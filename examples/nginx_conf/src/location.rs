//! `location`: which paths it is for, and what becomes of their requests.

use std::sync::Arc;

use http::StatusCode;
use switchover::gateway::Acceptor;
use switchover::route::{Locations, PathPattern};
use switchover::service::RelayConfig;

use super::access_log::{Formats, Log};
use super::answer::Answer;
use super::directives::{self, Context};
use super::fields::Fields;
use super::findings::{Findings, Place};
use super::hints;
use super::limits::{self, Limits};
use super::next_upstream;
use super::proxy_pass::{Groups, NoTarget, Target};
use super::real_ip::RealIp;
use super::redirects::Redirection;
use super::route::{Leading, Route};
use super::scope::{Reading, Scope};
use super::steps::{self, Condition, Step};
use super::tls;
use super::tree::Directive;
use super::tries;

/// A location.
#[derive(Debug)]
pub(crate) struct Location {
    /// In order.
    pub(crate) steps: Vec<Step>,
    /// Where requests go that none of the answers is for; without it, 404.
    pub(crate) proxy: Option<Arc<Proxy>>,
    /// For its own answers.
    pub(crate) fields: Fields,
    pub(crate) default_type: String,
    pub(crate) logs: Arc<[Log]>,
}

/// A location with `proxy_pass`.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Its number among all of the configuration: each worker has a relay for it.
    pub(crate) index: usize,
    pub(crate) target: Target,
    /// The group that it leads to, by the rules of this location.
    pub(crate) group: Leading,
    pub(crate) fields: Fields,
    /// Who the client is; the server may have found that out already.
    pub(crate) real_ip: Option<RealIp>,
    /// Decides on requests that ask for an upgrade, by what holds in this location.
    pub(crate) upgrades: Acceptor,
    pub(crate) relay: RelayConfig,
}

/// What locations are read with.
pub(crate) struct Surroundings<'a> {
    pub(crate) names: &'a [String],
    pub(crate) formats: &'a Formats,
    pub(crate) groups: &'a mut Groups,
    pub(crate) limits: &'a Limits,
    /// All that were read so far.
    pub(crate) proxies: &'a mut Vec<Arc<Proxy>>,
    pub(crate) findings: &'a mut Findings,
    /// Where relative paths of certificates and logs begin.
    pub(crate) prefix: &'a std::path::Path,
}

impl Surroundings<'_> {
    pub(crate) fn within(&mut self, outer: &Scope, lines: &[&Directive]) -> Scope {
        let mut reading = Reading {
            names: self.names,
            formats: self.formats,
            findings: self.findings,
        };
        outer.within(lines, &mut reading)
    }

    /// The lines of a server that are gone through before a location is looked for.
    pub(crate) fn steps(&mut self, lines: &[&Directive]) -> Vec<Step> {
        let mut steps = Vec::new();
        for line in lines {
            if line.name != "if" {
                steps.extend(steps::one(line, self.names, self.findings));
            } else if let Some(condition) = Condition::of(line, self.names, self.findings) {
                let within = steps::within_if(line, Context::Server, self.findings);
                steps.push(Step::If {
                    condition,
                    end: steps::end(&within, self.names, self.findings).map(Box::new),
                    instead: None,
                });
            }
        }
        steps
    }
}

/// Reads the locations of a server, and those within them.
pub(crate) fn read(
    lines: &[&Directive],
    outer: &Scope,
    server_name: &str,
    into: &mut Locations<Location>,
    around: &mut Surroundings<'_>,
) {
    for block in lines.iter().filter(|line| line.name == "location") {
        let inner = directives::carried_out(block.lines(), Context::Location, around.findings);
        let scope = around.within(outer, &inner);
        let pattern = pattern(block, around.findings);
        read(&inner, &scope, server_name, into, around);
        let Some(pattern) = pattern else { continue };
        let location = Location::read(block, &inner, &scope, &pattern, server_name, around);
        if let Err(why) = into.add(pattern, location) {
            around.findings.error(&block.place, format!("{why}"));
        }
    }
}

/// None for a location that no path leads to here, told of if it would be one in nginx.
fn pattern(block: &Directive, findings: &mut Findings) -> Option<PathPattern> {
    let text = match &block.arguments[..] {
        [path] if path.starts_with('@') => return None,
        [first, ..] if first.starts_with('~') => {
            left_out(block, findings);
            return None;
        }
        [path] => path.clone(),
        [modifier, path] => format!("{modifier} {path}"),
        _ => String::new(),
    };
    match text.parse() {
        Ok(pattern) => Some(pattern),
        Err(why) => {
            findings.error(&block.place, format!("{}: {why}", block.shown()));
            None
        }
    }
}

/// A regular expression. Where the location refuses what it is for, others would let that in.
fn left_out(block: &Directive, findings: &mut Findings) {
    let refuses = |line: &Directive| match &*line.name {
        "internal" => true,
        "return" => line.first().starts_with('4'),
        _ => false,
    };
    let text = format!("{}: regular expressions are not carried out", block.shown());
    match block.lines().iter().any(refuses) {
        true => findings.error(
            &block.place,
            format!("{text}, and what this one keeps out would come in by other locations"),
        ),
        false => findings.warning(&block.place, format!("{text}; other locations have its paths")),
    }
}

impl Location {
    /// Its logs, and those of what may take its place.
    pub(crate) fn logs(&self) -> impl Iterator<Item = &Log> {
        let instead = self.steps.iter().filter_map(|step| match step {
            Step::If { instead, .. } => instead.as_deref(),
            _ => None,
        });
        instead
            .flat_map(|location| location.logs.iter())
            .chain(self.logs.iter())
    }

    fn read(
        block: &Directive,
        lines: &[&Directive],
        scope: &Scope,
        pattern: &PathPattern,
        server_name: &str,
        around: &mut Surroundings<'_>,
    ) -> Location {
        let mut steps = Vec::new();
        let mut proxy = None;
        let mut is_left_out = false;
        for line in lines {
            match &*line.name {
                "internal" => steps.insert(0, Step::Answer(Answer::plain(StatusCode::NOT_FOUND))),
                "if" => steps.extend(instead(line, lines, scope, pattern, server_name, around)),
                "proxy_pass" if proxy.is_some() => {
                    around.findings.error(&line.place, "proxy_pass is there already");
                }
                "proxy_pass" => {
                    proxy = Proxy::read(line, scope, pattern, server_name, around);
                    match &proxy {
                        Some(proxy) => hints::of_proxy(line, scope, pattern, proxy, around.findings),
                        None => is_left_out = true,
                    }
                }
                _ => steps.extend(steps::one(line, around.names, around.findings)),
            }
        }
        let passes = |line: &Directive| line.name.ends_with("_pass") && line.name != "proxy_pass";
        is_left_out |= block.lines().iter().any(passes);
        if is_left_out {
            steps.push(Step::Answer(Answer::plain(StatusCode::NOT_IMPLEMENTED)));
        }
        Location {
            steps,
            proxy,
            fields: Fields::new(scope, server_name, "", around.findings),
            default_type: default_type(scope),
            logs: scope.logs.clone().into(),
        }
    }
}

/// An `if` of a location. Where it says more than `return` and `break`, it is a location with the same paths, which goes to the
/// same upstream unless it names its own.
fn instead(
    block: &Directive,
    outer: &[&Directive],
    scope: &Scope,
    pattern: &PathPattern,
    server_name: &str,
    around: &mut Surroundings<'_>,
) -> Option<Step> {
    let condition = Condition::of(block, around.names, around.findings)?;
    let mut lines = steps::within_if(block, Context::Location, around.findings);
    let end = steps::end(&lines, around.names, around.findings).map(Box::new);
    lines.retain(|line| !matches!(&*line.name, "return" | "break"));
    let mut location = None;
    if !lines.is_empty() {
        let scope = around.within(scope, &lines);
        let is_pass = |line: &&&Directive| line.name == "proxy_pass";
        match lines.iter().find(is_pass) {
            Some(own) if own.first().splitn(4, '/').nth(3).is_some() && !own.first().contains("://unix:") => {
                let text = "proxy_pass within if takes no path behind the host";
                around.findings.error(&own.place, text);
            }
            Some(_) => {}
            None => lines.extend(outer.iter().find(is_pass)),
        }
        let read = Location::read(block, &lines, &scope, pattern, server_name, around);
        location = Some(Box::new(read));
    }
    Some(Step::If {
        condition,
        end,
        instead: location,
    })
}

pub(crate) fn default_type(scope: &Scope) -> String {
    let said = scope.default_type.as_ref();
    said.map_or("text/plain", |said| &said.value).to_owned()
}

impl Proxy {
    fn read(
        line: &Directive,
        scope: &Scope,
        pattern: &PathPattern,
        server_name: &str,
        around: &mut Surroundings<'_>,
    ) -> Option<Arc<Proxy>> {
        let place: &Place = &line.place;
        let target = match Target::read(line.first(), around.groups) {
            Ok(target) => target,
            Err(NoTarget::Wrong(why)) => {
                around.findings.error(place, format!("proxy_pass {why}"));
                return None;
            }
            Err(NoTarget::LeftOut(why)) => {
                around.findings.warning(place, why);
                return None;
            }
        };
        let tls = match target.https {
            true => Some(tls::upstream(
                place,
                scope,
                &target.host,
                around.prefix,
                around.findings,
            )?),
            false => None,
        };
        let route = Route {
            tls,
            connect_timeout: limits::connect_timeout(scope),
        };
        let group = target.upstream.group.retry(next_upstream::retry(scope));
        let redirects = Redirection::of_location(&scope.redirections, line.first(), pattern, place);
        let fields = Fields::new(scope, server_name, &target.host, around.findings);
        let proxy = Arc::new(Proxy {
            index: around.proxies.len(),
            fields: fields.redirecting(redirects, around.findings),
            upgrades: Acceptor::new(around.limits.of_upgrades(scope)),
            relay: around.limits.of_relay(scope),
            real_ip: RealIp::new(scope),
            group: group.on_attempt(tries::ended).via(route),
            target,
        });
        around.proxies.push(proxy.clone());
        Some(proxy)
    }
}
