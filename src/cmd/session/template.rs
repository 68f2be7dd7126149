//! `session template`: what a session would be made of. The flags are those of `session create`.

use std::io::{self, Read};

use clap::{ArgGroup, Args, value_parser};
use serde_json::Value;

use crate::cluster::{Connection, Log};
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::exit::{Exit, Failure};
use crate::gateway::plan::Reread;
use crate::io::Io;
use crate::model::kind;
use crate::model::kind::Kind;
use crate::observe::files;
use crate::render::document;
use crate::render::document::Format;
use crate::session::name;
use crate::session::template::options::{self, Amounts, Options, VolumeAt};
use crate::session::template::policy::{self, AllowFrom, policy};
use crate::session::template::{Owner, Template};
use crate::text::sanitise;

/// What the pod of a session is made from.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Template", group(ArgGroup::new("source").required(true).args(["image", "filename", "from"])))]
pub(crate) struct TemplateFlags {
    /// Image of the pod's container
    #[arg(long, value_name = "IMAGE", value_parser = options::image)]
    image: Option<String>,
    /// File with a Pod or a PodTemplate (- for standard input)
    #[arg(short = 'f', long, value_name = "FILE")]
    filename: Option<String>,
    /// Workload or pod of the namespace to take the pod from, or the ConfigMap of a template
    #[arg(long, value_name = "TYPE/NAME")]
    from: Option<String>,
    /// Port that the container listens on; the pod is ready when this port is open, unless the template has a readiness probe
    #[arg(long, value_name = "PORT", value_parser = value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Environment variable; can be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = options::variable)]
    env: Vec<(String, String)>,
    /// Secret whose keys become environment variables; can be repeated
    #[arg(long, value_name = "NAME", value_parser = options::object_name)]
    env_from_secret: Vec<String>,
    /// CPU of the container: request and limit, or one value for both [default: 100m:500m]
    #[arg(long, value_name = "REQUEST:LIMIT", value_parser = options::cpu)]
    cpu: Option<Amounts>,
    /// Memory of the container: request and limit, or one value for both [default: 128Mi:512Mi]
    #[arg(long, value_name = "REQUEST:LIMIT", value_parser = options::memory)]
    memory: Option<Amounts>,
    /// Volume for the session, kept while the session is paused
    #[arg(long, value_name = "SIZE:PATH", value_parser = options::volume)]
    volume: Option<VolumeAt>,
    /// StorageClass of that volume [default: the default of the cluster]
    #[arg(long, value_name = "NAME", requires = "volume", value_parser = options::object_name)]
    storage_class: Option<String>,
    /// Create a Service for the session
    #[arg(long)]
    service: bool,
    /// Pods that may connect to sessions, besides those labelled podlife.dev/gateway=true: a label selector, or NAMESPACE:SELECTOR; can be repeated
    #[arg(long, value_name = "SELECTOR", value_parser = policy::allow_from)]
    allow_from: Vec<AllowFrom>,
    /// Command of the container, instead of the image's
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl TemplateFlags {
    fn options(&self) -> Options {
        Options {
            port: self.port,
            env: self.env.clone(),
            env_from_secrets: self.env_from_secret.clone(),
            cpu: self.cpu.clone(),
            memory: self.memory.clone(),
            volume: self.volume.clone(),
            storage_class: self.storage_class.clone(),
            service: self.service,
            command: self.command.clone(),
        }
    }

    /// Whether the flags say what the pod is made from.
    pub(crate) fn has_source(&self) -> bool {
        self.image.is_some() || self.filename.is_some() || self.from.is_some()
    }

    /// The port that the flags name.
    pub(super) const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The command that the flags name; empty for none.
    pub(crate) fn command(&self) -> &[String] {
        &self.command
    }

    /// The template of an image or a file; none if it is to be taken from the cluster.
    pub(crate) fn local(&self, io: &mut Io) -> Result<Option<Template>, Failure> {
        let template = match (&self.image, &self.filename) {
            (Some(image), _) => Template::of_image(image, &self.options()),
            (_, Some(file)) => self.of_file(file, &mut io.stdin),
            (None, None) => return Ok(None),
        };
        template.map(Some).map_err(Failure::usage)
    }

    fn of_file(&self, file: &String, stdin: &mut dyn Read) -> Result<Template, String> {
        let read = files::read(std::slice::from_ref(file), false, stdin);
        let documents = read.map_err(|error| format!("{error:#}"))?.objects;
        match documents.as_slice() {
            [document] => Template::of_document(document, &self.options()),
            all => Err(format!("expected one Pod or PodTemplate, but the file has {} documents", all.len())),
        }
        .map_err(|error| format!("{file}: {error}"))
    }

    /// What reads the file of the template again; none where there is no file.
    pub(super) fn reread(&self) -> Option<Reread> {
        let (file, flags) = (self.filename.clone().filter(|file| file != "-")?, self.clone());
        Some(Box::new(move || flags.of_file(&file, &mut io::empty()).map_err(Failure::usage)))
    }

    /// The template of an image, a file, or an object in the cluster.
    pub(super) async fn template(&self, connection: &Connection, namespace: &str, io: &mut Io) -> Result<Template, Failure> {
        match self.local(io)? {
            Some(template) => Ok(template),
            None => self.of_cluster(connection, namespace).await,
        }
    }

    /// The template of an object in the cluster.
    pub(crate) async fn of_cluster(&self, connection: &Connection, namespace: &str) -> Result<Template, Failure> {
        let from = self.from.as_deref().unwrap_or_default();
        let named = from.split_once('/').filter(|(_, name)| !name.is_empty() && !name.contains('/'));
        let Some((of, name)) = named else {
            return Err(Failure::usage(format!("--from {from:?} is not TYPE/NAME")).hint("for example --from deployment/web"));
        };
        let is_source = |kind: &&Kind| kind::RUN_PODS.contains(kind) || **kind == kind::CONFIG_MAP;
        let Some(kind) = kind::named(of).filter(is_source) else {
            return Err(Failure::usage(format!("--from takes the pod of a workload, and {of} is not one")));
        };
        match connection.get(kind, Some(namespace), name, false).await? {
            Some(object) => Template::of_workload(&object, &self.options()).map_err(|error| Failure::usage(format!("{from}: {error}"))),
            None => Err(Failure::new(
                Exit::NotFound,
                format!("{from} does not exist in namespace {namespace}"),
            )),
        }
    }

    /// The NetworkPolicy of the namespace.
    pub(crate) fn policy(&self) -> Value {
        policy(&self.allow_from)
    }
}

/// Prints what a user should know of a template.
pub(super) fn warn(template: &Template, io: &Io) {
    for warning in template.warnings() {
        io.stderr.line(&format!("Warning: {}", sanitise(&warning)));
    }
}

/// Print the objects that a session would be created from, without its record.
///
/// Nothing is created. podlife warns about what the template relaxes of the secure defaults.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = "\
Examples:
  # the pod, the NetworkPolicy and the stored template
  kubectl podlife session template user-42 --image ide:3 --port 8080
  # from a pod in a file, with a volume
  kubectl podlife session template user-42 -f pod.yaml --volume 1Gi:/home/user
  # like the pods of a Deployment, with another command
  kubectl podlife session template user-42 --from deploy/worker -- python -i")]
pub(super) struct TemplateArgs {
    /// Session id
    #[arg(value_name = "ID", default_value = "example")]
    id: String,
    #[command(flatten)]
    template: TemplateFlags,
    /// Output format: yaml or json
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "yaml")]
    output: Format,
}

pub(super) async fn run(args: &TemplateArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let name = name::of(&args.id).map_err(Failure::usage)?;
    let mut namespace = connect.namespace.clone().unwrap_or_default();
    let template = match args.template.local(io)? {
        Some(template) => template,
        None => {
            let connection = Connection::open(&connect.clone().complete(io.stdin_is_terminal), &io.environment, log).await?;
            connection.default_namespace().clone_into(&mut namespace);
            args.template.of_cluster(&connection, &namespace).await?
        }
    };
    warn(&template, io);
    let owner = Owner {
        id: args.id.clone(),
        name,
        namespace: namespace.clone(),
        uid: String::new(),
        generation: 1,
    };
    let mut objects = vec![args.template.policy(), template.config_map()];
    objects.extend(template.objects(&owner).into_iter().map(|(_, object)| object));
    for object in objects.iter_mut().filter(|_| !namespace.is_empty()) {
        object["metadata"]["namespace"] = namespace.as_str().into();
    }
    let text = document::manifests(&objects, &args.output).map_err(|e| Failure::new(Exit::Fault, e))?;
    let text = text.ok_or_else(|| Failure::usage("the output format must be yaml or json"))?;
    io.stdout.write(&text);
    Ok(Exit::Good)
}
