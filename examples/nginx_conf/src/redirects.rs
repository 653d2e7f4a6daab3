//! `proxy_redirect`: where an upstream sends the client, as the client sees it.

use http::header::{HeaderMap, HeaderValue, LOCATION, REFRESH};
use switchover::header::rules::HeaderRules;

use super::findings::Findings;
use super::locations::Pattern;
use super::names::Names;
use super::regex::Regex;
use super::text::{Asked, Text};
use super::tree::Directive;

/// One `proxy_redirect`.
#[derive(Clone, Debug)]
pub(crate) enum Redirection {
    /// What holds without a line: what `proxy_pass` names becomes what the location is for.
    Default,
    Own(Redirect),
    Off,
}

/// What of an address is replaced, and by what.
#[derive(Clone, Debug)]
pub(crate) enum Redirect {
    /// Its start.
    Prefix(Text, Text),
    /// All of it, where it has the pattern.
    Regex(Regex, Text),
}

impl Redirection {
    pub(crate) fn read(
        line: &Directive,
        names: &Names,
        findings: &mut Findings,
    ) -> Result<Redirection, String> {
        let mut text = |source: &str| Text::parse(source, names, &line.place, findings);
        Ok(match &line.arguments[..] {
            [word] if word == "off" => Redirection::Off,
            [word] if word == "default" => Redirection::Default,
            [from, to] if from.starts_with('~') => {
                Redirection::Own(Redirect::Regex(Regex::behind_tilde(from)?, text(to)))
            }
            [from, to] => Redirection::Own(Redirect::Prefix(text(from), text(to))),
            _ => return Err("proxy_redirect takes off, default, or two texts".to_owned()),
        })
    }

    /// What holds in a location for this path, with this URL; none of it is by default where the URL has variables.
    pub(crate) fn of_location(
        said: &[Redirection],
        url: &str,
        pattern: &Pattern,
    ) -> Result<Vec<Redirect>, String> {
        let default = || {
            let path = pattern.prefix().filter(|_| !url.contains('$'))?;
            let (from, to) = default(url, path, matches!(pattern, Pattern::Exact(_)));
            Some(Redirect::Prefix(Text::literal(&from), Text::literal(&to)))
        };
        let mut redirects = Vec::new();
        for redirection in said {
            match redirection {
                Redirection::Off => return Ok(Vec::new()),
                Redirection::Default if url.contains('$') => {
                    return Err("proxy_redirect default is not for a proxy_pass with variables".to_owned());
                }
                Redirection::Default => redirects.extend(default()),
                Redirection::Own(redirect) => redirects.push(redirect.clone()),
            }
        }
        if said.is_empty() {
            redirects.extend(default());
        }
        Ok(redirects)
    }
}

/// What is replaced by what, where nothing is said.
fn default(url: &str, path: &str, is_exact: bool) -> (String, String) {
    let has_path = url.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    let path = path.to_owned();
    match (url.ends_with('/'), path.ends_with('/')) {
        _ if !has_path => (format!("{url}/"), "/".to_owned()),
        // Where the two are joined by one slash on the way up, they are on the way down.
        (true, false) if !is_exact => (url.to_owned(), format!("{path}/")),
        (false, true) if !is_exact => (format!("{url}/"), path),
        _ => (url.to_owned(), path),
    }
}

impl Redirect {
    /// Adds it to rules, as it is for this request.
    pub(crate) fn added_to(&self, rules: HeaderRules, asked: &Asked<'_>) -> HeaderRules {
        let Redirect::Prefix(from, to) = self else {
            return rules;
        };
        // A dollar sign that a client has sent is none of a variable.
        let text = |text: &Text| text.value(asked).replace('$', "$$");
        // With bytes that no field may hold it is the start of no address.
        rules.clone().redirect(&text(from), &text(to)).unwrap_or(rules)
    }
}

/// Changes the addresses in an answer: by the first that fits. Whether the one in `Location` has been changed.
pub(crate) fn apply(
    redirects: &[Redirect],
    headers: &mut HeaderMap,
    status: http::StatusCode,
    asked: &Asked<'_>,
) -> bool {
    for redirect in redirects {
        let location = headers.get(LOCATION).cloned();
        let refresh = headers.get("refresh").cloned();
        match redirect {
            Redirect::Prefix(..) => {
                let rules = redirect.added_to(HeaderRules::default(), asked);
                rules.apply_to_response(headers, status, &asked.variables());
            }
            Redirect::Regex(regex, to) => {
                for name in [LOCATION, REFRESH] {
                    let value = headers.get(&name).and_then(|value| value.to_str().ok());
                    // The address is behind the time, in a field that has one.
                    let at = value.and_then(|value| match name == REFRESH {
                        true => Some(value.to_ascii_lowercase().find("url=")? + "url=".len()),
                        false => Some(0),
                    });
                    let Some((time, address)) = value.zip(at).map(|(value, at)| value.split_at(at)) else {
                        continue;
                    };
                    if !asked.matches(regex, address) {
                        continue;
                    }
                    if let Ok(value) = HeaderValue::try_from(format!("{time}{}", to.value(asked))) {
                        headers.insert(name, value);
                    }
                }
            }
        }
        if location.as_ref() != headers.get(LOCATION) {
            return true;
        }
        if refresh.as_ref() != headers.get("refresh") {
            return false;
        }
    }
    false
}
