//! An image that is alone tests itself with itself: every boot does the same at the same times.

use std::fs;

use vatmux_os_disk::{Config, Task};

use super::machine::{Wire, configure};
use super::markers::WITH_AN_IMAGE;
use super::world::{BOOT, World, judge};

/// What the random bytes are made from.
const SEED: u32 = 20;

/// By how much two times may differ that are the same, in microseconds: with instructions for a clock QEMU still takes up what a
/// timer ended an instruction earlier or later, and a hundred sleeps on that has come to 0.2 µs.
const SLACK_US: u64 = 2;

/// The line before the first one that is the same on every boot: what comes earlier waits for devices, as long as they take.
const BEGIN: &str = "vatmux-os: alone ";

/// Boots two machines that never ran before, and has them print the same at the same times.
pub(crate) fn run(world: &World) -> Result<(), String> {
    let first = boot(world, "alone-one", SEED)?;
    let second = boot(world, "alone-two", SEED)?;
    if let Some((one, other)) = first.iter().zip(&second).find(|(one, other)| !is_same(one, other)) {
        return Err(format!("two boots of one image differ: {one:?} and {other:?}"));
    }
    if first.len() != second.len() {
        return Err(format!("one boot printed {} lines, and another one {}", first.len(), second.len()));
    }
    // What cannot differ says nothing.
    let other = boot(world, "alone-three", SEED + 1)?;
    if first.iter().zip(&other).all(|(one, other)| is_same(one, other)) {
        return Err("boots are the same whatever the seed is".to_owned());
    }
    println!(
        "two boots printed the same {} lines, times and keys included: {:?} … {:?}",
        first.len(),
        first[0],
        first[first.len() - 1]
    );
    Ok(())
}

/// Whether two lines are the same, to the letter but for what QEMU leaves open in a time.
fn is_same(one: &str, other: &str) -> bool {
    let (mut ones, mut others) = (one.split(' '), other.split(' '));
    loop {
        match (ones.next(), others.next()) {
            (None, None) => return true,
            (Some(one), Some(other)) if one == other => {}
            (Some(one), Some(other)) => match (time(one), time(other)) {
                (Some((what, one)), Some((same, other)))
                    if what == same && one.abs_diff(other) <= SLACK_US => {}
                _ => return false,
            },
            _ => return false,
        }
    }
}

/// A word that names a time in microseconds, taken apart: `…us=NUMBER`, and perhaps a closing parenthesis.
fn time(word: &str) -> Option<(&str, u64)> {
    let (what, number) = word.trim_end_matches(')').split_once('=')?;
    Some((what, number.parse().ok().filter(|_| what.ends_with("us"))?))
}

/// All that a new machine prints from the moment on that it is alone.
fn boot(world: &World, name: &str, seed: u32) -> Result<Vec<String>, String> {
    let disk = world.path(name);
    // A disk that was there before would have a key.
    let _ = fs::remove_file(&disk);
    configure(&disk, &Config { task: Task::Alone, ..Config::default() })?;
    let mut parts = world.parts(&disk, Wire::None);
    parts.seed = Some(seed);
    let mut machine = parts.start(world.path(&format!("{name}.log")))?;
    let status = machine.wait(BOOT)?;
    judge(machine.console.seen(), WITH_AN_IMAGE)?;
    let lines: Vec<_> =
        machine.console.seen().iter().skip_while(|line| !line.contains(BEGIN)).cloned().collect();
    match lines.first() {
        Some(_) if status.success() => Ok(lines),
        _ => Err(machine.console.complaint(&format!("it powered off with {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_to_the_letter_and_times_to_what_qemu_leaves_open() {
        let line = "SELFTEST: a ok (us=100 pings=3 at_us=1000)";
        assert!(is_same(line, line));
        assert!(is_same(line, "SELFTEST: a ok (us=101 pings=3 at_us=998)"));
        for other in [
            "SELFTEST: a ok (us=103 pings=3 at_us=1000)",
            "SELFTEST: a ok (us=100 pings=4 at_us=1000)",
            "SELFTEST: a ok (us=100 pings=3 by_us=1000)",
            "SELFTEST: a ok (us=100 pings=3 at_us=1000) x",
            "SELFTEST: a ok (us=100 pings=3",
        ] {
            assert!(!is_same(line, other), "{other}");
        }
    }
}
