//! A drawing of figures against what they grow with: panels beside each other, each with its line from zero.

use std::fmt::Write;

pub struct Plot<'a> {
    pub title: &'a str,
    /// What all panels have along the bottom.
    pub x: &'a str,
    pub series: &'a [Series<'a>],
}

pub struct Series<'a> {
    pub name: &'a str,
    pub points: Vec<(f64, f64)>,
}

const PANEL: (f64, f64) = (360.0, 260.0);
const MARGIN: (f64, f64) = (60.0, 60.0);

impl Plot<'_> {
    pub fn svg(&self) -> String {
        let (width, height) = ((PANEL.0 + MARGIN.0) * self.series.len() as f64 + 20.0, PANEL.1 + 2.0 * MARGIN.1);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"{}\" y=\"20\" text-anchor=\"middle\" font-size=\"14\">{}</text>\n",
            width / 2.0,
            self.title
        );
        for (at, series) in self.series.iter().enumerate() {
            let left = MARGIN.0 + at as f64 * (PANEL.0 + MARGIN.0);
            panel(&mut svg, left, self.x, series);
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn panel(svg: &mut String, left: f64, x: &str, series: &Series) {
    let points = &series.points;
    let x_max = ceiling(points.iter().map(|point| point.0).fold(0.0, f64::max));
    let y_max = ceiling(points.iter().map(|point| point.1).fold(0.0, f64::max));
    let (top, bottom) = (MARGIN.1, MARGIN.1 + PANEL.1);
    let place = |(x, y): (f64, f64)| (left + x / x_max * PANEL.0, bottom - y / y_max * PANEL.1);
    for step in 0..=4 {
        let share = f64::from(step) / 4.0;
        let (across, up) = place((x_max * share, y_max * share));
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<path d=\"M{left} {up}h{width}M{across} {top}v{height}\" stroke=\"#ddd\"/>\n\
             <text x=\"{across}\" y=\"{below}\" text-anchor=\"middle\">{at_x}</text>\n\
             <text x=\"{beside}\" y=\"{level}\" text-anchor=\"end\">{at_y}</text>\n",
            width = PANEL.0,
            height = PANEL.1,
            below = bottom + 16.0,
            beside = left - 6.0,
            level = up + 4.0,
            at_x = x_max * share,
            at_y = y_max * share,
        );
    }
    let line: Vec<String> = points.iter().map(|point| place(*point)).map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(svg, "<polyline points=\"{}\" fill=\"none\" stroke=\"#06c\" stroke-width=\"2\"/>", line.join(" "));
    for (x, y) in points.iter().map(|point| place(*point)) {
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"#06c\"/>");
    }
    let middle = left + PANEL.0 / 2.0;
    let _ = write!(
        svg,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n\
         <text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{x}</text>\n",
        top - 14.0,
        series.name,
        bottom + 36.0,
    );
}

/// The next of 1, 2, 4 and 8 times a power of ten: quarters of it are short numbers.
fn ceiling(value: f64) -> f64 {
    let power = 10_f64.powf(value.max(1e-9).log10().floor());
    let factor = [1.0, 2.0, 4.0, 8.0, 10.0].into_iter().find(|factor| factor * power >= value);
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_short_number_that_is_not_below_the_largest_figure() {
        for (value, end) in [(100.0, 100.0), (101.0, 200.0), (3.9, 4.0), (0.05, 0.08), (9.0, 10.0)] {
            assert!((ceiling(value) - end).abs() < 1e-9 * end, "{value}: {}", ceiling(value));
        }
    }

    #[test]
    fn the_largest_figure_stands_at_the_far_corner_and_the_rest_on_the_way() {
        let series = [Series { name: "n", points: vec![(50.0, 100.0), (100.0, 200.0)] }];
        let svg = Plot { title: "t", x: "sessions", series: &series }.svg();
        assert!(svg.contains("points=\"240.0,190.0 420.0,60.0\""), "{svg}");
    }
}
