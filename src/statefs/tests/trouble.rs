//! Storage that is full, read-only, or fails: who asked is told, and what was there stays.

use super::device::Fault;
use super::*;

#[test]
fn test_reject_disk_full_and_go_on_when_there_is_room() {
    let (device, store) = fresh();
    put(&store, "kept", "value").unwrap();
    let len = device.bytes().len() as u64;
    device.set_fault(Fault::Full(len));
    let mut stored = 0;
    let refused = loop {
        match put(&store, &format!("fill/{stored}"), vec![1; 60_000]) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    println!("{stored} values fit into {len} bytes");
    assert!(matches!(refused, Error::DiskFull), "{refused}");
    assert_eq!(get(&store, "kept").unwrap().unwrap(), b"value");
    assert_eq!(store.usage(&prefix("fill/")).unwrap().keys, stored);

    for at in 0..stored {
        delete(&store, &format!("fill/{at}")).unwrap();
    }
    put(&store, "fill/again", vec![1; 60_000]).unwrap();
    device.set_fault(Fault::None);
    for at in 0..stored + 10 {
        put(&store, &format!("fill/{at}"), vec![1; 60_000]).unwrap();
    }
    drop(store);
    let store = Store::open(device, OpenOptions::default()).unwrap();
    assert_eq!(store.usage(&prefix("fill/")).unwrap().keys, stored + 11);
}

#[test]
fn a_request_that_finds_the_disk_full_fails_no_neighbour() {
    let (device, store) = fresh();
    device.set_fault(Fault::Full(device.bytes().len() as u64));
    // All wait at once, so that some of them share a transaction.
    let large = (0..40).map(|at| store.put(key(&format!("large/{at}")), vec![1; 65_000], Condition::Any));
    let small = (0..40).map(|at| store.put(key(&format!("small/{at}")), vec![1; 10], Condition::Any));
    let (large, small) =
        block_on(futures::future::join(futures::future::join_all(large), futures::future::join_all(small)));
    assert!(large.iter().any(|put| matches!(put, Err(Error::DiskFull))));
    let made = |puts: &[Result<Version, Error>]| puts.iter().filter(|put| put.is_ok()).count() as u64;
    println!("{} large and {} small ones fit", made(&large), made(&small));
    assert_eq!(made(&small), 40);
    assert_eq!(store.usage(&prefix("large/")).unwrap().keys, made(&large));
}

#[test]
fn test_reject_io_error_writes_to_a_read_only_disk_and_go_on_when_it_is_writable() {
    let (device, store) = fresh();
    put(&store, "kept", "value").unwrap();
    device.set_fault(Fault::ReadOnly);
    for _ in 0..3 {
        let refused = put(&store, "kept", "other").unwrap_err();
        assert!(matches!(&refused, Error::Io(_)) && refused.to_string().contains("read-only"), "{refused}");
    }
    device.set_fault(Fault::None);
    assert_eq!(get(&store, "kept").unwrap().unwrap(), b"value");
    put(&store, "kept", "other").unwrap();
    drop(store);

    device.set_fault(Fault::ReadOnly);
    let opened = Store::open(device.clone(), OpenOptions::default());
    assert!(matches!(opened, Err(Error::Io(_))), "{opened:?}");
}

#[test]
fn test_reject_io_error_at_any_operation_and_go_on() {
    let (device, store) = fresh();
    let before = device.operations();
    let work = |store: &Store| {
        let mut answers = Vec::new();
        for at in 0..6 {
            answers.push((format!("{at}"), put(store, &format!("{at}"), vec![at; 5000 * usize::from(at)])));
        }
        answers
    };
    work(&store);
    let operations = device.operations() - before;
    for failing in 1..=operations {
        let (device, store) = fresh();
        device.set_fault(Fault::FailsAt(device.operations() + failing));
        let answers = work(&store);
        let failed = answers.iter().filter(|(_, answer)| answer.is_err()).count();
        assert!(failed <= 1, "operation {failing}: {answers:?}");
        for (name, answer) in &answers {
            let value = get(&store, name).unwrap();
            assert!(value.is_some() || answer.is_err(), "operation {failing} lost {name}");
        }
        drop(store);
        let store = Store::open(device, OpenOptions::default()).unwrap();
        for (name, answer) in &answers {
            let value = get(&store, name).unwrap();
            assert!(value.is_some() || answer.is_err(), "operation {failing} lost {name} when opened anew");
        }
    }
}
