//! Small pictures with transparency: what subjects and props are before they are put into a scene.

/// Side of a sprite, in pixels: more than twice the width that subjects usually have in a picture.
pub(super) const SIDE: usize = 80;

/// Red, green and blue, 0 to 1, sRGB-encoded.
pub(super) type Color = [f32; 3];

/// A square picture with transparency.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sprite {
    /// `[SIDE, SIDE, 4]`: premultiplied red, green, blue and alpha, 0 to 1.
    pub(super) pixels: Vec<[f32; 4]>,
}

/// Where a sprite is put in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pose {
    /// Centre, in pixels.
    pub(super) x: f32,
    /// Centre, in pixels.
    pub(super) y: f32,
    /// Side of the whole sprite, in pixels.
    pub(super) size: f32,
    /// Clockwise, in degrees.
    pub(super) degrees: f32,
    /// Left and right exchanged.
    pub(super) mirrored: bool,
}

impl Sprite {
    /// Cuts what is visible out of a picture, pads it to a square and resizes it to [`SIDE`] by averaging.
    ///
    /// # Shapes
    /// - rgba: `[height, width, 4]`, premultiplied, 0 to 1
    ///
    /// Nothing when nothing is visible.
    pub(super) fn cut(rgba: &[[f32; 4]], width: usize, height: usize) -> Option<Self> {
        let visible = |x: usize, y: usize| rgba[y * width + x][3] > 0.03;
        let columns: Vec<usize> = (0..width).filter(|x| (0..height).any(|y| visible(*x, y))).collect();
        let rows: Vec<usize> = (0..height).filter(|y| (0..width).any(|x| visible(x, *y))).collect();
        let (left, right) = (*columns.first()?, *columns.last()? + 1);
        let (top, bottom) = (*rows.first()?, *rows.last()? + 1);
        let side = (right - left).max(bottom - top);
        let offset =
            [left as f32 - (side - (right - left)) as f32 / 2.0, top as f32 - (side - (bottom - top)) as f32 / 2.0];
        let scale = side as f32 / SIDE as f32;
        let at = |x: isize, y: isize| {
            let inside = (0..width as isize).contains(&x) && (0..height as isize).contains(&y);
            if inside { rgba[y as usize * width + x as usize] } else { [0.0; 4] }
        };
        // Each pixel is the mean of a square of the source, cut pixels weighted by how much of them is inside.
        let spans = |index: usize, offset: f32| {
            let (from, to) = (offset + index as f32 * scale, offset + (index + 1) as f32 * scale);
            let cells = from.floor() as isize..to.ceil() as isize;
            cells.map(move |c| (c, (to.min(c as f32 + 1.0) - from.max(c as f32)).max(0.0) / scale))
        };
        let mut pixels = Vec::with_capacity(SIDE * SIDE);
        for y in 0..SIDE {
            for x in 0..SIDE {
                let mut sum = [0.0; 4];
                for (row, down) in spans(y, offset[1]) {
                    for (column, across) in spans(x, offset[0]) {
                        let pixel = at(column, row);
                        (0..4).for_each(|c| sum[c] += pixel[c] * down * across);
                    }
                }
                pixels.push(sum);
            }
        }
        Some(Self { pixels })
    }

    /// Height and width of what is visible, as parts of the sprite's side.
    pub(super) fn extent(&self) -> [f32; 2] {
        let seen = |p: &[f32; 4]| p[3] > 0.1;
        let rows = (0..SIDE).filter(|y| self.pixels[y * SIDE..(y + 1) * SIDE].iter().any(seen)).count();
        let columns = (0..SIDE).filter(|x| (0..SIDE).any(|y| seen(&self.pixels[y * SIDE + x]))).count();
        [rows as f32 / SIDE as f32, columns as f32 / SIDE as f32]
    }

    /// Puts the sprite into a transparent layer of `side` by `side` pixels, over what is there.
    pub(super) fn place(&self, layer: &mut [[f32; 4]], side: usize, pose: Pose) {
        let radians = pose.degrees.to_radians();
        let scale = SIDE as f32 / pose.size;
        let (sin, cos) = (radians.sin() * scale, radians.cos() * scale);
        let reach = pose.size * 0.5 * (radians.sin().abs() + radians.cos().abs()) + 1.0;
        let span = |center: f32| {
            ((center - reach).floor().max(0.0) as usize, ((center + reach).ceil().max(0.0) as usize).min(side))
        };
        let ((left, right), (top, bottom)) = (span(pose.x), span(pose.y));
        // Enough bilinear samples a pixel that none is further from the next than a pixel of the sprite and a half.
        let samples = (scale / 1.5).ceil().max(1.0) as usize;
        let share = 1.0 / (samples * samples) as f32;
        for y in top..bottom {
            for x in left..right {
                let mut sum = [0.0; 4];
                for sample in 0..samples * samples {
                    let part = |s: usize| (s as f32 + 0.5) / samples as f32;
                    let u = x as f32 + part(sample % samples) - pose.x;
                    let v = y as f32 + part(sample / samples) - pose.y;
                    let (mut across, down) = (u * cos + v * sin, v * cos - u * sin);
                    if pose.mirrored {
                        across = -across;
                    }
                    let half = SIDE as f32 / 2.0 - 0.5;
                    self.add_bilinear(across + half, down + half, share, &mut sum);
                }
                over(&mut layer[y * side + x], sum);
            }
        }
    }

    fn add_bilinear(&self, x: f32, y: f32, weight: f32, sum: &mut [f32; 4]) {
        let (left, top) = (x.floor(), y.floor());
        let (u, v) = (x - left, y - top);
        let (left, top) = (left as isize, top as isize);
        let corners = [(0, 0, (1.0 - u) * (1.0 - v)), (1, 0, u * (1.0 - v)), (0, 1, (1.0 - u) * v), (1, 1, u * v)];
        for (dx, dy, part) in corners {
            let (x, y) = (left + dx, top + dy);
            if (0..SIDE as isize).contains(&x) && (0..SIDE as isize).contains(&y) {
                let pixel = &self.pixels[y as usize * SIDE + x as usize];
                (0..4).for_each(|c| sum[c] += pixel[c] * part * weight);
            }
        }
    }
}

/// Puts a premultiplied color over another.
pub(super) fn over(below: &mut [f32; 4], above: [f32; 4]) {
    let through = 1.0 - above[3];
    (0..4).for_each(|c| below[c] = above[c] + below[c] * through);
}

/// A color by hue (degrees), saturation and lightness (0 to 1).
pub(super) fn hsl(hue: f32, saturation: f32, lightness: f32) -> Color {
    let chroma = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|n| {
        let k = (n + hue / 30.0).rem_euclid(12.0);
        lightness - chroma * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)
    })
}

/// `a` and `b` in the parts 1 - `t` and `t`.
pub(super) fn blend(a: Color, b: Color, t: f32) -> Color {
    let t = t.clamp(0.0, 1.0);
    [0, 1, 2].map(|c| a[c] + (b[c] - a[c]) * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors() {
        for (color, expected) in [
            (hsl(0.0, 1.0, 0.5), [1.0, 0.0, 0.0]),
            (hsl(120.0, 1.0, 0.25), [0.0, 0.5, 0.0]),
            (hsl(240.0, 1.0, 0.5), [0.0, 0.0, 1.0]),
            (hsl(77.0, 0.0, 0.3), [0.3, 0.3, 0.3]),
            (hsl(60.0, 1.0, 0.5), [1.0, 1.0, 0.0]),
        ] {
            assert!(color.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{color:?}");
        }
    }

    /// A sprite that is opaque all over covers its square and nothing else, and averaging keeps what there is.
    #[test]
    fn cutting_and_placing_keep_the_mass() {
        let mut picture = vec![[0.0; 4]; 50 * 40];
        for y in 10..30 {
            for x in 5..25 {
                picture[y * 50 + x] = [1.0, 0.5, 0.0, 1.0];
            }
        }
        let sprite = Sprite::cut(&picture, 50, 40).unwrap();
        assert_eq!(sprite.extent(), [1.0, 1.0]);
        for (size, degrees) in [(20.0_f32, 0.0), (40.0, 0.0), (30.0, 30.0)] {
            let mut layer = vec![[0.0; 4]; 64 * 64];
            sprite.place(&mut layer, 64, Pose { x: 32.0, y: 32.0, size, degrees, mirrored: true });
            let area: f32 = layer.iter().map(|p| p[3]).sum();
            assert!((area / size.powi(2) - 1.0).abs() < 0.02, "{area} of {}", size.powi(2));
            assert!(layer.iter().all(|p| (p[1] - p[0] * 0.5).abs() < 1e-5));
        }
        assert!(Sprite::cut(&[[0.0; 4]; 4], 2, 2).is_none());
    }
}
