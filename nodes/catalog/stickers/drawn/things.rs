//! Drawn things.

use super::paint::{Coat, INK, WHITE, coated, color, contrasting, shade, solid};
use crate::stickers::canvas::{Canvas, both, circle, ellipse, line, polygon, rectangle, union, without};
use crate::stickers::picks::Picks;

pub(super) fn mug(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let (wide, high) = (picks.between(0.42, 0.58), picks.between(0.48, 0.72));
    let handle = picks.between(0.22, 0.36);
    solid(canvas, shade(coat.main), without(circle((wide, 0.1), handle), circle((wide, 0.1), handle - 0.13)));
    let slope = picks.between(-0.1, 0.16);
    coated(canvas, &coat, polygon([(-wide, -high), (wide, -high), (wide - slope, high), (-wide + slope, high)]));
    let drink = picks.of(&[[0.35, 0.2, 0.1], [0.75, 0.45, 0.15], [0.92, 0.88, 0.8], [0.5, 0.7, 0.25]]);
    solid(canvas, WHITE, ellipse((0.0, -high), (wide, 0.15), 0.0));
    canvas.fill(drink, ellipse((0.0, -high + 0.02), (wide - 0.07, 0.1), 0.0));
}

pub(super) fn bottle(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let cap = contrasting(picks, coat.main);
    let (wide, neck) = (picks.between(0.26, 0.46), picks.between(0.1, 0.17));
    let shoulder = picks.between(-0.35, 0.05);
    solid(canvas, cap, rectangle((0.0, -0.86), (neck + 0.03, 0.1), 0.03));
    coated(
        canvas,
        &coat,
        union(
            rectangle((0.0, (shoulder + 0.92) / 2.0), (wide, (0.92 - shoulder) / 2.0), 0.08),
            polygon([
                (-neck, -0.78),
                (neck, -0.78),
                (neck, shoulder - 0.2),
                (wide, shoulder + 0.1),
                (-wide, shoulder + 0.1),
                (-neck, shoulder - 0.2),
            ]),
        ),
    );
    if picks.chance(65) {
        let paper = contrasting(picks, coat.main);
        solid(canvas, paper, rectangle((0.0, 0.42), (wide - 0.03, picks.between(0.14, 0.26)), 0.02));
        canvas.fill(coat.main, circle((0.0, 0.42), 0.1));
    }
}

pub(super) fn house(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let roof = contrasting(picks, coat.main);
    let wide = picks.between(0.5, 0.78);
    let eaves = picks.between(-0.3, 0.1);
    if picks.chance(50) {
        let x = picks.sign() * wide * 0.55;
        solid(canvas, shade(roof), rectangle((x, eaves - 0.4), (0.09, 0.3), 0.0));
    }
    coated(canvas, &coat, rectangle((0.0, (eaves + 0.9) / 2.0), (wide, (0.9 - eaves) / 2.0), 0.0));
    if picks.chance(30) {
        solid(
            canvas,
            roof,
            polygon([
                (-wide - 0.1, eaves),
                (wide + 0.1, eaves),
                (wide * 0.6, eaves - 0.45),
                (-wide * 0.6, eaves - 0.45),
            ]),
        );
    } else {
        solid(canvas, roof, polygon([(-wide - 0.15, eaves), (0.0, picks.between(-0.95, -0.7)), (wide + 0.15, eaves)]));
    }
    let door = contrasting(picks, coat.main);
    let x = picks.of(&[-0.3, 0.0, 0.3]) * wide;
    solid(canvas, door, rectangle((x, 0.68), (0.13, 0.22), 0.02));
    let glass = picks.of(&[[0.6, 0.85, 0.98], [0.98, 0.9, 0.5], [0.2, 0.25, 0.4]]);
    for side in [-0.62, 0.62] {
        solid(canvas, glass, rectangle((side * wide, eaves + 0.3), (0.13, 0.12), 0.0));
    }
}

pub(super) fn car(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let glass = picks.of(&[[0.65, 0.88, 0.98], [0.3, 0.4, 0.55], [0.85, 0.95, 0.98]]);
    let (front, back) = (picks.between(0.1, 0.5), picks.between(-0.65, -0.2));
    let roof = picks.between(-0.6, -0.35);
    solid(canvas, coat.main, polygon([(back - 0.25, 0.0), (back, roof), (front, roof), (front + 0.35, 0.0)]));
    canvas
        .fill(glass, polygon([(back - 0.1, -0.03), (back + 0.05, roof + 0.09), (-0.06, roof + 0.09), (-0.06, -0.03)]));
    canvas
        .fill(glass, polygon([(0.02, -0.03), (0.02, roof + 0.09), (front - 0.03, roof + 0.09), (front + 0.2, -0.03)]));
    coated(canvas, &coat, rectangle((0.0, 0.2), (0.92, picks.between(0.2, 0.28)), 0.12));
    canvas.fill([1.0, 0.9, 0.5], ellipse((0.85, 0.12), (0.07, 0.09), 0.0));
    canvas.fill([0.9, 0.15, 0.1], ellipse((-0.86, 0.12), (0.06, 0.08), 0.0));
    let wheel = picks.between(0.17, 0.27);
    let hub = contrasting(picks, INK);
    for x in [-0.5, 0.5] {
        canvas.fill(INK, circle((x, 0.45), wheel));
        canvas.fill(hub, circle((x, 0.45), wheel * 0.5));
    }
}

pub(super) fn boat(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let hull = contrasting(picks, coat.main);
    let deck = picks.between(0.25, 0.45);
    canvas.fill(shade(hull), line((0.0, deck), (0.0, -0.92), 0.035));
    if picks.chance(60) {
        coated(canvas, &coat, polygon([(0.08, -0.88), (0.08, deck - 0.12), (picks.between(0.5, 0.85), deck - 0.12)]));
        coated(
            canvas,
            &coat,
            polygon([(-0.08, -0.7), (-0.08, deck - 0.12), (picks.between(-0.75, -0.4), deck - 0.12)]),
        );
    } else {
        coated(canvas, &coat, rectangle((0.0, -0.3), (picks.between(0.45, 0.65), 0.42), 0.08));
    }
    let flag = color(picks);
    solid(canvas, flag, polygon([(0.0, -0.97), (0.3, -0.88), (0.0, -0.78)]));
    let end = picks.between(0.45, 0.7);
    solid(canvas, hull, polygon([(-0.92, deck), (0.92, deck), (end, 0.85), (-end, 0.85)]));
    canvas.fill(coat.second, rectangle((0.0, deck + 0.15), (end, 0.04), 0.0));
}

pub(super) fn rocket(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let fin = contrasting(picks, coat.main);
    let (wide, fins) = (picks.between(0.24, 0.38), picks.between(0.3, 0.5));
    canvas.fill([1.0, 0.55, 0.1], ellipse((0.0, 0.75), (wide * 0.6, 0.25), 0.0));
    canvas.fill([1.0, 0.9, 0.3], ellipse((0.0, 0.7), (wide * 0.35, 0.17), 0.0));
    for side in [-1.0, 1.0] {
        solid(canvas, fin, polygon([(side * wide * 0.7, 0.1), (side * (wide + fins), 0.75), (side * wide * 0.6, 0.6)]));
    }
    let body = both(ellipse((0.0, 0.0), (wide, 0.98), 0.0), move |_, y| y - 0.62);
    coated(canvas, &coat, body);
    canvas.fill(fin, both(body, move |_, y| y + 0.55));
    solid(canvas, [0.65, 0.88, 0.98], circle((0.0, -0.2), wide * 0.5));
}

pub(super) fn flower(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let middle = contrasting(picks, coat.main);
    let green = picks.of(&[[0.2, 0.6, 0.2], [0.4, 0.7, 0.2], [0.1, 0.45, 0.3]]);
    solid(canvas, green, line((0.0, 0.0), (picks.between(-0.12, 0.12), 0.95), 0.05));
    let leaf = picks.between(0.45, 0.7);
    solid(canvas, green, ellipse((0.25, leaf), (0.26, 0.1), -30.0));
    if picks.chance(60) {
        solid(canvas, green, ellipse((-0.25, leaf + 0.08), (0.26, 0.1), 30.0));
    }
    let petals = 4 + picks.below(6);
    let (reach, wide) = (picks.between(0.3, 0.42), picks.between(0.12, 0.24));
    for i in 0..petals {
        let degrees = 360.0 * i as f32 / petals as f32;
        let (sin, cos) = degrees.to_radians().sin_cos();
        coated(canvas, &coat, ellipse((reach * cos, -0.3 + reach * sin), (reach * 0.75, wide), degrees));
    }
    solid(canvas, middle, circle((0.0, -0.3), picks.between(0.14, 0.24)));
}

pub(super) fn tree(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let bark = picks.of(&[[0.45, 0.28, 0.15], [0.3, 0.2, 0.15], [0.6, 0.5, 0.4], [0.75, 0.72, 0.7]]);
    let trunk = picks.between(0.07, 0.15);
    solid(canvas, bark, rectangle((0.0, 0.6), (trunk, 0.36), 0.03));
    match picks.below(3) {
        0 => {
            let wide = picks.between(0.5, 0.75);
            coated(
                canvas,
                &coat,
                union(
                    polygon([(-wide, 0.5), (wide, 0.5), (0.0, -0.25)]),
                    union(
                        polygon([(-wide * 0.8, 0.1), (wide * 0.8, 0.1), (0.0, -0.6)]),
                        polygon([(-wide * 0.55, -0.3), (wide * 0.55, -0.3), (0.0, -0.95)]),
                    ),
                ),
            );
        }
        1 => coated(canvas, &coat, ellipse((0.0, -0.25), (picks.between(0.45, 0.75), 0.65), 0.0)),
        _ => {
            let puff = picks.between(0.3, 0.4);
            coated(
                canvas,
                &coat,
                union(
                    union(circle((-0.42, 0.0), puff), circle((0.42, 0.0), puff)),
                    union(circle((0.0, -0.5), puff + 0.05), circle((0.0, 0.0), puff)),
                ),
            );
        }
    }
    if picks.chance(50) {
        for (x, y) in [(-0.25, 0.0), (0.2, -0.3), (0.3, 0.1), (-0.05, -0.5)] {
            canvas.fill(coat.second, circle((x, y), 0.075));
        }
    }
}

pub(super) fn mushroom(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let stem = picks.of(&[[0.95, 0.9, 0.8], [0.85, 0.75, 0.6], [0.7, 0.6, 0.55]]);
    let foot = picks.between(0.16, 0.32);
    solid(canvas, stem, polygon([(-foot * 0.7, 0.0), (foot * 0.7, 0.0), (foot, 0.9), (-foot, 0.9)]));
    let (wide, high) = (picks.between(0.6, 0.9), picks.between(0.55, 0.9));
    coated(canvas, &coat, both(ellipse((0.0, 0.1), (wide, high), 0.0), move |_, y| y - 0.15));
    if picks.chance(40) {
        for side in [-1.0, 1.0] {
            canvas.fill(INK, circle((side * 0.1, 0.42), 0.05));
        }
    }
}

pub(super) fn ball(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let band = contrasting(picks, coat.main);
    let round = circle((0.0, 0.0), 0.9);
    coated(canvas, &coat, round);
    match picks.below(4) {
        0 => canvas.fill(band, both(round, rectangle((0.0, 0.0), (2.0, 0.16), 0.0))),
        1 => canvas
            .fill(band, both(round, polygon([(0.0, -0.5), (0.48, -0.15), (0.3, 0.4), (-0.3, 0.4), (-0.48, -0.15)]))),
        2 => canvas.fill(band, both(round, without(circle((0.95, 0.0), 0.75), circle((0.95, 0.0), 0.62)))),
        _ => {}
    }
    canvas.fill(WHITE, ellipse((-0.38, -0.45), (0.18, 0.1), -40.0));
}

pub(super) fn cake(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let icing = contrasting(picks, coat.main);
    let tiers = 1 + picks.below(3);
    let height = 1.1 / tiers as f32;
    for tier in 0..tiers {
        let wide = 0.85 - 0.22 * tier as f32;
        let top = 0.9 - height * (tier + 1) as f32;
        coated(canvas, &coat, rectangle((0.0, top + height / 2.0), (wide, height / 2.0), 0.05));
        let bumps =
            move |x: f32, y: f32| (y - top - height * 0.3 - 0.06 * (x * 14.0).sin()).max(x.abs() - wide).max(top - y);
        canvas.fill(icing, bumps);
    }
    let candles = picks.below(4);
    for i in 0..candles {
        let x = 0.3 * (i as f32 - (candles - 1) as f32 / 2.0);
        solid(canvas, contrasting(&mut picks.clone(), icing), line((x, -0.2), (x, -0.55), 0.04));
        canvas.fill([1.0, 0.8, 0.2], ellipse((x, -0.7), (0.05, 0.1), 0.0));
    }
    if candles == 0 {
        solid(canvas, [0.85, 0.1, 0.2], circle((0.0, -0.3), 0.14));
    }
}

pub(super) fn star(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let points = 4 + picks.below(5);
    let inner = picks.between(0.4, 0.62);
    let star = move |x: f32, y: f32| {
        // The nearest edge of the sector that the point is in.
        let sector = std::f32::consts::PI / points as f32;
        let angle = (x.atan2(-y).rem_euclid(2.0 * sector) - sector).abs();
        let radius = x.hypot(y);
        let (u, v) = (radius * angle.cos(), radius * angle.sin());
        let tip = (0.92 * sector.cos(), 0.92 * sector.sin());
        let normal = (tip.1, inner - tip.0);
        (normal.0 * (u - inner) + normal.1 * v) / normal.0.hypot(normal.1)
    };
    coated(canvas, &coat, star);
    if picks.chance(60) {
        for side in [-1.0, 1.0] {
            canvas.fill(INK, ellipse((side * 0.16, -0.05), (0.055, 0.1), 0.0));
        }
        canvas.fill(INK, line((-0.1, 0.2), (0.1, 0.2), 0.03));
    }
}

pub(super) fn hat(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let band = contrasting(picks, coat.main);
    let brim = picks.between(0.7, 0.95);
    solid(canvas, coat.main, ellipse((0.0, 0.55), (brim, picks.between(0.12, 0.22)), 0.0));
    let wide = picks.between(0.4, 0.55);
    match picks.below(3) {
        0 => coated(canvas, &coat, rectangle((0.0, -0.05), (wide, 0.62), 0.06)),
        1 => coated(canvas, &coat, polygon([(-wide, 0.55), (wide, 0.55), (picks.between(-0.2, 0.2), -0.95)])),
        _ => coated(canvas, &coat, both(ellipse((0.0, 0.5), (wide + 0.1, 0.95), 0.0), move |_, y| y - 0.55)),
    }
    solid(canvas, band, rectangle((0.0, 0.36), (wide + 0.01, 0.11), 0.02));
    if picks.chance(50) {
        solid(canvas, band, circle((0.0, -0.75), 0.13));
    }
}

pub(super) fn shirt(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let hem = picks.between(0.65, 0.92);
    let sleeve = picks.between(-0.1, 0.45);
    let wide = picks.between(0.42, 0.58);
    let body = polygon([(-0.28, -0.8), (0.28, -0.8), (wide, -0.6), (wide, hem), (-wide, hem), (-wide, -0.6)]);
    for side in [-1.0, 1.0] {
        solid(
            canvas,
            coat.second,
            polygon([(side * 0.3, -0.78), (side * 0.95, sleeve), (side * 0.7, sleeve + 0.2), (side * 0.35, -0.1)]),
        );
    }
    coated(canvas, &coat, without(body, circle((0.0, -0.85), 0.22)));
    match picks.below(3) {
        0 => {
            for i in 0..4 {
                canvas.fill(coat.second, circle((0.0, -0.4 + 0.28 * i as f32), 0.055));
            }
        }
        1 => solid(canvas, contrasting(picks, coat.main), circle((0.0, 0.05), 0.2)),
        _ => solid(canvas, coat.second, rectangle((0.2, -0.25), (0.13, 0.13), 0.02)),
    }
}

pub(super) fn lamp(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let foot = contrasting(picks, coat.main);
    canvas.fill([1.0, 0.95, 0.6], circle((0.0, -0.08), 0.17));
    solid(canvas, foot, line((0.0, -0.1), (0.0, 0.8), picks.between(0.04, 0.12)));
    solid(canvas, foot, rectangle((0.0, 0.85), (picks.between(0.25, 0.45), 0.08), 0.05));
    if picks.chance(40) {
        solid(canvas, foot, ellipse((0.0, 0.5), (picks.between(0.2, 0.34), 0.28), 0.0));
    }
    let (top, bottom) = (picks.between(0.15, 0.45), picks.between(0.5, 0.8));
    coated(canvas, &coat, polygon([(-top, -0.92), (top, -0.92), (bottom, 0.0), (-bottom, 0.0)]));
}

pub(super) fn fruit(canvas: &mut Canvas, picks: &mut Picks) {
    let coat = Coat::pick(picks);
    let green = picks.of(&[[0.2, 0.6, 0.2], [0.5, 0.75, 0.2], [0.1, 0.4, 0.25]]);
    canvas.fill([0.35, 0.22, 0.1], line((0.0, -0.5), (picks.between(-0.1, 0.15), -0.9), 0.045));
    solid(canvas, green, ellipse((0.24, -0.75), (0.24, 0.1), -20.0));
    let (wide, high) = (picks.between(0.5, 0.8), picks.between(0.55, 0.7));
    match picks.below(3) {
        0 => coated(
            canvas,
            &coat,
            union(ellipse((-0.2, 0.18), (wide * 0.75, high), 0.0), ellipse((0.2, 0.18), (wide * 0.75, high), 0.0)),
        ),
        1 => coated(canvas, &coat, ellipse((0.0, 0.15), (wide, high), 0.0)),
        _ => coated(
            canvas,
            &coat,
            union(ellipse((0.0, 0.35), (wide, high * 0.8), 0.0), ellipse((0.0, -0.2), (wide * 0.55, 0.4), 0.0)),
        ),
    }
    canvas.fill(WHITE, ellipse((-0.3, -0.05), (0.09, 0.16), 30.0));
}
