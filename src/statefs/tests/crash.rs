//! Power cuts: what was acknowledged is there, and nothing is there by halves.

use std::collections::BTreeMap;

use super::device::Fault;
use super::*;

type Model = BTreeMap<String, Vec<u8>>;

/// What a client does: each request is one change of the model, so that the store is, at any time, in one of these
/// states. Ends with how many were acknowledged.
fn work(store: &Store, states: &mut Vec<Model>, seed: u64) -> usize {
    let mut dice = Dice(seed);
    let mut model = Model::new();
    states.push(model.clone());
    let mut acknowledged = 0;
    let mut failed = false;
    for round in 0..16 {
        let name = ["a", "b", "c/d", "c/e"][dice.below(4)];
        let answer = match dice.below(8) {
            0 if model.contains_key(name) => {
                model.remove(name);
                delete(store, name)
            }
            1 => {
                let value = dice.bytes(100);
                let operations = ["a", "b"].map(|name| {
                    model.insert(name.into(), value.clone());
                    Operation { key: key(name), condition: Condition::Any, step: Step::Put(value.clone()) }
                });
                block_on(store.transact(operations.into()))
                    .map(|versions| versions[0].unwrap())
                    .map_err(|refused| refused.error)
            }
            2 if round % 2 == 0 => {
                let value = dice.bytes(1_200_000);
                model.insert(name.into(), value.clone());
                upload(store, name, &value)
            }
            _ => {
                let value = dice.value();
                let value = &value[..value.len().min(MAX_PUT_BYTES)];
                model.insert(name.into(), value.into());
                put(store, name, value)
            }
        };
        states.push(model.clone());
        match answer {
            Ok(_) if failed => panic!("acknowledged without power"),
            Ok(_) => acknowledged += 1,
            // The one that was under way may have been made; none after it was.
            Err(_) if failed => {
                states.pop();
                return acknowledged;
            }
            Err(_) => failed = true,
        }
    }
    acknowledged
}

fn upload(store: &Store, name: &str, value: &[u8]) -> Result<Version, Error> {
    let mut upload = store.upload(key(name), value.len() as u64, Condition::Any)?;
    block_on(upload.write(value))?;
    block_on(upload.commit())
}

fn found(store: &Store) -> Model {
    contents(store).unwrap().into_iter().map(|(name, (_, value))| (name, value)).collect()
}

#[test]
fn a_power_cut_at_any_moment_loses_nothing_that_was_acknowledged_and_leaves_nothing_half_done() {
    let (device, store) = fresh();
    work(&store, &mut Vec::new(), 1);
    drop(store);
    let operations = device.operations();
    println!("{operations} operations of the device");
    let mut unacknowledged_survived = 0;
    for cut in 0..operations {
        let device = Arc::new(SimulatedDevice::default());
        device.set_fault(Fault::PowerCutAt(cut));
        let mut states = Vec::new();
        let mut acknowledged = 0;
        let mut last_version = 0;
        if let Ok(store) = Store::open(device.clone(), OpenOptions::default()) {
            acknowledged = work(&store, &mut states, 1);
            last_version = acknowledged as u64;
        }
        for seed in 0..3 {
            let mut dice = Dice(cut * 10 + seed);
            let mut bytes = device.after_power_cut(&mut dice);
            if seed == 2 {
                // And once more, while the store is being opened.
                let again = Arc::new(SimulatedDevice::of(bytes));
                again.set_fault(Fault::PowerCutAt(dice.roll() % 30));
                drop(Store::open(again.clone(), OpenOptions::default()));
                bytes = again.after_power_cut(&mut dice);
            }
            let device = Arc::new(SimulatedDevice::of(bytes));
            let store = Store::open(device, OpenOptions::default())
                .unwrap_or_else(|error| panic!("cut at {cut}, seed {seed}: {error}"));
            let found = found(&store);
            let expected = states.get(acknowledged).cloned().unwrap_or_default();
            let next = states.get(acknowledged + 1);
            assert!(
                found == expected || Some(&found) == next,
                "cut at {cut}, seed {seed}: {acknowledged} acknowledged, {:?} found",
                found.iter().map(|(key, value)| (key, value.len())).collect::<Vec<_>>()
            );
            unacknowledged_survived += u32::from(found != expected);
            let version = put(&store, "new", "value").unwrap();
            assert!(
                version.get() > last_version,
                "cut at {cut}, seed {seed}: {version} was given out before"
            );
        }
    }
    println!("{unacknowledged_survived} times the request under way was made");
    assert!(unacknowledged_survived > 0, "every moment counts, also the one between commit and answer");
}
