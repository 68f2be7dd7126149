//! Pods that wait for sessions.

use clap::Args;

use crate::exit::Failure;
use crate::gateway::plan::{Reread, Warm};
use crate::session::template::Template;

/// How many pods wait for sessions, and how they learn which one they get.
#[derive(Args, Clone, Debug)]
pub(super) struct WarmFlags {
    /// How many pods to keep ready for new sessions
    #[arg(long, value_name = "NUMBER", default_value = "0")]
    warm: u16,
    /// Path of the application that gets the session id in a POST before the first request, if its pod was kept ready
    #[arg(long, value_name = "PATH", value_parser = path)]
    warm_request: Option<String>,
}

impl WarmFlags {
    /// The flags again, for another process.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = vec![format!("--warm={}", self.warm)];
        words.extend(self.warm_request.iter().map(|path| format!("--warm-request={path}")));
        words
    }

    /// What the gateway is to do.
    pub(super) fn plan(&self) -> Result<Warm, Failure> {
        if self.warm == 0 && self.warm_request.is_some() {
            return Err(Failure::usage("--warm-request needs --warm"));
        }
        Ok(Warm {
            size: self.warm.into(),
            request: self.warm_request.clone(),
        })
    }

    /// A template whose pods can wait for sessions, if any are to.
    pub(super) fn prepared(&self, template: Template) -> Result<Template, Failure> {
        match self.warm {
            0 => Ok(template),
            _ => template.warmed().map_err(|why| Failure::usage(format!("--warm: {why}"))),
        }
    }

    /// The same for a template that is read again.
    pub(super) fn reread(&self, reread: Reread) -> Reread {
        let flags = self.clone();
        Box::new(move || flags.prepared(reread()?))
    }
}

fn path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && text.parse::<http::Uri>().is_ok_and(|uri| uri.authority().is_none());
    is_path
        .then(|| text.to_owned())
        .ok_or_else(|| "expected a path that begins with /, for example /claim".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        flags: WarmFlags,
    }

    #[test]
    fn another_process_gets_the_same_flags() {
        let flags = |words: &[&str]| Line::try_parse_from([&["serve"], words].concat()).map(|line| line.flags);
        let first = flags(&["--warm=10", "--warm-request=/claim?a=b"]).unwrap();
        let again = first.words();
        let again = flags(&again.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!(format!("{first:?}"), format!("{again:?}"));
        assert!(flags(&["--warm-request=/claim"]).unwrap().plan().is_err());
        for wrong in ["claim", "", "/a b", "http://other/claim"] {
            assert!(flags(&["--warm=1", &format!("--warm-request={wrong}")]).is_err(), "{wrong}");
        }
    }
}
