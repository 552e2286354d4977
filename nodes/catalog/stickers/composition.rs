//! From a subject, a scene and a treatment to pixels.

use dc_graph_node_api::NodeError;

use super::canvas::{Canvas, circle, ellipse, line, polygon};
use super::picks::Picks;
use super::scenes::Scene;
use super::sprite::{Color, Pose, Sprite, over};
use super::treatments::Treatment;

/// Side of a picture, in pixels.
pub(crate) const SIZE: usize = 64;
/// How wide (or high, whichever is more) subjects are, in pixels.
const USUAL: (f32, f32) = (34.0, 54.0);
/// The same where the text says where they are: there must be room to be somewhere else.
const PLACED: (f32, f32) = (27.0, 34.0);
/// Width of a sticker's outline, in pixels.
const OUTLINE: f32 = 2.6;

type Layer = Vec<[f32; 4]>;

/// Props, drawn once.
pub(super) struct Props {
    balloon: Vec<Sprite>,
    crown: Sprite,
}

impl Props {
    pub(super) fn draw() -> Result<Self, NodeError> {
        let drawn = |canvas: Canvas| canvas.sprite().ok_or_else(|| NodeError::failed("a prop is empty"));
        let colors = [[0.9, 0.15, 0.2], [0.2, 0.45, 0.95], [0.98, 0.8, 0.15], [0.2, 0.75, 0.35], [0.75, 0.3, 0.85]];
        let balloon = colors.map(|color: Color| {
            let mut canvas = Canvas::new();
            let dark = color.map(|c| c * 0.55);
            canvas.fill([0.92; 3], line((0.0, 0.1), (0.05, 0.98), 0.03));
            canvas.fill([0.3; 3], line((0.04, 0.2), (0.09, 0.98), 0.018));
            canvas.fill(dark, ellipse((0.0, -0.42), (0.45, 0.56), 0.0));
            canvas.fill(color, ellipse((0.0, -0.42), (0.41, 0.52), 0.0));
            canvas.fill(dark, polygon([(-0.09, 0.2), (0.09, 0.2), (0.0, 0.08)]));
            canvas.fill([1.0; 3], ellipse((-0.15, -0.62), (0.07, 0.13), 25.0));
            drawn(canvas)
        });
        let mut canvas = Canvas::new();
        let shape = [(-0.9, 0.5), (0.9, 0.5), (0.95, -0.5), (0.45, 0.0), (0.0, -0.65), (-0.45, 0.0), (-0.95, -0.5)];
        let grown = polygon(shape);
        canvas.fill([0.5, 0.3, 0.05], move |x, y| grown(x, y) - 0.06);
        canvas.fill([1.0, 0.82, 0.15], polygon(shape));
        for (x, color) in [(-0.5, [0.9, 0.1, 0.2]), (0.0, [0.1, 0.4, 0.9]), (0.5, [0.9, 0.1, 0.2])] {
            canvas.fill(color, circle((x, 0.27), 0.11));
        }
        Ok(Self { balloon: balloon.into_iter().collect::<Result<_, _>>()?, crown: drawn(canvas)? })
    }
}

/// A subject in a scene.
///
/// # Shapes
/// - result: `[SIZE, SIZE, 3]`
pub(super) fn compose(
    sprite: &Sprite,
    props: &Props,
    scene: Scene,
    treatment: Treatment,
    picks: &mut Picks,
) -> Vec<u8> {
    let mut pixels = scene.paint(&mut picks.clone(), SIZE);
    // The scene's own draws differ in number: the subject's come from a stream of their own.
    let mut picks = Picks::new(&[picks.below(1 << 30) as u64]);
    let poses = poses(treatment, &mut picks);
    let mut layer = vec![[0.0; 4]; SIZE * SIZE];
    for pose in &poses {
        sprite.place(&mut layer, SIZE, *pose);
    }
    let pose = poses[0];
    let [height, _] = sprite.extent();
    match treatment {
        Treatment::Crown => {
            // On the head: a little into the subject, and never out of the picture.
            let size = pose.size * picks.between(0.42, 0.5);
            let y = (pose.y - 0.5 * pose.size * height - 0.14 * size).max(0.36 * size);
            let degrees = picks.between(-8.0, 8.0);
            props.crown.place(&mut layer, SIZE, Pose { x: pose.x, y, size, degrees, mirrored: false });
        }
        Treatment::Balloon => {
            let side = picks.sign();
            let size = picks.between(33.0, 38.0);
            let at = Pose {
                x: pose.x + side * (0.5 * pose.size + 4.0),
                y: 1.0 + size / 2.0 + picks.between(0.0, 5.0),
                size,
                degrees: side * picks.between(0.0, 10.0),
                mirrored: false,
            };
            picks.of(&[0, 1, 2, 3, 4].map(|i| &props.balloon[i])).place(&mut layer, SIZE, at);
        }
        Treatment::Sticker => layer = outlined(&layer),
        _ => {}
    }
    if scene.has_ground() && treatment != Treatment::Sticker {
        for pose in &poses {
            shade_ground(&mut pixels, *pose, height);
        }
    }
    let mut bytes = Vec::with_capacity(SIZE * SIZE * 3);
    for (below, above) in pixels.iter().zip(&layer) {
        let mut pixel = [below[0], below[1], below[2], 1.0];
        over(&mut pixel, *above);
        if treatment == Treatment::Grey {
            // Rec. 601 luma, as in other programs' conversions to grey.
            let luma = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
            pixel = [luma; 4];
        }
        bytes.extend(pixel[..3].iter().map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8));
    }
    bytes
}

/// A subject on white, large, in a pose of its own, and how much of each pixel it covers.
///
/// # Shapes
/// - result: `[SIZE, SIZE, 3]`, `[SIZE, SIZE]`
pub(super) fn reference(sprite: &Sprite, picks: &mut Picks) -> (Vec<u8>, Vec<u8>) {
    let size = picks.between(50.0, 58.0);
    let degrees = picks.between(-10.0, 10.0);
    let pose = Pose { x: 32.0, y: 32.0, size, degrees, mirrored: picks.chance(50) };
    alone(sprite, pose)
}

/// The subject on white as it is, filling the picture as `Segment Reference` would make it.
pub(super) fn portrait(sprite: &Sprite) -> (Vec<u8>, Vec<u8>) {
    alone(sprite, Pose { x: 32.0, y: 32.0, size: 58.0, degrees: 0.0, mirrored: false })
}

fn alone(sprite: &Sprite, pose: Pose) -> (Vec<u8>, Vec<u8>) {
    let mut layer = vec![[0.0; 4]; SIZE * SIZE];
    sprite.place(&mut layer, SIZE, pose);
    let byte = |v: f32| (v.clamp(0.0, 1.0) * 255.0).round() as u8;
    let pixels = layer.iter().flat_map(|p| [0, 1, 2].map(|c| byte(p[c] + 1.0 - p[3]))).collect();
    (pixels, layer.iter().map(|p| byte(p[3])).collect())
}

/// Where the subject stands, and the others of its kind if there are some.
fn poses(treatment: Treatment, picks: &mut Picks) -> Vec<Pose> {
    let middle = SIZE as f32 / 2.0;
    let degrees = picks.between(-10.0, 10.0);
    let mirrored = picks.chance(50);
    let jitter = |picks: &mut Picks, by: f32| middle + picks.between(-by, by);
    let at = |x: f32, y: f32, size: f32| Pose { x, y, size, degrees, mirrored };
    let placed = picks.between(PLACED.0, PLACED.1);
    let near = placed / 2.0 + picks.between(0.0, 3.0);
    let far = SIZE as f32 - near;
    let one = match treatment {
        Treatment::Left => at(near, jitter(picks, 6.0), placed),
        Treatment::Right => at(far, jitter(picks, 6.0), placed),
        Treatment::Top => at(jitter(picks, 6.0), near, placed),
        Treatment::Bottom => at(jitter(picks, 6.0), far, placed),
        Treatment::Small => at(jitter(picks, 8.0), jitter(picks, 8.0), picks.between(15.0, 21.0)),
        Treatment::Balloon => at(jitter(picks, 3.0), 39.0 + picks.between(-2.0, 3.0), picks.between(30.0, 38.0)),
        Treatment::Crown => at(jitter(picks, 4.0), 38.0 + picks.between(-1.0, 3.0), picks.between(34.0, 44.0)),
        Treatment::UpsideDown => {
            let pose = at(jitter(picks, 4.0), jitter(picks, 4.0), picks.between(USUAL.0, USUAL.1));
            Pose { degrees: degrees + 180.0, ..pose }
        }
        Treatment::Three => {
            let size = picks.between(21.0, 26.0);
            let up = picks.of(&[-1.0, 1.0]) * picks.between(8.0, 12.0);
            return [(-20.0, up), (20.0, up), (0.0, -up)]
                .map(|(x, y)| Pose {
                    degrees: picks.between(-10.0, 10.0),
                    mirrored: picks.chance(50),
                    ..at(middle + x + picks.between(-1.5, 1.5), middle + y, size)
                })
                .into();
        }
        Treatment::Two => {
            let (side, up) = (picks.sign(), picks.between(-9.0, 9.0));
            return [1.0, -1.0]
                .map(|end| {
                    let (x, y) = (middle + end * side * 15.5, middle + end * up);
                    let pose = at(x, y, picks.between(27.0, 37.0));
                    Pose { degrees: picks.between(-10.0, 10.0), mirrored: picks.chance(50), ..pose }
                })
                .into();
        }
        Treatment::Plain | Treatment::Grey | Treatment::Sticker => {
            at(jitter(picks, 5.0), jitter(picks, 5.0), picks.between(USUAL.0, USUAL.1))
        }
    };
    vec![one]
}

/// A soft shadow where the subject meets the ground.
fn shade_ground(pixels: &mut [Color], pose: Pose, height: f32) {
    let (x, y) = (pose.x, pose.y + 0.47 * pose.size * height);
    let (wide, high) = (0.42 * pose.size, 0.08 * pose.size);
    for (i, pixel) in pixels.iter_mut().enumerate() {
        let (u, v) = ((i % SIZE) as f32 + 0.5 - x, (i / SIZE) as f32 + 0.5 - y);
        let inside = 1.0 - (u / wide).powi(2) - (v / high).powi(2);
        if inside > 0.0 {
            let light = 1.0 - 0.45 * inside.min(1.0);
            *pixel = pixel.map(|c| c * light);
        }
    }
}

/// The layer with a white outline around what is on it, and a fine dark rim around that.
fn outlined(layer: &Layer) -> Layer {
    let reach = OUTLINE.ceil() as isize + 1;
    let mut spread = vec![0.0_f32; SIZE * SIZE];
    for (i, pixel) in layer.iter().enumerate() {
        if pixel[3] < 0.05 {
            continue;
        }
        let (x, y) = ((i % SIZE) as isize, (i / SIZE) as isize);
        for v in -reach..=reach {
            for u in -reach..=reach {
                let (to_x, to_y) = (x + u, y + v);
                if !(0..SIZE as isize).contains(&to_x) || !(0..SIZE as isize).contains(&to_y) {
                    continue;
                }
                // 1 inside the outline, falling to 0 over the rim.
                let near = (OUTLINE + 1.3 - ((u * u + v * v) as f32).sqrt()).clamp(0.0, 1.3) / 1.3 * pixel[3];
                let to = &mut spread[to_y as usize * SIZE + to_x as usize];
                *to = to.max(near);
            }
        }
    }
    let under = |spread: f32| {
        let white = ((spread - 0.55) / 0.45).clamp(0.0, 1.0);
        let alpha = (spread * 1.4).min(1.0);
        let tone = (0.25 + 0.75 * white) * alpha;
        [tone, tone, tone, alpha]
    };
    layer
        .iter()
        .zip(&spread)
        .map(|(pixel, spread)| {
            let mut below = under(*spread);
            over(&mut below, *pixel);
            below
        })
        .collect()
}
