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

/// Hands each item of the page to `add`, without its `managedFields` where it is to be `lean`. None where the answer is JSON, but not a list.
pub(super) fn decode(body: &[u8], lean: bool, add: &mut dyn FnMut(Value)) -> Result<Option<ListMetadata>, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let page = json.deserialize_any(Page { lean, add })?;
    json.end()?;
    Ok(page)
}

struct Page<'f> {
    lean: bool,
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
        let mut items = Items {
            lean: self.lean,
            add: self.add,
        };
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
    lean: bool,
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
        while let Some(item) = match self.lean {
            true => items.next_element_seed(Lean)?,
            false => items.next_element()?,
        } {
            (self.add)(item);
        }
        Ok(true)
    }
}

/// An object, or its `metadata`, without `managedFields`.
struct Lean;

impl<'de> DeserializeSeed<'de> for Lean {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Lean {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of the Kubernetes API")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some(field) = map.next_key::<String>()? {
            let value = match field.as_str() {
                "managedFields" => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                "metadata" => map.next_value_seed(Lean)?,
                _ => map.next_value()?,
            };
            object.insert(field, value);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> (Result<Option<ListMetadata>, serde_json::Error>, usize) {
        let mut count = 0;
        let page = decode(text.as_bytes(), false, &mut |_| count += 1);
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
    fn lean_items_have_no_managed_fields() {
        let text = r#"{"items": [{"metadata": {"name": "a", "managedFields": [{"manager": "x"}]}, "data": {"managedFields": "kept"}}], "metadata": {}}"#;
        let lean_or_not = [true, false].map(|lean| {
            let mut items = Vec::new();
            decode(text.as_bytes(), lean, &mut |item| items.push(item)).unwrap();
            items.pop().unwrap()
        });
        let data = json!({"managedFields": "kept"});
        let lean = json!({"metadata": {"name": "a"}, "data": data});
        let whole = json!({"metadata": {"name": "a", "managedFields": [{"manager": "x"}]}, "data": data});
        assert_eq!(lean_or_not, [lean, whole]);
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
