//! Writes down what was decided.

use super::author::Author;
use super::parts::{Numbering, Text, Writer};
use super::types::Type;
use super::world::{Aliased, Id, Kind, Member, MemberKind, Method, Signature};

const COMMENTS: [&str; 7] = [
    "What it is.",
    "  indented, and with trailing space ",
    "",
    "grüße",
    "# twice",
    "@0 :Text; } {",
    "A longer line that says a thing or two about what stands before it, as people write them.",
];

impl Author {
    /// The text of a file.
    pub(super) fn write(&mut self, file: Id) -> Text {
        let mut writer = Writer::default();
        if self.once_in(3) {
            writer.text("# Before everything.\n\n");
        }
        let id = format!("@{:#018x};", self.random.u64(..) | 1 << 63);
        let id_first = !self.once_in(5);
        if id_first {
            writer.text(&id);
            self.comment(&mut writer, 0);
        }
        self.annotations(&mut writer, file, "file", Place::Statement);
        let mut children = self.world.get(file).children.clone();
        self.random.shuffle(&mut children);
        for child in children {
            self.declaration(&mut writer, child, 0);
        }
        if !id_first {
            writer.text(&id);
            writer.text("\n");
        }
        writer.finish()
    }

    fn declaration(&mut self, writer: &mut Writer, id: Id, depth: usize) {
        writer.begin(&mut self.counter);
        indent(writer, depth);
        let declaration = self.world.get(id);
        let at = declaration.parent.unwrap_or(id);
        let name = declaration.name.clone();
        match &declaration.kind {
            Kind::File => {}
            Kind::Struct(members) => {
                let members = members.clone();
                self.head(writer, "struct", id);
                self.annotations(writer, id, "struct", Place::Head);
                let numbering = self.counter.numbering();
                self.open(writer, depth);
                let mut nested = self.world.get(id).children.clone();
                for member in &members {
                    // What is declared inside stands anywhere among the members.
                    while !nested.is_empty() && self.once_in(4) {
                        let child = nested.swap_remove(self.random.usize(..nested.len()));
                        self.declaration(writer, child, depth + 1);
                    }
                    self.member_text(writer, member, id, numbering, depth + 1);
                }
                for child in nested {
                    self.declaration(writer, child, depth + 1);
                }
                self.close(writer, depth);
            }
            Kind::Enum(enumerants) => {
                let mut enumerants = enumerants.clone();
                self.random.shuffle(&mut enumerants);
                self.head(writer, "enum", id);
                self.annotations(writer, at, "enum", Place::Head);
                let numbering = self.counter.numbering();
                self.open(writer, depth);
                for name in enumerants {
                    writer.begin(&mut self.counter);
                    indent(writer, depth + 1);
                    writer.text(&format!("{name} @"));
                    let key = self.random.u64(..);
                    writer.ordinal(numbering, key);
                    self.annotations(writer, at, "enumerant", Place::Head);
                    self.end_statement(writer, depth + 1);
                    writer.end();
                }
                self.close(writer, depth);
            }
            Kind::Interface { .. } => self.interface(writer, id, depth),
            Kind::Constant(ty) => {
                let ty = ty.clone();
                let type_name = self.type_name(&ty, at);
                self.constants_below = id;
                // Every type of a constant has values.
                let value = self.value(&ty, at, 3).unwrap_or_else(|| "void".into());
                writer.text(&format!("const {name}{} : {type_name} = {value}", self.some_id()));
                self.annotations(writer, at, "const", Place::Head);
                self.constants_below = Id::MAX;
                self.end_statement(writer, depth);
            }
            Kind::Annotation { value, targets } => {
                let (value, targets) = (value.clone(), targets.join(", "));
                let type_name = self.type_name(&value, at);
                writer.text(&format!("annotation {name}{} ({targets}) : {type_name}", self.some_id()));
                self.annotations_below = id;
                self.annotations(writer, at, "annotation", Place::Head);
                self.annotations_below = Id::MAX;
                self.end_statement(writer, depth);
            }
            Kind::Alias(Aliased::File(file)) => {
                writer.text(&format!("using {name} = import \"{}\"", self.world.get(*file).name));
                self.end_statement(writer, depth);
            }
            Kind::Alias(Aliased::Type(ty)) => {
                let ty = ty.clone();
                let target = self.type_name(&ty, at);
                writer.text(&format!("using {name} = {target}"));
                self.end_statement(writer, depth);
            }
        }
        writer.end();
    }

    fn interface(&mut self, writer: &mut Writer, id: Id, depth: usize) {
        self.head(writer, "interface", id);
        let Kind::Interface { superclasses, .. } = &self.world.get(id).kind else { return };
        let superclasses = superclasses.clone();
        if !superclasses.is_empty() {
            let names: Vec<_> = superclasses.iter().map(|ty| self.type_name(ty, id)).collect();
            writer.begin(&mut self.counter);
            writer.text(&format!(" extends({})", names.join(", ")));
            writer.end();
        }
        self.annotations(writer, id, "interface", Place::Head);
        let numbering = self.counter.numbering();
        self.open(writer, depth);
        for child in self.world.get(id).children.clone() {
            self.declaration(writer, child, depth + 1);
        }
        let Kind::Interface { methods, .. } = &mut self.world.declarations[id].kind else { return };
        for method in std::mem::take(methods) {
            self.method_text(writer, &method, id, numbering, depth + 1);
        }
        self.close(writer, depth);
    }

    fn method_text(
        &mut self,
        writer: &mut Writer,
        method: &Method,
        id: Id,
        numbering: Numbering,
        depth: usize,
    ) {
        writer.begin(&mut self.counter);
        indent(writer, depth);
        writer.text(&format!("{} @", method.name));
        writer.ordinal(numbering, method.key);
        if !method.implicit.is_empty() {
            writer.text(&format!(" [{}]", method.implicit.join(", ")));
        }
        self.signature_text(writer, &method.parameters, id);
        if let Some(results) = &method.results {
            writer.begin(&mut self.counter);
            writer.text(" ->");
            self.signature_text(writer, results, id);
            writer.end();
        }
        self.annotations(writer, id, "method", Place::Head);
        self.end_statement(writer, depth);
        writer.end();
    }

    fn signature_text(&mut self, writer: &mut Writer, signature: &Signature, id: Id) {
        match signature {
            Signature::Stream => writer.text(" stream"),
            Signature::Struct(ty) => {
                let name = self.type_name(ty, id);
                writer.text(&format!(" {name}"));
            }
            Signature::List(parameters) => {
                writer.text(" (");
                for (index, (name, ty)) in parameters.iter().enumerate() {
                    let type_name = self.type_name(ty, id);
                    writer.text(&format!("{}{name} : {type_name}", if index > 0 { ", " } else { "" }));
                    self.default(writer, ty, id);
                    self.annotations(writer, id, "param", Place::Head);
                }
                writer.text(")");
            }
        }
    }

    fn member_text(
        &mut self,
        writer: &mut Writer,
        member: &Member,
        id: Id,
        numbering: Numbering,
        depth: usize,
    ) {
        writer.begin(&mut self.counter);
        indent(writer, depth);
        let name = &member.name;
        match &member.kind {
            MemberKind::Field { ty, key } => {
                writer.text(&format!("{name} @"));
                writer.ordinal(numbering, *key);
                let type_name = self.type_name(ty, id);
                writer.text(&format!(" : {type_name}"));
                self.default(writer, ty, id);
                self.annotations(writer, id, "field", Place::Head);
                self.end_statement(writer, depth);
            }
            MemberKind::Group(members) => {
                writer.text(&format!("{name} :group"));
                self.annotations(writer, id, "group", Place::Head);
                self.members_text(writer, members, id, numbering, depth);
            }
            MemberKind::Union { members, key } => {
                if name.is_empty() {
                    writer.text("union");
                } else {
                    writer.text(name);
                }
                if let Some(key) = key {
                    writer.begin(&mut self.counter);
                    writer.text(" @");
                    writer.ordinal(numbering, *key);
                    // As of old: such a number is no longer needed, and the mark says that it is meant.
                    writer.text("!");
                    writer.end();
                }
                if !name.is_empty() {
                    writer.text(" :union");
                    self.annotations(writer, id, "union", Place::Head);
                }
                self.members_text(writer, members, id, numbering, depth);
            }
        }
        writer.end();
    }

    fn members_text(
        &mut self,
        writer: &mut Writer,
        members: &[Member],
        id: Id,
        numbering: Numbering,
        depth: usize,
    ) {
        self.open(writer, depth);
        for member in members {
            self.member_text(writer, member, id, numbering, depth + 1);
        }
        self.close(writer, depth);
    }

    fn default(&mut self, writer: &mut Writer, ty: &Type, at: Id) {
        if self.once_in(3)
            && let Some(value) = self.value(ty, at, 2)
        {
            writer.begin(&mut self.counter);
            writer.text(&format!(" = {value}"));
            writer.end();
        }
    }

    /// Zero or more annotations that may stand here.
    fn annotations(&mut self, writer: &mut Writer, at: Id, target: &str, place: Place) {
        if !self.once_in(4) {
            return;
        }
        let mut candidates: Vec<_> = (0..self.world.declarations.len().min(self.annotations_below))
            .filter(|id| match &self.world.get(*id).kind {
                // The value of one that is of an enum, or of a struct, may lead back to what is annotated.
                Kind::Annotation { value: Type::Named(_), .. } if place == Place::Head && is_type(target) => {
                    false
                }
                Kind::Annotation { targets, .. } => {
                    targets.iter().any(|name| *name == "*" || *name == target)
                }
                _ => false,
            })
            .collect();
        self.random.shuffle(&mut candidates);
        candidates.truncate(self.one_of(&[1, 1, 2]));
        for id in candidates {
            let Kind::Annotation { value: ty, .. } = &self.world.get(id).kind else { continue };
            let ty = ty.clone();
            let Some(value) = self.value(&ty, at, 2) else { continue };
            writer.begin(&mut self.counter);
            let name = self.name(id, at, &[]);
            writer.text(if place == Place::Head { " $" } else { "$ " });
            writer.text(name.strip_prefix('.').map(|_| format!(" {name}")).as_deref().unwrap_or(&name));
            match value.as_str() {
                "void" => {}
                // The parentheses of a struct are those of the annotation.
                value if value.starts_with('(') => writer.text(value),
                value => writer.text(&format!("({value})")),
            }
            if place == Place::Statement {
                writer.text(";\n");
            }
            writer.end();
        }
    }

    /// The keyword, the name, the parameters and perhaps an id.
    fn head(&mut self, writer: &mut Writer, keyword: &str, id: Id) {
        let declaration = self.world.get(id);
        let text = format!("{keyword} {}", declaration.name);
        let parameters = declaration.parameters.join(", ");
        writer.text(&text);
        let id = self.some_id();
        writer.text(&id);
        if !parameters.is_empty() {
            writer.text(&format!(" ({parameters})"));
        }
    }

    fn some_id(&mut self) -> String {
        if self.once_in(6) { format!(" @{:#x}", self.random.u64(..) | 1 << 63) } else { String::new() }
    }

    fn open(&mut self, writer: &mut Writer, depth: usize) {
        writer.text(" {");
        self.comment(writer, depth + 1);
    }

    fn close(&mut self, writer: &mut Writer, depth: usize) {
        indent(writer, depth);
        writer.text("}");
        self.comment(writer, depth);
    }

    fn end_statement(&mut self, writer: &mut Writer, depth: usize) {
        writer.text(";");
        self.comment(writer, depth);
    }

    /// The end of a line, and perhaps a comment: behind the statement, below it, or apart from it.
    fn comment(&mut self, writer: &mut Writer, depth: usize) {
        if !self.once_in(4) {
            writer.text("\n");
            return;
        }
        writer.begin(&mut self.counter);
        let behind = self.random.bool();
        let lines = self.random.u32(1..4);
        let apart = self.once_in(5);
        if apart {
            writer.text("\n");
        }
        for line in 0..lines {
            if line > 0 || !behind {
                writer.text("\n");
                indent(writer, depth);
            }
            let words = self.one_of(&COMMENTS);
            let gap = self.one_of(&[" ", " ", "", "  "]);
            writer.text(&format!(" #{gap}{words}"));
        }
        writer.end();
        writer.text("\n");
        if self.once_in(3) {
            writer.text("\n");
        }
    }
}

/// Where an annotation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Between the head of a declaration and what follows.
    Head,
    /// For itself, about the file.
    Statement,
}

fn is_type(target: &str) -> bool {
    matches!(target, "struct" | "enum" | "enumerant" | "interface")
}

fn indent(writer: &mut Writer, depth: usize) {
    writer.text(&"  ".repeat(depth));
}
