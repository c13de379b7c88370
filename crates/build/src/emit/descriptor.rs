//! What a schema says of an interface, for those who have to know it while they run.

use std::fmt::Write as _;

use super::method::Shape;
use super::{Emitter, Interface};
use crate::names::{self, hexadecimal};
use crate::{Error, digest};

impl Emitter<'_, '_> {
    pub(super) fn descriptors(&mut self, interface: &Interface<'_>) -> Result<(), Error> {
        let Interface { word, name, id, docs, .. } = interface;
        let constant = names::shouted(word);
        let mut methods = String::new();
        for shape in &interface.shapes {
            methods.push_str(&method(name, shape));
        }
        let _ = writeln!(
            self.out,
            "/// What the schema says of `{name}`.
            pub static {constant}_INTERFACE: service::Interface = service::Interface {{
                id: {}, name: {name:?}, docs: {:?}, methods: &[{methods}],
            }};",
            hexadecimal(*id),
            docs.trim_end()
        );
        let Some(service) = &interface.service else { return Ok(()) };

        let mut interfaces = String::new();
        for id in digest::interfaces(self.types.schema, *id)? {
            if self.types.schema.has_stub(id)? {
                let word = self.types.word(id);
                let _ = match word.rsplit_once("::") {
                    Some((module, word)) => {
                        write!(interfaces, "&{module}::{}_INTERFACE,", names::shouted(word))
                    }
                    None => write!(interfaces, "&{}_INTERFACE,", names::shouted(&word)),
                };
            }
        }
        let digest: Vec<String> =
            digest::of(self.types.schema, *id)?.iter().map(|byte| format!("{byte:#04x}")).collect();
        let _ = writeln!(
            self.out,
            "/// What the schema says of the service `{service_name}`.
            pub static {constant}_DESCRIPTOR: service::Descriptor = service::Descriptor {{
                name: {service_name:?},
                priority: service::priority({priority}),
                interface: &{constant}_INTERFACE,
                interfaces: &[{interfaces}],
                digest: service::Digest([{digest}]),
            }};
            impl service::Service for {word} {{
                const DESCRIPTOR: &'static service::Descriptor = &{constant}_DESCRIPTOR;
            }}",
            service_name = service.name,
            priority = service.priority,
            digest = digest.join(", "),
        );
        Ok(())
    }
}

fn method(interface: &str, shape: &Shape<'_>) -> String {
    let some =
        |number: u64| if number == 0 { "None".to_owned() } else { format!("Some({})", separated(number)) };
    let deadline = shape.terms.deadline.map_or_else(
        || "None".to_owned(),
        |deadline| match (deadline.as_millis(), deadline.as_secs()) {
            (millis, secs) if millis % 1000 == 0 && secs % 3600 == 0 => {
                format!("Some(std::time::Duration::from_hours({}))", secs / 3600)
            }
            (millis, secs) if millis % 1000 == 0 && secs % 60 == 0 => {
                format!("Some(std::time::Duration::from_mins({}))", secs / 60)
            }
            (millis, secs) if millis % 1000 == 0 => format!("Some(std::time::Duration::from_secs({secs}))"),
            (millis, _) => {
                format!(
                    "Some(std::time::Duration::from_millis({}))",
                    separated(millis.try_into().unwrap_or(u64::MAX))
                )
            }
        },
    );
    let limit = match (shape.terms.calls, shape.terms.params_bytes) {
        (0, 0) => "service::Limit::NONE".to_owned(),
        (calls, bytes) => {
            format!("service::Limit {{ calls: {}, params_bytes: {} }}", some(calls.into()), some(bytes))
        }
    };
    let method = &shape.method;
    format!(
        "service::Method {{
            name: {:?}, interface: {interface:?}, ordinal: {}, deadline: {deadline}, idempotent: {}, streaming: {},
            limit: {limit}, params: {:?}, results: {:?}, docs: {:?},
        }},",
        method.name,
        method.ordinal,
        shape.terms.idempotent,
        method.results.is_none(),
        method.params.name,
        method.results.as_ref().map_or("stream", |results| results.name.as_str()),
        method.docs.trim_end(),
    )
}

/// A number with the separators that clippy wants.
fn separated(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && digits.len() > 4 && (digits.len() - index).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}
