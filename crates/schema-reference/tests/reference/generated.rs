//! Random schemas mean the same to both.

use std::env;

use vatmux_schema_reference::generate::{Schemas, smallest};

use crate::common::{disagreement, names, ours, shown, theirs};

/// How many schemas are compiled.
const SCHEMAS: usize = 10_000;
/// How many sets of them one process of the C++ tool gets.
const BATCH: u64 = 120;
/// Of so many sets one may turn out to be invalid.
const INVALID_ONE_IN: usize = 50;

/// How many sets that differ are told, from as many batches.
const TOLD: usize = 3;

/// Some schemas, and the seed that they come from.
struct Draft {
    seed: u64,
    schemas: Schemas,
    texts: Vec<(String, String)>,
}

impl Draft {
    fn new(seed: u64) -> Self {
        let schemas = Schemas::random(seed, &format!("s{seed}"));
        let texts = schemas.texts();
        Self { seed, schemas, texts }
    }

    /// What is not the same, if anything. Nothing for schemas that the reference refuses.
    fn disagreement(texts: &[(String, String)]) -> Option<String> {
        theirs(texts).ok().and_then(|request| disagreement(&request, &ours(texts)))
    }

    /// Where it disagrees: the smallest text that shows it.
    fn report(&self) -> Option<String> {
        Self::disagreement(&self.texts)?;
        let least = smallest(&self.schemas, |texts| Self::disagreement(texts).is_some());
        let what = Self::disagreement(&least).unwrap_or_default();
        let seed = self.seed;
        Some(format!("seed {seed} (VATMUX_REFERENCE_SEED={seed} starts with it):\n{}{what}", shown(&least)))
    }
}

/// Leaves out what the reference refuses, and returns its request for the rest.
fn valid(drafts: &mut Vec<Draft>) -> Vec<u8> {
    loop {
        let texts: Vec<_> = drafts.iter().flat_map(|draft| draft.texts.iter().cloned()).collect();
        let refusal = match theirs(&texts) {
            Ok(request) => return request,
            Err(refusal) => refusal,
        };
        let count = drafts.len();
        drafts.retain(|draft| {
            let names = names(&draft.texts);
            !refusal.complaints.iter().any(|complaint| names.contains(&complaint.file.as_str()))
        });
        if drafts.len() == count {
            drafts.retain(|draft| theirs(&draft.texts).is_ok());
        }
        assert!(
            drafts.len() < count,
            "the C++ tool refuses all together what it takes one by one: {refusal}"
        );
    }
}

#[test]
#[ignore = "needs the C++ tool: cargo xtask test reference"]
fn ten_thousand_random_schemas_mean_the_same_to_both() {
    let first = env::var("VATMUX_REFERENCE_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut found = Vec::new();
    let (mut compiled, mut sets, mut refused) = (0, 0, 0);
    let mut seed = first;
    while compiled < SCHEMAS {
        let mut drafts: Vec<_> = (seed..seed + BATCH).map(Draft::new).collect();
        seed += BATCH;
        let whole = drafts.len();
        let request = valid(&mut drafts);
        let texts: Vec<_> = drafts.iter().flat_map(|draft| draft.texts.iter().cloned()).collect();
        if let Some(all) = disagreement(&request, &ours(&texts)) {
            // One at a time, the culprit says more.
            let one = drafts.iter().find_map(Draft::report);
            found.push(one.unwrap_or_else(|| format!("only seeds up to {seed} together: {all}")));
            if found.len() == TOLD {
                break;
            }
        }
        compiled += texts.len();
        sets += whole;
        refused += whole - drafts.len();
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    println!("seeds {first} to {seed}: {compiled} schemas in {sets} sets; {refused} sets were not valid");
    assert!(refused * INVALID_ONE_IN <= sets, "the generator writes too much that is not valid");
}
