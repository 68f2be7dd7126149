//! Servers of .NET and of the Erlang virtual machine.

use super::{SERVER, Server, address, port};

pub(super) const SERVERS: &[Server] = &[
    Server {
        name: "Kestrel",
        variables: &[("ASPNETCORE_URLS", ""), ("DOTNET_URLS", ""), ("URLS", "")],
        lines: &[address("Now listening on: <at>")],
        option: "--urls http://0.0.0.0:PORT",
        variable: "ASPNETCORE_URLS=http://+:PORT",
        directive: "\"Urls\": \"http://0.0.0.0:PORT\"",
        ..SERVER
    },
    Server {
        name: "Phoenix",
        lines: &[
            address("Endpoint with cowboy <*> at <at> (http"),
            address("Endpoint with Bandit <*> at <at> (http"),
            port("Endpoint at http://<*>:<port>"),
        ],
        directive: "http: [ip: {0, 0, 0, 0}, port: PORT]",
        ..SERVER
    },
];

#[cfg(test)]
mod tests {
    use super::super::holds;

    #[test]
    fn lines_as_they_are_printed() {
        holds(&[
            ("      Now listening on: http://localhost:5000", "Kestrel 127.0.0.1:5000"),
            ("      Now listening on: http://[::]:8080", "Kestrel [::]:8080"),
            (
                "10:00:00.000 [info] Running ShopWeb.Endpoint with cowboy 2.9.0 at 127.0.0.1:4000 (http)",
                "Phoenix 127.0.0.1:4000",
            ),
            (
                "10:00:00.000 [info] Running ShopWeb.Endpoint with Bandit 1.5.0 at :::4000 (http)",
                "Phoenix [::]:4000",
            ),
            (
                "10:00:00.000 [info] Access ShopWeb.Endpoint at http://localhost:4000",
                "Phoenix port 4000",
            ),
        ]);
    }
}
