//! Structs, enums and interfaces: their members in order, and where the fields of structs lie.

use std::collections::HashMap;
use std::rc::Rc;

use crate::compiler::Compiler;
use crate::diagnostics::{Kind as ErrorKind, Report};
use crate::ids;
use crate::layout::{Layout, SpaceId, UnionId};
use crate::limits::LAYOUT_STEPS;
use crate::model::{Field, FieldKind, Group, NodeId, Storage, StructShape, Type};
use crate::names::Name;
use crate::resolve::Scope;
use crate::source::{FileId, Place, Span};
use crate::syntax::{DeclarationId, File, Kind, Number};

/// The largest number of a member.
const LARGEST_ORDINAL: u64 = 65534;

/// The enumerants of an enum.
#[derive(Debug)]
pub(crate) struct EnumShape {
    /// In the order of their numbers, each with its position in the text.
    pub(crate) enumerants: Vec<(DeclarationId, u16)>,
    pub(crate) by_name: HashMap<Name, u16>,
}

/// Of what a field is a part.
#[derive(Clone, Copy)]
enum Container {
    Space(SpaceId),
    Union(UnionId),
}

/// A group while its struct is laid out.
struct Draft {
    group: Group,
    name: Name,
    code_order: u16,
    members: u16,
    container: Container,
    union: Option<UnionId>,
    ordinal: Option<u16>,
    placed: bool,
}

/// Something with a number.
struct Item {
    ordinal: Number,
    declaration: DeclarationId,
    kind: ItemKind,
}

enum ItemKind {
    Field { group: usize, code_order: u16, container: Container, name: Name },
    Discriminant { group: usize, union: UnionId },
}

struct Shaping<'a> {
    file: &'a File,
    file_id: FileId,
    layout: Layout,
    drafts: Vec<Draft>,
    items: Vec<Item>,
    /// How many members of each union have their discriminant.
    discriminants: HashMap<usize, u16>,
    incomplete: bool,
}

impl Compiler<'_> {
    /// The shape of a struct that is a node.
    pub(crate) fn shape(&mut self, node: NodeId) -> Rc<StructShape> {
        if let Some(shape) = self.shapes.get(&node) {
            return Rc::clone(shape);
        }
        let this = *self.node(node);
        let scope = self.scope_of(node);
        let file = self.file(this.file);
        let members = &file.declaration(this.declaration).children;
        let shape = Rc::new(self.lay_out(&scope, this.id, Some(this.declaration), members));
        self.shapes.insert(node, Rc::clone(&shape));
        shape
    }

    /// Lays out a struct with the id `id` and the members in `members`: those of `declaration`, or, if there is none,
    /// those of a list of parameters, whose numbers are their positions.
    pub(crate) fn lay_out(
        &mut self,
        scope: &Scope,
        id: u64,
        declaration: Option<DeclarationId>,
        members: &[DeclarationId],
    ) -> StructShape {
        let file = self.file(scope.file);
        let layout = Layout::new(LAYOUT_STEPS.saturating_sub(self.layout_steps));
        let top = Container::Space(Layout::TOP);
        let draft = Draft {
            group: Group {
                id,
                parent: None,
                declaration,
                discriminants: 0,
                discriminant_offset: 0,
                fields: Vec::new(),
            },
            name: self.empty_name,
            code_order: 0,
            members: 0,
            container: top,
            union: None,
            ordinal: None,
            placed: true,
        };
        let incomplete = declaration.is_some_and(|declaration| file.declaration(declaration).incomplete);
        let mut shaping = Shaping {
            file: &file,
            file_id: scope.file,
            layout,
            drafts: vec![draft],
            items: Vec::new(),
            discriminants: HashMap::new(),
            incomplete,
        };
        self.gather(&mut shaping, members, 0, top, declaration.is_none());
        let mut items = std::mem::take(&mut shaping.items);
        items.sort_by_key(|item| item.ordinal.value);
        let numbers: Vec<Number> = items.iter().map(|item| item.ordinal).collect();
        let usable = self.check_ordinals(scope.file, &numbers, shaping.incomplete, "field");
        for (item, usable) in items.into_iter().zip(usable) {
            if usable {
                self.place(scope, &mut shaping, &item);
            }
        }
        let Shaping { layout, mut drafts, .. } = shaping;
        self.layout_steps += layout.steps;
        if layout.is_exhausted() {
            let span = declaration.map_or(Span::default(), |declaration| file.declaration(declaration).span);
            let message = "the unions of this struct take too long to lay out".into();
            let label = format!("looked at {LAYOUT_STEPS} places for members of unions in this run");
            let help = Some("a struct with so many members is better divided into several".into());
            let kind = ErrorKind::Limit;
            self.report(scope.file, Report { kind, span, message, label, help, ..Report::default() });
        }
        for draft in &mut drafts {
            draft.group.discriminant_offset =
                draft.union.and_then(|union| layout.discriminant(union)).unwrap_or_default();
        }
        let (data_words, pointers) = (u16::try_from(layout.data_words), u16::try_from(layout.pointers));
        if data_words.is_err() || pointers.is_err() {
            let span = declaration.map_or(Span::default(), |declaration| file.declaration(declaration).span);
            let message = "this struct is larger than a struct can be".into();
            let label = format!(
                "{} words of data and {} pointers; 65535 of each fit",
                layout.data_words, layout.pointers
            );
            self.report(
                scope.file,
                Report { kind: ErrorKind::Limit, span, message, label, ..Report::default() },
            );
        }
        StructShape {
            data_words: data_words.unwrap_or_default(),
            pointers: pointers.unwrap_or_default(),
            groups: drafts.into_iter().map(|draft| draft.group).collect(),
        }
    }

    /// Collects the fields among `members`, which belong to the group `group`.
    fn gather(
        &mut self,
        shaping: &mut Shaping<'_>,
        members: &[DeclarationId],
        group: usize,
        container: Container,
        positional: bool,
    ) {
        let file = shaping.file;
        for (index, id) in members.iter().enumerate() {
            let member = file.declaration(*id);
            shaping.incomplete |= member.incomplete;
            let code_order = shaping.drafts[group].members;
            match &member.kind {
                Kind::Field { .. } => {
                    let Some(named) = member.name else { continue };
                    let position = Number { value: index as u64, span: named.span };
                    let Some(ordinal) = member.ordinal.or(positional.then_some(position)) else { continue };
                    shaping.drafts[group].members = code_order.saturating_add(1);
                    let kind = ItemKind::Field { group, code_order, container, name: named.name };
                    shaping.items.push(Item { ordinal, declaration: *id, kind });
                }
                Kind::Union if member.name.is_none() => {
                    // Where there cannot be one, that has been reported, and its members are missing.
                    let (Container::Space(space), None) = (container, shaping.drafts[group].union) else {
                        shaping.incomplete = true;
                        continue;
                    };
                    let union = shaping.layout.add_union(space);
                    shaping.drafts[group].union = Some(union);
                    self.gather(shaping, &member.children, group, Container::Union(union), false);
                    self.check_union(shaping, *id);
                }
                Kind::Union | Kind::Group => {
                    let Some(named) = member.name else { continue };
                    let space = match container {
                        Container::Space(space) => space,
                        Container::Union(union) => shaping.layout.add_member(union),
                    };
                    shaping.drafts[group].members = code_order.saturating_add(1);
                    let is_union = matches!(member.kind, Kind::Union);
                    let union = is_union.then(|| shaping.layout.add_union(space));
                    let inner = shaping.drafts.len();
                    shaping.drafts.push(Draft {
                        group: Group {
                            id: 0,
                            parent: Some(group),
                            declaration: Some(*id),
                            discriminants: 0,
                            discriminant_offset: 0,
                            fields: Vec::new(),
                        },
                        name: named.name,
                        code_order,
                        members: 0,
                        container,
                        union,
                        ordinal: member.ordinal.and_then(|ordinal| u16::try_from(ordinal.value).ok()),
                        placed: false,
                    });
                    if let (Some(ordinal), Some(union)) = (member.ordinal, union) {
                        let kind = ItemKind::Discriminant { group: inner, union };
                        shaping.items.push(Item { ordinal, declaration: *id, kind });
                    }
                    let container = union.map_or(Container::Space(space), Container::Union);
                    self.gather(shaping, &member.children, inner, container, false);
                    if is_union {
                        self.check_union(shaping, *id);
                    } else if member.children.is_empty() && !member.incomplete {
                        let message = "a group has at least one member".into();
                        self.report_members(
                            shaping.file_id,
                            member.span,
                            message,
                            "this one has none".into(),
                        );
                    }
                }
                _ => {}
            }
        }
    }

    fn check_union(&mut self, shaping: &Shaping<'_>, id: DeclarationId) {
        let union = shaping.file.declaration(id);
        if union.children.len() < 2 && !union.incomplete {
            let message = "a union has at least two members".into();
            let label = format!("this one has {}", union.children.len());
            self.report_members(shaping.file_id, union.span, message, label);
        }
    }

    fn report_members(&mut self, file: FileId, span: Span, message: String, label: String) {
        self.report(file, Report { kind: ErrorKind::Members, span, message, label, ..Report::default() });
    }

    /// Reports numbers that are missing, double or too large among `numbers`, which are sorted. Which of them can be
    /// used.
    pub(crate) fn check_ordinals(
        &mut self,
        file: FileId,
        numbers: &[Number],
        incomplete: bool,
        what: &str,
    ) -> Vec<bool> {
        let mut next = 0_u64;
        let mut last: Option<Number> = None;
        let mut usable = Vec::with_capacity(numbers.len());
        for number in numbers {
            let (value, span) = (number.value, number.span);
            let mut related = Vec::new();
            let problem = if value > LARGEST_ORDINAL {
                Some((
                    format!("the number of a {what} is at most {LARGEST_ORDINAL}"),
                    "too large".to_owned(),
                    None,
                ))
            } else if let Some(first) = last.filter(|last| last.value == value) {
                related.push((Place { file, span: first.span }, format!("@{value} is first used here")));
                Some((format!("@{value} is used twice"), "used again here".to_owned(), None))
            } else if value > next && !incomplete {
                let missing =
                    if value == next + 1 { format!("@{next}") } else { format!("@{next} to @{}", value - 1) };
                let help = "numbers start at @0 and leave none out: each is given once, in the order in which the \
                            schema grew";
                let message = format!("{missing} is missing before @{value}");
                Some((message, format!("expected @{next}"), Some(help.to_owned())))
            } else {
                None
            };
            let duplicate = !related.is_empty();
            if let Some((message, label, help)) = problem {
                self.report(file, Report { kind: ErrorKind::Ordinal, span, message, label, help, related });
            }
            usable.push(value <= LARGEST_ORDINAL && !duplicate);
            if value <= LARGEST_ORDINAL {
                next = value + 1;
            }
            if !duplicate {
                last = Some(*number);
            }
        }
        usable
    }

    fn place(&mut self, scope: &Scope, shaping: &mut Shaping<'_>, item: &Item) {
        match item.kind {
            ItemKind::Discriminant { group, union } => {
                shaping.touch(group);
                if !shaping.layout.place_discriminant(union) {
                    let kind = ErrorKind::Ordinal;
                    let message = "the number of a union is at most that of its second member".into();
                    let label = "two members have smaller numbers".into();
                    let help = "a field can be put into a union later, together with new ones: only that one has a \
                                smaller number than the union";
                    let help = Some(help.into());
                    let span = item.ordinal.span;
                    self.report(scope.file, Report { kind, span, message, label, help, ..Report::default() });
                }
            }
            ItemKind::Field { group, code_order, container, name } => {
                shaping.touch(group);
                let Kind::Field { ty, .. } = shaping.file.declaration(item.declaration).kind else { return };
                // What is no type has been reported, and takes no room.
                let ty = self.resolve_type(scope, ty).unwrap_or(Type::Void);
                let space = match container {
                    Container::Space(space) => space,
                    Container::Union(union) => shaping.layout.add_member(union),
                };
                let offset = match ty.storage() {
                    Storage::None => {
                        shaping.layout.place_void(space);
                        0
                    }
                    Storage::Data { size } => shaping.layout.place_data(space, size),
                    Storage::Pointer => shaping.layout.place_pointer(space),
                };
                let discriminant = shaping.discriminant(group, container);
                let field = Field {
                    declaration: item.declaration,
                    name,
                    code_order,
                    discriminant,
                    ordinal: u16::try_from(item.ordinal.value).ok(),
                    kind: FieldKind::Slot { offset, ty },
                };
                shaping.drafts[group].group.fields.push(field);
            }
        }
    }

    /// The shape of an enum.
    pub(crate) fn enum_shape(&mut self, node: NodeId) -> Rc<EnumShape> {
        if let Some(shape) = self.enum_shapes.get(&node) {
            return Rc::clone(shape);
        }
        let this = *self.node(node);
        let file = self.file(this.file);
        let declaration = file.declaration(this.declaration);
        let mut enumerants: Vec<_> = declaration
            .children
            .iter()
            .enumerate()
            .filter_map(|(index, child)| Some((file.declaration(*child).ordinal?, *child, index as u16)))
            .collect();
        enumerants.sort_by_key(|(ordinal, ..)| ordinal.value);
        let numbers: Vec<Number> = enumerants.iter().map(|(ordinal, ..)| *ordinal).collect();
        let usable = self.check_ordinals(this.file, &numbers, declaration.incomplete, "enumerant");
        let by_name = enumerants
            .iter()
            .filter_map(|(ordinal, child, _)| {
                Some((file.declaration(*child).name?.name, u16::try_from(ordinal.value).ok()?))
            })
            .collect();
        let enumerants = enumerants.into_iter().zip(usable).filter(|(_, usable)| *usable);
        let enumerants = enumerants.map(|((_, child, index), _)| (child, index)).collect();
        let shape = Rc::new(EnumShape { enumerants, by_name });
        self.enum_shapes.insert(node, Rc::clone(&shape));
        shape
    }
}

impl Shaping<'_> {
    /// Gives the group its place among the fields of the group around it, when the first of its own is placed.
    fn touch(&mut self, group: usize) {
        if std::mem::replace(&mut self.drafts[group].placed, true) {
            return;
        }
        let Some(parent) = self.drafts[group].group.parent else { return };
        self.touch(parent);
        let discriminant = self.discriminant(parent, self.drafts[group].container);
        let index = self.drafts[parent].group.fields.len() as u16;
        let draft = &mut self.drafts[group];
        let Some(declaration) = draft.group.declaration else { return };
        let field = Field {
            declaration,
            name: draft.name,
            code_order: draft.code_order,
            discriminant,
            ordinal: draft.ordinal,
            kind: FieldKind::Group(group),
        };
        self.drafts[parent].group.fields.push(field);
        let id = ids::of_group(self.drafts[parent].group.id, index);
        self.drafts[group].group.id = id;
    }

    /// The discriminant of the next member of a union; `None` for what is in none.
    fn discriminant(&mut self, group: usize, container: Container) -> Option<u16> {
        let Container::Union(_) = container else { return None };
        let next = self.discriminants.entry(group).or_default();
        let discriminant = *next;
        *next = next.saturating_add(1);
        self.drafts[group].group.discriminants = *next;
        Some(discriminant)
    }
}
