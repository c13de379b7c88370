//! A machine that QEMU plays: RISC-V, one hart, with a disk, a network card and a source of random bytes.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use vatmux_os_disk::{CONFIG_AT, Config, DISK_BYTES, seal_config};

use super::console::Console;
use super::image::Image;
use crate::repository::call_of;

/// The program.
pub(crate) const QEMU: &str = "qemu-system-riscv64";

/// The machine's memory.
pub(crate) const MEMORY_MIB: u32 = 32;

/// A TCP port of this machine's that leads to one of an image's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forward {
    pub(crate) from: u16,
    pub(crate) to: (Ipv4Addr, u16),
}

/// What the machine's network card is connected to.
#[derive(Clone, Debug)]
pub(crate) enum Wire {
    /// Nothing: there is no card.
    None,
    /// QEMU's own small network, with this machine at 10.0.2.2.
    User { forwards: Vec<Forward> },
}

/// A cable between two machines' second cards: frames in UDP datagrams of this machine's, one in each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cable {
    /// The port of this end.
    pub(crate) here: u16,
    /// The port of the other end.
    pub(crate) there: u16,
    /// What the Ethernet address of this end ends with: more than the first card's 1.
    pub(crate) card: u8,
}

/// How a machine is put together.
#[derive(Clone, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) image: &'a Image,
    /// The disk's file; `None` for no disk.
    pub(crate) disk: Option<&'a Path>,
    pub(crate) wire: Wire,
    /// What a second card is connected to; `None` for no second card.
    pub(crate) cable: Option<Cable>,
    pub(crate) memory_mib: u32,
    /// Where random bytes come from: `None` for where they should. With a seed they are the same each time, and the machine sleeps
    /// for no time of ours: its clock is that of its instructions and of what it waits for.
    pub(crate) seed: Option<u32>,
}

impl Parts<'_> {
    /// How QEMU is called.
    pub(crate) fn call(&self) -> Command {
        let mut call = Command::new(QEMU);
        call.args(["-machine", "virt", "-smp", "1", "-bios", "default", "-nographic", "-no-reboot"])
            .args(["-global", "virtio-mmio.force-legacy=false", "-m", &self.memory_mib.to_string()])
            .arg("-kernel")
            .arg(&self.image.path)
            .args(["-object", "rng-builtin,id=random", "-device", "virtio-rng-device,rng=random"]);
        // While it does not sleep, its time is the number of its instructions: how busy this machine is changes little.
        match self.seed {
            None => call.args(["-icount", "shift=0"]),
            Some(seed) => {
                call.args(["-icount", "shift=0,sleep=off", "-rtc", "clock=vm", "-seed", &seed.to_string()])
            }
        };
        if let Some(disk) = self.disk {
            let drive = format!("if=none,format=raw,id=disk,file={}", disk.display());
            call.args(["-drive", &drive, "-device", "virtio-blk-device,drive=disk"]);
        }
        if let Wire::User { forwards } = &self.wire {
            let forwards = forwards.iter().map(|forward| {
                let (address, port) = forward.to;
                format!(",hostfwd=tcp:127.0.0.1:{}-{address}:{port}", forward.from)
            });
            call.args(["-netdev", &format!("user,id=net{}", forwards.collect::<String>())])
                .args(["-device", "virtio-net-device,netdev=net,mac=52:54:00:76:61:01"]);
        }
        if let Some(Cable { here, there, card }) = self.cable {
            let ends = format!("socket,id=cable,udp=127.0.0.1:{there},localaddr=127.0.0.1:{here}");
            let device = format!("virtio-net-device,netdev=cable,mac=52:54:00:76:61:{card:02x}");
            call.args(["-netdev", &ends, "-device", &device]);
        }
        call
    }

    /// Switches the machine on. What it prints is kept in the file `log`.
    pub(crate) fn start(&self, log: PathBuf) -> Result<Machine, String> {
        let mut call = self.call();
        let name = call_of(&call);
        let mut child = call
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(|error| format!("cannot start {name}: {error}"))?;
        let output = child.stdout.take().ok_or("QEMU has no standard output")?;
        Ok(Machine { child, console: Console::follow(output, log)? })
    }
}

/// A machine that is on. It is switched off when it is dropped.
pub(crate) struct Machine {
    child: Child,
    pub(crate) console: Console,
}

impl Machine {
    /// Waits until it powers off, and gives QEMU's exit status, which the image chose.
    pub(crate) fn wait(&mut self, patience: Duration) -> Result<ExitStatus, String> {
        self.console.wait_for_end(patience)?;
        self.child.wait().map_err(|error| format!("cannot wait for QEMU: {error}"))
    }

    /// Switches it off, as a power cut would.
    pub(crate) fn cut(mut self) -> Result<(), String> {
        self.child.kill().map_err(|error| format!("cannot kill QEMU: {error}"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may be off already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes `config` to the disk in the file `path`, which is made where there is none. The key on it stays.
pub(crate) fn configure(path: &Path, config: &Config) -> Result<(), String> {
    let failed = |error| format!("cannot write the disk {}: {error}", path.display());
    let mut disk = match fs::read(path) {
        Ok(disk) => disk,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed(error)),
    };
    disk.resize(disk.len().max(DISK_BYTES), 0);
    let area = seal_config(config).ok_or("the configuration does not fit the disk")?;
    disk[CONFIG_AT..CONFIG_AT + area.len()].copy_from_slice(&area);
    fs::write(path, &disk).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_configuration_leaves_the_key_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        configure(&path, &Config::default()).unwrap();
        let mut disk = fs::read(&path).unwrap();
        assert_eq!(disk.len(), DISK_BYTES);
        disk[vatmux_os_disk::KEY_AT..][..4].copy_from_slice(b"key!");
        fs::write(&path, &disk).unwrap();
        configure(&path, &Config { task: vatmux_os_disk::Task::Serve, ..Config::default() }).unwrap();
        let disk = fs::read(&path).unwrap();
        assert_eq!(&disk[vatmux_os_disk::KEY_AT..][..4], b"key!");
        assert_eq!(
            vatmux_os_disk::read_config(&disk[CONFIG_AT..]).unwrap().task,
            vatmux_os_disk::Task::Serve
        );
    }
}
