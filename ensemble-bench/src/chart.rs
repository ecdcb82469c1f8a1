//! Line charts as SVG and PNG: panels one above the other over one horizontal axis, with marks where phases begin.
//!
//! Letters are DejaVu Sans, compiled in (`fonts/`), so neither form needs a font of the system; an SVG is shown in whatever its
//! viewer calls sans-serif. The layout is computed here, since it must leave room for legends, marks and units.

use std::{fs, path::Path, sync::Once};

use ensemble::{Error, Result};
use plotters::{
    backend::{BitMapBackend, DrawingBackend, SVGBackend},
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    element::{Circle, PathElement, Rectangle, Text},
    style::{
        Color, FontStyle, FontTransform, IntoFont, IntoTextStyle, RGBColor, ShapeStyle, TextStyle, WHITE,
        register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};

static FONT: &[u8] = include_bytes!("../fonts/DejaVuSans-latin.ttf");
const FAMILY: &str = "sans-serif";
/// Okabe and Ito's colours, told apart by colour-blind readers too, the darkest first; then three more for crowded figures.
const COLOURS: [RGBColor; 10] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(90, 90, 90),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
    RGBColor(106, 61, 154),
    RGBColor(140, 81, 10),
];
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
const MARK: RGBColor = RGBColor(130, 130, 130);
const WIDTH: u32 = 960;
const LEGEND_ROW: i32 = 19;
/// PNG pixels per unit of length.
const PNG_SCALE: f64 = 2.0;

/// An axis: its label with the unit, and how values lie on it.
#[derive(Clone, Debug, Default)]
pub struct Axis {
    label: String,
    log: bool,
    ticks: Option<Vec<f64>>,
}

impl Axis {
    /// A linear axis.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), ..Self::default() }
    }

    /// Logarithmic; values must be above 0, and others are left out.
    #[must_use]
    pub fn log(self) -> Self {
        Self { log: true, ..self }
    }

    /// With ticks at these values only.
    #[must_use]
    pub fn ticks(self, at: impl IntoIterator<Item = f64>) -> Self {
        Self { ticks: Some(at.into_iter().collect()), ..self }
    }
}

impl From<&str> for Axis {
    fn from(label: &str) -> Self {
        Self::new(label)
    }
}

/// A named line through points.
#[derive(Clone, Debug)]
pub struct Series {
    name: String,
    points: Vec<(f64, f64)>,
    markers: bool,
}

impl Series {
    /// A line.
    pub fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, markers: false }
    }

    /// A line with a dot at every point.
    pub fn dotted(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { markers: true, ..Self::line(name, points) }
    }
}

/// One vertical axis and what is drawn over it.
#[derive(Clone, Debug)]
pub struct Panel {
    y: Axis,
    series: Vec<Series>,
    marks: Vec<(f64, String)>,
    levels: Vec<(f64, String)>,
}

impl Panel {
    /// An empty panel.
    pub fn new(y: impl Into<Axis>) -> Self {
        Self { y: y.into(), series: Vec::new(), marks: Vec::new(), levels: Vec::new() }
    }

    /// With a line.
    #[must_use]
    pub fn with(mut self, series: Series) -> Self {
        self.series.push(series);
        self
    }

    /// With a named vertical line where each phase begins.
    #[must_use]
    pub fn marks(self, marks: Vec<(f64, String)>) -> Self {
        Self { marks, ..self }
    }

    /// With a named horizontal line.
    #[must_use]
    pub fn level(mut self, value: f64, name: impl Into<String>) -> Self {
        self.levels.push((value, name.into()));
        self
    }
}

/// A titled chart of one or more panels.
#[derive(Clone, Debug)]
pub struct Figure {
    title: String,
    x: Axis,
    panels: Vec<Panel>,
}

impl Figure {
    /// A figure without panels.
    pub fn new(title: impl Into<String>, x: impl Into<Axis>) -> Self {
        Self { title: title.into(), x: x.into(), panels: Vec::new() }
    }

    /// With a panel below those before.
    #[must_use]
    pub fn panel(mut self, panel: Panel) -> Self {
        self.panels.push(panel);
        self
    }

    /// What the figure is called.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The figure as SVG text.
    ///
    /// # Errors
    /// When it has no point to draw.
    pub fn to_svg(&self) -> Result<String> {
        use_font();
        let mut text = String::new();
        {
            let root = SVGBackend::with_string(&mut text, (WIDTH, self.height())).into_drawing_area();
            self.draw(&root, 1.0)?;
        }
        Ok(text)
    }

    /// Write the figure as an SVG file.
    ///
    /// # Errors
    /// As [`Figure::to_svg`], or when the file cannot be written.
    pub fn save_svg(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        fs::write(path, self.to_svg()?).map_err(|e| Error::io(path, "write", e))
    }

    /// Write the figure as a PNG file, at two pixels per unit of the SVG.
    ///
    /// # Errors
    /// When it has no point to draw, or the file cannot be written.
    pub fn save_png(&self, path: impl AsRef<Path>) -> Result<()> {
        use_font();
        let path = path.as_ref();
        let (width, height) =
            ((f64::from(WIDTH) * PNG_SCALE) as u32, (f64::from(self.height()) * PNG_SCALE) as u32);
        let mut pixels = vec![255u8; (width * height * 3) as usize];
        self.draw(&BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area(), PNG_SCALE)?;
        let failed = |e: png::EncodingError| Error::io(path, "write", std::io::Error::other(e));
        let file = fs::File::create(path).map_err(|e| Error::io(path, "create", e))?;
        let mut encoder = png::Encoder::new(std::io::BufWriter::new(file), width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&pixels).map_err(failed)?;
        writer.finish().map_err(failed)
    }

    fn panel_height(&self) -> i32 {
        if self.panels.len() == 1 { 400 } else { 250 }
    }

    fn height(&self) -> u32 {
        let legends: i32 = self.panels.iter().map(|p| LEGEND_ROW * p.more_legend_rows()).sum();
        (48 + self.panel_height() * self.panels.len() as i32 + legends + 34) as u32
    }

    fn draw<DB: DrawingBackend>(&self, root: &DrawingArea<DB, Shift>, scale: f64) -> Result<()> {
        let pen = Pen { root, scale };
        pen.draw(&Rectangle::new([(0, 0), pen.at(WIDTH as i32, self.height() as i32)], WHITE.filled()))?;
        pen.text(&self.title, WIDTH as i32 / 2, 22, 19.0, INK, HPos::Center)?;
        let points = || {
            self.panels
                .iter()
                .flat_map(|p| &p.series)
                .flat_map(|s| &s.points)
                .filter(|p| p.0.is_finite() && p.1.is_finite())
        };
        let marks = self.panels.iter().flat_map(|p| &p.marks).map(|m| m.0);
        let x = Scale::new(&self.x, points().map(|p| p.0).chain(marks), false)
            .ok_or_else(|| Error::unsupported(format!("the figure '{}' has no point to draw", self.title)))?;
        let mut top = 48;
        for (i, panel) in self.panels.iter().enumerate() {
            let legend = LEGEND_ROW * panel.more_legend_rows();
            let last = i + 1 == self.panels.len();
            let frame = Frame {
                left: 84,
                right: WIDTH as i32 - 28,
                top: top + legend + 34,
                bottom: top + legend + self.panel_height() - 22,
            };
            panel.draw(&pen, &x, &frame, last.then_some(self.x.label.as_str()))?;
            top += legend + self.panel_height();
        }
        root.present()
            .map_err(|e| Error::unsupported(format!("the figure '{}' cannot be drawn: {e}", self.title)))
    }
}

fn use_font() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if register_font(FAMILY, FontStyle::Normal, FONT).is_err() {
            unreachable!("the font that is compiled in is a font: a test draws with it");
        }
    });
}

struct Frame {
    left: i32,
    right: i32,
    top: i32,
    bottom: i32,
}

/// Values of one axis: its ends and its ticks.
struct Scale {
    log: bool,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Scale {
    /// `None` without a value. A vertical linear axis begins at 0, as memory does.
    fn new(axis: &Axis, values: impl Iterator<Item = f64>, vertical: bool) -> Option<Self> {
        let usable = values.filter(|v| v.is_finite() && (!axis.log || *v > 0.0));
        let (mut low, mut high) =
            usable.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            return None;
        }
        if axis.log {
            if let Some(ticks) = &axis.ticks {
                let pad = (high / low).powf(0.04).max(1.02);
                (low, high) = (low / pad, high * pad);
                return Some(Self { log: true, low, high, ticks: ticks.clone() });
            }
            let pad = (high / low).powf(0.05).max(1.05);
            (low, high) = (low / pad, high * pad);
            let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
            let steps: &[f64] = if high / low > 300.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
            let ticks = decades.flat_map(|d| steps.iter().map(move |s| s * 10f64.powi(d)));
            let mut ticks: Vec<f64> = ticks.filter(|t| (low..=high).contains(t)).collect();
            if ticks.len() < 3 {
                ticks = nice_ticks(low, high, 6.0);
            }
            return Some(Self { log: true, low, high, ticks });
        }
        if vertical {
            low = low.min(0.0);
            high += 0.06 * (high - low);
        }
        // Times that begin just after 0 begin at 0.
        if low > 0.0 && low < 0.05 * high {
            low = 0.0;
        }
        if high <= low {
            high = low + 1.0;
        }
        let ticks =
            axis.ticks.clone().unwrap_or_else(|| nice_ticks(low, high, if vertical { 6.0 } else { 10.0 }));
        Some(Self { log: false, low, high, ticks })
    }

    fn place(&self, value: f64, from: i32, to: i32) -> i32 {
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        from + (share.clamp(-0.05, 1.05) * f64::from(to - from)).round() as i32
    }
}

/// Round values, at most about `n` of them.
fn nice_ticks(low: f64, high: f64, n: f64) -> Vec<f64> {
    let rough = (high - low) / n;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * power).find(|s| *s >= rough).unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A number in as few digits as tell ticks apart.
fn label(value: f64) -> String {
    let size = value.abs();
    if size >= 1e5 {
        let text = format!("{value:.0}");
        // Thousands apart, so that zeros need not be counted.
        let mut grouped = String::new();
        for (i, c) in text.chars().enumerate() {
            if i > 0 && (text.len() - i).is_multiple_of(3) && !grouped.ends_with('-') {
                grouped.push(',');
            }
            grouped.push(c);
        }
        return grouped;
    }
    let text =
        if size >= 1e-4 || size == 0.0 { format!("{value:.5}") } else { return format!("{value:.0e}") };
    text.trim_end_matches('0').trim_end_matches('.').into()
}

impl Panel {
    fn draw<DB: DrawingBackend>(
        &self,
        pen: &Pen<'_, DB>,
        x: &Scale,
        frame: &Frame,
        x_label: Option<&str>,
    ) -> Result<()> {
        let values =
            self.series.iter().flat_map(|s| &s.points).map(|p| p.1).chain(self.levels.iter().map(|l| l.0));
        let Some(mut y) = Scale::new(&self.y, values, true) else { return Ok(()) };
        let labels = self.place_marks(pen, x, frame);
        let rows = labels.iter().map(|l| l.1 + 1).max().unwrap_or(0);
        if rows > 0 && !y.log {
            // Room above the lines for the names of the phases.
            let room = f64::from(rows * 15 + 6) / f64::from(frame.bottom - frame.top);
            y.high = y.low + (y.high - y.low) / (1.0 - room.min(0.6));
            y.ticks = self.y.ticks.clone().unwrap_or_else(|| nice_ticks(y.low, y.high, 6.0));
        }
        for tick in y.ticks.iter().filter(|t| (y.low..=y.high).contains(*t)) {
            let at = y.place(*tick, frame.bottom, frame.top);
            pen.line(&[(frame.left, at), (frame.right, at)], GRID, 1)?;
            pen.text(&label(*tick), frame.left - 7, at, 12.5, INK, HPos::Right)?;
        }
        for tick in x.ticks.iter().filter(|t| (x.low..=x.high).contains(*t)) {
            let at = x.place(*tick, frame.left, frame.right);
            pen.line(&[(at, frame.bottom), (at, frame.bottom + 5)], INK, 1)?;
            pen.text(&label(*tick), at, frame.bottom + 14, 12.5, INK, HPos::Center)?;
        }
        for ((at, row), (_, name)) in labels.iter().zip(&self.marks) {
            pen.dashes((*at, frame.top), (*at, frame.bottom), MARK)?;
            pen.text(name, at + 3, frame.top + 9 + 15 * row, 11.5, MARK, HPos::Left)?;
        }
        for (value, name) in &self.levels {
            let at = y.place(*value, frame.bottom, frame.top);
            pen.dashes((frame.left, at), (frame.right, at), INK)?;
            pen.text(name, frame.right - 5, at - 9, 11.5, INK, HPos::Right)?;
        }
        let places = self.place_legend(pen, frame);
        for ((series, colour), (left, up)) in self.series.iter().zip(COLOURS.iter().cycle()).zip(places) {
            let usable =
                series.points.iter().filter(|p| p.0.is_finite() && p.1.is_finite() && (!y.log || p.1 > 0.0));
            let line: Vec<(i32, i32)> = usable
                .map(|p| (x.place(p.0, frame.left, frame.right), y.place(p.1, frame.bottom, frame.top)))
                .collect();
            pen.line(&thin(&line), *colour, 2)?;
            if series.markers {
                for at in &line {
                    pen.dot(*at, *colour)?;
                }
            }
            pen.line(&[(left, up), (left + 22, up)], *colour, 3)?;
            pen.text(&series.name, left + 28, up, 12.5, INK, HPos::Left)?;
        }
        pen.line(
            &[(frame.left, frame.top), (frame.left, frame.bottom), (frame.right, frame.bottom)],
            INK,
            1,
        )?;
        pen.upright(&self.y.label, 20, (frame.top + frame.bottom) / 2)?;
        if let Some(x_label) = x_label {
            pen.text(x_label, (frame.left + frame.right) / 2, frame.bottom + 36, 13.5, INK, HPos::Center)?;
        }
        Ok(())
    }

    /// Left end and height of each series' name, from the last row up: as many rows as the names need.
    fn place_legend<DB: DrawingBackend>(&self, pen: &Pen<'_, DB>, frame: &Frame) -> Vec<(i32, i32)> {
        let (mut left, mut row) = (frame.left, 0);
        let mut places = Vec::new();
        for series in &self.series {
            let width = 28 + pen.width(&series.name, 12.5) + 22;
            if left > frame.left && left + width > frame.right + 22 {
                (left, row) = (frame.left, row + 1);
            }
            places.push((left, row));
            left += width;
        }
        places.into_iter().map(|(left, at)| (left, frame.top - 16 - LEGEND_ROW * (row - at))).collect()
    }

    /// Rows of names that do not fit on the first one; a name is taken to be as wide as a common one of its length.
    fn more_legend_rows(&self) -> i32 {
        let (mut left, mut row) = (0, 0);
        for series in &self.series {
            let width = 50 + series.name.chars().count() as i32 * 8;
            if left > 0 && left + width > WIDTH as i32 - 112 {
                (left, row) = (0, row + 1);
            }
            left += width;
        }
        row
    }

    /// Where each mark stands, and in which row its name: the first one where it covers no other.
    fn place_marks<DB: DrawingBackend>(
        &self,
        pen: &Pen<'_, DB>,
        x: &Scale,
        frame: &Frame,
    ) -> Vec<(i32, i32)> {
        let mut ends: Vec<i32> = Vec::new();
        self.marks
            .iter()
            .map(|(value, name)| {
                let at = x.place(*value, frame.left, frame.right);
                let row = ends.iter().position(|end| *end <= at).unwrap_or(ends.len());
                if row == ends.len() {
                    ends.push(0);
                }
                ends[row] = at + 3 + pen.width(name, 11.5) + 8;
                (at, row as i32)
            })
            .collect()
    }
}

/// At most the lowest and the highest of the points over one pixel column, in their order.
fn thin(line: &[(i32, i32)]) -> Vec<(i32, i32)> {
    let mut kept: Vec<(i32, i32)> = Vec::new();
    for column in line.chunk_by(|a, b| a.0 == b.0) {
        let mut picks: Vec<usize> = vec![0, column.len() - 1];
        let heights = || column.iter().enumerate().map(|(i, p)| (p.1, i));
        picks.extend(heights().min().map(|m| m.1));
        picks.extend(heights().max().map(|m| m.1));
        picks.sort_unstable();
        picks.dedup();
        kept.extend(picks.into_iter().map(|i| column[i]));
    }
    kept
}

/// Draws in units of the SVG.
struct Pen<'a, DB: DrawingBackend> {
    root: &'a DrawingArea<DB, Shift>,
    scale: f64,
}

impl<DB: DrawingBackend> Pen<'_, DB> {
    fn px(&self, length: i32) -> i32 {
        (f64::from(length) * self.scale).round() as i32
    }

    fn at(&self, x: i32, y: i32) -> (i32, i32) {
        (self.px(x), self.px(y))
    }

    fn draw<'b, E>(&self, element: &'b E) -> Result<()>
    where
        &'b E: plotters::element::PointCollection<'b, (i32, i32)>,
        E: plotters::element::Drawable<DB>,
    {
        self.root.draw(element).map_err(|e| Error::unsupported(format!("a chart cannot be drawn: {e}")))
    }

    fn stroke(&self, colour: RGBColor, width: i32) -> ShapeStyle {
        colour.stroke_width(self.px(width) as u32)
    }

    fn line(&self, points: &[(i32, i32)], colour: RGBColor, width: i32) -> Result<()> {
        if points.len() < 2 {
            return Ok(());
        }
        let points: Vec<_> = points.iter().map(|p| self.at(p.0, p.1)).collect();
        self.draw(&PathElement::new(points, self.stroke(colour, width)))
    }

    fn dashes(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Result<()> {
        let length = (to.0 - from.0).abs().max((to.1 - from.1).abs());
        let step = ((to.0 - from.0).signum(), (to.1 - from.1).signum());
        for start in (0..length).step_by(8) {
            let end = (start + 4).min(length);
            let point = |d: i32| (from.0 + step.0 * d, from.1 + step.1 * d);
            self.line(&[point(start), point(end)], colour, 1)?;
        }
        Ok(())
    }

    fn dot(&self, at: (i32, i32), colour: RGBColor) -> Result<()> {
        self.draw(&Circle::new(self.at(at.0, at.1), self.px(4), colour.filled()))
    }

    fn font(&self, size: f64) -> TextStyle<'static> {
        (FAMILY, size * self.scale).into_font().into_text_style(self.root)
    }

    fn width(&self, text: &str, size: f64) -> i32 {
        let size = self.font(size).font.box_size(text).map_or(0, |s| s.0);
        (f64::from(size) / self.scale).ceil() as i32
    }

    fn text(&self, text: &str, x: i32, y: i32, size: f64, colour: RGBColor, place: HPos) -> Result<()> {
        let style = self.font(size).color(&colour).pos(Pos::new(place, VPos::Center));
        self.draw(&Text::new(text.to_owned(), self.at(x, y), style))
    }

    fn upright(&self, text: &str, x: i32, y: i32) -> Result<()> {
        let font = (FAMILY, 13.5 * self.scale).into_font().transform(FontTransform::Rotate270);
        let style = font.into_text_style(self.root).color(&INK).pos(Pos::new(HPos::Center, VPos::Center));
        self.draw(&Text::new(text.to_owned(), self.at(x, y), style))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(nice_ticks(0.0, 10.0, 5.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
        assert_eq!(nice_ticks(0.0, 0.37, 4.0).len(), 4);
        assert_eq!(["0", "0.2", "1500", "150,000", "1e-5"], [0.0, 0.2, 1500.0, 150_000.0, 1e-5].map(label));
    }

    #[test]
    fn a_figure_is_drawn_both_ways_with_its_words() {
        let figure = Figure::new("share of the data", Axis::new("folds K").ticks([2.0, 20.0])).panel(
            Panel::new(Axis::new("share").log())
                .with(Series::dotted("ensemble", vec![(2.0, 0.01), (20.0, 0.011), (21.0, 0.0)]))
                .level(0.05, "32 MiB")
                .marks(vec![(2.0, "one".into()), (2.1, "two".into())]),
        );
        let svg = figure.to_svg().unwrap();
        for word in ["share of the data", "folds K", "ensemble", "32 MiB", "one", "two"] {
            assert!(svg.contains(word), "{word}");
        }
        let dir = tempfile::tempdir().unwrap();
        figure.save_png(dir.path().join("a.png")).unwrap();
        let reader =
            png::Decoder::new(std::io::BufReader::new(fs::File::open(dir.path().join("a.png")).unwrap()));
        assert_eq!(reader.read_info().unwrap().info().width, 2 * WIDTH);
        assert!(Figure::new("empty", "x").panel(Panel::new("y")).to_svg().is_err());
    }

    #[test]
    fn thinned_lines_keep_their_peaks() {
        let line: Vec<(i32, i32)> = (0..100).map(|i| (i / 50, if i == 30 { -9 } else { i % 7 })).collect();
        let thinned = thin(&line);
        assert!(thinned.len() <= 8 && thinned.contains(&(0, -9)));
    }
}
