//! The bench as a command: small runs of its suites, and what it says when it is used wrongly.

use std::process::{Command, Output, Stdio};

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vatmux-bench")).args(arguments).output().expect("the bench runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the bench prints UTF-8")
}

/// The last lines, which programs read.
fn ratios(output: &Output) -> Vec<(&str, f64)> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
        .lines()
        .filter_map(|line| line.strip_prefix("ratio ")?.split_once(' '))
        .map(|(name, value)| (name, value.parse().expect("a ratio is a number")))
        .collect()
}

#[test]
fn the_packagefs_suite_compares_reading_and_fetches_the_small_files() {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("report.json");
    let only = "noise_raw,noise_file,yamux,packagefs,fetch_10ms";
    let json_path = json.to_str().unwrap();
    let output =
        bench(&["packagefs", "--runs", "1", "--bytes", "1048577", "--only", only, "--json", json_path]);
    let ratios = ratios(&output);
    for name in ["read_vs_noise_raw", "read_vs_yamux", "rss_server_mib", "rss_client_mib", "small_10ms"] {
        let name = format!("packagefs.{name}");
        assert!(ratios.iter().any(|(ratio, value)| *ratio == name && *value > 0.0), "{name} is missing");
    }
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(report["suite"], "packagefs");
    assert_eq!(report["ratios"].as_array().map(Vec::len), Some(ratios.len()));
}

#[test]
fn the_link_suite_compares_loaded_with_idle_pings() {
    let output = bench(&["link", "--runs", "1", "--bytes", "1048576"]);
    assert_eq!(
        ratios(&output).iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["link.ping_loaded_vs_idle"]
    );
}

#[test]
fn the_mux_suite_compares_with_every_peer_in_memory_and_over_tcp() {
    let output = bench(&["mux", "--runs", "1", "--bytes", "1048576"]);
    let ratios = ratios(&output);
    for name in [
        "duplex1.vs_best_peer",
        "duplex100.at_64k",
        "echo.vs_best_peer",
        "open_close.vs_best_peer",
        "tcp_noise.vs_noise_raw",
        "tcp_noise.vs_best_peer",
        "tcp_noise_aes.vs_noise_raw",
        "tcp_noise_aes.at_64k_vs_noise_raw",
    ] {
        let name = format!("mux.{name}");
        assert!(ratios.iter().any(|(ratio, value)| *ratio == name && *value > 0.0), "{name} is missing");
    }
    // These do not depend on the machine, nor on how fast it is.
    for (name, most) in
        [("allocs_per_mib", 0.0), ("idle_stream_bytes", 512.0), ("idle_session_bytes", 16_384.0)]
    {
        let name = format!("mux.{name}");
        let value = ratios.iter().find(|(ratio, _)| *ratio == name).map(|(_, value)| *value);
        assert!(value.is_some_and(|value| value <= most), "{name} is {value:?}, more than {most}");
    }
}

#[test]
fn the_rpc_suite_compares_with_every_peer_on_one_thread_and_between_processes() {
    let output = bench(&["rpc", "--runs", "1", "--bytes", "1048577", "--calls", "400"]);
    let ratios = ratios(&output);
    for name in [
        "sequential_p50.vs_capnp_plain",
        "inflight64_calls.vs_capnp_plain",
        "inflight64_calls.vs_tonic",
        "sequential_p50.vs_tonic",
        "inflight64_calls.vs_tarpc",
        "processes.sequential_p50.vs_capnp_plain",
        "processes.inflight64_calls.vs_tonic",
        "stream_throughput.vs_noise_raw",
        "guard_cost",
    ] {
        let name = format!("rpc.{name}");
        assert!(ratios.iter().any(|(ratio, value)| *ratio == name && *value > 0.0), "{name} is missing");
    }
    // What the limits on calls are reckoned with.
    let held = ratios.iter().find(|(ratio, _)| *ratio == "rpc.memory_per_outstanding_call");
    assert!(held.is_some_and(|(_, bytes)| (1.0..=2_720.0).contains(bytes)), "{held:?}");
}

#[test]
fn the_services_suite_compares_state_and_bundles_and_has_one_beside_the_other() {
    let output = bench(&["services", "--runs", "1", "--bytes", "1048577", "--calls", "400"]);
    let ratios = ratios(&output);
    for name in [
        "statefs.put1.vs_sqlite_local",
        "statefs.put64.vs_sqlite_local",
        "statefs.get_p50.vs_null_call",
        "packagefs.read_vs_noise_raw",
        "bundle.install_vs_noise_raw",
        "services.state_p99_under_install",
        "samgr.resolve_then_call_rtts",
    ] {
        assert!(ratios.iter().any(|(ratio, value)| *ratio == name && *value > 0.0), "{name} is missing");
    }
}

#[test]
fn an_unknown_suite_is_refused_with_the_names_of_those_there_are() {
    let output = bench(&["speed"]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("there is no suite `speed`; there are: packagefs, link, mux, rpc"));
}

#[test]
fn a_contestant_that_nobody_has_is_refused() {
    let output = bench(&["link", "--only", "vatmux,http"]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("there is no contestant `http`"), "{}", text(&output.stderr));
}

#[test]
fn a_side_ends_with_the_bench() {
    let role = r#"{"RawServer":{"source":{"Memory":{"bytes":1}},"cipher":"ChaChaPoly"}}"#;
    let output = Command::new(env!("CARGO_BIN_EXE_vatmux-bench"))
        .args(["--side", role])
        .stdin(Stdio::null())
        .output()
        .expect("the bench runs");
    // It waits for its client when the end of its input ends it.
    assert!(output.status.success());
}
