//! What names stand for: nodes, types, brands and values.

use std::rc::Rc;

use crate::names::Name;
use crate::source::FileId;
use crate::syntax::DeclarationId;

/// A declaration that has a scope or an id of its own, by its index among all files' nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(pub(crate) u32);

/// A node: a file, a type, a constant, an annotation, or an alias.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) kind: NodeKind,
    pub(crate) file: FileId,
    pub(crate) declaration: DeclarationId,
    pub(crate) parent: Option<NodeId>,
    /// Its 64-bit id; aliases have none, and 0 here.
    pub(crate) id: u64,
    /// Whether its id is its alone: what it contains derives ids of it, and they are as unlike others as it is.
    pub(crate) own_id: bool,
    /// How many generic parameters it has.
    pub(crate) parameters: usize,
    /// Whether it, or a scope around it, has generic parameters.
    pub(crate) generic: bool,
}

/// What kind of node it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    File,
    Alias,
    Const,
    Enum,
    Struct,
    Interface,
    Annotation,
}

/// What a name resolves to.
#[derive(Clone, Debug)]
pub(crate) enum Entity {
    Node {
        node: NodeId,
        brand: Rc<Brand>,
    },
    /// `List` without what it is a list of.
    List,
    /// Anything built in, `List(…)`, and generic parameters.
    Type(Type),
}

/// The bindings of the generic parameters of a scope, and of the scopes around it.
#[derive(Debug)]
pub(crate) struct Brand {
    /// The id of the scope.
    pub(crate) scope: u64,
    /// How many parameters it has.
    pub(crate) parameters: usize,
    pub(crate) bindings: Bindings,
    pub(crate) parent: Option<Rc<Brand>>,
}

/// What the parameters of one scope are bound to.
#[derive(Debug)]
pub(crate) enum Bindings {
    /// To themselves: the brand is used within the scope.
    Inherited,
    /// To nothing: each is `AnyPointer`.
    Unbound,
    To(Vec<Type>),
}

/// A type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Type {
    Void,
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float32,
    Float64,
    Text,
    Data,
    AnyPointer,
    AnyStruct,
    AnyList,
    Capability,
    List(Rc<Type>),
    Enum {
        node: NodeId,
        brand: Rc<Brand>,
    },
    Struct {
        node: NodeId,
        brand: Rc<Brand>,
    },
    Interface {
        node: NodeId,
        brand: Rc<Brand>,
    },
    /// The generic parameter at `index` of the scope with the id `scope`.
    Parameter {
        scope: u64,
        index: u16,
    },
    /// The parameter at `index` in the brackets of a method.
    Implicit {
        index: u16,
    },
}

impl Brand {
    /// What the parameter at `index` of `scope` is bound to, seen from within this brand.
    pub(crate) fn binding(&self, scope: u64, index: u16) -> Type {
        let mut brand = Some(self);
        while let Some(this) = brand {
            if this.scope == scope {
                return match &this.bindings {
                    Bindings::Inherited => Type::Parameter { scope, index },
                    Bindings::Unbound => Type::AnyPointer,
                    Bindings::To(types) => types.get(index as usize).cloned().unwrap_or(Type::AnyPointer),
                };
            }
            brand = this.parent.as_deref();
        }
        Type::Parameter { scope, index }
    }

    /// The brand of the scope with the id `scope` around this one.
    pub(crate) fn around(self: &Rc<Self>, scope: u64) -> Option<Rc<Brand>> {
        let mut brand = self;
        while brand.scope != scope {
            brand = brand.parent.as_ref()?;
        }
        Some(Rc::clone(brand))
    }

    /// The scopes that say something about their parameters, the innermost first.
    pub(crate) fn stated(&self) -> impl Iterator<Item = &Brand> {
        std::iter::successors(Some(self), |brand| brand.parent.as_deref()).filter(|brand| {
            match &brand.bindings {
                Bindings::Inherited => brand.parameters > 0,
                Bindings::Unbound => false,
                Bindings::To(types) => !types.is_empty(),
            }
        })
    }
}

impl PartialEq for Brand {
    fn eq(&self, other: &Self) -> bool {
        let same = |(left, right): (&Brand, &Brand)| {
            left.scope == right.scope
                && match (&left.bindings, &right.bindings) {
                    (Bindings::Inherited, Bindings::Inherited) => true,
                    (Bindings::To(left), Bindings::To(right)) => left == right,
                    _ => false,
                }
        };
        self.stated().count() == other.stated().count() && self.stated().zip(other.stated()).all(same)
    }
}

impl Type {
    /// Whether values of the type are pointers that a generic parameter can be bound to.
    pub(crate) fn is_bindable(&self) -> bool {
        match self {
            Type::Text
            | Type::Data
            | Type::AnyPointer
            | Type::List(_)
            | Type::Struct { .. }
            | Type::Interface { .. }
            | Type::Parameter { .. }
            | Type::Implicit { .. } => true,
            Type::Void
            | Type::Bool
            | Type::Int8
            | Type::Int16
            | Type::Int32
            | Type::Int64
            | Type::UInt8
            | Type::UInt16
            | Type::UInt32
            | Type::UInt64
            | Type::Float32
            | Type::Float64
            | Type::Enum { .. }
            | Type::AnyStruct
            | Type::AnyList
            | Type::Capability => false,
        }
    }

    /// The least and the greatest value of an integer type; `None` for any other.
    pub(crate) fn range(&self) -> Option<(i128, i128)> {
        Some(match self {
            Type::Int8 => (i8::MIN.into(), i8::MAX.into()),
            Type::Int16 => (i16::MIN.into(), i16::MAX.into()),
            Type::Int32 => (i32::MIN.into(), i32::MAX.into()),
            Type::Int64 => (i64::MIN.into(), i64::MAX.into()),
            Type::UInt8 => (0, u8::MAX.into()),
            Type::UInt16 => (0, u16::MAX.into()),
            Type::UInt32 => (0, u32::MAX.into()),
            Type::UInt64 => (0, u64::MAX.into()),
            _ => return None,
        })
    }

    /// How a value of the type lies in a struct.
    pub(crate) fn storage(&self) -> Storage {
        match self {
            Type::Void => Storage::None,
            Type::Bool => Storage::Data { size: 0 },
            Type::Int8 | Type::UInt8 => Storage::Data { size: 3 },
            Type::Int16 | Type::UInt16 | Type::Enum { .. } => Storage::Data { size: 4 },
            Type::Int32 | Type::UInt32 | Type::Float32 => Storage::Data { size: 5 },
            Type::Int64 | Type::UInt64 | Type::Float64 => Storage::Data { size: 6 },
            _ => Storage::Pointer,
        }
    }

    /// The type with the parameters that `brand` binds replaced by what it binds them to.
    pub(crate) fn within(&self, brand: &Brand) -> Type {
        match self {
            Type::Parameter { scope, index } => brand.binding(*scope, *index),
            Type::List(element) => Type::List(Rc::new(element.within(brand))),
            Type::Struct { node, brand: own } => Type::Struct { node: *node, brand: own.within(brand) },
            Type::Interface { node, brand: own } => Type::Interface { node: *node, brand: own.within(brand) },
            Type::Enum { node, brand: own } => Type::Enum { node: *node, brand: own.within(brand) },
            other => other.clone(),
        }
    }
}

impl Brand {
    fn within(self: &Rc<Self>, outer: &Brand) -> Rc<Brand> {
        if self.stated().next().is_none() {
            return Rc::clone(self);
        }
        let bindings = match &self.bindings {
            Bindings::Inherited if self.parameters > 0 => Bindings::To(
                (0..self.parameters).map(|index| outer.binding(self.scope, index as u16)).collect(),
            ),
            Bindings::Inherited => Bindings::Inherited,
            Bindings::Unbound => Bindings::Unbound,
            Bindings::To(types) => Bindings::To(types.iter().map(|ty| ty.within(outer)).collect()),
        };
        let parent = self.parent.as_ref().map(|parent| parent.within(outer));
        Rc::new(Brand { scope: self.scope, parameters: self.parameters, bindings, parent })
    }
}

/// How a value lies in a struct: `size` as in [`crate::layout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storage {
    None,
    Data { size: u32 },
    Pointer,
}

/// A value of some type, which is kept beside it.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Void,
    Bool(bool),
    /// Of a signed type.
    Signed(i64),
    /// Of an unsigned type or an enum.
    Unsigned(u64),
    Float32(f32),
    Float64(f64),
    Text(Rc<[u8]>),
    Data(Rc<[u8]>),
    List(Rc<ListValue>),
    Struct(Rc<StructValue>),
    /// A struct from a message that was embedded: one segment, whose first word points to it.
    Raw(Rc<[u64]>),
    /// No pointer: of an interface, or of what was left out of a struct.
    Null,
}

impl Value {
    /// The bits of a value that lies in the data section.
    pub(crate) fn bits(&self) -> u64 {
        match self {
            Value::Bool(value) => u64::from(*value),
            Value::Signed(value) => value.cast_unsigned(),
            Value::Unsigned(value) => *value,
            Value::Float32(value) => u64::from(value.to_bits()),
            Value::Float64(value) => value.to_bits(),
            _ => 0,
        }
    }
}

/// A list, and how its elements lie in it.
#[derive(Debug)]
pub(crate) struct ListValue {
    pub(crate) element: ElementLayout,
    pub(crate) values: Vec<Value>,
}

/// How the elements of a list lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ElementLayout {
    Plain(Storage),
    Struct { data_words: u16, pointers: u16 },
}

/// A struct as it is stored: fields with defaults hold the difference.
#[derive(Debug)]
pub(crate) struct StructValue {
    pub(crate) data: Vec<u64>,
    pub(crate) pointers: Vec<Value>,
}

/// A struct, as far as its layout and the types of its fields go.
#[derive(Debug)]
pub(crate) struct StructShape {
    pub(crate) data_words: u16,
    pub(crate) pointers: u16,
    /// The struct itself, and its groups, named unions being groups; each behind the one that it is in.
    pub(crate) groups: Vec<Group>,
}

/// A struct itself or one of its groups.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) id: u64,
    /// The group that it is in; `None` for the struct itself.
    pub(crate) parent: Option<usize>,
    pub(crate) declaration: Option<DeclarationId>,
    /// How many of its fields are in its unnamed union.
    pub(crate) discriminants: u16,
    /// In units of 16 bits.
    pub(crate) discriminant_offset: u32,
    /// In the order of their ordinals.
    pub(crate) fields: Vec<Field>,
}

/// A field of a struct or a group.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) declaration: DeclarationId,
    pub(crate) name: Name,
    /// Where it stands among the others of its scope in the text.
    pub(crate) code_order: u16,
    /// In the unnamed union of its scope, if it is in it.
    pub(crate) discriminant: Option<u16>,
    pub(crate) ordinal: Option<u16>,
    pub(crate) kind: FieldKind,
}

/// What a field is.
#[derive(Debug)]
pub(crate) enum FieldKind {
    /// `offset` counts values of the field's size.
    Slot { offset: u32, ty: Type },
    /// The group at this index.
    Group(usize),
}
