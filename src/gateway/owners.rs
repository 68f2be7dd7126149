//! How many requests each owner has at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;

use crate::gateway::problem::Problem;

type Open = Arc<Mutex<HashMap<Arc<str>, usize>>>;

/// The requests of owners.
pub(super) struct Owners {
    /// How many each one may have; none: any number.
    most: Option<usize>,
    open: Open,
}

/// The place of one request, from its head to the end of its answer.
pub(super) struct Place {
    owner: Arc<str>,
    open: Open,
}

impl Owners {
    pub(super) fn new(most: Option<usize>) -> Self {
        let open = Open::default();
        Self { most, open }
    }

    /// A place for a request; none is needed where nothing is limited.
    pub(super) fn enter(&self, owner: Option<&Arc<str>>) -> Result<Option<Place>, Problem> {
        let (Some(most), Some(owner)) = (self.most, owner) else {
            return Ok(None);
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(owner.clone()).or_default();
        if *count >= most {
            let detail = format!("this owner has {most} open requests, the maximum (--max-requests-per-owner)");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail).retry_after(1));
        }
        *count += 1;
        Ok(Some(Place {
            owner: owner.clone(),
            open: self.open.clone(),
        }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_owner_has_so_many_requests_at_once() {
        let owners = Owners::new(Some(2));
        let (ann, bob): (Arc<str>, Arc<str>) = ("ann".into(), "bob".into());
        let places = [owners.enter(Some(&ann)), owners.enter(Some(&ann)), owners.enter(Some(&bob))];
        assert!(places.iter().all(|place| matches!(place, Ok(Some(_)))));
        let refused = owners.enter(Some(&ann)).err().unwrap();
        assert_eq!((refused.status.as_u16(), refused.retry_after), (429, Some(1)));
        drop(places);
        assert!(owners.enter(Some(&ann)).is_ok());
        assert!(owners.open.lock().unwrap().is_empty());
        assert!(matches!(owners.enter(None), Ok(None)) && matches!(Owners::new(None).enter(Some(&ann)), Ok(None)));
    }
}
