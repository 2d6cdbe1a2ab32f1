//! A line between two network namespaces that carries so much a second, takes its time and loses packets. The kernel at
//! each end sees an interface; between the two stand threads of this process, for not every kernel has `tc netem`.

use crate::{chance::Chance, namespace::Namespace};
use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

const DEVICE: &str = "line0";
const MTU: u16 = 1500;
pub const NEAR: IpAddr = IpAddr::V4(NEAR_V4);
const NEAR_V4: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);
const NETWORK: &str = "10.213.0.0/30";
const FAR_V4: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 2);
/// Packets on their way in one direction: 200 ms of 500 Mbit/s.
const PACKETS_ON_THEIR_WAY: usize = 8_192;
/// What waits before a packet is dropped: a line's usual buffer.
const QUEUE: Duration = Duration::from_millis(100);

/// How good the line is, for both directions alike.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// Of 100 packets, each way.
    pub loss_percent: f64,
    /// Each way.
    pub delay: Duration,
    pub mbit_per_s: u64,
}

/// Where brokers and floors are, and where their users are, with the line between.
pub struct Line {
    pub near: Arc<Namespace>,
    pub far: Namespace,
    shared: Arc<Shared>,
}

/// What a run saw of the line, both directions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Carried {
    pub packets: u64,
    pub bytes: u64,
    /// By chance, as asked for.
    pub lost: u64,
    /// As the queue was full.
    pub overflowed: u64,
}

#[derive(Debug, Default)]
struct Shared {
    loss_per_million: AtomicU64,
    delay_us: AtomicU64,
    bytes_per_s: AtomicU64,
    packets: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    overflowed: AtomicU64,
}

impl Line {
    /// Two namespaces and the line between them, which stays until the process ends.
    pub fn lay(quality: Quality, seed: u64) -> io::Result<Self> {
        let (near, far) = (Namespace::new()?, Namespace::new()?);
        let shared = Arc::new(Shared::default());
        // The kernels send packets of their own as soon as it is there.
        shared.set(quality);
        let device = |space: &Namespace, address| {
            let opened = space.within(|| DeviceBuilder::new().name(DEVICE).layer(Layer::L3).mtu(MTU).build_sync())?;
            space.bring_up(DEVICE, address)?;
            Ok::<_, io::Error>(Arc::new(opened))
        };
        let (at_near, at_far) = (device(&near, NEAR_V4)?, device(&far, FAR_V4)?);
        one_way(at_near.clone(), at_far.clone(), shared.clone(), Chance::new(seed));
        one_way(at_far, at_near, shared.clone(), Chance::new(!seed));
        Ok(Self { near: Arc::new(near), far, shared })
    }

    /// From here on; what is on its way arrives as it would have.
    pub fn set(&self, quality: Quality) {
        self.shared.set(quality);
    }

    /// What the kernel's TCP uses at both ends from here on.
    pub fn tcp_congestion(&self, name: &str) -> io::Result<()> {
        [&*self.near, &self.far].into_iter().try_for_each(|space| space.tcp_congestion(DEVICE, NETWORK, name))
    }

    /// What was carried since this was asked last.
    pub fn carried(&self) -> Carried {
        let taken = |counter: &AtomicU64| counter.swap(0, Relaxed);
        let shared = &self.shared;
        Carried {
            packets: taken(&shared.packets),
            bytes: taken(&shared.bytes),
            lost: taken(&shared.lost),
            overflowed: taken(&shared.overflowed),
        }
    }
}

impl Shared {
    fn set(&self, quality: Quality) {
        self.loss_per_million.store((quality.loss_percent * 1e4) as u64, Relaxed);
        self.delay_us.store(quality.delay.as_micros() as u64, Relaxed);
        self.bytes_per_s.store(quality.mbit_per_s * 1_000_000 / 8, Relaxed);
    }
}

type OnItsWay = (Instant, Vec<u8>);

fn one_way(from: Arc<SyncDevice>, to: Arc<SyncDevice>, shared: Arc<Shared>, chance: Chance) {
    let (sender, receiver) = sync_channel(PACKETS_ON_THEIR_WAY);
    std::thread::spawn(move || take(&from, &sender, &shared, chance));
    std::thread::spawn(move || deliver(&to, receiver));
}

/// Takes what the kernel sends and decides what becomes of it. Ends with the device.
fn take(from: &SyncDevice, sender: &SyncSender<OnItsWay>, shared: &Shared, mut chance: Chance) {
    let mut buffer = [0; MTU as usize];
    let mut pace = Pace { free_at: Instant::now() };
    while let Ok(length) = from.recv(&mut buffer) {
        shared.packets.fetch_add(1, Relaxed);
        shared.bytes.fetch_add(length as u64, Relaxed);
        if chance.below(1_000_000) < shared.loss_per_million.load(Relaxed) {
            shared.lost.fetch_add(1, Relaxed);
            continue;
        }
        let left = pace.leaves(Instant::now(), length, shared.bytes_per_s.load(Relaxed));
        let due = left.map(|left| left + Duration::from_micros(shared.delay_us.load(Relaxed)));
        if due.is_none_or(|due| sender.try_send((due, buffer[..length].to_vec())).is_err()) {
            shared.overflowed.fetch_add(1, Relaxed);
        }
    }
}

/// Hands over each packet when it is due; they stay in order.
fn deliver(to: &SyncDevice, receiver: Receiver<OnItsWay>) {
    for (due, packet) in receiver {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // A kernel whose end is down takes nothing; nor does a broken line.
        let _ = to.send(&packet);
    }
}

/// One packet after the other, none before the one before has left.
struct Pace {
    free_at: Instant,
}

impl Pace {
    /// When the packet has left; none where too much waits before it.
    fn leaves(&mut self, now: Instant, bytes: usize, bytes_per_s: u64) -> Option<Instant> {
        let begins = self.free_at.max(now);
        if begins > now + QUEUE {
            return None;
        }
        self.free_at = begins + Duration::from_secs_f64(bytes as f64 / bytes_per_s.max(1) as f64);
        Some(self.free_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f21_a_line_of_8_mbit_takes_a_millisecond_for_a_thousand_bytes_and_drops_what_waits_too_long() {
        let start = Instant::now();
        let mut pace = Pace { free_at: start };
        let left: Vec<_> = (0..200).map_while(|_| pace.leaves(start, 1_000, 1_000_000)).collect();
        assert_eq!(left.first(), Some(&(start + Duration::from_millis(1))));
        assert_eq!(left.len(), 101, "100 ms wait and the one that leaves");
        let later = start + Duration::from_secs(1);
        assert_eq!(
            pace.leaves(later, 1_000, 1_000_000),
            Some(later + Duration::from_millis(1)),
            "rest saves nothing up"
        );
    }
}
