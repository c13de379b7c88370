//! Nodes into a `CodeGeneratorRequest`.

use std::rc::Rc;

use capnp::message::{Builder, HeapAllocator, ReaderOptions};
use capnp::schema_capnp::{annotation, brand, code_generator_request, field, method, node, type_, value};

use crate::encode::{embedded, encode};
use crate::limits::VALUES;
use crate::model::{Bindings, Brand, Node, Type, Value};
use crate::nodes::{Body, OutAnnotation, OutField, OutFieldKind, OutFile, OutMethod, OutNode};

/// The version of the C++ tool that the request means the same as.
const VERSION: (u16, u8, u8) = (0, 9, 2);

/// The discriminant of a field that is in no union.
const NO_DISCRIMINANT: u16 = 0xffff;

/// Writes the request. `declared` are the nodes that types name.
pub(crate) fn write(
    nodes: &[OutNode],
    files: &[OutFile],
    declared: &[Node],
) -> capnp::Result<Builder<HeapAllocator>> {
    let mut message = Builder::new_default();
    let mut request = message.init_root::<code_generator_request::Builder<'_>>();
    let mut version = request.reborrow().init_capnp_version();
    version.set_major(VERSION.0);
    version.set_minor(VERSION.1);
    version.set_micro(VERSION.2);
    let writer = Writer { declared };
    let mut out = request.reborrow().init_nodes(nodes.len() as u32);
    for (index, node) in nodes.iter().enumerate() {
        writer.node(out.reborrow().get(index as u32), node)?;
    }
    let sources = nodes.iter().filter_map(|node| Some((node.id, node.source.as_ref()?)));
    let mut out = request.reborrow().init_source_info(sources.clone().count() as u32);
    for (index, (id, source)) in sources.enumerate() {
        let mut info = out.reborrow().get(index as u32);
        info.set_id(id);
        if !source.doc.is_empty() {
            info.set_doc_comment(capnp::text::Reader(&source.doc));
        }
        if let Some(members) = &source.members {
            let mut out = info.init_members(members.len() as u32);
            for (index, doc) in members.iter().enumerate() {
                if !doc.is_empty() {
                    out.reborrow().get(index as u32).set_doc_comment(capnp::text::Reader(doc));
                }
            }
        }
    }
    let mut out = request.init_requested_files(files.len() as u32);
    for (index, file) in files.iter().enumerate() {
        let mut requested = out.reborrow().get(index as u32);
        requested.set_id(file.id);
        requested.set_filename(&file.name);
        let mut out = requested.init_imports(file.imports.len() as u32);
        for (index, (id, name)) in file.imports.iter().enumerate() {
            let mut import = out.reborrow().get(index as u32);
            import.set_id(*id);
            import.set_name(name);
        }
    }
    Ok(message)
}

struct Writer<'a> {
    declared: &'a [Node],
}

impl Writer<'_> {
    fn id(&self, node: crate::model::NodeId) -> u64 {
        self.declared.get(node.0 as usize).map_or(0, |node| node.id)
    }

    fn node(&self, mut out: node::Builder<'_>, node: &OutNode) -> capnp::Result<()> {
        out.set_id(node.id);
        out.set_display_name(&node.display_name);
        out.set_display_name_prefix_length(node.prefix_length);
        out.set_scope_id(node.scope_id);
        out.set_is_generic(node.generic);
        if !node.parameters.is_empty() {
            names(out.reborrow().init_parameters(node.parameters.len() as u32), &node.parameters);
        }
        if let Some(nested) = &node.nested {
            let mut out = out.reborrow().init_nested_nodes(nested.len() as u32);
            for (index, (name, id)) in nested.iter().enumerate() {
                let mut nested = out.reborrow().get(index as u32);
                nested.set_name(&**name);
                nested.set_id(*id);
            }
        }
        if !node.annotations.is_empty() {
            self.annotations(
                out.reborrow().init_annotations(node.annotations.len() as u32),
                &node.annotations,
            )?;
        }
        match &node.body {
            Body::File => out.set_file(()),
            Body::Struct { data_words, pointers, is_group, discriminants, discriminant_offset, fields } => {
                let mut out = out.init_struct();
                out.set_data_word_count(*data_words);
                out.set_pointer_count(*pointers);
                out.set_preferred_list_encoding(capnp::schema_capnp::ElementSize::InlineComposite);
                out.set_is_group(*is_group);
                out.set_discriminant_count(*discriminants);
                out.set_discriminant_offset(*discriminant_offset);
                if !fields.is_empty() {
                    let mut out = out.init_fields(fields.len() as u32);
                    for (index, field) in fields.iter().enumerate() {
                        self.field(out.reborrow().get(index as u32), field)?;
                    }
                }
            }
            Body::Enum(enumerants) => {
                let mut out = out.init_enum().init_enumerants(enumerants.len() as u32);
                for (index, enumerant) in enumerants.iter().enumerate() {
                    let mut out = out.reborrow().get(index as u32);
                    out.set_name(&*enumerant.name);
                    out.set_code_order(enumerant.code_order);
                    if !enumerant.annotations.is_empty() {
                        let annotations = out.init_annotations(enumerant.annotations.len() as u32);
                        self.annotations(annotations, &enumerant.annotations)?;
                    }
                }
            }
            Body::Interface { methods, superclasses } => {
                let mut out = out.init_interface();
                let mut supers = out.reborrow().init_superclasses(superclasses.len() as u32);
                for (index, (id, brand)) in superclasses.iter().enumerate() {
                    let mut superclass = supers.reborrow().get(index as u32);
                    superclass.set_id(*id);
                    self.brand(brand, || superclass.init_brand())?;
                }
                let mut out = out.init_methods(methods.len() as u32);
                for (index, method) in methods.iter().enumerate() {
                    self.method(out.reborrow().get(index as u32), method)?;
                }
            }
            Body::Const { ty, value } => {
                let mut out = out.init_const();
                self.ty(out.reborrow().init_type(), ty)?;
                set_value(out.init_value(), ty, Some(value))?;
            }
            Body::Annotation { ty, targets } => {
                let mut out = out.init_annotation();
                self.ty(out.reborrow().init_type(), ty)?;
                // In the order of `syntax::TARGETS`.
                let has = |bit: u32| targets & (1 << bit) != 0;
                out.set_targets_file(has(0));
                out.set_targets_const(has(1));
                out.set_targets_enum(has(2));
                out.set_targets_enumerant(has(3));
                out.set_targets_struct(has(4));
                out.set_targets_field(has(5));
                out.set_targets_union(has(6));
                out.set_targets_group(has(7));
                out.set_targets_interface(has(8));
                out.set_targets_method(has(9));
                out.set_targets_param(has(10));
                out.set_targets_annotation(has(11));
            }
        }
        Ok(())
    }

    fn field(&self, mut out: field::Builder<'_>, field: &OutField) -> capnp::Result<()> {
        out.set_name(&*field.name);
        out.set_code_order(field.code_order);
        out.set_discriminant_value(field.discriminant.unwrap_or(NO_DISCRIMINANT));
        if !field.annotations.is_empty() {
            self.annotations(
                out.reborrow().init_annotations(field.annotations.len() as u32),
                &field.annotations,
            )?;
        }
        match field.ordinal {
            Some(ordinal) => out.reborrow().init_ordinal().set_explicit(ordinal),
            None => out.reborrow().init_ordinal().set_implicit(()),
        }
        match &field.kind {
            OutFieldKind::Group(id) => out.init_group().set_type_id(*id),
            OutFieldKind::Slot { offset, ty, default } => {
                let mut out = out.init_slot();
                out.set_offset(*offset);
                out.set_had_explicit_default(default.is_some());
                self.ty(out.reborrow().init_type(), ty)?;
                set_value(out.init_default_value(), ty, default.as_ref())?;
            }
        }
        Ok(())
    }

    fn method(&self, mut out: method::Builder<'_>, method: &OutMethod) -> capnp::Result<()> {
        out.set_name(&*method.name);
        out.set_code_order(method.code_order);
        names(out.reborrow().init_implicit_parameters(method.implicit.len() as u32), &method.implicit);
        out.set_param_struct_type(method.parameters.0);
        self.brand(&method.parameters.1, || out.reborrow().init_param_brand())?;
        out.set_result_struct_type(method.results.0);
        self.brand(&method.results.1, || out.reborrow().init_result_brand())?;
        if !method.annotations.is_empty() {
            self.annotations(out.init_annotations(method.annotations.len() as u32), &method.annotations)?;
        }
        Ok(())
    }

    fn annotations(
        &self,
        mut out: capnp::struct_list::Builder<'_, annotation::Owned>,
        annotations: &[OutAnnotation],
    ) -> capnp::Result<()> {
        for (index, annotation) in annotations.iter().enumerate() {
            let mut out = out.reborrow().get(index as u32);
            out.set_id(annotation.id);
            self.scopes(&annotation.brand, out.reborrow().init_brand())?;
            set_value(out.init_value(), &annotation.ty, Some(&annotation.value))?;
        }
        Ok(())
    }

    /// Writes a brand where it says something; without it, all parameters are unbound.
    fn brand<'a>(&self, brand: &Rc<Brand>, out: impl FnOnce() -> brand::Builder<'a>) -> capnp::Result<()> {
        if brand.stated().next().is_some() { self.scopes(brand, out()) } else { Ok(()) }
    }

    fn scopes(&self, brand: &Brand, out: brand::Builder<'_>) -> capnp::Result<()> {
        let count = brand.stated().count();
        if count == 0 {
            return Ok(());
        }
        let mut out = out.init_scopes(count as u32);
        for (index, scope) in brand.stated().enumerate() {
            let mut out = out.reborrow().get(index as u32);
            out.set_scope_id(scope.scope);
            match &scope.bindings {
                Bindings::Inherited | Bindings::Unbound => out.set_inherit(()),
                Bindings::To(types) => {
                    let mut out = out.init_bind(types.len() as u32);
                    for (index, ty) in types.iter().enumerate() {
                        self.ty(out.reborrow().get(index as u32).init_type(), ty)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn ty(&self, mut out: type_::Builder<'_>, ty: &Type) -> capnp::Result<()> {
        match ty {
            Type::Void => out.set_void(()),
            Type::Bool => out.set_bool(()),
            Type::Int8 => out.set_int8(()),
            Type::Int16 => out.set_int16(()),
            Type::Int32 => out.set_int32(()),
            Type::Int64 => out.set_int64(()),
            Type::UInt8 => out.set_uint8(()),
            Type::UInt16 => out.set_uint16(()),
            Type::UInt32 => out.set_uint32(()),
            Type::UInt64 => out.set_uint64(()),
            Type::Float32 => out.set_float32(()),
            Type::Float64 => out.set_float64(()),
            Type::Text => out.set_text(()),
            Type::Data => out.set_data(()),
            Type::AnyPointer => out.init_any_pointer().init_unconstrained().set_any_kind(()),
            Type::AnyStruct => out.init_any_pointer().init_unconstrained().set_struct(()),
            Type::AnyList => out.init_any_pointer().init_unconstrained().set_list(()),
            Type::Capability => out.init_any_pointer().init_unconstrained().set_capability(()),
            Type::List(element) => self.ty(out.init_list().init_element_type(), element)?,
            Type::Enum { node, brand } => {
                let mut out = out.init_enum();
                out.set_type_id(self.id(*node));
                self.brand(brand, || out.init_brand())?;
            }
            Type::Struct { node, brand } => {
                let mut out = out.init_struct();
                out.set_type_id(self.id(*node));
                self.brand(brand, || out.init_brand())?;
            }
            Type::Interface { node, brand } => {
                let mut out = out.init_interface();
                out.set_type_id(self.id(*node));
                self.brand(brand, || out.init_brand())?;
            }
            Type::Parameter { scope, index } => {
                let mut out = out.init_any_pointer().init_parameter();
                out.set_scope_id(*scope);
                out.set_parameter_index(*index);
            }
            Type::Implicit { index } => {
                out.init_any_pointer().init_implicit_method_parameter().set_parameter_index(*index);
            }
        }
        Ok(())
    }
}

fn names(mut out: capnp::struct_list::Builder<'_, node::parameter::Owned>, names: &[Rc<str>]) {
    for (index, name) in names.iter().enumerate() {
        out.reborrow().get(index as u32).set_name(&**name);
    }
}

/// Writes a value of type `ty`; `None` is what a field has that states no default.
fn set_value(mut out: value::Builder<'_>, ty: &Type, value: Option<&Value>) -> capnp::Result<()> {
    let bits = value.map_or(0, Value::bits);
    match ty {
        Type::Void => out.set_void(()),
        Type::Bool => out.set_bool(bits != 0),
        Type::Int8 => out.set_int8(bits as i8),
        Type::Int16 => out.set_int16(bits as i16),
        Type::Int32 => out.set_int32(bits as i32),
        Type::Int64 => out.set_int64(bits.cast_signed()),
        Type::UInt8 => out.set_uint8(bits as u8),
        Type::UInt16 => out.set_uint16(bits as u16),
        Type::UInt32 => out.set_uint32(bits as u32),
        Type::UInt64 => out.set_uint64(bits),
        Type::Float32 => out.set_float32(f32::from_bits(bits as u32)),
        Type::Float64 => out.set_float64(f64::from_bits(bits)),
        Type::Enum { .. } => out.set_enum(bits as u16),
        Type::Text => match value {
            Some(Value::Text(text)) => out.set_text(capnp::text::Reader(text)),
            _ => leave_null(out, "text")?,
        },
        Type::Data => match value {
            Some(Value::Data(data)) => out.set_data(data),
            _ => leave_null(out, "data")?,
        },
        Type::Interface { .. } => out.set_interface(()),
        Type::List(_) => set_pointer(out.init_list(), value)?,
        Type::Struct { .. } => set_pointer(out.init_struct(), value)?,
        Type::AnyPointer
        | Type::AnyStruct
        | Type::AnyList
        | Type::Capability
        | Type::Parameter { .. }
        | Type::Implicit { .. } => set_pointer(out.init_any_pointer(), value)?,
    }
    Ok(())
}

/// Makes a value one of `kind` without a pointer: what is not stated costs nothing.
fn leave_null(out: value::Builder<'_>, kind: &str) -> capnp::Result<()> {
    let value: capnp::dynamic_value::Builder<'_> = out.into();
    let mut value: capnp::dynamic_struct::Builder<'_> = value.downcast();
    value.clear_named(kind)
}

fn set_pointer(mut out: capnp::any_pointer::Builder<'_>, value: Option<&Value>) -> capnp::Result<()> {
    let Some(value) = value else { return Ok(()) };
    let words = encode(value);
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let segments = [&bytes[..]];
    let segments = capnp::message::SegmentArray::new(&segments);
    // The words are the compiler's own, whose depth and number have been bounded.
    let mut options = ReaderOptions::new();
    options.traversal_limit_in_words(None).nesting_limit(i32::MAX);
    let reader = capnp::message::Reader::new(segments, options);
    out.set_as::<capnp::any_pointer::Owned>(reader.get_root::<capnp::any_pointer::Reader<'_>>()?)
}

/// The root of an embedded message as one segment, its pointer first.
pub(crate) fn flatten_message(contents: &[u8]) -> Result<Rc<[u64]>, String> {
    let mut options = ReaderOptions::new();
    options.traversal_limit_in_words(Some(VALUES));
    let mut rest = contents;
    let reader = capnp::serialize::read_message_from_flat_slice(&mut rest, options)
        .map_err(|error| error.to_string())?;
    let root = reader.get_root::<capnp::any_pointer::Reader<'_>>().map_err(|error| error.to_string())?;
    let size = root.target_size().map_err(|error| error.to_string())?;
    if size.cap_count > 0 {
        return Err("it has capabilities in it".into());
    }
    let words = u32::try_from(size.word_count + 1).map_err(|error| error.to_string())?;
    let mut copy = Builder::new(HeapAllocator::new().first_segment_words(words));
    copy.set_root::<capnp::any_pointer::Owned>(root).map_err(|error| error.to_string())?;
    match &copy.get_segments_for_output()[..] {
        [segment] => embedded(segment),
        _ => Err("it does not fit in one segment".into()),
    }
}
