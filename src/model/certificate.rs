//! For whom the certificate is that an address serves: what every client is shown that connects there.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One connection to one address with one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CertificateKey {
    /// Namespace of the Ingress.
    pub namespace: String,
    /// The Ingress.
    pub ingress: String,
    /// Its address: an IP or a name.
    pub address: String,
    /// The port.
    pub port: u16,
    /// The name that is asked for (SNI).
    pub host: String,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Served {
    /// A certificate.
    Certificate {
        /// The names that it is for (DNS names of the subject's alternative names), as they stand in it.
        names: Vec<String>,
        /// Whether it is for the name that was asked for.
        fits: bool,
    },
    /// No certificate: nobody answered, or not in TLS.
    Nothing,
}

/// A certificate that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// Where.
    #[serde(flatten)]
    pub key: CertificateKey,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// What was served.
    pub served: Served,
}
