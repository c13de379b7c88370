//! Gives the linker the image's memory map.

fn main() {
    println!("cargo::rerun-if-changed=image.ld");
    let directory = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bins=-T{directory}/image.ld");
    println!("cargo::rustc-link-arg-bins=--gc-sections");
}
