//! Reports of drills: read from files, printed, and written to the files of `--report`.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::cmd::save::{is_stream, refused};
use crate::exit::{Exit, Failure};
use crate::io::Io;
use crate::model::drill::DrillReport;
use crate::model::drill_suite::DrillSuiteReport;
use crate::render::document::{self, Format};
use crate::render::{drill, drill_html, drill_junit, drill_suite};
use crate::text::redact;

/// Where reports are written.
#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Also write a report to a file, whose extension sets the format: .json, .xml (JUnit), .ndjson (every request) or .html (a page with timelines)
    #[arg(long = "report", value_name = "FILE", value_hint = clap::ValueHint::FilePath, value_parser = file)]
    written: Vec<ReportFile>,
    /// Keep every request in JSON and YAML
    #[arg(long)]
    samples: bool,
}

/// A file of `--report`.
#[derive(Clone, Debug)]
struct ReportFile {
    path: PathBuf,
    format: FileFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileFormat {
    Json,
    Junit,
    Samples,
    Html,
}

fn file(text: &str) -> Result<ReportFile, String> {
    let path = PathBuf::from(text);
    let format = match path.extension().and_then(|ending| ending.to_str()) {
        Some("json") => FileFormat::Json,
        Some("xml") => FileFormat::Junit,
        Some("ndjson") => FileFormat::Samples,
        Some("html") => FileFormat::Html,
        _ => return Err("expected a name that ends in .json, .xml, .ndjson or .html".to_owned()),
    };
    Ok(ReportFile { path, format })
}

/// What came of a drill, or of a suite of them.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Report {
    Drill(Box<DrillReport>),
    Suite(Box<DrillSuiteReport>),
}

impl Report {
    /// Reads what `-o json` or `--report FILE.json` wrote.
    pub(super) fn read(path: &str) -> Result<Self, Failure> {
        let failed = |why: String| Failure::usage(format!("reading {path}: {why}"));
        let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let value: Value = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        let kind = value["kind"].as_str().unwrap_or_default().to_owned();
        let report = match (value["apiVersion"].as_str(), kind.as_str()) {
            (Some("podlife/v1"), "DrillReport") => serde_json::from_value(value).map(|report| Self::Drill(Box::new(report))),
            (Some("podlife/v1"), "DrillSuiteReport") => serde_json::from_value(value).map(|report| Self::Suite(Box::new(report))),
            _ => return Err(failed("it is not a DrillReport or DrillSuiteReport of podlife/v1".to_owned())),
        };
        report.map_err(|error| failed(error.to_string()))
    }

    /// Its drills, by name; none for one that was left out.
    pub(super) fn drills(&self) -> Vec<(String, Option<&DrillReport>)> {
        match self {
            Self::Drill(report) => vec![(report.name(), Some(report))],
            Self::Suite(suite) => suite.drills.iter().map(|one| (one.full_name(), one.report.as_ref())).collect(),
        }
    }

    fn forget_samples(&mut self) {
        let of = |report: &mut DrillReport| report.measured.iter_mut().for_each(|seen| seen.samples.clear());
        match self {
            Self::Drill(report) => of(report),
            Self::Suite(suite) => suite.drills.iter_mut().filter_map(|one| one.report.as_mut()).for_each(of),
        }
    }

    /// A line for each request.
    fn samples(&self) -> String {
        let mut text = String::new();
        for (drill, report) in self.drills() {
            for seen in report.iter().flat_map(|report| &report.measured) {
                for sample in &seen.samples {
                    let mut line = serde_json::json!(sample);
                    line["drill"] = drill.as_str().into();
                    line["target"] = seen.target.as_str().into();
                    line["connections"] = serde_json::json!(seen.connections);
                    text += &format!("{line}\n");
                }
            }
        }
        text
    }

    /// For people.
    pub(super) fn text(&self, columns: Option<usize>) -> String {
        match self {
            Self::Drill(report) => drill::report(report, columns),
            Self::Suite(suite) => drill_suite::report(suite, columns),
        }
    }
}

impl ReportArgs {
    /// Whether any file is written.
    pub(super) fn is_any(&self) -> bool {
        !self.written.is_empty()
    }

    /// Tries and empties the files before anything is done: a run that is killed must not leave the report of an earlier one.
    pub(super) fn open(&self, name: &str) -> Result<(), Failure> {
        for file in self.written.iter().filter(|file| !is_stream(&file.path)) {
            let unfinished = match file.format {
                FileFormat::Junit => drill_junit::without_verdict(name, "drill was killed before it had a verdict"),
                _ => String::new(),
            };
            fs::write(&file.path, unfinished).map_err(|error| refused("--report", &file.path, &error))?;
        }
        Ok(())
    }

    /// Where there is no report: the JUnit files say why, and the others are removed.
    pub(super) fn without_verdict(&self, name: &str, failure: &Failure) {
        for file in self.written.iter().filter(|file| !is_stream(&file.path)) {
            let _ = match file.format {
                FileFormat::Junit => fs::write(&file.path, drill_junit::without_verdict(name, &redact(&failure.message))),
                _ => fs::remove_file(&file.path),
            };
        }
    }

    /// Prints the report, and writes the files.
    pub(super) fn print(&self, full: &Report, format: &Format, io: &Io) -> Result<(), Failure> {
        let mut report = full.clone();
        if !self.samples {
            report.forget_samples();
        }
        match document::print(&report, format).map_err(|error| Failure::new(Exit::Fault, error))? {
            Some(document) => io.stdout.write(&document),
            None => io.stdout.write(&report.text(io.stdout.columns())),
        }
        self.written.iter().try_for_each(|file| match file.format {
            FileFormat::Json => file.write(&report),
            _ => file.write(full),
        })
    }
}

impl ReportFile {
    fn write(&self, report: &Report) -> Result<(), Failure> {
        let text = match (self.format, report) {
            (FileFormat::Json, report) => document::print(report, &Format::Json).map(Option::unwrap_or_default),
            (FileFormat::Samples, report) => Ok(report.samples()),
            (FileFormat::Junit, Report::Drill(report)) => Ok(drill_junit::report(report)),
            (FileFormat::Junit, Report::Suite(suite)) => Ok(drill_junit::suite(suite)),
            (FileFormat::Html, Report::Drill(report)) => Ok(drill_html::report(report)),
            (FileFormat::Html, Report::Suite(suite)) => Ok(drill_html::suite(suite)),
        };
        let failed = |why: String| Failure::new(Exit::Fault, format!("writing the report to {}: {why}", self.path.display()));
        fs::write(&self.path, text.map_err(failed)?).map_err(|error| failed(error.to_string()))
    }
}
