//! Deployments and Services as tests apply them: what matters to a test is said, in YAML's flow style, and the rest is the same for all.
//!
//! ```ignore
//! shell("web", "sleep 2; exit 3")                          // BusyBox that runs a script, in a container `app`
//! app("api").env("LISTEN", "127.0.0.1:8080")               // the test application, which has no shell
//!     .container("ports: [{containerPort: 8080}]")         // more of the container, the pod and the Deployment
//!     .pod("hostNetwork: true")
//!     .spec("replicas: 3")
//!     .ports("{port: 80, targetPort: 8080}")               // a Service of that name in front of it
//! ```

use std::fmt::{self, Display, Formatter};
use std::ops::Add;

/// A Deployment of one container, with a Service in front of it where it has ports. Its pods have the label `app: NAME`.
#[derive(Clone)]
pub struct Workload {
    name: String,
    container_name: String,
    image: &'static str,
    /// Seconds that a container has between SIGTERM and SIGKILL.
    grace: u32,
    labels: Vec<String>,
    variables: Vec<String>,
    container: Vec<String>,
    beside: Vec<String>,
    pod: Vec<String>,
    spec: Vec<String>,
    ports: String,
}

fn of_image(name: &str, image: &'static str) -> Workload {
    Workload {
        name: name.to_owned(),
        container_name: "app".to_owned(),
        image,
        grace: 1,
        labels: vec![format!("app: {name}")],
        variables: Vec::new(),
        container: Vec::new(),
        beside: Vec::new(),
        pod: Vec::new(),
        spec: Vec::new(),
        ports: String::new(),
    }
}

/// The test application, which has no shell.
pub fn app(name: &str) -> Workload {
    of_image(name, "podlife.test/app:1")
}

/// BusyBox; what it runs is still to be said.
pub fn busybox(name: &str) -> Workload {
    of_image(name, "busybox:1.36")
}

/// BusyBox that runs a script in its shell.
pub fn shell(name: &str, script: &str) -> Workload {
    let script = serde_json::to_string(script).unwrap();
    busybox(name).container(&format!("command: [sh, -c, {script}]"))
}

/// A script for BusyBox: it serves port 8080, and answers 500 in pods whose name is like this pattern.
pub fn answers_500_in(pods: &str) -> String {
    format!(
        "mkdir -p /w/cgi-bin; cd /w/cgi-bin; case $(hostname) in {pods}) printf '#!/bin/sh\\necho Status: 500 Oops\\necho\\n' >index.cgi; \
         chmod +x index.cgi ;; *) echo well >/w/index.html ;; esac; exec httpd -f -p 8080 -h /w"
    )
}

/// A Service.
pub fn service(name: &str, spec: &str) -> String {
    format!("\n---\n{{apiVersion: v1, kind: Service, metadata: {{name: {name}}}, spec: {spec}}}\n")
}

impl Workload {
    /// Another name for the container.
    pub fn called(mut self, container: &str) -> Self {
        self.container_name = container.to_owned();
        self
    }

    /// Ends without a grace period.
    pub fn at_once(mut self) -> Self {
        self.grace = 0;
        self
    }

    /// One more label of its pods.
    pub fn label(mut self, label: &str) -> Self {
        self.labels.push(label.to_owned());
        self
    }

    /// A variable of the container.
    pub fn env(self, name: &str, value: &str) -> Self {
        let value = value.replace('\'', "''");
        self.variable(&format!("name: {name}, value: '{value}'"))
    }

    /// A variable whose value comes from elsewhere.
    pub fn variable(mut self, fields: &str) -> Self {
        self.variables.push(format!("{{{fields}}}"));
        self
    }

    /// More fields of the container.
    pub fn container(mut self, fields: &str) -> Self {
        self.container.push(fields.to_owned());
        self
    }

    /// A second container.
    pub fn beside(mut self, fields: &str) -> Self {
        self.beside.push(format!("{{{fields}}}"));
        self
    }

    /// More fields of the pod.
    pub fn pod(mut self, fields: &str) -> Self {
        self.pod.push(fields.to_owned());
        self
    }

    /// More fields of the Deployment.
    pub fn spec(mut self, fields: &str) -> Self {
        self.spec.push(fields.to_owned());
        self
    }

    /// The ports of the Service in front of it.
    pub fn ports(mut self, ports: &str) -> Self {
        self.ports = ports.to_owned();
        self
    }
}

/// Fields, each with a comma behind it.
fn fields(all: &[String]) -> String {
    let said = all.iter().filter(|fields| !fields.is_empty());
    said.map(|fields| format!("{fields}, ")).collect()
}

impl Display for Workload {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (name, image) = (&self.name, self.image);
        let mut own = self.container.clone();
        if !self.variables.is_empty() {
            own.push(format!("env: [{}]", self.variables.join(", ")));
        }
        let own = format!(
            "{{{}name: {}, image: '{image}', imagePullPolicy: IfNotPresent}}",
            fields(&own),
            self.container_name
        );
        let containers: Vec<&str> = std::iter::once(own.as_str())
            .chain(self.beside.iter().map(String::as_str))
            .collect();
        let pod = format!(
            "{{{}terminationGracePeriodSeconds: {}, containers: [{}]}}",
            fields(&self.pod),
            self.grace,
            containers.join(", ")
        );
        let template = format!("{{metadata: {{labels: {{{}}}}}, spec: {pod}}}", self.labels.join(", "));
        let spec = format!(
            "{{{}selector: {{matchLabels: {{app: {name}}}}}, template: {template}}}",
            fields(&self.spec)
        );
        writeln!(
            f,
            "\n---\n{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: {name}}}, spec: {spec}}}"
        )?;
        if self.ports.is_empty() {
            return Ok(());
        }
        f.write_str(&service(name, &format!("{{selector: {{app: {name}}}, ports: [{}]}}", self.ports)))
    }
}

/// What else is applied with it.
impl<T: Display> Add<T> for Workload {
    type Output = String;

    fn add(self, more: T) -> String {
        format!("{self}{more}")
    }
}
