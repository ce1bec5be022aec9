//! A chart: caption, legend, and panels one above the other on one x axis.

use super::marks::{Frame, LEFT, Limit, Mark, RIGHT, Series, tenths};
use super::scale::{Scale, Span};
use maud::{Markup, Render, html};

const WIDTH: f64 = 720.0;
/// Room above each panel for its y label.
const PANEL_HEAD: f64 = 36.0;
/// Room below the last panel for numbers and label of the x axis.
const FOOT: f64 = 46.0;
/// Factor on the highest value that leaves room above limits for their labels.
const LIMIT_HEADROOM: f64 = 1.1;
/// Height above which a panel has a full set of numbers on its y axis.
const TALL: f64 = 120.0;

/// A drawing with title, description and legend.
pub(crate) struct Chart {
    /// Prefix of element ids on the page.
    pub(super) id: &'static str,
    /// Title above the drawing.
    pub(super) title: String,
    /// Text for readers who cannot see the drawing.
    pub(super) description: String,
    /// Label of the x axis.
    pub(super) x_label: &'static str,
    /// Values of the x axis.
    pub(super) x_span: Span,
    /// Places of faint vertical lines.
    pub(super) boundaries: Vec<f64>,
    /// Panels from top to bottom.
    pub(super) panels: Vec<Panel>,
}

/// A part of a chart with a y axis of its own.
pub(super) struct Panel {
    /// Label of the y axis.
    pub(super) y_label: String,
    /// Height on the drawing.
    pub(super) height: f64,
    /// Whether only whole numbers make sense.
    pub(super) is_whole: bool,
    /// Values.
    pub(super) series: Vec<Series>,
    /// Horizontal lines.
    pub(super) limits: Vec<Limit>,
}

impl Render for Chart {
    fn render(&self) -> Markup {
        let bottom: f64 = self.panels.iter().map(|panel| PANEL_HEAD + panel.height).sum();
        html! {
            figure {
                figcaption {
                    h3 { (self.title) }
                    (self.legend())
                }
                div.scroll {
                    svg role="img" aria-labelledby={ (self.id) "-title " (self.id) "-description" }
                        viewBox={ "0 0 " (WIDTH) " " (bottom + FOOT) } {
                        title id={ (self.id) "-title" } { (self.title) }
                        desc id={ (self.id) "-description" } { (self.description) }
                        @for (panel, frame) in self.panels.iter().zip(self.frames()) {
                            (panel_svg(panel, &frame, &self.boundaries))
                        }
                        (x_axis(self.x_span, self.x_label, bottom))
                    }
                }
            }
        }
    }
}

impl Chart {
    fn legend(&self) -> Markup {
        html! {
            ul.legend {
                @for panel in &self.panels {
                    @for series in &panel.series {
                        @let shape = if series.mark == Mark::Line { "line" } else { "block" };
                        (legend_entry(shape, series.class, &series.name))
                    }
                    @for limit in &panel.limits { (legend_entry("line", limit.class, &limit.name)) }
                }
            }
        }
    }

    /// Where each panel stands on the drawing, and the scale of its y axis.
    fn frames(&self) -> Vec<Frame> {
        let mut bottom = 0.0;
        let frame = |panel: &Panel| {
            let top = bottom + PANEL_HEAD;
            bottom = top + panel.height;
            Frame { x_span: self.x_span, top, bottom, y_end: panel.scale().end() }
        };
        self.panels.iter().map(frame).collect()
    }
}

impl Panel {
    fn scale(&self) -> Scale {
        let values = self.series.iter().flat_map(|series| &series.points).filter_map(|point| point.y);
        let max = values.chain(self.limits.iter().map(|limit| limit.value)).fold(0.0, f64::max);
        let headroom = if self.limits.is_empty() { 1.0 } else { LIMIT_HEADROOM };
        Scale::new(max * headroom, if self.height > TALL { 6 } else { 2 }, self.is_whole)
    }
}

fn legend_entry(shape: &str, class: &str, name: &str) -> Markup {
    html! { li { span class={ "key " (shape) " " (class) } {} (name) } }
}

fn panel_svg(panel: &Panel, frame: &Frame, boundaries: &[f64]) -> Markup {
    html! {
        text.label x="0" y=(tenths(frame.top - 12.0)) { (panel.y_label) }
        @for tick in panel.scale().ticks() {
            @let y = frame.y(tick.value);
            path class=(if tick.value == 0.0 { "base" } else { "grid" }) d=(format_args!("M{LEFT} {y:.1}H{RIGHT}")) {}
            text.end x=(LEFT - 8.0) y=(tenths(y + 4.0)) { (tick.label) }
        }
        @for &x in boundaries {
            path.boundary d=(format_args!("M{:.1} {:.1}V{:.1}", frame.x(x), frame.top, frame.bottom)) {}
        }
        @for series in &panel.series { (series.svg(frame)) }
        @for limit in &panel.limits { (limit.svg(frame)) }
    }
}

fn x_axis(x_span: Span, label: &str, bottom: f64) -> Markup {
    let frame = Frame { x_span, top: 0.0, bottom, y_end: 1.0 };
    let ticks = Scale::new(x_span.end, 10, true).ticks();
    html! {
        @for tick in ticks.iter().filter(|tick| tick.value >= x_span.start && tick.value <= x_span.end) {
            @let x = frame.x(tick.value);
            path.base d=(format_args!("M{x:.1} {bottom:.1}v4")) {}
            text.middle x=(tenths(x)) y=(tenths(bottom + 18.0)) { (tick.label) }
        }
        text class="label middle" x=(f64::midpoint(LEFT, RIGHT)) y=(tenths(bottom + 38.0)) { (label) }
    }
}
