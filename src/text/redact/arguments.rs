//! Credentials among the words of a command: `mysql -pSECRET`, `curl -u name:SECRET`, `redis-cli -a SECRET`.

use crate::text::{Words, shell};

/// How a program takes a password.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    /// Only in the same word: `-pSECRET`; what follows in a word of its own is something else.
    Joined,
    /// As the next word, or in the same one.
    Next,
    /// As the next word, once the word `login` was seen: elsewhere the flag means something else.
    NextOfLogin,
}

/// Beginnings of programs' names, the flag, and how it takes a password.
const FLAGS: &[(&str, &str, Takes)] = &[
    ("mysql", "-p", Takes::Joined),
    ("mariadb", "-p", Takes::Joined),
    ("sshpass", "-p", Takes::Next),
    ("mongo", "-p", Takes::Next),
    ("redis-cli", "-a", Takes::Next),
    ("valkey-cli", "-a", Takes::Next),
    ("ldap", "-w", Takes::Next),
    ("sqlcmd", "-P", Takes::Next),
    ("docker", "-p", Takes::NextOfLogin),
    ("podman", "-p", Takes::NextOfLogin),
    ("nerdctl", "-p", Takes::NextOfLogin),
    ("buildah", "-p", Takes::NextOfLogin),
    ("skopeo", "-p", Takes::NextOfLogin),
    ("az", "-p", Takes::NextOfLogin),
    ("oc", "-p", Takes::NextOfLogin),
];

/// Flags of `name:password`, whatever the program.
const USER_FLAGS: Words = Words(
    "--proxy-user, --user, --basic-auth, --basicauth, --http-auth, --proxy-auth, --auth, --credentials, --creds, --userpass, \
     --user-pass, -u, -U",
);

/// Flags of a password in programs that are not known by name: a value that looks like one is masked, anything else stays.
const ANY_NEXT: &[&str] = &["-a", "-k"];

/// Directives of a password as a word alone, as servers take them for arguments and in their configuration.
const DIRECTIVES: &[&str] = &["requirepass", "masterauth"];

/// Beginnings of what programs call with `-p` in front: `-port`, `-pidfile`, `-proxyHost`. None of them is a password joined to its flag.
const WORDS_OF_P: Words = Words(
    "port, pid, path, proxy, parallel, prefix, prof, process, plugin, package, proto, print, pool, prior, prod, preset, project, \
     progress, public, private, page, param, parent, part, patch, peer, perf, ping, pipe, poll, pretty, preserve, probe, properties, \
     provider, push, pull, pwd, pass, password, p2p, post, pub, pre",
);

/// Where in each word a credential begins, if one does.
pub fn secrets(words: &[&str]) -> Vec<Option<usize>> {
    let mut found = Vec::with_capacity(words.len());
    let mut program = "";
    let mut is_login = false;
    let mut names_user = false;
    // The flag before, where the next word belongs to it.
    let mut after: Option<Expects> = None;
    for word in words {
        let lead = word.len() - word.trim_start_matches(OPENING).len();
        let bare = &word[lead..];
        let at = match after.take() {
            Some(Expects::Password) => Some(0),
            Some(Expects::User) => password_of(bare),
            Some(Expects::Perhaps) => looks_like_password(bare.trim_end_matches(CLOSING)).then_some(0),
            Some(Expects::Directive) => {
                let said = bare.trim_end_matches(CLOSING).to_ascii_lowercase();
                (!SAID_OF_DIRECTIVES.has(&said)).then_some(0)
            }
            None => {
                let (at, next) = of_flag(bare, program, is_login, names_user);
                after = next;
                at
            }
        };
        found.push(at.filter(|at| is_secret(&bare[*at..])).map(|at| lead + at));
        let plain = bare.trim_end_matches(CLOSING);
        names_user |= is_user_flag(plain);
        let name = shell::program(plain);
        if FLAGS.iter().any(|(start, ..)| is_program(name, start)) {
            (program, is_login) = (name, false);
        }
        is_login |= plain == "login";
        if word.ends_with(';') || matches!(*word, "|" | "||" | "&&" | "&") {
            (program, is_login, names_user, after) = ("", false, false, None);
        }
    }
    found
}

/// A line without credentials among its words.
pub fn mask(line: &str, mask: &str) -> String {
    let parts: Vec<&str> = line.split_inclusive(char::is_whitespace).collect();
    let words: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
    let mut out = String::with_capacity(line.len());
    for ((part, word), at) in parts.iter().zip(&words).zip(secrets(&words)) {
        match at {
            Some(at) => out.push_str(&masked(word, at, mask)),
            None => out.push_str(word),
        }
        out.push_str(&part[word.len()..]);
    }
    out
}

/// A word with what begins at `at` masked; quotes and brackets behind it stay.
pub fn masked(word: &str, at: usize, mask: &str) -> String {
    let secret = word[at..].trim_end_matches(CLOSING);
    format!("{}{mask}{}", &word[..at], &word[at + secret.len()..])
}

const OPENING: [char; 6] = ['"', '\'', '`', '(', '[', '{'];
const CLOSING: [char; 9] = ['"', '\'', '`', ')', ']', '}', ',', ';', '\\'];

enum Expects {
    Password,
    User,
    /// A password or anything else.
    Perhaps,
    /// A password, where it is no sentence about one.
    Directive,
}

fn is_program(name: &str, start: &str) -> bool {
    match name.strip_prefix(start) {
        Some("") => true,
        // `mysqldump`, `mariadb-admin`, `mongosh`, `ldapsearch`; `azcopy` and `october` are others.
        Some(_) => matches!(start, "mysql" | "mariadb" | "mongo" | "ldap"),
        None => false,
    }
}

/// Where the password begins in a flag's own word, and what its next word is.
fn of_flag(word: &str, program: &str, is_login: bool, names_user: bool) -> (Option<usize>, Option<Expects>) {
    for flag in USER_FLAGS.iter() {
        let Some(rest) = word.strip_prefix(flag) else { continue };
        let rest = if flag.starts_with("--") {
            match rest.strip_prefix('=') {
                Some(rest) => rest,
                None if rest.is_empty() => rest,
                None => continue,
            }
        } else {
            rest
        };
        if rest.trim_end_matches(CLOSING).is_empty() {
            return (None, Some(Expects::User));
        }
        return (password_of(rest).map(|at| word.len() - rest.len() + at), None);
    }
    for (start, flag, takes) in FLAGS {
        let Some(rest) = word.strip_prefix(flag).filter(|_| is_program(program, start)) else {
            continue;
        };
        let is_alone = rest.trim_end_matches(CLOSING).is_empty();
        return match takes {
            Takes::Joined if is_alone => (None, None),
            Takes::NextOfLogin if !is_login => (None, None),
            _ if is_alone => (None, Some(Expects::Password)),
            _ => (Some(flag.len()), None),
        };
    }
    let plain = word.trim_end_matches(CLOSING);
    if ANY_NEXT.contains(&plain) {
        return (None, Some(Expects::Perhaps));
    }
    if DIRECTIVES.contains(&plain.trim_start_matches('-').to_ascii_lowercase().as_str()) {
        return (None, Some(Expects::Directive));
    }
    if let Some(joined) = plain.strip_prefix("-p")
        && !WORDS_OF_P.iter().any(|known| plain[1..].to_ascii_lowercase().starts_with(known))
        && (looks_like_password(joined) || names_user && joined.len() >= 4 && is_unlike_setting(joined))
    {
        return (Some(2), None);
    }
    (None, None)
}

fn is_user_flag(word: &str) -> bool {
    word.starts_with("-u") && !word.starts_with("-un") || word.starts_with("-U") || matches!(word, "--user" | "--username")
}

/// Neither a number, an address, a host with its port, a path, a flag nor a pair.
fn is_unlike_setting(text: &str) -> bool {
    let is_number = text
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '.' | ':' | ',' | '/' | '-' | '%'));
    let is_reference = text.starts_with(['-', '/', '.', '$', '*', '<', '~', '[', ':']) || text.contains(['=', '/']);
    let names_port = text.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    !is_number && !is_reference && !names_port
}

/// Whether no option of a program looks like this: capitals or digits within a word that is no address, host, path or name with dots.
fn looks_like_password(text: &str) -> bool {
    let count = |test: fn(&char) -> bool| text.chars().filter(test).count();
    let (digits, capitals) = (count(char::is_ascii_digit), count(char::is_ascii_uppercase));
    let signs = count(|c| matches!(c, '!' | '@' | '#' | '%' | '^' | '&' | '+' | '~' | '?' | '$'));
    // `4m`, `10s`, `8080tcp`: a number with its unit.
    let is_amount = text.starts_with(|c: char| c.is_ascii_digit()) && capitals == 0 && count(char::is_ascii_lowercase) <= 3;
    text.chars().count() >= 6 && digits + capitals + signs > 0 && !is_amount && !text.contains('.') && is_unlike_setting(text)
}

/// What follows a directive in sentences about it.
const SAID_OF_DIRECTIVES: Words = Words(
    "is, was, not, must, should, directive, option, config, configuration, has, and, or, in, to, for, cannot, needs, setting, value, \
     with, are, set",
);

/// Where the password begins in `name:password`; `1000:1000` are ids of a user and a group.
fn password_of(word: &str) -> Option<usize> {
    let colon = word.find(':')?;
    let (name, password) = (&word[..colon], word[colon + 1..].trim_end_matches(CLOSING));
    let is_id = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let is_pair = !name.is_empty() && !password.is_empty() && !password.starts_with("//");
    let are_ids = is_id(name) && is_id(password);
    (is_pair && !are_ids).then_some(colon + 1)
}

/// A reference to a variable is no secret, nor is what is masked already.
fn is_secret(text: &str) -> bool {
    !text.trim_end_matches(CLOSING).is_empty() && !text.starts_with(['$', '*', '<'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_commands_are_masked() {
        for (line, wanted) in [
            ("mysql -h db -u root -phunter2 shop", "mysql -h db -u root -p*** shop"),
            ("/usr/bin/mysqladmin ping '-phunter2'", "/usr/bin/mysqladmin ping '-p***'"),
            ("sh -c \"mysqldump -phunter2\"", "sh -c \"mysqldump -p***\""),
            ("curl -u admin:hunter2 http://x", "curl -u admin:*** http://x"),
            ("curl -uadmin:hunter2 http://x", "curl -uadmin:*** http://x"),
            ("curl --user 'admin:hunter2' http://x", "curl --user 'admin:***' http://x"),
            ("curl --proxy-user=admin:hunter2 http://x", "curl --proxy-user=admin:*** http://x"),
            ("app --basic-auth=admin:hunter2 --port 80", "app --basic-auth=admin:*** --port 80"),
            ("app --auth admin:hunter2", "app --auth admin:***"),
            ("redis-cli -a hunter2 ping", "redis-cli -a *** ping"),
            ("sshpass -p hunter2 ssh host", "sshpass -p *** ssh host"),
            ("mongosh -u a -p hunter2", "mongosh -u a -p ***"),
            ("docker login -u a -p hunter2 registry", "docker login -u a -p *** registry"),
            ("ldapsearch -x -w hunter2", "ldapsearch -x -w ***"),
            ("redis-server --requirepass SECRETVr1", "redis-server --requirepass ***"),
            ("redis-server requirepass swordfish", "redis-server requirepass ***"),
            ("requirepass \"swordfish\"", "requirepass \"***\""),
            ("no-such-binary -u root -pSECRETV20", "no-such-binary -u root -p***"),
            ("no-such-binary -u root -pswordfish", "no-such-binary -u root -p***"),
            ("no-such-binary -uroot '-pswordfish'", "no-such-binary -uroot '-p***'"),
            ("FATAL cannot connect -pSECRETVALUE_lg9", "FATAL cannot connect -p***"),
            ("FATAL cannot connect -phunter2", "FATAL cannot connect -p***"),
            ("app -k SECRETV25 -a SECRETV28", "app -k *** -a ***"),
            ("app -a hunter2 -k 'Sword+fish'", "app -a *** -k '***'"),
            ("exec [\"mysql\", \"-phunter2\"]", "exec [\"mysql\", \"-p***\"]"),
        ] {
            assert_eq!(mask(line, "***"), wanted);
            assert_eq!(mask(wanted, "***"), wanted, "masking again changes nothing");
        }
    }

    #[test]
    fn other_meanings_of_the_same_flags_stay() {
        for line in [
            "app --auth=http://keycloak:8080 --auth-server=keycloak:8080 --credentials-file=/etc/x",
            "docker run -p 8080:80 nginx",
            "docker run -u 1000:1000 app",
            "psql -p 5432 -U app",
            "app -u root -p 8080 -p8080 -port 80 -port8080 --pid 12 -pid=12 -pidFile2",
            "app -a 0.0.0.0 -k 10s -a 0.0.0.0:8080 -a :8080 -a localhost:80 -a [::]:8080 -a web1:8080",
            "curl -k https://Example1.com/ -a /etc/Passwords1 -a --Flag1",
            "gunicorn -k uvicorn.workers.UvicornWorker -k gevent app:main",
            "docker run -p8080:80/tcp -p127.0.0.1:80:80 x",
            "app -u root -path=/x -proxyHost Proxy1 -Dx -p4 -p10s -profile2 -parallel16",
            "requirepass is not set",
            "set the requirepass directive",
            "mkdir -pv x; cp -pR a b; tar -a x; sort -k 2,2 -k 1n",
            "server -p 8080",
            "mysql -p shop",
            "mysql -p$PASSWORD",
            "redis-cli ping; tar -a x",
            "mkdir -p /data/a",
            "ü -u ä",
        ] {
            assert_eq!(mask(line, "***"), line);
        }
    }
}
