//! The codes of: application.

use crate::findings::{Area, Class, Entry, Step};
use crate::model::code::Code;
use crate::model::finding::Severity;

/// The codes of this area, in the order of [`Code::ALL`].
pub(crate) const AREA: Area = Area {
    title: "Application",
    entries: &[Entry {
        code: Code::ApplicationError,
        title: "The application runs and is ready, but reports errors",
        severity: Severity::Error,
        class: Class::Other,
        subject: "container",
        signs: &[],
        explanation: "Kubernetes sees no problem: the container runs and its probes succeed. But its log, or its answers to requests, report \
         errors. podlife reports this only if nothing else explains the trouble, and quotes a line of the log; it cannot know how bad the \
         errors are. Look for a dependency that fails, data that is not as expected, or a change of configuration shortly before.",
        steps: &[
            Step {
                text: "Read the log.",
                command: "kubectl logs POD -c CONTAINER -n NAMESPACE --since=15m",
            },
            Step {
                text: "See what was changed last.",
                command: "kubectl rollout history deployment/DEPLOYMENT -n NAMESPACE",
            },
            Step {
                text: "Let the readiness probe fail when the application cannot serve.",
                command: "kubectl edit deployment DEPLOYMENT -n NAMESPACE",
            },
        ],
        related: &[Code::DependencyUnreachable, Code::ReadinessProbeMissing],
    }],
};
