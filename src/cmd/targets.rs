//! What the user named on the command line: `TYPE/NAME`, `TYPE NAME`, `TYPE`, or a bare name.

use crate::exit::Failure;
use crate::model::kind;
use crate::observe::targets::Wanted;

/// Reads the positional arguments as kubectl does.
pub fn parse(arguments: &[String]) -> Result<Vec<Wanted>, Failure> {
    let Some(first) = arguments.first() else { return Ok(Vec::new()) };
    if let Some(odd) = arguments
        .iter()
        .find(|a| a.is_empty() || a.starts_with('/') || a.ends_with('/') || a.matches('/').count() > 1)
    {
        return Err(Failure::usage(format!("{odd:?} is not a target")).hint("name it as TYPE/NAME, for example deployment/web"));
    }
    if arguments.iter().any(|a| a.contains('/')) {
        return arguments
            .iter()
            .map(|argument| match argument.split_once('/') {
                Some((kind, name)) => Ok(Wanted::Named(kind.to_owned(), name.to_owned())),
                None => Err(Failure::usage(format!("{argument:?} is not TYPE/NAME, like the other targets"))
                    .hint("name every target as TYPE/NAME, or use TYPE NAME NAME...")),
            })
            .collect();
    }
    let kinds: Vec<&str> = first.split(',').collect();
    // What the table does not know may still be a custom resource, if something follows it.
    let is_kind = kinds.iter().all(|k| kind::named(k).is_some()) || (arguments.len() > 1 && first.contains(['.', ',']));
    if !is_kind {
        if arguments.len() == 2 {
            // `rollout web` and two pods look alike; the type is looked up before the answer is given.
            return Ok(vec![Wanted::Named(first.clone(), arguments[1].clone())]);
        }
        return Ok(arguments.iter().map(|name| Wanted::Bare(name.clone())).collect());
    }
    let names = &arguments[1..];
    if names.is_empty() {
        return Ok(kinds.iter().map(|kind| Wanted::All((*kind).to_owned())).collect());
    }
    Ok(kinds
        .iter()
        .flat_map(|kind| names.iter().map(move |name| Wanted::Named((*kind).to_owned(), name.clone())))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Vec<Wanted>, Failure> {
        parse(&arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn kubectls_forms_are_understood() {
        let named = |kind: &str, name: &str| Wanted::Named(kind.into(), name.into());
        assert_eq!(
            read(&["deploy/web", "svc/api"]).unwrap(),
            [named("deploy", "web"), named("svc", "api")]
        );
        assert_eq!(
            read(&["deploy", "web", "api"]).unwrap(),
            [named("deploy", "web"), named("deploy", "api")]
        );
        assert_eq!(read(&["deploy,svc", "web"]).unwrap(), [named("deploy", "web"), named("svc", "web")]);
        assert_eq!(read(&["deploy"]).unwrap(), [Wanted::All("deploy".into())]);
        assert_eq!(read(&["web-6d4-2k8"]).unwrap(), [Wanted::Bare("web-6d4-2k8".into())]);
        assert_eq!(
            read(&["rollouts.argoproj.io", "web"]).unwrap(),
            [named("rollouts.argoproj.io", "web")]
        );
        assert_eq!(read(&[]).unwrap(), []);
        for bad in [&["deploy/"][..], &["/web"], &["a/b/c"], &["deploy/web", "api"], &[""]] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
