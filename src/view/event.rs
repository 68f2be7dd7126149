//! Events, whichever API wrote them.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

/// An event about an object, whichever API wrote it.
#[derive(Clone, Copy, Debug)]
pub struct EventView<'a> {
    /// The event.
    pub event: &'a Event,
    /// When it was last seen; the kubelet's counter may stand still while the fault goes on.
    pub last_seen: Option<Timestamp>,
}

impl<'a> EventView<'a> {
    /// `FailedMount`
    pub fn reason(&self) -> &'a str {
        self.event.reason.as_deref().unwrap_or_default()
    }

    /// What it says.
    pub fn message(&self) -> &'a str {
        self.event.message.as_deref().unwrap_or_default()
    }

    /// Whether its type is Warning.
    pub fn is_warning(&self) -> bool {
        self.event.type_.as_deref() == Some("Warning")
    }

    /// How often it was seen.
    pub fn count(&self) -> i32 {
        let series = self.event.series.as_ref().and_then(|s| s.count);
        series.or(self.event.count).unwrap_or(1)
    }

    /// When it was first seen.
    pub fn first_seen(&self) -> Option<Timestamp> {
        let times = [&self.event.first_timestamp, &self.event.last_timestamp];
        let exact = self.event.event_time.as_ref().map(|time| time.0);
        times.into_iter().flatten().next().map(|time| time.0).or(exact)
    }

    /// The container that it is about (`spec.containers{NAME}`).
    pub fn container(&self) -> Option<&'a str> {
        let path = self.event.involved_object.field_path.as_deref()?;
        path.split_once('{')?.1.strip_suffix('}')
    }
}

#[derive(PartialEq, Eq, Hash)]
pub(crate) enum EventKey {
    Uid(String),
    Name(String, String, String),
}
