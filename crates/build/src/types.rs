//! Which types of a schema are values of Rust, and how they are read and written.

use crate::Error;
use crate::annotations;
use crate::names;
use crate::schema::{Field, File, Schema};

/// A type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// A number, or a bool, by its name in Rust.
    Plain(&'static str),
    Text,
    Data,
    Enum(u64),
    Struct(u64),
    Interface(u64),
    List(Box<Type>),
    /// Void, which says nothing, and pointers to anything.
    Other,
}

/// How deep structs may be in each other as values; deeper ones are read where they are.
const MAX_DEPTH: usize = 8;

/// What generated code of one file calls things.
pub(crate) struct Types<'s, 'a> {
    pub(crate) schema: &'s Schema<'a>,
    pub(crate) file: &'s File,
}

impl Types<'_, '_> {
    /// Whether a parameter or a result is a value, or a stub.
    pub(crate) fn is_value(&self, kind: Option<&Type>) -> Result<bool, Error> {
        match kind {
            Some(Type::Interface(id)) => self.schema.has_stub(*id),
            Some(kind) => self.is_flat(kind, MAX_DEPTH),
            None => Ok(false),
        }
    }

    fn is_flat(&self, kind: &Type, depth: usize) -> Result<bool, Error> {
        Ok(match kind {
            Type::Plain(_) | Type::Text | Type::Data => true,
            Type::Enum(id) => self.is_here(*id),
            Type::Struct(id) => depth > 0 && self.is_flat_struct(*id, depth - 1)?,
            Type::List(element) => !matches!(**element, Type::List(_)) && self.is_flat(element, depth)?,
            Type::Interface(_) | Type::Other => false,
        })
    }

    /// Whether a struct has a type of its own among the generated values.
    pub(crate) fn is_value_struct(&self, id: u64) -> Result<bool, Error> {
        self.is_flat_struct(id, MAX_DEPTH)
    }

    fn is_flat_struct(&self, id: u64, depth: usize) -> Result<bool, Error> {
        if !self.is_here(id) || self.schema.node(id)?.get_is_generic() {
            return Ok(false);
        }
        let fields = self.schema.fields(id)?;
        for field in &fields {
            match &field.kind {
                Some(kind) if self.is_flat(kind, depth)? => {}
                _ => return Ok(false),
            }
        }
        Ok(!fields.is_empty())
    }

    /// Code is generated for it.
    fn is_here(&self, id: u64) -> bool {
        self.schema.place_of(id).is_some_and(|place| self.schema.file(place.file).is_some())
    }

    /// capnpc's path to a node, from the module of this file.
    pub(crate) fn path(&self, id: u64) -> String {
        self.schema.place_of(id).map_or_else(String::new, |place| place.path.clone())
    }

    /// What a node is called among the generated stubs and values: by its name, with `Value` behind it where Rust has that.
    pub(crate) fn word(&self, id: u64) -> String {
        let Some(place) = self.schema.place_of(id) else { return String::new() };
        let word =
            if names::is_taken(&place.word) { format!("{}Value", place.word) } else { place.word.clone() };
        match self.schema.file(place.file) {
            Some(file) if file.id != self.file.id => format!("super::{}::{word}", file.module),
            _ => word,
        }
    }

    /// An enum, which is capnpc's; one at the top of this file is called by its name alone.
    pub(crate) fn enumeration(&self, id: u64) -> String {
        match self.schema.place_of(id) {
            Some(place)
                if place.file == self.file.id
                    && !place.name.contains('.')
                    && !names::is_taken(&place.word) =>
            {
                place.word.clone()
            }
            _ => self.path(id),
        }
    }

    /// What a word of an enum is taken for that its schema does not have.
    fn unknown(&self, id: u64) -> Option<String> {
        let word = annotations::unknown(self.schema.node(id).ok()?).ok()??;
        Some(format!("{}::{}", self.enumeration(id), names::capitalized(&word)))
    }

    /// The type of a value that somebody has.
    pub(crate) fn owned(&self, kind: &Type) -> String {
        match kind {
            Type::Plain(name) => (*name).to_owned(),
            Type::Text => "String".to_owned(),
            Type::Data => "Vec<u8>".to_owned(),
            Type::Enum(id) => self.enumeration(*id),
            Type::Struct(id) | Type::Interface(id) => self.word(*id),
            Type::List(element) => format!("Vec<{}>", self.owned(element)),
            Type::Other => "()".to_owned(),
        }
    }

    /// The type of a value that is lent.
    pub(crate) fn lent(&self, kind: &Type) -> String {
        match kind {
            Type::Plain(_) | Type::Enum(_) | Type::Other => self.owned(kind),
            Type::Text => "&str".to_owned(),
            Type::Data => "&[u8]".to_owned(),
            Type::Struct(_) | Type::Interface(_) => format!("&{}", self.owned(kind)),
            Type::List(element) => match **element {
                Type::Text => "&[&str]".to_owned(),
                Type::Data => "&[&[u8]]".to_owned(),
                _ => format!("&[{}]", self.owned(element)),
            },
        }
    }

    /// The type in which a server's method takes a parameter: what is in the message is lent.
    pub(crate) fn taken(&self, kind: &Type) -> String {
        match kind {
            Type::Text | Type::Data => self.lent(kind),
            _ => self.owned(kind),
        }
    }

    /// An expression for the value of a field of `reader`. It may use `?` on errors of capnp's. `derive` makes a stub of a
    /// capability.
    pub(crate) fn read(&self, field: &Field, reader: &str, derive: &str) -> String {
        let Some(kind) = &field.kind else { return String::new() };
        let get = format!("{reader}.get_{}()", names::snake(&field.name));
        match kind {
            Type::Plain(_) | Type::Other => get,
            Type::Text => format!("{get}?.to_string()?"),
            Type::Data => format!("{get}?.to_vec()"),
            Type::Enum(id) => match self.unknown(*id) {
                Some(word) => format!("{get}.unwrap_or({word})"),
                None => format!("{get}?"),
            },
            Type::Struct(id) => format!("{}::read({get}?)?", self.word(*id)),
            Type::Interface(id) => format!("<{} as service::Stub>::of({derive}({get}?))", self.word(*id)),
            Type::List(element) => match &**element {
                Type::Plain(_) | Type::Other | Type::List(_) | Type::Interface(_) => {
                    format!("{get}?.iter().collect()")
                }
                Type::Enum(id) => match self.unknown(*id) {
                    Some(word) => format!("{get}?.iter().map(|word| word.unwrap_or({word})).collect()"),
                    None => format!("{get}?.iter().collect::<Result<_, _>>()?"),
                },
                Type::Text => {
                    format!("{get}?.iter().map(|text| Ok(text?.to_string()?)).collect::<capnp::Result<_>>()?")
                }
                Type::Data => {
                    format!("{get}?.iter().map(|data| Ok(data?.to_vec())).collect::<capnp::Result<_>>()?")
                }
                Type::Struct(id) => {
                    format!("{get}?.iter().map({}::read).collect::<capnp::Result<_>>()?", self.word(*id))
                }
            },
        }
    }

    /// An expression for what a server's method takes of `reader`.
    pub(crate) fn take(&self, field: &Field, reader: &str) -> String {
        match &field.kind {
            Some(Type::Text) => format!("{reader}.get_{}()?.to_str()?", names::snake(&field.name)),
            Some(Type::Data) => format!("{reader}.get_{}()?", names::snake(&field.name)),
            _ => self.read(field, reader, "service::Capability::of"),
        }
    }
}

/// A statement that puts `value` into a field of `builder`. `lent` where `value` is what [`lent`](Types::lent) says, and not
/// what [`owned`](Types::owned) says.
pub(crate) fn write(field: &Field, builder: &str, value: &str, lent: bool) -> String {
    let Some(kind) = &field.kind else { return String::new() };
    let name = names::snake(&field.name);
    let reference = if lent { value.to_owned() } else { format!("&{value}") };
    match kind {
        Type::Plain(_) | Type::Enum(_) => format!("{builder}.set_{name}({value});"),
        Type::Other => String::new(),
        Type::Text | Type::Data => format!("{builder}.set_{name}({reference});"),
        Type::Struct(_) => format!("{value}.write({builder}.reborrow().init_{name}());"),
        Type::Interface(_) => {
            format!("{builder}.set_{name}(service::Stub::capability({reference}).client().clone());")
        }
        Type::List(element) => {
            let set = match **element {
                Type::Plain(_) | Type::Enum(_) => "list.set(index, *item);",
                Type::Struct(_) => "item.write(list.reborrow().get(index));",
                _ => "list.set(index, item);",
            };
            format!(
                "{{ let mut list = {builder}.reborrow().init_{name}(service::count({value}.len()));
                for (index, item) in (0..).zip({reference}) {{ {set} }} }}"
            )
        }
    }
}
