use proptest::prelude::*;

use super::name;

/// RFC 1035: what Services, pods and labels take.
fn is_dns_label(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('-') && name.chars().all(is_inner)
}

proptest! {
    #[test]
    fn every_id_has_a_valid_name(id in "(?s).{1,400}") {
        let name = name::of(&id).unwrap();
        prop_assert!(is_dns_label(&name_with_generation(&name)), "{name}");
    }

    #[test]
    fn two_ids_never_share_a_name(a in "[aA_./ -]{1,12}", b in "[aA_./ -]{1,12}") {
        prop_assert_eq!(a == b, name::of(&a).unwrap() == name::of(&b).unwrap());
    }
}

fn name_with_generation(name: &str) -> String {
    name::of_pod(name, 9999)
}

#[test]
fn names_are_readable() {
    for (id, slug) in [
        ("user-42", "user-42"),
        ("User_1", "user-1"),
        ("a/../b", "a-b"),
        ("trailing-", "trailing"),
        (" blanks in it ", "blanks-in-it"),
        ("42", "s-42"),
        ("Ж世界", "s"),
        ("--", "s"),
    ] {
        let name = name::of(id).unwrap();
        assert_eq!(name.rsplit_once('-').unwrap().0, slug, "{id}");
    }
    let long = name::of(&"x".repeat(300)).unwrap();
    assert_eq!(long.len(), 57);
}

#[test]
fn an_id_has_1_to_4096_bytes() {
    assert!(name::of("").is_err());
    assert!(name::of(&"x".repeat(4096)).is_ok());
    assert!(name::of(&"x".repeat(4097)).unwrap_err().contains("4097"));
}
