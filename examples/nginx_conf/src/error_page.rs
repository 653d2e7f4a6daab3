//! `error_page`: which page takes the place of an answer.

use http::StatusCode;

use super::findings::Findings;
use super::names::Names;
use super::text::Text;
use super::tree::Directive;

/// One `error_page`.
#[derive(Clone, Debug)]
pub(crate) struct ErrorPage {
    statuses: Vec<u16>,
    /// None keeps the status; `=` is that of the page.
    pub(crate) instead: Instead,
    pub(crate) to: Text,
}

/// Which status the page is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    Kept,
    OfPage,
    Status(StatusCode),
}

impl ErrorPage {
    pub(crate) fn read(
        line: &Directive,
        names: &Names,
        findings: &mut Findings,
    ) -> Result<ErrorPage, String> {
        let [codes @ .., to] = &line.arguments[..] else {
            return Err("error_page takes statuses and a page".to_owned());
        };
        let (codes, instead) = match codes {
            [codes @ .., last] if last == "=" => (codes, Instead::OfPage),
            [codes @ .., last] if last.starts_with('=') => {
                let status = last[1..].parse().ok();
                let status = status.ok_or_else(|| format!("error_page: {last} is no status"))?;
                (codes, Instead::Status(status))
            }
            codes => (codes, Instead::Kept),
        };
        let statuses: Result<Vec<u16>, String> = codes
            .iter()
            .map(|code| match code.parse() {
                Ok(code @ 300..=599) => Ok(code),
                _ => Err(format!("error_page: {code} is no status from 300 to 599")),
            })
            .collect();
        let statuses = statuses?;
        if statuses.is_empty() {
            return Err("error_page takes statuses and a page".to_owned());
        }
        Ok(ErrorPage {
            statuses,
            instead,
            to: Text::parse(to, names, &line.place, findings),
        })
    }

    pub(crate) fn is_for(&self, status: StatusCode) -> bool {
        self.statuses.contains(&status.as_u16())
    }
}
