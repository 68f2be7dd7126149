//! A choice that can be repeated: the same seed chooses the same of the same pods.

use sha2::{Digest as _, Sha256};

/// Chooses some of the names, in the order in which they are hit.
pub(crate) fn choose<'a>(seed: u64, names: &[&'a str], count: usize) -> Vec<&'a str> {
    let place = |name: &str| Sha256::digest(format!("{seed}/{name}"));
    let mut chosen = names.to_vec();
    chosen.sort_by_key(|name| place(name));
    chosen.truncate(count);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_whatever_the_order_of_the_names() {
        let chosen = choose(7, &["a", "b", "c", "d"], 2);
        assert_eq!(chosen, choose(7, &["d", "c", "b", "a"], 2));
        assert!((0..20).any(|seed| choose(seed, &["a", "b", "c", "d"], 2) != chosen));
        assert_eq!(choose(7, &["a"], 3), ["a"]);
    }
}
