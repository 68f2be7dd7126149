//! Text in XML and HTML.

use crate::text::sanitise;

/// Text for an element or an attribute in quotes.
pub(crate) fn escape(text: &str) -> String {
    sanitise(text)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text() {
        assert_eq!(
            escape("a<b>&\"c\" 'd'\u{1b}[31m\u{202e}"),
            "a&lt;b&gt;&amp;&quot;c&quot; &apos;d&apos;"
        );
    }
}
