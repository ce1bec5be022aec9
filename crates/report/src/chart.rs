//! Charts as inline SVG: panels one above the other on one x axis. Colours come from the page's
//! style sheet by class, so that drawings follow light, dark and print.

use super::html::{escape, push};
use super::scale::Scale;

const WIDTH: f64 = 720.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 708.0;
/// Room above each panel for its y label.
const PANEL_HEAD: f64 = 36.0;
/// Room below the last panel for numbers and label of the x axis.
const FOOT: f64 = 46.0;
/// Share added above the highest value where lines carry labels.
const LIMIT_HEADROOM: f64 = 1.1;
/// Lines of at most this many points show each of them.
const MAX_MARKERS: usize = 80;

/// A drawing with title, description and legend.
pub(super) struct Chart {
    /// Prefix of element ids on the page.
    pub(super) id: &'static str,
    pub(super) title: String,
    /// What can be seen, for those who cannot see it.
    pub(super) description: String,
    pub(super) x_label: &'static str,
    /// Left and right end of the x axis.
    pub(super) x_range: (f64, f64),
    /// Places of faint vertical lines.
    pub(super) boundaries: Vec<f64>,
    pub(super) panels: Vec<Panel>,
}

/// One y axis.
pub(super) struct Panel {
    pub(super) y_label: String,
    pub(super) height: f64,
    /// Whether only whole numbers make sense.
    pub(super) is_whole: bool,
    pub(super) series: Vec<Series>,
    pub(super) limits: Vec<Limit>,
}

/// Values of one kind.
pub(super) struct Series {
    pub(super) name: String,
    /// Class that gives the colour.
    pub(super) class: &'static str,
    pub(super) mark: Mark,
    pub(super) points: Vec<Point>,
}

/// How values are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// A line through the points, broken where a value is missing.
    Line,
    /// A bar of nearly one x unit around each point.
    Bars,
    /// A filled stair, level for one x unit around each point.
    Stairs,
}

/// One value; `hover` is shown when a pointer rests on it.
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: Option<f64>,
    pub(super) hover: String,
}

/// A horizontal line across a panel.
pub(super) struct Limit {
    pub(super) name: String,
    pub(super) class: &'static str,
    pub(super) value: f64,
    /// Whether its label stands below the line.
    pub(super) is_label_below: bool,
}

/// Maps values to places on the drawing.
struct Frame {
    x_range: (f64, f64),
    top: f64,
    bottom: f64,
    y_end: f64,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        let (start, end) = self.x_range;
        LEFT + (value - start) / (end - start).max(f64::MIN_POSITIVE) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - value / self.y_end * (self.bottom - self.top)
    }
}

impl Chart {
    /// The figure with its caption, legend and drawing.
    pub(super) fn html(&self) -> String {
        let (id, title) = (self.id, escape(&self.title));
        let height = self.panels.iter().map(|panel| PANEL_HEAD + panel.height).sum::<f64>() + FOOT;
        let mut html = format!("<figure>\n<figcaption><h3>{title}</h3>{}</figcaption>\n", self.legend());
        push(
            &mut html,
            format_args!(
                "<div class=\"scroll\"><svg role=\"img\" aria-labelledby=\"{id}-title {id}-description\" \
                 viewBox=\"0 0 {WIDTH} {height}\">\n<title id=\"{id}-title\">{title}</title>\n\
                 <desc id=\"{id}-description\">{}</desc>\n",
                escape(&self.description)
            ),
        );
        let mut top = 0.0;
        for panel in &self.panels {
            top += PANEL_HEAD;
            self.panel(&mut html, panel, top);
            top += panel.height;
        }
        self.x_axis(&mut html, top);
        html.push_str("</svg></div>\n</figure>\n");
        html
    }

    fn legend(&self) -> String {
        let mut html = String::from("<ul class=\"legend\">");
        for panel in &self.panels {
            for series in &panel.series {
                let shape = if series.mark == Mark::Line { "line" } else { "block" };
                html += &legend_entry(shape, series.class, &series.name);
            }
            for limit in &panel.limits {
                html += &legend_entry("line", limit.class, &limit.name);
            }
        }
        html + "</ul>"
    }

    fn panel(&self, html: &mut String, panel: &Panel, top: f64) {
        let values = panel.series.iter().flat_map(|series| &series.points).filter_map(|point| point.y);
        let max = values.chain(panel.limits.iter().map(|limit| limit.value)).fold(0.0, f64::max);
        let headroom = if panel.limits.is_empty() { 1.0 } else { LIMIT_HEADROOM };
        let scale = Scale::new(max * headroom, if panel.height > 120.0 { 6 } else { 2 }, panel.is_whole);
        let frame = Frame { x_range: self.x_range, top, bottom: top + panel.height, y_end: scale.end() };
        push(
            html,
            format_args!("<text class=\"label\" x=\"0\" y=\"{:.1}\">{}</text>\n", top - 12.0, escape(&panel.y_label)),
        );
        for (value, label) in scale.ticks() {
            let y = frame.y(value);
            let class = if value == 0.0 { "base" } else { "grid" };
            push(html, format_args!("<path class=\"{class}\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>"));
            push(html, format_args!("<text class=\"end\" x=\"{}\" y=\"{:.1}\">{label}</text>\n", LEFT - 8.0, y + 4.0));
        }
        for &x in &self.boundaries {
            push(
                html,
                format_args!("<path class=\"boundary\" d=\"M{:.1} {top:.1}V{:.1}\"/>\n", frame.x(x), frame.bottom),
            );
        }
        for series in &panel.series {
            match series.mark {
                Mark::Line => line(html, series, &frame),
                Mark::Bars => bars(html, series, &frame),
                Mark::Stairs => stairs(html, series, &frame),
            }
        }
        for limit in &panel.limits {
            draw_limit(html, limit, &frame);
        }
    }

    fn x_axis(&self, html: &mut String, bottom: f64) {
        let (start, end) = self.x_range;
        let frame = Frame { x_range: self.x_range, top: 0.0, bottom, y_end: 1.0 };
        for (value, label) in Scale::new(end, 10, true).ticks() {
            if value >= start && value <= end {
                let x = frame.x(value);
                push(html, format_args!("<path class=\"base\" d=\"M{x:.1} {bottom:.1}v4\"/>"));
                push(
                    html,
                    format_args!("<text class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{label}</text>\n", bottom + 18.0),
                );
            }
        }
        push(
            html,
            format_args!(
                "<text class=\"label middle\" x=\"{}\" y=\"{:.1}\">{}</text>\n",
                f64::midpoint(LEFT, RIGHT),
                bottom + 38.0,
                escape(self.x_label)
            ),
        );
    }
}

fn legend_entry(shape: &str, class: &str, name: &str) -> String {
    format!("<li><span class=\"key {shape} {class}\"></span>{}</li>", escape(name))
}

fn line(html: &mut String, series: &Series, frame: &Frame) {
    let mut path = String::new();
    let mut is_open = false;
    for point in &series.points {
        if let Some(y) = point.y {
            let command = if is_open { 'L' } else { 'M' };
            push(&mut path, format_args!("{command}{:.1} {:.1}", frame.x(point.x), frame.y(y)));
        }
        is_open = point.y.is_some();
    }
    let class = series.class;
    push(html, format_args!("<path class=\"stroke {class}\" d=\"{path}\"/>\n"));
    for (index, point) in series.points.iter().enumerate() {
        let Some(y) = point.y.filter(|_| series.points.len() <= MAX_MARKERS || is_alone(&series.points, index)) else {
            continue;
        };
        let (x, y, hover) = (frame.x(point.x), frame.y(y), escape(&point.hover));
        push(
            html,
            format_args!(
                "<circle class=\"fill {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{hover}</title></circle>\n"
            ),
        );
    }
}

/// Whether a point has no neighbour to draw a line to.
fn is_alone(points: &[Point], index: usize) -> bool {
    let is_missing =
        |index: Option<usize>| index.and_then(|index| points.get(index)).is_none_or(|point| point.y.is_none());
    is_missing(index.checked_sub(1)) && is_missing(index.checked_add(1))
}

fn bars(html: &mut String, series: &Series, frame: &Frame) {
    let gap = if frame.x(1.0) - frame.x(0.0) > 6.0 { 0.1 } else { 0.0 };
    for point in &series.points {
        let Some(value) = point.y.filter(|value| *value > 0.0) else { continue };
        let (left, right, y) = (frame.x(point.x - 0.5 + gap), frame.x(point.x + 0.5 - gap), frame.y(value));
        push(
            html,
            format_args!(
                "<rect class=\"fill {}\" x=\"{left:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
                 <title>{}</title></rect>\n",
                series.class,
                right - left,
                frame.bottom - y,
                escape(&point.hover)
            ),
        );
    }
}

fn stairs(html: &mut String, series: &Series, frame: &Frame) {
    let mut path = String::new();
    for point in &series.points {
        let command =
            if path.is_empty() { format!("M{:.1} {:.1}", frame.x(point.x - 0.5), frame.bottom) } else { String::new() };
        let y = frame.y(point.y.unwrap_or(0.0));
        push(&mut path, format_args!("{command}V{y:.1}H{:.1}", frame.x(point.x + 0.5)));
    }
    if !path.is_empty() {
        push(html, format_args!("<path class=\"area {}\" d=\"{path}V{:.1}Z\"/>\n", series.class, frame.bottom));
    }
}

fn draw_limit(html: &mut String, limit: &Limit, frame: &Frame) {
    let y = frame.y(limit.value);
    let text_y = if limit.is_label_below { y + 15.0 } else { y - 6.0 };
    push(html, format_args!("<path class=\"stroke {}\" d=\"M{LEFT} {y:.1}H{RIGHT}\"/>\n", limit.class));
    push(
        html,
        format_args!("<text class=\"halo\" x=\"{}\" y=\"{text_y:.1}\">{}</text>\n", LEFT + 6.0, escape(&limit.name)),
    );
}
