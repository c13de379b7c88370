//! The client stub of an interface.

use std::fmt::Write as _;

use super::method::{Answer, Shape};
use super::{Emitter, Interface, documented};
use crate::Error;
use crate::names;
use crate::types::{self, Type};

impl Emitter<'_, '_> {
    pub(super) fn client(&mut self, interface: &Interface<'_>) -> Result<(), Error> {
        let Interface { word, path, name, .. } = interface;
        self.claim(word, name)?;
        let docs = documented(&interface.docs, &format!("`{name}` of the schema."));
        let mut methods = String::new();
        for (index, shape) in interface.shapes.iter().enumerate() {
            self.results_struct(interface, shape)?;
            self.call_struct(interface, shape)?;
            methods.push_str(&self.stub_method(interface, shape, index));
        }
        for ancestor in &interface.ancestors {
            let ancestor_word = self.types.word(*ancestor);
            let last = ancestor_word.rsplit("::").next().unwrap_or_default().to_owned();
            let _ = writeln!(
                methods,
                "/// The same capability, as the `{last}` that it is as well.
                #[must_use]
                pub fn as_{}(&self) -> {ancestor_word} {{
                    let client = capnp::capability::FromClientHook::cast_to(self.0.client().clone());
                    <{ancestor_word} as service::Stub>::of(self.0.derive(client))
                }}",
                names::snake(&last)
            );
        }
        let constant = names::shouted(word);
        let _ = writeln!(
            self.out,
            "{docs} #[derive(Clone)] pub struct {word}(service::Capability<{path}::Client>);"
        );
        if !methods.is_empty() {
            let _ = writeln!(self.out, "impl {word} {{ {methods} }}");
        }
        let _ = writeln!(
            self.out,
            "impl service::Stub for {word} {{
                type Client = {path}::Client;
                const INTERFACE: &'static service::Interface = &{constant}_INTERFACE;
                fn of(capability: service::Capability<Self::Client>) -> Self {{ Self(capability) }}
                fn capability(&self) -> &service::Capability<Self::Client> {{ &self.0 }}
            }}"
        );
        Ok(())
    }

    /// What the results of a method are in one.
    fn results_struct(&mut self, interface: &Interface<'_>, shape: &Shape<'_>) -> Result<(), Error> {
        let Answer::Several { word, fields } = &shape.answer else { return Ok(()) };
        let name = format!("{}.{}", interface.name, shape.method.name);
        self.claim(word, &format!("the results of {name}"))?;
        let derive = if shape.capabilities.is_empty() {
            "#[derive(Clone, Debug, PartialEq)]"
        } else {
            "#[derive(Clone)]"
        };
        self.struct_of(word, &format!("/// What `{name}` gives.\n"), fields, derive);
        Ok(())
    }

    fn call_word(interface: &Interface<'_>, shape: &Shape<'_>) -> String {
        format!("{}{}Call", interface.word, names::capitalized(&shape.method.name))
    }

    /// A call whose results can be called before they are there.
    fn call_struct(&mut self, interface: &Interface<'_>, shape: &Shape<'_>) -> Result<(), Error> {
        if shape.capabilities.is_empty() {
            return Ok(());
        }
        let word = Self::call_word(interface, shape);
        let name = format!("{}.{}", interface.name, shape.method.name);
        self.claim(&word, &format!("a call of {name}"))?;
        let answer = format!(
            "service::Calling<{}{}>",
            shape.answer_type(&self.types),
            shape.status_argument(&self.types)
        );
        let mut members = String::new();
        let mut getters = String::new();
        for capability in &shape.capabilities {
            let (field, kind) =
                (names::ident(&capability.name), capability.kind.as_ref().map(|kind| self.types.owned(kind)));
            let kind = kind.unwrap_or_default();
            let _ = writeln!(members, "{field}: {kind},");
            let _ = writeln!(
                getters,
                "/// `{}` of the results: what is called on it leaves at once, and waits for the results at the peer's.
                #[must_use]
                pub fn {field}(&self) -> {kind} {{ self.{field}.clone() }}",
                capability.name
            );
        }
        let _ = writeln!(
            self.out,
            "/// A call of `{name}` that was sent: its results, when it is awaited, or what can be called on them before.
            #[must_use = \"a call that nobody waits for is canceled\"]
            pub struct {word} {{ answer: {answer}, {members} }}
            impl {word} {{ {getters} }}
            impl IntoFuture for {word} {{
                type Output = <{answer} as Future>::Output;
                type IntoFuture = {answer};
                fn into_future(self) -> Self::IntoFuture {{ self.answer }}
            }}"
        );
        Ok(())
    }

    fn stub_method(&self, interface: &Interface<'_>, shape: &Shape<'_>, index: usize) -> String {
        let types = &self.types;
        let mut out = documented(&shape.docs(&format!("Calls `{}`.", shape.method.name)), "");
        let (request, params) = (shape.fresh("request"), shape.fresh("params"));
        let mut parameters = String::new();
        let mut writes = String::new();
        if shape.params_are_values {
            for param in &shape.params {
                let Some(kind) = &param.kind else { continue };
                let name = names::ident(&param.name);
                let _ = write!(parameters, ", {name}: {}", types.lent(kind));
                writes.push_str(&types::write(param, &params, &name, true));
            }
            if !writes.is_empty() {
                writes = format!("let mut {params} = {request}.get(); {writes}");
            }
        } else {
            let _ = write!(parameters, ", write: impl FnOnce({}::Builder<'_>)", shape.params_path());
            writes = format!("write({request}.get());");
        }
        let mutable = if writes.is_empty() { "" } else { "mut " };
        let capnpc = names::snake(&shape.method.name);
        let method = format!("&{}_INTERFACE.methods[{index}]", names::shouted(&interface.word));
        let status = shape.status_argument(types);
        let answer = format!("service::Calling<{}{status}>", shape.answer_type(types));
        let output = if shape.capabilities.is_empty() { answer } else { Self::call_word(interface, shape) };
        let new = if matches!(shape.answer, Answer::Stream) { "stream_request" } else { "request" };
        let _ = write!(
            out,
            "pub fn {}(&self{parameters}) -> {output} {{
                let {mutable}{request} = self.0.{new}({}::Client::{capnpc}_request); {writes}",
            shape.name, interface.path
        );
        if matches!(shape.answer, Answer::Stream) {
            let _ = writeln!(out, "self.0.stream({method}, {request}) }}");
            out.push_str(&self.sink(shape));
            return out;
        }
        let call = if matches!(shape.answer, Answer::InPlace) { "check" } else { "read" };
        let (derives, read) = self.reading(shape);
        let results = if read.contains("results.") || read.contains("(results)") { "results" } else { "_" };
        let closure = format!("|{results}| {read}");
        let sent = format!("self.0.send({method}, {request})");
        if shape.capabilities.is_empty() {
            let _ = writeln!(out, "{sent}.{call}({closure}) }}");
            return out;
        }
        let (origin, moves) = if derives { ("let origin = self.0.clone();", "move ") } else { ("", "") };
        let mut members = String::new();
        for capability in &shape.capabilities {
            let Some(Type::Interface(id)) = capability.kind else { continue };
            let _ = writeln!(
                members,
                "{}: <{} as service::Stub>::of(self.0.derive(sent.pipeline.get_{}())),",
                names::ident(&capability.name),
                types.word(id),
                names::snake(&capability.name)
            );
        }
        let _ = writeln!(
            out,
            "let sent = {sent}; {origin}
            {} {{ {members} answer: sent.{call}({moves}{closure}) }} }}",
            Self::call_word(interface, shape)
        );
        out
    }

    /// How results are read: whether that takes the stub's origin, and the body of the closure.
    fn reading(&self, shape: &Shape<'_>) -> (bool, String) {
        let types = &self.types;
        let mut body = String::new();
        if let Some(status) = &shape.status {
            let detail = if status.has_detail { "results.get_detail()" } else { "Ok(\"\".into())" };
            let _ =
                write!(body, "service::accept(results.get_{}(), {detail})?;", names::snake(&status.field));
        }
        let derive = "origin.derive";
        let value = match &shape.answer {
            Answer::Stream | Answer::Nothing | Answer::InPlace => "()".to_owned(),
            Answer::One(field) => types.read(field, "results", derive),
            Answer::Whole(id) => format!("{}::read(results)?", types.word(*id)),
            Answer::Several { word, fields } => {
                let mut members = String::new();
                for field in fields {
                    let value = types.read(field, "results", derive);
                    let _ = write!(members, "{}: {value},", names::ident(&field.name));
                }
                format!("{word} {{ {members} }}")
            }
        };
        (value.contains(derive), format!("{{ {body} Ok({value}) }}"))
    }

    /// A streaming method as a sink, where what it takes can be had as one value.
    fn sink(&self, shape: &Shape<'_>) -> String {
        let is_simple = |kind: &Type| match kind {
            Type::List(element) => !matches!(**element, Type::Text | Type::Data),
            _ => true,
        };
        let kinds: Vec<&Type> = shape.params.iter().filter_map(|param| param.kind.as_ref()).collect();
        if !shape.params_are_values || kinds.is_empty() || !kinds.iter().all(|kind| is_simple(kind)) {
            return String::new();
        }
        let owned: Vec<String> = kinds.iter().map(|kind| self.types.owned(kind)).collect();
        let idents: Vec<String> = shape.params.iter().map(|param| names::ident(&param.name)).collect();
        let (item, pattern) = match (&owned[..], &idents[..]) {
            ([kind], [name]) => (kind.clone(), name.clone()),
            _ => (format!("({})", owned.join(", ")), format!("({})", idents.join(", "))),
        };
        let arguments: Vec<String> = idents
            .iter()
            .zip(&kinds)
            .map(|(name, kind)| match kind {
                Type::Plain(_) | Type::Enum(_) | Type::Other => name.clone(),
                _ => format!("&{name}"),
            })
            .collect();
        let stub = shape.fresh("stub");
        format!(
            "/// A sink that calls `{name}` with each item, at the pace at which the peer takes them.
            #[must_use]
            pub fn {rust}_sink(&self) -> service::CallSink<{item}> {{
                let {stub} = self.clone();
                service::CallSink::new(move |{pattern}: {item}| {stub}.{rust}({arguments}))
            }}",
            name = shape.method.name,
            rust = shape.name,
            arguments = arguments.join(", "),
        )
    }
}
