use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/jwt").join(name);
    fs::read_to_string(&path).unwrap().trim().to_owned()
}

fn claims() -> Claims {
    Claims {
        audiences: vec!["podlife".to_owned()],
        issuers: vec!["https://issuer.example".to_owned()],
        owner: "sub".to_owned(),
        ids: Some("sessions".to_owned()),
    }
}

fn verifier() -> Jwt {
    let jwt = Jwt::new(claims());
    jwt.set_keys(fixture("keys.json").as_bytes()).unwrap();
    jwt
}

#[test]
fn tokens_of_each_kind_of_key_are_accepted() {
    for name in ["rs256.jwt", "es256.jwt", "eddsa.jwt"] {
        let caller = verifier().caller(&fixture(name)).unwrap();
        assert_eq!(caller.owner.as_deref(), Some("ann"), "{name}");
        assert!(caller.may_use("team/1") && !caller.may_use("b"), "{name}");
    }
}

#[test]
fn keys_are_not_confused() {
    for name in [
        "none.jwt",
        "hs256-of-public-key.jwt",
        "hs256-of-modulus.jwt",
        "hs256-of-published-secret.jwt",
        "rs512-of-rs256-key.jwt",
        "rs256-of-encryption-key.jwt",
    ] {
        let refused = verifier().caller(&fixture(name));
        assert!(refused.is_err(), "{name}: {refused:?}");
    }
}

#[test]
fn a_token_that_was_changed_is_refused() {
    let token = fixture("eddsa.jwt");
    let parts: Vec<&str> = token.split('.').collect();
    let mut payload: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    payload["sub"] = json!("bob");
    let payload = URL_SAFE_NO_PAD.encode(payload.to_string());
    for changed in [
        format!("{}.{payload}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{token}.x"),
        String::new(),
        "...".to_owned(),
    ] {
        assert!(verifier().caller(&changed).is_err(), "{changed}");
    }
}

#[test]
fn each_claim_counts() {
    let mut seen = 0;
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/jwt")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with("wrong-") {
            seen += 1;
            assert!(verifier().caller(&fixture(&name)).is_err(), "{name}");
        }
    }
    assert!(seen >= 10, "{seen}");
    let any = Jwt::new(Claims {
        audiences: Vec::new(),
        issuers: Vec::new(),
        ids: None,
        ..claims()
    });
    any.set_keys(fixture("keys.json").as_bytes()).unwrap();
    let caller = any.caller(&fixture("wrong-iss-value.jwt"));
    // A token that names an audience is for that one alone.
    assert!(caller.is_err(), "{caller:?}");
    assert!(any.caller(&fixture("wrong-aud-missing.jwt")).unwrap().may_use("b"));
}

/// A token that was signed with a secret.
fn signed(secret: &[u8]) -> String {
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!(
        "{}.{}",
        encode(json!({"alg": "HS256"})),
        encode(json!({"sub": "ann", "exp": 4_102_444_800_u64}))
    );
    let key = ::ring::hmac::Key::new(::ring::hmac::HMAC_SHA256, secret);
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(::ring::hmac::sign(&key, message.as_bytes())))
}

#[test]
fn a_secret_signs_until_it_is_replaced() {
    let (first, second) = ([b'a'; 32], [b'b'; 32]);
    let jwt = Jwt::new(Claims {
        owner: "sub".to_owned(),
        ..Claims::default()
    });
    assert!(jwt.caller(&signed(&first)).is_err());
    jwt.set_secret(&first).unwrap();
    assert!(jwt.caller(&signed(&first)).is_ok() && jwt.caller(&signed(&second)).is_err());
    jwt.set_secret(&second).unwrap();
    assert!(jwt.caller(&signed(&first)).is_err() && jwt.caller(&signed(&second)).is_ok());
    assert!(jwt.set_secret(b"short").is_err());
    // What could not be read changes nothing.
    assert!(jwt.set_keys(b"{}").is_err() && jwt.set_keys(br#"{"keys": []}"#).is_err());
    assert!(jwt.caller(&signed(&second)).is_ok());
}
