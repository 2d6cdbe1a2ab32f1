//! What the measured broker counts of itself, read where operators read it.

use crate::Failure;
use std::{collections::BTreeMap, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A histogram as Prometheus is told of it: how many took no longer than so many microseconds.
#[derive(Clone, Default, Debug)]
pub struct Buckets(BTreeMap<u64, u64>);

impl Buckets {
    pub async fn read(ops: SocketAddr, metric: &str) -> Result<Self, Failure> {
        let mut socket = TcpStream::connect(ops).await?;
        socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut text = String::new();
        socket.read_to_string(&mut text).await?;
        let begins = format!("{metric}_bucket{{le=\"");
        let lines = text.lines().filter_map(|line| line.strip_prefix(&begins)?.split_once("\"} "));
        let buckets = lines.filter_map(|(at, count)| {
            let at = if at == "+Inf" { u64::MAX } else { (at.parse::<f64>().ok()? * 1e6) as u64 };
            Some((at, count.trim().parse().ok()?))
        });
        let buckets: BTreeMap<u64, u64> = buckets.collect();
        match buckets.is_empty() {
            true => Err(Failure::Run(format!("the broker says nothing of {metric}"))),
            false => Ok(Self(buckets)),
        }
    }

    /// What came since.
    pub fn since(&self, before: &Self) -> Self {
        let count_before = |at: &u64| before.0.get(at).copied().unwrap_or(0);
        Self(self.0.iter().map(|(at, count)| (*at, count - count_before(at))).collect())
    }

    pub fn count(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, count)| *count)
    }

    pub fn beyond_us(&self, us: u64) -> u64 {
        self.count() - self.0.get(&us).copied().unwrap_or(0)
    }

    /// The bucket that the longest lies in ends here.
    pub fn longest_us(&self) -> u64 {
        let all = self.count();
        self.0.iter().find(|(_, count)| **count == all).map_or(0, |(at, _)| *at)
    }
}
