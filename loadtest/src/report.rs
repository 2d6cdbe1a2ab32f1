//! What a run prints: one JSON object on standard output, progress and tables on standard error.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One run. Figures are by name, with the unit at the end of the name; a `…_ratio` is to the floor its name says.
#[derive(Serialize, Deserialize, Debug, Default)]
pub struct Report {
    pub scenario: String,
    pub options: BTreeMap<String, String>,
    pub seed: u64,
    pub load_average: String,
    pub cores: usize,
    pub rounds: usize,
    /// Medians over the rounds.
    pub figures: BTreeMap<String, f64>,
    /// Every round, for those who want the spread.
    pub each: BTreeMap<String, Vec<f64>>,
    pub notes: Vec<String>,
}

impl Report {
    pub fn new(scenario: &str, seed: u64) -> Self {
        Self {
            scenario: scenario.to_owned(),
            seed,
            load_average: crate::process::load_average(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            ..Self::default()
        }
    }

    pub fn option(&mut self, name: &str, value: impl ToString) {
        self.options.insert(name.to_owned(), value.to_string());
    }

    pub fn round(&mut self, name: &str, value: f64) {
        self.each.entry(name.to_owned()).or_default().push(value);
    }

    /// The median of `name` over that of `floor`, round by round, as `ratio`.
    pub fn ratio(&mut self, ratio: &str, name: &str, floor: &str) {
        let (Some(values), Some(floors)) = (self.each.get(name), self.each.get(floor)) else { return };
        let ratios: Vec<f64> = values.iter().zip(floors).filter(|(_, f)| **f > 0.0).map(|(v, f)| v / f).collect();
        self.each.insert(ratio.to_owned(), ratios);
    }

    pub fn print(mut self) -> Result<(), crate::Failure> {
        for (name, values) in &self.each {
            if let Some(median) = median(values) {
                self.figures.insert(name.clone(), median);
            }
        }
        self.rounds = self.each.values().map(Vec::len).max().unwrap_or(0);
        for (name, value) in &self.figures {
            eprintln!("  {name:<44} {:>14}", shown(*value));
        }
        for note in &self.notes {
            eprintln!("  {note}");
        }
        println!("{}", serde_json::to_string(&self)?);
        Ok(())
    }
}

/// A table of two runs, side by side.
pub fn compare(before: &std::path::Path, after: &std::path::Path) -> Result<(), crate::Failure> {
    let read = |path: &std::path::Path| -> Result<Report, crate::Failure> {
        Ok(serde_json::from_str(std::fs::read_to_string(path)?.trim())?)
    };
    let (before, after) = (read(before)?, read(after)?);
    let wide = after.figures.keys().map(String::len).max().unwrap_or(0);
    println!("{:<wide$} {:>14} {:>14} {:>8}", "figure", "before", "after", "after/b.");
    for (name, value) in &after.figures {
        match before.figures.get(name) {
            Some(old) if *old != 0.0 => {
                println!("{name:<wide$} {:>14} {:>14} {:>8.2}", shown(*old), shown(*value), value / old);
            }
            _ => println!("{name:<wide$} {:>14} {:>14} {:>8}", "-", shown(*value), "-"),
        }
    }
    Ok(())
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => sorted.get(middle).copied(),
        _ => Some(f64::midpoint(*sorted.get(middle - 1)?, *sorted.get(middle)?)),
    }
}

fn shown(value: f64) -> String {
    if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}
