//! What holds for every template.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::options::{self, Options};
use super::{Owner, Template, security};

fn key() -> impl Strategy<Value = String> {
    "[a-z]{1,6}(\\.[a-z]{1,4}/[a-z]{1,6})?"
}

fn options() -> impl Strategy<Value = Options> {
    let env = vec(("[A-Z_]{1,6}", ".{0,12}"), 0..4);
    let amounts = option::of((1..400_u32, 0..400_u32));
    let volume = option::of(("[1-9][0-9]?(Mi|Gi)", "/[a-z]{1,8}(/[a-z]{1,4})?"));
    (
        option::of(1..=u16::MAX),
        env,
        amounts,
        volume,
        any::<bool>(),
        vec("[a-z$( )-]{1,6}", 0..3),
    )
        .prop_map(|(port, env, amounts, volume, service, command)| Options {
            port,
            env: env
                .iter()
                .filter_map(|(name, value)| options::variable(&format!("{name}={value}")).ok())
                .collect(),
            env_from_secrets: Vec::new(),
            cpu: amounts.map(|(request, more)| options::cpu(&format!("{request}m:{}m", request + more)).unwrap()),
            memory: None,
            volume: volume.map(|(size, path)| options::volume(&format!("{size}:{path}")).unwrap()),
            storage_class: None,
            service: service && port.is_some(),
            command,
        })
}

/// Pods that set nothing of what is secure by default.
fn pods() -> impl Strategy<Value = Value> {
    let maps = || btree_map(key(), "[a-z0-9]{0,6}", 0..5);
    let container = ("[a-z]{1,5}", maps()).prop_map(|(image, env)| {
        let env: Vec<Value> = env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        json!({"image": image, "env": env})
    });
    (maps(), maps(), maps(), vec(container, 1..4)).prop_map(|(labels, annotations, selector, mut containers)| {
        for (at, container) in containers.iter_mut().enumerate() {
            container["name"] = format!("c-{at}").into();
        }
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": {"nodeSelector": selector, "containers": containers},
        })
    })
}

/// The same value with the keys of every object in reverse.
fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().rev().map(|(key, field)| (key.clone(), reversed(field)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(all) => Value::Array(all.iter().map(reversed).collect()),
        other => other.clone(),
    }
}

fn owner(id: String) -> Owner {
    Owner {
        id,
        name: "s-1".into(),
        namespace: "shop".into(),
        uid: "u-1".into(),
        generation: 1,
    }
}

/// A value as Kubernetes gives it to the container: `$$` is a dollar, and `$(NAME)` would be replaced.
fn expanded(value: &str) -> String {
    assert!(!value.replace("$$", "").contains('$'), "{value:?} refers to a variable");
    value.replace("$$", "$")
}

proptest! {
    #[test]
    fn a_template_comes_back_from_its_config_map(pod in pods(), options in options()) {
        let template = Template::of_document(&pod, &options).unwrap();
        let stored = template.config_map();
        let read = Template::from_config_map(&stored).unwrap();
        prop_assert_eq!(&read, &template);
        prop_assert_eq!(read.hash(), template.hash());
        // As it comes back from a server that writes keys in another order.
        prop_assert_eq!(Template::from_config_map(&reversed(&stored)).unwrap(), template);
    }

    #[test]
    fn the_hash_depends_on_the_content_and_not_on_the_order_of_keys(pod in pods(), other in pods(), options in options()) {
        let of = |document: &Value| Template::of_document(document, &options).unwrap();
        let (template, reordered, another) = (of(&pod), of(&reversed(&pod)), of(&other));
        prop_assert_eq!(template.hash(), reordered.hash());
        prop_assert_eq!(template == another, template.hash() == another.hash());
    }

    #[test]
    fn what_sets_nothing_is_secure_and_filled_once(pod in pods(), options in options()) {
        let template = Template::of_document(&pod, &options).unwrap();
        prop_assert_eq!(security::violations(&template.spec), Vec::<String>::new());
        prop_assert_eq!(template.warnings(), Vec::<String>::new());
        let mut again = template.spec.clone();
        super::defaults::fill(&mut again, template.volume.is_some());
        prop_assert_eq!(again, template.spec);
    }

    #[test]
    fn a_container_gets_the_id_as_it_is(id in "[^\u{0}]{1,40}", pod in pods()) {
        let template = Template::of_document(&pod, &Options::default()).unwrap();
        let pod = template.pod(&owner(id.clone()));
        for container in pod["spec"]["containers"].as_array().unwrap() {
            let first = &container["env"][0];
            prop_assert_eq!(&first["name"], "SESSION_ID");
            prop_assert_eq!(expanded(first["value"].as_str().unwrap()), id.clone());
        }
    }

    #[test]
    fn no_text_of_a_flag_is_a_panic(text in ".{0,40}") {
        let _ = options::cpu(&text);
        let _ = options::memory(&text);
        let _ = options::volume(&text);
        let _ = options::variable(&text);
        let _ = options::image(&text);
        let _ = super::policy::allow_from(&text);
    }
}
