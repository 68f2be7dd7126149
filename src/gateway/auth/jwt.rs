//! Tokens that somebody has signed: JWT (RFC 7519), with keys of JWKS (RFC 7517).

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::caller::{Caller, Ids};
use super::ring;

/// Seconds by which the clocks of who signs and of the gateway may differ.
const LEEWAY: u64 = 60;
/// A shorter secret can be guessed from one token (RFC 7518, 3.2: as long as the hash).
pub(crate) const SHORTEST_SECRET: usize = 32;

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The secret of HMAC tokens.
    Secret(Vec<u8>),
    /// A file with that secret.
    SecretFile(PathBuf),
    /// A file with a JWKS.
    KeysFile(PathBuf),
    /// A URL of a JWKS, and the file of the authorities in PEM that its certificate may come from besides those of this system.
    KeysUrl { url: String, authorities: Option<PathBuf> },
}

/// What tokens have to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// `aud` has one of these; none: tokens must not name an audience.
    pub(crate) audiences: Vec<String>,
    /// `iss` is one of these; none: any issuer.
    pub(crate) issuers: Vec<String>,
    /// The claim that names the owner of sessions.
    pub(crate) owner: String,
    /// The claim that names the ids of sessions.
    pub(crate) ids: Option<String>,
}

/// One key, and for which tokens it is.
#[derive(Clone, Debug)]
struct Known {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// Verifies tokens.
pub(in crate::gateway) struct Jwt {
    claims: Claims,
    keys: RwLock<Arc<Vec<Known>>>,
}

impl Jwt {
    /// A verifier without keys: it refuses all tokens until it has some.
    pub(in crate::gateway) fn new(claims: Claims) -> Self {
        ring::install();
        let keys = RwLock::default();
        Self { claims, keys }
    }

    /// Takes this secret as the only key.
    pub(in crate::gateway) fn set_secret(&self, secret: &[u8]) -> Result<(), String> {
        if secret.len() < SHORTEST_SECRET {
            return Err(format!(
                "the token secret has {} bytes, and needs at least {SHORTEST_SECRET}",
                secret.len()
            ));
        }
        let key = DecodingKey::from_secret(secret).map_err(|error| error.to_string())?;
        self.set(vec![Known {
            id: None,
            algorithms: vec![Algorithm::HS256, Algorithm::HS384, Algorithm::HS512],
            key,
        }]);
        Ok(())
    }

    /// Takes the keys of a JWKS.
    pub(in crate::gateway) fn set_keys(&self, document: &[u8]) -> Result<(), String> {
        let set: JwkSet = serde_json::from_slice(document).map_err(|error| format!("not a JWKS: {error}"))?;
        let known: Vec<Known> = set.keys.iter().filter_map(known).collect();
        if known.is_empty() {
            return Err("the JWKS has no public key of RSA, P-256, P-384 or Ed25519".to_owned());
        }
        self.set(known);
        Ok(())
    }

    fn set(&self, known: Vec<Known>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
    }

    /// Whether a token names a key that is not known: it may be a new one.
    pub(in crate::gateway) fn names_another_key(&self, token: &str) -> bool {
        let Ok(header) = decode_header(token) else { return false };
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        header.kid.is_some() && !keys.iter().any(|known| known.id == header.kid)
    }

    /// Who holds a token; an error says what is wrong with it.
    pub(in crate::gateway) fn caller(&self, token: &str) -> Result<Caller, String> {
        // `none` is no algorithm that the header may name.
        let header = decode_header(token).map_err(|error| error.to_string())?;
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut why = "no key matches it".to_owned();
        for known in keys.iter().filter(|known| fits(known, &header)) {
            match decode::<Map<String, Value>>(token, &known.key, &self.validation(header.alg)) {
                Ok(token) => return self.granted(&token.claims),
                Err(error) => why = error.to_string(),
            }
        }
        Err(why)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if !self.claims.audiences.is_empty() {
            validation.set_audience(&self.claims.audiences);
            required.push("aud");
        }
        if !self.claims.issuers.is_empty() {
            validation.set_issuer(&self.claims.issuers);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    /// What the claims of a token grant.
    fn granted(&self, claims: &Map<String, Value>) -> Result<Caller, String> {
        let owner = claims
            .get(&self.claims.owner)
            .and_then(Value::as_str)
            .filter(|owner| !owner.is_empty());
        let owner = owner.ok_or_else(|| format!("the claim {} is missing", self.claims.owner))?;
        let ids = match &self.claims.ids {
            None => Ids::Any,
            Some(claim) => Ids::Only(match claims.get(claim) {
                Some(Value::String(id)) => vec![id.clone()],
                Some(Value::Array(ids)) => ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect(),
                _ => return Err(format!("the claim {claim} is missing")),
            }),
        };
        Ok(Caller::new(owner, ids))
    }
}

fn fits(known: &Known, header: &Header) -> bool {
    let is_named = match (&known.id, &header.kid) {
        (Some(known), Some(named)) => known == named,
        _ => true,
    };
    is_named && known.algorithms.contains(&header.alg)
}

/// A public key of a JWKS. A secret in a document that others may read is none.
fn known(jwk: &Jwk) -> Option<Known> {
    if jwk
        .common
        .public_key_use
        .as_ref()
        .is_some_and(|is_for| *is_for != PublicKeyUse::Signature)
    {
        return None;
    }
    let all = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => vec![Algorithm::ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => vec![Algorithm::ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => vec![Algorithm::EdDSA],
        _ => return None,
    };
    let named = jwk.common.key_algorithm.map(|algorithm| algorithm.to_string());
    let is_named = |algorithm: &Algorithm| named.as_ref().is_none_or(|named| *named == format!("{algorithm:?}"));
    Some(Known {
        id: jwk.common.key_id.clone(),
        algorithms: all.into_iter().filter(is_named).collect(),
        key: DecodingKey::from_jwk(jwk).ok()?,
    })
}

#[cfg(test)]
mod tests;
