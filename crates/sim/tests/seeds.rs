//! The seeds of every test run. The long run is `cargo xtask sim`, which the test command calls with more.

#[test]
fn the_first_seeds_keep_every_promise_over_both_storages() {
    if let Err(failure) = vatmux_sim::run_all(0..2000) {
        panic!("{failure}");
    }
}
