//! That every clause has its test, and every test that the specification names exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::spec::{Clause, clauses, read, repository, specification};

/// Clauses about the link, which other crates keep: the clause, the file of a test that proves it, and its name.
const ELSEWHERE: [(&str, &str, &str); 29] = [
    ("MUX-1.1", "crates/noise/src/tests/golden.rs", "the_bytes_on_the_wire_are_those_of_version_1"),
    ("MUX-1.2", "crates/noise/src/tests/hostile.rs", "every_change_to_the_preamble_is_refused"),
    ("MUX-1.2", "crates/noise/src/tests/hostile.rs", "a_wrong_preamble_is_refused_at_its_first_wrong_byte"),
    ("MUX-1.2", "crates/noise/src/tests/hostile.rs", "an_alert_is_a_hint_that_ends_a_dial_and_nothing_else"),
    ("MUX-1.3", "crates/noise/src/tests/golden.rs", "the_bytes_on_the_wire_are_those_of_version_1"),
    (
        "MUX-1.3",
        "crates/noise/src/tests/hostile.rs",
        "a_message_of_impossible_length_is_refused_from_its_prefix",
    ),
    ("MUX-1.3", "crates/noise/src/tests/handshake.rs", "a_hello_may_have_0_to_128_bytes"),
    (
        "MUX-1.4",
        "crates/noise/src/tests/records.rs",
        "records_of_every_size_from_1_byte_to_the_largest_arrive",
    ),
    ("MUX-1.4", "crates/noise/src/tests/records.rs", "a_prefix_announces_17_to_65535_bytes"),
    ("MUX-1.4", "crates/noise/src/tests/records.rs", "every_changed_byte_of_a_record_is_found"),
    ("MUX-1.5", "crates/noise/src/tests/records.rs", "the_key_is_another_one_after_the_interval"),
    ("MUX-1.5", "crates/noise/src/tests/records.rs", "the_interval_of_a_session_is_the_documented_one"),
    ("MUX-1.6", "crates/driver/tests/foreign/records.rs", "frames_that_lie_across_records_arrive_whole"),
    ("MUX-1.7", "crates/driver/tests/session.rs", "a_dialer_that_is_not_on_the_list_is_told_so"),
    ("MUX-1.8", "crates/noise/src/tests/hostile.rs", "an_acceptor_takes_252_bytes_at_most_from_a_stranger"),
    ("MUX-1.8", "crates/driver/tests/session.rs", "no_more_than_four_kibibytes_are_read_from_a_stranger"),
    ("MUX-1.8", "crates/driver/tests/session.rs", "a_byte_per_second_buys_no_time"),
    ("MUX-1.9", "crates/noise/src/tests/hostile.rs", "keys_of_low_order_are_refused_where_they_appear"),
    ("MUX-1.9", "crates/noise/src/tests/liars.rs", "a_dialer_cannot_claim_a_key_that_it_does_not_have"),
    ("MUX-1.9", "crates/noise/src/tests/liars.rs", "a_dialer_cannot_have_a_second_node_id_for_the_same_key"),
    ("MUX-2.2", "crates/mux/src/hello.rs", "a_hello_out_of_bounds_is_refused"),
    (
        "MUX-2.2",
        "crates/driver/tests/foreign/hellos.rs",
        "each_wrong_field_of_a_hello_is_named_and_the_link_ends_without_a_frame",
    ),
    (
        "MUX-4.11",
        "crates/driver/tests/foreign/endings.rs",
        "what_follows_a_close_of_the_session_is_not_looked_at",
    ),
    (
        "MUX-5.2",
        "crates/mux/src/session/tests.rs",
        "ids_that_are_used_up_are_an_error_and_not_a_second_stream",
    ),
    (
        "MUX-9.6",
        "crates/driver/tests/foreign/slow.rs",
        "a_link_of_two_kilobytes_per_second_carries_the_longest_record_and_stays",
    ),
    ("MUX-9.6", "crates/driver/tests/foreign/slow.rs", "a_link_that_trickles_is_given_up_all_the_same"),
    ("MUX-10.3", "crates/mux/src/session/tests.rs", "the_worst_case_is_what_the_limits_say"),
    ("MUX-12.6", "crates/driver/tests/foreign/endings.rs", "an_end_that_closes_says_why_last_and_hangs_up"),
    ("MUX-13.1", "crates/noise/src/tests/hostile.rs", "every_change_to_the_preamble_is_refused"),
];

/// The sources under a folder of the repository, by their paths from its root.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let entries = fs::read_dir(repository(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    for entry in entries {
        let name = entry.expect("a folder that can be read").file_name();
        let path = format!("{folder}/{}", name.to_str().expect("names in ASCII"));
        if repository(&path).is_dir() {
            found.extend(sources(&path));
        } else if Path::new(&path).extension().is_some_and(|extension| extension == "rs") {
            let text = read(&path);
            found.insert(path, text);
        }
    }
    found
}

/// The name of the function that a line declares.
fn declared(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

/// Whether a source has a test of this name: marked as one, or listed for every storage.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let listed = lines.iter().any(|line| line.strip_suffix(',') == Some(name));
    let marked = lines.iter().enumerate().any(|(position, line)| {
        declared(line) == Some(name)
            && lines[..position]
                .iter()
                .rev()
                .take_while(|line| line.starts_with("#["))
                .any(|line| *line == "#[test]")
    });
    listed || marked
}

/// The clause numbers in a line of documentation.
fn named(line: &str) -> impl Iterator<Item = String> {
    line.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '-' || letter == '.'))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.starts_with("MUX-"))
        .map(str::to_owned)
}

/// The tests that a source's documentation gives to each clause.
fn tagged(source: &str) -> Vec<(String, String)> {
    let mut tags = Vec::new();
    let mut pending = Vec::new();
    for line in source.lines() {
        let line = line.trim_start();
        if line.starts_with("///") {
            pending.extend(named(line));
        } else if let Some(name) = declared(line) {
            tags.extend(pending.drain(..).map(|clause| (clause, name.to_owned())));
        } else if !line.starts_with("#[") {
            pending.clear();
        }
    }
    tags
}

/// The tests of each clause, by what the sources say, checked to be tests.
fn tests_by_clause() -> BTreeMap<String, BTreeSet<String>> {
    let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, source) in sources("crates/mux/tests") {
        for (clause, name) in tagged(&source) {
            assert!(has_test(&source, &name), "{path}: {name} names {clause} and is no test");
            tests.entry(clause).or_default().insert(name);
        }
    }
    for (clause, path, name) in ELSEWHERE {
        assert!(has_test(&read(path), name), "{path} has no test {name}, which is to prove {clause}");
        tests.entry(clause.to_owned()).or_default().insert(name.to_owned());
    }
    tests
}

#[test]
fn every_clause_has_a_test_and_every_tag_a_clause() {
    let specification = specification();
    let clauses = clauses(&specification);
    let tests = tests_by_clause();
    let untested: Vec<_> = clauses
        .iter()
        .filter(|clause| !clause.policy && !tests.contains_key(&clause.number))
        .map(|clause| &clause.number)
        .collect();
    assert!(untested.is_empty(), "clauses without a test: {untested:?}");
    let known: BTreeSet<_> = clauses.iter().map(|clause| &clause.number).collect();
    let unknown: Vec<_> = tests.keys().filter(|number| !known.contains(number)).collect();
    assert!(unknown.is_empty(), "tests name clauses that do not exist: {unknown:?}");
    let policies = clauses.iter().filter(|clause| clause.policy).count();
    assert!(policies <= 3, "{policies} clauses call themselves policy");
}

#[test]
fn clauses_are_numbered_without_gaps_and_referred_to_by_numbers_that_exist() {
    let specification = specification();
    let clauses = clauses(&specification);
    let mut before = (0, 0);
    for Clause { number, .. } in &clauses {
        let parts = number.trim_start_matches("MUX-").split_once('.').expect("section and clause");
        let this: (u32, u32) = (parts.0.parse().expect("a number"), parts.1.parse().expect("a number"));
        assert!(this == (before.0, before.1 + 1) || this == (before.0 + 1, 1), "{number} after {before:?}");
        before = this;
    }
    assert_eq!(before.0, 14, "all sections");
    let known: BTreeSet<_> = clauses.iter().map(|clause| clause.number.clone()).collect();
    for line in specification.lines().chain(read("docs/spec/threats.md").lines()) {
        for number in named(line) {
            assert!(known.contains(&number), "{number} is referred to and does not exist: {line}");
        }
    }
}

/// Each row of threats.md ends with its tests, as `file: name`.
#[test]
fn every_test_of_the_threats_exists() {
    let threats = read("docs/spec/threats.md");
    let mut file = String::new();
    let mut count = 0;
    for line in threats.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| attack")) {
        let tests = line.trim_end_matches('|').rsplit('|').next().expect("a last column");
        let before = count;
        for quoted in tests.split('`').skip(1).step_by(2) {
            if Path::new(quoted).extension().is_some() {
                file = read(quoted);
            } else {
                assert!(has_test(&file, quoted), "there is no test {quoted}: {line}");
                count += 1;
            }
        }
        assert!(count > before, "a threat without a test: {line}");
    }
    assert!(count > 20, "{count} tests");
}

#[test]
fn a_function_counts_as_a_test_only_when_it_runs() {
    let source = "#[test]\nfn marked() {}\nfn helper() {}\non_every_storage! {\n    listed,\n}\n/// MUX-1.1, MUX-2.3.\nfn listed<S: Fresh>() {}\n/// MUX-9.9\nstruct Other;\nfn none() {}\n";
    assert!(has_test(source, "marked") && has_test(source, "listed"));
    assert!(!has_test(source, "helper") && !has_test(source, "absent"));
    let tag = |clause: &str| (clause.to_owned(), "listed".to_owned());
    assert_eq!(tagged(source), [tag("MUX-1.1"), tag("MUX-2.3")]);
}
