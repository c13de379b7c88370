//! `vatmux services`

use std::fmt::Write as _;

use futures::AsyncWriteExt as _;
use serde_json::{Value, json};
use vatmux::samgr::{Client, Descriptor, Event, MAX_PAGE_SERVICES, Reason, RequestError};
use vatmux::schema::health::Health;
use vatmux_host::NodeAddress;

use crate::arguments::{Arguments, Services, ServicesBelow, ServicesName, ServicesWait};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::text::Harmless;
use crate::visit::{self, Calls, Visit};

pub(crate) fn run(arguments: &Arguments, services: &Services) -> Result<(), Failure> {
    let json = arguments.json;
    match services {
        Services::List(below) => visit(arguments, &below.address, |visit| list(visit, below, json)),
        Services::Resolve(of) => print(&visit(arguments, &of.address, |visit| resolve(visit, of))?, json),
        Services::Wait(wait) => {
            print(&visit(arguments, &wait.of.address, |visit| wait_for(visit, wait))?, json)
        }
        Services::Watch(below) => visit(arguments, &below.address, |visit| watch(visit, below, json)),
    }
}

fn visit<T, W: Future<Output = Result<T, Failure>>>(
    arguments: &Arguments,
    address: &NodeAddress,
    work: impl FnOnce(Visit) -> W,
) -> Result<T, Failure> {
    visit::pay(arguments, address, Calls::Short, None, work)
}

fn failed<E: Into<RequestError>>(doing: impl Into<String>) -> impl FnOnce(E) -> Failure {
    let doing = doing.into();
    move |error| Failure::Services { doing, error: error.into() }
}

fn registry(visit: &Visit) -> Result<Client, Failure> {
    Client::connect(&visit.peer).map_err(|error| visit.unconnected(error))
}

/// Prints each page as it comes.
async fn list(visit: Visit, below: &ServicesBelow, json: bool) -> Result<(), Failure> {
    let registry = registry(&visit)?;
    let mut output = Output::standard()?;
    let mut after = None;
    loop {
        let page = registry.list(&below.prefix, after.as_ref(), MAX_PAGE_SERVICES as u32).await;
        let page = page.map_err(failed("list the services"))?;
        let mut text = String::new();
        for service in &page.services {
            // Writing to a string cannot fail.
            let _ =
                if json { writeln!(text, "{}", value(service)) } else { writeln!(text, "{}", line(service)) };
        }
        output.print(&text).await?;
        match page.next {
            Some(next) => after = Some(next),
            None => return output.finish().await,
        }
    }
}

async fn resolve(visit: Visit, of: &ServicesName) -> Result<Descriptor, Failure> {
    // What it is, the descriptor says: nothing is called on it.
    let found = registry(&visit)?.resolve::<Health>(&of.name).await;
    Ok(found.map_err(failed(format!("resolve `{}`", of.name)))?.descriptor)
}

async fn wait_for(visit: Visit, wait: &ServicesWait) -> Result<Descriptor, Failure> {
    let found = registry(&visit)?.wait_for::<Health>(&wait.of.name, wait.patience).await;
    Ok(found.map_err(failed(format!("wait for `{}`", wait.of.name)))?.descriptor)
}

async fn watch(visit: Visit, below: &ServicesBelow, json: bool) -> Result<(), Failure> {
    let watching = registry(&visit)?.watch(&below.prefix, None).await;
    let mut watching = watching.map_err(failed("watch the services"))?;
    let mut output = Output::standard()?;
    loop {
        let event = watching.next().await.map_err(Failure::Watch)?;
        output
            .print(&format!("{}\n", if json { event_value(&event).to_string() } else { told(&event) }))
            .await?;
        // Whoever reads it wants to know now.
        output.flush().await.map_err(Failure::output)?;
    }
}

fn print(service: &Descriptor, json: bool) -> Result<(), Failure> {
    output::print_line(&if json { value(service).to_string() } else { described(service) })
}

fn line(service: &Descriptor) -> String {
    let own = if service.local { " *" } else { "" };
    format!("{} {}{own}", Harmless(&service.name), Harmless(&service.node))
}

fn described(service: &Descriptor) -> String {
    let mut text =
        format!("name        {}\nnode        {}", Harmless(&service.name), Harmless(&service.node));
    let mut field = |label: &str, value: &dyn std::fmt::Display| {
        let _ = write!(text, "\n{label:12}{value}");
    };
    if service.local {
        field("priority", &service.priority);
    }
    if service.interface_id != 0 {
        field("interface", &format_args!("@{:#018x}", service.interface_id));
    }
    if !service.schema_digest.is_empty() {
        field("schema", &hex(&service.schema_digest));
    }
    if !service.version.is_empty() {
        field("version", &Harmless(&service.version));
    }
    field("generation", &service.generation);
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn value(service: &Descriptor) -> Value {
    json!({
        "name": service.name,
        "node": service.node,
        "local": service.local,
        "priority": service.local.then_some(service.priority),
        "interface_id": (service.interface_id != 0).then(|| format!("{:#018x}", service.interface_id)),
        "schema_digest": (!service.schema_digest.is_empty()).then(|| hex(&service.schema_digest)),
        "version": (!service.version.is_empty()).then_some(&service.version),
        "generation": service.generation,
        "revision": service.revision,
    })
}

fn told(event: &Event) -> String {
    match event {
        Event::Registered(service) => format!("+ {}", line(service)),
        Event::Unregistered { name, reason, .. } => {
            format!("- {} {}", Harmless(name.as_str()), reason_word(*reason))
        }
        Event::Current(revision) => format!("= revision {revision}"),
        Event::Compacted(revision) => format!("! changes up to revision {revision} were missed"),
    }
}

fn reason_word(reason: Reason) -> &'static str {
    match reason {
        Reason::Other => "other",
        Reason::Dropped => "dropped",
        Reason::Disconnected => "disconnected",
        Reason::Replaced => "replaced",
        Reason::Expired => "expired",
    }
}

fn event_value(event: &Event) -> Value {
    match event {
        Event::Registered(service) => {
            json!({ "event": "registered", "revision": service.revision, "service": value(service) })
        }
        Event::Unregistered { name, generation, revision, reason } => json!({
            "event": "unregistered",
            "revision": revision,
            "name": name.as_str(),
            "generation": generation,
            "reason": reason_word(*reason),
        }),
        Event::Current(revision) => json!({ "event": "current", "revision": revision }),
        Event::Compacted(revision) => json!({ "event": "compacted", "revision": revision }),
    }
}
