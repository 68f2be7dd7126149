//! Credentials in addresses: URLs that are secret as a whole, and segments of paths that are tokens.

/// Hosts of chat services, what stands before the secret part of their addresses, and what ends it.
const WEBHOOKS: &[(&str, &str, &[char])] = &[
    ("hooks.slack.com", "/services/", &[]),
    ("hooks.slack.com", "/workflows/", &[]),
    ("hooks.slack.com", "/triggers/", &[]),
    ("discord.com", "/webhooks/", &[]),
    ("discordapp.com", "/webhooks/", &[]),
    ("api.telegram.org", "/bot", &['/']),
    ("api.telegram.org", "/file/bot", &['/']),
    ("webhook.office.com", "/webhookb2/", &[]),
    ("outlook.office.com", "/webhook/", &[]),
    ("chat.googleapis.com", "/spaces/", &[]),
    ("open.feishu.cn", "/hook/", &[]),
    ("hooks.zapier.com", "/catch/", &[]),
    ("maker.ifttt.com", "/key/", &[]),
];

fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | ')' | ']' | '}' | ',' | ';' | '\\')
}

/// A line whose addresses are without credentials.
pub fn mask(line: &str, mask: &str) -> String {
    let line = mask_webhooks(line, mask);
    if !line.contains("://") {
        return line;
    }
    let mut out = String::with_capacity(line.len());
    for part in line.split_inclusive(ends_word) {
        let path = part.find("://").and_then(|at| part[at + 3..].find('/').map(|slash| at + 3 + slash));
        match path {
            Some(at) => {
                out.push_str(&part[..at]);
                out.push_str(&mask_path(&part[at..], mask));
            }
            None => out.push_str(part),
        }
    }
    out
}

fn mask_webhooks(line: &str, mask: &str) -> String {
    let mut line = line.to_owned();
    for (host, lead, ends) in WEBHOOKS {
        let mut from = 0;
        // What is replaced keeps its length or not: the lower case is made anew each time.
        while let Some(at) = line[from..].to_ascii_lowercase().find(host).map(|at| from + at) {
            let rest = at + host.len();
            from = rest;
            let word = line[rest..].find(ends_word).map_or(line.len(), |end| rest + end);
            let Some(begin) = line[rest..word].find(lead).map(|at| rest + at + lead.len()) else {
                continue;
            };
            let end = line[begin..word].find(*ends).map_or(word, |end| begin + end);
            if end > begin {
                line.replace_range(begin..end, mask);
                from = begin + mask.len();
            }
        }
    }
    line
}

/// A path with the segments masked that are tokens; a query stays as it is.
pub fn mask_path(path: &str, mask: &str) -> String {
    let end = path.find(['?', '#']).unwrap_or(path.len());
    let mut before = "";
    let masked: Vec<String> = path[..end]
        .split('/')
        .map(|segment| {
            let said = crate::text::redact::is_secret_name(&before.to_lowercase().replace(['-', '_'], ""));
            before = segment;
            let body = segment.trim_end_matches(ends_word);
            let is_secret = is_token(body) || (said && body.len() >= 4 && body.chars().any(|c| c.is_ascii_digit()));
            match is_secret {
                true => format!("{mask}{}", &segment[body.len()..]),
                false => segment.to_owned(),
            }
        })
        .collect();
    format!("{}{}", masked.join("/"), &path[end..])
}

/// Parts of this length and more with digits among letters are no words, and no suffixes that controllers give names.
const TOKEN_LENGTH: usize = 16;

/// Whether a segment is a token: a digest says what it is, and an id of dashes and short parts is none.
fn is_token(segment: &str) -> bool {
    if segment.starts_with("sha256:") || segment.starts_with("sha512:") {
        return false;
    }
    segment.split(['-', '_', '.', '~', '=', ':']).any(|part| {
        part.len() >= TOKEN_LENGTH
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '%' || c == '+')
            && part.chars().any(|c| c.is_ascii_digit())
            && part.chars().any(|c| c.is_ascii_alphabetic())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_secret_are_masked() {
        for (line, wanted) in [
            (
                "POST https://hooks.slack.com/services/T00000000/B00000000/abcdefghijkl failed",
                "POST https://hooks.slack.com/services/*** failed",
            ),
            (
                "\"https://discord.com/api/webhooks/123456/abc-DEF\"",
                "\"https://discord.com/api/webhooks/***\"",
            ),
            (
                "https://api.telegram.org/bot12345:AAE-x/sendMessage: 401",
                "https://api.telegram.org/bot***/sendMessage: 401",
            ),
            (
                "Get \"http://10.0.0.1:80/health/a1b2c3d4e5f6a7b8c9\": EOF",
                "Get \"http://10.0.0.1:80/health/***\": EOF",
            ),
            ("http://db/token/hunter2/x?y=1", "http://db/token/***/x?y=1"),
        ] {
            assert_eq!(mask(line, "***"), wanted);
            assert_eq!(mask(wanted, "***"), wanted, "masking again changes nothing");
        }
        assert_eq!(mask_path("/health/0123456789abcdefgh", "***"), "/health/***");
    }

    #[test]
    fn other_addresses_stay() {
        for line in [
            "https://hooks.slack.com/ answers 404",
            "GET http://10.0.0.1:8080/api/v1/namespaces/shop/pods/web-7c9f8d6b5-x2x4z",
            "https://registry.example/v2/library/app/manifests/sha256:0123456789abcdef0123",
            "https://10.96.0.1:443/apis/apps/v1/namespaces/shop/deployments/web?timeout=32s",
            "http://db/objects/123e4567-e89b-12d3-a456-426614174000",
            "open /run/containerd/io.containerd.runtime.v2.task/k8s.io/0123456789abcdef0123/rootfs: no such file",
            "http://10.0.0.1/oauth/token/refresh",
            "http://10.0.0.1/getUserAuthenticationStatus",
        ] {
            assert_eq!(mask(line, "***"), line);
        }
    }
}
