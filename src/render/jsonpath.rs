//! Templates of `-o jsonpath`, as kubectl has them: text, `{.path}`, `{"text"}` and `{range .path}…{end}`.

use serde_json::Value;
use serde_json_path::JsonPath;

/// One part of a template.
enum Part {
    Literal(String),
    Path(JsonPath),
    /// What is printed for each value that the path finds; paths within start there.
    Range(JsonPath, Vec<Part>),
}

/// Whether a template can be used.
pub(crate) fn check(template: &str) -> Result<(), String> {
    parse(template).map(|_| ())
}

/// The text that a template makes of a value.
pub(crate) fn print(template: &str, value: &Value) -> Result<String, String> {
    let mut text = String::new();
    write(&parse(template)?, value, &mut text);
    Ok(text)
}

fn write(parts: &[Part], value: &Value, text: &mut String) {
    for part in parts {
        match part {
            Part::Literal(literal) => text.push_str(literal),
            Part::Path(path) => {
                let found = path.query(value).all().into_iter();
                let found: Vec<String> = found.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
                text.push_str(&found.join(" "));
            }
            Part::Range(path, body) => path.query(value).all().into_iter().for_each(|one| write(body, one, text)),
        }
    }
}

fn parse(template: &str) -> Result<Vec<Part>, String> {
    // kubectl also takes a bare path without braces.
    let braced = format!("{{{template}}}");
    let mut rest = if template.contains('{') { template } else { &braced };
    let parts = parse_until_end(&mut rest, false)?;
    Ok(parts)
}

/// The parts up to `{end}` in a range, else up to the end of the template.
fn parse_until_end(rest: &mut &str, in_range: bool) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    while let Some(start) = rest.find('{') {
        let (literal, after) = rest.split_at(start);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.to_owned()));
        }
        let end = closing(after).ok_or_else(|| format!("jsonpath: no closing brace in {after}"))?;
        let inner = after[1..end].trim();
        *rest = &after[end + 1..];
        let quoted = ['"', '\'']
            .iter()
            .find_map(|quote| inner.strip_prefix(*quote)?.strip_suffix(*quote));
        if let Some(quoted) = quoted {
            parts.push(Part::Literal(quoted.replace("\\n", "\n").replace("\\t", "\t")));
        } else if inner == "end" {
            return if in_range {
                Ok(parts)
            } else {
                Err("jsonpath: {end} without {range}".to_owned())
            };
        } else if let Some(of) = inner.strip_prefix("range ") {
            let of = path(of.trim())?;
            parts.push(Part::Range(of, parse_until_end(rest, true)?));
        } else {
            parts.push(Part::Path(path(inner)?));
        }
    }
    if in_range {
        return Err("jsonpath: {range} without {end}".to_owned());
    }
    if !rest.is_empty() {
        parts.push(Part::Literal((*rest).to_owned()));
    }
    Ok(parts)
}

/// A path from where the template stands; `$` and `@` are the same there.
fn path(written: &str) -> Result<JsonPath, String> {
    let relative = written.strip_prefix(['$', '@']).unwrap_or(written);
    let dot = if relative.is_empty() || relative.starts_with(['.', '[']) {
        ""
    } else {
        "."
    };
    JsonPath::parse(&format!("${dot}{relative}")).map_err(|e| format!("jsonpath {written}: {e}"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn kubectls_templates_work() {
        let value = json!({
            "verdict": "broken",
            "rootCauses": [{"code": "A", "fixes": [{"text": "1"}, {"text": "2"}]}, {"code": "B", "fixes": []}],
        });
        for (template, text) in [
            ("{.verdict}", "broken"),
            (".verdict", "broken"),
            ("verdict", "broken"),
            ("{$.verdict}", "broken"),
            ("{.rootCauses[*].code}", "A B"),
            ("{.rootCauses[0].code}{\"\\n\"}{.verdict}", "A\nbroken"),
            ("v={.verdict}", "v=broken"),
            ("{.nothing}", ""),
            ("{.rootCauses[?(@.code==\"B\")].code}", "B"),
            ("{range .rootCauses[*]}{.code}{\"\\n\"}{end}{.verdict}", "A\nB\nbroken"),
            ("{range .rootCauses[*]}{@.code}:{range .fixes[*]} {.text}{end};{end}", "A: 1 2;B:;"),
            ("{range .nothing[*]}{.code}{end}", ""),
        ] {
            assert_eq!(print(template, &value).as_deref(), Ok(text), "{template}");
        }
        for wrong in ["{.a", "{range .a[*]}", "{end}", "{range .a[*]}{end}{end}", "{.a[}"] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }
}
