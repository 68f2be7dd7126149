//! Servers written in Python, and those of notebooks and models.

use super::{SERVER, Server, address, everywhere, loopback, numeric, port};

pub(super) const SERVERS: &[Server] = &[
    Server {
        name: "Uvicorn",
        programs: &["uvicorn"],
        default: "127.0.0.1:8000",
        variables: &[("UVICORN_HOST", "UVICORN_PORT")],
        lines: &[
            address("Uvicorn running on <at> (Press"),
            address("Uvicorn running on socket ('<host>', <port>"),
        ],
        option: "--host 0.0.0.0",
        variable: "UVICORN_HOST=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "FastAPI",
        programs: &["fastapi"],
        subcommands: &["dev"],
        default: "127.0.0.1:8000",
        lines: &[address("server   Server started at <at>")],
        option: "--host 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Gunicorn",
        programs: &["gunicorn"],
        address_options: &["-b"],
        // $PORT, $GUNICORN_CMD_ARGS and a gunicorn.conf.py in the working directory all move it.
        default: "127.0.0.1:8000",
        default_is_vague: true,
        lines: &[address("Listening at: <at> ("), address("Listening at: <at>,")],
        option: "--bind 0.0.0.0:PORT",
        variable: "GUNICORN_CMD_ARGS=--bind=0.0.0.0:PORT",
        directive: "bind = \"0.0.0.0:PORT\"",
        ..SERVER
    },
    Server {
        name: "Hypercorn",
        programs: &["hypercorn"],
        address_options: &["-b"],
        default: "127.0.0.1:8000",
        lines: &[address("Running on <at> (CTRL + C to quit)")],
        option: "--bind 0.0.0.0:PORT",
        ..SERVER
    },
    Server {
        name: "Django's development server",
        programs: &["manage.py", "django-admin"],
        subcommands: &["runserver"],
        positional_after: "runserver",
        default: "127.0.0.1:8000",
        lines: &[address("development server at <at>")],
        option: "runserver 0.0.0.0:PORT",
        ..SERVER
    },
    Server {
        name: "Daphne",
        programs: &["daphne"],
        address_options: &["-b"],
        port_options: &["-p"],
        default: "127.0.0.1:8000",
        lines: &[
            address("Listening on TCP address <at>"),
            address("Starting server at tcp:port=<port>:interface=<host>"),
        ],
        option: "-b 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "aiohttp",
        programs: &["aiohttp.web"],
        address_options: &["-H"],
        port_options: &["-P"],
        default: "127.0.0.1:8080",
        lines: &[address("======== Running on <at> ========")],
        option: "-H 0.0.0.0",
        directive: "web.run_app(app, host=\"0.0.0.0\")",
        ..SERVER
    },
    Server {
        name: "Flask",
        programs: &["flask"],
        subcommands: &["run"],
        address_options: &["-h"],
        port_options: &["-p"],
        default: "127.0.0.1:5000",
        variables: &[("FLASK_RUN_HOST", "FLASK_RUN_PORT")],
        // With 0.0.0.0 it prints a link to 127.0.0.1 as well, after the line that says so.
        lines: &[everywhere("* Running on all addresses"), address("* Running on <at>")],
        option: "--host=0.0.0.0",
        variable: "FLASK_RUN_HOST=0.0.0.0",
        directive: "app.run(host=\"0.0.0.0\")",
        ..SERVER
    },
    Server {
        name: "Dash",
        lines: &[address("Dash is running on <at>")],
        directive: "app.run(host=\"0.0.0.0\")",
        ..SERVER
    },
    Server {
        name: "Waitress",
        programs: &["waitress-serve"],
        lines: &[address("waitress:Serving on <at>"), address("waitress <*> Serving on <at>")],
        option: "--host=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "CherryPy",
        lines: &[address("ENGINE Serving on <at>")],
        directive: "server.socket_host = \"0.0.0.0\"",
        ..SERVER
    },
    Server {
        name: "Sanic",
        programs: &["sanic"],
        address_options: &["-H"],
        port_options: &["-p"],
        default: "127.0.0.1:8000",
        lines: &[address("Goin' Fast @ <at>")],
        option: "--host=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Granian",
        programs: &["granian"],
        default: "127.0.0.1:8000",
        variables: &[("GRANIAN_HOST", "GRANIAN_PORT")],
        lines: &[address("[INFO] Listening at: <at>")],
        option: "--host 0.0.0.0",
        variable: "GRANIAN_HOST=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Python's http.server",
        programs: &["http.server"],
        positional_after: "http.server",
        address_options: &["-b"],
        lines: &[
            address("Serving HTTP on <host> port <port>"),
            address("Serving HTTPS on <host> port <port>"),
        ],
        option: "--bind 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Streamlit",
        programs: &["streamlit"],
        subcommands: &["run"],
        variables: &[("STREAMLIT_SERVER_ADDRESS", "STREAMLIT_SERVER_PORT")],
        // `Local URL` is printed where it listens everywhere, `URL` alone where it was told an address.
        lines: &[
            port("Local URL: <at>"),
            port("Network URL: <at>"),
            port("External URL: <at>"),
            numeric("  URL: <at>"),
        ],
        option: "--server.address=0.0.0.0",
        variable: "STREAMLIT_SERVER_ADDRESS=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Gradio",
        programs: &["gradio"],
        variables: &[("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT")],
        lines: &[address("Running on local URL:  <at>")],
        variable: "GRADIO_SERVER_NAME=0.0.0.0",
        directive: "demo.launch(server_name=\"0.0.0.0\")",
        ..SERVER
    },
    Server {
        name: "Jupyter",
        programs: &["jupyter", "jupyter-lab", "jupyter-notebook", "jupyter-server", "start-notebook.sh"],
        subcommands: &["lab", "notebook", "server", "nbclassic"],
        variables: &[("JUPYTER_IP", "JUPYTER_PORT")],
        default: "127.0.0.1:8888",
        default_is_vague: true,
        // The first link names the address it was told, or the host where that is every address; an indented one follows for the reader.
        lines: &[
            loopback("App] http://localhost:<port>/"),
            loopback("App] http://127.0.0.1:<port>/"),
            port("App]     <at>"),
            port("App]  or http://<*>:<port>/"),
        ],
        option: "--ip=0.0.0.0",
        caution: "keep the token or set a password: a notebook runs any code",
        ..SERVER
    },
    Server {
        name: "TensorBoard",
        programs: &["tensorboard"],
        default: "127.0.0.1:6006",
        lines: &[
            loopback("Serving TensorBoard on localhost; to expose to the network"),
            address("TensorBoard <*> at <at> (Press"),
        ],
        option: "--bind_all",
        ..SERVER
    },
    Server {
        name: "MLflow",
        programs: &["mlflow"],
        subcommands: &["server", "ui"],
        address_options: &["-h"],
        port_options: &["-p"],
        default: "127.0.0.1:5000",
        variables: &[("MLFLOW_HOST", "MLFLOW_PORT")],
        option: "--host 0.0.0.0",
        variable: "MLFLOW_HOST=0.0.0.0",
        ..SERVER
    },
    Server {
        name: "vLLM",
        programs: &["vllm", "vllm.entrypoints.openai.api_server"],
        lines: &[address("Starting vLLM API server<*> on <at>")],
        option: "--host 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "MkDocs",
        programs: &["mkdocs"],
        subcommands: &["serve"],
        address_options: &["-a", "--dev-addr"],
        default: "127.0.0.1:8000",
        lines: &[numeric("] Serving on <at>")],
        option: "--dev-addr 0.0.0.0:PORT",
        ..SERVER
    },
    Server {
        name: "Bokeh",
        programs: &["bokeh", "panel"],
        subcommands: &["serve"],
        lines: &[port("Bokeh app running at: <at>")],
        option: "--address 0.0.0.0",
        ..SERVER
    },
    Server {
        name: "Chainlit",
        programs: &["chainlit"],
        subcommands: &["run"],
        default: "127.0.0.1:8000",
        default_is_vague: true,
        variables: &[("CHAINLIT_HOST", "CHAINLIT_PORT")],
        lines: &[port("Your app is available at <at>")],
        option: "--host 0.0.0.0",
        variable: "CHAINLIT_HOST=0.0.0.0",
        ..SERVER
    },
];

#[cfg(test)]
mod tests {
    use super::super::holds;

    #[test]
    fn lines_as_they_are_printed() {
        holds(&[
            (
                "INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)",
                "Uvicorn 127.0.0.1:8000",
            ),
            (
                "INFO:     Uvicorn running on http://[::1]:8000 (Press CTRL+C to quit)",
                "Uvicorn [::1]:8000",
            ),
            (
                "INFO:     Uvicorn running on http://0.0.0.0:80 (Press CTRL+C to quit)",
                "Uvicorn 0.0.0.0:80",
            ),
            (
                "INFO:     Uvicorn running on socket ('127.0.0.1', 8000) (Press CTRL+C to quit)",
                "Uvicorn 127.0.0.1:8000",
            ),
            ("INFO:     Uvicorn running on unix socket /tmp/app.sock (Press CTRL+C to quit)", ""),
            ("   server   Server started at http://127.0.0.1:8000", "FastAPI 127.0.0.1:8000"),
            (
                "[2024-05-01 10:00:00 +0000] [1] [INFO] Listening at: http://127.0.0.1:8000 (1)",
                "Gunicorn 127.0.0.1:8000",
            ),
            (
                "[2024-05-01 10:00:00 +0000] [1] [INFO] Listening at: http://0.0.0.0:8000 (1)",
                "Gunicorn 0.0.0.0:8000",
            ),
            (
                "[2024-05-01 10:00:00 +0000] [1] [INFO] Running on http://127.0.0.1:8000 (CTRL + C to quit)",
                "Hypercorn 127.0.0.1:8000",
            ),
            (
                "Starting development server at http://127.0.0.1:8000/",
                "Django's development server 127.0.0.1:8000",
            ),
            (
                "Starting ASGI/Daphne version 4.0.0 development server at http://0.0.0.0:8000/",
                "Django's development server 0.0.0.0:8000",
            ),
            (
                "2024-05-01 10:00:00 INFO     Listening on TCP address 127.0.0.1:8000",
                "Daphne 127.0.0.1:8000",
            ),
            ("INFO Starting server at tcp:port=8000:interface=127.0.0.1", "Daphne 127.0.0.1:8000"),
            ("======== Running on http://0.0.0.0:8080 ========", "aiohttp 0.0.0.0:8080"),
            (
                " * Running on http://127.0.0.1:5000/ (Press CTRL+C to quit)",
                "Flask 127.0.0.1:5000",
            ),
            (" * Running on http://127.0.0.1:5000", "Flask 127.0.0.1:5000"),
            (" * Running on all addresses (0.0.0.0)", "Flask everywhere"),
            ("Dash is running on http://127.0.0.1:8050/", "Dash 127.0.0.1:8050"),
            ("INFO:waitress:Serving on http://127.0.0.1:8080", "Waitress 127.0.0.1:8080"),
            (
                "[01/May/2024:10:00:00] ENGINE Serving on http://127.0.0.1:8080",
                "CherryPy 127.0.0.1:8080",
            ),
            (
                "[2024-05-01 10:00:00 +0000] [1] [INFO] Goin' Fast @ http://127.0.0.1:8000",
                "Sanic 127.0.0.1:8000",
            ),
            ("[INFO] Listening at: http://127.0.0.1:8000", "Granian 127.0.0.1:8000"),
            (
                "Serving HTTP on 127.0.0.1 port 8000 (http://127.0.0.1:8000/) ...",
                "Python's http.server 127.0.0.1:8000",
            ),
            (
                "Serving HTTP on :: port 8000 (http://[::]:8000/) ...",
                "Python's http.server [::]:8000",
            ),
            ("  Local URL: http://localhost:8501", "Streamlit port 8501"),
            ("  Network URL: http://10.244.0.5:8501", "Streamlit port 8501"),
            ("  URL: http://127.0.0.1:8501", "Streamlit 127.0.0.1:8501"),
            ("* Running on local URL:  http://127.0.0.1:7860", "Gradio 127.0.0.1:7860"),
            ("* Running on local URL:  http://0.0.0.0:7860", "Gradio 0.0.0.0:7860"),
            (
                "[I 2024-05-01 10:00:00.000 ServerApp] http://localhost:8888/lab?token=abc",
                "Jupyter loopback 8888",
            ),
            ("[I 2024-05-01 10:00:00.000 ServerApp] http://shop-0:8888/lab?token=abc", ""),
            (
                "[I 2024-05-01 10:00:00.000 ServerApp]     http://127.0.0.1:8888/lab?token=abc",
                "Jupyter port 8888",
            ),
            (
                "[I 10:00:00.000 NotebookApp]  or http://127.0.0.1:8888/?token=abc",
                "Jupyter port 8888",
            ),
            (
                "Serving TensorBoard on localhost; to expose to the network, use a proxy or pass --bind_all",
                "TensorBoard loopback",
            ),
            (
                "TensorBoard 2.13.0 at http://localhost:6006/ (Press CTRL+C to quit)",
                "TensorBoard 127.0.0.1:6006",
            ),
            (
                "INFO 05-01 10:00:00 api_server.py:1] Starting vLLM API server 0 on http://0.0.0.0:8000",
                "vLLM 0.0.0.0:8000",
            ),
            ("INFO    -  [10:00:00] Serving on http://127.0.0.1:8000/", "MkDocs 127.0.0.1:8000"),
            (
                "2024-05-01 10:00:00,000 Bokeh app running at: http://localhost:5006/app",
                "Bokeh port 5006",
            ),
            ("Your app is available at http://localhost:8000", "Chainlit port 8000"),
        ]);
    }
}
