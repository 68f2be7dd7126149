//! Reports as documents for programs: JSON, YAML, and values picked by JSONPath.

use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;

/// Formats that every report can be printed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For people, with more columns.
    Wide,
    /// The report as JSON.
    Json,
    /// The report as YAML.
    Yaml,
    /// `kind/name` per line.
    Name,
    /// Values picked from the JSON, as in kubectl.
    JsonPath(String),
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" | "" => Ok(Self::Text),
            "wide" => Ok(Self::Wide),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            "name" => Ok(Self::Name),
            other => match other.strip_prefix("jsonpath=") {
                Some(template) => {
                    check(template)?;
                    Ok(Self::JsonPath(template.to_owned()))
                }
                None => Err("expected text, wide, json, yaml, name or jsonpath=TEMPLATE".to_owned()),
            },
        }
    }
}

impl Format {
    /// Whether a program reads it: then errors are documents too.
    pub const fn is_document(&self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// A report as text in a document format; none for the formats for people.
pub fn print(report: &impl Serialize, format: &Format) -> Result<Option<String>, String> {
    let value = serde_json::to_value(report).map_err(|e| e.to_string())?;
    match format {
        Format::Json => serde_json::to_string_pretty(&value)
            .map(|text| Some(text + "\n"))
            .map_err(|e| e.to_string()),
        Format::Yaml => serde_saphyr::to_string(&value).map(Some).map_err(|e| e.to_string()),
        Format::JsonPath(template) => json_path(template, &value).map(|text| Some(text + "\n")),
        Format::Text | Format::Wide | Format::Name => Ok(None),
    }
}

/// One part of a kubectl JSONPath template.
enum Part {
    Literal(String),
    Path(String),
}

/// Splits `{.a}text{"\n"}{.b[*].c}` into its parts. `range` and `end` are not supported and say so.
fn parts(template: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let (literal, after) = rest.split_at(start);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.to_owned()));
        }
        let end = closing(after).ok_or_else(|| format!("jsonpath: no closing brace in {template}"))?;
        let inner = after[1..end].trim();
        rest = &after[end + 1..];
        if let Some(quoted) = inner.strip_prefix('"').and_then(|q| q.strip_suffix('"')) {
            parts.push(Part::Literal(quoted.replace("\\n", "\n").replace("\\t", "\t")));
        } else if inner.starts_with("range") || inner == "end" {
            return Err("jsonpath: range is not supported; use [*], or -o json with a JSON tool".to_owned());
        } else {
            let path = if inner.starts_with('$') {
                inner.to_owned()
            } else if inner.starts_with('.') || inner.starts_with('[') {
                format!("${inner}")
            } else {
                format!("$.{inner}")
            };
            parts.push(Part::Path(path));
        }
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest.to_owned()));
    }
    Ok(parts)
}

/// The brace that closes the one at the beginning; quotes hide braces.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices().skip(1) {
        match (quote, c) {
            (None, '}') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn check(template: &str) -> Result<(), String> {
    // kubectl also takes a bare path without braces.
    let template = braced(template);
    for part in parts(&template)? {
        if let Part::Path(path) = part {
            serde_json_path::JsonPath::parse(&path).map_err(|e| format!("jsonpath {path}: {e}"))?;
        }
    }
    Ok(())
}

fn braced(template: &str) -> String {
    if template.contains('{') {
        template.to_owned()
    } else {
        format!("{{{template}}}")
    }
}

fn json_path(template: &str, value: &Value) -> Result<String, String> {
    let mut text = String::new();
    for part in parts(&braced(template))? {
        match part {
            Part::Literal(literal) => text.push_str(&literal),
            Part::Path(path) => {
                let path = serde_json_path::JsonPath::parse(&path).map_err(|e| format!("jsonpath {path}: {e}"))?;
                let found: Vec<String> = path
                    .query(value)
                    .all()
                    .into_iter()
                    .map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
                    .collect();
                text.push_str(&found.join(" "));
            }
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kubectls_jsonpath_templates_work() {
        let value = json!({"verdict": "broken", "rootCauses": [{"code": "A"}, {"code": "B"}]});
        for (template, text) in [
            ("{.verdict}", "broken"),
            (".verdict", "broken"),
            ("verdict", "broken"),
            ("{.rootCauses[*].code}", "A B"),
            ("{.rootCauses[0].code}{\"\\n\"}{.verdict}", "A\nbroken"),
            ("v={.verdict}", "v=broken"),
            ("{.nothing}", ""),
            ("{.rootCauses[?(@.code==\"B\")].code}", "B"),
        ] {
            assert_eq!(json_path(template, &value).as_deref(), Ok(text), "{template}");
        }
        assert!("jsonpath={.a".parse::<Format>().is_err());
        assert!("jsonpath={range .a[*]}".parse::<Format>().is_err());
    }
}
