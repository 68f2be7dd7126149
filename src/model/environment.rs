//! Environment variables as plain data: who reads them from the process is `io`.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Ends of variable names whose value is a host, and which say so surely.
pub const HOST_KEYS: [&str; 12] = [
    "HOST", "HOSTNAME", "ADDR", "ADDRESS", "URL", "URI", "ENDPOINT", "SERVER", "SERVERS", "BROKERS", "DSN", "SERVICE",
];

/// Whether a variable's name says that its value is a host: `DATABASE_HOST`, `PGHOST`.
pub fn names_host(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    HOST_KEYS.iter().any(|end| {
        upper
            .strip_suffix(end)
            .is_some_and(|stem| stem.ends_with('_') || stem == "PG" || stem.ends_with('.'))
    })
}

/// Environment variables and what follows from them.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// An environment of exactly these variables.
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            variables: variables.into_iter().collect(),
        }
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Every variable.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The user's home directory.
    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME").or_else(|| self.get("USERPROFILE")).map(PathBuf::from)
    }
}
