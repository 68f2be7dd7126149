//! Ways to the application: the types.

/// A way to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// An address and port that is connected to from here.
    LoadBalancer(String, u16),
    /// An Ingress or a Gateway, which looks at the host.
    Fronted(Front),
    /// A Job in the cluster that asks the Service by its name.
    InCluster {
        /// The name that it asks.
        host: String,
        /// The port that it asks.
        port: u16,
    },
    /// A port of a node.
    NodePort(String, u16),
    /// By the API server.
    ServiceProxy,
    /// From inside each pod, and no other way.
    PortForward,
    /// The name that a Service stands for, asked from here.
    Name(String, u16),
    /// Another URL.
    Url(String),
}

/// What stands before a Service and routes by host and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Front {
    /// `ingress` or `gateway`.
    pub kind: &'static str,
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The host of its rule; empty where it has none.
    pub host: String,
    /// Whether TLS is spoken, with the host as SNI.
    pub tls: bool,
    /// The path of its rule.
    pub path: String,
}

impl Route {
    /// What an answer along it proves.
    pub const fn proves(&self) -> &'static str {
        match self {
            Self::LoadBalancer(..) => "load-balancer",
            Self::Fronted(front) => front.kind,
            Self::InCluster { .. } => "in-cluster",
            Self::NodePort(..) => "node-port",
            Self::ServiceProxy => "service-proxy",
            Self::PortForward => "port-forward",
            Self::Name(..) | Self::Url(_) => "url",
        }
    }

    /// What the answers along several ways prove together: the weakest of them.
    pub fn weakest<'r>(routes: impl Iterator<Item = &'r Self>) -> &'static str {
        const WAYS: [&str; 8] = [
            "port-forward",
            "service-proxy",
            "url",
            "in-cluster",
            "node-port",
            "gateway",
            "ingress",
            "load-balancer",
        ];
        let rank = |way: &&str| WAYS.iter().position(|known| known == way);
        routes.map(Self::proves).min_by_key(rank).unwrap_or_default()
    }

    /// `load balancer 192.0.2.1:80`
    pub fn in_words(&self) -> String {
        match self {
            Self::LoadBalancer(address, port) => format!("load balancer {address}:{port}"),
            Self::Fronted(front) => {
                let host = if front.host.is_empty() { "any host" } else { &front.host };
                format!("{} {host} at {}:{}", front.kind, front.address, front.port)
            }
            Self::InCluster { host, port } => format!("{host}:{port} from inside the cluster"),
            Self::NodePort(address, port) => format!("node port {address}:{port}"),
            Self::ServiceProxy => "the API server's proxy".to_owned(),
            Self::PortForward => "port-forward".to_owned(),
            Self::Name(name, 0) => name.clone(),
            Self::Name(name, port) => format!("{name}:{port}"),
            Self::Url(url) => url.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_path_decides_what_is_proven() {
        let balancer = Route::LoadBalancer("192.0.2.1".into(), 80);
        let ways = [balancer, Route::ServiceProxy];
        assert_eq!(Route::weakest(ways.iter()), "service-proxy");
        assert_eq!(Route::weakest(ways[..1].iter()), "load-balancer");
    }
}
