//! `proxy_cookie_path`, `proxy_cookie_domain` and `proxy_cookie_flags`: what a client receives in `Set-Cookie`.

use http::header::{HeaderMap, HeaderValue, SET_COOKIE};

use super::findings::Findings;
use super::names::Names;
use super::regex::Regex;
use super::text::{Asked, Text};
use super::tree::Directive;

/// One such line.
#[derive(Clone, Debug)]
pub(crate) struct CookieRule {
    attribute: Attribute,
    from: From,
    to: Text,
    flags: Vec<Text>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    Path,
    Domain,
    Flags,
}

#[derive(Clone, Debug)]
enum From {
    /// Nothing is changed, by this line and those behind it.
    Off,
    Prefix(Text),
    Regex(Regex),
}

impl CookieRule {
    pub(crate) fn is_of(&self, directive: &str) -> bool {
        let own = match self.attribute {
            Attribute::Path => "proxy_cookie_path",
            Attribute::Domain => "proxy_cookie_domain",
            Attribute::Flags => "proxy_cookie_flags",
        };
        own == directive
    }

    pub(crate) fn read(
        line: &Directive,
        names: &Names,
        findings: &mut Findings,
    ) -> Result<Option<CookieRule>, String> {
        let attribute = match &*line.name {
            "proxy_cookie_path" => Attribute::Path,
            "proxy_cookie_domain" => Attribute::Domain,
            _ => Attribute::Flags,
        };
        let mut rule = CookieRule {
            attribute,
            from: From::Off,
            to: Text::default(),
            flags: Vec::new(),
        };
        let (from, rest) = match &line.arguments[..] {
            [off] if off == "off" => return Ok(Some(rule)),
            [from, rest @ ..] => (from, rest),
            [] => return Err(format!("{} takes what is replaced, and by what", line.name)),
        };
        rule.from = match from.strip_prefix('~') {
            Some(body) => From::Regex(Regex::new(body.strip_prefix('*').unwrap_or(body), true)?),
            None => {
                let from = match attribute {
                    Attribute::Domain => from.strip_prefix('.').unwrap_or(from),
                    _ => from,
                };
                From::Prefix(Text::parse(from, names, &line.place, findings))
            }
        };
        match (attribute, rest) {
            (Attribute::Flags, flags) => {
                let texts = flags
                    .iter()
                    .map(|flag| Text::parse(flag, names, &line.place, findings));
                rule.flags = texts.collect();
            }
            (Attribute::Domain, [to]) => {
                // As in nginx: the dot in front is that of the cookie.
                let to = to.strip_prefix('.').unwrap_or(to);
                rule.to = Text::parse(to, names, &line.place, findings);
            }
            (_, [to]) => rule.to = Text::parse(to, names, &line.place, findings),
            _ => return Err(format!("{} takes what is replaced, and by what", line.name)),
        }
        Ok(Some(rule))
    }

    /// What takes the place of a value; none where the rule is not for it.
    fn replaced(&self, value: &str, asked: &Asked<'_>) -> Option<String> {
        match &self.from {
            From::Off => None,
            From::Regex(regex) => {
                let captures = regex.captures(value).ok().flatten()?;
                let whole = captures.first().cloned().flatten()?;
                asked.state.matched(captures, &[]);
                let to = self.to.value(asked);
                match self.attribute {
                    // The rest of a path stays.
                    Attribute::Path => Some(value.replacen(&whole, &to, 1)),
                    _ => Some(to),
                }
            }
            From::Prefix(from) => {
                let from = from.value(asked);
                match self.attribute {
                    Attribute::Path => Some(self.to.value(asked) + value.strip_prefix(&*from)?),
                    _ => {
                        let (dot, bare) = value.strip_prefix('.').map_or(("", value), |bare| (".", bare));
                        bare.eq_ignore_ascii_case(&from)
                            .then(|| format!("{dot}{}", self.to.value(asked)))
                    }
                }
            }
        }
    }
}

/// Changes all cookies of a response.
pub(crate) fn apply(rules: &[CookieRule], headers: &mut HeaderMap, asked: &Asked<'_>) {
    if rules.is_empty() || !headers.contains_key(SET_COOKIE) {
        return;
    }
    let lines: Vec<HeaderValue> = headers.get_all(SET_COOKIE).iter().cloned().collect();
    headers.remove(SET_COOKIE);
    for line in lines {
        let changed = line.to_str().ok().map(|line| changed(rules, line, asked));
        let changed = changed.and_then(|text| HeaderValue::try_from(text).ok());
        headers.append(SET_COOKIE, changed.unwrap_or(line));
    }
}

fn changed(rules: &[CookieRule], line: &str, asked: &Asked<'_>) -> String {
    let mut parts: Vec<String> = line.split(';').map(str::to_owned).collect();
    for (name, attribute) in [("path", Attribute::Path), ("domain", Attribute::Domain)] {
        let of_it = || rules.iter().filter(move |rule| rule.attribute == attribute);
        for part in parts.iter_mut().skip(1) {
            let Some((key, value)) = part.split_once('=') else {
                continue;
            };
            if !key.trim().eq_ignore_ascii_case(name) {
                continue;
            }
            let own = of_it().take_while(|rule| !matches!(rule.from, From::Off));
            let mut replaced = own.filter_map(|rule| rule.replaced(value.trim(), asked));
            if let Some(replaced) = replaced.next() {
                *part = format!("{key}={replaced}");
            }
        }
    }
    let name = parts[0].split('=').next().unwrap_or_default().trim().to_owned();
    let mut of_flags = rules.iter().filter(|rule| rule.attribute == Attribute::Flags);
    let flags = of_flags.find(|rule| match &rule.from {
        From::Off => false,
        From::Prefix(from) => name.eq_ignore_ascii_case(&from.value(asked)),
        From::Regex(regex) => regex.is_match(&name).unwrap_or(false),
    });
    let mut flags: Vec<_> = flags
        .iter()
        .flat_map(|rule| &rule.flags)
        .map(|flag| flag.value(asked))
        .collect();
    // In nginx's order, whatever theirs is.
    flags.sort_by_key(|flag| match flag.trim_start_matches("no").to_ascii_lowercase() {
        flag if flag == "secure" => 0,
        flag if flag == "httponly" => 1,
        _ => 2,
    });
    for flag in flags {
        set_flag(&mut parts, &flag);
    }
    parts.join(";")
}

/// `secure`, `nosecure`, `httponly`, `samesite=strict` and their opposites.
fn set_flag(parts: &mut Vec<String>, flag: &str) {
    let flag = flag.to_ascii_lowercase();
    let (name, is_off) = match flag.strip_prefix("no") {
        Some(name) => (name.to_owned(), true),
        None => (flag.split('=').next().unwrap_or_default().to_owned(), false),
    };
    let is_it = |part: &String| {
        part.split('=')
            .next()
            .is_some_and(|key| key.trim().eq_ignore_ascii_case(&name))
    };
    let written = match &*flag {
        "secure" => " Secure".to_owned(),
        "httponly" => " HttpOnly".to_owned(),
        "samesite=strict" => " SameSite=Strict".to_owned(),
        "samesite=lax" => " SameSite=Lax".to_owned(),
        "samesite=none" => " SameSite=None".to_owned(),
        _ => String::new(),
    };
    let mut at = 0;
    parts.retain(|part| {
        at += 1;
        at == 1 || !is_it(part)
    });
    if !is_off && !written.is_empty() {
        parts.push(written);
    }
}
