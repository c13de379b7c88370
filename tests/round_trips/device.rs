//! A block device that is held, fills up, fails and forgets, as it is told.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use vatmux::statefs::BlockDevice;

/// Bytes in memory.
#[derive(Debug, Default)]
pub(crate) struct Device {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    trouble: Trouble,
    held: bool,
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Trouble {
    #[default]
    None,
    /// It becomes no larger.
    Full,
    /// It takes no writes.
    ReadOnly,
    /// It fails at every turn.
    Dead,
    /// It gives other bytes than it was given.
    Forgetful,
}

impl Device {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs that begin from now on wait.
    pub(crate) fn hold(&self) {
        self.state().held = true;
    }

    /// They go on.
    pub(crate) fn open(&self) {
        self.state().held = false;
        self.changed.notify_all();
    }

    /// What is wrong with it from now on, by its name.
    pub(crate) fn suffer(&self, trouble: &str) {
        self.state().trouble = match trouble {
            "nothing" => Trouble::None,
            "full" => Trouble::Full,
            "read-only" => Trouble::ReadOnly,
            "dead" => Trouble::Dead,
            "forgetful" => Trouble::Forgetful,
            other => panic!("no device suffers {other:?}"),
        };
    }
}

impl State {
    fn writable(&self) -> io::Result<()> {
        match self.trouble {
            Trouble::ReadOnly => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Trouble::Dead => Err(io::Error::other("the medium has failed")),
            Trouble::None | Trouble::Full | Trouble::Forgetful => Ok(()),
        }
    }
}

impl BlockDevice for Device {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read_at(&self, offset_bytes: u64, buffer: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        if state.trouble == Trouble::Dead {
            return Err(io::Error::other("the medium has failed"));
        }
        let at = offset_bytes as usize;
        let bytes = state.bytes.get(at..at + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        if state.trouble == Trouble::Forgetful {
            for byte in buffer {
                *byte ^= 0x55;
            }
        }
        Ok(())
    }

    fn write_at(&self, offset_bytes: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.writable()?;
        let at = offset_bytes as usize;
        let place = state.bytes.get_mut(at..at + bytes.len()).ok_or(io::ErrorKind::InvalidInput)?;
        place.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len_bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        state.writable()?;
        if state.trouble == Trouble::Full && len_bytes as usize > state.bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.bytes.resize(len_bytes as usize, 0);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        while state.held {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.writable()
    }
}

/// What waits for the device would wait for ever.
impl Drop for Device {
    fn drop(&mut self) {
        self.open();
    }
}
