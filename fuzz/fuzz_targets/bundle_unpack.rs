#![no_main]

use libfuzzer_sys::fuzz_target;
use vatmux_fuzzing::Target;

fuzz_target!(|bytes: &[u8]| Target::BundleUnpack.run(bytes));
