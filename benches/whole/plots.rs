//! Plots of the growth of cost, as SVG. Both axes are logarithmic, so that linear growth has a slope of one.

use std::fmt::Write as _;

use super::report::Unit;

/// Width and height of a plot.
const SIZE: (f64, f64) = (720.0, 400.0);
/// Margins around the axes: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (96.0, 84.0, 56.0, 56.0);
/// Colours that are legible on white and on black, and distinguishable without red and green.
const COLOURS: [&str; 3] = ["#2f81f7", "#d9822b", "#9a6ddb"];
const INK: &str = "#808890";

/// A plot.
pub(crate) struct Plot<'a> {
    pub(crate) title: &'a str,
    /// Label of the horizontal axis.
    pub(crate) size: &'a str,
    /// Label of the vertical axis.
    pub(crate) figure: &'a str,
    pub(crate) unit: Unit,
    pub(crate) lines: Vec<Line<'a>>,
}

/// A line of a plot.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    /// Index of its colour, the same in all plots.
    pub(crate) colour: usize,
    /// Horizontal and vertical values.
    pub(crate) points: Vec<(f64, f64)>,
}

/// An axis: the powers of ten at its ends, and their positions in the plot.
struct Axis {
    powers: (i32, i32),
    ends: (f64, f64),
}

impl Axis {
    fn new(figures: impl Iterator<Item = f64>, ends: (f64, f64)) -> Self {
        let (low, high) = figures
            .fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), figure| (low.min(figure), high.max(figure)));
        let power = |figure: f64| figure.log10() as i32;
        let low = low.log10().floor();
        Self { powers: (power(10_f64.powf(low)), high.log10().ceil().max(low + 1.0) as i32), ends }
    }

    fn place(&self, figure: f64) -> f64 {
        let ((low, high), (from, to)) = (self.powers, self.ends);
        from + (to - from) * (figure.log10() - f64::from(low)) / f64::from(high - low)
    }

    fn ticks(&self) -> impl Iterator<Item = (f64, f64)> {
        (self.powers.0..=self.powers.1).map(|power| {
            let figure = 10_f64.powi(power);
            (figure, self.place(figure))
        })
    }
}

impl Plot<'_> {
    /// Returns the plot as SVG.
    pub(crate) fn svg(&self) -> String {
        let ((width, height), (left, top, right, bottom)) = (SIZE, MARGIN);
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let across = Axis::new(points().map(|point| point.0), (left, width - right));
        let upwards = Axis::new(points().map(|point| point.1), (height - bottom, top));
        let mut svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" font-family="sans-serif" font-size="13" fill="{INK}">
<title>{title}</title>
<text x="{left}" y="22" font-size="16" font-weight="bold">{title}</text>
"#,
            title = self.title
        );
        self.push_axes(&mut svg, &across, &upwards);
        for (number, line) in self.lines.iter().enumerate() {
            self.push_line(&mut svg, line, &across, &upwards);
            // The second name is below the first, the third beside the first.
            let (x, y) = ([left + 5.0, left + 335.0][number / 2], [44.0, 62.0][number % 2]);
            writeln!(
                svg,
                r#"<circle cx="{x}" cy="{}" r="5" fill="{}"/><text x="{}" y="{y}">{}</text>"#,
                y - 4.5,
                COLOURS[line.colour],
                x + 12.0,
                line.name
            )
            .unwrap();
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn push_line(&self, svg: &mut String, line: &Line<'_>, across: &Axis, upwards: &Axis) {
        let colour = COLOURS[line.colour];
        let place = |(size, figure): &(f64, f64)| (across.place(*size), upwards.place(*figure), *figure);
        let places: Vec<(f64, f64, f64)> = line.points.iter().map(place).collect();
        let path: Vec<String> = places.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        let path = path.join(" ");
        writeln!(svg, r#"<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>"#)
            .unwrap();
        for (x, y, figure) in places {
            // A label at the vertical axis has no space to its left.
            let (anchor, at) = if x < across.ends.0 + 1.0 { ("start", x + 4.0) } else { ("middle", x) };
            writeln!(
                svg,
                r#"<circle cx="{x:.1}" cy="{y:.1}" r="4" fill="{colour}"/><text x="{at:.1}" y="{:.1}" text-anchor="{anchor}" font-size="11">{}</text>"#,
                y - 9.0,
                self.unit.show(figure)
            )
            .unwrap();
        }
    }

    fn push_axes(&self, svg: &mut String, across: &Axis, upwards: &Axis) {
        let ((left, right), (bottom, top)) = (across.ends, upwards.ends);
        let mut rule = |from: (f64, f64), to: (f64, f64)| {
            let ((x1, y1), (x2, y2)) = (from, to);
            writeln!(
                svg,
                r#"<path d="M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}" stroke="{INK}" stroke-opacity="0.35"/>"#
            )
            .unwrap();
        };
        across.ticks().for_each(|(_, x)| rule((x, bottom), (x, top)));
        upwards.ticks().for_each(|(_, y)| rule((left, y), (right, y)));
        for (size, x) in across.ticks() {
            let label = count(size);
            writeln!(svg, r#"<text x="{x:.1}" y="{}" text-anchor="middle">{label}</text>"#, bottom + 20.0)
                .unwrap();
        }
        for (figure, y) in upwards.ticks() {
            let label = power(self.unit, figure);
            writeln!(svg, r#"<text x="{}" y="{:.1}" text-anchor="end">{label}</text>"#, left - 8.0, y + 4.0)
                .unwrap();
        }
        let (middle, height) = (f64::midpoint(left, right), f64::midpoint(top, bottom));
        writeln!(
            svg,
            r#"<text x="{middle}" y="{}" text-anchor="middle">{}</text>"#,
            bottom + 42.0,
            self.size
        )
        .unwrap();
        writeln!(
            svg,
            r#"<text transform="translate(16 {height}) rotate(-90)" text-anchor="middle">{}</text>"#,
            self.figure
        )
        .unwrap();
    }
}

/// Formats a power of ten, without decimals.
fn power(unit: Unit, figure: f64) -> String {
    let (figure, name) = match unit {
        Unit::Seconds if figure < 0.9e-3 => (figure * 1e6, "µs"),
        Unit::Seconds if figure < 0.9 => (figure * 1e3, "ms"),
        Unit::Seconds => (figure, "s"),
        Unit::Bytes if figure < 0.9e9 => (figure / 1e6, "MB"),
        Unit::Bytes => (figure / 1e9, "GB"),
        Unit::Times | Unit::Count | Unit::PerSecond => return unit.show(figure),
    };
    format!("{figure:.0} {name}")
}

/// Formats a count for an axis and a table.
pub(crate) fn count(size: f64) -> String {
    if size >= 1e6 {
        format!("{} million", size / 1e6)
    } else if size >= 1e3 {
        format!("{} thousand", size / 1e3)
    } else {
        size.to_string()
    }
}
