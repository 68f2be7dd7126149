//! Servers written in Ruby and PHP.

use super::{SERVER, Server, address, port};

pub(super) const SERVERS: &[Server] = &[
    Server {
        name: "Puma",
        programs: &["puma"],
        address_options: &["-b"],
        port_options: &["-p"],
        lines: &[address("* Listening on <at>")],
        option: "-b tcp://0.0.0.0:PORT",
        directive: "bind \"tcp://0.0.0.0:PORT\"",
        ..SERVER
    },
    Server {
        name: "Rails",
        programs: &["rails"],
        subcommands: &["server", "s"],
        address_options: &["-b"],
        port_options: &["-p"],
        // In production it is 0.0.0.0, in development localhost; RAILS_ENV and BINDING may be set by the image.
        variables: &[("BINDING", "PORT")],
        option: "-b 0.0.0.0",
        variable: "BINDING=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Rackup",
        programs: &["rackup"],
        address_options: &["-o"],
        port_options: &["-p"],
        option: "-o 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "WEBrick",
        lines: &[port("WEBrick::HTTPServer#start: pid=<*> port=<port>")],
        option: "-o 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Thin",
        programs: &["thin"],
        address_options: &["-a"],
        port_options: &["-p"],
        lines: &[address("Listening on <at>, CTRL+C to stop")],
        option: "-a 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Unicorn",
        programs: &["unicorn", "unicorn_rails"],
        address_options: &["-l"],
        lines: &[address("listening on addr=<at> fd=")],
        directive: "listen \"0.0.0.0:PORT\"",
        ..SERVER
    },
    Server {
        name: "Jekyll",
        programs: &["jekyll"],
        subcommands: &["serve", "s", "server"],
        address_options: &["-H"],
        port_options: &["-P"],
        default: "127.0.0.1:4000",
        lines: &[address("Server address: <at>")],
        option: "--host 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Laravel's development server",
        programs: &["artisan"],
        subcommands: &["serve"],
        default: "127.0.0.1:8000",
        default_is_vague: true,
        variables: &[("SERVER_HOST", "SERVER_PORT")],
        lines: &[address("Server running on [<at>]")],
        option: "serve --host=0.0.0.0",
        variable: "SERVER_HOST=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "PHP's development server",
        programs: &["php"],
        subcommands: &["-S"],
        address_options: &["-S"],
        lines: &[address("Development Server (<at>) started")],
        option: "-S 0.0.0.0:PORT",
        ..SERVER
    },
    Server {
        name: "PHP-FPM",
        programs: &["php-fpm"],
        directive: "listen = 0.0.0.0:9000",
        caution: "FastCGI has no password: let a NetworkPolicy admit the web server only, or run both in one pod",
        ..SERVER
    },
];

#[cfg(test)]
mod tests {
    use super::super::holds;

    #[test]
    fn lines_as_they_are_printed() {
        holds(&[
            ("* Listening on http://127.0.0.1:3000", "Puma 127.0.0.1:3000"),
            ("[1] * Listening on tcp://0.0.0.0:9292", "Puma 0.0.0.0:9292"),
            ("* Listening on http://[::1]:3000", "Puma [::1]:3000"),
            ("* Listening on unix:///app/tmp/puma.sock", ""),
            (
                "[2024-05-01 10:00:00] INFO  WEBrick::HTTPServer#start: pid=1 port=3000",
                "WEBrick port 3000",
            ),
            ("Listening on 0.0.0.0:3000, CTRL+C to stop", "Thin 0.0.0.0:3000"),
            (
                "I, [2024-05-01T10:00:00 #1]  INFO -- : listening on addr=127.0.0.1:8080 fd=9",
                "Unicorn 127.0.0.1:8080",
            ),
            ("    Server address: http://127.0.0.1:4000/", "Jekyll 127.0.0.1:4000"),
            (
                "   INFO  Server running on [http://127.0.0.1:8000].",
                "Laravel's development server 127.0.0.1:8000",
            ),
            (
                "[Wed May  1 10:00:00 2024] PHP 8.2.0 Development Server (http://localhost:8000) started",
                "PHP's development server 127.0.0.1:8000",
            ),
        ]);
    }
}
