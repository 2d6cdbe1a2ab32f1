//! Reads at each scrape what is counted elsewhere: connections from the directory, frames from the relay.

use super::Settings;
use crate::{
    broker::{Broker, TransportName},
    clock,
    ops::Health,
    relay::ClassCounters,
    wire::control::{Class, Role},
};
use metrics::{counter, gauge};

const ROLES: [(Role, &str); 4] =
    [(Role::Rep, "rep"), (Role::Customer, "customer"), (Role::Service, "service"), (Role::Admin, "admin")];

const CLASSES: [(Class, &str); 4] =
    [(Class::Input, "input"), (Class::Shell, "shell"), (Class::Picture, "picture"), (Class::File, "file")];

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
    for (class, name) in CLASSES {
        let channels = broker.channel_counters().of(class);
        counter!("equipoise_relay_frames_read_total", "class" => name).absolute(channels.read.get());
        counter!("equipoise_relay_bytes_read_total", "class" => name).absolute(channels.read_bytes.get());
        counter!("equipoise_relay_frames_offered_total", "class" => name).absolute(channels.offered.get());
        counter!("equipoise_relay_lagged_total", "class" => name).absolute(channels.lagged.get());
        counter!("equipoise_relay_faults_total", "class" => name).absolute(channels.faults.get());
        frames(name, "none", channels);
        for transport in TransportName::ALL {
            let legs = broker.leg_counters(transport).of(class);
            let transport = transport.name();
            frames(name, transport, legs);
            counter!("equipoise_relay_bytes_total", "class" => name, "transport" => transport)
                .absolute(legs.forwarded_bytes.get());
            counter!("equipoise_relay_credit_stalls_total", "class" => name, "transport" => transport)
                .absolute(legs.credit_stalls.get());
        }
    }
}

fn frames(class: &'static str, transport: &'static str, counters: &ClassCounters) {
    let outcomes = [
        ("forwarded", &counters.forwarded),
        ("refused", &counters.refused),
        ("replaced", &counters.replaced),
        ("duplicate", &counters.duplicate),
        ("purged", &counters.purged),
    ];
    for (outcome, counter) in outcomes {
        counter!("equipoise_relay_frames_total", "class" => class, "outcome" => outcome, "transport" => transport)
            .absolute(counter.get());
    }
}
