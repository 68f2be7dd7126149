//! Lists, single objects and logs.

use serde_json::Value;

use super::Connection;
use super::error::{About, ApiError, ApiErrorKind};
use super::request::{Call, JSON, Repeat};
use crate::model::kind::{self, Kind};

const LIST_METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
pub(super) const GET_METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// As after `-l`; empty for all.
    pub label_selector: String,
    /// As after `--field-selector`; empty for all.
    pub field_selector: String,
    /// Ask for `metadata` alone.
    pub metadata_only: bool,
}

/// Objects of one kind at one moment, all pages together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct List {
    /// In the API server's order; each has its `apiVersion` and `kind`.
    pub items: Vec<Value>,
    /// Where a watch may go on.
    pub resource_version: String,
}

/// Which part of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// The log of the instance before the present one.
    pub previous: bool,
    /// Only the last lines.
    pub tail_lines: Option<u64>,
    /// Not more bytes than this, counted from the first line that is sent; held on our side too.
    pub limit_bytes: Option<usize>,
    /// Only what is younger than this many seconds.
    pub since_seconds: Option<u64>,
}

/// A query string, with what needs it escaped.
pub(super) fn query(parameters: &[(&str, String)]) -> String {
    let mut text = String::new();
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        text.push(if text.is_empty() { '?' } else { '&' });
        text.push_str(name);
        text.push('=');
        text.push_str(&escape(value));
    }
    text
}

/// Percent-encodes all but RFC 3986's unreserved characters, so that no name can leave its place in a path or query.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    // A dot alone would be a step in the path.
    match escaped.as_str() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => escaped,
    }
}

/// The path of a collection, with the namespace escaped.
pub(super) fn collection(kind: &Kind, namespace: Option<&str>) -> String {
    kind.path(namespace.map(escape).as_deref())
}

/// `pods in namespace shop`, `nodes`, `pods in all namespaces`.
fn what(kind: &Kind, namespace: Option<&str>) -> String {
    let plural = kind.qualified_plural();
    match namespace {
        _ if !kind.namespaced => plural,
        Some(namespace) => format!("{plural} in namespace {namespace}"),
        None => format!("{plural} in all namespaces"),
    }
}

/// `pod/shop/api`, `node/a`
pub(super) fn object_name(kind: &Kind, namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) if kind.namespaced => format!("{}/{namespace}/{name}", kind.singular()),
        _ => format!("{}/{name}", kind.singular()),
    }
}

pub(super) fn about(verb: &'static str, doing: String, kind: &Kind, namespace: Option<&str>) -> About {
    About {
        doing,
        verb,
        resource: kind.qualified_plural(),
        namespace: namespace.filter(|_| kind.namespaced).map(str::to_owned),
    }
}

pub(super) fn about_list(verb: &'static str, doing: &str, kind: &Kind, namespace: Option<&str>) -> About {
    about(verb, format!("{doing} {}", what(kind, namespace)), kind, namespace)
}

/// Gives an object the type that list items lack, and cuts it down where only metadata was asked for.
pub(super) fn complete(kind: &Kind, metadata_only: bool, mut object: Value) -> Option<Value> {
    let fields = object.as_object_mut()?;
    if metadata_only {
        // A server that ignores what was asked for must not hand us the content, least of all a Secret's.
        fields.retain(|field, _| field == "metadata");
    }
    if metadata_only || fields.get("apiVersion").and_then(Value::as_str).is_none_or(str::is_empty) {
        fields.insert("apiVersion".to_owned(), kind.api_version().into());
    }
    if metadata_only || fields.get("kind").and_then(Value::as_str).is_none_or(str::is_empty) {
        fields.insert("kind".to_owned(), kind.kind.as_ref().into());
    }
    Some(object)
}

pub(super) fn decode(about: &About, body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let message = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'<') => "the answer is a web page, not the Kubernetes API's".to_owned(),
            _ => format!("the answer is not JSON: {error}"),
        };
        ApiError::of(about, ApiErrorKind::Decode, message)
            .hint("see where the server's URL leads: `kubectl config view --minify`")
            .caused_by(error)
    })
}

impl Connection {
    /// Lists a kind in one namespace, or in all where none is given; page by page, and from the start again (once)
    /// where the pages expire on the way. Costs one request per `chunk_size` objects.
    pub async fn list(&self, kind: &Kind, namespace: Option<&str>, query: &ListQuery) -> Result<List, ApiError> {
        match self.list_pages(kind, namespace, query).await {
            Err((error, true)) if error.kind == ApiErrorKind::Gone => {
                self.list_pages(kind, namespace, query).await.map_err(|(error, _)| error)
            }
            other => other.map_err(|(error, _)| error),
        }
    }

    /// The error comes with whether pages had been read before it.
    async fn list_pages(&self, kind: &Kind, namespace: Option<&str>, wanted: &ListQuery) -> Result<List, (ApiError, bool)> {
        let about = about_list("list", "listing", kind, namespace);
        let limit = match self.inner.chunk_size {
            0 => String::new(),
            size => size.to_string(),
        };
        let mut list = List::default();
        let mut token = String::new();
        loop {
            let parameters = query(&[
                ("labelSelector", wanted.label_selector.clone()),
                ("fieldSelector", wanted.field_selector.clone()),
                ("limit", limit.clone()),
                ("continue", token.clone()),
            ]);
            let mut call = Call::get(collection(kind, namespace) + &parameters, about.clone());
            call.accept = if wanted.metadata_only { LIST_METADATA } else { JSON };
            let further = !token.is_empty();
            let answer = self.inner.transport.call(&call).await.map_err(|error| (error, further))?;
            let mut page = decode(&about, &answer.body).map_err(|error| (error, further))?;
            let metadata = page["metadata"].clone();
            let items = match page["items"].take() {
                Value::Array(items) => items,
                // Go writes an empty list as null.
                Value::Null if metadata.is_object() => Vec::new(),
                _ => return Err((ApiError::of(&about, ApiErrorKind::Decode, "the answer is not a list"), further)),
            };
            list.items
                .extend(items.into_iter().filter_map(|item| complete(kind, wanted.metadata_only, item)));
            list.resource_version = metadata["resourceVersion"].as_str().unwrap_or_default().to_owned();
            match metadata["continue"].as_str().filter(|next| !next.is_empty()) {
                Some(next) if next == token => {
                    return Err((ApiError::of(&about, ApiErrorKind::Decode, "the list does not end"), further));
                }
                Some(next) => token = next.to_owned(),
                None => return Ok(list),
            }
        }
    }

    /// Reads one object; none where it does not exist. A type that the API server does not know is an error
    /// ([`ApiErrorKind::NoSuchKind`]).
    pub async fn get(&self, kind: &Kind, namespace: Option<&str>, name: &str, metadata_only: bool) -> Result<Option<Value>, ApiError> {
        let about = about("get", format!("reading {}", object_name(kind, namespace, name)), kind, namespace);
        let mut call = Call::get(format!("{}/{}", collection(kind, namespace), escape(name)), about.clone());
        call.accept = if metadata_only { GET_METADATA } else { JSON };
        match self.inner.transport.call(&call).await {
            Ok(answer) => {
                let object = complete(kind, metadata_only, decode(&about, &answer.body)?);
                object
                    .map(Some)
                    .ok_or_else(|| ApiError::of(&about, ApiErrorKind::Decode, "the answer is not an object"))
            }
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a container's log; bytes that are not UTF-8 are replaced.
    pub async fn log(&self, namespace: &str, pod: &str, container: &str, wanted: &LogQuery) -> Result<String, ApiError> {
        let number = |value: Option<u64>| value.map(|value| value.to_string()).unwrap_or_default();
        let parameters = query(&[
            ("container", container.to_owned()),
            ("previous", if wanted.previous { "true".to_owned() } else { String::new() }),
            ("tailLines", number(wanted.tail_lines)),
            ("limitBytes", wanted.limit_bytes.map(|limit| limit.to_string()).unwrap_or_default()),
            ("sinceSeconds", number(wanted.since_seconds)),
        ]);
        let previous = if wanted.previous { "previous log" } else { "log" };
        let doing = format!("reading the {previous} of pod/{namespace}/{pod}, container {container}");
        let about = About {
            resource: "pods/log".to_owned(),
            ..about("get", doing, &kind::POD, Some(namespace))
        };
        let path = format!("{}/{}/log{parameters}", collection(&kind::POD, Some(namespace)), escape(pod));
        let call = Call {
            accept: "*/*",
            repeat: Repeat::Busy,
            enough: wanted.limit_bytes,
            ..Call::get(path, about)
        };
        let answer = self.inner.transport.call(&call).await?;
        Ok(String::from_utf8_lossy(&answer.body).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_name_leaves_its_place() {
        assert_eq!(escape("a/b?c=d&e"), "a%2Fb%3Fc%3Dd%26e");
        assert_eq!(escape(".."), "%2E%2E");
        assert_eq!(
            query(&[("a", "x=y,z in (1)".into()), ("b", String::new())]),
            "?a=x%3Dy%2Cz%20in%20%281%29"
        );
    }

    #[test]
    fn only_metadata_stays_where_only_that_was_asked_for() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"p": "eA=="}});
        let expected = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}});
        assert_eq!(complete(&kind::SECRET, true, secret), Some(expected));
        assert_eq!(complete(&kind::POD, false, json!("odd")), None);
    }
}
