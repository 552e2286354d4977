//! Draws the reference picture of the main job, `graphs/reference.png`: a toy duck with a striped scarf in a small photo studio.
//!
//! ```text
//! cargo run --release --example draw_reference -- graphs/reference.png
//! ```
//!
//! Everything is a distance function, and rays march along it (Hart, "Sphere Tracing", 1996). No input, no randomness
//! but a fixed seed: the same picture every time, free to use.

use std::ops::{Add, Mul, Sub};

const SIZE: usize = 512;
/// Rays per pixel and axis.
const SUBSAMPLES: usize = 3;
/// Standard deviation of the film grain, of 255.
const GRAIN: f32 = 1.1;

#[derive(Clone, Copy, Debug)]
struct V(f32, f32, f32);

impl Add for V {
    type Output = V;
    fn add(self, o: V) -> V {
        V(self.0 + o.0, self.1 + o.1, self.2 + o.2)
    }
}

impl Sub for V {
    type Output = V;
    fn sub(self, o: V) -> V {
        V(self.0 - o.0, self.1 - o.1, self.2 - o.2)
    }
}

impl Mul<f32> for V {
    type Output = V;
    fn mul(self, s: f32) -> V {
        V(self.0 * s, self.1 * s, self.2 * s)
    }
}

impl V {
    fn times(self, o: V) -> V {
        V(self.0 * o.0, self.1 * o.1, self.2 * o.2)
    }

    fn dot(self, o: V) -> f32 {
        self.0 * o.0 + self.1 * o.1 + self.2 * o.2
    }

    fn cross(self, o: V) -> V {
        V(self.1 * o.2 - self.2 * o.1, self.2 * o.0 - self.0 * o.2, self.0 * o.1 - self.1 * o.0)
    }

    fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    fn unit(self) -> V {
        self * (1.0 / self.length())
    }

    /// Turned about the vertical axis.
    fn turned(self, angle: f32) -> V {
        let (sin, cos) = angle.sin_cos();
        V(self.0 * cos + self.2 * sin, self.1, self.2 * cos - self.0 * sin)
    }

    /// Turned about the axis towards the viewer.
    fn tilted(self, angle: f32) -> V {
        let (sin, cos) = angle.sin_cos();
        V(self.0 * cos - self.1 * sin, self.0 * sin + self.1 * cos, self.2)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Stuff {
    Backdrop,
    Body,
    Beak,
    Eye,
    Scarf,
}

fn ellipsoid(p: V, center: V, radii: V) -> f32 {
    let q = p - center;
    let k0 = V(q.0 / radii.0, q.1 / radii.1, q.2 / radii.2).length();
    let k1 = V(q.0 / radii.0.powi(2), q.1 / radii.1.powi(2), q.2 / radii.2.powi(2)).length();
    if k1 == 0.0 { -radii.0 } else { k0 * (k0 - 1.0) / k1 }
}

fn torus(p: V, center: V, radius: f32, thickness: f32) -> f32 {
    let q = p - center;
    ((q.0.hypot(q.2) - radius).powi(2) + (q.1 * 0.8).powi(2)).sqrt() - thickness
}

fn smooth_min(a: f32, b: f32, k: f32) -> f32 {
    let h = (k - (a - b).abs()).max(0.0) / k;
    a.min(b) - h * h * k * 0.25
}

/// The duck's own frame: it looks along +x, turned towards the viewer.
fn to_duck(p: V) -> V {
    p.turned(0.7)
}

fn scene(p: V) -> (f32, Stuff) {
    // A sheet of paper that runs up the wall behind.
    let backdrop = smooth_min(p.1, p.2 + 3.2, 3.0);
    let mut best = (backdrop, Stuff::Backdrop);
    let q = to_duck(p);
    if (q - V(0.1, 0.9, 0.0)).length() > 2.2 {
        let far = (q - V(0.1, 0.9, 0.0)).length() - 1.9;
        return if far < backdrop { (far, Stuff::Body) } else { best };
    }
    let side = V(q.0, q.1, q.2.abs());
    let torso = ellipsoid(q, V(-0.05, 0.56, 0.0), V(0.86, 0.58, 0.62));
    let tail = ellipsoid((q - V(-0.82, 0.82, 0.0)).tilted(0.75), V(0.0, 0.0, 0.0), V(0.34, 0.14, 0.24));
    let head = ellipsoid(q, V(0.42, 1.47, 0.0), V(0.45, 0.43, 0.42));
    let neck = ellipsoid(q, V(0.36, 1.05, 0.0), V(0.32, 0.34, 0.32));
    let wing = ellipsoid((side - V(-0.18, 0.64, 0.55)).tilted(-0.28), V(0.0, 0.0, 0.0), V(0.46, 0.24, 0.13));
    let tip = ellipsoid((side - V(-0.6, 0.8, 0.55)).tilted(-0.6), V(0.0, 0.0, 0.0), V(0.17, 0.09, 0.07));
    let tuft = ellipsoid((q - V(0.3, 1.93, 0.0)).tilted(0.9), V(0.0, 0.0, 0.0), V(0.13, 0.055, 0.06));
    let body = smooth_min(smooth_min(torso, neck, 0.25), smooth_min(head, tuft, 0.1), 0.12);
    let body = smooth_min(smooth_min(body, tail, 0.3), smooth_min(wing, tip, 0.14), 0.05);
    let upper = ellipsoid((q - V(0.88, 1.41, 0.0)).tilted(-0.12), V(0.0, 0.0, 0.0), V(0.25, 0.065, 0.2));
    let lower = ellipsoid((q - V(0.85, 1.32, 0.0)).tilted(0.14), V(0.0, 0.0, 0.0), V(0.2, 0.05, 0.15));
    let beak = smooth_min(upper, lower, 0.03);
    let eye = ellipsoid(side, V(0.72, 1.6, 0.24), V(0.085, 0.1, 0.075));
    let ring = torus((q - V(0.36, 1.08, 0.0)).tilted(-0.1), V(0.0, 0.0, 0.0), 0.34, 0.115);
    let end = ellipsoid((q - V(0.52, 0.8, 0.42)).tilted(0.25), V(0.0, 0.0, 0.0), V(0.13, 0.3, 0.06));
    let scarf = smooth_min(ring, end, 0.08) + 0.006 * (q.0 * 60.0).sin() * (q.1 * 60.0).sin() * (q.2 * 60.0).sin();
    for (distance, stuff) in [(body, Stuff::Body), (beak, Stuff::Beak), (eye, Stuff::Eye), (scarf, Stuff::Scarf)] {
        if distance < best.0 {
            best = (distance, stuff);
        }
    }
    best
}

fn normal(p: V) -> V {
    let e = 1.5e-3;
    let d = |v: V| scene(p + v).0 - scene(p - v).0;
    V(d(V(e, 0.0, 0.0)), d(V(0.0, e, 0.0)), d(V(0.0, 0.0, e))).unit()
}

fn march(from: V, along: V, limit: f32) -> Option<(V, Stuff)> {
    let mut t = 0.02;
    for _ in 0..220 {
        let p = from + along * t;
        let (distance, stuff) = scene(p);
        if distance < 6e-4 * t {
            return Some((p, stuff));
        }
        t += distance * 0.85;
        if t > limit {
            return None;
        }
    }
    Some((from + along * t, scene(from + along * t).1))
}

/// How much of a large lamp is seen: the nearest miss on the way to it (Aaltonen's variant of Quilez' soft shadows).
fn light_through(from: V, along: V, softness: f32) -> f32 {
    let (mut seen, mut t) = (1.0_f32, 0.03);
    for _ in 0..160 {
        let distance = scene(from + along * t).0;
        seen = seen.min(0.5 + 0.5 * distance / (softness * t));
        if seen <= 0.0 || t > 7.0 {
            break;
        }
        t += (0.5 * distance).clamp(0.012, 0.1);
    }
    let s = seen.clamp(0.0, 1.0);
    s * s * (3.0 - 2.0 * s)
}

fn openness(p: V, n: V) -> f32 {
    let mut hidden = 0.0;
    for i in 1..=5 {
        let h = 0.07 * i as f32;
        hidden += (h - scene(p + n * h).0).max(0.0) / (1.6_f32.powi(i));
    }
    (1.0 - 1.7 * hidden).clamp(0.0, 1.0)
}

/// A little unevenness: sums of sines that never meet.
fn mottle(p: V, scale: f32) -> f32 {
    let p = p * scale;
    let wave = |a: f32, b: f32, c: f32| (p.0 * a + p.1 * b + p.2 * c).sin();
    (wave(1.0, 0.7, 1.3) * wave(-0.6, 1.1, 0.8) + wave(1.7, -1.2, 0.5) * wave(0.9, 1.9, -1.4)) * 0.5
}

fn color_of(p: V, stuff: Stuff) -> V {
    let q = to_duck(p);
    match stuff {
        Stuff::Backdrop => V(0.62, 0.605, 0.58) * (1.0 + 0.025 * mottle(p, 0.9)),
        Stuff::Body => {
            let belly = ((0.55 - q.1) * 1.4).clamp(0.0, 1.0);
            V(0.92, 0.62 - 0.09 * belly, 0.07 + 0.02 * belly) * (1.0 + 0.05 * mottle(q, 5.0))
        }
        Stuff::Beak => V(0.88, 0.23, 0.03),
        Stuff::Eye => V(0.012, 0.012, 0.016),
        Stuff::Scarf => {
            let around = if q.1 < 0.93 && q.2 > 0.25 { q.1 * 9.0 } else { q.2.atan2(q.0 - 0.36) * 2.6 };
            let band = (around * std::f32::consts::PI).sin();
            let mix = (band * 6.0).clamp(-1.0, 1.0) * 0.5 + 0.5;
            let (red, cream) = (V(0.55, 0.03, 0.045), V(0.86, 0.80, 0.66));
            red * (1.0 - mix) + cream * mix
        }
    }
}

fn shade(eye: V, along: V) -> V {
    let Some((p, stuff)) = march(eye, along, 30.0) else { return V(0.6, 0.6, 0.6) };
    let n = normal(p);
    let color = color_of(p, stuff);
    let open = openness(p, n);
    let lamps = [
        (V(-0.55, 0.85, 0.62).unit(), V(1.0, 0.95, 0.87) * 1.05, 0.16),
        (V(0.85, 0.45, 0.5).unit(), V(0.75, 0.85, 1.0) * 0.26, 0.3),
    ];
    let mut light = V(0.36, 0.38, 0.42) * (open * (0.65 + 0.35 * n.1));
    let bounce = V(0.20, 0.19, 0.18) * (open * (0.5 - 0.5 * n.1));
    light = light + bounce;
    let mut gleam = V(0.0, 0.0, 0.0);
    for (towards, strength, softness) in lamps {
        let seen = light_through(p + n * 4e-3, towards, softness);
        light = light + strength * (n.dot(towards).max(0.0) * seen);
        let half = (towards - along).unit();
        let (sharpness, amount) = match stuff {
            Stuff::Backdrop | Stuff::Scarf => (1.0, 0.0),
            Stuff::Body => (60.0, 0.22),
            Stuff::Beak => (40.0, 0.2),
            Stuff::Eye => (180.0, 0.9),
        };
        gleam = gleam + strength * (amount * seen * n.dot(half).max(0.0).powf(sharpness));
    }
    let rim = (1.0 + n.dot(along)).clamp(0.0, 1.0).powi(4);
    let sheen = if stuff == Stuff::Backdrop || stuff == Stuff::Scarf { 0.0 } else { 0.16 * rim * open };
    color.times(light) + gleam + V(sheen, sheen, sheen)
}

fn encode(linear: f32) -> f32 {
    // A soft shoulder, then the sRGB curve.
    let v = linear / (1.0 + (linear * 0.8).powi(4)).powf(0.25);
    if v <= 0.003_130_8 { 12.92 * v } else { 1.055 * v.powf(1.0 / 2.4) - 0.055 }
}

fn draw() -> Vec<u8> {
    let eye = V(0.35, 2.0, 7.2);
    let target = V(0.02, 0.86, 0.0);
    let forward = (target - eye).unit();
    let right = forward.cross(V(0.0, 1.0, 0.0)).unit();
    let up = right.cross(forward);
    let mut state = 20_250_611_u64;
    let mut normal_number = move || {
        let mut sum = 0.0;
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5;
        }
        sum * 1.732
    };
    let mut pixels = Vec::with_capacity(SIZE * SIZE * 3);
    for y in 0..SIZE {
        for x in 0..SIZE {
            let mut sum = V(0.0, 0.0, 0.0);
            for s in 0..SUBSAMPLES * SUBSAMPLES {
                let at =
                    |p: usize, s: usize| (p as f32 + (s as f32 + 0.5) / SUBSAMPLES as f32) / SIZE as f32 * 2.0 - 1.0;
                let (u, v) = (at(x, s % SUBSAMPLES), -at(y, s / SUBSAMPLES));
                sum = sum + shade(eye, (forward * 4.5 + right * u + up * v).unit());
            }
            let (u, v) = (x as f32 / SIZE as f32 - 0.5, y as f32 / SIZE as f32 - 0.5);
            let vignette = 1.0 - 0.22 * (u * u + v * v);
            let color = sum * (vignette / (SUBSAMPLES * SUBSAMPLES) as f32);
            let grain = normal_number() * GRAIN;
            for channel in [color.0, color.1, color.2] {
                pixels.push((encode(channel) * 255.0 + grain).round().clamp(0.0, 255.0) as u8);
            }
        }
    }
    pixels
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("say where to: draw_reference FILE.png")?;
    let file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut encoder = png::Encoder::new(file, SIZE as u32, SIZE as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&draw())?;
    writer.finish()?;
    Ok(())
}
