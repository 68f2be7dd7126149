//! What a run of `diagnose` does, with every default resolved.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::cmd::diagnose::args::{DiagnoseArgs, FailOn, With};
use crate::cmd::{Colour, flags, targets};
use crate::diagnosis::assess::Question;
use crate::exit::Failure;
use crate::io::Io;
use crate::model::kind;
use crate::observe::diagnose::Request;
use crate::observe::dials::Reach;
use crate::observe::files;
use crate::observe::reads::Rights;
use crate::observe::targets::{Selection, Wanted};
use crate::render::document::Format;
use crate::text::command;
use crate::view::Options;

/// Where the report goes.
#[derive(Clone, Debug)]
pub(crate) struct OutputPlan {
    pub(crate) format: Format,
    pub(crate) color: Colour,
    /// Whether suggestions are shown.
    pub(crate) advice: bool,
    /// Whether a suggestion makes the exit code 3.
    pub(crate) advice_fails: bool,
    pub(crate) save: Option<PathBuf>,
}

/// What a run does.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) request: Request,
    /// Judges the objects of files, without a server.
    pub(crate) is_local: bool,
    pub(crate) watch: bool,
    /// Files that name objects or hold them, and whether folders below them are read too.
    pub(crate) files: (Vec<String>, bool),
    /// When the objects in the files were read.
    pub(crate) now: Option<Timestamp>,
    /// The namespace that was given.
    pub(crate) namespace: Option<String>,
    pub(crate) output: OutputPlan,
}

impl Plan {
    /// Resolves the flags; an error says which are invalid.
    pub(crate) fn new(args: &DiagnoseArgs, namespace: Option<&str>) -> Result<Self, Failure> {
        let wanted = targets::parse(&args.targets)?;
        let by_name = wanted.iter().any(|w| !matches!(w, Wanted::All(_)));
        if args.all_namespaces && by_name {
            return Err(Failure::usage("a target and -A cannot be used together").hint("name its namespace with -n"));
        }
        flags::check_dial_timeout(args.dial_timeout, args.no_dial)?;
        if args.debug_image.is_some() && !by_name {
            return Err(
                Failure::usage("--debug-image needs a target: it changes pods").hint("name a workload or a pod, such as deployment/api")
            );
        }
        if args.all_namespaces && namespace.is_some() {
            return Err(Failure::usage("-A and -n cannot be used together"));
        }
        if by_name && (args.selector.is_some() || args.field_selector.is_some()) {
            return Err(Failure::usage("a name and a selector cannot be used together"));
        }
        if !args.local && !args.filename.is_empty() && !args.targets.is_empty() {
            return Err(Failure::usage("targets and -f cannot be used together"));
        }
        if let Some(Wanted::Named(_, name)) = wanted
            .iter()
            .find(|w| matches!(w, Wanted::Named(k, _) if kind::named(k) == Some(&kind::NAMESPACE)))
        {
            return Err(Failure::usage("a namespace is judged as a whole").hint(command("kubectl podlife diagnose -n {}", &[name])));
        }
        Ok(Self {
            request: Request {
                selection: Selection {
                    wanted,
                    labels: args.selector.clone(),
                    fields: args.field_selector.clone(),
                    all_namespaces: args.all_namespaces,
                    type_may_be_pod: args.targets.len() > 1,
                },
                question: Question {
                    targets: None,
                    containers: args.container.iter().cloned().collect(),
                    ignore: args.ignore.iter().copied().collect(),
                    options: Options {
                        since: args.since,
                        dial: !args.no_dial && !args.local,
                        sockets: args.exec || args.debug_image.is_some(),
                        logs: args.logs || by_name || !args.filename.is_empty(),
                        ..Options::default()
                    },
                },
                rights: Rights {
                    secrets: args.with.contains(&With::Secrets),
                    reach: Reach::new(args.dial_timeout, args.exec, args.debug_image.clone()).within(args.dial_time),
                },
                keeps_objects: args.save.is_some() || args.watch,
            },
            is_local: args.local,
            watch: args.watch,
            files: (args.filename.clone(), args.recursive),
            now: args.now,
            namespace: namespace.map(str::to_owned),
            output: OutputPlan {
                format: args.output.clone(),
                color: args.color,
                advice: args.advice || args.fail_on == FailOn::Advice,
                advice_fails: args.fail_on == FailOn::Advice,
                save: args.save.clone(),
            },
        })
    }

    /// Reads the files that name or hold objects; none where none are given.
    pub(crate) fn read_files(&self, io: &mut Io) -> Result<Option<files::Documents>, Failure> {
        let (files, recursive) = &self.files;
        if files.is_empty() {
            return Ok(None);
        }
        let read = files::read(files, *recursive, &mut io.stdin);
        read.map(Some).map_err(|error| Failure::usage(format!("{error:#}")))
    }
}
