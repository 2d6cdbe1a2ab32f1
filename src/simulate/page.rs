//! A run as one page for a browser: figures, and charts of waits, queue and occupancy. The page holds everything itself,
//! asks nothing of any network, and shows its charts without its script as well; the script only reads off values.

use super::{
    report::{Figures, Histogram, Report},
    series::{Point, Series},
};
use crate::time::Span;
use std::fmt::Write;

/// What the page says of the run itself.
#[derive(Clone, Debug)]
pub struct Heading {
    pub site: String,
    /// Milliseconds since 1970 UTC at time 0.
    pub start_ms: u64,
    pub target: Span,
}

/// Queues with charts of their own, the busiest first; a table has them all.
const QUEUES_DRAWN: usize = 12;

/// Charts are drawn in these units and scaled by the browser.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 30.0;

/// The whole page.
pub fn page(heading: &Heading, report: &Report) -> String {
    let mut html = String::with_capacity(256 * 1024);
    let title = escaped(&heading.site);
    let length = report.total.series.points().last().map_or(0, |last| last.at.0 + report.total.series.cell().0);
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; img-src data:\">\n\
         <title>{title} – simulation</title>\n<style>{STYLE}</style></head>\n<body><main>\n\
         <header><h1>{title}</h1><p>{}</p></header>\n",
        subtitle(heading, length)
    );
    tiles(&mut html, &report.total);
    charts(&mut html, heading, &report.total);
    table(&mut html, report);
    if report.queues.len() > 1 {
        let mut busiest: Vec<_> = report.queues.iter().collect();
        busiest.sort_by_key(|(_, figures)| std::cmp::Reverse(figures.arrived));
        for (queue, figures) in busiest.into_iter().take(QUEUES_DRAWN) {
            let _ = writeln!(html, "<details><summary>{}</summary>", escaped(queue));
            charts(&mut html, heading, figures);
            html.push_str("</details>\n");
        }
    }
    let _ = write!(html, "</main>\n<script>{SCRIPT}</script></body></html>\n");
    html
}

fn subtitle(heading: &Heading, length_ms: u64) -> String {
    let start = i64::try_from(heading.start_ms).ok().filter(|ms| *ms > 0);
    let start = start.and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let from = start.map_or(String::new(), |start| format!(" from {}", start.strftime("%Y-%m-%d %H:%M UTC")));
    let target = duration(heading.target.0);
    format!("Simulation of {}{from}. Service level: answered within {target}.", duration(length_ms))
}

fn tiles(html: &mut String, it: &Figures) {
    let share = |part: u64| match it.arrived {
        0 => String::new(),
        whole => format!("{:.1} % of those who came", part as f64 * 100.0 / whole as f64),
    };
    let wait = |value: Option<f64>| value.map_or("–".to_owned(), seconds);
    let percent = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{:.1} %", value * 100.0));
    let p50 = match it.p50_wait_s {
        Some(0.0) => "half at once".to_owned(),
        p50 => p50.map_or(String::new(), |p50| format!("half within {}", seconds(p50))),
    };
    let p99 = it.p99_wait_s.map_or(String::new(), |p99| format!("99 % within {}", seconds(p99)));
    let mean = it.mean_queue.map_or(String::new(), |mean| format!("{mean:.1} on average"));
    let tiles = [
        ("Came", it.arrived.to_string(), String::new()),
        ("Answered", it.answered.to_string(), share(it.answered)),
        ("Gave up", it.abandoned.to_string(), share(it.abandoned)),
        ("Service level", percent(it.service_level), "of those answered".to_owned()),
        ("Mean wait", wait(it.mean_wait_s), p50),
        ("95 % within", wait(it.p95_wait_s), p99),
        ("Occupancy", percent(it.occupancy), "of the places of reps on shift".to_owned()),
        ("Longest queue", it.max_queue.to_string(), mean),
    ];
    html.push_str("<section class=\"tiles\">");
    for (name, value, note) in tiles {
        let _ = write!(html, "<div><span>{name}</span><b>{value}</b><small>{note}</small></div>");
    }
    html.push_str("</section>\n");
}

fn charts(html: &mut String, heading: &Heading, it: &Figures) {
    figure(
        html,
        "Waiting time of those answered",
        "blue: within the target, orange: beyond",
        &waits(&it.waits, heading.target),
    );
    let points: Vec<Point> = it.series.points().collect();
    let axis = Axis::new(&it.series, heading.start_ms);
    let queue =
        over_time(&axis, &points, [("average", |point| point.waiting), ("longest", |point| point.longest as f64)]);
    figure(html, "Queue length", "filled: average, line: longest", &queue);
    let occupancy = over_time(&axis, &points, [("in sessions", |point| point.busy), ("places", |point| point.places)]);
    figure(html, "Occupancy", "filled: sessions handled, line: places of reps on shift", &occupancy);
}

fn figure(html: &mut String, title: &str, legend: &str, svg: &str) {
    let _ = writeln!(
        html,
        "<figure><figcaption><b>{title}</b> <small>{legend}</small><output></output></figcaption>{svg}</figure>"
    );
}

/// A bar for each step of waiting.
fn waits(histogram: &Histogram, target: Span) -> String {
    let bars: Vec<(String, u64, bool)> = histogram.bars(target).collect();
    let (scale, top) = scale(bars.iter().map(|(_, count, _)| *count as f64).fold(0.0, f64::max));
    let mut svg = open("");
    grid(&mut svg, scale, top);
    let room = (WIDTH - LEFT - RIGHT) / bars.len() as f64;
    let all = bars.iter().map(|(_, count, _)| *count).sum::<u64>().max(1) as f64;
    for (at, (label, count, within)) in bars.iter().enumerate() {
        let x = LEFT + room * at as f64;
        let y = y_of(*count as f64, top);
        let class = if *within { "bar" } else { "bar late" };
        let share = *count as f64 * 100.0 / all;
        let _ = write!(
            svg,
            "<rect class=\"{class}\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"2\">\
             <title>{label}: {count} ({share:.1} %)</title></rect>\
             <text class=\"tick\" text-anchor=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
            x + 3.0,
            room - 6.0,
            HEIGHT - BOTTOM - y,
            x + room / 2.0,
            HEIGHT - 10.0
        );
    }
    svg + "</svg>"
}

/// What a chart over time draws: its name, and its value at a point.
type Curve = (&'static str, fn(&Point) -> f64);

/// One value as an area and one as a line above it.
fn over_time(axis: &Axis, points: &[Point], of: [Curve; 2]) -> String {
    let [(filled, area), (drawn, line)] = of;
    let most = points.iter().map(|point| area(point).max(line(point))).fold(0.0, f64::max);
    let (step, top) = scale(most);
    let values = |of: fn(&Point) -> f64| {
        let values: Vec<String> = points.iter().map(|point| format!("{:.2}", of(point))).collect();
        values.join(",")
    };
    let labels: Vec<String> = points.iter().map(|point| axis.label(point.at.0)).collect();
    let mut svg = open(&format!(
        " class=\"time\" data-names=\"{filled},{drawn}\" data-labels=\"{}\" data-a=\"{}\" data-b=\"{}\"",
        labels.join(","),
        values(area),
        values(line)
    ));
    grid(&mut svg, step, top);
    axis.ticks(&mut svg);
    let x = |at: usize| LEFT + (WIDTH - LEFT - RIGHT) * at as f64 / points.len().max(1) as f64;
    // Cells are drawn as steps: within one nothing is known but its average.
    let path = |of: fn(&Point) -> f64| {
        let mut path = String::new();
        for (at, point) in points.iter().enumerate() {
            let verb = if at == 0 { 'M' } else { 'L' };
            let y = y_of(of(point), top);
            let _ = write!(path, "{verb}{:.1} {y:.1}H{:.1}", x(at), x(at + 1));
        }
        path
    };
    if !points.is_empty() {
        let floor = HEIGHT - BOTTOM;
        let _ = write!(
            svg,
            "<path class=\"area\" d=\"{}V{floor:.1}H{LEFT:.1}Z\"/><path class=\"line\" d=\"{}\"/>",
            path(area),
            path(line)
        );
    }
    let _ = write!(svg, "<line class=\"cursor\" y1=\"{TOP}\" y2=\"{}\"/></svg>", HEIGHT - BOTTOM);
    svg
}

/// Time from left to right.
struct Axis {
    start_ms: u64,
    length_ms: u64,
    step_ms: u64,
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const TIME_STEPS: [u64; 15] = [
    1000,
    10_000,
    MINUTE,
    5 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    4 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    30 * DAY,
    365 * DAY,
];

impl Axis {
    fn new(series: &Series, start_ms: u64) -> Self {
        let length_ms = (series.points().count() as u64 * series.cell().0).max(1);
        let step_ms = TIME_STEPS.into_iter().find(|step| length_ms / step <= 9).unwrap_or(TIME_STEPS[14]);
        Self { start_ms, length_ms, step_ms }
    }

    /// The time of day where a run has one and is short, else the time since its start.
    fn label(&self, ms: u64) -> String {
        if self.start_ms > 0 && self.length_ms <= 2 * DAY {
            let of_day = (self.start_ms + ms) % DAY;
            let (hours, minutes, seconds) = (of_day / HOUR, of_day % HOUR / MINUTE, of_day % MINUTE / 1000);
            return match self.step_ms < MINUTE {
                true => format!("{hours:02}:{minutes:02}:{seconds:02}"),
                false => format!("{hours:02}:{minutes:02}"),
            };
        }
        duration(ms)
    }

    fn ticks(&self, svg: &mut String) {
        for at in 0..=self.length_ms / self.step_ms {
            let ms = at * self.step_ms;
            let x = LEFT + (WIDTH - LEFT - RIGHT) * ms as f64 / self.length_ms as f64;
            let anchor = if x > WIDTH - 40.0 { "end" } else { "middle" };
            let _ = write!(
                svg,
                "<text class=\"tick\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
                HEIGHT - 10.0,
                self.label(ms)
            );
        }
    }
}

fn open(more: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"{more}>")
}

/// A step of 1, 2 or 5 and as many of them as hold the largest value, four to eight.
fn scale(most: f64) -> (f64, f64) {
    let mut step = 1.0;
    'found: loop {
        for factor in [1.0, 2.0, 5.0] {
            if most <= step * factor * 6.0 {
                step *= factor;
                break 'found;
            }
        }
        step *= 10.0;
    }
    (step, (most / step).ceil().max(1.0) * step)
}

fn grid(svg: &mut String, step: f64, top: f64) {
    let lines = (top / step).round() as u32;
    for at in 0..=lines {
        let value = step * f64::from(at);
        let y = y_of(value, top);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"tick\" text-anchor=\"end\" x=\"{:.1}\" y=\"{:.1}\">{value}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            y + 4.0
        );
    }
}

fn y_of(value: f64, top: f64) -> f64 {
    HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top
}

fn table(html: &mut String, report: &Report) {
    html.push_str(
        "<section class=\"wide\"><table><thead><tr><th>queue</th><th>came</th><th>answered</th><th>gave up</th>\
         <th>refused</th><th>unanswered</th><th>mean wait</th><th>p50</th><th>p95</th><th>p99</th><th>service</th>\
         <th>occupancy</th><th>longest queue</th></tr></thead><tbody>",
    );
    let total = (report.queues.len() != 1).then_some(("total", &report.total));
    for (name, it) in report.queues.iter().map(|(name, it)| (name.as_str(), it)).chain(total) {
        let _ = write!(html, "<tr><th>{}</th>", escaped(name));
        for count in [it.arrived, it.answered, it.abandoned, it.refused, it.unanswered] {
            let _ = write!(html, "<td>{count}</td>");
        }
        for wait in [it.mean_wait_s, it.p50_wait_s, it.p95_wait_s, it.p99_wait_s] {
            let _ = write!(html, "<td>{}</td>", wait.map_or("–".to_owned(), seconds));
        }
        for share in [it.service_level, it.occupancy] {
            let _ =
                write!(html, "<td>{}</td>", share.map_or("–".to_owned(), |share| format!("{:.1} %", share * 100.0)));
        }
        let _ = write!(html, "<td>{}</td></tr>", it.max_queue);
    }
    html.push_str("</tbody></table></section>\n");
}

fn seconds(value: f64) -> String {
    match value {
        value if value < 100.0 => format!("{value:.1} s"),
        value if value < 6000.0 => format!("{:.1} min", value / 60.0),
        value => format!("{:.1} h", value / 3600.0),
    }
}

fn duration(ms: u64) -> String {
    let whole = |unit: u64| ms.is_multiple_of(unit);
    match ms {
        0 => "0".to_owned(),
        ms if ms >= 2 * DAY => format!("{:.*} days", usize::from(!whole(DAY)), ms as f64 / DAY as f64),
        ms if ms >= HOUR => format!("{:.*} h", usize::from(!whole(HOUR)), ms as f64 / HOUR as f64),
        ms if ms >= MINUTE => format!("{:.*} min", usize::from(!whole(MINUTE)), ms as f64 / MINUTE as f64),
        ms => format!("{:.*} s", usize::from(!whole(1000)), ms as f64 / 1000.0),
    }
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

const STYLE: &str = "
:root{color-scheme:light dark;--ground:#f7f8fa;--card:#fff;--ink:#1b2330;--soft:#687385;--rule:#e3e7ee;--main:#2f6fde;--late:#e08a3c;--line:#8f9bb0}
@media(prefers-color-scheme:dark){:root{--ground:#12161d;--card:#1a202a;--ink:#e8ecf3;--soft:#96a1b5;--rule:#2b3442;--main:#6aa0ff;--late:#eda35c;--line:#76829a}}
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.45 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 60px}h1{margin:0;font-size:26px}header p{margin:4px 0 20px;color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:12px;margin-bottom:16px}
.tiles div,figure,.wide,details{background:var(--card);border:1px solid var(--rule);border-radius:10px}
.tiles div{padding:12px 16px;display:flex;flex-direction:column}.tiles span,.tiles small,figcaption small{color:var(--soft);font-size:13px}
.tiles b{font-size:24px;font-variant-numeric:tabular-nums}figure{margin:0 0 16px;padding:14px 16px 6px}
figcaption{display:flex;gap:10px;align-items:baseline}output{margin-left:auto;color:var(--soft);font-size:13px;font-variant-numeric:tabular-nums}
svg{width:100%;height:auto;display:block}.grid{stroke:var(--rule)}.tick{fill:var(--soft);font-size:11px}
.bar{fill:var(--main)}.late{fill:var(--late)}.area{fill:var(--main);fill-opacity:.35}.line{fill:none;stroke:var(--line);stroke-width:1.5}
.cursor{stroke:var(--ink);stroke-opacity:0}.time:hover .cursor{stroke-opacity:.5}
.wide{overflow-x:auto;margin-bottom:16px}table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:8px 7px;text-align:right;white-space:nowrap;border-bottom:1px solid var(--rule)}th:first-child{text-align:left}
thead th{color:var(--soft);font-weight:500}tr:last-child>*{border-bottom:0}
details{margin-bottom:16px;padding:12px 16px}summary{cursor:pointer;font-weight:600}details figure{border:0;padding:10px 0 0;margin:0}
";

/// Reads off a chart where the pointer is.
const SCRIPT: &str = "
for (const chart of document.querySelectorAll('svg.time')) {
  const data = chart.dataset, names = data.names.split(','), labels = data.labels.split(',');
  const [a, b] = [data.a.split(','), data.b.split(',')];
  const said = chart.parentElement.querySelector('output'), cursor = chart.querySelector('.cursor');
  chart.addEventListener('pointermove', (event) => {
    const x = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse()).x;
    const at = Math.floor((x - 52) / (720 - 52 - 12) * labels.length);
    if (at < 0 || at >= labels.length) return;
    cursor.setAttribute('x1', x); cursor.setAttribute('x2', x);
    said.textContent = `${labels[at]}: ${names[0]} ${a[at]}, ${names[1]} ${b[at]}`;
  });
  chart.addEventListener('pointerleave', () => { said.textContent = ''; });
}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_holds_its_largest_value_in_few_steps() {
        for (most, expected) in
            [(0.0, (1.0, 1.0)), (6.0, (1.0, 6.0)), (7.0, (2.0, 8.0)), (31.0, (10.0, 40.0)), (650.0, (200.0, 800.0))]
        {
            assert_eq!(scale(most), expected, "{most}");
        }
    }

    #[test]
    fn nothing_of_a_name_is_taken_for_markup() {
        assert_eq!(escaped("<b a=\"'&"), "&lt;b a=&quot;&#39;&amp;");
    }
}
