//! What the kernel says about this process; zeros where it does not tell.

/// Clock ticks of /proc in a second, on every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;

/// One look at the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Process {
    pub(crate) resident_bytes: u64,
    pub(crate) resident_bytes_max: u64,
    pub(crate) threads: u64,
    pub(crate) cpu_user_seconds: f64,
    pub(crate) cpu_system_seconds: f64,
    pub(crate) descriptors: u64,
    /// Memory of the whole machine.
    pub(crate) machine_bytes: u64,
}

impl Process {
    pub(crate) fn look() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let machine = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let descriptors = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64;
        Self {
            // One of them is that of the look itself.
            descriptors: descriptors.saturating_sub(1),
            machine_bytes: number_of(&machine, "MemTotal:") * 1_024,
            ..Self::read(&status, &stat)
        }
    }

    fn read(status: &str, stat: &str) -> Self {
        let number = |name: &str| number_of(status, name);
        // Fields 14 and 15, counted behind the closing bracket of the name.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or(vec![], |(_, rest)| rest.split_whitespace().collect());
        let seconds = |at: usize| {
            let ticks = fields.get(at).and_then(|ticks| ticks.parse::<f64>().ok());
            ticks.unwrap_or(0.0) / TICKS_PER_SECOND
        };
        Self {
            resident_bytes: number("VmRSS:") * 1_024,
            resident_bytes_max: number("VmHWM:") * 1_024,
            threads: number("Threads:"),
            cpu_user_seconds: seconds(11),
            cpu_system_seconds: seconds(12),
            descriptors: 0,
            machine_bytes: 0,
        }
    }
}

/// The number on the line that begins with `name`.
fn number_of(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let word = line.and_then(|rest| rest.split_whitespace().next());
    word.and_then(|word| word.parse::<u64>().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_proc_are_found() {
        let status = "Name:\tx\nVmHWM:\t     200 kB\nVmRSS:\t     100 kB\nThreads:\t7\n";
        let stat = "1 (a) b) S 1 2 3 4 5 6 7 8 9 10 250 50 0";
        let process = Process::read(status, stat);
        assert_eq!((process.resident_bytes, process.threads), (102_400, 7));
        assert_eq!(process.resident_bytes_max, 204_800);
        let cpu = (process.cpu_user_seconds, process.cpu_system_seconds);
        assert_eq!(cpu, (2.5, 0.5));
    }
}
