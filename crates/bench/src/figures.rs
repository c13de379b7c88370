//! Contestants, run in turn, and the figures of their runs.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::series::Series;

/// What one run measured: values by name, the unit in the name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures(BTreeMap<&'static str, f64>);

impl Figures {
    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.0.insert(name, value);
        self
    }
}

/// Why a contestant is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To warm caches, and to check every byte. Its figures are dropped.
    WarmUp,
    /// To be measured.
    Timed,
}

/// Somebody to be measured.
pub(crate) struct Contestant<'a> {
    name: &'static str,
    /// Fails the whole suite: figures beside a contestant that broke down compare nothing.
    run: Result<Box<dyn FnMut(Purpose) -> Result<Figures> + 'a>, String>,
}

impl<'a> Contestant<'a> {
    pub(crate) fn new(name: &'static str, run: impl FnMut(Purpose) -> Result<Figures> + 'a) -> Self {
        Self { name, run: Ok(Box::new(run)) }
    }

    /// One that this machine does not have.
    pub(crate) fn absent(name: &'static str, reason: impl Into<String>) -> Self {
        Self { name, run: Err(reason.into()) }
    }
}

/// The figures of one contestant over all its timed runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) absent: Option<String>,
    pub(crate) figures: BTreeMap<&'static str, Series>,
}

impl Row {
    /// The median of the figures called `name`; `None` when the contestant was not there.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        self.figures.get(name)?.median()
    }
}

/// Runs each contestant once to warm up and then `runs` times, in turn, so that what else the machine does meets all
/// of them alike. `only` names those that take part; empty means all.
pub(crate) fn interleave(
    mut contestants: Vec<Contestant<'_>>,
    runs: usize,
    only: &[String],
) -> Result<Vec<Row>> {
    contestants.retain(|contestant| only.is_empty() || only.iter().any(|name| name == contestant.name));
    let mut rows: Vec<Row> = contestants
        .iter()
        .map(|contestant| Row {
            name: contestant.name,
            absent: contestant.run.as_ref().err().cloned(),
            figures: BTreeMap::new(),
        })
        .collect();
    for turn in 0..=runs {
        let purpose = if turn == 0 { Purpose::WarmUp } else { Purpose::Timed };
        for (contestant, row) in contestants.iter_mut().zip(&mut rows) {
            let Ok(run) = &mut contestant.run else { continue };
            let figures = run(purpose).with_context(|| contestant.name)?;
            if purpose == Purpose::Timed {
                for (name, value) in figures.0 {
                    row.figures.entry(name).or_default().push(value);
                }
            }
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn contestants_take_turns_and_the_warm_up_does_not_count() {
        let turns = RefCell::new(String::new());
        let contestant = |name: &'static str| {
            let turns = &turns;
            Contestant::new(name, move |purpose| {
                turns.borrow_mut().push_str(name);
                Ok(Figures::default().with("s", if purpose == Purpose::WarmUp { 100.0 } else { 1.0 }))
            })
        };
        let contestants = vec![contestant("a"), Contestant::absent("x", "not installed"), contestant("b")];
        let rows = interleave(contestants, 2, &[]).unwrap();
        assert_eq!(*turns.borrow(), "ababab");
        assert_eq!(rows[0].figures["s"].values(), [1.0, 1.0]);
        assert_eq!(rows[1].absent.as_deref(), Some("not installed"));
        assert_eq!(rows[1].median("s"), None);
    }

    #[test]
    fn one_failure_fails_the_suite() {
        let contestants = vec![Contestant::new("a", |_| anyhow::bail!("broke down"))];
        let error = interleave(contestants, 1, &[]).unwrap_err();
        assert_eq!(format!("{error:#}"), "a: broke down");
    }
}
