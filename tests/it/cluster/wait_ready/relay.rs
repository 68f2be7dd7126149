//! A relay between podlife and the API server: it can be cut, it can swallow everything, and it counts connections.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::super::harness::kubeconfig;

/// Host and port of the API server.
pub fn server() -> String {
    let config = std::fs::read_to_string(kubeconfig()).unwrap();
    let (_, rest) = config.split_once("https://").expect("the kubeconfig names a server");
    rest.split(['"', ' ', '\n', '/']).next().unwrap().to_owned()
}

/// Passes on bytes from a port of this machine to the API server of the test cluster.
pub struct Relay {
    address: SocketAddr,
    server: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    cut: AtomicBool,
    silent: AtomicBool,
    opened: AtomicUsize,
    open: AtomicUsize,
    sockets: Mutex<Vec<TcpStream>>,
}

impl Relay {
    pub fn start() -> Self {
        let server = server();
        // Where the machine of the API server reaches this one.
        let here = TcpStream::connect(&server).unwrap().local_addr().unwrap().ip();
        let listener = TcpListener::bind((here, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<State>::default();
        let (shared, to) = (state.clone(), server.clone());
        // Ends with the process of the tests.
        thread::spawn(move || listener.incoming().flatten().for_each(|client| shared.take(client, &to)));
        Self { address, server, state }
    }

    /// The flags that lead podlife through it.
    pub fn flags(&self) -> [String; 4] {
        let name = self.server.rsplit_once(':').map_or(self.server.as_str(), |(host, _)| host);
        [
            "--server".to_owned(),
            format!("https://{}", self.address),
            "--tls-server-name".to_owned(),
            name.to_owned(),
        ]
    }

    /// Breaks every connection, and each new one at once, until it is restored.
    pub fn cut(&self) {
        self.state.cut.store(true, Ordering::SeqCst);
        for socket in self.state.sockets.lock().unwrap().drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    pub fn restore(&self) {
        self.state.cut.store(false, Ordering::SeqCst);
    }

    /// Passes nothing on, and keeps every connection open: as where packets vanish. What comes meanwhile arrives after that, as with TCP.
    pub fn silence(&self, is_silent: bool) {
        self.state.silent.store(is_silent, Ordering::SeqCst);
    }

    /// Connections in all.
    pub fn opened(&self) -> usize {
        self.state.opened.load(Ordering::SeqCst)
    }

    /// Connections now.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::SeqCst)
    }
}

impl State {
    fn take(self: &Arc<Self>, client: TcpStream, to: &str) {
        if self.cut.load(Ordering::SeqCst) {
            return;
        }
        let server = TcpStream::connect(to).unwrap();
        self.opened.fetch_add(1, Ordering::SeqCst);
        self.open.fetch_add(1, Ordering::SeqCst);
        let copies = || [client.try_clone().unwrap(), server.try_clone().unwrap()];
        self.sockets.lock().unwrap().extend(copies());
        let [from, back] = copies();
        let state = self.clone();
        let up = thread::spawn(move || pass(&state, client, server));
        let state = self.clone();
        thread::spawn(move || {
            pass(&state, back, from);
            up.join().unwrap();
            state.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Until one end is closed; then the other is closed too.
fn pass(state: &State, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(read) = from.read(&mut buffer) {
        while state.silent.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20));
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
