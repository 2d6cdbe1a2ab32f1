//! Reads at each scrape what is counted elsewhere: connections from the directory, frames from the relay.

use super::Settings;
use crate::{
    broker::{self, Broker, TransportName},
    clock,
    ops::Health,
    relay::LineCounters,
    wire::control::Role,
};
use metrics::{counter, gauge};

const ROLES: [(Role, &str); 5] = [
    (Role::Rep, "rep"),
    (Role::Customer, "customer"),
    (Role::JumpClient, "jump_client"),
    (Role::Service, "service"),
    (Role::Admin, "admin"),
];

pub(super) fn from(broker: Broker, health: Health, settings: &Settings) -> impl Fn() + Send + Sync + 'static {
    let started_s = clock::wall_ms() as f64 / 1000.0;
    let weaker = settings.weaknesses().len() as f64;
    move || {
        gauge!("equipoise_ready").set(if health.ready() { 1.0 } else { 0.0 });
        gauge!("equipoise_insecure_settings").set(weaker);
        gauge!("equipoise_start_time_seconds").set(started_s);
        connections(&broker);
        relay(&broker);
    }
}

fn connections(broker: &Broker) {
    let connections = broker.directory().connections();
    for (role, name) in ROLES {
        let count = connections.iter().filter(|connection| connection.role == role).count();
        gauge!("equipoise_attached", "role" => name).set(count as f64);
    }
}

/// What a leg's reader was given is counted by the connection; the rest by the channel, whatever the connection.
fn relay(broker: &Broker) {
    for (label, name) in broker::lines() {
        let channels = broker.channel_counters().of(label);
        counter!("equipoise_relay_frames_read_total", "tool" => name).absolute(channels.read.get());
        counter!("equipoise_relay_bytes_read_total", "tool" => name).absolute(channels.read_bytes.get());
        counter!("equipoise_relay_frames_offered_total", "tool" => name).absolute(channels.offered.get());
        counter!("equipoise_relay_lagged_total", "tool" => name).absolute(channels.lagged.get());
        counter!("equipoise_relay_faults_total", "tool" => name).absolute(channels.faults.get());
        frames(name, "none", channels);
        for transport in TransportName::ALL {
            let legs = broker.leg_counters(transport).of(label);
            let transport = transport.name();
            frames(name, transport, legs);
            counter!("equipoise_relay_bytes_total", "tool" => name, "transport" => transport)
                .absolute(legs.forwarded_bytes.get());
            counter!("equipoise_relay_credit_stalls_total", "tool" => name, "transport" => transport)
                .absolute(legs.credit_stalls.get());
        }
    }
}

fn frames(tool: &'static str, transport: &'static str, counters: &LineCounters) {
    let outcomes = [
        ("forwarded", &counters.forwarded),
        ("refused", &counters.refused),
        ("replaced", &counters.replaced),
        ("duplicate", &counters.duplicate),
        ("purged", &counters.purged),
    ];
    for (outcome, counter) in outcomes {
        counter!("equipoise_relay_frames_total", "tool" => tool, "outcome" => outcome, "transport" => transport)
            .absolute(counter.get());
    }
}
