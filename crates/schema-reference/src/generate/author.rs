//! Decides what a set of schemas declares.

use super::parts::Counter;
use super::types::{Purpose, Type};
use super::world::{Aliased, Declaration, Id, Kind, Member, MemberKind, Method, Signature, World};

/// Where annotations can be applied, in the words of the language.
const TARGETS: [&str; 12] = [
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

/// Writes schemas, all of whose choices come from one seed.
pub(super) struct Author {
    pub(super) random: fastrand::Rng,
    pub(super) world: World,
    pub(super) counter: Counter,
    /// Constants from this on must not be named: their values may name what is being written.
    pub(super) constants_below: Id,
    /// The same for annotations, which can be annotated themselves.
    pub(super) annotations_below: Id,
}

impl Author {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            world: World::default(),
            counter: Counter::default(),
            constants_below: Id::MAX,
            annotations_below: Id::MAX,
        }
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.usize(..choices.len())]
    }

    /// True once in `n` times.
    pub(super) fn once_in(&mut self, n: u32) -> bool {
        self.random.u32(0..n) == 0
    }

    /// Declares everything, files called after `name`.
    pub(super) fn declare(&mut self, name: &str) {
        let files = self.one_of(&[1, 1, 1, 2, 2, 3]);
        for index in 0..files {
            self.declare_in(None, format!("{name}_{index}.capnp"), Kind::File);
        }
        for file in self.world.files.clone() {
            for other in self.world.files.clone() {
                if other != file && self.random.bool() {
                    self.declare_in(Some(file), format!("File{other}"), Kind::Alias(Aliased::File(other)));
                }
            }
            for number in 0..self.random.u32(1..7) {
                self.declare_any(file, number, 3);
            }
        }
        // Types can name what comes later, so that they are chosen when all is there.
        for id in 0..self.world.declarations.len() {
            self.decide(id);
        }
    }

    fn declare_in(&mut self, parent: Option<Id>, name: String, kind: Kind) -> Id {
        let (children, parameters) = (Vec::new(), Vec::new());
        self.world.add(Declaration { name, parent, children, parameters, kind })
    }

    fn declare_any(&mut self, parent: Id, number: u32, depth: u32) {
        let placeholder = Type::Plain("Void");
        let kind = match self.random.u32(0..100) {
            0..55 => Kind::Struct(Vec::new()),
            55..65 => Kind::Enum(Vec::new()),
            65..76 => Kind::Interface { superclasses: Vec::new(), methods: Vec::new() },
            76..84 => Kind::Constant(placeholder),
            84..93 => Kind::Annotation { value: placeholder, targets: Vec::new() },
            _ => Kind::Alias(Aliased::Type(placeholder)),
        };
        // Scopes reuse names, so that some hide others.
        let name = match kind {
            Kind::Constant(_) | Kind::Annotation { .. } => format!("thing{number}"),
            _ => format!("{}{number}", self.one_of(&["Type", "Type", "VeryLongNameOfAType", "HTTPType"])),
        };
        let is_scope = matches!(kind, Kind::Struct(_) | Kind::Interface { .. });
        let id = self.declare_in(Some(parent), name, kind);
        if !is_scope {
            return;
        }
        if self.once_in(6) {
            let parameters = ["T", "U", "Key"].map(str::to_owned);
            self.world.declarations[id].parameters = parameters[..self.random.usize(1..=3)].to_vec();
        }
        if depth > 0 {
            for number in 0..self.one_of(&[0, 0, 0, 1, 1, 2, 3]) {
                self.declare_any(id, number, depth - 1);
            }
        }
    }

    fn decide(&mut self, id: Id) {
        let at = self.world.get(id).parent.unwrap_or(id);
        let kind = match &self.world.get(id).kind {
            Kind::File | Kind::Alias(Aliased::File(_)) => return,
            Kind::Struct(_) => {
                let fields = match self.random.u32(0..20) {
                    0 => self.random.u32(20..70),
                    1..6 => self.random.u32(8..20),
                    _ => self.random.u32(0..8),
                };
                let mut budget = Budget { fields, name: 0 };
                let mut members = Vec::new();
                let mut may_unite = true;
                while budget.fields > 0 {
                    members.push(self.member(id, &mut budget, &mut may_unite, 3));
                }
                Kind::Struct(members)
            }
            Kind::Enum(_) => {
                let count = self.one_of(&[1, 2, 3, 5, 12]);
                Kind::Enum((0..count).map(|number| format!("value{number}")).collect())
            }
            Kind::Interface { .. } => {
                let superclasses = self.superclasses(id);
                let count = self.random.u32(0..5);
                let methods = (0..count).map(|number| self.method(id, number)).collect();
                Kind::Interface { superclasses, methods }
            }
            Kind::Constant(_) => Kind::Constant(self.any_type(at, Purpose::Value, &[], 2)),
            Kind::Annotation { .. } => {
                let mut targets = vec!["*"];
                if !self.once_in(3) {
                    targets = TARGETS.to_vec();
                    self.random.shuffle(&mut targets);
                    targets.truncate(self.random.usize(1..6));
                }
                Kind::Annotation { value: self.any_type(at, Purpose::Value, &[], 1), targets }
            }
            Kind::Alias(Aliased::Type(_)) => Kind::Alias(Aliased::Type(self.aliased(at))),
        };
        self.world.declarations[id].kind = kind;
    }

    /// Something with a name of its own, or else the text of the language.
    fn aliased(&mut self, at: Id) -> Type {
        let candidates: Vec<_> = (0..self.world.declarations.len())
            .filter(|id| {
                matches!(self.world.get(*id).kind, Kind::Struct(_) | Kind::Enum(_) | Kind::Interface { .. })
            })
            .collect();
        match candidates.len() {
            0 => Type::Plain("Text"),
            count => {
                let target = candidates[self.random.usize(..count)];
                Type::Named(self.bound(target, at, &[], 1))
            }
        }
    }

    /// Interfaces that come before `id`, so that none inherits from itself.
    fn superclasses(&mut self, id: Id) -> Vec<Type> {
        let mut candidates: Vec<_> =
            (0..id).filter(|id| matches!(self.world.get(*id).kind, Kind::Interface { .. })).collect();
        self.random.shuffle(&mut candidates);
        candidates.truncate(self.one_of(&[0, 1, 1, 2]));
        candidates.into_iter().map(|superclass| Type::Named(self.bound(superclass, id, &[], 1))).collect()
    }

    fn method(&mut self, id: Id, number: u32) -> Method {
        let implicit: Vec<_> = if self.once_in(5) {
            ["X", "Y"][..self.random.usize(1..=2)].iter().map(|name| (*name).to_owned()).collect()
        } else {
            Vec::new()
        };
        let parameters = self.signature(id, &implicit);
        let results = match self.random.u32(0..8) {
            0 => None,
            1 => Some(Signature::Stream),
            _ => Some(self.signature(id, &implicit)),
        };
        let key = self.random.u64(..);
        Method { name: format!("method{number}"), key, implicit, parameters, results }
    }

    fn signature(&mut self, id: Id, implicit: &[String]) -> Signature {
        let structs: Vec<_> = (0..self.world.declarations.len())
            .filter(|id| matches!(self.world.get(*id).kind, Kind::Struct(_)))
            .collect();
        if !structs.is_empty() && self.once_in(3) {
            let target = structs[self.random.usize(..structs.len())];
            return Signature::Struct(Type::Named(self.bound(target, id, implicit, 1)));
        }
        let count = self.random.u32(0..5);
        Signature::List(
            (0..count)
                .map(|number| (format!("parameter{number}"), self.any_type(id, Purpose::Field, implicit, 2)))
                .collect(),
        )
    }

    /// A field, or several in a group or a union. `may_unite` says whether a union without a name has a place.
    fn member(&mut self, id: Id, budget: &mut Budget, may_unite: &mut bool, depth: u32) -> Member {
        match self.random.u32(0..20) {
            0 if depth > 0 && budget.fields > 0 => {
                let name = budget.name("group");
                Member { name, kind: MemberKind::Group(self.members(id, 1, budget, &mut true, depth - 1)) }
            }
            1 | 2 if depth > 0 && budget.fields > 1 => {
                // Members of a union without a name are in the scope around it.
                let is_named = !*may_unite || self.random.bool();
                let name = if is_named { budget.name("union") } else { String::new() };
                *may_unite &= is_named;
                let members = self.members(id, 2, budget, &mut false, depth - 1);
                // One without a name has no place for it.
                let key = (is_named && self.once_in(8)).then(|| self.key_of_union(&members));
                Member { name, kind: MemberKind::Union { members, key } }
            }
            _ => {
                budget.fields = budget.fields.saturating_sub(1);
                let ty = self.any_type(id, Purpose::Field, &[], 2);
                Member {
                    name: budget.name("field"),
                    kind: MemberKind::Field { ty, key: self.random.u64(..) },
                }
            }
        }
    }

    /// `least` members or more. Their names differ from those around them, which is more than the language asks for.
    fn members(
        &mut self,
        id: Id,
        least: usize,
        budget: &mut Budget,
        may_unite: &mut bool,
        depth: u32,
    ) -> Vec<Member> {
        let count = least + self.random.usize(0..4);
        let mut members = Vec::new();
        while members.len() < least || (members.len() < count && budget.fields > 0) {
            members.push(self.member(id, budget, may_unite, depth));
        }
        members
    }

    /// A union may come after one of its members at most; and where it does, the reference fails by itself unless that
    /// member is the last before it.
    fn key_of_union(&mut self, members: &[Member]) -> u64 {
        let mut keys = Vec::new();
        keys_of(members, &mut keys);
        let first = keys.into_iter().min().unwrap_or(1).clamp(1, u64::MAX - 1);
        if self.random.bool() { first + 1 } else { self.random.u64(..first) }
    }
}

fn keys_of(members: &[Member], keys: &mut Vec<u64>) {
    for member in members {
        match &member.kind {
            MemberKind::Field { key, .. } => keys.push(*key),
            MemberKind::Group(members) => keys_of(members, keys),
            MemberKind::Union { members, key } => {
                keys.extend(*key);
                keys_of(members, keys);
            }
        }
    }
}

/// How many fields a struct has left, and the next number of a name.
struct Budget {
    fields: u32,
    name: u32,
}

impl Budget {
    fn name(&mut self, what: &str) -> String {
        self.name += 1;
        format!("{what}{}", self.name)
    }
}
