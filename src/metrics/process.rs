//! The figures of this process, by the names that every Prometheus client gives them.

use std::sync::atomic::{AtomicU64, Ordering};

use procfs::ProcResult;
use procfs::process::{LimitValue, Process as Proc};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::catalog::Catalog;
use super::values::FloatGauge;

#[derive(Clone, Debug)]
pub(super) struct Process {
    cpu_seconds: Counter<f64, AtomicU64>,
    resident_bytes: Gauge,
    virtual_bytes: Gauge,
    open_fds: Gauge,
    max_fds: Gauge,
    threads: Gauge,
    start_seconds: FloatGauge,
}

impl Process {
    pub(super) fn new(all: &mut Catalog) -> Self {
        Self {
            cpu_seconds: all.counter("process_cpu_seconds_total", "CPU time, user and system"),
            resident_bytes: all.gauge("process_resident_memory_bytes", "Resident memory"),
            virtual_bytes: all.gauge("process_virtual_memory_bytes", "Virtual memory"),
            open_fds: all.gauge("process_open_fds", "Open file descriptors"),
            max_fds: all.gauge("process_max_fds", "Maximum number of open file descriptors"),
            threads: all.gauge("process_threads", "Threads"),
            start_seconds: all
                .gauge("process_start_time_seconds", "Unix time at which the process started"),
        }
    }

    /// Reads the figures. Where `/proc` has none they stay as they were.
    pub(super) fn read(&self) {
        if let Err(error) = self.try_read() {
            tracing::debug!(%error, "cannot read the figures of the process");
        }
    }

    fn try_read(&self) -> ProcResult<()> {
        let process = Proc::myself()?;
        let stat = process.stat()?;
        let ticks = procfs::ticks_per_second() as f64;
        let used = (stat.utime + stat.stime) as f64 / ticks;
        // Two may read at once, and a counter does not go back. Positive numbers are in the order
        // of their bits.
        self.cpu_seconds.inner().fetch_max(used.to_bits(), Ordering::Relaxed);
        let int = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.resident_bytes.set(int(stat.rss * procfs::page_size()));
        self.virtual_bytes.set(int(stat.vsize));
        self.threads.set(stat.num_threads);
        self.open_fds.set(int(process.fd_count()? as u64));
        if let LimitValue::Value(most) = process.limits()?.max_open_files.soft_limit {
            self.max_fds.set(int(most));
        }
        let booted = procfs::boot_time_secs()? as f64;
        self.start_seconds.set(booted + stat.starttime as f64 / ticks);
        Ok(())
    }
}
