//! `--nginx-version`: whose defaults hold.

/// What `$nginx_version` says.
pub(crate) const CLAIMED: &str = "1.22.1";

/// A version of nginx, as far as defaults differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Version {
    /// Upstreams are spoken to in HTTP/1.0 and asked to close, unless it is said otherwise.
    #[default]
    V1_22,
    /// From 1.29.7: in HTTP/1.1, on connections that are kept.
    V1_30,
}

impl Version {
    /// `1.22`, `1.22.1`, `1.30` and what lies between.
    pub(crate) fn read(text: &str) -> Result<Version, String> {
        let wrong = || format!("--nginx-version {text}: a version is written as 1.22 or 1.30");
        let mut numbers = text
            .split('.')
            .map(|number| number.parse::<u32>().map_err(|_| wrong()));
        let major = numbers.next().ok_or_else(wrong)??;
        let minor = numbers.next().ok_or_else(wrong)??;
        let patch = numbers.next().transpose()?.unwrap_or(0);
        match (major, minor, patch) {
            (major, minor, patch) if (major, minor, patch) >= (1, 29, 7) => Ok(Version::V1_30),
            (1, 0.., _) => Ok(Version::V1_22),
            _ => Err(wrong()),
        }
    }

    /// Whether upstreams are spoken to in HTTP/1.1 where nothing is said.
    pub(crate) fn speaks_1_1(self) -> bool {
        self == Version::V1_30
    }
}
