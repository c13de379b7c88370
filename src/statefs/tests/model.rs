//! What a store answers is what a map answers that was told the same.

use std::collections::BTreeMap;

use super::*;

type Model = BTreeMap<String, (Version, Vec<u8>)>;

const NAMES: [&str; 9] = ["a", "a/b", "a/c", "ab", "b", "b/x/1", "b/x/2", "z/ü", "~"];

fn condition(dice: &mut Dice, found: Option<Version>) -> Condition {
    match dice.below(8) {
        0 => Condition::Absent,
        1 => Condition::Present,
        2 => Condition::Version(found.unwrap_or(Version::new(1).unwrap())),
        3 => Condition::Version(Version::new(1 + dice.roll() % 50).unwrap()),
        _ => Condition::Any,
    }
}

fn holds(condition: Condition, found: Option<Version>) -> bool {
    match condition {
        Condition::Any => true,
        Condition::Absent => found.is_none(),
        Condition::Present => found.is_some(),
        Condition::Version(version) => found == Some(version),
    }
}

/// One random request to both.
fn step(dice: &mut Dice, store: &Store, model: &mut Model, last: &mut u64) {
    let name = NAMES[dice.below(NAMES.len())];
    let found = model.get(name).map(|(version, _)| *version);
    let asked = condition(dice, found);
    match dice.below(10) {
        0..=3 => {
            let value = dice.value();
            let large = value.len() > MAX_PUT_BYTES;
            let put = block_on(store.put(key(name), value.clone(), asked));
            if large {
                assert!(matches!(put, Err(Error::ValueTooLarge { .. })));
            } else if holds(asked, found) {
                let version = put.unwrap();
                assert!(version.get() > *last, "versions grow");
                *last = version.get();
                model.insert(name.into(), (version, value));
            } else {
                assert!(matches!(put, Err(Error::VersionMismatch { found: is }) if is == found));
            }
        }
        4 | 5 => {
            let deleted = block_on(store.delete(key(name), asked));
            match (holds(asked, found), found) {
                (true, Some(version)) => {
                    assert_eq!(deleted.unwrap(), version);
                    model.remove(name);
                }
                (true, None) => assert!(matches!(deleted, Err(Error::NotFound))),
                (false, _) => assert!(matches!(deleted, Err(Error::VersionMismatch { .. }))),
            }
        }
        6 => {
            let (low, value) = (dice.below(3), dice.bytes(100));
            let operations: Vec<_> = NAMES[low..low + 4]
                .iter()
                .map(|name| Operation {
                    key: key(name),
                    condition: condition(dice, model.get(*name).map(|(version, _)| *version)),
                    step: match dice.below(3) {
                        0 => Step::Check,
                        1 => Step::Delete,
                        _ => Step::Put(value.clone()),
                    },
                })
                .collect();
            let version_of = |model: &Model, key: &Key| model.get(key.as_str()).map(|(version, _)| *version);
            let blamed =
                operations.iter().position(|step| !holds(step.condition, version_of(model, &step.key)));
            match (block_on(store.transact(operations.clone())), blamed) {
                (Ok(versions), None) => {
                    for (operation, version) in operations.iter().zip(versions) {
                        let before = version_of(model, &operation.key);
                        match &operation.step {
                            Step::Check => assert_eq!(version, before),
                            Step::Delete => {
                                assert_eq!(version, None);
                                model.remove(operation.key.as_str());
                            }
                            Step::Put(value) => {
                                let version = version.expect("a put has a version");
                                assert!(version.get() > *last);
                                model.insert(operation.key.to_string(), (version, value.clone()));
                            }
                        }
                    }
                }
                (Err(refused), Some(blamed)) => assert_eq!(refused.operation, Some(blamed)),
                (answer, blamed) => panic!("{answer:?}, and {blamed:?} is to blame"),
            }
        }
        7 => {
            let size = [5, 2049, 65_408, 2_500_000][dice.below(4)];
            let value = dice.bytes(size);
            let mut upload = store.upload(key(name), value.len() as u64, asked).unwrap();
            for piece in value.chunks(1 + dice.below(800_000)) {
                block_on(upload.write(piece)).unwrap();
            }
            if dice.below(3) > 0 {
                match block_on(upload.commit()) {
                    Ok(version) => {
                        assert!(holds(asked, found) && version.get() > *last);
                        *last = version.get();
                        model.insert(name.into(), (version, value));
                    }
                    Err(error) => assert!(
                        !holds(asked, found) && matches!(error, Error::VersionMismatch { .. }),
                        "{error}"
                    ),
                }
            }
        }
        _ => {
            assert_eq!(get(store, name).unwrap(), model.get(name).map(|(_, value)| value.clone()));
            let begin = ["", "a", "a/", "b/x", "zz"][dice.below(5)];
            let entries = store.list(&prefix(begin), None, 1000).unwrap().entries;
            let listed: Vec<_> = entries.iter().map(|entry| (entry.key.as_str(), entry.version)).collect();
            let expected: Vec<_> = model
                .iter()
                .filter(|(name, _)| name.starts_with(begin))
                .map(|(name, (version, _))| (name.as_str(), *version))
                .collect();
            assert_eq!(listed, expected);
            let bytes: usize = model
                .iter()
                .filter(|(name, _)| name.starts_with(begin))
                .map(|(_, (_, value))| value.len())
                .sum();
            let usage = Usage { keys: expected.len() as u64, value_bytes: bytes as u64 };
            assert_eq!(store.usage(&prefix(begin)).unwrap(), usage);
        }
    }
    *last = (*last).max(store.last_version().unwrap());
}

#[test]
fn a_store_answers_as_a_map_does_also_after_it_was_opened_anew() {
    for seed in 0..8 {
        println!("seed {seed}");
        let mut dice = Dice(seed);
        let (device, mut store) = fresh();
        let (mut model, mut last) = (Model::new(), 0);
        for _ in 0..150 {
            step(&mut dice, &store, &mut model, &mut last);
            if dice.below(30) == 0 {
                assert_eq!(contents(&store).unwrap(), model);
                drop(store);
                store = Store::open(device.clone(), OpenOptions::default()).unwrap();
                assert_eq!(store.last_version().unwrap(), last);
            }
        }
        assert_eq!(contents(&store).unwrap(), model);
    }
}
