//! `session serve`

use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::cluster::Log;
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::session::access::AccessFlags;
use crate::cmd::session::life::LifeFlags;
use crate::cmd::session::requests::RequestFlags;
use crate::cmd::session::template::{TemplateFlags, warn};
use crate::cmd::session::warm::WarmFlags;
use crate::cmd::session::{manifests, open, report};
use crate::exit::{Exit, Failure};
use crate::gateway;
use crate::gateway::manifests::Setup;
use crate::gateway::plan::{Access, Plan};
use crate::io::{Environment, Io};
use crate::model::duration;
use crate::observe::session::create::IfExists;
use crate::render::document::Format;

/// Serve sessions over HTTP: a request that names a session goes to its pod, which is created first if it does not exist.
///
/// /api/v1/session/ID/PATH is PATH of the application in session ID. Requests and open streams count as use. You can run any number of
/// gateways side by side, and use the other session commands as well. The template applies to sessions that the gateway creates.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = EXAMPLES, after_help = EXIT_CODES)]
pub(super) struct ServeArgs {
    /// Address to listen on; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: String,
    /// Reach pods through the API server, from outside the cluster
    #[arg(long)]
    local: bool,
    /// Address to serve metrics on, at /metrics [default: none]
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_listen: Option<String>,
    /// Log level: error, warn, info, or debug (every request)
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = level)]
    log_level: tracing::Level,
    /// Log format: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Only print the objects that run the gateway in a cluster
    #[arg(long)]
    print_manifests: bool,
    /// Image with podlife, for --print-manifests
    #[arg(long, value_name = "IMAGE", default_value = "kubectl-podlife:1")]
    gateway_image: String,
    /// Leave out the objects of the Prometheus operator, with --print-manifests
    #[arg(long)]
    no_monitoring: bool,
    #[command(flatten)]
    access: AccessFlags,
    #[command(flatten)]
    template: TemplateFlags,
    #[command(flatten)]
    life: LifeFlags,
    /// How often to clean up idle sessions and replace failed pods
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = duration::parse)]
    cleanup_interval: Duration,
    #[command(flatten)]
    warm: WarmFlags,
    #[command(flatten)]
    requests: RequestFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

fn level(text: &str) -> Result<tracing::Level, String> {
    text.parse().map_err(|_| "expected error, warn, info, debug or trace".to_owned())
}

/// The namespace of manifests, where none is named.
const NAMESPACE: &str = "podlife-sessions";

/// Variables of the environment that stand for flags.
const VARIABLES: [(&str, &str); 8] = [
    ("IDLE_TIMEOUT_SECONDS", "--idle-timeout"),
    ("CLEANUP_INTERVAL_SECONDS", "--cleanup-interval"),
    ("POD_CREATION_TIMEOUT", "--ready-timeout"),
    ("MAX_CONCURRENT_SESSIONS", "--max-sessions"),
    ("KUBERNETES_NAMESPACE", "--namespace"),
    ("LOG_LEVEL", "--log-level"),
    ("METRICS_PORT", "--metrics-listen"),
    ("SESSION_POD_IMAGE", "--image"),
];
/// The same for amounts: request and limit.
const AMOUNTS: [(&str, &str); 2] = [("SESSION_POD_CPU", "--cpu"), ("SESSION_POD_MEMORY", "--memory")];

/// A command line of `session serve` with the flags that the environment stands for. What the command line says itself counts.
pub(crate) fn with_environment(arguments: &[String], environment: &Environment) -> Vec<String> {
    let mut all = arguments.to_vec();
    let Some(at) = arguments.windows(2).position(|words| words == ["session", "serve"]) else {
        return all;
    };
    let set = |name: &str| environment.get(name);
    let has_source = arguments.iter().any(|word| {
        let flag = word.split('=').next().unwrap_or_default();
        ["-f", "--filename", "--from"].contains(&flag)
    });
    let has_namespace = arguments
        .iter()
        .any(|word| word.starts_with("-n") || word.starts_with("--namespace"));
    let is_said = |flag: &str| (flag == "--image" && has_source) || (flag == "--namespace" && has_namespace);
    let mut flags = Vec::new();
    for (name, flag) in VARIABLES.into_iter().filter(|(_, flag)| !is_said(flag)) {
        // A Service that is called metrics has such a variable in the pods of its namespace.
        if let Some(value) = set(name).filter(|value| !value.contains("://")) {
            let value = match name {
                "METRICS_PORT" => format!("0.0.0.0:{value}"),
                "LOG_LEVEL" => value.to_lowercase().replace("warning", "warn").replace("critical", "error"),
                _ => value.to_owned(),
            };
            flags.extend([flag.to_owned(), value]);
        }
    }
    for (name, flag) in AMOUNTS {
        let amounts: Vec<&str> = ["REQUEST", "LIMIT"]
            .into_iter()
            .filter_map(|which| set(&format!("{name}_{which}")))
            .collect();
        if !amounts.is_empty() {
            flags.extend([flag.to_owned(), amounts.join(":")]);
        }
    }
    all.splice(at + 2..at + 2, flags);
    all
}

const EXAMPLES: &str = "\
Examples:
  # on this machine, against the cluster of the kubeconfig
  kubectl podlife session serve --local --image ide:3 --port 8080
  # the first request creates session user-42
  curl http://127.0.0.1:8080/api/v1/session/user-42/
  # for other users, with tokens that an issuer has signed
  kubectl podlife session serve --listen 0.0.0.0:8443 --auth jwt \\
    --jwks keys.json --audience sessions \\
    --tls-cert-file tls.crt --tls-key-file tls.key -f pod.yaml
  # on another port, with a template from a file, and at most 20 sessions
  kubectl podlife session serve --local --listen 127.0.0.1:9000 \\
    -f examples/sessions/python.yaml --max-sessions 20";

const EXIT_CODES: &str = "\
Exit codes:
  1    cannot listen on the address
  2    invalid usage
  5    the namespace, or the object of --from, does not exist
  6    the API server gave no usable answer
  130  interrupted (129: the terminal was closed, 143: SIGTERM)";

pub(super) async fn run(args: &ServeArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    if args.print_manifests {
        return print(args, connect, io, log).await;
    }
    let addresses = addresses(&args.listen)?;
    let access = args.access.access(&addresses, &io.environment)?;
    let tls = args.access.tls(&io.environment)?;
    let limits = args.requests.limits(!matches!(access, Access::Everybody))?;
    let warm = args.warm.plan()?;
    let sessions = open("serve", connect, io, log).await?;
    let template = args
        .template
        .template(&sessions.objects.connection, &sessions.namespace, io)
        .await?;
    let template = args.warm.prepared(template)?;
    warn(&template, io);
    sessions.must_have_namespace().await?;
    let listener = bind(&addresses).map_err(|error| Failure::new(Exit::Fault, format!("listening on {}: {error}", args.listen)))?;
    let metrics = match &args.metrics_listen {
        Some(at) => {
            let bound = bind(&self::addresses(at)?).map_err(|error| Failure::new(Exit::Fault, format!("listening on {at}: {error}")))?;
            Some(bound)
        }
        None => None,
    };
    let format = match args.log_format {
        LogFormat::Text => gateway::log::Format::Text,
        LogFormat::Json => gateway::log::Format::Json,
    };
    gateway::log::begin(io.stderr.clone(), args.log_level, format);
    let at = listener
        .local_addr()
        .map_or_else(|_| args.listen.clone(), |address| address.to_string());
    let scheme = if tls.is_some() { "https" } else { "http" };
    io.stdout
        .line(&format!("serving sessions of namespace {} on {scheme}://{at}", sessions.namespace));
    if let Some(at) = metrics.as_ref().and_then(|metrics| metrics.local_addr().ok()) {
        io.stdout.line(&format!("serving metrics on http://{at}/metrics"));
    }
    if tls.is_none() && !addresses.iter().all(|address| address.ip().is_loopback()) {
        io.stderr
            .line("Warning: tokens are sent in plain text; use --tls-cert-file, or a TLS proxy in front");
    }
    let plan = Plan {
        listener,
        tls,
        access,
        metrics,
        wanted: args.life.wanted("", template, args.template.policy(), IfExists::Reuse),
        reread: args.template.reread().map(|reread| args.warm.reread(reread)),
        port: args.template.port(),
        is_local: args.local,
        cleanup_interval: args.cleanup_interval,
        limits,
        naming: args.requests.naming(),
        warm,
    };
    // Where there is a terminal, it says that this has been closed.
    if !io.stdin_is_terminal {
        io.stop.outlive_hang_up();
    }
    gateway::run(plan, &sessions, io).await
}

/// Prints the objects of a gateway.
async fn print(args: &ServeArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let mut flags = args.access.words()?;
    flags.extend(args.life.words());
    flags.extend(args.requests.words());
    flags.extend(args.warm.words());
    flags.extend([
        format!("--cleanup-interval={}s", args.cleanup_interval.as_secs_f64()),
        format!("--log-level={}", args.log_level.as_str().to_lowercase()),
    ]);
    let mut namespace = connect.namespace.clone().unwrap_or_else(|| NAMESPACE.to_owned());
    let template = match args.template.local(io)? {
        Some(template) => template,
        None => {
            let sessions = open("serve", connect, io, log).await?;
            namespace.clone_from(&sessions.namespace);
            args.template.of_cluster(&sessions.objects.connection, &namespace).await?
        }
    };
    args.warm.plan()?;
    args.warm.prepared(template.clone())?;
    warn(&template, io);
    let (has_token_secret, reviews_tokens) = args.access.secret_and_review();
    let (template, has_tls) = (template.config_map(), args.access.has_certificate());
    let all = gateway::manifests::manifests(&Setup {
        namespace: &namespace,
        image: &args.gateway_image,
        arguments: &manifests::arguments(&template, flags, has_tls),
        rules: &manifests::rules(),
        template,
        has_tls,
        has_token_secret,
        reviews_tokens,
        drain: args.requests.drain.as_secs(),
        has_monitoring: !args.no_monitoring,
    });
    report::objects(&all, &Format::Yaml, io)
}

/// The addresses that a name and a port stand for.
fn addresses(text: &str) -> Result<Vec<SocketAddr>, Failure> {
    let wrong = |why: String| Failure::usage(format!("--listen {text}: {why}")).hint("for example --listen 127.0.0.1:8080");
    let all: Vec<SocketAddr> = text.to_socket_addrs().map_err(|error| wrong(error.to_string()))?.collect();
    match all.is_empty() {
        true => Err(wrong("no such address".to_owned())),
        false => Ok(all),
    }
}

fn bind(addresses: &[SocketAddr]) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(addresses)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_stands_for_flags_that_are_not_given() {
        let variables = [
            ("IDLE_TIMEOUT_SECONDS", "300"),
            ("SESSION_POD_IMAGE", "ide:3"),
            ("SESSION_POD_CPU_REQUEST", "100m"),
            ("SESSION_POD_CPU_LIMIT", "1"),
            ("METRICS_PORT", "9090"),
            ("LOG_LEVEL", "WARNING"),
            ("MAX_CONCURRENT_SESSIONS", ""),
            ("POD_CREATION_TIMEOUT", "tcp://10.96.0.7:80"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let environment = Environment::of(variables.map(owned));
        let line = |text: &str| {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            with_environment(&words, &environment).join(" ")
        };
        assert_eq!(
            line("-v 6 session serve --port 80"),
            "-v 6 session serve --idle-timeout 300 --log-level warn --metrics-listen 0.0.0.0:9090 --image ide:3 --cpu 100m:1 --port 80"
        );
        assert!(!line("session serve -f pod.yaml").contains("--image"));
        assert!(!line("-n shop session serve").contains("--namespace other"));
        assert_eq!(line("session create a"), "session create a");
    }

    #[test]
    fn an_address_has_a_port() {
        assert_eq!(addresses("127.0.0.1:80").ok(), Some(vec!["127.0.0.1:80".parse().unwrap()]));
        assert_eq!(addresses("[::1]:80").ok(), Some(vec!["[::1]:80".parse().unwrap()]));
        for wrong in ["127.0.0.1", "", ":", "127.0.0.1:70000"] {
            assert!(addresses(wrong).is_err(), "{wrong}");
        }
    }
}
