//! Commands that are printed for a user to run. Each argument is quoted for a POSIX shell, so that text from a cluster never becomes a command.

use std::fmt::{Display, Formatter, Result};

use crate::text::sanitise;

/// A command line that can be pasted into a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(String);

/// A command from a template of the program and its arguments: `{}` stands for an argument or a part of one, the rest is written as it is.
///
/// ```text
/// command("kubectl logs {} -c {} --tail=50", &[&pod, &container])
/// ```
pub fn command(template: &'static str, arguments: &[&dyn Display]) -> Command {
    debug_assert_eq!(template.matches("{}").count(), arguments.len(), "{template}");
    let mut arguments = arguments.iter();
    let words = template.split(' ').map(|word| {
        let mut parts = word.split("{}");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        let mut is_static = true;
        for part in parts {
            is_static = false;
            filled.extend(arguments.next().map(|argument| sanitise(&argument.to_string())));
            filled.push_str(part);
        }
        if is_static { filled } else { quoted(&filled) }
    });
    Command(words.collect::<Vec<_>>().join(" "))
}

impl Command {
    /// The line.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The command with one more word where something holds.
    #[must_use]
    pub fn with(self, word: &'static str, holds: bool) -> Self {
        if holds { Self(format!("{} {word}", self.0)) } else { self }
    }

    /// The command with further arguments.
    #[must_use]
    pub fn arguments<T: AsRef<str>>(self, all: impl IntoIterator<Item = T>) -> Self {
        let words = all.into_iter().map(|argument| quoted(&sanitise(argument.as_ref())));
        Self(std::iter::once(self.0).chain(words).collect::<Vec<_>>().join(" "))
    }

    /// Both commands, the second one where the first one succeeds.
    #[must_use]
    pub fn and(self, next: &Self) -> Self {
        Self(format!("{} && {}", self.0, next.0))
    }
}

impl From<&'static str> for Command {
    fn from(text: &'static str) -> Self {
        Self(text.to_owned())
    }
}

impl From<Command> for String {
    fn from(command: Command) -> Self {
        command.0
    }
}

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(&self.0)
    }
}

/// One word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_and_the_template_is_not() {
        let pod = "a'b; touch /tmp/x";
        let line = command("kubectl get pod/{} -n {} -o jsonpath='{.spec}'", &[&pod, &"shop"]);
        assert_eq!(
            line.to_string(),
            r"kubectl get 'pod/a'\''b; touch /tmp/x' -n shop -o jsonpath='{.spec}'"
        );
        let line = command("kubectl exec {} --", &[&"p"])
            .arguments(["sh", "-c", "a || b", ""])
            .with("-v", true);
        assert_eq!(line.to_string(), "kubectl exec p -- sh -c 'a || b' '' -v");
        assert_eq!(Command::from("a").and(&"b".into()).to_string(), "a && b");
    }
}
