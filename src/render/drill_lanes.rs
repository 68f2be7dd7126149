//! The lanes of a drill, each an SVG as wide as the page: words stand beside them in HTML, so that they stay readable on a phone.

use std::fmt::Write as _;

use crate::model::drill::{DrillReport, Measurement, PodLife, PodState};
use crate::model::duration::rounded;
use crate::render::drill_timeline::{self, Phase, Timeline};
use crate::render::xml::escape;

/// Width of a lane in its own units.
const WIDTH: f64 = 1000.0;
/// Requests are drawn in so many columns at most.
const COLUMNS: f64 = 500.0;
/// Distances of the numbers on the axis, in seconds.
const STEPS: [f64; 14] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
/// Numbers on the axis at most.
const NUMBERS: f64 = 6.0;

/// A number as it stands in an SVG: short, and the same on every machine.
fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A lane that is being drawn.
struct Lane<'a> {
    line: &'a Timeline,
    height: f64,
    shapes: String,
}

impl<'a> Lane<'a> {
    fn new(line: &'a Timeline, height: f64) -> Self {
        Self {
            line,
            height,
            shapes: String::new(),
        }
    }

    fn x(&self, seconds: f64) -> f64 {
        self.line.place(seconds) * WIDTH
    }

    /// A stretch of time; `share` of the height, from the bottom.
    fn stretch(&mut self, from: f64, to: f64, share: f64, class: &str, title: &str) {
        let (x, width) = (self.x(from), (self.x(to) - self.x(from)).max(1.0));
        let height = self.height * share;
        let _ = writeln!(
            self.shapes,
            "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"><title>{}</title></rect>",
            short(x),
            short(self.height - height),
            short(width),
            short(height),
            escape(title)
        );
    }

    /// The lane, below its label.
    fn into_html(self, label: &str) -> String {
        let (label, height) = (escape(label), short(self.height));
        format!(
            "<div class=\"label\">{label}</div>\n<svg viewBox=\"0 0 {WIDTH} {height}\" height=\"{height}\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"{label}\">\n{}</svg>\n",
            self.shapes
        )
    }
}

fn span(from: f64, to: f64) -> String {
    format!("{} to {} s", rounded(from), rounded(to))
}

/// All lanes of a drill, with their axis and what the colours mean.
pub(crate) fn figure(report: &DrillReport) -> String {
    let line = drill_timeline::of(report);
    if line.to() <= line.from() {
        return String::new();
    }
    let mut html = String::from("<figure>\n");
    html += &phases(&line);
    for seen in &report.measured {
        html += &requests(seen, &line);
        html += &latency(seen, &line);
    }
    if !report.pods.is_empty() {
        html += &ready(&report.pods, &line);
    }
    let services: std::collections::BTreeSet<&str> = report.endpoint_gaps.iter().map(|gap| gap.service.as_str()).collect();
    for service in services {
        html += &endpoints(service, report, &line);
    }
    for life in &report.pods {
        html += &pod(life, &line);
    }
    html += &actions(report, &line);
    html += &axis(&line);
    html += &key();
    html + "</figure>\n"
}

fn phases(line: &Timeline) -> String {
    let mut lane = Lane::new(line, 24.0);
    for (phase, from, to) in &line.phases {
        let class = match phase {
            Phase::Before => "rest",
            Phase::Fault => "odd",
            Phase::Recovery => "calm",
            Phase::Recovered => "good",
        };
        lane.stretch(*from, *to, 0.5, class, &format!("{} {}", phase.as_str(), span(*from, *to)));
    }
    for (from, to) in &line.outages {
        lane.stretch(*from, *to, 1.0, "bad", &format!("outage {}", span(*from, *to)));
    }
    let words: Vec<String> = line
        .phases
        .iter()
        .map(|(phase, from, to)| format!("{} {} s", phase.as_str(), rounded(to - from)))
        .collect();
    lane.into_html(&words.join(", "))
}

/// How many of the requests that were started in a column of the lane failed.
fn requests(seen: &Measurement, line: &Timeline) -> String {
    let mut lane = Lane::new(line, 30.0);
    if seen.samples.is_empty() {
        lane.stretch(0.0, line.to(), 0.5, "good", "answered");
        for outage in &seen.outages {
            let title = format!("{} failed, {}", outage.failed, span(outage.from_seconds, outage.to_seconds));
            lane.stretch(outage.from_seconds, outage.to_seconds, 1.0, "bad", &title);
        }
    }
    let mut last: Option<(f64, f64, &str, usize, usize)> = None;
    let mut draw = |run: (f64, f64, &str, usize, usize)| {
        let (from, to, class, all, failed) = run;
        let share = if class == "good" { 0.5 } else { 1.0 };
        lane.stretch(from, to, share, class, &format!("{failed} of {all} failed, {}", span(from, to)));
    };
    for (from, to, samples) in columns(seen, line) {
        let failed = samples.iter().filter(|sample| sample.failure.is_some()).count();
        let class = match failed {
            0 => "good",
            failed if failed == samples.len() => "bad",
            _ => "odd",
        };
        match &mut last {
            Some(run) if run.2 == class && run.1 >= from => *run = (run.0, to, class, run.3 + samples.len(), run.4 + failed),
            _ => {
                if let Some(run) = last.replace((from, to, class, samples.len(), failed)) {
                    draw(run);
                }
            }
        }
    }
    if let Some(run) = last {
        draw(run);
    }
    let kinds: Vec<String> = seen.errors.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let kinds = if kinds.is_empty() {
        "none failed".to_owned()
    } else {
        kinds.join(", ")
    };
    lane.into_html(&format!("requests to {}: {kinds}", seen.client()))
}

/// The requests of each column that has some: from, to, and they.
fn columns<'a>(seen: &'a Measurement, line: &Timeline) -> Vec<(f64, f64, Vec<&'a crate::model::drill::DrillSample>)> {
    let length = line.to() - line.from();
    let count = (length / seen.interval_seconds.max(0.001)).floor().clamp(1.0, COLUMNS);
    let step = length / count;
    let mut columns = std::collections::BTreeMap::<usize, Vec<_>>::new();
    for sample in &seen.samples {
        let column = (line.place(sample.started_seconds) * count).min(count - 1.0);
        columns.entry(column as usize).or_default().push(sample);
    }
    let edge = |column: usize| line.from() + step * column as f64;
    columns
        .into_iter()
        .map(|(column, samples)| (edge(column), edge(column + 1), samples))
        .collect()
}

/// The slowest good answer of each column; the curve ends where there is none.
fn latency(seen: &Measurement, line: &Timeline) -> String {
    let slowest = |samples: &[&crate::model::drill::DrillSample]| {
        let good = samples.iter().filter(|sample| sample.failure.is_none());
        good.map(|sample| sample.took_milliseconds).reduce(f64::max)
    };
    let points: Vec<(f64, Option<f64>)> = columns(seen, line)
        .iter()
        .map(|(from, to, samples)| ((from + to) / 2.0, slowest(samples)))
        .collect();
    let Some(most) = points.iter().filter_map(|(_, took)| *took).reduce(f64::max) else {
        return String::new();
    };
    let mut lane = Lane::new(line, 40.0);
    for run in points.split(|(_, took)| took.is_none()).filter(|run| !run.is_empty()) {
        let y = |took: f64| lane.height - took / most.max(0.001) * (lane.height - 2.0);
        let point = |(at, took): &(f64, Option<f64>)| format!("{},{}", short(lane.x(*at)), short(y(took.unwrap_or_default())));
        let path: Vec<String> = run.iter().map(point).collect();
        let _ = writeln!(lane.shapes, "<polyline class=\"curve\" points=\"{}\"/>", path.join(" "));
    }
    lane.into_html(&format!("latency of good answers: at most {most} ms"))
}

/// How many pods were ready.
fn ready(pods: &[PodLife], line: &Timeline) -> String {
    let mut changes: Vec<(f64, i32)> = Vec::new();
    for life in pods {
        let mut was_ready = false;
        for at in &life.states {
            let is_ready = at.state == PodState::Ready;
            if is_ready != was_ready {
                changes.push((at.at_seconds, if is_ready { 1 } else { -1 }));
                was_ready = is_ready;
            }
        }
    }
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut steps: Vec<(f64, i32)> = Vec::new();
    for (at, change) in changes {
        let now = steps.last().map_or(0, |(_, count)| *count) + change;
        match steps.last_mut().filter(|(last, _)| *last == at) {
            Some(step) => step.1 = now,
            None => steps.push((at, now)),
        }
    }
    let (most, least) = (
        steps.iter().map(|(_, count)| *count).max().unwrap_or_default(),
        steps.iter().map(|(_, count)| *count).min().unwrap_or_default(),
    );
    let mut lane = Lane::new(line, 30.0);
    for (index, (from, count)) in steps.iter().enumerate().filter(|(_, (_, count))| *count > 0) {
        let to = steps.get(index + 1).map_or(line.to(), |(at, _)| *at);
        lane.stretch(
            *from,
            to,
            f64::from(*count) / f64::from(most),
            "good",
            &format!("{count} ready, {}", span(*from, to)),
        );
    }
    lane.into_html(&format!("ready pods: {least} to {most}"))
}

/// Whether a Service that was left without endpoints had some.
fn endpoints(service: &str, report: &DrillReport, line: &Timeline) -> String {
    let mut lane = Lane::new(line, 16.0);
    lane.stretch(line.from(), line.to(), 0.5, "good", "ready endpoints");
    for gap in report.endpoint_gaps.iter().filter(|gap| gap.service == service) {
        let to = gap.to_seconds.unwrap_or(line.to());
        lane.stretch(
            gap.from_seconds,
            to,
            1.0,
            "bad",
            &format!("no ready endpoint, {}", span(gap.from_seconds, to)),
        );
    }
    lane.into_html(&format!("ready endpoints of service/{service}"))
}

fn pod(life: &PodLife, line: &Timeline) -> String {
    let mut lane = Lane::new(line, 16.0);
    for (index, at) in life.states.iter().enumerate() {
        let (class, share) = match at.state {
            PodState::Pending => ("rest", 0.4),
            PodState::Running => ("calm", 0.7),
            PodState::Ready => ("good", 1.0),
            PodState::Terminating => ("odd", 0.4),
            PodState::Gone => continue,
        };
        let to = life.states.get(index + 1).map_or(line.to(), |next| next.at_seconds);
        lane.stretch(
            at.at_seconds,
            to,
            share,
            class,
            &format!("{}, {}", at.state.as_str(), span(at.at_seconds, to)),
        );
    }
    lane.into_html(&format!("pod/{} of {}", life.pod, life.workload.short()))
}

/// A stroke for each event.
fn actions(report: &DrillReport, line: &Timeline) -> String {
    let mut lane = Lane::new(line, 16.0);
    for event in &report.events {
        let (x, height) = (short(lane.x(event.at_seconds)), short(lane.height));
        let title = escape(&format!("{} s: {} {}", event.at_seconds, event.what, event.detail));
        let _ = writeln!(
            lane.shapes,
            "<line class=\"mark\" x1=\"{x}\" y1=\"0\" x2=\"{x}\" y2=\"{height}\"><title>{title}</title></line>"
        );
    }
    let words: Vec<String> = report
        .events
        .iter()
        .map(|event| format!("{} at {} s", event.what, event.at_seconds))
        .collect();
    lane.into_html(&format!("podlife: {}", words.join(", ")))
}

/// Seconds since the first change.
fn axis(line: &Timeline) -> String {
    let length = line.to() - line.from();
    let step = STEPS.into_iter().find(|step| length / step <= NUMBERS).unwrap_or(3600.0);
    let first = (line.from() / step).ceil() as i64;
    let last = (line.to() / step).floor() as i64;
    let number = |at: i64| {
        let seconds = rounded(at as f64 * step);
        format!("<span style=\"left:{}%\">{seconds} s</span>", short(line.place(seconds) * 100.0))
    };
    let numbers: String = (first..=last).map(number).collect();
    format!("<div class=\"axis\">{numbers}</div>\n")
}

fn key() -> String {
    let mut html = String::from("<ul class=\"key\">\n");
    for (class, words) in [
        ("good", "answered, ready, recovered"),
        ("bad", "failed, outage, no endpoint"),
        ("odd", "fault, some failed, terminating"),
        ("calm", "recovery, running but not ready"),
        ("rest", "before, pending"),
    ] {
        let _ = writeln!(
            html,
            "<li><svg viewBox=\"0 0 1 1\" aria-hidden=\"true\"><rect class=\"{class}\" width=\"1\" height=\"1\"/></svg>{words}</li>"
        );
    }
    html + "</ul>\n"
}
