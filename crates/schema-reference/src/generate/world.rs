//! What a set of schemas declares, and how one declaration names another.

use super::types::Type;

/// A declaration of a [`World`].
pub(super) type Id = usize;

/// Everything that files which import each other declare.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) declarations: Vec<Declaration>,
    /// The declarations that are files.
    pub(super) files: Vec<Id>,
}

#[derive(Debug)]
pub(super) struct Declaration {
    /// Of a file, how it is called on the command line.
    pub(super) name: String,
    /// `None` for a file.
    pub(super) parent: Option<Id>,
    pub(super) children: Vec<Id>,
    /// The names of its generic parameters.
    pub(super) parameters: Vec<String>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    File,
    Struct(Vec<Member>),
    Enum(Vec<String>),
    Interface { superclasses: Vec<Type>, methods: Vec<Method> },
    Constant(Type),
    Annotation { value: Type, targets: Vec<&'static str> },
    Alias(Aliased),
}

/// What `using` stands for.
#[derive(Debug)]
pub(super) enum Aliased {
    Type(Type),
    File(Id),
}

/// What stands between the braces of a struct, but for what is declared there.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) kind: MemberKind,
}

#[derive(Clone, Debug)]
pub(super) enum MemberKind {
    /// A field, and what orders it among the others.
    Field {
        ty: Type,
        key: u64,
    },
    Group(Vec<Member>),
    /// A union; without a name if that of the member is empty. It may have an ordinal of its own.
    Union {
        members: Vec<Member>,
        key: Option<u64>,
    },
}

#[derive(Debug)]
pub(super) struct Method {
    pub(super) name: String,
    pub(super) key: u64,
    /// Generic parameters of its own.
    pub(super) implicit: Vec<String>,
    pub(super) parameters: Signature,
    pub(super) results: Option<Signature>,
}

/// What goes into a method or comes out.
#[derive(Debug)]
pub(super) enum Signature {
    List(Vec<(String, Type)>),
    Struct(Type),
    Stream,
}

/// What a name means somewhere.
#[derive(Debug, PartialEq, Eq)]
enum Meaning {
    Declaration(Id),
    Parameter,
}

impl World {
    pub(super) fn add(&mut self, declaration: Declaration) -> Id {
        let id = self.declarations.len();
        if let Some(parent) = declaration.parent {
            self.declarations[parent].children.push(id);
        } else {
            self.files.push(id);
        }
        self.declarations.push(declaration);
        id
    }

    pub(super) fn get(&self, id: Id) -> &Declaration {
        &self.declarations[id]
    }

    /// A declaration and all that it is in, the file first.
    pub(super) fn path(&self, id: Id) -> Vec<Id> {
        let mut path: Vec<_> = std::iter::successors(Some(id), |id| self.get(*id).parent).collect();
        path.reverse();
        path
    }

    pub(super) fn file_of(&self, id: Id) -> Id {
        self.path(id)[0]
    }

    /// The generic parameters that can be named in `at`.
    pub(super) fn parameters_at(&self, at: Id) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for id in self.path(at) {
            names.extend(self.get(id).parameters.iter().map(String::as_str));
        }
        names.retain(|name| self.look_up(at, name) == Some(Meaning::Parameter));
        names
    }

    /// What a single name means in `at`.
    fn look_up(&self, at: Id, name: &str) -> Option<Meaning> {
        self.path(at).into_iter().rev().find_map(|scope| {
            let scope = self.get(scope);
            if scope.parameters.iter().any(|parameter| parameter == name) {
                return Some(Meaning::Parameter);
            }
            let mut children = scope.children.iter();
            children.find(|id| self.get(**id).name == name).map(|id| Meaning::Declaration(*id))
        })
    }

    /// Every way to name `target` in `at`: each a prefix, and the declarations whose names follow it with dots between.
    pub(super) fn ways(&self, at: Id, target: Id) -> Vec<(String, Vec<Id>)> {
        let path = self.path(target);
        let mut ways = Vec::new();
        if self.file_of(at) == path[0] {
            ways.push((".".to_owned(), path[1..].to_vec()));
            for start in 1..path.len() {
                let first = path[start];
                if self.look_up(at, &self.get(first).name) == Some(Meaning::Declaration(first)) {
                    ways.push((String::new(), path[start..].to_vec()));
                }
            }
        } else {
            let file = self.get(path[0]);
            ways.push((format!("import \"{}\".", file.name), path[1..].to_vec()));
            for alias in &self.get(self.file_of(at)).children {
                let declaration = self.get(*alias);
                let stands_for =
                    matches!(&declaration.kind, Kind::Alias(Aliased::File(id)) if *id == path[0]);
                if stands_for && self.look_up(at, &declaration.name) == Some(Meaning::Declaration(*alias)) {
                    ways.push((format!("{}.", declaration.name), path[1..].to_vec()));
                }
            }
        }
        ways
    }
}
