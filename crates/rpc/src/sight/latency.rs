//! How long calls take.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// Times below this are not told apart; half of it is.
const RESOLUTION_NANOS: u64 = 1_000;

/// Longer times count as this.
const LONGEST_NANOS: u64 = 3_600 * 1_000_000_000;

/// One digit: a time is known to within 7 %.
const DIGITS: u8 = 1;

/// How many times are counted; those beyond are not. Counts may come from a peer, and have to have a sum.
const MOST: u64 = 1 << 62;

/// A histogram of times, of half a microsecond to an hour, each known to within 7 %.
///
/// It has one size, about 4 KiB, however many times are in it; an empty one takes nothing.
#[derive(Clone, Default, PartialEq)]
pub struct Latency(Option<Box<Histogram<u64>>>);

impl Latency {
    /// Counts one time.
    pub fn record(&mut self, time: Duration) {
        self.record_many(time, 1);
    }

    /// Counts one time as often as it is said to have been measured.
    pub fn record_many(&mut self, time: Duration, count: u64) {
        if self.0.is_none() {
            self.0 = Histogram::new_with_bounds(RESOLUTION_NANOS, LONGEST_NANOS, DIGITS).ok().map(Box::new);
        }
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        if let Some(histogram) = &mut self.0 {
            histogram.saturating_record_n(nanos, count.min(MOST - histogram.len().min(MOST)));
        }
    }

    /// Counts all that the other has counted.
    pub fn add(&mut self, other: &Self) {
        for (time, count) in other.buckets() {
            self.record_many(time, count);
        }
    }

    /// How many times were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.as_ref().map_or(0, |histogram| histogram.len())
    }

    /// The time that the given share of all, from 0 to 1, did not exceed; None where nothing was counted.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let histogram = self.0.as_ref().filter(|histogram| !histogram.is_empty())?;
        Some(Duration::from_nanos(histogram.value_at_quantile(share)))
    }

    /// The times that were counted, shortest first, each with how often.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let recorded = self.0.iter().flat_map(|histogram| histogram.iter_recorded());
        recorded.map(|bucket| {
            (Duration::from_nanos(bucket.value_iterated_to()), bucket.count_since_last_iteration())
        })
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.buckets()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_known_to_within_seven_percent() {
        let mut nanos: u64 = 1_000;
        while nanos < LONGEST_NANOS {
            let mut latency = Latency::default();
            latency.record(Duration::from_nanos(nanos));
            let told = latency.quantile(0.5).unwrap().as_nanos() as f64;
            let error = (told / nanos as f64 - 1.0).abs();
            assert!(error < 0.07 || told - (nanos as f64) < RESOLUTION_NANOS as f64, "{nanos}: {told}");
            nanos += nanos / 3;
        }
    }

    #[test]
    fn no_time_is_too_short_or_too_long() {
        let mut latency = Latency::default();
        latency.record(Duration::ZERO);
        latency.record(Duration::MAX);
        assert_eq!(latency.count(), 2);
        assert!(latency.quantile(0.0).unwrap() < Duration::from_micros(1));
        assert!(latency.quantile(1.0).unwrap() >= Duration::from_hours(1));
    }

    #[test]
    fn nothing_was_counted_in_an_empty_one() {
        let latency = Latency::default();
        assert_eq!((latency.count(), latency.quantile(0.5), latency.buckets().count()), (0, None, 0));
    }

    #[test]
    fn what_went_through_buckets_is_what_was_counted() {
        let mut latency = Latency::default();
        for micros in 0..100_000 {
            latency.record(Duration::from_micros(micros));
        }
        let mut copy = Latency::default();
        copy.add(&latency);
        assert_eq!(copy, latency);
        let median = copy.quantile(0.5).unwrap().as_micros();
        assert!((46_500..53_500).contains(&median), "{median}");
    }

    #[test]
    fn counts_that_a_peer_makes_up_do_no_harm() {
        let mut latency = Latency::default();
        for micros in 1..100 {
            latency.record_many(Duration::from_micros(micros), u64::MAX);
        }
        assert_eq!(latency.count(), MOST);
        assert!(latency.quantile(1.0).unwrap() < Duration::from_micros(2));
        latency.add(&latency.clone());
        assert_eq!(latency.count(), MOST);
    }

    #[test]
    fn its_size_is_bounded() {
        let mut latency = Latency::default();
        latency.record(Duration::from_secs(1));
        let places = latency.0.as_ref().unwrap().distinct_values();
        assert!(places * size_of::<u64>() <= 4 << 10, "{places} places");
    }
}
