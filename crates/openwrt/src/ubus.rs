//! What the router's own services are asked over ubus, by its command.
//!
//! A method that fails ends the command with something; a method that did nothing, with 0. So nothing is taken as done
//! because it ended well: that is seen by looking at what runs.

use serde_json::{Value, json};

use crate::system::{CommandError, Failed, System};

/// Seconds.
const TIMEOUT: &str = "10";

#[derive(Debug, thiserror::Error)]
pub enum UbusError {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("ubus does not do what it is asked: is ubusd, or the service that is meant, running?")]
    Failed(#[from] Failed),
    #[error("the answer of {0} over ubus cannot be understood")]
    Answer(String, #[source] serde_json::Error),
}

/// Calls a method. `Null` where it answers nothing.
pub(crate) async fn call(
    system: &System,
    object: &str,
    method: &str,
    arguments: &Value,
) -> Result<Value, UbusError> {
    let arguments = arguments.to_string();
    let words = ["-S", "-t", TIMEOUT, "call", object, method, &arguments];
    let said = system.run("ubus", &words).await?.good()?;
    if said.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&said).map_err(|e| UbusError::Answer(object.to_owned(), e))
}

/// Tells all services that a package was changed, as a commit over ubus would: those that it concerns reload.
pub(crate) async fn changed(system: &System, package: &str) -> Result<(), UbusError> {
    let event = json!({ "type": "config.change", "data": { "package": package } });
    call(system, "service", "event", &event).await.map(drop)
}

/// Takes an interface down and up again, which drops what goes through it.
pub(crate) async fn restart_interface(system: &System, name: &str) -> Result<(), UbusError> {
    let object = format!("network.interface.{name}");
    call(system, &object, "down", &json!({})).await?;
    call(system, &object, "up", &json!({})).await.map(drop)
}

/// Whether a service has a process.
pub(crate) async fn is_running(system: &System, service: &str) -> Result<bool, UbusError> {
    let answer = call(system, "service", "list", &json!({ "name": service })).await?;
    Ok(has_process(&answer[service]))
}

fn has_process(service: &Value) -> bool {
    let instances = service["instances"].as_object();
    instances.is_some_and(|instances| {
        instances
            .values()
            .any(|instance| instance["running"] == json!(true))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_runs_when_one_of_its_processes_does() {
        let service = |running| json!({ "instances": { "cfg01411c": { "running": running } } });
        assert!(has_process(&service(true)));
        assert!(!has_process(&service(false)));
        assert!(!has_process(&json!({ "instances": {} })));
        assert!(!has_process(&Value::Null));
    }
}
