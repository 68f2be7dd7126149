//! Command lines as a shell parts them: enough to see which programs run, with which words.

/// Programs that run the script behind `-c`.
const SHELLS: [&str; 7] = ["sh", "bash", "ash", "dash", "zsh", "ksh", "busybox"];

/// What stands before a command or its variables.
const LEADING: [&str; 11] = ["export", "env", "exec", "while", "until", "if", "elif", "do", "then", "else", "!"];

/// The file name of a program.
pub fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

/// Whether a program runs the script behind `-c`.
pub fn is_shell(word: &str) -> bool {
    SHELLS.contains(&program(word))
}

/// The simple commands of a container's command line: of its script where it is a shell's, else itself.
pub fn commands(words: &[String]) -> Vec<Vec<String>> {
    let script = words.iter().enumerate().find_map(|(at, word)| {
        if !is_shell(word) {
            return None;
        }
        let flag = words[at + 1..]
            .iter()
            .take(3)
            .position(|w| w.starts_with('-') && !w.starts_with("--") && w.ends_with('c'))?;
        words.get(at + flag + 2)
    });
    match script {
        Some(script) => split(script),
        None if words.is_empty() => Vec::new(),
        None => vec![words.to_vec()],
    }
}

/// The words of a text, quotes removed.
pub fn words(text: &str) -> Vec<String> {
    split(text).into_iter().flatten().collect()
}

/// The words of a command line wherever they stand: within quotes, substitutions and redirections, and on both sides of `=`.
pub fn fragments(text: &str) -> Vec<&str> {
    text.split(|c: char| c.is_whitespace() || matches!(c, ';' | '|' | '&' | '(' | ')' | '<' | '>' | '"' | '\'' | '`' | '='))
        .filter(|word| !word.is_empty())
        .collect()
}

/// `A=1 B=2 program …`: the variables before a command, and the command. `export A=1` and `env A=1 program` set variables too.
pub fn assignments(words: &[String]) -> (Vec<(String, String)>, Vec<String>) {
    let mut variables = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        let is_name = |name: &str| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
                && !name.starts_with(|c: char| c.is_ascii_digit())
        };
        match word.split_once('=') {
            Some((name, value)) if is_name(name) => variables.push((name.to_owned(), value.to_owned())),
            _ if LEADING.contains(&word.as_str()) => {}
            _ => break,
        }
        at += 1;
    }
    (variables, words[at..].to_vec())
}

/// Replaces `$NAME`, `${NAME}`, `${NAME:-default}` and Kubernetes' `$(NAME)`.
pub fn expand(text: &str, environment: &[(String, String)]) -> String {
    let value = |name: &str| environment.iter().rev().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, default, used) = if let Some(inner) = after.strip_prefix('{') {
            let end = inner.find('}').unwrap_or(inner.len());
            let (name, default) = inner[..end].split_once(":-").map_or((&inner[..end], None), |(n, d)| (n, Some(d)));
            (name, default, (end + 2).min(after.len()))
        } else if let Some(inner) = after.strip_prefix('(') {
            let end = inner.find(')').unwrap_or(inner.len());
            (&inner[..end], None, (end + 2).min(after.len()))
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            (&after[..end], None, end)
        };
        match value(name).or(default) {
            Some(value) => out.push_str(value),
            None => out.push_str(&rest[at..=at + used]),
        }
        rest = &after[used..];
    }
    out.push_str(rest);
    out
}

/// Parts a script into commands and words. What depends on what runs (substitutions, functions) stays as it is written.
fn split(script: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    let mut command: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = script.chars().peekable();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"') | None, '\\') => match characters.next() {
                Some('\n') | None => {}
                Some(next) => word.get_or_insert_default().push(next),
            },
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => while characters.next_if(|c| *c != '\n').is_some() {},
            (None, ';' | '\n' | '&' | '|' | '(' | ')') => {
                command.extend(word.take());
                if !command.is_empty() {
                    all.push(std::mem::take(&mut command));
                }
            }
            (None, c) if c.is_whitespace() => command.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    command.extend(word);
    if !command.is_empty() {
        all.push(command);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parted(words: &[&str]) -> Vec<String> {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        commands(&words).iter().map(|c| c.join("·")).collect()
    }

    #[test]
    fn a_script_is_parted_into_commands() {
        assert_eq!(
            parted(&["/bin/sh", "-ec", "a 'b c' && d \"e\\\"f\" | g; # no\nexec h --x=1 \\\n --y"]),
            ["a·b c", "d·e\"f", "g", "exec·h·--x=1·--y"]
        );
        assert_eq!(parted(&["tini", "--", "bash", "-lc", "a"]), ["a"]);
        assert_eq!(parted(&["app", "-c", "a; b"]), ["app·-c·a; b"]);
        assert_eq!(parted(&["sh", "/start.sh"]), ["sh·/start.sh"]);
        assert!(parted(&[]).is_empty());
    }

    #[test]
    fn variables_before_a_command_are_set() {
        let words = |text: &str| words(text);
        let (variables, rest) = assignments(&words("env A=1 B='2 3' app C=4"));
        assert_eq!(variables, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2 3".to_owned())]);
        assert_eq!(rest, ["app", "C=4"]);
    }
}
