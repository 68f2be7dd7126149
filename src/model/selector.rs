//! Label selectors as kubectl's `-l` writes them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

/// Reads `a=b,c!=d,e in (x,y),f notin (z),g,!h`.
pub fn parse(text: &str) -> Result<LabelSelector, String> {
    let mut requirements = Vec::new();
    for part in split(text) {
        requirements.push(requirement(part.trim()).ok_or_else(|| format!("{text:?} is not a label selector, near {:?}", part.trim()))?);
    }
    Ok(LabelSelector {
        match_labels: None,
        match_expressions: Some(requirements),
    })
}

/// Whether a label selector takes these labels; an empty one takes all.
pub fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let by_label = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let by_expression = selector.match_expressions.iter().flatten().all(|e| {
        let value = labels.get(&e.key);
        let among = || value.is_some_and(|v| e.values.as_ref().is_some_and(|values| values.contains(v)));
        match e.operator.as_str() {
            "In" => among(),
            "NotIn" => !among(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    });
    by_label && by_expression
}

/// Writes a label selector as [`parse`] reads it; none where it takes everything or has an operator that is not known.
pub(crate) fn to_text(selector: &LabelSelector) -> Option<String> {
    let labels = selector
        .match_labels
        .iter()
        .flatten()
        .map(|(key, value)| Some(format!("{key}={value}")));
    let expressions = selector.match_expressions.iter().flatten().map(|e| {
        let values = e.values.iter().flatten().map(String::as_str).collect::<Vec<_>>().join(",");
        match e.operator.as_str() {
            "In" => Some(format!("{} in ({values})", e.key)),
            "NotIn" => Some(format!("{} notin ({values})", e.key)),
            "Exists" => Some(e.key.clone()),
            "DoesNotExist" => Some(format!("!{}", e.key)),
            _ => None,
        }
    });
    let parts: Vec<String> = labels.chain(expressions).collect::<Option<_>>()?;
    (!parts.is_empty()).then(|| parts.join(","))
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_i32, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn requirement(part: &str) -> Option<LabelSelectorRequirement> {
    let make = |key: &str, operator: &str, values: Option<Vec<String>>| {
        let key = key.trim();
        is_key(key).then(|| LabelSelectorRequirement {
            key: key.to_owned(),
            operator: operator.to_owned(),
            values,
        })
    };
    if let Some(list) = part.strip_suffix(')') {
        let (head, values) = list.split_once('(')?;
        let mut words = head.split_whitespace();
        let (key, operator) = (words.next()?, words.next()?);
        let operator = match operator {
            "in" => "In",
            "notin" => "NotIn",
            _ => return None,
        };
        if words.next().is_some() {
            return None;
        }
        return make(key, operator, Some(values.split(',').map(|v| v.trim().to_owned()).collect()));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return value_of(value).and_then(|value| make(key, "NotIn", Some(vec![value])));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return value_of(value).and_then(|value| make(key, "In", Some(vec![value])));
    }
    match part.strip_prefix('!') {
        Some(key) => make(key, "DoesNotExist", None),
        None => make(part, "Exists", None),
    }
}

fn value_of(text: &str) -> Option<String> {
    let text = text.trim();
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        .then(|| text.to_owned())
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_select_as_kubectl_does() {
        let labels = [("app", "web"), ("tier", "front")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
        for (selector, taken) in [
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app in (api, web)", true),
            ("app notin (web)", false),
            ("tier", true),
            ("!tier", false),
            ("!other,app=web", true),
            ("other!=x", true),
        ] {
            assert_eq!(selects(&parse(selector).unwrap(), &labels), taken, "{selector}");
        }
        for bad in ["", "a=b c", "a in b", "a of (b)", "=b", "a,,b"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
