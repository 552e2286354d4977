//! Drawn creatures.

use super::paint::{Coat, INK, WHITE, coated, color, contrasting, shade, solid};
use crate::stickers::canvas::{Canvas, both, circle, ellipse, line, polygon, rectangle, union, without};
use crate::stickers::picks::Picks;

/// An eye that looks a little to one side.
fn eye(canvas: &mut Canvas, at: (f32, f32), radius: f32, look: f32) {
    canvas.fill(INK, circle(at, radius + 0.02));
    canvas.fill(WHITE, circle(at, radius));
    canvas.fill(INK, circle((at.0 + look * radius * 0.35, at.1 + radius * 0.1), radius * 0.55));
}

fn mouth(canvas: &mut Canvas, at: (f32, f32), width: f32, kind: usize) {
    match kind {
        // A smile, a frown, an open mouth, a straight one, teeth.
        0 => {
            canvas.fill(INK, both(without(circle(at, width), circle((at.0, at.1 - 0.06), width)), move |_, y| at.1 - y))
        }
        1 => {
            canvas.fill(INK, both(without(circle(at, width), circle((at.0, at.1 + 0.06), width)), move |_, y| y - at.1))
        }
        2 => canvas.fill([0.45, 0.08, 0.1], ellipse((at.0, at.1 + 0.08), (width * 0.55, width * 0.7), 0.0)),
        3 => canvas.fill(INK, line((at.0 - width, at.1 + 0.08), (at.0 + width, at.1 + 0.08), 0.03)),
        _ => {
            canvas.fill(INK, rectangle((at.0, at.1 + 0.08), (width, 0.1), 0.04));
            canvas.paint(
                move |x, _| if ((x - at.0) * 9.0).rem_euclid(1.0) < 0.12 { INK } else { WHITE },
                rectangle((at.0, at.1 + 0.08), (width - 0.03, 0.07), 0.03),
            );
        }
    }
}

pub(super) fn monster(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let limb = contrasting(picks, coat.main);
    let (wide, high) = (picks.between(0.42, 0.7), picks.between(0.45, 0.68));
    let legs = picks.below(4);
    let hip = 0.55 * high;
    for i in 0..=legs {
        let x = if legs == 0 { 0.0 } else { wide * (1.3 * i as f32 / legs as f32 - 0.65) };
        solid(canvas, limb, line((x, hip), (x * 1.2, 0.86), 0.08));
    }
    let arm = picks.between(-0.5, 0.4);
    for side in [-1.0, 1.0] {
        solid(canvas, limb, line((side * wide * 0.8, 0.1), (side * 0.9, arm), 0.07));
    }
    match picks.below(4) {
        0 => {
            for side in [-1.0, 1.0] {
                solid(
                    canvas,
                    limb,
                    polygon([(side * 0.1, -high + 0.1), (side * 0.45, -high + 0.2), (side * 0.4, -0.95)]),
                );
            }
        }
        1 => {
            solid(canvas, limb, line((0.0, -high), (0.1, -0.85), 0.03));
            solid(canvas, coat.second, circle((0.1, -0.85), 0.1));
        }
        2 => {
            for i in -2..=2 {
                let x = i as f32 * wide * 0.3;
                solid(canvas, limb, line((x * 0.7, -high * 0.8), (x, -high - 0.22), 0.05));
            }
        }
        _ => {
            for side in [-1.0, 1.0] {
                solid(canvas, limb, circle((side * wide * 0.7, -high * 0.85), 0.2));
            }
        }
    }
    match picks.below(4) {
        0 => coated(canvas, &coat, ellipse((0.0, 0.0), (wide, high), 0.0)),
        1 => coated(canvas, &coat, rectangle((0.0, 0.0), (wide, high), 0.2)),
        2 => coated(
            canvas,
            &coat,
            union(ellipse((0.0, 0.25), (wide, high * 0.7), 0.0), ellipse((0.0, -0.3), (wide * 0.75, high * 0.6), 0.0)),
        ),
        _ => coated(canvas, &coat, polygon([(-wide, high), (wide, high), (wide * 0.5, -high), (-wide * 0.5, -high)])),
    }
    let look = picks.sign();
    let at = -0.35 * high;
    match picks.below(4) {
        0 => eye(canvas, (0.0, at), 0.25, look),
        1 => [-0.28, 0.0, 0.28].iter().for_each(|x| eye(canvas, (*x, at), 0.13, look)),
        _ => {
            let gap = picks.between(0.17, 0.26);
            let radius = picks.between(0.11, 0.18);
            [-gap, gap].iter().for_each(|x| eye(canvas, (*x, at), radius, look));
        }
    }
    mouth(canvas, (0.0, 0.1), picks.between(0.16, 0.3), picks.below(5));
}

pub(super) fn bird(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let wing = contrasting(picks, coat.main);
    let beak = picks.of(&[[0.98, 0.65, 0.1], [0.9, 0.3, 0.15], [0.3, 0.3, 0.32], [0.98, 0.85, 0.2]]);
    let leg = picks.between(0.55, 0.9);
    for x in [-0.1, 0.12] {
        canvas.fill(shade(beak), line((x, 0.4), (x, leg), 0.035));
        canvas.fill(shade(beak), line((x, leg), (x + 0.16, leg + 0.03), 0.035));
    }
    let tail = picks.between(-0.3, 0.35);
    solid(canvas, wing, polygon([(-0.35, 0.0), (-0.95, tail), (-0.9, tail + 0.32), (-0.35, 0.35)]));
    let (round, head) = (picks.between(0.36, 0.5), picks.between(0.24, 0.34));
    let neck = picks.between(-0.62, -0.4);
    let body = union(
        ellipse((0.0, 0.2), (0.55, round), -12.0),
        union(circle((0.42, neck), head), line((0.3, 0.1), (0.4, neck), 0.17)),
    );
    let length = picks.between(0.18, 0.42);
    let tip = 0.42 + head + length;
    solid(
        canvas,
        beak,
        polygon([(0.5 + head * 0.6, neck - 0.1), (tip.min(1.0), neck + 0.06), (0.5 + head * 0.6, neck + 0.16)]),
    );
    coated(canvas, &coat, body);
    if picks.chance(40) {
        for i in 0..3 {
            solid(canvas, wing, line((0.38, neck - head), (0.2 + 0.16 * i as f32, neck - head - 0.2), 0.045));
        }
    }
    solid(canvas, wing, ellipse((-0.1, 0.15), (0.36, picks.between(0.16, 0.24)), picks.between(-35.0, 20.0)));
    eye(canvas, (0.5, neck - 0.05), 0.09, 1.0);
}

pub(super) fn fish(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let fin = contrasting(picks, coat.main);
    let high = picks.between(0.3, 0.6);
    let long = picks.between(0.5, 0.66);
    let spread = picks.between(0.25, 0.55);
    solid(canvas, fin, polygon([(-0.4, 0.0), (-0.95, -spread), (-0.78, 0.0), (-0.95, spread)]));
    let dorsal = picks.between(-0.5, 0.1);
    solid(canvas, fin, polygon([(-0.3, -high * 0.5), (dorsal, -high - 0.3), (0.35, -high * 0.6)]));
    if picks.chance(60) {
        solid(canvas, fin, polygon([(-0.15, high * 0.6), (-0.25, high + 0.25), (0.2, high * 0.7)]));
    }
    coated(canvas, &coat, ellipse((0.1, 0.0), (long, high), 0.0));
    solid(canvas, fin, ellipse((0.0, 0.12), (0.2, 0.1), 30.0));
    eye(canvas, (0.1 + long * 0.55, -high * 0.3), picks.between(0.09, 0.15), 1.0);
    mouth(canvas, (0.1 + long * 0.75, high * 0.2), 0.1, picks.below(3));
}

pub(super) fn bug(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let head = picks.of(&[INK, shade(coat.second), coat.second]);
    if picks.chance(45) {
        // A butterfly from above.
        let (upper, lower) = (picks.between(0.32, 0.48), picks.between(0.22, 0.38));
        for side in [-1.0, 1.0] {
            coated(canvas, &coat, ellipse((side * 0.45, 0.38), (lower, lower * 1.1), 0.0));
            coated(canvas, &coat, ellipse((side * 0.48, -0.3), (upper, upper * 1.05), side * 25.0));
            canvas.fill(coat.second, circle((side * 0.55, -0.32), upper * 0.4));
            canvas.fill(INK, line((0.0, -0.45), (side * 0.25, -0.9), 0.025));
        }
        solid(canvas, head, ellipse((0.0, 0.05), (0.1, 0.6), 0.0));
        return;
    }
    for row in [-0.25, 0.1, 0.45] {
        for side in [-1.0, 1.0] {
            canvas.fill(INK, line((0.0, row), (side * 0.72, row - 0.12), 0.035));
            canvas.fill(INK, line((side * 0.72, row - 0.12), (side * 0.85, row + 0.15), 0.035));
        }
    }
    for side in [-1.0, 1.0] {
        canvas.fill(INK, line((side * 0.1, -0.6), (side * 0.3, -0.95), 0.03));
    }
    solid(canvas, head, circle((0.0, -0.55), picks.between(0.2, 0.28)));
    let wide = picks.between(0.36, 0.58);
    coated(canvas, &coat, ellipse((0.0, 0.15), (wide, 0.6), 0.0));
    canvas.fill(INK, line((0.0, -0.4), (0.0, 0.72), 0.025));
    for side in [-1.0, 1.0] {
        eye(canvas, (side * 0.12, -0.66), 0.09, 0.0);
    }
}

pub(super) fn cat(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let inner = contrasting(picks, coat.main);
    let ear = picks.between(0.75, 0.98);
    for side in [-1.0, 1.0] {
        solid(canvas, coat.main, polygon([(side * 0.15, -0.45), (side * 0.7, -0.1), (side * 0.66, -ear)]));
        canvas.fill(inner, polygon([(side * 0.34, -0.45), (side * 0.62, -0.3), (side * 0.6, -ear + 0.16)]));
    }
    coated(canvas, &coat, ellipse((0.0, 0.1), (picks.between(0.66, 0.85), picks.between(0.56, 0.7)), 0.0));
    let (gap, radius) = (picks.between(0.25, 0.36), picks.between(0.13, 0.2));
    let look = picks.sign();
    for side in [-1.0, 1.0] {
        eye(canvas, (side * gap, 0.0), radius, look);
        for i in -1..=1 {
            let slope = 0.08 * i as f32;
            canvas.fill(INK, line((side * 0.3, 0.32 + slope), (side * 0.85, 0.3 + 2.0 * slope), 0.015));
        }
    }
    solid(canvas, inner, polygon([(-0.1, 0.2), (0.1, 0.2), (0.0, 0.32)]));
    mouth(canvas, (0.0, 0.36), 0.16, picks.below(3));
}

pub(super) fn bear(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let muzzle = contrasting(picks, coat.main);
    for side in [-1.0, 1.0] {
        solid(canvas, coat.main, ellipse((side * 0.3, 0.82), (0.17, 0.13), 0.0));
        solid(canvas, coat.main, ellipse((side * 0.58, 0.3), (0.14, 0.3), side * -40.0));
        solid(canvas, coat.main, circle((side * 0.38, -0.78), 0.18));
        canvas.fill(muzzle, circle((side * 0.38, -0.78), 0.1));
    }
    coated(canvas, &coat, ellipse((0.0, 0.42), (picks.between(0.4, 0.58), 0.45), 0.0));
    if picks.chance(60) {
        canvas.fill(muzzle, ellipse((0.0, 0.48), (0.26, 0.3), 0.0));
    }
    solid(canvas, coat.main, ellipse((0.0, -0.38), (picks.between(0.46, 0.58), 0.46), 0.0));
    canvas.fill(muzzle, ellipse((0.0, -0.22), (0.24, 0.18), 0.0));
    canvas.fill(INK, ellipse((0.0, -0.3), (0.1, 0.07), 0.0));
    for side in [-1.0, 1.0] {
        canvas.fill(INK, circle((side * 0.22, -0.48), 0.065));
    }
    if picks.chance(50) {
        let scarf = color(picks);
        solid(canvas, scarf, union(rectangle((0.0, 0.06), (0.42, 0.09), 0.08), line((0.2, 0.1), (0.3, 0.45), 0.09)));
    }
}

pub(super) fn face(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let base = super::paint::color(picks);
    match picks.below(3) {
        0 => solid(canvas, base, circle((0.0, 0.0), 0.85)),
        1 => solid(canvas, base, rectangle((0.0, 0.0), (0.8, 0.8), 0.25)),
        _ => coated(canvas, &coat, circle((0.0, 0.0), 0.85)),
    }
    let (gap, radius) = (picks.between(0.28, 0.38), picks.between(0.12, 0.22));
    let look = picks.sign();
    for side in [-1.0, 1.0] {
        match picks.clone().below(3) {
            0 => canvas.fill(INK, ellipse((side * gap, -0.2), (0.1, 0.18), 0.0)),
            1 => canvas.fill(INK, line((side * (gap - 0.15), -0.2), (side * (gap + 0.15), -0.24), 0.04)),
            _ => eye(canvas, (side * gap, -0.2), radius, look),
        }
        if picks.clone().below(5) > 2 {
            canvas.fill([0.95, 0.5, 0.55], ellipse((side * 0.55, 0.18), (0.14, 0.1), 0.0));
        }
    }
    picks.below(3);
    mouth(canvas, (0.0, 0.2), picks.between(0.2, 0.42), picks.below(5));
}

pub(super) fn robot(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let metal = contrasting(picks, coat.main);
    for side in [-1.0, 1.0] {
        solid(canvas, metal, rectangle((side * 0.25, 0.8), (0.13, 0.15), 0.03));
        solid(canvas, metal, line((side * 0.5, 0.2), (side * 0.82, picks.clone().between(-0.2, 0.6)), 0.08));
    }
    solid(canvas, metal, line((0.0, -0.6), (0.0, -0.9), 0.03));
    solid(canvas, coat.second, circle((0.0, -0.88), 0.09));
    coated(canvas, &coat, rectangle((0.0, 0.35), (picks.between(0.4, 0.58), 0.38), 0.06));
    let wide = picks.between(0.36, 0.55);
    solid(canvas, metal, rectangle((0.0, -0.36), (wide, 0.3), picks.between(0.03, 0.25)));
    let light = contrasting(picks, metal);
    if picks.chance(35) {
        canvas.fill(INK, rectangle((0.0, -0.42), (wide * 0.8, 0.1), 0.09));
        canvas.fill(light, circle((0.15, -0.42), 0.07));
    } else {
        for side in [-1.0, 1.0] {
            canvas.fill(INK, circle((side * wide * 0.45, -0.42), 0.13));
            canvas.fill(light, circle((side * wide * 0.45, -0.42), 0.09));
        }
    }
    mouth(canvas, (0.0, -0.26), wide * 0.5, 3 + picks.below(2));
}
