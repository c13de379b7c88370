//! What an image must have printed, and what it says in it.

/// What is printed after the tests with one node that offers all services.
pub(crate) const WITH_A_HOST: &[&str] = &[
    "dsoftbus:mux session up",
    "dsoftbus:mux data ok",
    "SELFTEST: remote resolve ok",
    "SELFTEST: mux pri control ok",
    "SELFTEST: mux bulk ok",
    "SELFTEST: mux backpressure ok",
    "SELFTEST: remote query ok",
    "SELFTEST: remote statefs rw ok",
    "SELFTEST: remote pkgfs stat ok",
    "SELFTEST: remote pkgfs open ok",
    "SELFTEST: remote pkgfs read step ok",
    "SELFTEST: remote pkgfs close ok",
    "SELFTEST: liveness bounded ok",
];

/// The same with another image, which keeps nothing for others.
pub(crate) const WITH_AN_IMAGE: &[&str] = &[
    "dsoftbus:mux session up",
    "dsoftbus:mux data ok",
    "SELFTEST: mux pri control ok",
    "SELFTEST: mux bulk ok",
    "SELFTEST: mux backpressure ok",
    "SELFTEST: remote pkgfs stat ok",
    "SELFTEST: remote pkgfs open ok",
    "SELFTEST: remote pkgfs read step ok",
    "SELFTEST: remote pkgfs close ok",
    "SELFTEST: liveness bounded ok",
];

/// The markers that are missing, and the lines that say that something failed.
pub(crate) fn faults(lines: &[String], expected: &[&str]) -> Vec<String> {
    let missing = expected
        .iter()
        .filter(|marker| !lines.iter().any(|line| line.contains(*marker)))
        .map(|marker| format!("missing: {marker}"));
    let failures = lines.iter().filter(|line| super::console::is_failure(line)).cloned();
    missing.chain(failures).collect()
}

/// What a marker's line says of `key`: `key=value` up to the next space or the closing parenthesis.
pub(crate) fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("{key}="))?;
    Some(rest.split([' ', ')']).next().unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_run_with_all_markers_has_no_fault() {
        let all: Vec<_> = WITH_A_HOST.iter().map(|marker| format!("{marker} (n=1)")).collect();
        assert_eq!(faults(&all, WITH_A_HOST), [""; 0]);
    }

    #[test]
    fn a_missing_marker_and_a_failed_test_are_faults_each() {
        let printed = lines("SELFTEST: a ok\nSELFTEST: FAIL SELFTEST: b: too slow\nSELFTEST: c ok (x=2)");
        assert_eq!(
            faults(&printed, &["SELFTEST: a ok", "SELFTEST: b ok", "SELFTEST: c ok"]),
            ["missing: SELFTEST: b ok", "SELFTEST: FAIL SELFTEST: b: too slow"]
        );
    }

    #[test]
    fn a_value_ends_with_a_space_or_a_parenthesis() {
        let line = "SELFTEST: mux bulk ok (bytes=12 us=345)";
        assert_eq!(
            (value(line, "bytes"), value(line, "us"), value(line, "x")),
            (Some("12"), Some("345"), None)
        );
    }
}
