//! Photo-like pictures with known outlines, for tests.

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder, ImageFormat};

use crate::image::pixels::Samples;

type Paint = fn(f32, f32) -> [f32; 3];

/// A subject in front of a background. Coordinates run from -1 to 1 along the shorter side.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    size: (usize, usize),
    subject: fn(f32, f32) -> bool,
    paint: Paint,
    behind: Paint,
    /// How dark the soft shadow below is, 0 to 1.
    shadow: f32,
    /// How near the lamp is: 1 for a shadow that is soft all over, 4 for one with a narrow rim.
    lamp: i32,
    /// Standard deviation of the noise, of 255.
    noise: f32,
    /// JPEG quality; 0 for none.
    jpeg: u8,
}

pub(crate) const SCENES: &[Scene] = &[
    Scene {
        name: "ball",
        size: (512, 512),
        subject: ball,
        paint: checks,
        behind: studio,
        shadow: 0.35,
        lamp: 1,
        noise: 4.0,
        jpeg: 85,
    },
    Scene {
        name: "bear",
        size: (640, 480),
        subject: bear,
        paint: fur,
        behind: studio,
        shadow: 0.3,
        lamp: 1,
        noise: 6.0,
        jpeg: 75,
    },
    Scene {
        name: "mug",
        size: (480, 640),
        subject: mug,
        paint: stripes,
        behind: warm,
        shadow: 0.3,
        lamp: 1,
        noise: 5.0,
        jpeg: 80,
    },
    Scene {
        name: "table",
        size: (512, 512),
        subject: bear,
        paint: checks,
        behind: table,
        shadow: 0.25,
        lamp: 1,
        noise: 4.0,
        jpeg: 85,
    },
    Scene {
        name: "portrait",
        size: (512, 640),
        subject: portrait,
        paint: fur,
        behind: warm,
        shadow: 0.0,
        lamp: 1,
        noise: 5.0,
        jpeg: 85,
    },
    Scene {
        name: "large",
        size: (1500, 1100),
        subject: bear,
        paint: stripes,
        behind: dark,
        shadow: 0.3,
        lamp: 1,
        noise: 8.0,
        jpeg: 90,
    },
    Scene {
        name: "small",
        size: (96, 96),
        subject: ball,
        paint: checks,
        behind: studio,
        shadow: 0.3,
        lamp: 1,
        noise: 3.0,
        jpeg: 0,
    },
    Scene {
        name: "grey on grey",
        size: (512, 512),
        subject: bear,
        paint: grey,
        behind: studio,
        shadow: 0.3,
        lamp: 1,
        noise: 3.0,
        jpeg: 85,
    },
    Scene {
        name: "white mug",
        size: (512, 512),
        subject: mug,
        paint: white,
        behind: warm,
        shadow: 0.3,
        lamp: 1,
        noise: 3.0,
        jpeg: 90,
    },
    Scene {
        name: "noisy",
        size: (400, 400),
        subject: ball,
        paint: fur,
        behind: green,
        shadow: 0.4,
        lamp: 1,
        noise: 14.0,
        jpeg: 60,
    },
    Scene {
        name: "hard shadow",
        size: (512, 512),
        subject: ball,
        paint: checks,
        behind: studio,
        shadow: 0.45,
        lamp: 4,
        noise: 2.0,
        jpeg: 90,
    },
    Scene {
        name: "two",
        size: (512, 512),
        subject: two,
        paint: checks,
        behind: studio,
        shadow: 0.2,
        lamp: 1,
        noise: 4.0,
        jpeg: 80,
    },
];

impl Scene {
    /// The picture and which of its pixels are the subject's.
    pub(crate) fn draw(&self) -> (Samples, Vec<bool>) {
        let (width, height) = self.size;
        let short = width.min(height) as f32;
        let mut noise = noise();
        let mut picture = Samples::filled(width, height, &[0.0; 3]);
        let mut truth = Vec::with_capacity(width * height);
        for y in 0..height {
            for x in 0..width {
                // Four by four samples a pixel, for the soft edges that lenses make.
                let mut color = [0.0; 3];
                let mut inside = 0;
                for sample in 0..16 {
                    let at = |p: usize, side: usize, s: usize| {
                        (2.0 * (p as f32 + 0.125 + 0.25 * s as f32) - side as f32) / short
                    };
                    let (u, v) = (at(x, width, sample % 4), at(y, height, sample / 4));
                    let hit = (self.subject)(u, v);
                    inside += usize::from(hit);
                    let (sx, sy) = ((u - 0.06) / 0.62, (v - 0.62) / 0.16);
                    let shade = 1.0 - self.shadow * (-(sx * sx + sy * sy).powi(self.lamp)).exp();
                    let paint = if hit { (self.paint)(u, v) } else { (self.behind)(u, v).map(|c| c * shade) };
                    (0..3).for_each(|c| color[c] += paint[c] / 16.0);
                }
                truth.push(inside >= 8);
                let grain = noise() * self.noise / 255.0;
                for (c, sample) in picture.pixel_mut(x, y).iter_mut().enumerate() {
                    *sample = (color[c] + grain + 0.4 * noise() * self.noise / 255.0).clamp(0.0, 1.0);
                }
            }
        }
        (compressed(picture, self.jpeg), truth)
    }
}

/// Pictures without a subject: backgrounds, noise, texture all over.
pub(crate) fn plain() -> Vec<Samples> {
    [(studio as Paint, 4.0), (warm, 6.0), (|_, _| [0.5; 3], 0.0), (|_, _| [0.5; 3], 60.0)]
        .map(|(behind, noise)| {
            let nothing = |_, _| false;
            let size = (300, 200);
            Scene { name: "", size, subject: nothing, paint: behind, behind, shadow: 0.0, lamp: 1, noise, jpeg: 85 }
                .draw()
                .0
        })
        .into()
}

fn compressed(picture: Samples, quality: u8) -> Samples {
    if quality == 0 {
        return picture;
    }
    let bytes: Vec<u8> = picture.values.iter().map(|v| (v * 255.0).round() as u8).collect();
    let (width, height) = (picture.width as u32, picture.height as u32);
    let mut jpeg = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut jpeg, quality);
    encoder.write_image(&bytes, width, height, ExtendedColorType::Rgb8).unwrap();
    let decoded = image::load_from_memory_with_format(&jpeg, ImageFormat::Jpeg).unwrap().into_rgb32f();
    Samples { values: decoded.into_raw(), ..picture }
}

/// Normal numbers, about.
fn noise() -> impl FnMut() -> f32 {
    let mut state = 7_u64;
    move || {
        let mut sum = 0.0;
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            sum += (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5;
        }
        sum * 1.732
    }
}

fn ellipse(u: f32, v: f32, center: (f32, f32), radii: (f32, f32)) -> bool {
    ((u - center.0) / radii.0).powi(2) + ((v - center.1) / radii.1).powi(2) < 1.0
}

fn ball(u: f32, v: f32) -> bool {
    ellipse(u, v, (0.05, 0.05), (0.55, 0.55))
}

fn bear(u: f32, v: f32) -> bool {
    [
        ((0.0, 0.25), (0.4, 0.45)),
        ((0.0, -0.3), (0.3, 0.28)),
        ((-0.25, -0.52), (0.12, 0.12)),
        ((0.25, -0.52), (0.12, 0.12)),
        ((-0.45, 0.1), (0.18, 0.1)),
        ((0.45, 0.1), (0.18, 0.1)),
        ((-0.25, 0.68), (0.16, 0.12)),
        ((0.25, 0.68), (0.16, 0.12)),
    ]
    .iter()
    .any(|(center, radii)| ellipse(u, v, *center, *radii))
}

fn mug(u: f32, v: f32) -> bool {
    let body = u.abs() < 0.4 - 0.05 * v && (-0.5..0.6).contains(&v);
    let handle = ellipse(u, v, (0.42, 0.05), (0.28, 0.34)) && !ellipse(u, v, (0.42, 0.05), (0.17, 0.22));
    body || handle
}

fn portrait(u: f32, v: f32) -> bool {
    ellipse(u, v, (0.0, -0.35), (0.35, 0.45)) || ellipse(u, v, (0.0, 1.15), (0.75, 0.95))
}

fn two(u: f32, v: f32) -> bool {
    ellipse(u, v, (-0.4, 0.1), (0.3, 0.4)) || ellipse(u, v, (0.45, 0.25), (0.25, 0.3))
}

fn lit(color: [f32; 3], u: f32, v: f32) -> [f32; 3] {
    let light = 0.9 - 0.35 * (u * 0.5 + v * 0.6);
    color.map(|c| c * light)
}

fn checks(u: f32, v: f32) -> [f32; 3] {
    let dark = ((u * 7.0).floor() + (v * 7.0).floor()) as i32 % 2 == 0;
    lit(if dark { [0.75, 0.2, 0.15] } else { [0.95, 0.8, 0.3] }, u, v)
}

fn stripes(u: f32, v: f32) -> [f32; 3] {
    let phase = (v * 20.0 + (u * 6.0).sin()).sin();
    lit(if phase > 0.0 { [0.15, 0.35, 0.75] } else { [0.92, 0.92, 0.95] }, u, v)
}

fn fur(u: f32, v: f32) -> [f32; 3] {
    let t = 0.5 + 0.25 * (u * 61.0 + (v * 47.0).sin() * 2.0).sin() + 0.25 * (v * 83.0 + u * 31.0).sin();
    lit([0.45 + 0.25 * t, 0.28 + 0.2 * t, 0.14 + 0.12 * t], u, v)
}

fn grey(u: f32, v: f32) -> [f32; 3] {
    let t = 0.03 * (u * 40.0).sin() * (v * 37.0).cos();
    lit([0.38 + t; 3], u, v)
}

fn white(u: f32, v: f32) -> [f32; 3] {
    lit([0.97, 0.97, 0.96], u * 0.6, v * 0.3)
}

fn studio(u: f32, v: f32) -> [f32; 3] {
    let light = 0.86 - 0.1 * v - 0.06 * u - 0.05 * (u * u + v * v);
    [light, light * 0.995, light * 0.98]
}

fn warm(u: f32, v: f32) -> [f32; 3] {
    let light = 0.78 - 0.12 * v + 0.05 * u * u;
    [light, light * 0.86, light * 0.7]
}

fn green(u: f32, v: f32) -> [f32; 3] {
    let light = 0.7 - 0.1 * u;
    [light * 0.55, light, light * (0.6 + 0.05 * v)]
}

fn dark(u: f32, v: f32) -> [f32; 3] {
    let light = 0.22 + 0.05 * u - 0.04 * v;
    [light, light, light * 1.1]
}

fn table(u: f32, v: f32) -> [f32; 3] {
    if v > 0.3 {
        let grain = 0.03 * (v * 90.0 + (u * 5.0).sin()).sin();
        [0.6 + grain - 0.05 * u, 0.45 + grain, 0.32 + grain]
    } else {
        let light = 0.84 + 0.04 * u;
        [light * 0.92, light * 0.96, light]
    }
}
