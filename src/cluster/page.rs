//! Decodes a page of a list object by object, so that the page as a whole is never held as JSON values.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// `metadata` of a list.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListMetadata {
    /// Where a watch may go on.
    pub(super) resource_version: String,
    /// Token of the next page; empty on the last one.
    #[serde(rename = "continue")]
    pub(super) next: String,
    /// How many objects further pages have, where the API server says so.
    pub(super) remaining_item_count: u64,
}

/// Hands each item of the page to `add`. None where the answer is JSON, but not a list.
pub(super) fn decode(body: &[u8], add: &mut dyn FnMut(Value)) -> Result<Option<ListMetadata>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let page = json.deserialize_any(Page { add })?;
    json.end()?;
    Ok(page)
}

struct Page<'f> {
    add: &'f mut dyn FnMut(Value),
}

impl<'de> Visitor<'de> for Page<'_> {
    type Value = Option<ListMetadata>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of the Kubernetes API")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut metadata: Option<ListMetadata> = None;
        let mut has_items = false;
        let mut items = Items { add: self.add };
        while let Some(field) = map.next_key::<String>()? {
            match field.as_str() {
                "metadata" => metadata = map.next_value()?,
                "items" => has_items = map.next_value_seed(&mut items)?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        // Go writes an empty list as null.
        Ok(if has_items { Some(metadata.unwrap_or_default()) } else { metadata })
    }
}

struct Items<'f> {
    add: &'f mut dyn FnMut(Value),
}

impl<'de> DeserializeSeed<'de> for &mut Items<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Items<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the items of a list")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        while let Some(item) = items.next_element()? {
            (self.add)(item);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Result<Option<ListMetadata>, serde_json::Error>, usize) {
        let mut count = 0;
        let page = decode(text.as_bytes(), &mut |_| count += 1);
        (page, count)
    }

    #[test]
    fn items_are_handed_over_one_by_one() {
        let (page, count) = read(
            r#"{"kind": "PodList", "items": [{}, {}], "metadata": {"resourceVersion": "7", "continue": "x", "remainingItemCount": 3, "selfLink": ""}}"#,
        );
        let expected = ListMetadata {
            resource_version: "7".to_owned(),
            next: "x".to_owned(),
            remaining_item_count: 3,
        };
        assert_eq!((page.unwrap(), count), (Some(expected), 2));
    }

    #[test]
    fn an_empty_list_may_be_null_but_needs_metadata() {
        assert_eq!(read(r#"{"metadata": {}, "items": null}"#).0.unwrap(), Some(ListMetadata::default()));
        assert_eq!(read(r#"{"items": []}"#).0.unwrap(), Some(ListMetadata::default()));
        assert_eq!(read(r#"{"items": null}"#).0.unwrap(), None);
        assert!(read("<html>").0.is_err());
        assert!(read(r#"{"items": [{}"#).0.is_err());
        assert!(read("[]").0.is_err());
    }
}
