//! Which symbolic links stay inside the tree that they are part of.

use std::fmt;

/// Why a link's target is not one that stays inside its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// It is absolute, or climbs above the root of the tree.
    LeavesTree,
    /// It climbs after it went down: through another link that may lead anywhere.
    ClimbsLate,
    /// It is empty or has a byte that no path has.
    Invalid,
}

impl fmt::Display for Escape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeavesTree => "it leads out of the tree",
            Self::ClimbsLate => "it climbs (`..`) behind a name, and so wherever a link leads",
            Self::Invalid => "it is empty, or has NUL or a backslash",
        })
    }
}

/// Checks the target of a link that lies `depth` directories below the root of a tree in which every
/// directory is a real one and every other link has passed this check.
///
/// Climbing is allowed at the beginning, where the directories climbed through are the real ones around the
/// link. After a name, that may be of another link, `..` is relative to wherever that one leads: `a/..` need
/// not be here.
pub(crate) fn check_target(target: &str, depth: usize) -> Result<(), Escape> {
    if target.is_empty() || target.bytes().any(|byte| matches!(byte, 0 | b'\\')) {
        return Err(Escape::Invalid);
    }
    if target.starts_with('/') {
        return Err(Escape::LeavesTree);
    }
    let mut climbed = 0;
    let mut went_down = false;
    for segment in target.split('/') {
        match segment {
            "" | "." => {}
            ".." if went_down => return Err(Escape::ClimbsLate),
            ".." => {
                climbed += 1;
                if climbed > depth {
                    return Err(Escape::LeavesTree);
                }
            }
            _ => went_down = true,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_may_point_anywhere_inside_its_tree() {
        for (target, depth) in
            [("b", 0), ("./b/c", 0), ("..", 1), ("../b", 1), ("../../a/b", 2), ("b//c/", 0)]
        {
            assert_eq!(check_target(target, depth), Ok(()), "{target} at depth {depth}");
        }
    }

    #[test]
    fn test_reject_targets_that_leave_the_tree() {
        for (target, depth) in
            [("/etc/passwd", 3), ("..", 0), ("../b", 0), ("../../b", 1), ("./.././../b", 1)]
        {
            assert_eq!(check_target(target, depth), Err(Escape::LeavesTree), "{target} at depth {depth}");
        }
    }

    #[test]
    fn test_reject_targets_that_climb_through_what_may_be_a_link() {
        assert_eq!(check_target("q/../..", 2), Err(Escape::ClimbsLate));
        assert_eq!(check_target("../q/../x", 5), Err(Escape::ClimbsLate));
    }

    #[test]
    fn test_reject_targets_that_are_no_path() {
        for target in ["", "a\0b", "..\\..\\x"] {
            assert_eq!(check_target(target, 9), Err(Escape::Invalid), "{target:?}");
        }
    }
}
