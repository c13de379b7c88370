//! Policies as files: what they grant, and what is refused with its place.

use super::*;
use crate::bundle::Right;
use crate::samgr;
use crate::statefs::{self, Prefix};
use crate::toml_file::{MAX_FILE_BYTES, ReadFileError};

const GATEWAY: &str = "vat1f6j7u6875p2cvyrgjr0d2uecyzah0kgeek38h39czwdhe5em3qys5j8vmz";
const RELEASE: &str = "vat15n29rmprgcmjdaevg0tycugfdrmtvqkdv5a5m69dacd42cjq4q5svq5jah";

/// The example of the guide.
fn example() -> &'static str {
    let guide = include_str!("../../docs/guide/access.md");
    let (_, after) = guide.split_once("```toml\n").unwrap();
    after.split_once("```").unwrap().0
}

fn right(grant: &Grant, key: &str) -> Option<statefs::Right> {
    grant.state.of(&key.parse().unwrap())
}

fn permits(grant: &Grant, right: Right, name: &str) -> bool {
    let publisher = "vatpub1tpnxvenxvenxvenxvenxvenxvenxvenxvenxvenxvenxvenxvenqh42rqw";
    grant.bundles.permit(right, &name.parse().unwrap(), &publisher.parse().unwrap())
}

#[test]
fn the_example_of_the_guide_grants_what_the_guide_says() {
    let policy: Policy = example().parse().unwrap();
    let gateway = policy.of(&GATEWAY.parse().unwrap());
    assert_eq!((gateway.name.as_deref(), gateway.operator, gateway.files), (Some("gateway"), false, false));
    assert_eq!(right(gateway, "shared/a"), Some(statefs::Right::Read));
    assert_eq!(right(gateway, "gateway/a"), Some(statefs::Right::Write));
    assert_eq!(right(gateway, "gatewayed"), None);
    assert!(
        permits(gateway, Right::Read, "org.example.app") && permits(gateway, Right::See, "org.example.app")
    );
    assert!(!permits(gateway, Right::Install, "org.example.app") && !permits(gateway, Right::Read, "tools"));
    for (service, files, offered) in [
        ("vatmux.health", Files::Directory, true),
        ("vatmux.state", Files::Directory, true),
        ("vatmux.bundles", Files::Directory, true),
        ("vatmux.packagefs", Files::Bundles, true),
        ("vatmux.packagefs", Files::Directory, false),
        ("org.example.clock", Files::Directory, true),
        ("org.example.clocks", Files::Directory, false),
        ("org.example.sensors.1", Files::Directory, true),
        ("vatmux.samgr", Files::Directory, true),
        ("vatmux.other", Files::Directory, false),
    ] {
        assert_eq!(gateway.offers(service, files), offered, "{service} over {files:?}");
    }

    let registry = gateway.registry_access();
    let of = |name: &str| registry.of(&name.parse().unwrap());
    assert_eq!(of("org.example.sensors.1"), Some(samgr::Right::Register));
    assert_eq!(of("org.example.sensors"), Some(samgr::Right::See));

    let release = policy.of(&RELEASE.parse().unwrap());
    assert!(release.operator && right(release, "anything") == Some(statefs::Right::Read));
    assert!(permits(release, Right::Install, "tools") && !permits(release, Right::Read, "tools"));
    assert!(!release.offers("vatmux.packagefs", Files::Bundles));
    let nobody_in_particular = SECRET.parse().unwrap();
    let anyone = policy.of(&nobody_in_particular);
    assert!(anyone.files && !anyone.operator && anyone.state.is_none());
    assert!(policy.allow_list().permits(&nobody_in_particular));
    assert!(!policy.operators().permits(&nobody_in_particular));
    assert!(policy.operators().permits(&RELEASE.parse().unwrap()));
}

/// A node that the example does not name.
const SECRET: &str = "vat1m7ac3883n0dg9mvdat0c9h3r99u65nkvsv3cvfwxg57uf3vhksaqtcdg5z";

#[test]
fn what_a_file_does_not_say_is_denied() {
    for text in [String::new(), "# nothing\n".into(), format!("[[node]]\nid = \"{GATEWAY}\"\n")] {
        let policy: Policy = text.parse().unwrap();
        let known = !policy.is_nobody();
        assert_eq!(policy.allow_list().permits(&GATEWAY.parse().unwrap()), known);
        assert!(!policy.allow_list().permits(&SECRET.parse().unwrap()));
        for node in [GATEWAY, SECRET] {
            let grant = policy.of(&node.parse().unwrap());
            assert_eq!(grant, &Grant::none());
            assert_eq!(grant.registry_access(), samgr::Access::none());
            for service in ["vatmux.state", "vatmux.bundles", "vatmux.packagefs", "vatmux.samgr", "a"] {
                assert!(!grant.offers(service, Files::Directory) && !grant.offers(service, Files::Bundles));
            }
        }
    }
    // No table at all is one that grants nothing, and so is one without prefixes.
    let empty = format!("[[node]]\nid = \"{GATEWAY}\"\nservices = []\n[node.state]\nread = []\n");
    assert_eq!(empty.parse::<Policy>().unwrap().of(&GATEWAY.parse().unwrap()), &Grant::none());
}

/// What is wrong with a file, which must be in this line.
#[track_caller]
fn wrong(text: &str, line: usize, words: &[&str]) {
    let error = text.parse::<Policy>().expect_err(text);
    assert_eq!(error.line, line, "{error}\n{text}");
    for word in words {
        assert!(error.problem.contains(word), "no {word:?} in: {error}");
    }
    assert!(!error.problem.contains('\n'), "{error}");
}

fn node(lines: &str) -> String {
    format!("[[node]]\nid = \"{GATEWAY}\"\n{lines}")
}

#[test]
fn test_reject_policies_with_keys_that_there_are_none_of() {
    wrong("nodes = []", 1, &["unknown field `nodes`", "`node`"]);
    wrong(&node("files = true\nfile = true"), 4, &["unknown field `file`", "`files`"]);
    wrong(&node("[node.state]\nreads = [\"a/\"]"), 4, &["unknown field `reads`", "`read`"]);
    wrong(&node("[[node.bundles]]\nnames = [\"a\"]\nmay = []\nname = \"a\""), 6, &["unknown field `name`"]);
    wrong("[anyone.status]", 1, &["unknown field `status`"]);
}

#[test]
fn test_reject_policies_with_ids_that_are_wrong_or_there_twice() {
    wrong("[[node]]\nname = \"a\"\n", 1, &["without `id`"]);
    wrong("\n\n[[node]]\nid = \"vat1xyz\"", 4, &["62 characters"]);
    let typing_error = GATEWAY.replace("f6j7", "f6j8");
    wrong(&node("").replace(GATEWAY, &typing_error), 2, &[]);
    wrong(&format!("{}\n{}", node("name = \"a\""), node("")), 5, &["line 2 already"]);
    let named = |id: &str| format!("[[node]]\nid = \"{id}\"\nname = \"a\"\n");
    wrong(&(named(GATEWAY) + &named(RELEASE)), 6, &["line 3 has this name"]);
    wrong(&format!("[anyone]\nid = \"{GATEWAY}\""), 2, &["anyone has neither"]);
    wrong("[anyone]\nname = \"a\"", 2, &["anyone has neither"]);
    for name in ["", "a\\u0007b", &"a".repeat(65)] {
        wrong(&node(&format!("name = \"{name}\"")), 3, &["1 to 64 bytes"]);
    }
}

#[test]
fn test_reject_policies_with_prefixes_that_mean_more_than_they_say() {
    for (prefix, word) in [
        ("log", "`log/`"),
        ("a/b", "`a/b/`"),
        ("/", "empty segment"),
        ("a//", "empty segment"),
        ("../", "`..`"),
        ("a/./", "`.`"),
        ("a\\\\b/", "backslash"),
        ("a\\u0000/", "NUL"),
    ] {
        wrong(&node(&format!("[node.state]\nread = [\"ok/\", \"{prefix}\"]")), 4, &[word]);
        wrong(&node(&format!("[node.state]\nwrite = [\n\"{prefix}\"]")), 5, &[word]);
    }
    wrong(&node(&format!("[node.state]\nread = [\"{}/\"]", "x".repeat(255))), 4, &["255"]);
    assert!("log/".parse::<Prefix>().is_ok());
}

#[test]
fn test_reject_policies_with_names_publishers_and_rights_that_there_cannot_be() {
    let rule = |lines: &str| node(&format!("[[node.bundles]]\n{lines}"));
    for name in ["", "A.*", "*.a", "a..b", "1a", "a/*", "a."] {
        wrong(&rule(&format!("names = [\"{name}\"]\nmay = [\"read\"]")), 4, &[]);
    }
    wrong(&rule("names = [\"a\"]\nmay = [\"write\"]"), 5, &["`write` is no right", "`install`"]);
    wrong(&rule("names = [\"a\"]\nmay = []\npublishers = [\"vatpub1x\"]"), 6, &[]);
    wrong(&rule("may = [\"read\"]"), 3, &["missing field `names`"]);
    wrong(&rule("names = \"a\"\nmay = [\"read\"]"), 4, &["invalid type", "sequence"]);
    wrong(&node("services = [\"vatmux.state\"]"), 3, &["[node.state]"]);
    wrong(&node("services = [\"vatmux.packagefs\"]"), 3, &["files = true"]);
    wrong(&node("services = [\"a\", \"a*b\"]"), 3, &["`*` once"]);
    wrong(&node("services = [\"vatmux.samgr\"]"), 3, &["[node.samgr]"]);
    wrong(&node("[node.samgr]\nsee = [\"a b\"]"), 4, &["no blanks"]);
    wrong(&node("[node.samgr]\nregister = [\"a\\tb*\"]"), 4, &["no blanks"]);
    wrong(&node("[node.samgr]\nwatch = [\"a\"]"), 4, &["unknown field `watch`"]);
    wrong(&node(&format!("services = [\"{}\"]", "a".repeat(300))), 3, &[]);
}

#[test]
fn test_reject_what_is_no_toml_without_a_panic() {
    for text in [
        "[[node]",
        "node = 1",
        "node = [1]",
        "[node]\nid = 1",
        "id = \"",
        "a = \"\\q\"",
        "[[node]]\n[[node]]\nid = 1979-05-27",
        "\u{feff}",
        "=",
        "[anyone]\n[anyone]",
        "x = 99999999999999999999999999",
    ] {
        let parsed = text.parse::<Policy>();
        assert!(parsed.is_err() || text == "\u{feff}", "{text:?}");
    }
    // Nested as deep as it goes, cut anywhere, and each byte changed.
    assert!(format!("a = {}", "[".repeat(100_000)).parse::<Policy>().is_err());
    assert!(format!("[{}a]", "a.".repeat(100_000)).parse::<Policy>().is_err());
    let example = example();
    for end in 0..example.len() {
        if let Some(cut) = example.get(..end) {
            let _ = cut.parse::<Policy>();
        }
    }
    for at in 0..example.len() {
        for byte in [0, b'"', b'[', b'\n', 0x7f] {
            let mut bytes = example.as_bytes().to_vec();
            bytes[at] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                let _ = text.parse::<Policy>();
            }
        }
    }
}

#[test]
fn test_reject_files_that_cannot_be_read_or_are_too_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    assert!(matches!(Policy::read(&path), Err(ReadFileError::Io { .. })));
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(Policy::read(&path).unwrap_err().to_string().contains("policy.toml"));
    std::fs::write(&path, "#".repeat(MAX_FILE_BYTES as usize)).unwrap();
    assert!(Policy::read(&path).unwrap().is_nobody());
    std::fs::write(&path, "#".repeat(MAX_FILE_BYTES as usize + 1)).unwrap();
    assert!(matches!(Policy::read(&path), Err(ReadFileError::TooLong { .. })));
    std::fs::write(&path, "\n  files = 1").unwrap();
    let error = Policy::read(&path).unwrap_err().to_string();
    assert!(error.contains("policy.toml:2:3: "), "{error}");
}
