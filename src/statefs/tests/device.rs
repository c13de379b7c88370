//! A device that loses power, fills up, fails, and forgets, as it is told.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, MutexGuard};

use super::Dice;
use crate::statefs::device::{BlockDevice, SECTOR_BYTES};

/// Bytes in memory, of which those that were not synced are lost with the power, sector by sector.
#[derive(Debug, Default)]
pub(super) struct SimulatedDevice {
    state: Mutex<State>,
    /// Who is told of the next sync, and who lets it go on.
    hang: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

#[derive(Debug, Default)]
struct State {
    /// What reads see.
    bytes: Vec<u8>,
    /// What was there at the last sync.
    durable: Vec<u8>,
    /// What was written to each sector since then, in order.
    unsynced: BTreeMap<usize, Vec<Vec<u8>>>,
    /// How long the device was, since then.
    lengths: Vec<usize>,
    operations: u64,
    fault: Fault,
}

/// What is wrong with the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// After so many writes, resizings and syncs in all, the power is gone.
    PowerCutAt(u64),
    /// It has no more than so many bytes.
    Full(u64),
    /// It takes no writes.
    ReadOnly,
    /// The write, resizing or sync with this number fails, and no other.
    FailsAt(u64),
}

impl SimulatedDevice {
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self {
            state: Mutex::new(State { durable: bytes.clone(), bytes, ..State::default() }),
            ..Self::default()
        }
    }

    /// The next sync says that it has begun, and then waits to be told to go on.
    pub(super) fn hang_at_next_sync(&self) -> (Receiver<()>, Sender<()>) {
        let ((entered, begun), (go_on, released)) = (mpsc::channel(), mpsc::channel());
        *self.hang.lock().unwrap() = Some((entered, released));
        (begun, go_on)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn set_fault(&self, fault: Fault) {
        self.state().fault = fault;
    }

    /// How many writes, resizings and syncs there were.
    pub(super) fn operations(&self) -> u64 {
        self.state().operations
    }

    /// What is there, synced or not.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    /// What a power cut now might leave: of each sector what was synced, or any later state of it.
    pub(super) fn after_power_cut(&self, dice: &mut Dice) -> Vec<u8> {
        let state = self.state();
        let mut bytes = state.durable.clone();
        if let Some(len) = state.lengths.get(dice.below(state.lengths.len() + 1)) {
            bytes.resize(*len, 0);
        }
        // Nothing, everything, or anything in between.
        let style = dice.below(4);
        for (sector, writes) in &state.unsynced {
            let reached = match style {
                0 => 0,
                1 => writes.len(),
                _ => dice.below(writes.len() + 1),
            };
            let at = sector * SECTOR_BYTES;
            if let Some(last) = writes[..reached].last()
                && at + last.len() <= bytes.len()
            {
                bytes[at..at + last.len()].copy_from_slice(last);
            }
        }
        bytes
    }
}

impl State {
    fn begin(&mut self) -> io::Result<()> {
        self.operations += 1;
        match self.fault {
            Fault::PowerCutAt(operations) if self.operations > operations => {
                Err(io::Error::other("the power is gone"))
            }
            Fault::FailsAt(operation) if self.operations == operation => {
                Err(io::Error::other("the medium has failed"))
            }
            Fault::ReadOnly => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            _ => Ok(()),
        }
    }
}

impl BlockDevice for SimulatedDevice {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let at = offset_bytes as usize;
        let bytes = state.bytes.get(at..at + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        let at = offset_bytes as usize;
        assert!(at.is_multiple_of(SECTOR_BYTES), "a disk writes whole sectors");
        state.bytes.get_mut(at..at + bytes.len()).expect("a write within the device").copy_from_slice(bytes);
        for (sector, bytes) in (at / SECTOR_BYTES..).zip(bytes.chunks(SECTOR_BYTES)) {
            state.unsynced.entry(sector).or_default().push(bytes.to_vec());
        }
        Ok(())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        state.begin()?;
        if matches!(state.fault, Fault::Full(most) if len_bytes > most) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.bytes.resize(len_bytes as usize, 0);
        state.lengths.push(len_bytes as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let hang = self.hang.lock().unwrap().take();
        if let Some((entered, released)) = hang {
            entered.send(()).unwrap();
            released.recv().unwrap();
        }
        let mut state = self.state();
        state.begin()?;
        let State { durable, bytes, unsynced, .. } = &mut *state;
        durable.resize(bytes.len(), 0);
        for at in unsynced.keys().map(|sector| sector * SECTOR_BYTES) {
            // What was cut off meanwhile is gone.
            if let (Some(kept), Some(written)) =
                (durable.get_mut(at..at + SECTOR_BYTES), bytes.get(at..at + SECTOR_BYTES))
            {
                kept.copy_from_slice(written);
            }
        }
        state.unsynced.clear();
        state.lengths.clear();
        Ok(())
    }
}
