//! What this machine is and what runs on it, as JSON documents for the system information tools (P3.11).

use super::tool::ToolError;
use crate::limits;
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use serde_json::{Value, json};
use sysinfo::{
    CpuRefreshKind, Disks, MemoryRefreshKind, Networks, Process, ProcessRefreshKind, ProcessesToUpdate, RefreshKind,
    System,
};

/// Sizes in bytes, times in seconds. A fact the machine does not tell is null.
pub fn document() -> Value {
    let wanted = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing().with_frequency())
        .with_memory(MemoryRefreshKind::everything());
    let load = System::load_average().ok();
    let (cpus, memory) = match System::new_with_specifics(wanted) {
        Ok(system) => (
            json!({
                "count": system.cpus().len(),
                "brand": system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()),
                "mhz": system.cpus().first().map(sysinfo::Cpu::frequency),
            }),
            json!({
                "total": system.total_memory(), "available": system.available_memory(),
                "swap_total": system.total_swap(), "swap_used": system.used_swap(),
            }),
        ),
        Err(_) => (Value::Null, Value::Null),
    };
    json!({
        "host": System::host_name().ok(),
        "os": {
            "name": System::name().ok(), "version": System::os_version().ok(),
            "long": System::long_os_version().ok(), "kernel": System::kernel_version().ok(), "arch": System::cpu_arch(),
        },
        "uptime_s": System::uptime().ok(),
        "load": load.map(|load| [load.one, load.five, load.fifteen]),
        "cpu": cpus,
        "memory": memory,
        "disks": disks(),
        "networks": networks(),
    })
}

/// What runs here, the largest first.
pub fn processes() -> Result<Value, ToolError> {
    let mut system = System::new().map_err(|error| ToolError::Refused(format!("failed: {error}")))?;
    let wanted = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, wanted);
    let mut found: Vec<_> = system.processes().values().filter(|one| one.thread_kind().is_none()).collect();
    found.sort_by_key(|process| (std::cmp::Reverse(process.memory()), process.pid()));
    let more = found.len() > limits::LISTED_PROCESSES_MAX;
    found.truncate(limits::LISTED_PROCESSES_MAX);
    let one = |process: &&Process| json!({"pid": process.pid().as_u32(), "name": process.name().to_string_lossy(), "memory": process.memory()});
    Ok(json!({"processes": found.iter().map(one).collect::<Vec<_>>(), "more": more}))
}

/// Asks a process of this user to end. Not this endpoint, and not what the whole system stands on.
pub fn end_process(pid: u32) -> Result<Value, ToolError> {
    let refused = |why: &str| ToolError::Refused(why.to_owned());
    let target = i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw);
    let target = target.filter(|_| pid != std::process::id()).ok_or_else(|| refused("no_access: not this process"))?;
    match kill_process(target, Signal::TERM) {
        Ok(()) => Ok(json!({"done": "end_process", "pid": pid})),
        Err(Errno::SRCH) => Err(refused("not_found: there is no such process")),
        Err(Errno::PERM) => Err(refused("no_access: the operating system does not allow it")),
        Err(error) => Err(ToolError::Refused(format!("failed: {error}"))),
    }
}

fn disks() -> Vec<Value> {
    let Ok(disks) = Disks::new_with_refreshed_list() else { return Vec::new() };
    let one = |disk: &sysinfo::Disk| {
        json!({
            "mount": disk.mount_point().to_string_lossy(), "type": disk.file_system().to_string_lossy(),
            "total": disk.total_space(), "available": disk.available_space(), "removable": disk.is_removable(),
        })
    };
    disks.iter().map(one).collect()
}

fn networks() -> Vec<Value> {
    let Ok(networks) = Networks::new_with_refreshed_list() else { return Vec::new() };
    let mut found: Vec<_> = networks.iter().collect();
    found.sort_by_key(|(name, _)| name.to_owned());
    let one = |(name, network): (&std::ffi::OsString, &sysinfo::NetworkData)| {
        let addresses: Vec<_> = network.ip_networks().iter().map(ToString::to_string).collect();
        let name = name.to_string_lossy();
        json!({"name": name, "mac": network.mac_address().to_string(), "addresses": addresses, "mtu": network.mtu()})
    };
    found.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p3_11_processes_are_listed_and_the_endpoint_itself_is_not_ended() {
        let own = std::process::id();
        let listed = processes().unwrap();
        let pids: Vec<_> = listed["processes"].as_array().unwrap().iter().map(|one| one["pid"].as_u64()).collect();
        assert!(pids.contains(&Some(own.into())));
        for pid in [0, 1, own, u32::MAX] {
            assert!(end_process(pid).unwrap_err().to_string().starts_with("no_access"), "{pid}");
        }
        let none = (1 << 22) + 1;
        assert!(end_process(none).unwrap_err().to_string().starts_with("not_found"));
    }

    #[test]
    fn the_document_says_what_machine_this_is() {
        let document = document();
        assert!(document["os"]["arch"].as_str().is_some_and(|arch| !arch.is_empty()));
        assert!(document["cpu"]["count"].as_u64().is_some_and(|count| count > 0));
        assert!(document["memory"]["total"].as_u64().is_some_and(|total| total > 0));
        assert!(serde_json::to_vec(&document).unwrap().len() < crate::limits::DOCUMENT_BYTES_MAX);
    }
}
