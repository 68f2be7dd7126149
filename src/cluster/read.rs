//! Lists, single objects and logs.

use serde_json::Value;

use crate::cluster::Connection;
use crate::cluster::error::{About, ApiError, ApiErrorKind};
use crate::cluster::page;
use crate::cluster::page::ListMetadata;
use crate::cluster::request::{Call, JSON, Repeat};
use crate::model::kind;
use crate::model::kind::Kind;

const LIST_METADATA: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
pub(super) const GET_METADATA: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";
/// What `kubectl get` prints of a Secret, with its metadata: its type without its data.
const GET_TYPE: &str =
    "application/json;as=Table;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// What to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListQuery {
    /// As after `-l`; empty for all.
    pub label_selector: String,
    /// As after `--field-selector`; empty for all.
    pub field_selector: String,
    /// Ask for `metadata` alone.
    pub metadata_only: bool,
    /// Skip `managedFields`, about half of each object.
    pub lean: bool,
    /// As it was at exactly this resource version, a few minutes ago at most; empty for now.
    pub at: String,
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
    /// The time before each line.
    pub timestamps: bool,
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
pub(crate) fn escape(text: &str) -> String {
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

/// The metadata of the one row of a table, and what stands in its column Type.
fn from_table(mut table: Value) -> (Value, Value) {
    let columns = table["columnDefinitions"].as_array().into_iter().flatten();
    let at = columns.into_iter().position(|column| column["name"] == "Type");
    let row = table["rows"].get_mut(0).map(Value::take).unwrap_or_default();
    let of_type = at.map(|at| row["cells"][at].clone()).unwrap_or_default();
    (row["object"].clone(), of_type)
}

pub(super) fn decode(about: &About, body: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(|error| undecodable(about, body, error))
}

fn undecodable(about: &About, body: &[u8], error: serde_json::Error) -> ApiError {
    let message = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'<') => "the answer is a web page, not the Kubernetes API's".to_owned(),
        _ => format!("the answer is not JSON: {error}"),
    };
    ApiError::of(about, ApiErrorKind::Decode, message)
        .hint("see where the server's URL leads: `kubectl config view --minify`")
        .caused_by(error)
}

/// A request for the log of a container of a pod (namespace, pod, container).
pub(super) fn log_call((namespace, pod, container): (&str, &str, &str), previous: bool, parameters: &[(&str, String)]) -> Call {
    let mut all = vec![("container", container.to_owned())];
    all.extend(previous.then(|| ("previous", "true".to_owned())));
    all.extend_from_slice(parameters);
    let log = if previous { "previous log" } else { "log" };
    let doing = format!("reading the {log} of pod/{namespace}/{pod}, container {container}");
    let about = About {
        resource: "pods/log".to_owned(),
        ..about("get", doing, &kind::POD, Some(namespace))
    };
    let path = format!("{}/{}/log{}", collection(&kind::POD, Some(namespace)), escape(pod), query(&all));
    Call {
        accept: "*/*",
        repeat: Repeat::Busy,
        ..Call::get(path, about)
    }
}

impl Connection {
    /// Lists a kind in one namespace, or in all where none is given; page by page, and from the start again (once)
    /// where the pages expire on the way. Costs one request per `chunk_size` objects.
    pub async fn list(&self, kind: &Kind, namespace: Option<&str>, query: &ListQuery) -> Result<List, ApiError> {
        let (items, resource_version) = self.list_into(kind, namespace, query, Vec::new, Vec::push).await?;
        Ok(List { items, resource_version })
    }

    /// Lists like [`Self::list`], but hands each object to `add` as soon as it is decoded: no page is kept as JSON.
    /// `empty` makes what the objects are added to, anew where the list starts again.
    pub async fn list_into<T>(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        query: &ListQuery,
        empty: impl Fn() -> T,
        add: impl Fn(&mut T, Value),
    ) -> Result<(T, String), ApiError> {
        let limit = self.inner.chunk_size;
        let mut started_again = false;
        loop {
            let mut all = empty();
            let mut token = None;
            loop {
                let page = self
                    .list_page(kind, namespace, query, (token.as_deref(), limit), |item| add(&mut all, item))
                    .await;
                let next = match page {
                    Err(error) if error.kind == ApiErrorKind::Gone && token.is_some() && !started_again => break,
                    page => page?,
                };
                if next.next.is_empty() {
                    return Ok((all, next.resource_version));
                }
                if token.as_ref() == Some(&next.next) {
                    let about = about_list("list", "listing", kind, namespace);
                    return Err(ApiError::of(&about, ApiErrorKind::Decode, "the list does not end"));
                }
                token = Some(next.next);
            }
            started_again = true;
        }
    }

    /// Whether a namespace has more objects of a kind than fit on one page. Costs one request, and the API server one object.
    pub(crate) async fn has_more_than_a_page(&self, kind: &Kind, namespace: &str) -> Result<bool, ApiError> {
        let query = ListQuery {
            metadata_only: true,
            ..ListQuery::default()
        };
        let page = self.list_page(kind, Some(namespace), &query, (None, 1), |_| {}).await?;
        let page_size = u64::from(self.inner.chunk_size);
        Ok(page_size > 0 && page.remaining_item_count >= page_size)
    }

    /// Reads one page of a list, of so many objects at most (0 for all): the first one, or the one behind a token.
    async fn list_page(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        wanted: &ListQuery,
        (token, limit): (Option<&str>, u32),
        mut add: impl FnMut(Value),
    ) -> Result<ListMetadata, ApiError> {
        let about = about_list("list", "listing", kind, namespace);
        let limit = match limit {
            0 => String::new(),
            size => size.to_string(),
        };
        let at = if token.is_none() { wanted.at.as_str() } else { "" };
        let parameters = query(&[
            ("labelSelector", wanted.label_selector.clone()),
            ("fieldSelector", wanted.field_selector.clone()),
            ("limit", limit),
            ("continue", token.unwrap_or_default().to_owned()),
            // A token holds the version of its list, and goes with no other one.
            ("resourceVersion", at.to_owned()),
            (
                "resourceVersionMatch",
                if at.is_empty() { String::new() } else { "Exact".to_owned() },
            ),
        ]);
        let mut call = Call::get(collection(kind, namespace) + &parameters, about.clone());
        call.accept = if wanted.metadata_only { LIST_METADATA } else { JSON };
        let answer = self.inner.transport.call(&call).await?;
        let mut add = |item| complete(kind, wanted.metadata_only, item).into_iter().for_each(&mut add);
        page::decode(&answer.body, wanted.lean, &mut add)
            .map_err(|error| undecodable(&about, &answer.body, error))?
            .ok_or_else(|| ApiError::of(&about, ApiErrorKind::Decode, "the answer is not a list"))
    }

    /// Reads one object; none where it does not exist. A type that the API server does not know is an error
    /// ([`ApiErrorKind::NoSuchKind`]).
    pub async fn get(&self, kind: &Kind, namespace: Option<&str>, name: &str, metadata_only: bool) -> Result<Option<Value>, ApiError> {
        let about = about("get", format!("reading {}", object_name(kind, namespace, name)), kind, namespace);
        let mut call = Call::get(format!("{}/{}", collection(kind, namespace), escape(name)), about.clone());
        let wants_type = metadata_only && kind == &kind::SECRET;
        call.accept = match metadata_only {
            true if wants_type => GET_TYPE,
            true => GET_METADATA,
            false => JSON,
        };
        match self.inner.transport.call(&call).await {
            Ok(answer) => {
                let (object, of_type) = match decode(&about, &answer.body)? {
                    table if wants_type && table["kind"] == "Table" => from_table(table),
                    object => (object, Value::Null),
                };
                let mut object = complete(kind, metadata_only, object);
                if let Some(fields) = object.as_mut().and_then(Value::as_object_mut).filter(|_| of_type.is_string()) {
                    fields.insert("type".to_owned(), of_type);
                }
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
        let parameters = [
            ("tailLines", number(wanted.tail_lines)),
            ("limitBytes", wanted.limit_bytes.map(|limit| limit.to_string()).unwrap_or_default()),
            ("sinceSeconds", number(wanted.since_seconds)),
            ("timestamps", if wanted.timestamps { "true".to_owned() } else { String::new() }),
        ];
        let mut call = log_call((namespace, pod, container), wanted.previous, &parameters);
        call.enough = wanted.limit_bytes;
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

    #[test]
    fn the_type_of_a_secret_stands_in_its_table() {
        let table = json!({"kind": "Table", "columnDefinitions": [{"name": "Name"}, {"name": "Type"}, {"name": "Data"}],
            "rows": [{"cells": ["a", "Opaque", 1], "object": {"metadata": {"name": "a"}}}]});
        assert_eq!(from_table(table), (json!({"metadata": {"name": "a"}}), json!("Opaque")));
        assert_eq!(from_table(json!({"kind": "Table"})), (Value::Null, Value::Null));
    }
}
