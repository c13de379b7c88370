//! Words for people: what a peer named, sizes, times, modes.

use std::fmt::{self, Write};

use vatmux::packagefs::{Attributes, Kind};

/// Text that may come from a peer, without the characters that a terminal would obey or that would make it look like
/// something else. A valid path has no backslash in it, so that what is written with one is not ambiguous.
pub(crate) struct Harmless<'a>(pub(crate) &'a str);

impl fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() || is_invisible(character) {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}

/// Characters without a shape of their own that change how others are shown: marks of direction, joiners, and the
/// separators of lines and paragraphs.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
    )
}

/// A time of the last change, `2026-11-20 09:57:12` in UTC. `None` where it is not known, or not of this calendar.
pub(crate) fn modified(attributes: &Attributes) -> Option<String> {
    if attributes.modified_ns == 0 {
        return None;
    }
    let time = time::OffsetDateTime::from_unix_timestamp_nanos(attributes.modified_ns.into()).ok()?;
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    Some(format!("{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}", u8::from(month)))
}

/// `drwxr-xr-x`, as other tools write it.
pub(crate) fn mode(attributes: &Attributes) -> String {
    let mut text = String::with_capacity(10);
    text.push(match attributes.kind {
        Kind::File => '-',
        Kind::Directory => 'd',
        Kind::Symlink => 'l',
        Kind::Other => '?',
    });
    for (bit, letter) in (0..9).rev().zip("rwxrwxrwx".chars()) {
        text.push(if attributes.mode & (1 << bit) == 0 { '-' } else { letter });
    }
    text
}

/// What a kind is called.
pub(crate) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "symlink",
        Kind::Other => "other",
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(count: u64, one: &str, many: &str) -> String {
    format!("{} {}", indicatif::HumanCount(count), if count == 1 { one } else { many })
}

/// A path of a node as it is shown: the root has a name, too.
pub(crate) fn shown_path(path: &str) -> Harmless<'_> {
    Harmless(if path.is_empty() { "/" } else { path })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(kind: Kind, mode: u16, modified_ns: i64) -> Attributes {
        Attributes { kind, mode, size_bytes: 0, modified_ns, link_target: None }
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        let shown = |text| Harmless(text).to_string();
        assert_eq!(shown("a b/ü-日本.txt"), "a b/ü-日本.txt");
        assert_eq!(shown("\u{1b}[2J\n\r\u{7f}\u{9b}"), r"\u{1b}[2J\n\r\u{7f}\u{9b}");
        assert_eq!(shown("exe.\u{202e}txt"), r"exe.\u{202e}txt");
    }

    #[test]
    fn modes_look_as_they_do_elsewhere() {
        assert_eq!(mode(&attributes(Kind::Directory, 0o755, 0)), "drwxr-xr-x");
        assert_eq!(mode(&attributes(Kind::File, 0o640, 0)), "-rw-r-----");
        assert_eq!(mode(&attributes(Kind::Symlink, 0o777, 0)), "lrwxrwxrwx");
        assert_eq!(mode(&attributes(Kind::Other, 0, 0)), "?---------");
    }

    #[test]
    fn any_time_that_a_peer_may_send_can_be_shown() {
        let shown = |ns| modified(&attributes(Kind::File, 0, ns));
        assert_eq!(shown(1_700_000_000_123_456_789), Some("2023-11-14 22:13:20".into()));
        assert_eq!(shown(-1), Some("1969-12-31 23:59:59".into()));
        assert_eq!(shown(0), None);
        assert_eq!(shown(i64::MAX), Some("2262-04-11 23:47:16".into()));
        assert_eq!(shown(i64::MIN), Some("1677-09-21 00:12:43".into()));
    }
}
