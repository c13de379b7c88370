//! Figures of several runs, and what is said of them.

use serde::Serialize;

/// The figures of one kind, one per run, in the order of the runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct Series(Vec<f64>);

impl Series {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    #[cfg(test)]
    pub(crate) fn values(&self) -> &[f64] {
        &self.0
    }

    /// The median; between the two middle ones of an even number. `None` without runs.
    pub(crate) fn median(&self) -> Option<f64> {
        let sorted = self.sorted();
        let (lower, upper) = (sorted.len().checked_sub(1)? / 2, sorted.len() / 2);
        Some(f64::midpoint(sorted[lower], sorted[upper]))
    }

    pub(crate) fn least(&self) -> Option<f64> {
        self.sorted().first().copied()
    }

    pub(crate) fn greatest(&self) -> Option<f64> {
        self.sorted().last().copied()
    }

    /// The smallest value that at least `percent` per cent of the values do not exceed. `None` without values.
    pub(crate) fn percentile(&self, percent: usize) -> Option<f64> {
        let sorted = self.sorted();
        let rank = (percent * sorted.len()).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(Series::from_iter([4.0, 1.0, 3.0, 2.0]).median(), Some(2.5));
        assert_eq!(Series::from_iter([9.0, 1.0, 3.0]).median(), Some(3.0));
        assert_eq!(Series::default().median(), None);
    }

    #[test]
    fn the_99th_percentile_of_100_is_the_second_largest() {
        let hundred: Series = (1..=100).rev().map(f64::from).collect();
        assert_eq!(hundred.percentile(99), Some(99.0));
        assert_eq!(hundred.percentile(100), Some(100.0));
        assert_eq!(hundred.percentile(0), Some(1.0));
        assert_eq!(Series::default().percentile(50), None);
    }
}
