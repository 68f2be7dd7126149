//! Lists of words as data.

/// Words or phrases, written as one text with commas between them.
pub(crate) struct Words(pub(crate) &'static str);

impl Words {
    /// All of them, in the order of the text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.0.split(", ")
    }

    /// Whether a word is one of them.
    pub(crate) fn has(&self, word: &str) -> bool {
        self.iter().any(|known| known == word)
    }

    /// Whether a text contains one of them.
    pub(crate) fn occur_in(&self, text: &str) -> bool {
        self.iter().any(|word| text.contains(word))
    }
}
