//! What all plots share: scales, axes with their titles and units, legends.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{color, label};

pub(super) type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
pub(super) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Values on an axis, and what stands there.
pub(super) type Marks = Vec<(f64, String)>;

const GRID: RGBColor = RGBColor(222, 222, 222);
const TEXT: i32 = 13;

/// Values to pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) from: i32,
    pub(super) to: i32,
    pub(super) logarithmic: bool,
}

impl Scale {
    pub(super) fn at(&self, value: f64) -> i32 {
        let way = |value: f64| if self.logarithmic { value.log10() } else { value };
        let share = (way(value) - way(self.low)) / (way(self.high) - way(self.low));
        (f64::from(self.from) + share * f64::from(self.to - self.from)).round() as i32
    }
}

/// A scale with its name and the values that are marked.
pub(super) struct Axis<'a> {
    pub(super) scale: Scale,
    /// With the unit.
    pub(super) title: &'a str,
    pub(super) marks: Marks,
}

/// The part of a picture that one plot has, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) left: i32,
    pub(super) right: i32,
    pub(super) top: i32,
    pub(super) bottom: i32,
}

/// Text that begins, is centred, or ends where it stands.
pub(super) fn text(at: HPos) -> TextStyle<'static> {
    ("sans-serif", TEXT).into_font().color(&BLACK).pos(Pos::new(at, VPos::Center))
}

/// Grid, marks and titles; a vertical axis without marks is left out.
pub(super) fn draw(canvas: &Canvas<'_>, title: &str, place: Place, x: &Axis<'_>, y: &Axis<'_>) -> Result<()> {
    let heading = ("sans-serif", 16).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Center));
    let (middle, centre) = (i32::midpoint(place.left, place.right), i32::midpoint(place.top, place.bottom));
    canvas.draw_text(title, &heading, (middle, place.top - 18))?;
    for (value, mark) in &x.marks {
        let at = x.scale.at(*value);
        canvas.draw(&PathElement::new([(at, place.top), (at, place.bottom)], GRID))?;
        canvas.draw_text(mark, &text(HPos::Center), (at, place.bottom + 13))?;
    }
    canvas.draw_text(x.title, &text(HPos::Center), (middle, place.bottom + 34))?;
    for (value, mark) in &y.marks {
        let at = y.scale.at(*value);
        canvas.draw(&PathElement::new([(place.left, at), (place.right, at)], GRID))?;
        canvas.draw_text(mark, &text(HPos::Right), (place.left - 7, at))?;
    }
    if !y.marks.is_empty() {
        let upright = ("sans-serif", TEXT).into_font().transform(FontTransform::Rotate270).color(&BLACK);
        let upright = upright.pos(Pos::new(HPos::Center, VPos::Center));
        canvas.draw_text(y.title, &upright, (place.left - 52, centre))?;
        canvas.draw(&PathElement::new([(place.left, place.top), (place.left, place.bottom)], BLACK))?;
    }
    canvas.draw(&PathElement::new([(place.left, place.bottom), (place.right, place.bottom)], BLACK))?;
    Ok(())
}

/// A line and a name for each client.
pub(super) fn legend<'a>(
    canvas: &Canvas<'_>,
    left: i32,
    top: i32,
    keys: impl Iterator<Item = &'a str>,
) -> Result<()> {
    for (row, key) in keys.enumerate() {
        let at = top + 10 + 20 * row as i32;
        canvas.draw(&PathElement::new([(left, at), (left + 22, at)], color(key).stroke_width(3)))?;
        canvas.draw_text(label(key), &text(HPos::Left), (left + 30, at))?;
    }
    Ok(())
}

/// Where a logarithmic axis begins and ends, and its marks: 1, 2 and 5 of each decade, or only 1 when there are many.
pub(super) fn logarithmic(values: impl Iterator<Item = f64>) -> Option<(f64, f64, Marks)> {
    let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
    for value in values.filter(|value| *value > 0.0) {
        low = low.min(value);
        high = high.max(value);
    }
    if high == 0.0 {
        return None;
    }
    let decades = (low.log10().floor() as i32 - 1)..=(high.log10().ceil() as i32 + 1);
    let steps: Vec<f64> =
        decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(decade))).collect();
    // The list is wider than the values on both sides.
    let low = steps.iter().copied().rfind(|step| *step <= low * 0.9)?;
    let high = steps.iter().copied().find(|step| *step >= high * 1.1)?;
    let many = high / low > 500.0;
    let whole = |step: f64| (step.log10() - step.log10().round()).abs() < 1e-9;
    let marks = steps
        .into_iter()
        .filter(|step| *step >= low * 0.999 && *step <= high * 1.001 && (!many || whole(*step)))
        .map(|step| (step, short(step)))
        .collect();
    Some((low, high, marks))
}

/// A mark on an axis.
fn short(value: f64) -> String {
    match value {
        value if value >= 0.999e9 => format!("{:.0} G", value / 1e9),
        value if value >= 0.999e6 => format!("{:.0} M", value / 1e6),
        value if value >= 0.999e3 => format!("{:.0} k", value / 1e3),
        value if value >= 0.999 => format!("{value:.0}"),
        value => {
            let decimals = (-(value * 1.0001).log10().floor()).clamp(1.0, 9.0) as usize;
            format!("{value:.decimals$}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(values: &[f64]) -> Vec<String> {
        logarithmic(values.iter().copied()).unwrap().2.into_iter().map(|(_, mark)| mark).collect()
    }

    #[test]
    fn axes_are_a_little_longer_than_their_values() {
        assert!(logarithmic([0.0].into_iter()).is_none());
        assert_eq!(marks(&[0.05, 1.2]), ["0.02", "0.05", "0.1", "0.2", "0.5", "1", "2"]);
        assert_eq!(marks(&[1000.0]), ["500", "1 k", "2 k"]);
        assert_eq!(marks(&[20e3, 70e6]), ["10 k", "100 k", "1 M", "10 M", "100 M"], "decades only");
    }

    #[test]
    fn scales_end_where_they_should() {
        let scale = Scale { low: 1.0, high: 100.0, from: 10, to: 210, logarithmic: true };
        assert_eq!([1.0, 10.0, 100.0].map(|value| scale.at(value)), [10, 110, 210]);
        let down = Scale { low: 0.0, high: 4.0, from: 300, to: 100, logarithmic: false };
        assert_eq!([0.0, 1.0, 4.0].map(|value| down.at(value)), [300, 250, 100]);
    }
}
