//! Valid schemas with a few tokens changed: what one refuses the other refuses, and what both take means the same.

use std::collections::HashSet;
use std::env;

use fastrand::Rng;
use vatmux_schema_reference::generate::Schemas;
use vatmux_schema_reference::{Refusal, mutated};

use crate::common::{disagreement, ours, shown, theirs};

/// How many changed sets of schemas are tried.
const SETS: u64 = 3_000;
/// How many of them one process of the C++ tool gets.
const BATCH: u64 = 100;

/// What the C++ tool refuses for reasons of its own, and we need not.
const WE_TAKE: [&str; 1] = [
    // An annotation on what its own value is made of: it loads the one before the other.
    "Declaration recursively depends on itself",
];

/// What we refuse, and the C++ tool takes to be the last of its name.
const WE_REFUSE: [&str; 3] = ["`T` is already defined", "`U` is already defined", "`Key` is already defined"];

/// Schemas of which one was changed.
struct Changed {
    seed: u64,
    texts: Vec<(String, String)>,
}

impl Changed {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed ^ 0x6d75_7461_7465);
        let mut texts = Schemas::random(seed, &format!("m{seed}")).texts();
        let chosen = random.usize(..texts.len());
        texts[chosen].1 = mutated(&texts[chosen].1, &mut random);
        Self { seed, texts }
    }
}

/// What the C++ tool says of some schemas.
enum Verdict {
    Taken,
    Refused(Refusal),
    /// It ended in a way of its own, which says nothing about the schemas.
    Failed,
}

/// The verdict on each.
fn verdicts(batch: &[Changed]) -> Vec<Verdict> {
    let texts: Vec<_> = batch.iter().flat_map(|changed| changed.texts.iter().cloned()).collect();
    let Err(refusal) = theirs(&texts) else {
        return batch.iter().map(|_| Verdict::Taken).collect();
    };
    if is_failure(&refusal) {
        if batch.len() == 1 {
            return vec![Verdict::Failed];
        }
        let (first, second) = batch.split_at(batch.len() / 2);
        return verdicts(first).into_iter().chain(verdicts(second)).collect();
    }
    let refused: HashSet<_> = refusal.complaints.iter().map(|complaint| complaint.file.as_str()).collect();
    let verdict = |changed: &Changed| {
        let names: HashSet<_> = changed.texts.iter().map(|(name, _)| name.as_str()).collect();
        if names.is_disjoint(&refused) {
            return Verdict::Taken;
        }
        let mut own = refusal.clone();
        own.complaints.retain(|complaint| names.contains(complaint.file.as_str()));
        Verdict::Refused(own)
    };
    batch.iter().map(verdict).collect()
}

fn is_failure(refusal: &Refusal) -> bool {
    refusal.complaints.is_empty()
        || ["Uncaught exception", "Internal compiler bug", "signal"]
            .iter()
            .any(|mark| refusal.said.contains(mark))
}

#[test]
#[ignore = "needs the C++ tool: cargo xtask test reference"]
fn what_one_refuses_the_other_refuses() {
    let first = env::var("VATMUX_REFERENCE_SEED").map_or(1, |seed| seed.parse().unwrap());
    let (mut taken, mut refused, mut failed) = (0, 0, 0);
    let mut found = Vec::new();
    for start in (first..first + SETS).step_by(BATCH as usize) {
        let batch: Vec<_> = (start..start + BATCH).map(Changed::new).collect();
        let verdicts = verdicts(&batch);
        for (changed, verdict) in batch.into_iter().zip(verdicts) {
            let what = match verdict {
                Verdict::Failed => {
                    failed += 1;
                    continue;
                }
                Verdict::Taken => match theirs(&changed.texts) {
                    Ok(request) => {
                        taken += 1;
                        let ours = ours(&changed.texts);
                        let is_stricter =
                            |complaint: &String| WE_REFUSE.iter().any(|kind| complaint.contains(kind));
                        if ours.as_ref().is_err_and(is_stricter) {
                            None
                        } else {
                            disagreement(&request, &ours)
                        }
                    }
                    Err(refusal) if is_failure(&refusal) => {
                        failed += 1;
                        continue;
                    }
                    Err(refusal) => Some(format!("alone the C++ tool refuses it: {refusal}")),
                },
                Verdict::Refused(refusal) => {
                    refused += 1;
                    let complaint = &refusal.complaints[0];
                    let place = format!("{}:{}", complaint.file, complaint.line);
                    let is_allowed = WE_TAKE.iter().any(|kind| complaint.message.contains(kind));
                    (!is_allowed && ours(&changed.texts).is_ok())
                        .then(|| format!("we take it, they do not: {place}: {}", complaint.message))
                }
            };
            if let Some(what) = what {
                found.push((changed, what));
            }
        }
    }
    println!("{taken} taken by both, {refused} refused by both, {failed} that the C++ tool failed on");
    let told: Vec<_> = found.iter().map(|(changed, what)| format!("seed {}: {what}", changed.seed)).collect();
    let first = found.first().map(|(changed, _)| shown(&changed.texts)).unwrap_or_default();
    assert!(found.is_empty(), "{} differ\n{}\nthe first of them:\n{first}", told.len(), told.join("\n"));
}
