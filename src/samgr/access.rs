//! Who may see and register what.

use vatmux_noise::NodeId;
use vatmux_rpc::Directory;

use super::name::{Name, Prefix};

/// What may be done with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// It may be seen: resolved, waited for, listed and watched.
    See,
    /// It may be seen and registered.
    Register,
}

/// Which names somebody may see and register: none, unless it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    rules: Vec<(Names, Right)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    One(Name),
    All(Prefix),
}

impl Access {
    /// Nothing at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything may be seen, nothing registered.
    #[must_use]
    pub fn see_all() -> Self {
        Self::none().and(Prefix::default(), Right::See)
    }

    /// Everything.
    #[must_use]
    pub fn full() -> Self {
        Self::none().and(Prefix::default(), Right::Register)
    }

    /// This, and all names that begin with `prefix`.
    #[must_use]
    pub fn and(mut self, prefix: Prefix, right: Right) -> Self {
        self.rules.push((Names::All(prefix), right));
        self
    }

    /// This, and one more name.
    #[must_use]
    pub fn and_only(mut self, name: Name, right: Right) -> Self {
        self.rules.push((Names::One(name), right));
        self
    }

    /// What may be done with a name.
    #[must_use]
    pub fn of(&self, name: &Name) -> Option<Right> {
        let fits = |names: &Names| match names {
            Names::One(one) => one == name,
            Names::All(prefix) => prefix.begins(name),
        };
        self.rules.iter().filter(|(names, _)| fits(names)).map(|(_, right)| *right).max()
    }
}

/// What one peer sees: what its access says, but for those of the node's own services that it is not permitted.
#[derive(Clone)]
pub(super) struct View {
    access: Access,
    directory: Directory,
    peer: NodeId,
}

impl View {
    pub(super) fn new(access: Access, directory: Directory, peer: NodeId) -> Self {
        Self { access, directory, peer }
    }

    pub(super) fn sees(&self, name: &Name) -> bool {
        match self.access.of(name) {
            Some(Right::See | Right::Register) => !self.directory.hides(name.as_str(), &self.peer),
            None => false,
        }
    }

    pub(super) fn registers(&self, name: &Name) -> bool {
        match self.access.of(name) {
            Some(Right::Register) => true,
            Some(Right::See) | None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_given_that_was_not_said() {
        let name = |name: &str| name.parse::<Name>().unwrap();
        let prefix = |prefix: &str| prefix.parse::<Prefix>().unwrap();
        assert_eq!(Access::none().of(&name("a")), None);
        let access = Access::none()
            .and(prefix("board."), Right::See)
            .and(prefix("board.lid."), Right::Register)
            .and_only(name("clock"), Right::Register);
        assert_eq!(access.of(&name("board.fan")), Some(Right::See));
        assert_eq!(access.of(&name("board.lid.sensor")), Some(Right::Register));
        assert_eq!(access.of(&name("clock")), Some(Right::Register));
        for outside in ["board", "clocks", "cloc", "Board.fan", "x.board.fan"] {
            assert_eq!(access.of(&name(outside)), None, "{outside}");
        }
        assert_eq!(Access::see_all().of(&name("a")), Some(Right::See));
        assert_eq!(Access::full().of(&name("a")), Some(Right::Register));
    }
}
