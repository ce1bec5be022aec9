//! SVG charts, inline in the page; colours come from its style sheet, so that charts follow light, dark and print.
//!
//! - `memory`, `load`: the three charts of a report
//! - `figure`: a chart and its frame: caption, legend, panels, axes
//! - `marks`: lines, bars, stairs and limits in a panel
//! - `scale`: axes with round numbers

mod figure;
mod load;
mod marks;
mod memory;
mod scale;

pub(crate) use load::{latency_chart, throughput_chart};
pub(crate) use memory::memory_chart;
