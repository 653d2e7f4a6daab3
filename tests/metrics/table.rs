//! The table of the manual is what is recorded: names, kinds, units and labels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use switchover::test_util::{Script, UPGRADE_REQUEST};
use switchover::upstream::{Group, Server};

use crate::service::asked;
use crate::tunnel::{answered_pings, closed_by_both, message};
use crate::{Recorded, recorded};

/// What is said of a metric: its kind, its unit, and the names of its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Meter {
    kind: String,
    unit: Option<Unit>,
}

/// A row of the table.
struct Row {
    meter: Meter,
    labels: BTreeSet<String>,
    /// The words that the row has for a label, where it has words for it.
    words: BTreeMap<String, BTreeSet<String>>,
}

fn backticked(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

fn table() -> BTreeMap<String, Row> {
    let manual = include_str!("../../src/manual/operators.md");
    let (_, rows) = manual
        .split_once("| name | kind | unit | labels |")
        .expect("the table is there");
    let rows = rows.lines().skip(2).take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (mut labels, mut words) = (BTreeSet::new(), BTreeMap::new());
        for part in cells[3].split("; ") {
            let (names, values) = part.split_once(": ").unwrap_or((part, ""));
            // What stands behind the words of the last label says something of the metric.
            let values = values.split(". ").next().unwrap_or_default();
            for name in backticked(names) {
                words.insert(name.clone(), backticked(values).collect());
                labels.insert(name);
            }
        }
        let unit = match cells[2] {
            "seconds" => Unit::Seconds,
            "bytes" => Unit::Bytes,
            _ => Unit::Count,
        };
        let meter = Meter {
            kind: cells[1].to_owned(),
            unit: Some(unit),
        };
        (
            cells[0].trim_matches('`').to_owned(),
            Row { meter, labels, words },
        )
    };
    rows.map(row).collect()
}

/// Writes down what is described.
#[derive(Default)]
struct Described(Mutex<BTreeMap<String, Meter>>);

impl Described {
    fn add(&self, name: &KeyName, kind: &str, unit: Option<Unit>) {
        let meter = Meter {
            kind: kind.to_owned(),
            unit,
        };
        let former = self.0.lock().unwrap().insert(name.as_str().to_owned(), meter);
        assert!(former.is_none(), "{name:?} is described once");
    }
}

impl Recorder for Described {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.add(&name, "counter", unit);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.add(&name, "gauge", unit);
    }

    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.add(&name, "histogram", unit);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn the_manual_has_every_metric_with_its_kind_and_its_unit() {
    let described = Described::default();
    metrics::with_local_recorder(&described, switchover::describe_metrics);
    let table = table().into_iter().map(|(name, row)| (name, row.meter));
    assert_eq!(*described.0.lock().unwrap(), table.collect());
}

/// At least one series of every metric.
async fn all() -> Vec<Recorded> {
    let forbidden = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
    let no_content = "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    let version_12 = UPGRADE_REQUEST.replacen("Version: 13", "Version: 12", 1);
    vec![
        asked(Some(Script::websocket_echo()), UPGRADE_REQUEST, 101).await,
        asked(Some(Script::websocket_echo()), &version_12, 426).await,
        asked(Some(Script::answering(forbidden)), UPGRADE_REQUEST, 403).await,
        asked(None, UPGRADE_REQUEST, 502).await,
        asked(
            Some(Script::answering(no_content)),
            "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
            204,
        )
        .await,
        closed_by_both().await,
        message().await,
        recorded(async {
            Group::of([Server::to("192.0.2.9:9000")]).record_metrics();
        })
        .await,
    ]
}

/// Of every metric, the labels of each series are those of its row, and their values are words of the row where it has any.
#[tokio::test]
async fn the_manual_has_every_label_with_its_words() {
    check(all().await);
}

#[tokio::test(start_paused = true)]
async fn the_manual_has_the_labels_of_pings() {
    check_series(&table(), &answered_pings().await);
}

fn check(recorded: Vec<Recorded>) {
    let table = table();
    let mut seen = BTreeSet::new();
    for recorded in &recorded {
        seen.extend(check_series(&table, recorded));
    }
    // Pings have a test of their own, in a time of their own.
    seen.insert("switchover_websocket_ping_seconds".to_owned());
    let names: BTreeSet<String> = table.keys().cloned().collect();
    assert_eq!(seen, names, "the test records a series of every metric");
}

/// Returns the names of the metrics that have a series.
fn check_series(table: &BTreeMap<String, Row>, recorded: &Recorded) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    assert!(!recorded.0.is_empty());
    for series in recorded.0.keys() {
        let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap();
        let row = table.get(name).unwrap_or_else(|| panic!("no row for {name}"));
        let labels: BTreeMap<&str, &str> = labels
            .split(',')
            .filter_map(|label| label.split_once('='))
            .collect();
        let names: BTreeSet<String> = labels.keys().map(|name| (*name).to_owned()).collect();
        assert_eq!(names, row.labels, "{series}");
        for (label, value) in labels {
            let words = &row.words[label];
            // `Type::name` stands for its words, and `1000` to `1014` for a range.
            let is_closed =
                label != "code" && label != "status" && !words.iter().any(|word| word.contains("::"));
            assert!(
                words.is_empty() || !is_closed || words.contains(value),
                "{series}: {value} is none of {words:?}"
            );
        }
        seen.insert(name.to_owned());
    }
    seen
}
