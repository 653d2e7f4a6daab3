//! The numbers: medians over rounds, ratios within a round, as a table and as JSON.

use std::fmt::Write;

use super::load::Metric;

/// One number.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) round: usize,
    pub(crate) load: String,
    /// Its place among the report's names.
    pub(crate) peer: usize,
    pub(crate) metric: Metric,
    pub(crate) value: f64,
}

/// All numbers.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) names: Vec<String>,
    /// Which of them is the one that the others are compared with.
    pub(crate) ours: Option<usize>,
    samples: Vec<Sample>,
}

impl Report {
    pub(crate) fn new(names: Vec<String>, ours: Option<usize>) -> Report {
        Report {
            names,
            ours,
            samples: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, samples: impl Iterator<Item = Sample>) {
        self.samples.extend(samples);
    }

    /// The loads that have this metric, in the order in which they ran.
    pub(crate) fn loads(&self, metric: Metric) -> Vec<&str> {
        let mut loads = Vec::new();
        for sample in self.samples.iter().filter(|sample| sample.metric == metric) {
            if !loads.contains(&sample.load.as_str()) {
                loads.push(&sample.load);
            }
        }
        loads
    }

    fn values(&self, metric: Metric, load: &str, peer: usize) -> impl Iterator<Item = &Sample> {
        let of =
            move |sample: &&Sample| sample.metric == metric && sample.load == load && sample.peer == peer;
        self.samples.iter().filter(of)
    }

    /// The median over rounds.
    pub(crate) fn median(&self, metric: Metric, load: &str, peer: usize) -> Option<f64> {
        median(
            self.values(metric, load, peer)
                .map(|sample| sample.value)
                .collect(),
        )
    }

    /// The median of ours divided by theirs, each pair from one round.
    pub(crate) fn ratio(&self, metric: Metric, load: &str, peer: usize) -> Option<f64> {
        let ours = self.ours.filter(|ours| *ours != peer)?;
        let pairs = self.values(metric, load, ours).filter_map(|mine| {
            let theirs = self
                .values(metric, load, peer)
                .find(|theirs| theirs.round == mine.round)?;
            Some(mine.value / theirs.value)
        });
        median(pairs.filter(|ratio| ratio.is_finite()).collect())
    }

    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        for metric in Metric::ALL {
            let loads = self.loads(metric);
            if loads.is_empty() {
                continue;
            }
            let _ = write!(text, "\n{:<42}", metric.title());
            for name in &self.names {
                let _ = write!(text, "{name:>16}");
            }
            text.push('\n');
            for load in loads {
                self.row(&mut text, &format!("  {load}"), metric.decimals(), |peer| {
                    self.median(metric, load, peer)
                });
                self.row(&mut text, "    ours / theirs", 2, |peer| {
                    self.ratio(metric, load, peer)
                });
            }
        }
        text
    }

    fn row(&self, text: &mut String, title: &str, decimals: usize, value: impl Fn(usize) -> Option<f64>) {
        let values: Vec<Option<f64>> = (0..self.names.len()).map(value).collect();
        if values.iter().all(Option::is_none) {
            return;
        }
        let _ = write!(text, "{title:<42}");
        for value in values {
            let _ = match value {
                Some(value) => write!(text, "{value:>16.decimals$}"),
                None => write!(text, "{:>16}", ""),
            };
        }
        text.push('\n');
    }

    /// Every number, and the medians, as JSON.
    pub(crate) fn json<'a>(
        &self,
        machine: &str,
        cores: &str,
        versions: impl Iterator<Item = &'a str>,
    ) -> String {
        let mut proxies = Vec::new();
        for (name, version) in self.names.iter().zip(versions) {
            proxies.push(format!(
                "{{\"name\":{},\"version\":{}}}",
                quote(name),
                quote(version)
            ));
        }
        let (mut medians, mut samples) = (Vec::new(), Vec::new());
        for metric in Metric::ALL {
            for load in self.loads(metric) {
                for (peer, name) in self.names.iter().enumerate() {
                    let Some(median) = self.median(metric, load, peer) else {
                        continue;
                    };
                    let ratio = self.ratio(metric, load, peer);
                    medians.push(format!(
                        "{{\"metric\":{},\"load\":{},\"proxy\":{},\"median\":{median},\"ours_to_theirs\":{}}}",
                        quote(metric.title()),
                        quote(load),
                        quote(name),
                        ratio.map_or_else(|| "null".to_owned(), |ratio| ratio.to_string()),
                    ));
                }
            }
        }
        for sample in &self.samples {
            samples.push(format!(
                "{{\"metric\":{},\"load\":{},\"proxy\":{},\"round\":{},\"value\":{}}}",
                quote(sample.metric.title()),
                quote(&sample.load),
                quote(&self.names[sample.peer]),
                sample.round,
                sample.value,
            ));
        }
        format!(
            "{{\n\"machine\":{},\n\"cores\":{},\n\"proxies\":[\n{}\n],\n\"medians\":[\n{}\n],\n\"samples\":[\n{}\n]\n}}\n",
            quote(machine),
            quote(cores),
            proxies.join(",\n"),
            medians.join(",\n"),
            samples.join(",\n"),
        )
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            _ if character.is_control() => quoted.push(' '),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}
