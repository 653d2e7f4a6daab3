//! The costs as bars: one group for each load, each to its own scale, the number beside the bar. Readable on light and
//! on dark ground.

use std::fmt::Write;

use super::load::Metric;
use super::report::Report;

const BAR: usize = 14;
const GAP: usize = 26;
const LEFT: usize = 150;
const LONGEST: usize = 460;
const WIDTH: usize = 820;

/// Ours stands out; the others are distinguished by their names.
const STYLE: &str = "\
text { font: 11px system-ui, sans-serif; fill: currentColor }
.title { font-weight: 600; font-size: 12px }
.name { text-anchor: end }
.ours { fill: #0969da } .theirs { fill: #9aa4af }
@media (prefers-color-scheme: dark) {
  svg:root { color: #e6edf3 } .ours { fill: #58a6ff } .theirs { fill: #6e7681 }
}";

/// The medians of all costs.
pub(crate) fn svg(report: &Report) -> String {
    let mut body = String::new();
    let mut y = 10;
    for metric in Metric::ALL.into_iter().filter(|metric| metric.is_cost()) {
        for load in report.loads(metric) {
            y += GAP;
            let _ = writeln!(
                body,
                "<text class=\"title\" x=\"10\" y=\"{}\">{load}: {}</text>",
                y - 7,
                metric.title()
            );
            y = group(&mut body, report, metric, load, y);
        }
    }
    let height = y + 14;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>What the same work costs each proxy; shorter is cheaper</title>\n\
         <style>\n{STYLE}\n</style>\n{body}</svg>\n"
    )
}

/// The bars of one load. Returns where they end.
fn group(body: &mut String, report: &Report, metric: Metric, load: &str, mut y: usize) -> usize {
    let medians: Vec<Option<f64>> = (0..report.names.len())
        .map(|peer| report.median(metric, load, peer))
        .collect();
    let largest = medians
        .iter()
        .flatten()
        .copied()
        .fold(f64::MIN_POSITIVE, f64::max);
    for (peer, (name, median)) in report.names.iter().zip(medians).enumerate() {
        let Some(median) = median else { continue };
        let class = if report.ours == Some(peer) {
            "ours"
        } else {
            "theirs"
        };
        let length = (median / largest * LONGEST as f64).max(1.0);
        let decimals = metric.decimals();
        let compared = report
            .ratio(metric, load, peer)
            .map(|ratio| format!(" (ours is {ratio:.2} of it)"))
            .unwrap_or_default();
        let text = y + BAR - 4;
        let _ = writeln!(
            body,
            "<text class=\"name\" x=\"{}\" y=\"{text}\">{name}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{}\" rx=\"2\"/>\
             <text x=\"{:.1}\" y=\"{text}\">{median:.decimals$}{compared}</text>",
            LEFT - 8,
            BAR - 3,
            LEFT as f64 + length + 6.0,
        );
        y += BAR;
    }
    y
}
