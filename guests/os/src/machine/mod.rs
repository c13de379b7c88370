//! What touches the machine: QEMU's `virt`, one RISC-V hart under `OpenSBI`. Every `unsafe` of the image is in here, and
//! this is what another board replaces.

mod boot;
pub(crate) mod console;
pub(crate) mod heap;
pub(crate) mod interrupts;
pub(crate) mod lone;
pub(crate) mod power;
mod symbols;
pub(crate) mod timer;
pub(crate) mod virtio;
