//! What this machine is, as one JSON document for the `system_info` tool.

use serde_json::{Value, json};
use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, Networks, RefreshKind, System};

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
    fn the_document_says_what_machine_this_is() {
        let document = document();
        assert!(document["os"]["arch"].as_str().is_some_and(|arch| !arch.is_empty()));
        assert!(document["cpu"]["count"].as_u64().is_some_and(|count| count > 0));
        assert!(document["memory"]["total"].as_u64().is_some_and(|total| total > 0));
        assert!(serde_json::to_vec(&document).unwrap().len() < crate::limits::DOCUMENT_BYTES_MAX);
    }
}
