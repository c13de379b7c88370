//! `vatmux call`: any method of any service whose schema is at hand.

mod dictionary;
mod raw;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use capnp::any_pointer;
use capnp::capability::Client;
use capnp::schema_capnp::{field, type_};
use serde_json::{Value, json};
use vatmux_mux::Priority;
use vatmux_rpc::{Disconnected, Remote, deadline};

use self::dictionary::{Dictionary, Method, SHIPPED_SERVICES, Service, Shipped};
use self::raw::{Place, Pointer};
use super::schema;
use crate::arguments::{Arguments, Call};
use crate::failure::Failure;
use crate::output;
use crate::visit::{self, Calls, Visit};

/// Elements of a list of structs that are shown.
const MAX_ELEMENTS: u32 = 1_000_000;

/// What `-> stream` returns.
const STREAM_RESULT: u64 = 0x995f_9a33_77c0_b16e;

pub(crate) fn run(arguments: &Arguments, call: &Call) -> Result<(), Failure> {
    let files: Vec<PathBuf> = if call.schema.is_empty() {
        SHIPPED_SERVICES.iter().map(PathBuf::from).collect()
    } else {
        call.schema.clone()
    };
    let compiled = schema::compile_from(arguments.json, &Shipped, &files, &schema::options(&call.imports))?;
    let unreadable = |error: capnp::Error| Failure::Usage(format!("cannot use the schema: {error}"));
    let dictionary = Dictionary::new(compiled.request().map_err(unreadable)?).map_err(unreadable)?;
    let (service, method) = find(&dictionary, &call.method).map_err(unreadable)??;
    let given = match &call.parameters {
        None => json!({}),
        Some(text) => serde_json::from_str(text)
            .map_err(|error| Failure::Usage(format!("the parameters are no JSON: {error}")))?,
    };
    // What is wrong with the parameters is said before anybody is dialed.
    let mut trial = capnp::message::Builder::new_default();
    fill(&dictionary, &method, trial.init_root(), &given)?;

    visit::pay(arguments, &call.address, Calls::Short, None, |visit| async move {
        let results = exchange(&visit, &dictionary, &service, &method, &given).await?;
        output::print_line(&results.to_string())
    })
}

/// The service and the method that were named: SERVICE is a stream's name, or an interface's.
fn find<'a>(
    dictionary: &Dictionary<'a>,
    named: &str,
) -> capnp::Result<Result<(Service<'a>, Method<'a>), Failure>> {
    let Some((wanted, name)) = named.rsplit_once('.') else {
        return Ok(Err(Failure::Usage(format!("{named:?} names no method: say SERVICE.METHOD"))));
    };
    let mut services = dictionary.services()?;
    let mut found = None;
    for (index, service) in services.iter().enumerate() {
        if service.name == wanted || dictionary.name(service.interface.get_id())? == wanted {
            found = Some(index);
            break;
        }
    }
    let Some(found) = found else {
        let names: Vec<_> = services.iter().map(|service| service.name.as_str()).collect();
        let there = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
        return Ok(Err(Failure::Usage(format!(
            "the schema has no service {wanted:?}; its services are: {there}; name another schema with --schema FILE"
        ))));
    };
    let service = services.swap_remove(found);
    let mut names = Vec::new();
    for method in dictionary.methods(service.interface)? {
        let own = method.reader.get_name()?.to_str()?;
        if own == name {
            return Ok(Ok((service, method)));
        }
        names.push(own);
    }
    Ok(Err(Failure::Usage(format!(
        "service {:?} has no method {name:?}; its methods are: {}",
        service.name,
        names.join(", ")
    ))))
}

fn fill(
    dictionary: &Dictionary<'_>,
    method: &Method<'_>,
    root: any_pointer::Builder<'_>,
    given: &Value,
) -> Result<(), Failure> {
    let id = method.reader.get_param_struct_type();
    let filled = (|| {
        let (layout, _) = dictionary.fields(id)?;
        let Place(place) = root.get_as()?;
        write::structure(dictionary, id, place.init_struct(write::size(layout)), given, "")
    })();
    filled.map_err(|write::Wrong(reason)| Failure::Usage(reason))
}

async fn exchange(
    visit: &Visit,
    dictionary: &Dictionary<'_>,
    service: &Service<'_>,
    method: &Method<'_>,
    given: &Value,
) -> Result<Value, Failure> {
    let name = format!(
        "{}.{}",
        service.name,
        method.reader.get_name().ok().and_then(|name| name.to_str().ok()).unwrap_or_default()
    );
    let failed = |error: capnp::Error| Failure::Call { method: name.clone(), reason: reason_of(&error) };
    let priority = Priority::new(service.priority).unwrap_or(Priority::LAST);
    let remote: Remote<Client> =
        visit.peer.connect_named(&service.name, priority).map_err(|error| visit.unconnected(error))?;
    let (interface, ordinal) = (method.interface.get_id(), method.ordinal);
    let patience = method.deadline().map_err(failed)?.unwrap_or(visit.peer.options().call_deadline);

    if method.reader.get_result_struct_type() == STREAM_RESULT {
        let mut request = remote.new_streaming_call::<any_pointer::Owned>(interface, ordinal, None);
        fill(dictionary, method, request.get(), given)?;
        deadline::with(patience, || request.send()).await.map_err(failed)?;
        return Ok(json!({}));
    }
    let mut request = remote.new_call::<any_pointer::Owned, any_pointer::Owned>(interface, ordinal, None);
    fill(dictionary, method, request.get(), given)?;
    let response = deadline::with(patience, || request.send()).promise.await.map_err(failed)?;
    let Pointer(results) = response.get().and_then(|results| results.get_as()).map_err(failed)?;
    let results = results.get_struct(None).map_err(failed)?;
    let id = method.reader.get_result_struct_type();
    let shown = read::structure(dictionary, id, results).map_err(failed)?;
    match refusal(dictionary, id, &shown).map_err(failed)? {
        None => Ok(shown),
        Some((status, detail)) => Err(Failure::RefusedCall { method: name.clone(), status, detail }),
    }
}

/// The status of results that says that there are none, with more about it.
fn refusal(dictionary: &Dictionary<'_>, id: u64, results: &Value) -> capnp::Result<Option<(String, String)>> {
    let (_, fields) = dictionary.fields(id)?;
    for field in fields {
        let field::Slot(slot) = field.which()? else { continue };
        let type_::Enum(kind) = slot.get_type()?.which()? else { continue };
        if !dictionary.is_status(kind.get_type_id())? {
            continue;
        }
        let words = dictionary.words(kind.get_type_id())?;
        let well = if words.is_empty() { "" } else { words.get(0).get_name()?.to_str()? };
        let status = results.get(field.get_name()?.to_str()?);
        if status.and_then(Value::as_str) == Some(well) {
            return Ok(None);
        }
        let status = match status {
            Some(Value::String(word)) => word.clone(),
            Some(other) => format!("status {other}, which the schema does not have"),
            None => String::new(),
        };
        let detail = results.get("detail").and_then(Value::as_str).unwrap_or_default();
        return Ok(Some((status, detail.to_owned())));
    }
    Ok(None)
}

/// Why there was no answer, in words for people.
fn reason_of(error: &capnp::Error) -> String {
    match error.kind {
        capnp::ErrorKind::Disconnected => format!("disconnected: {}", Disconnected::reason(error)),
        _ if error.extra.is_empty() => error.kind.to_string(),
        _ => error.extra.clone(),
    }
}
