//! The machine that the library pretends to stand on: a text file, read afresh at every call, so
//! that a test changes the GPUs under a running program by replacing the file.
//!
//! One word and its value per line; `#` begins a comment line; what follows `gpu` belongs to it:
//!
//! ```text
//! driver 535.183.01
//! cuda 12020
//! init unknown                  # instead of success: driver-not-loaded, unknown, no-permission
//! gpu 0                         # counted from 0, in PCI order
//!   name Tesla V100-SXM2-32GB
//!   uuid GPU-56010000-0000-4000-8000-000000000001
//!   bus 00000000:3B:00.0
//!   memory 34359738368          # bytes
//!   used 1048576                # bytes; else what the processes hold
//!   utilisation 40              # per cent
//!   process 4711 1048576        # pid and bytes, computing; repeatable
//!   graphics 4712 1048576       # the same, drawing
//!   mode exclusive              # default, exclusive, prohibited
//!   mig off                     # on, off; else not supported
//!   part MIG-5aa1 5368709120    # a MIG part: UUID and bytes; repeatable
//!   part MIG-5aa2 5368709120 7 0 # the same with its GPU instance and compute instance
//!   ecc on                      # on, off; else not supported
//!   ecc-errors 3                # uncorrected since the driver was loaded
//!   retired 2 pending           # pages
//!   remapped 1 2 pending failed # rows, corrected and not; else not supported
//!   fault lost                  # every question about it fails so: lost, unknown
//! ```

use std::path::PathBuf;

/// The file named by the environment, else the one of a node of the test cluster.
pub(crate) fn path() -> PathBuf {
    std::env::var_os("QDEBUG_TEST_NVML").map_or_else(
        || PathBuf::from("/etc/qdebug-test-nvml.conf"),
        PathBuf::from,
    )
}

/// A way in which NVML fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    DriverNotLoaded,
    Unknown,
    NoPermission,
    Lost,
}

/// A process on a GPU: pid and bytes held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) memory: u64,
}

/// Rows that the memory has put aside (Ampere and later).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remapped {
    pub(crate) corrected: u32,
    pub(crate) uncorrected: u32,
    pub(crate) pending: bool,
    pub(crate) failed: bool,
}

/// Who may compute on a GPU.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    #[default]
    Default,
    Prohibited,
    Exclusive,
}

/// A MIG part of a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    uuid: String,
    memory: u64,
    /// Its GPU instance and compute instance, where the driver tells.
    instances: Option<(u32, u32)>,
}

/// One GPU.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Gpu {
    pub(crate) name: String,
    pub(crate) uuid: String,
    pub(crate) bus: String,
    pub(crate) memory: u64,
    pub(crate) used: Option<u64>,
    pub(crate) utilisation: u32,
    pub(crate) compute: Vec<Process>,
    pub(crate) graphics: Vec<Process>,
    pub(crate) mode: Mode,
    pub(crate) mig: Option<bool>,
    pub(crate) parts: Vec<Part>,
    /// Of a part: its GPU instance and compute instance.
    pub(crate) instances: Option<(u32, u32)>,
    pub(crate) ecc: Option<bool>,
    pub(crate) ecc_errors: u64,
    pub(crate) retired: u32,
    pub(crate) retired_pending: bool,
    pub(crate) remapped: Option<Remapped>,
    pub(crate) fault: Option<Fault>,
}

impl Gpu {
    /// A part of it as a device of its own.
    pub(crate) fn part(self, place: usize) -> Option<Self> {
        let Part {
            uuid,
            memory,
            instances,
        } = self.parts.get(place)?.clone();
        Some(Self {
            name: format!("{} MIG", self.name),
            uuid,
            memory,
            instances,
            parts: Vec::new(),
            ..self
        })
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> u64 {
        let held = || {
            self.compute
                .iter()
                .chain(&self.graphics)
                .map(|process| process.memory)
                .sum()
        };
        self.used.unwrap_or_else(held).min(self.memory)
    }

    /// Domain, bus and device of `DDDDDDDD:BB:DD.F`; zeros for what cannot be read.
    pub(crate) fn address(&self) -> (u32, u32, u32) {
        let mut parts = self
            .bus
            .split([':', '.'])
            .map(|part| u32::from_str_radix(part, 16).unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        (next(), next(), next())
    }
}

/// All that the library says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) driver: String,
    pub(crate) cuda: i32,
    pub(crate) init: Option<Fault>,
    pub(crate) gpus: Vec<Gpu>,
}

impl Machine {
    /// Reads the file. Without one there is no driver; one that cannot be understood is an
    /// unknown error, and says on stderr where.
    // A library has no other way to tell its tester.
    #[allow(clippy::print_stderr)]
    pub(crate) fn read() -> Result<Self, Fault> {
        let path = path();
        let text = std::fs::read_to_string(&path).map_err(|_| Fault::DriverNotLoaded)?;
        match Self::parse(&text) {
            Ok(machine) => machine.init.map_or(Ok(machine), Err),
            Err(line) => {
                eprintln!(
                    "qdebug-test-nvml: {}: line {line} is not understood",
                    path.display()
                );
                Err(Fault::Unknown)
            }
        }
    }

    /// Parses the text; the error is the number of the first line that is wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, usize> {
        let mut machine = Self {
            driver: "535.183.01".to_owned(),
            cuda: 12020,
            init: None,
            gpus: Vec::new(),
        };
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                machine.line(line).ok_or(number + 1)?;
            }
        }
        Ok(machine)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let (word, value) = line.split_once(' ').unwrap_or((line, ""));
        let value = value.trim();
        match word {
            "driver" => self.driver = value.to_owned(),
            "cuda" => self.cuda = value.parse().ok()?,
            "init" => self.init = Some(fault(value)?),
            "gpu" => {
                (value.parse() == Ok(self.gpus.len())).then_some(())?;
                self.gpus.push(Gpu::default());
            }
            _ => self.gpus.last_mut()?.line(word, value)?,
        }
        Some(())
    }
}

impl Gpu {
    fn line(&mut self, word: &str, value: &str) -> Option<()> {
        match word {
            "name" => self.name = value.to_owned(),
            "uuid" => self.uuid = value.to_owned(),
            "bus" => self.bus = value.to_owned(),
            "memory" => self.memory = value.parse().ok()?,
            "used" => self.used = Some(value.parse().ok()?),
            "utilisation" => self.utilisation = value.parse().ok()?,
            "process" => self.compute.push(process(value)?),
            "graphics" => self.graphics.push(process(value)?),
            "mode" => {
                self.mode = match value {
                    "default" => Mode::Default,
                    "exclusive" => Mode::Exclusive,
                    "prohibited" => Mode::Prohibited,
                    _ => return None,
                }
            }
            "mig" => self.mig = Some(switch(value)?),
            "part" => {
                let words: Vec<&str> = value.split_whitespace().collect();
                let (uuid, memory, instances) = match words[..] {
                    [uuid, memory] => (uuid, memory, None),
                    [uuid, memory, gpu, compute] => {
                        let instances = (gpu.parse().ok()?, compute.parse().ok()?);
                        (uuid, memory, Some(instances))
                    }
                    _ => return None,
                };
                self.parts.push(Part {
                    uuid: uuid.to_owned(),
                    memory: memory.parse().ok()?,
                    instances,
                });
            }
            "ecc" => self.ecc = Some(switch(value)?),
            "ecc-errors" => self.ecc_errors = value.parse().ok()?,
            "retired" => {
                let mut words = value.split_whitespace();
                self.retired = words.next()?.parse().ok()?;
                self.retired_pending = words.any(|word| word == "pending");
            }
            "remapped" => {
                let mut words = value.split_whitespace();
                let corrected = words.next()?.parse().ok()?;
                let uncorrected = words.next()?.parse().ok()?;
                let rest: Vec<&str> = words.collect();
                self.remapped = Some(Remapped {
                    corrected,
                    uncorrected,
                    pending: rest.contains(&"pending"),
                    failed: rest.contains(&"failed"),
                });
            }
            "fault" => self.fault = Some(fault(value)?),
            _ => return None,
        }
        Some(())
    }
}

fn switch(value: &str) -> Option<bool> {
    match value {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn fault(value: &str) -> Option<Fault> {
    match value {
        "driver-not-loaded" => Some(Fault::DriverNotLoaded),
        "unknown" => Some(Fault::Unknown),
        "no-permission" => Some(Fault::NoPermission),
        "lost" => Some(Fault::Lost),
        _ => None,
    }
}

fn process(value: &str) -> Option<Process> {
    let (pid, memory) = value.split_once(' ')?;
    Some(Process {
        pid: pid.parse().ok()?,
        memory: memory.trim().parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_of_the_example_cluster_are_understood() {
        let v100 = include_str!("../../../examples/cluster/image/gpus-node1.conf");
        let p100 = include_str!("../../../examples/cluster/image/gpus-node2.conf");
        let (v100, p100) = (Machine::parse(v100).unwrap(), Machine::parse(p100).unwrap());
        assert_eq!(v100.gpus.len(), 2);
        assert!(v100.gpus.iter().all(|gpu| gpu.name.contains("V100")));
        assert!(p100.gpus.iter().all(|gpu| gpu.name.contains("P100")));
        let mut uuids: Vec<_> = v100
            .gpus
            .iter()
            .chain(&p100.gpus)
            .map(|gpu| &gpu.uuid)
            .collect();
        uuids.sort();
        uuids.dedup();
        assert_eq!(uuids.len(), 4);
    }

    #[test]
    fn a_gpu_holds_what_its_processes_hold() {
        let machine = Machine::parse(
            "gpu 0\nmemory 100\nprocess 7 30\ngraphics 8 5\ngpu 1\nmemory 9\nused 200\n",
        );
        let machine = machine.unwrap();
        assert_eq!(machine.gpus[0].used(), 35);
        assert_eq!(machine.gpus[0].compute, [Process { pid: 7, memory: 30 }]);
        assert_eq!(machine.gpus[1].used(), 9);
    }

    #[test]
    fn the_address_is_hexadecimal() {
        let gpu = Gpu {
            bus: "00000001:3B:0a.0".to_owned(),
            ..Gpu::default()
        };
        assert_eq!(gpu.address(), (1, 0x3b, 10));
    }

    #[test]
    fn a_wrong_line_is_told() {
        for (text, line) in [
            ("name early\n", 1),
            ("gpu 1\n", 1),
            ("\n# note\ngpu 0\n  mode often\n", 4),
            ("gpu 0\nprocess seven 1\n", 2),
            ("gpu 0\nremapped 1\n", 2),
            ("gpu 0\npart MIG-1\n", 2),
            ("gpu 0\npart MIG-1 5 7\n", 2),
            ("gpu 0\nnonsense\n", 2),
        ] {
            assert_eq!(Machine::parse(text), Err(line), "{text:?}");
        }
    }
}
