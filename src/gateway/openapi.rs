//! The description of the API.

use serde_json::{Value, json};

/// The description, as OpenAPI 3.1.
pub(super) fn document() -> String {
    let id = json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1, "maxLength": 4096}});
    let path = json!({"name": "path", "in": "path", "required": true, "schema": {"type": "string"}});
    let session = answer("The session", "application/json", "#/components/schemas/Session");
    let problem = |text: &str| answer(text, "application/problem+json", "#/components/schemas/Problem");
    let failures =
        |answers: &[(&str, &str)]| -> Value { answers.iter().map(|(status, text)| ((*status).to_owned(), problem(text))).collect() };
    let of_application = {
        let mut answers = failures(&[
            ("400", "The path, the id or a header is invalid"),
            ("413", "The body is longer than allowed"),
            ("429", "The maximum of the namespace or the owner is reached"),
            ("502", "The pod does not start, or closed the connection"),
            ("503", "The API server does not respond, or too many requests are waiting"),
            ("504", "The session was not ready in time"),
        ]);
        answers["202"] = json!({"description": "The session is being prepared (Prefer: respond-async)"});
        answers["default"] = json!({"description": "The response of the application, with the header X-Session-Generation"});
        answers
    };
    let methods: Value = ["get", "put", "post", "delete", "options", "head", "patch"]
        .into_iter()
        .map(|method| {
            let operation = json!({"summary": "A request to the application of the session, which is created if it does not exist", "responses": of_application});
            (method.to_owned(), operation)
        })
        .collect();
    let mut of_path = methods;
    of_path["parameters"] = json!([id, path]);
    let with = |mut answers: Value, status: &str, answer: &Value| {
        answers[status] = answer.clone();
        answers
    };
    json!({
        "openapi": "3.1.0",
        "info": {"title": "kubectl podlife session serve", "version": env!("CARGO_PKG_VERSION")},
        "paths": {
            "/api/v1/session/{id}/{path}": of_path,
            "/api/v1/session/{id}/execute": {
                "parameters": [id],
                "post": {"summary": "A request to the path /execute of the application, in a session which is created if it does not exist", "responses": of_application},
            },
            "/api/v1/session/{id}/status": {
                "parameters": [id],
                "get": {"summary": "The state of the session; does not create it", "responses": with(failures(&[("404", "It does not exist")]), "200", &session)},
            },
            "/api/v1/sessions": {"get": {"summary": "All sessions", "responses": {
                "200": answer("The sessions", "application/json", "#/components/schemas/SessionList"),
            }}},
            "/api/v1/sessions/{id}": {
                "parameters": [id],
                "get": {"summary": "The session", "responses": with(failures(&[("404", "It does not exist")]), "200", &session)},
                "put": {"summary": "Creates the session, or uses the existing one, and waits until it answers", "responses": with(of_application.clone(), "201", &session)},
                "delete": {"summary": "Deletes the session and everything that belongs to it", "responses": {"204": {"description": "It is deleted, or did not exist"}}},
            },
            "/healthz": {"get": {"summary": "Whether the process is alive", "responses": {"200": {"description": "It is"}}}},
            "/readyz": {"get": {"summary": "Whether the gateway is ready", "responses": {
                "200": {"description": "It is"}, "503": problem("Not yet, or not any more"),
            }}},
        },
        "components": {"schemas": {
            "Session": schemars::schema_for!(crate::model::session::Session),
            "SessionList": schemars::schema_for!(crate::model::session::SessionList),
            "Problem": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"},
                    "hint": {"type": "string"}, "diagnosis": {"type": "object"},
                },
            },
        }},
    })
    .to_string()
}

fn answer(description: &str, kind: &str, schema: &str) -> Value {
    let mut answer = json!({"description": description});
    answer["content"][kind]["schema"]["$ref"] = schema.into();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_describes_every_path() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        assert_eq!(paths.len(), 7);
        assert_eq!(
            document["components"]["schemas"]["Session"]["properties"]["podIP"]["type"][0],
            "string"
        );
    }
}
