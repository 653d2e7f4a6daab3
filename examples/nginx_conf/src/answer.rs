//! `return`: what the proxy answers by itself, and the body of an answer that has none.

use http::StatusCode;

use super::findings::Findings;
use super::names::Names;
use super::text::Text;
use super::tree::Directive;

/// What nginx calls a request that it closes without a word.
pub(crate) const NO_ANSWER: u16 = 444;

/// `return`.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The text, or where a redirection leads; none for the page that belongs to the status.
    pub(crate) text: Option<Text>,
}

impl Answer {
    /// What `return …` says. None with an error among the findings.
    pub(crate) fn read(directive: &Directive, names: &Names, findings: &mut Findings) -> Option<Answer> {
        let place = &directive.place;
        let (status, text) = match &directive.arguments[..] {
            [url] if url.parse::<u16>().is_err() => ("302", Some(url)),
            [status] => (&**status, None),
            [status, text] => (&**status, Some(text)),
            _ => {
                findings.error(place, "return takes a status and a text, or a URL");
                return None;
            }
        };
        let status = status
            .parse()
            .ok()
            .and_then(|code| StatusCode::from_u16(code).ok());
        // What is interim is no answer.
        let Some(status) = status.filter(|status| !status.is_informational()) else {
            let text = format!("{} has no status that could be answered", directive.shown());
            findings.error(place, text);
            return None;
        };
        Some(Answer {
            status,
            text: text.map(|text| Text::parse_shown(text, names, place, findings)),
        })
    }

    /// Whether its text is where the client is sent.
    pub(crate) fn redirects(&self) -> bool {
        matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308)
    }
}
