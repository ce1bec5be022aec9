//! Values of one panel: lines, bars, stairs and limits.

use super::scale::Span;
use maud::{Markup, html};
use std::fmt::Write as _;

/// Left edge of all panels.
pub(super) const LEFT: f64 = 56.0;
/// Right edge of all panels.
pub(super) const RIGHT: f64 = 708.0;
/// Lines of at most this many points mark each of them.
const MAX_MARKERS: usize = 80;
/// Narrowest bar, in units of the drawing, that gets a gap to its neighbours.
const MIN_BAR_WITH_GAP: f64 = 6.0;

/// Values of one kind.
pub(super) struct Series {
    /// Name in the legend.
    pub(super) name: String,
    /// Class that gives the colour.
    pub(super) class: &'static str,
    /// How the values are drawn.
    pub(super) mark: Mark,
    /// The values, from left to right.
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

/// One value.
pub(super) struct Point {
    /// Place on the x axis.
    pub(super) x: f64,
    /// The value; none where it is missing.
    pub(super) y: Option<f64>,
    /// Text shown when a pointer rests on the value.
    pub(super) hover: String,
}

/// A horizontal line across a panel.
pub(super) struct Limit {
    /// Name in the legend and on the line.
    pub(super) name: String,
    /// Class that gives colour and dashes.
    pub(super) class: &'static str,
    /// Place on the y axis.
    pub(super) value: f64,
    /// Whether the label stands below the line.
    pub(super) is_label_below: bool,
}

/// Maps values to places on the drawing.
pub(super) struct Frame {
    /// Values of the x axis.
    pub(super) x_span: Span,
    /// Upper edge on the drawing.
    pub(super) top: f64,
    /// Lower edge on the drawing, where y is 0.
    pub(super) bottom: f64,
    /// Value at the upper edge.
    pub(super) y_end: f64,
}

impl Frame {
    /// Place of a value of the x axis.
    pub(super) fn x(&self, value: f64) -> f64 {
        let Span { start, end } = self.x_span;
        LEFT + (value - start) / (end - start).max(f64::MIN_POSITIVE) * (RIGHT - LEFT)
    }

    /// Place of a value of the y axis.
    pub(super) fn y(&self, value: f64) -> f64 {
        self.bottom - value / self.y_end * (self.bottom - self.top)
    }
}

impl Series {
    /// The values as SVG elements.
    pub(super) fn svg(&self, frame: &Frame) -> Markup {
        match self.mark {
            Mark::Line => line(self, frame),
            Mark::Bars => bars(self, frame),
            Mark::Stairs => stairs(self, frame),
        }
    }
}

impl Limit {
    /// The line and its label as SVG elements.
    pub(super) fn svg(&self, frame: &Frame) -> Markup {
        let y = frame.y(self.value);
        let label_y = if self.is_label_below { y + 15.0 } else { y - 6.0 };
        html! {
            path class={ "stroke " (self.class) } d=(format_args!("M{LEFT} {y:.1}H{RIGHT}")) {}
            text.halo x=(LEFT + 6.0) y=(tenths(label_y)) { (self.name) }
        }
    }
}

/// A place on the drawing, to a tenth.
pub(super) fn tenths(place: f64) -> String {
    format!("{place:.1}")
}

fn line(series: &Series, frame: &Frame) -> Markup {
    let is_marked = |index: usize| series.points.len() <= MAX_MARKERS || is_alone(&series.points, index);
    html! {
        path class={ "stroke " (series.class) } d=(line_path(&series.points, frame)) {}
        @for (index, point) in series.points.iter().enumerate() {
            @if let Some(y) = point.y.filter(|_| is_marked(index)) {
                circle class={ "fill " (series.class) } cx=(tenths(frame.x(point.x))) cy=(tenths(frame.y(y))) r="3" {
                    title { (point.hover) }
                }
            }
        }
    }
}

fn line_path(points: &[Point], frame: &Frame) -> String {
    let mut path = String::new();
    let mut is_open = false;
    for point in points {
        if let Some(y) = point.y {
            let command = if is_open { 'L' } else { 'M' };
            draw(&mut path, format_args!("{command}{:.1} {:.1}", frame.x(point.x), frame.y(y)));
        }
        is_open = point.y.is_some();
    }
    path
}

/// Whether a point has no neighbour to draw a line to.
fn is_alone(points: &[Point], index: usize) -> bool {
    let is_missing =
        |index: Option<usize>| index.and_then(|index| points.get(index)).is_none_or(|point| point.y.is_none());
    is_missing(index.checked_sub(1)) && is_missing(index.checked_add(1))
}

fn bars(series: &Series, frame: &Frame) -> Markup {
    let gap = if frame.x(1.0) - frame.x(0.0) > MIN_BAR_WITH_GAP { 0.1 } else { 0.0 };
    html! {
        @for point in &series.points {
            @if let Some(value) = point.y.filter(|value| *value > 0.0) {
                @let (left, right) = (frame.x(point.x - 0.5 + gap), frame.x(point.x + 0.5 - gap));
                @let top = frame.y(value);
                rect class={ "fill " (series.class) } x=(tenths(left)) y=(tenths(top))
                    width=(tenths(right - left)) height=(tenths(frame.bottom - top)) {
                    title { (point.hover) }
                }
            }
        }
    }
}

fn stairs(series: &Series, frame: &Frame) -> Markup {
    let mut path = String::new();
    for point in &series.points {
        if path.is_empty() {
            draw(&mut path, format_args!("M{:.1} {:.1}", frame.x(point.x - 0.5), frame.bottom));
        }
        draw(&mut path, format_args!("V{:.1}H{:.1}", frame.y(point.y.unwrap_or(0.0)), frame.x(point.x + 0.5)));
    }
    html! {
        @if !path.is_empty() {
            path class={ "area " (series.class) } d=(format_args!("{path}V{:.1}Z", frame.bottom)) {}
        }
    }
}

/// Appends a command to a path.
fn draw(path: &mut String, command: std::fmt::Arguments<'_>) {
    path.write_fmt(command).expect("writing to a string does not fail");
}
