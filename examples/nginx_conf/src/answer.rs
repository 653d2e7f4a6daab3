//! `return`: what the proxy answers by itself.

use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Response, StatusCode};

use super::findings::Findings;
use super::text::{Asked, Text};
use super::tree::Directive;

/// `return`.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    /// The text, or where a redirection leads.
    text: Text,
}

/// What nginx calls a request that it closes without a word.
pub(crate) const NO_ANSWER: u16 = 444;

impl Answer {
    /// A status without a text.
    pub(crate) fn plain(status: StatusCode) -> Answer {
        Answer {
            status,
            text: Text::default(),
        }
    }

    /// What `return …` says. None with an error among the findings.
    pub(crate) fn read(directive: &Directive, names: &[String], findings: &mut Findings) -> Option<Answer> {
        let (place, arguments) = (&directive.place, &directive.arguments[..]);
        let (status, text) = match arguments {
            [url] if url.parse::<u16>().is_err() => ("302", &**url),
            [status] => (&**status, ""),
            [status, text] => (&**status, &**text),
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
            findings.error(
                place,
                format!("{} has no status that could be answered", directive.shown()),
            );
            return None;
        };
        Some(Answer {
            status,
            text: Text::parse(text, names, place, findings),
        })
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn response(&self, asked: &Asked<'_>, default_type: &str) -> Response<String> {
        let text = self.text.value(asked);
        let mut response = Response::new(String::new());
        *response.status_mut() = self.status;
        let redirects = matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let (name, value) = match redirects {
            true => (LOCATION, text),
            false if text.is_empty() => {
                if !self.status.is_success() {
                    *response.body_mut() = format!("{}\n", self.status);
                }
                (CONTENT_TYPE, "text/plain".to_owned())
            }
            false => {
                *response.body_mut() = text;
                (CONTENT_TYPE, default_type.to_owned())
            }
        };
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
