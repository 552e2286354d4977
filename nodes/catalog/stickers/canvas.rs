//! Drawing with distance functions: what procedural subjects and props are made of.
//!
//! A shape is a function that tells the signed distance of a point to it, negative inside; unions are minima and
//! intersections maxima (Quilez, "2D distance functions"). The canvas runs from -1 to 1, y downwards.

use super::sprite::{Color, SIDE, Sprite, over};

/// Pixels of the canvas along a side: twice a sprite's, so that cutting it down smooths edges.
const WORK: usize = 2 * SIDE;

pub(super) struct Canvas {
    pixels: Vec<[f32; 4]>,
}

impl Canvas {
    pub(super) fn new() -> Self {
        Self { pixels: vec![[0.0; 4]; WORK * WORK] }
    }

    /// Fills a shape with one color.
    pub(super) fn fill(&mut self, color: Color, shape: impl Fn(f32, f32) -> f32) {
        self.paint(|_, _| color, shape);
    }

    /// Fills a shape with a color for each point.
    pub(super) fn paint(&mut self, color: impl Fn(f32, f32) -> Color, shape: impl Fn(f32, f32) -> f32) {
        let pixel = 2.0 / WORK as f32;
        for (i, below) in self.pixels.iter_mut().enumerate() {
            let x = ((i % WORK) as f32 + 0.5) * pixel - 1.0;
            let y = ((i / WORK) as f32 + 0.5) * pixel - 1.0;
            let alpha = (0.5 - shape(x, y) / pixel).clamp(0.0, 1.0);
            if alpha > 0.0 {
                let [r, g, b] = color(x, y);
                over(below, [r * alpha, g * alpha, b * alpha, alpha]);
            }
        }
    }

    /// What was drawn, as a sprite that it fills.
    pub(super) fn sprite(&self) -> Option<Sprite> {
        Sprite::cut(&self.pixels, WORK, WORK)
    }
}

/// An ellipse, turned clockwise by `degrees`. The distance is exact on the outline and about right near it.
pub(super) fn ellipse(center: (f32, f32), radii: (f32, f32), degrees: f32) -> impl Fn(f32, f32) -> f32 + Copy {
    let (sin, cos) = degrees.to_radians().sin_cos();
    move |x, y| {
        let (u, v) = (x - center.0, y - center.1);
        let (u, v) = (u * cos + v * sin, v * cos - u * sin);
        let inside = (u / radii.0).hypot(v / radii.1);
        let slope = (u / radii.0.powi(2)).hypot(v / radii.1.powi(2));
        if slope < 1e-6 { -radii.0.min(radii.1) } else { inside * (inside - 1.0) / slope }
    }
}

/// A circle.
pub(super) fn circle(center: (f32, f32), radius: f32) -> impl Fn(f32, f32) -> f32 + Copy {
    move |x, y| (x - center.0).hypot(y - center.1) - radius
}

/// A rectangle with round corners, by its centre and half its sides.
pub(super) fn rectangle(center: (f32, f32), half: (f32, f32), round: f32) -> impl Fn(f32, f32) -> f32 + Copy {
    move |x, y| {
        let (u, v) = ((x - center.0).abs() - half.0 + round, (y - center.1).abs() - half.1 + round);
        u.max(0.0).hypot(v.max(0.0)) + u.max(v).min(0.0) - round
    }
}

/// A line with round ends.
pub(super) fn line(a: (f32, f32), b: (f32, f32), radius: f32) -> impl Fn(f32, f32) -> f32 + Copy {
    move |x, y| {
        let (u, v) = (b.0 - a.0, b.1 - a.1);
        let t = (((x - a.0) * u + (y - a.1) * v) / (u * u + v * v).max(1e-9)).clamp(0.0, 1.0);
        (x - a.0 - t * u).hypot(y - a.1 - t * v) - radius
    }
}

/// A polygon, its corners in any direction.
pub(super) fn polygon<const N: usize>(corners: [(f32, f32); N]) -> impl Fn(f32, f32) -> f32 + Copy {
    move |x, y| {
        let mut nearest = f32::MAX;
        let mut inside = false;
        for (i, b) in corners.iter().enumerate() {
            let a = corners[(i + N - 1) % N];
            let (u, v) = (b.0 - a.0, b.1 - a.1);
            let t = (((x - a.0) * u + (y - a.1) * v) / (u * u + v * v).max(1e-9)).clamp(0.0, 1.0);
            nearest = nearest.min((x - a.0 - t * u).hypot(y - a.1 - t * v));
            if (a.1 > y) != (b.1 > y) && x < (b.0 - a.0) * (y - a.1) / (b.1 - a.1) + a.0 {
                inside = !inside;
            }
        }
        if inside { -nearest } else { nearest }
    }
}

/// Both shapes together.
pub(super) fn union(
    a: impl Fn(f32, f32) -> f32 + Copy,
    b: impl Fn(f32, f32) -> f32 + Copy,
) -> impl Fn(f32, f32) -> f32 + Copy {
    move |x, y| a(x, y).min(b(x, y))
}

/// Where both shapes are.
pub(super) fn both(
    a: impl Fn(f32, f32) -> f32 + Copy,
    b: impl Fn(f32, f32) -> f32 + Copy,
) -> impl Fn(f32, f32) -> f32 + Copy {
    move |x, y| a(x, y).max(b(x, y))
}

/// The first shape without the second.
pub(super) fn without(
    a: impl Fn(f32, f32) -> f32 + Copy,
    b: impl Fn(f32, f32) -> f32 + Copy,
) -> impl Fn(f32, f32) -> f32 + Copy {
    move |x, y| a(x, y).max(-b(x, y))
}
