//! Messages by the layout that a schema gives them, where no code was generated for it.

use capnp::introspect::{Introspect, Type, TypeVariant};
use capnp::private::layout::{PointerBuilder, PointerReader, StructBuilder, StructReader, StructSize};
use capnp::struct_list;
use capnp::traits::{
    FromPointerBuilder, FromPointerReader, HasStructSize, IntoInternalStructReader, OwnedStruct, SetterInput,
};

/// A pointer in a message that is read.
pub(super) struct Pointer<'a>(pub(super) PointerReader<'a>);

impl<'a> FromPointerReader<'a> for Pointer<'a> {
    fn get_from_pointer(reader: &PointerReader<'a>, _: Option<&'a [capnp::Word]>) -> capnp::Result<Self> {
        Ok(Self(*reader))
    }
}

/// A pointer in a message that is written.
pub(super) struct Place<'a>(pub(super) PointerBuilder<'a>);

impl<'a> FromPointerBuilder<'a> for Place<'a> {
    fn init_pointer(builder: PointerBuilder<'a>, _: u32) -> Self {
        Self(builder)
    }

    fn get_from_pointer(builder: PointerBuilder<'a>, _: Option<&'a [capnp::Word]>) -> capnp::Result<Self> {
        Ok(Self(builder))
    }
}

/// Whatever struct: it says nothing of its layout.
pub(super) struct AnyStruct;

/// It, read.
pub(super) struct AnyReader<'a>(pub(super) StructReader<'a>);

/// It, written.
pub(super) struct AnyBuilder<'a>(pub(super) StructBuilder<'a>);

impl OwnedStruct for AnyStruct {
    type Reader<'a> = AnyReader<'a>;
    type Builder<'a> = AnyBuilder<'a>;
}

impl Introspect for AnyStruct {
    fn introspect() -> Type {
        TypeVariant::AnyPointer.into()
    }
}

impl<'a> From<StructReader<'a>> for AnyReader<'a> {
    fn from(reader: StructReader<'a>) -> Self {
        Self(reader)
    }
}

impl<'a> IntoInternalStructReader<'a> for AnyReader<'a> {
    fn into_internal_struct_reader(self) -> StructReader<'a> {
        self.0
    }
}

impl SetterInput<AnyStruct> for AnyReader<'_> {
    fn set_pointer_builder(
        mut builder: PointerBuilder<'_>,
        input: Self,
        canonicalize: bool,
    ) -> capnp::Result<()> {
        builder.set_struct(&input.0, canonicalize)
    }
}

impl<'a> From<StructBuilder<'a>> for AnyBuilder<'a> {
    fn from(builder: StructBuilder<'a>) -> Self {
        Self(builder)
    }
}

impl HasStructSize for AnyBuilder<'_> {
    /// Lists are made with their size before they are taken for lists of these: nothing is enlarged.
    const STRUCT_SIZE: StructSize = StructSize { data: 0, pointers: 0 };
}

/// A list of structs.
pub(super) type Structs<'a> = struct_list::Reader<'a, AnyStruct>;

/// A list of structs that is written.
pub(super) type StructsBuilder<'a> = struct_list::Builder<'a, AnyStruct>;
