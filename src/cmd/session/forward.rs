//! `session forward`

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use clap::Args;

use crate::cluster::Log;
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::cmd::session::open;
use crate::io::Io;
use crate::observe::session::stream::forward::Mapping;

/// Forward local ports to the pod of a session; the session counts as used while it runs.
///
/// Like kubectl port-forward, but when the pod is replaced, new connections go to the next one.
#[derive(Debug, Args)]
#[command(help_template = crate::cmd::HELP, before_help = EXAMPLES, after_help = EXIT_CODES)]
pub(super) struct ForwardArgs {
    /// Session id
    #[arg(value_name = "ID")]
    id: String,
    /// Ports: LOCAL:REMOTE, PORT for both, or :REMOTE for any free local one; REMOTE is a number or a name
    #[arg(value_name = "PORTS", required = true, value_parser = mapping)]
    ports: Vec<Mapping>,
    /// Addresses to listen on (comma separated); only accepts IP addresses or localhost as a value
    #[arg(long, value_name = "ADDRESSES", default_value = "localhost", value_delimiter = ',', value_parser = address)]
    address: Vec<Addresses>,
}

const EXAMPLES: &str = "\
Examples:
  # http://localhost:8080 is port 8080 of the session
  kubectl podlife session forward user-42 8080
  # several ports, one of them at any free local port
  kubectl podlife session forward user-42 8888:80 :5432
  # for other machines too
  kubectl podlife session forward --address 0.0.0.0 user-42 8080";

const EXIT_CODES: &str = "\
Exit codes:
  1    cannot listen on a local port
  2    invalid usage
  3    the session has no pod, or was paused
  5    the session does not exist, or was deleted
  6    the API server gave no usable answer
  130  interrupted (129: SIGHUP, 143: SIGTERM)";

/// What one word of `--address` means.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Addresses(Vec<IpAddr>);

fn address(text: &str) -> Result<Addresses, String> {
    if text == "localhost" {
        return Ok(Addresses(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]));
    }
    text.parse()
        .map(|address| Addresses(vec![address]))
        .map_err(|_| "expected an IP address or localhost".to_owned())
}

fn mapping(text: &str) -> Result<Mapping, String> {
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    let local = match local {
        "" => Ok(0),
        local => local.parse::<u16>().map_err(|_| format!("{local:?} is not a local port")),
    }?;
    match remote {
        "" | "0" => Err("the remote port is missing".to_owned()),
        remote if remote.bytes().all(|byte| byte.is_ascii_digit()) && remote.parse::<u16>().is_err() => {
            Err(format!("{remote} is not a port"))
        }
        remote => Ok(Mapping {
            local,
            remote: remote.to_owned(),
        }),
    }
}

pub(super) async fn run(args: &ForwardArgs, connect: &ConnectFlags, io: &mut Io, log: Log) -> Outcome {
    let sessions = open("forward", connect, io, log).await?;
    let live = sessions.live(&args.id).await?;
    let addresses: Vec<IpAddr> = args.address.iter().flat_map(|addresses| addresses.0.clone()).collect();
    sessions.forward(live, &args.ports, &addresses, io).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_kubectl_reads_them() {
        let read = |text| mapping(text).map(|mapping| (mapping.local, mapping.remote));
        for (text, local, remote) in [("80", 80, "80"), ("8080:80", 8080, "80"), (":80", 0, "80"), ("0:web", 0, "web")] {
            assert_eq!(read(text), Ok((local, remote.to_owned())), "{text}");
        }
        for text in ["", "web", "80:", "a:80", "70000", "80:70000", "80:0"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(address("localhost").map(|all| all.0.len()), Ok(2));
        assert!(address("example.com").is_err());
    }
}
