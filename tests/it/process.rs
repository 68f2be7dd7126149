//! Runs podlife in this process, with its streams caught.

use std::io::Write;
use std::sync::{Arc, Mutex};

use podlife::io::{Environment, Io, Stream};
use serde_json::Value;

/// What podlife answered.
pub struct Answer {
    pub exit: u8,
    pub stdout: String,
    pub stderr: String,
    /// The document, where JSON was asked for.
    pub json: Value,
}

impl Answer {
    /// The first root cause of a diagnosis.
    pub fn root_cause(&self) -> &Value {
        &self.json["rootCauses"][0]
    }
}

/// Where podlife thinks that it runs.
#[derive(Default)]
pub struct Setting<'a> {
    /// Standard input.
    pub input: &'a str,
    /// Width of the terminal on stdout; none for a pipe.
    pub terminal: Option<usize>,
    /// Its environment.
    pub environment: Environment,
}

/// Runs podlife as in a pipeline: no terminal, nothing in the environment.
pub fn podlife(arguments: &[&str]) -> Answer {
    podlife_in(&Setting::default(), arguments)
}

/// Runs podlife in a setting.
pub fn podlife_in(setting: &Setting<'_>, arguments: &[&str]) -> Answer {
    let (stdout, stderr) = (Caught::default(), Caught::default());
    let mut io = Io {
        stdout: Stream::new(Box::new(stdout.clone()), setting.terminal.is_some(), setting.terminal),
        stderr: Stream::new(Box::new(stderr.clone()), false, None),
        stdin: Box::new(std::io::Cursor::new(setting.input.to_owned())),
        stdin_is_terminal: false,
        environment: setting.environment.clone(),
        now: jiff::Timestamp::now,
        stop: podlife::io::Stop::default(),
    };
    let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
    let exit = podlife::run(&arguments, &mut io).code();
    let stdout = stdout.text();
    let json = serde_json::from_str(&stdout).unwrap_or_default();
    Answer {
        exit,
        stdout,
        stderr: stderr.text(),
        json,
    }
}

#[derive(Clone, Default)]
struct Caught(Arc<Mutex<Vec<u8>>>);

impl Caught {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).expect("what podlife prints is UTF-8")
    }
}

impl Write for Caught {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Asserts that the marks of a text and the counts in its first line are those of the document about the same objects.
pub fn assert_marks_agree(text: &str, document: &serde_json::Value) {
    let judged = document["workloads"].as_array().unwrap();
    let first = text.lines().next().unwrap_or_default();
    let of = |verdict: &str| judged.iter().filter(|j| j["verdict"] == verdict).count();
    let (worst, all) = (document["verdict"].as_str().unwrap(), judged.len());
    assert!(first.starts_with(&format!("{}  ", worst.to_uppercase())), "{text}");
    for verdict in ["broken", "degraded", "inconclusive", "progressing"] {
        let count = of(verdict);
        let is_told = first.contains(&format!("{count} {verdict}"));
        assert_eq!(is_told, count > 0 && count < all, "{verdict}: {count} of {all}\n{text}");
    }
    for (mark, verdict) in [("✗ ", "broken"), ("! ", "degraded")] {
        for heading in text.lines().filter_map(|line| line.strip_prefix(mark)) {
            let name = heading.split_whitespace().next().unwrap_or_default();
            let is_it = |j: &&serde_json::Value| {
                let kind = j["kind"].as_str().unwrap_or_default().to_lowercase();
                name == format!("{kind}/{}", j["name"].as_str().unwrap_or_default())
            };
            let found = judged.iter().find(is_it).unwrap_or_else(|| panic!("{name} is not judged\n{text}"));
            assert_eq!(found["verdict"], verdict, "{name}\n{text}");
        }
    }
}
