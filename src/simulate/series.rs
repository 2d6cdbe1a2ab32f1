//! What went on over time, in a few hundred equal cells: enough for a chart, the same memory for an hour as for a year.

use crate::time::{Span, Time};

/// Cells of a run: about one for each three points of a chart's width.
const CELLS: u64 = 240;

#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Series {
    cell: Span,
    cells: Vec<Cell>,
}

/// Sessions waiting, sessions handled and places to handle them, each times milliseconds.
#[derive(Clone, PartialEq, Debug, Default)]
struct Cell {
    waiting: u128,
    busy: u128,
    places: u128,
    /// The longest the queue was.
    most: u64,
    spent: u64,
}

/// The averages of one cell.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Point {
    pub at: Time,
    pub waiting: f64,
    pub longest: u64,
    pub busy: f64,
    pub places: f64,
}

impl Series {
    /// For a run of this length.
    pub fn over(horizon: Time) -> Self {
        Self { cell: Span(horizon.0.div_ceil(CELLS).max(1)), cells: Vec::new() }
    }

    /// From one moment to another so many waited, were handled, and could have been.
    pub fn pass(&mut self, from: Time, to: Time, waiting: u64, busy: u64, places: u64) {
        let mut from = from.0;
        while from < to.0 && self.cell.0 > 0 {
            let at = (from / self.cell.0) as usize;
            let end = to.0.min((at as u64 + 1) * self.cell.0);
            if self.cells.len() <= at {
                self.cells.resize(at + 1, Cell::default());
            }
            let (cell, ms) = (&mut self.cells[at], u128::from(end - from));
            cell.waiting += u128::from(waiting) * ms;
            cell.busy += u128::from(busy) * ms;
            cell.places += u128::from(places) * ms;
            cell.most = cell.most.max(waiting);
            cell.spent += end - from;
            from = end;
        }
    }

    pub fn points(&self) -> impl Iterator<Item = Point> {
        self.cells.iter().zip(0..).map(|(cell, at)| {
            let mean = |sum: u128| if cell.spent == 0 { 0.0 } else { sum as f64 / cell.spent as f64 };
            let (waiting, busy, places) = (mean(cell.waiting), mean(cell.busy), mean(cell.places));
            Point { at: Time(at * self.cell.0), waiting, longest: cell.most, busy, places }
        })
    }

    pub fn cell(&self) -> Span {
        self.cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_spans_several_cells_is_split_among_them() {
        let mut series = Series::over(Time(CELLS * 10));
        series.pass(Time(5), Time(25), 2, 1, 4);
        series.pass(Time(25), Time(30), 4, 0, 4);
        let points: Vec<Point> = series.points().collect();
        let waiting: Vec<f64> = points.iter().map(|point| point.waiting).collect();
        assert_eq!(waiting, [2.0, 2.0, 3.0]);
        assert_eq!((points[2].longest, points[2].busy, points[2].places, points[2].at), (4, 0.5, 4.0, Time(20)));
    }
}
