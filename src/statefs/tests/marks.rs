//! A store that went back is told from one that did not, also when it has been changed since.

use super::*;

fn reopened(device: &SimulatedDevice) -> (Arc<SimulatedDevice>, Store) {
    let copy = Arc::new(SimulatedDevice::of(device.bytes()));
    let store = Store::open(copy.clone(), OpenOptions::default()).unwrap();
    (copy, store)
}

#[test]
fn a_mark_is_good_as_long_as_the_store_goes_on() {
    let (mut device, mut store) = fresh();
    let nothing = store.mark().unwrap();
    assert_eq!((nothing, nothing.to_bytes().len()), (Mark::default(), 0));
    let mut marks = vec![nothing];
    for opening in 0..5 {
        // Openings that change nothing leave no trace.
        if opening != 2 {
            for at in 0..3 {
                put(&store, "a", vec![at]).unwrap();
                marks.push(store.mark().unwrap());
            }
            delete(&store, "a").unwrap();
            marks.push(store.mark().unwrap());
        }
        assert_eq!(store.mark().unwrap().version(), store.last_version().unwrap());
        for mark in &marks {
            store.check(mark).unwrap();
            assert_eq!(mark.to_string().parse(), Ok(*mark));
            assert_eq!(Mark::from_bytes(&mark.to_bytes()), Ok(*mark));
        }
        drop(store);
        (device, store) = reopened(&device);
    }
    marks.dedup();
    assert_eq!(marks.len(), 17);
}

#[test]
fn test_reject_rollback_detected_of_a_store_that_went_back_however_far_it_has_come_since() {
    let (device, store) = fresh();
    put(&store, "a", "1").unwrap();
    let before = store.mark().unwrap();
    // Copies, of the store in the middle of its opening, and of one that was opened once more.
    let live = SimulatedDevice::of(device.bytes());
    put(&store, "a", "2").unwrap();
    let seen = store.mark().unwrap();
    drop(store);
    let (device, store) = reopened(&device);
    put(&store, "a", "3").unwrap();
    let later = store.mark().unwrap();
    drop(store);

    let (_copy, back) = reopened(&live);
    assert!(matches!(back.check(&seen), Err(Error::Rollback { seen: 2, found: 1 })));
    back.check(&before).unwrap();
    for value in 0..4 {
        put(&back, "a", vec![value]).unwrap();
        for (mark, version) in [(&seen, 2), (&later, 3)] {
            match back.check(mark).unwrap_err() {
                Error::Rollback { seen, found } => assert!(seen == version && found < seen),
                Error::Diverged { version: diverged } => assert_eq!(diverged, version),
                other => panic!("{other}"),
            }
        }
        back.check(&before).unwrap();
    }
    assert!(matches!(back.check(&seen), Err(Error::Diverged { version: 2 })));
    let (_device, store) = reopened(&device);
    for mark in [before, seen, later] {
        store.check(&mark).unwrap();
    }
    assert!(store.check(&back.mark().unwrap()).is_err());
}

#[test]
fn test_reject_rollback_detected_of_another_store() {
    let (_one, one) = fresh();
    let (_two, two) = fresh();
    put(&one, "a", "1").unwrap();
    assert!(matches!(two.check(&one.mark().unwrap()), Err(Error::Rollback { seen: 1, found: 0 })));
    put(&two, "a", "1").unwrap();
    assert!(matches!(two.check(&one.mark().unwrap()), Err(Error::Diverged { version: 1 })));
}

#[test]
fn test_reject_marks_that_are_none() {
    for text in ["0", "00", "zz", &"0".repeat(47), &"0".repeat(49), &"0".repeat(50), &"é".repeat(24)] {
        assert_eq!(text.parse::<Mark>(), Err(MarkError), "{text}");
    }
    for bytes in (1..40).filter(|bytes| *bytes != MARK_BYTES) {
        assert_eq!(Mark::from_bytes(&vec![1; bytes]), Err(MarkError));
    }
}
