//! The server trait of an interface, and what makes a capability of it.

use std::fmt::Write as _;

use super::method::{Answer, Shape};
use super::{Emitter, Interface, documented};
use crate::Error;
use crate::names;
use crate::schema::Field;
use crate::types::{self, Type};

impl Emitter<'_, '_> {
    pub(super) fn server(&mut self, interface: &Interface<'_>) -> Result<(), Error> {
        let Interface { word, name, .. } = interface;
        let (server, adapter) = (format!("{word}Server"), format!("{word}Adapter"));
        self.claim(&server, &format!("the server of {name}"))?;
        self.claim(&adapter, &format!("the adapter of {name}"))?;

        let mut supers: Vec<String> = interface
            .ancestors
            .iter()
            .map(|ancestor| format!("{}Server", self.types.word(*ancestor)))
            .collect();
        if supers.is_empty() {
            supers.push("'static".to_owned());
        }
        let mut methods = String::new();
        for shape in &interface.shapes {
            methods.push_str(&documented(&shape.docs(&format!("Answers `{}`.", shape.method.name)), ""));
            let _ = writeln!(
                methods,
                "fn {}(&self, {}: &service::Call{}) -> impl Future<Output = {}>;",
                shape.name,
                shape.fresh("call"),
                shape.server_parameters(&self.types),
                shape.outcome_type(&self.types)
            );
        }
        let _ = writeln!(
            self.out,
            "/// What serves `{name}`. Its methods may be written as `async fn`.
            pub trait {server}: {} {{ {methods} }}",
            supers.join(" + ")
        );
        // Of an interface without methods, whose capabilities are only held or dropped.
        let unread = if interface.shapes.is_empty() && interface.ancestors.is_empty() {
            "#[expect(dead_code, reason = \"there is no method to call\")]"
        } else {
            ""
        };
        let _ = writeln!(
            self.out,
            "/// A server, as capnpc's traits want it.
            {unread}
            struct {adapter}<T> {{ server: T, meter: service::Meter }}
            impl<T: {server}> service::ServedBy<T> for {word} {{
                fn client_of(server: T) -> Self::Client {{
                    capnp_rpc::new_client({adapter} {{ server, meter: service::Meter::default() }})
                }}
            }}"
        );
        self.adapt(interface, &server, &adapter);
        for ancestor in &interface.ancestors {
            let ancestor = self.interface(*ancestor, None)?;
            self.adapt(&ancestor, &server, &adapter);
        }
        Ok(())
    }

    /// One of capnpc's traits for a server.
    fn adapt(&mut self, interface: &Interface<'_>, server: &str, adapter: &str) {
        let path = &interface.path;
        let mut methods = String::new();
        for (index, shape) in interface.shapes.iter().enumerate() {
            methods.push_str(&self.adapted(interface, shape, index));
        }
        let _ = writeln!(self.out, "impl<T: {server}> {path}::Server for {adapter}<T> {{ {methods} }}");
    }

    fn adapted(&self, interface: &Interface<'_>, shape: &Shape<'_>, index: usize) -> String {
        let types = &self.types;
        let Interface { path, word, .. } = interface;
        let capitalized = names::capitalized(&shape.method.name);
        // An interface of another file has its descriptor there.
        let constant = match word.rsplit_once("::") {
            Some((module, word)) => format!("{module}::{}_INTERFACE", names::shouted(word)),
            None => format!("{}_INTERFACE", names::shouted(word)),
        };
        let mut reads = String::new();
        let mut arguments = String::new();
        let is_fallible = |param: &Field| !matches!(param.kind, Some(Type::Plain(_)));
        let malformed = shape.status.as_ref().and_then(|status| Some((status, status.malformed.as_ref()?)));
        match malformed {
            Some((status, word)) if shape.params_are_values && shape.params.iter().any(is_fallible) => {
                let taken: Vec<String> =
                    shape.params.iter().map(|param| types.take(param, "params")).collect();
                reads = format!(
                    "let params = params.get()?;
                    let taken = match service::taken(|| {}) {{
                        Ok(taken) => taken,
                        Err(error) => {{
                            let mut results = results.get();
                            results.set_{}({}::{});
                            {}
                            return Ok(());
                        }}
                    }};",
                    match &taken[..] {
                        // Bytes are taken as they are, and `Ok` of what `?` gave would be what it was.
                        [one] if matches!(shape.params[..], [Field { kind: Some(Type::Data), .. }]) => {
                            one.trim_end_matches('?').to_owned()
                        }
                        [one] => format!("Ok({one})"),
                        several => format!("Ok(({}))", several.join(", ")),
                    },
                    names::snake(&status.field),
                    types.enumeration(status.id),
                    names::capitalized(word),
                    if status.has_detail { "results.set_detail(error.to_string());" } else { "drop(error);" }
                );
                match shape.params.len() {
                    1 => arguments.push_str(", taken"),
                    count => arguments.extend((0..count).map(|at| format!(", taken.{at}"))),
                }
            }
            _ if shape.params_are_values => {
                for param in &shape.params {
                    let _ = write!(arguments, ", {}", types.take(param, "params"));
                }
            }
            _ => arguments.push_str(", params"),
        }
        if reads.is_empty() && !arguments.is_empty() {
            "let params = params.get()?;".clone_into(&mut reads);
        }
        let in_place = matches!(shape.answer, Answer::InPlace);
        if in_place {
            arguments.push_str(", results.get()");
        }
        let results = match shape.answer {
            Answer::Stream => String::new(),
            Answer::Nothing if shape.status.is_none() => format!(", _results: {path}::{capitalized}Results"),
            _ => format!(", mut results: {path}::{capitalized}Results"),
        };
        let begin = format!("let call = self.meter.begin(&{constant}.methods[{index}], &params)?; {reads}");
        let called = format!("self.server.{}(&call{arguments}).await", shape.name);
        let body = match (&shape.status, Self::writing(shape)) {
            (None, None) => called,
            (None, Some(write)) => format!("let value = {called}?; {write} Ok(())"),
            (Some(status), write) => {
                let detail =
                    if status.has_detail { "results.set_detail(detail);" } else { "let _ = detail;" };
                let (value, write) = match write {
                    Some(write) => ("value", write),
                    None => ("()", String::new()),
                };
                format!(
                    "match {called} {{
                        Ok({value}) => {{ {write} }}
                        Err(service::Refusal::Failed(error)) => return Err(error),
                        Err(service::Refusal::Status {{ status, detail }}) => {{
                            let mut results = results.get();
                            results.set_{}(status);
                            {detail}
                        }}
                    }} Ok(())",
                    names::snake(&status.field)
                )
            }
        };
        format!(
            "async fn {}(self: std::rc::Rc<Self>, params: {path}::{capitalized}Params{results})
                -> capnp::Result<()> {{ {begin} {body} }}",
            names::module(&shape.method.name)
        )
    }

    /// Statements that write `value` into `results`; None where there is nothing to write.
    fn writing(shape: &Shape<'_>) -> Option<String> {
        Some(match &shape.answer {
            Answer::Stream | Answer::Nothing | Answer::InPlace => return None,
            Answer::Whole(_) => "value.write(results.get());".to_owned(),
            Answer::One(field) => {
                format!("let mut results = results.get(); {}", types::write(field, "results", "value", false))
            }
            Answer::Several { fields, .. } => {
                let writes: String = fields
                    .iter()
                    .map(|field| {
                        let value = format!("value.{}", names::ident(&field.name));
                        types::write(field, "results", &value, false)
                    })
                    .collect();
                format!("let mut results = results.get(); {writes}")
            }
        })
    }
}
