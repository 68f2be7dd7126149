//! Reports as documents for programs: JSON, YAML, and values picked by JSONPath.

use std::str::FromStr;

use serde::Serialize;

use crate::render::jsonpath;

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
                    jsonpath::check(template)?;
                    Ok(Self::JsonPath(template.to_owned()))
                }
                None => Err("expected text, wide, json, yaml, name or jsonpath=TEMPLATE".to_owned()),
            },
        }
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
        Format::JsonPath(template) => jsonpath::print(template, &value).map(|text| Some(text + "\n")),
        Format::Text | Format::Wide | Format::Name => Ok(None),
    }
}

/// Objects for `kubectl apply`; none for formats that it does not read.
pub(crate) fn manifests(objects: &[serde_json::Value], format: &Format) -> Result<Option<String>, String> {
    match format {
        Format::Yaml => {
            let documents: Result<Vec<String>, _> = objects.iter().map(serde_saphyr::to_string).collect();
            documents.map(|all| Some(all.join("---\n"))).map_err(|e| e.to_string())
        }
        Format::Json => print(&serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}), format),
        _ => Ok(None),
    }
}
