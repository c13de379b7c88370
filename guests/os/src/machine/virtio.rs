//! The virtio devices: where they are, and memory that they can reach, which is all of it.

use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed, dealloc};

use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::{DeviceType, Transport};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

/// How many places for devices QEMU's `virt` machine has.
const PLACES: usize = 8;
const FIRST: usize = 0x1000_1000;
const PLACE_BYTES: usize = 0x1000;

/// How a driver talks to its device.
pub(crate) type Registers = MmioTransport<'static>;

/// A device that nobody drives yet.
pub(crate) struct Found {
    /// Which place it is in: interrupts name it.
    pub(crate) place: usize,
    pub(crate) kind: DeviceType,
    pub(crate) registers: Registers,
}

/// The devices of the machine. To be called once: each device has one driver.
pub(crate) fn probe() -> Vec<Found> {
    let found = (0..PLACES).filter_map(|place| {
        let header = NonNull::new((FIRST + place * PLACE_BYTES) as *mut VirtIOHeader)?;
        // SAFETY: these are the registers of the machine's places for virtio devices, mapped for ever and used by
        // nothing else; a place without a device says so in its header.
        let registers = unsafe { MmioTransport::new(header, PLACE_BYTES) }.ok()?;
        Some(Found { place, kind: registers.device_type(), registers })
    });
    found.collect()
}

/// Memory that devices reach: there is no translation between us, and what we call an address, they call so, too.
pub(crate) struct Memory;

fn pages_layout(pages: usize) -> Option<Layout> {
    Layout::from_size_align(pages.checked_mul(PAGE_SIZE)?, PAGE_SIZE).ok().filter(|layout| layout.size() > 0)
}

// SAFETY: pages come from the heap, zeroed and aligned, and nothing else has them until they go back; addresses are the
// same on both sides, and the devices of this machine see the processor's memory as it does.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: the layout's size is not zero.
        let memory = pages_layout(pages).and_then(|layout| NonNull::new(unsafe { alloc_zeroed(layout) }));
        // An address of zero says that there is none.
        memory.map_or((0, NonNull::dangling()), |memory| (memory.as_ptr() as PhysAddr, memory))
    }

    unsafe fn dma_dealloc(_paddr: PhysAddr, vaddr: NonNull<u8>, pages: usize) -> i32 {
        match pages_layout(pages) {
            Some(layout) => {
                // SAFETY: it came from `dma_alloc` with as many pages.
                unsafe { dealloc(vaddr.as_ptr(), layout) };
                0
            }
            None => -1,
        }
    }

    unsafe fn mmio_phys_to_virt(paddr: PhysAddr, _size: usize) -> NonNull<u8> {
        // Only devices behind PCI ask, of which there are none.
        NonNull::new(paddr as *mut u8).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as PhysAddr
    }

    unsafe fn unshare(_paddr: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}
