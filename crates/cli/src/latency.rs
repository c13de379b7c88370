//! What a number of measured times comes to.

use std::time::Duration;

use serde_json::json;

use crate::json::seconds;

/// Times in ascending order; at least one.
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// `None` where nothing was measured.
    pub(crate) fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        if times.is_empty() { None } else { Some(Self(times)) }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn min(&self) -> Duration {
        self.percentile(0)
    }

    pub(crate) fn median(&self) -> Duration {
        self.percentile(50)
    }

    pub(crate) fn p99(&self) -> Duration {
        self.percentile(99)
    }

    pub(crate) fn max(&self) -> Duration {
        self.percentile(100)
    }

    /// `{"count", "min_seconds", "median_seconds", "p99_seconds", "max_seconds"}`.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        json!({
            "count": self.count(),
            "min_seconds": seconds(self.min()),
            "median_seconds": seconds(self.median()),
            "p99_seconds": seconds(self.p99()),
            "max_seconds": seconds(self.max()),
        })
    }

    /// The least of the times that at least `percent` of all do not exceed (the nearest rank).
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or_default()
    }
}

/// A time in the unit that suits it: `87.5 µs`, `1.25 ms`, `3.00 s`.
pub(crate) fn shown(time: Duration) -> String {
    match time.as_nanos() {
        0..1_000_000 => format!("{:.1} µs", time.as_secs_f64() * 1e6),
        1_000_000..1_000_000_000 => format!("{:.2} ms", time.as_secs_f64() * 1e3),
        _ => format!("{:.2} s", time.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let latencies = Latencies::of((1..=200).rev().map(Duration::from_millis).collect()).unwrap();
        let millis = |time: Duration| time.as_millis();
        assert_eq!(millis(latencies.min()), 1);
        assert_eq!(millis(latencies.median()), 100);
        assert_eq!(millis(latencies.p99()), 198);
        assert_eq!(millis(latencies.max()), 200);
    }

    #[test]
    fn one_time_is_all_of_its_percentiles_and_none_are_nothing() {
        let one = Latencies::of(vec![Duration::from_secs(3)]).unwrap();
        assert_eq!([one.min(), one.median(), one.p99(), one.max()], [Duration::from_secs(3); 4]);
        assert!(Latencies::of(Vec::new()).is_none());
    }

    #[test]
    fn times_have_a_fitting_unit() {
        assert_eq!(shown(Duration::from_nanos(87_520)), "87.5 µs");
        assert_eq!(shown(Duration::from_micros(1250)), "1.25 ms");
        assert_eq!(shown(Duration::from_secs(3)), "3.00 s");
    }
}
