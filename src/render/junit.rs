//! JUnit XML, as CI systems read it: suites of cases, each of which has passed, failed, met an error or been skipped.

use std::fmt::Write as _;

use crate::render::xml::escape;

/// How a case ended.
pub(crate) enum End {
    Passed,
    Failure(Told),
    Error(Told),
    Skipped(String),
}

/// Why it did not pass.
pub(crate) struct Told {
    /// A word for programs.
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    /// More lines.
    pub(crate) details: Vec<String>,
}

/// A case.
pub(crate) struct Case {
    pub(crate) class: String,
    pub(crate) name: String,
    /// How long it took, where that is known.
    pub(crate) seconds: Option<f64>,
    pub(crate) end: End,
}

/// Cases that belong together.
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) cases: Vec<Case>,
    /// How long they took together.
    pub(crate) seconds: f64,
}

impl Suite {
    /// A run of one case that has no verdict.
    pub(crate) fn without_verdict(class: &str, name: &str, why: &str, hint: Option<&str>) -> Self {
        let case = Case {
            class: class.to_owned(),
            name: name.to_owned(),
            seconds: None,
            end: End::Error(Told {
                kind: "noVerdict",
                message: why.to_owned(),
                details: hint.map(str::to_owned).into_iter().collect(),
            }),
        };
        Self {
            name: name.to_owned(),
            cases: vec![case],
            seconds: 0.0,
        }
    }

    fn counts(suites: &[&Self]) -> String {
        let cases = || suites.iter().flat_map(|suite| &suite.cases);
        let count = |is: fn(&End) -> bool| cases().filter(|case| is(&case.end)).count();
        format!(
            "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{:.3}\"",
            cases().count(),
            count(|end| matches!(end, End::Failure(_))),
            count(|end| matches!(end, End::Error(_))),
            count(|end| matches!(end, End::Skipped(_))),
            suites.iter().map(|suite| suite.seconds).sum::<f64>()
        )
    }
}

/// The document.
pub(crate) fn document(name: &str, suites: &[Suite]) -> String {
    let all: Vec<&Suite> = suites.iter().collect();
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(text, "<testsuites name=\"{}\" {}>", escape(name), Suite::counts(&all));
    for suite in all {
        let _ = writeln!(text, "  <testsuite name=\"{}\" {}>", escape(&suite.name), Suite::counts(&[suite]));
        for Case { class, name, seconds, end } in &suite.cases {
            let (class, name) = (escape(class), escape(name));
            let time = seconds.map(|seconds| format!(" time=\"{seconds:.3}\"")).unwrap_or_default();
            let _ = write!(text, "    <testcase classname=\"{class}\" name=\"{name}\"{time}");
            let end = match end {
                End::Passed => None,
                End::Failure(told) => Some(element("failure", told)),
                End::Error(told) => Some(element("error", told)),
                End::Skipped(why) => Some(format!("<skipped message=\"{}\"/>", escape(why))),
            };
            text += &end.map_or_else(|| "/>\n".to_owned(), |end| format!(">\n      {end}\n    </testcase>\n"));
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

fn element(name: &str, told: &Told) -> String {
    let head = format!("<{name} type=\"{}\" message=\"{}\"", told.kind, escape(&told.message));
    let details: Vec<String> = told.details.iter().flat_map(|detail| detail.lines()).map(escape).collect();
    match details.is_empty() {
        true => format!("{head}/>"),
        false => format!("{head}>{}</{name}>", details.join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        let told = Told {
            kind: "failed",
            message: "\"/><x>".to_owned(),
            details: vec!["]]>\n<y>".to_owned()],
        };
        let case = Case {
            class: "pods".to_owned(),
            name: "pod/shop/a".to_owned(),
            seconds: Some(0.5),
            end: End::Failure(told),
        };
        let suite = Suite {
            name: "<z>".to_owned(),
            cases: vec![case],
            seconds: 0.5,
        };
        let text = document("drill", &[suite]);
        assert!(!text.contains("<x>") && !text.contains("<y>") && !text.contains("<z>"), "{text}");
        assert!(
            text.contains("tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\" time=\"0.500\""),
            "{text}"
        );
    }
}
