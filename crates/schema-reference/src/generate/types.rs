//! Types, and how they are chosen.

use super::author::Author;
use super::world::{Aliased, Id, Kind};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// One that the language has, by its name.
    Plain(&'static str),
    List(Box<Type>),
    Named(Named),
    /// A generic parameter of a scope or of a method.
    Parameter(String),
}

/// A struct, an enum or an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) id: Id,
    /// What stands for generic parameters: of the declaration, or of one that it is in.
    pub(super) bindings: Vec<(Id, Vec<Type>)>,
    /// A `using` that it is named by.
    pub(super) alias: Option<Id>,
}

/// What a choice of types is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A field or a parameter of a method: anything.
    Field,
    /// A constant or an annotation: what values can be written for.
    Value,
    /// A generic argument: pointers only.
    Argument,
}

const SMALL: [&str; 7] = ["Bool", "Bool", "Int8", "UInt8", "Int16", "UInt16", "Bool"];
const LARGE: [&str; 7] = ["Int32", "UInt32", "Float32", "Int64", "UInt64", "Float64", "Void"];
const ANY: [&str; 4] = ["AnyPointer", "AnyStruct", "AnyList", "Capability"];

impl Author {
    /// A type for something that is declared in `at`.
    pub(super) fn any_type(&mut self, at: Id, purpose: Purpose, implicit: &[String], depth: u32) -> Type {
        let pointers_only = purpose == Purpose::Argument;
        match self.random.u32(0..100) {
            0..35 if !pointers_only => Type::Plain(self.one_of(&SMALL)),
            35..60 if !pointers_only => Type::Plain(self.one_of(&LARGE)),
            60..68 => Type::Plain(self.one_of(&["Text", "Data"])),
            68..76 if depth > 0 => Type::List(Box::new(self.element_type(at, purpose, implicit, depth - 1))),
            76..90 => self.named_type(at, purpose, implicit, depth),
            90..94 if purpose != Purpose::Value => self.parameter_type(at, implicit),
            // An argument may be any pointer, but not one kind of them.
            94..97 if pointers_only => Type::Plain("AnyPointer"),
            94..97 if purpose != Purpose::Value => Type::Plain(self.one_of(&ANY)),
            _ => Type::Plain(self.one_of(&["Text", "Data", "Text"])),
        }
    }

    /// What a list may be of: nothing that could be any pointer.
    fn element_type(&mut self, at: Id, purpose: Purpose, implicit: &[String], depth: u32) -> Type {
        let purpose = if purpose == Purpose::Argument { Purpose::Field } else { purpose };
        match self.any_type(at, purpose, implicit, depth) {
            Type::Parameter(_) => Type::Plain("Text"),
            Type::Plain(name) if ANY.contains(&name) => Type::Plain("Data"),
            ty => ty,
        }
    }

    fn parameter_type(&mut self, at: Id, implicit: &[String]) -> Type {
        let mut names: Vec<String> = self.world.parameters_at(at).into_iter().map(str::to_owned).collect();
        names.extend_from_slice(implicit);
        match names.len() {
            0 => Type::Plain("Text"),
            count => Type::Parameter(names.swap_remove(self.random.usize(..count))),
        }
    }

    /// A declared type, of any file; or one of the language where none fits.
    fn named_type(&mut self, at: Id, purpose: Purpose, implicit: &[String], depth: u32) -> Type {
        let here = self.world.file_of(at);
        for _ in 0..8 {
            let id = self.random.usize(..self.world.declarations.len());
            if self.world.file_of(id) != here && self.random.u32(0..3) > 0 {
                continue;
            }
            match &self.world.get(id).kind {
                Kind::Struct(_) => {}
                Kind::Enum(_) if purpose != Purpose::Argument => {}
                Kind::Interface { .. } if purpose != Purpose::Value => {}
                Kind::Alias(Aliased::Type(Type::Named(named))) if id < at => {
                    let named = Named { alias: Some(id), ..named.clone() };
                    if self.suits(named.id, purpose) {
                        return Type::Named(named);
                    }
                    continue;
                }
                _ => continue,
            }
            return Type::Named(self.bound(id, at, implicit, depth));
        }
        Type::Plain("Data")
    }

    fn suits(&self, id: Id, purpose: Purpose) -> bool {
        match self.world.get(id).kind {
            Kind::Struct(_) => true,
            Kind::Enum(_) => purpose != Purpose::Argument,
            Kind::Interface { .. } => purpose != Purpose::Value,
            _ => false,
        }
    }

    /// A declared type with arguments for some of its parameters' scopes.
    pub(super) fn bound(&mut self, id: Id, at: Id, implicit: &[String], depth: u32) -> Named {
        let mut bindings = Vec::new();
        for scope in self.world.path(id) {
            let count = self.world.get(scope).parameters.len();
            if count > 0 && depth > 0 && self.random.u32(0..3) > 0 {
                let arguments =
                    std::iter::repeat_with(|| self.any_type(at, Purpose::Argument, implicit, depth - 1));
                bindings.push((scope, arguments.take(count).collect()));
            }
        }
        Named { id, bindings, alias: None }
    }

    /// A declared type as a name that leads to it.
    pub(super) fn type_name(&mut self, ty: &Type, at: Id) -> String {
        match ty {
            Type::Plain(name) => (*name).to_owned(),
            Type::Parameter(name) => name.clone(),
            Type::List(element) => format!("List({})", self.type_name(element, at)),
            Type::Named(Named { alias: Some(alias), .. }) => self.name(*alias, at, &[]),
            Type::Named(named) => self.name(named.id, at, &named.bindings),
        }
    }

    /// A name for a declaration, one of those that there are.
    pub(super) fn name(&mut self, id: Id, at: Id, bindings: &[(Id, Vec<Type>)]) -> String {
        let mut ways = self.world.ways(at, id);
        // A name that starts behind a scope with arguments has no place for them.
        let bound_first = bindings.first().map(|(scope, _)| *scope);
        ways.retain(|(_, path)| bound_first.is_none_or(|scope| path.contains(&scope)));
        let (mut name, path) = ways.swap_remove(self.random.usize(..ways.len()));
        for (index, id) in path.into_iter().enumerate() {
            if index > 0 {
                name.push('.');
            }
            name.push_str(&self.world.get(id).name.clone());
            if let Some((_, arguments)) = bindings.iter().find(|(scope, _)| *scope == id) {
                let arguments: Vec<_> = arguments.iter().map(|ty| self.type_name(ty, at)).collect();
                name.push('(');
                name.push_str(&arguments.join(", "));
                name.push(')');
            }
        }
        name
    }
}
