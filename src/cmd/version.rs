//! `version`: podlife's own version and the API server's.

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cluster::{Connection, Log, ServerVersion};
use crate::cmd::Outcome;
use crate::cmd::flags::ConnectFlags;
use crate::exit::Exit;
use crate::io::Io;

/// Print the version of podlife and of the API server.
#[derive(Args, Clone, Debug)]
#[command(help_template = crate::cmd::HELP, before_help = "Examples:\n  kubectl podlife version\n  kubectl podlife version --client -o json")]
pub struct VersionArgs {
    /// Print only podlife's own version, without a request to the server
    #[arg(long)]
    pub client: bool,
    /// Output format
    #[arg(short = 'o', long, value_enum, default_value_t = VersionFormat::Text)]
    pub output: VersionFormat,
}

/// How versions are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum VersionFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// podlife's own version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientVersion {
    /// `0.1.0`
    pub version: String,
    /// `linux/amd64`
    pub platform: String,
}

/// Both versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Versions {
    /// Always there.
    pub client_version: ClientVersion,
    /// None with `--client`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_version: Option<ServerVersion>,
}

/// podlife's own version.
pub fn client() -> ClientVersion {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    ClientVersion {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        platform: format!("{}/{architecture}", std::env::consts::OS),
    }
}

/// Prints both versions. Reads `GET /version`, nothing with `--client`.
///
/// An API server that does not answer is a failure, because half an answer on stdout would pass for a whole one; the
/// client's version is to be had with `--client`.
pub async fn run(args: &VersionArgs, connect: ConnectFlags, io: &Io, log: Log) -> Outcome {
    let server_version = match args.client {
        true => None,
        false => {
            let options = connect.complete(io.stdin_is_terminal);
            Some(Connection::open(&options, &io.environment, log).await?.server_version().await?)
        }
    };
    let versions = Versions {
        client_version: client(),
        server_version,
    };
    io.stdout.write(&print(&versions, args.output));
    Ok(Exit::Good)
}

fn print(versions: &Versions, format: VersionFormat) -> String {
    match format {
        VersionFormat::Json => serde_json::to_string_pretty(versions).unwrap_or_default() + "\n",
        VersionFormat::Yaml => serde_saphyr::to_string(versions).unwrap_or_default(),
        VersionFormat::Text => {
            let client = &versions.client_version;
            let mut text = format!("Client Version: v{} ({})\n", client.version, client.platform);
            if let Some(server) = &versions.server_version {
                text += &format!("Server Version: {}\n", crate::text::sanitise(&server.git_version));
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_says_both_versions() {
        let versions = Versions {
            client_version: client(),
            server_version: Some(ServerVersion {
                git_version: "v1.34.1".into(),
                ..Default::default()
            }),
        };
        for format in [VersionFormat::Text, VersionFormat::Json, VersionFormat::Yaml] {
            let text = print(&versions, format);
            assert!(text.contains("v1.34.1") && text.contains(env!("CARGO_PKG_VERSION")), "{text}");
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text:?}");
        }
        let alone = Versions {
            server_version: None,
            ..versions
        };
        assert!(!print(&alone, VersionFormat::Json).contains("serverVersion"));
    }
}
