//! How a method looks in Rust.

use std::fmt::Write as _;

use capnp::schema_capnp::node;

use crate::Error;
use crate::annotations::{self, Terms};
use crate::names;
use crate::schema::{Field, Method};
use crate::types::{Type, Types};

/// More than these are given by a builder.
const MAX_PARAMETERS: usize = 6;

/// A method, as its stub and its server have it.
pub(super) struct Shape<'a> {
    pub(super) method: Method<'a>,
    pub(super) terms: Terms,
    /// Its name in Rust.
    pub(super) name: String,
    pub(super) params: Vec<Field>,
    /// Whether they are values; otherwise they are written by a builder and taken by a reader.
    pub(super) params_are_values: bool,
    pub(super) answer: Answer,
    pub(super) status: Option<Status>,
    /// Fields of the results that are capabilities, for calls before the results are there.
    pub(super) capabilities: Vec<Field>,
}

/// What the results are in Rust.
pub(super) enum Answer {
    /// There are none: `-> stream`.
    Stream,
    /// Nothing but, perhaps, a status.
    Nothing,
    /// One value.
    One(Field),
    /// Several, in a struct made for them.
    Several { word: String, fields: Vec<Field> },
    /// A struct of the schema that is a value.
    Whole(u64),
    /// Whatever it is, it is read and written in the message.
    InPlace,
}

/// The field of the results that says how the call ended.
pub(super) struct Status {
    /// The enum.
    pub(super) id: u64,
    /// Its name.
    pub(super) field: String,
    /// There is a text with more about it.
    pub(super) has_detail: bool,
    /// The word for parameters that cannot be read.
    pub(super) malformed: Option<String>,
}

impl<'a> Shape<'a> {
    pub(super) fn of(types: &Types<'_, '_>, interface: u64, method: Method<'a>) -> Result<Self, Error> {
        let schema = types.schema;
        let terms = annotations::terms(schema.node(interface)?, method.reader)?;
        let params = schema.fields(method.params.id)?;
        let mut params_are_values = params.len() <= MAX_PARAMETERS;
        for param in &params {
            params_are_values &= types.is_value(param.kind.as_ref())?;
        }
        let mut shape = Self {
            terms,
            name: names::ident(&method.name),
            params,
            params_are_values,
            answer: Answer::Stream,
            status: None,
            capabilities: Vec::new(),
            method,
        };
        let Some(results) = &shape.method.results else { return Ok(shape) };

        let mut fields = schema.fields(results.id)?;
        let is_named = schema.node(results.id)?.get_scope_id() != 0;
        for at in 0..fields.len() {
            let Some(Type::Enum(id)) = fields[at].kind else { continue };
            if annotations::is_status(schema.node(id)?)? && matches!(schema.node(id)?.which()?, node::Enum(_))
            {
                let field = fields.remove(at).name;
                let detail =
                    fields.iter().position(|field| field.name == "detail" && field.kind == Some(Type::Text));
                if let Some(at) = detail {
                    fields.remove(at);
                }
                let malformed = annotations::malformed(schema.node(id)?)?;
                shape.status = Some(Status { id, field, has_detail: detail.is_some(), malformed });
                break;
            }
        }
        let mut are_values = true;
        for field in &fields {
            are_values &= types.is_value(field.kind.as_ref())?;
            if let Some(Type::Interface(id)) = field.kind
                && schema.has_stub(id)?
            {
                shape.capabilities.push(Field {
                    name: field.name.clone(),
                    kind: field.kind.clone(),
                    docs: field.docs.clone(),
                });
            }
        }
        shape.answer = if shape.terms.bulk || !are_values {
            Answer::InPlace
        } else if is_named && shape.status.is_none() && types.is_value_struct(results.id)? {
            Answer::Whole(results.id)
        } else {
            match fields.len() {
                0 => Answer::Nothing,
                1 => Answer::One(fields.remove(0)),
                _ => {
                    let word =
                        format!("{}{}Results", types.word(interface), names::capitalized(&shape.method.name));
                    Answer::Several { word, fields }
                }
            }
        };
        Ok(shape)
    }

    /// capnpc's module of the results, from that of the file.
    pub(super) fn results_path(&self) -> String {
        self.method.results.as_ref().map_or_else(String::new, |results| results.path.clone())
    }

    /// capnpc's module of the parameters.
    pub(super) fn params_path(&self) -> String {
        self.method.params.path.clone()
    }

    /// The type of what a call gives to its caller.
    pub(super) fn answer_type(&self, types: &Types<'_, '_>) -> String {
        match &self.answer {
            Answer::Stream | Answer::Nothing => "()".to_owned(),
            Answer::One(field) => field.kind.as_ref().map_or_else(String::new, |kind| types.owned(kind)),
            Answer::Several { word, .. } => word.clone(),
            Answer::Whole(id) => types.word(*id),
            Answer::InPlace => format!("capnp::capability::Response<{}::Owned>", self.results_path()),
        }
    }

    /// The status among the parameters of a generic type, with the comma before it.
    pub(super) fn status_argument(&self, types: &Types<'_, '_>) -> String {
        self.status
            .as_ref()
            .map_or_else(String::new, |status| format!(", {}", types.owned(&Type::Enum(status.id))))
    }

    /// The type of what a server's method gives.
    pub(super) fn outcome_type(&self, types: &Types<'_, '_>) -> String {
        let value = match &self.answer {
            Answer::InPlace => "()".to_owned(),
            _ => self.answer_type(types),
        };
        match &self.status {
            Some(status) => {
                format!("Result<{value}, service::Refusal<{}>>", types.owned(&Type::Enum(status.id)))
            }
            None => format!("capnp::Result<{value}>"),
        }
    }

    /// The parameters of a server's method, behind `self` and the call, with the comma before each.
    pub(super) fn server_parameters(&self, types: &Types<'_, '_>) -> String {
        let mut parameters = String::new();
        for (name, kind) in self.taken(types) {
            let _ = write!(parameters, ", {name}: {kind}");
        }
        parameters
    }

    /// Names and types of these.
    pub(super) fn taken(&self, types: &Types<'_, '_>) -> Vec<(String, String)> {
        let mut taken = Vec::new();
        if self.params_are_values {
            for param in &self.params {
                if let Some(kind) = &param.kind {
                    taken.push((names::ident(&param.name), types.taken(kind)));
                }
            }
        } else {
            taken.push(("params".to_owned(), format!("{}::Reader<'_>", self.params_path())));
        }
        if matches!(self.answer, Answer::InPlace) {
            taken.push((self.fresh("results"), format!("{}::Builder<'_>", self.results_path())));
        }
        taken
    }

    /// A name that none of the parameters has.
    pub(super) fn fresh(&self, name: &str) -> String {
        let is_taken =
            self.params_are_values && self.params.iter().any(|param| names::ident(&param.name) == name);
        if is_taken { format!("{name}_") } else { name.to_owned() }
    }

    /// What the schema says of it, or `otherwise`, and what it promises of its calls.
    pub(super) fn docs(&self, otherwise: &str) -> String {
        let mut terms = Vec::new();
        if let Some(deadline) = self.terms.deadline {
            terms.push(format!("Deadline: {deadline:?}."));
        }
        if self.terms.idempotent {
            terms.push("Idempotent.".to_owned());
        }
        if self.terms.calls > 0 {
            terms.push(format!("At most {} calls at a time.", self.terms.calls));
        }
        if self.terms.params_bytes > 0 {
            terms.push(format!("Parameters of at most {} bytes.", self.terms.params_bytes));
        }
        let docs = self.method.docs.trim_end();
        let docs = if docs.is_empty() { otherwise } else { docs };
        if terms.is_empty() { docs.to_owned() } else { format!("{docs}\n\n{}", terms.join(" ")) }
    }
}
