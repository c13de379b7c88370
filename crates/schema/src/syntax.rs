//! The syntax tree: what a file says, before anything in it is looked up.
//!
//! Declarations and expressions lie in two arrays and name each other by index, so that a tree costs two allocations
//! and is dropped without recursion.

use crate::names::Name;
use crate::source::Span;

/// A declaration, by its index in [`File::declarations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct DeclarationId(pub(crate) u32);

/// An expression, by its index in [`File::expressions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ExpressionId(pub(crate) u32);

/// A name and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named {
    pub(crate) name: Name,
    pub(crate) span: Span,
}

/// A number behind an `@`, and where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    pub(crate) value: u64,
    pub(crate) span: Span,
}

/// One parsed file. The first declaration is the file itself.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) declarations: Vec<Declaration>,
    pub(crate) expressions: Vec<Expression>,
    pub(crate) strings: Vec<Vec<u8>>,
    /// The doc comments, by what [`Declaration::doc`] says; the first is that of declarations without one.
    pub(crate) docs: Vec<Span>,
    /// What is imported by types and names of scopes, but not by values: each the index of the path in `strings`, and
    /// where it stands.
    pub(crate) imports: Vec<(u32, Span)>,
    /// The first `-> stream`, which imports `/capnp/stream.capnp`.
    pub(crate) stream: Option<Span>,
}

impl File {
    /// The declaration of the file itself.
    pub(crate) const ROOT: DeclarationId = DeclarationId(0);

    pub(crate) fn declaration(&self, id: DeclarationId) -> &Declaration {
        &self.declarations[id.0 as usize]
    }

    pub(crate) fn expression(&self, id: ExpressionId) -> &Expression {
        &self.expressions[id.0 as usize]
    }

    pub(crate) fn string(&self, index: u32) -> &[u8] {
        self.strings.get(index as usize).map_or(&[], |string| string)
    }
}

/// Anything that is declared: a file, a type, a constant, an annotation, an alias, or a member of one of them.
#[derive(Debug)]
pub(crate) struct Declaration {
    pub(crate) kind: Kind,
    /// What it is called, and where; of a file and an unnamed union, where it starts.
    pub(crate) name: Option<Named>,
    /// The whole of it up to its `;` or `{`.
    pub(crate) span: Span,
    /// The `@0x…` that stands behind the name of a node.
    pub(crate) id: Option<Number>,
    /// The `@…` that stands behind the name of a member.
    pub(crate) ordinal: Option<Number>,
    pub(crate) parameters: Vec<Named>,
    pub(crate) annotations: Vec<Annotation>,
    /// What is declared in its block.
    pub(crate) children: Vec<DeclarationId>,
    pub(crate) doc: u32,
    /// Whether something in its block could not be parsed, and is missing from `children`.
    pub(crate) incomplete: bool,
}

/// What is declared, and what only such a declaration has.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    File,
    Using { target: ExpressionId },
    Const { ty: ExpressionId, value: ExpressionId },
    Enum,
    Enumerant,
    Struct,
    Field { ty: ExpressionId, default: Option<ExpressionId> },
    Union,
    Group,
    Interface { superclasses: Vec<ExpressionId> },
    Method(Box<Method>),
    Annotation { ty: ExpressionId, targets: u16 },
}

/// What a method takes and gives.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    /// The generic parameters in brackets.
    pub(crate) implicit: Vec<Named>,
    pub(crate) parameters: Parameters,
    pub(crate) results: Parameters,
}

/// What stands on one side of the arrow.
#[derive(Clone, Debug)]
pub(crate) enum Parameters {
    /// A list of fields; also when no results are given.
    List { fields: Vec<DeclarationId> },
    /// The name of a struct.
    Type(ExpressionId),
    /// `stream`.
    Stream(Span),
}

/// The use of an annotation.
#[derive(Clone, Debug)]
pub(crate) struct Annotation {
    pub(crate) name: ExpressionId,
    pub(crate) value: AnnotationValue,
}

/// What an annotation is given.
#[derive(Clone, Debug)]
pub(crate) enum AnnotationValue {
    /// Nothing: there are no parentheses.
    None,
    Expression(ExpressionId),
}

/// An expression: of a type, a value or a name.
#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) kind: ExpressionKind,
    pub(crate) span: Span,
}

/// What an expression says.
#[derive(Clone, Debug)]
pub(crate) enum ExpressionKind {
    Integer(u64),
    /// An integer with a minus in front of it.
    Negative(u64),
    Float(f64),
    Text(Vec<u8>),
    Data(u32),
    /// A name looked up from where it stands.
    Name(Name),
    /// A name looked up from the file: `.name`.
    Absolute(Name),
    Import(u32),
    Embed(u32),
    List(Vec<ExpressionId>),
    Tuple(Vec<Argument>),
    /// `base(arguments)`.
    Apply {
        base: ExpressionId,
        arguments: Vec<Argument>,
    },
    /// `base.name`.
    Member {
        base: ExpressionId,
        member: Named,
    },
    /// What could not be parsed, already complained about.
    Invalid,
}

/// What stands between two commas: `value` or `name = value`.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    pub(crate) name: Option<Named>,
    pub(crate) value: ExpressionId,
}

/// What an annotation may be applied to, as bits of [`Kind::Annotation`]'s `targets`; in the order of the words that
/// name them in the language, with their position for a message.
pub(crate) const TARGETS: [&str; 12] = [
    "file",
    "const",
    "enum",
    "enumerant",
    "struct",
    "field",
    "union",
    "group",
    "interface",
    "method",
    "param",
    "annotation",
];
