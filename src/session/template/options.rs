//! What the flags say about the pod of a session, and the values that they accept: those that the API server accepts.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube_quantity::ParsedQuantity;
use regex::Regex;

use super::SESSION_ID;

/// What the flags add to the first container of a template, or replace in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Options {
    /// The port that it listens on.
    pub(crate) port: Option<u16>,
    /// Environment variables.
    pub(crate) env: Vec<(String, String)>,
    /// Secrets whose keys become environment variables.
    pub(crate) env_from_secrets: Vec<String>,
    /// Request and limit of CPU.
    pub(crate) cpu: Option<Amounts>,
    /// Request and limit of memory.
    pub(crate) memory: Option<Amounts>,
    /// A volume of the session's own.
    pub(crate) volume: Option<VolumeAt>,
    /// The storage class of that volume.
    pub(crate) storage_class: Option<String>,
    /// Whether each session has a Service.
    pub(crate) service: bool,
    /// The command, instead of the image's.
    pub(crate) command: Vec<String>,
}

/// Request and limit of one resource.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Amounts {
    pub(crate) request: Quantity,
    pub(crate) limit: Quantity,
}

/// The size of a volume, and where it is mounted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct VolumeAt {
    pub(crate) size: Quantity,
    pub(crate) path: String,
}

/// An amount that is not negative.
fn quantity(text: &str) -> Result<ParsedQuantity, String> {
    let zero = ParsedQuantity::try_from("0").map_err(|e| e.to_string())?;
    match ParsedQuantity::try_from(text) {
        Ok(parsed) if parsed >= zero => Ok(parsed),
        Ok(_) => Err(format!("{text:?} is negative")),
        Err(_) => Err(format!("{text:?} is not a quantity such as 500m, 2 or 1Gi")),
    }
}

/// Reads `REQUEST:LIMIT`, or one amount for both.
fn amounts(text: &str) -> Result<Amounts, String> {
    let (request, limit) = text.split_once(':').unwrap_or((text, text));
    let (least, most) = (quantity(request)?, quantity(limit)?);
    if least > most {
        return Err(format!("the request {request} is more than the limit {limit}"));
    }
    Ok(Amounts {
        request: Quantity(request.to_owned()),
        limit: Quantity(limit.to_owned()),
    })
}

/// Bytes are whole: `512m` is half a byte, and a typing error.
fn is_of_bytes(text: &str) -> Result<(), String> {
    match text.strip_suffix('m') {
        Some(number) => Err(format!("{text} is less than {number} bytes: for mebibytes write {number}Mi")),
        None => Ok(()),
    }
}

/// `--cpu`
pub(crate) fn cpu(text: &str) -> Result<Amounts, String> {
    amounts(text)
}

/// `--memory`
pub(crate) fn memory(text: &str) -> Result<Amounts, String> {
    text.split(':').try_for_each(is_of_bytes)?;
    amounts(text)
}

/// `--volume SIZE:PATH`
pub(crate) fn volume(text: &str) -> Result<VolumeAt, String> {
    let Some((size, path)) = text.split_once(':') else {
        return Err("expected SIZE:PATH, for example 1Gi:/data".to_owned());
    };
    is_of_bytes(size)?;
    if quantity(size)? == quantity("0")? {
        return Err("the size must be more than zero".to_owned());
    }
    let is_path = path.len() > 1 && path.starts_with('/') && !path.contains(':') && path.split('/').all(|part| part != "..");
    if !is_path {
        return Err(format!(
            "{path:?} is not a mount path: it must begin with /, not be /, and contain no colon and no .."
        ));
    }
    Ok(VolumeAt {
        size: Quantity(size.to_owned()),
        path: path.to_owned(),
    })
}

/// `--env KEY=VALUE`
pub(crate) fn variable(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err("expected KEY=VALUE".to_owned());
    };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_graphic()) {
        return Err(format!("{name:?} is not a valid name of an environment variable"));
    }
    if name == SESSION_ID {
        return Err(format!("podlife sets {SESSION_ID} itself, to the session's id"));
    }
    if value.contains('\0') {
        return Err(format!("the value of {name} contains a NUL byte"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// The name of an object: lower case letters, digits, `-` and `.`.
pub(crate) fn object_name(text: &str) -> Result<String, String> {
    let is_label = |part: &str| {
        let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !part.is_empty() && part.chars().all(is_inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    match text.len() <= 253 && text.split('.').all(is_label) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is not a valid object name")),
    }
}

/// `--image`: a reference as container runtimes read it, `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`.
pub(crate) fn image(text: &str) -> Result<String, String> {
    static REFERENCE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let host = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?";
        let part = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*";
        let tag = r"\w[\w.-]{0,127}";
        let digest = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
        Regex::new(&format!("^(?-u)(?:{host}/)?{part}(?:/{part})*(?::{tag})?(?:@{digest})?$")).ok()
    });
    match REFERENCE.as_ref().is_some_and(|reference| reference.is_match(text)) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is not a valid image name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_request_and_limit_or_both_at_once() {
        let of = |request: &str, limit: &str| Amounts {
            request: Quantity(request.into()),
            limit: Quantity(limit.into()),
        };
        assert_eq!(cpu("100m:500m"), Ok(of("100m", "500m")));
        assert_eq!(cpu("2"), Ok(of("2", "2")));
        assert_eq!(memory("128Mi:1Gi"), Ok(of("128Mi", "1Gi")));
        assert_eq!(cpu("1:500m").unwrap_err(), "the request 1 is more than the limit 500m");
        assert_eq!(cpu("-1").unwrap_err(), "\"-1\" is negative");
        assert!(memory("1 GB").unwrap_err().contains("is not a quantity"));
        assert_eq!(
            memory("512m").unwrap_err(),
            "512m is less than 512 bytes: for mebibytes write 512Mi"
        );
    }

    #[test]
    fn a_volume_is_a_size_and_an_absolute_path() {
        let read = volume("1Gi:/home/work").unwrap();
        assert_eq!((read.size.0.as_str(), read.path.as_str()), ("1Gi", "/home/work"));
        for wrong in [
            "1Gi",
            "1Gi:data",
            "1Gi:/",
            "0:/data",
            "1Gi:/a/../b",
            "/data:1Gi",
            "100m:/data",
            "1Gi:/data:rw",
        ] {
            assert!(volume(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_variable_has_a_name_and_may_have_an_empty_value() {
        assert_eq!(variable("A.b-C=x=y"), Ok(("A.b-C".into(), "x=y".into())));
        assert_eq!(variable("A="), Ok(("A".into(), String::new())));
        for wrong in ["A", "=x", "A B=x", "Ä=x", "SESSION_ID=x"] {
            assert!(variable(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn images_are_read_as_the_runtimes_do() {
        let digest = format!("a/b@sha256:{}", "0".repeat(64));
        for right in [
            "nginx",
            "nginx:1.27",
            "r.example:5000/team/app_x:v1",
            "[::1]:5000/a",
            "a__b/c--d",
            &digest,
        ] {
            assert_eq!(image(right).as_deref(), Ok(right));
        }
        for wrong in [
            "",
            "nginx:",
            "Nginx",
            "a b",
            "a//b",
            "https://r.example/a",
            "a@sha256:12",
            "a\n",
            ":1",
        ] {
            assert!(image(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_of_objects_are_dns_names() {
        for right in ["db", "db.prod-1"] {
            assert_eq!(object_name(right).as_deref(), Ok(right));
        }
        for wrong in ["", "Db", "-db", "db.", "a/b", &"a".repeat(254)] {
            assert!(object_name(wrong).is_err(), "{wrong}");
        }
    }
}
