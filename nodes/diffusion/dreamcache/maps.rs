//! Where the adapters look on the reference: the paper's Figure 5.
//!
//! At each cache point the attention of chosen places of the image under generation to the reference's keys, averaged
//! over places, heads, pictures and steps. It costs a second look at the scores, so it is only computed when asked for.

use std::collections::BTreeMap;

use burn::tensor::{DType, Int, Tensor, TensorData};

use crate::dreamcache::placement::CachePoint;
use crate::error::Error;

/// Scores of this many queries are held at a time: 32 MB with 8 heads and 4096 keys.
const QUERIES_AT_ONCE: usize = 256;

/// What is noted while sampling.
#[derive(Clone, Debug)]
pub struct AttentionMaps {
    query: Vec<f32>,
    size: [usize; 2],
    layers: BTreeMap<usize, Layer>,
}

#[derive(Clone, Debug)]
struct Layer {
    point: CachePoint,
    /// `[ref_tokens]`
    sum: Tensor<1>,
    count: usize,
}

/// Attention of one layer to one reference. All maps of a layer sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionMap {
    /// The layer.
    pub point: CachePoint,
    /// Which reference, from 0.
    pub reference: usize,
    /// Height and width.
    pub size: [usize; 2],
    /// `[height * width]`, row by row.
    pub values: Vec<f32>,
}

impl AttentionMaps {
    /// Maps of the whole image under generation, whose latents have this height and width.
    pub fn everywhere(size: [usize; 2]) -> Self {
        Self { query: vec![1.0; size[0] * size[1]], size, layers: BTreeMap::new() }
    }

    /// Maps of one place: row and column of the latents, each eight pixels.
    ///
    /// # Errors
    /// When it is outside.
    pub fn at(size: [usize; 2], [row, column]: [usize; 2]) -> Result<Self, Error> {
        if row >= size[0] || column >= size[1] {
            return Err(Error::Argument(format!("row {row}, column {column} is outside latents of {size:?}")));
        }
        let mut query = vec![0.0; size[0] * size[1]];
        query[row * size[1] + column] = 1.0;
        Self::of(size, query)
    }

    /// Maps of weighted places, as from a mask: `[height * width]` of the latents, from 0.
    ///
    /// # Errors
    /// When there are not as many weights, or none is above 0.
    pub fn of(size: [usize; 2], query: Vec<f32>) -> Result<Self, Error> {
        if query.len() != size[0] * size[1] {
            let found = query.len();
            return Err(Error::Argument(format!("{size:?} latents need {} weights, found {found}", size[0] * size[1])));
        }
        if !query.iter().all(|w| (0.0..f32::INFINITY).contains(w)) || query.iter().all(|w| *w == 0.0) {
            return Err(Error::Argument("the places to look from need weights from 0, and one above 0".into()));
        }
        Ok(Self { query, size, layers: BTreeMap::new() })
    }

    /// Notes what the last `observed` of `rows` rows look at.
    ///
    /// # Shapes
    /// - queries: `[1, heads, rows * tokens, head_dim]`
    /// - key: `[1, heads, ref_tokens, head_dim]`
    pub(crate) fn record(
        &mut self,
        point: &CachePoint,
        queries: Tensor<4>,
        key: &Tensor<4>,
        rows: usize,
        observed: usize,
    ) {
        let [_, heads, all, head_dim] = queries.dims();
        let tokens = all / rows;
        let weights = self.weights(point);
        debug_assert_eq!(weights.len(), tokens);
        // The places with a weight, in each observed row.
        let places: Vec<(usize, f32)> = (rows - observed..rows)
            .flat_map(|row| weights.iter().enumerate().map(move |(i, w)| (row * tokens + i, *w)))
            .filter(|(_, w)| *w > 0.0)
            .collect();

        let device = queries.device();
        let scale = 1.0 / (head_dim as f64).sqrt();
        // Softmax and sums in float32, whatever the model's number type.
        let key = key.clone().cast(DType::F32).swap_dims(2, 3);
        for chunk in places.chunks(QUERIES_AT_ONCE) {
            let indices: Vec<i32> = chunk.iter().map(|(i, _)| *i as i32).collect();
            let indices = Tensor::<1, Int>::from_data(TensorData::new(indices, [chunk.len()]), &device);
            let weights: Vec<f32> = chunk.iter().map(|(_, w)| w / heads as f32).collect();
            let weights = Tensor::<4>::from_data(TensorData::new(weights, [1, 1, chunk.len(), 1]), &device);
            let queries = queries.clone().select(2, indices).cast(DType::F32) * scale;
            let attention = dc_kernels::softmax(queries.matmul(key.clone())) * weights;
            let seen = attention.sum_dim(1).sum_dim(2).flatten::<1>(0, 3);
            match self.layers.get_mut(&point.layer) {
                Some(layer) => layer.sum = layer.sum.clone() + seen,
                None => {
                    self.layers.insert(point.layer, Layer { point: point.clone(), sum: seen, count: 0 });
                }
            }
        }
        if let Some(layer) = self.layers.get_mut(&point.layer) {
            layer.count += observed;
        }
    }

    /// The averages, by layer and reference. `references` are the height and width of each reference's latents, as
    /// [`ProjectedCache::references`](crate::dreamcache::ProjectedCache::references) has them.
    ///
    /// # Errors
    /// When these are not the references that were looked at.
    pub fn finish(self, references: &[[usize; 2]]) -> Result<Vec<AttentionMap>, Error> {
        let mut maps = Vec::new();
        for Layer { point, sum, count } in self.layers.into_values() {
            let data = sum.into_data().convert::<f32>();
            let values = data.try_to_vec::<f32>().map_err(|e| Error::Argument(format!("attention maps: {e:?}")))?;
            let sizes: Vec<_> = references.iter().map(|&latents| point.size(latents)).collect();
            let expected: usize = sizes.iter().map(|[height, width]| height * width).sum();
            if expected != values.len() {
                let found = values.len();
                return Err(Error::Argument(format!("the references have {expected} tokens, {found} were looked at")));
            }
            let mut rest = values.as_slice();
            for (reference, size) in sizes.into_iter().enumerate() {
                let (own, next) = rest.split_at(size[0] * size[1]);
                rest = next;
                let values = own.iter().map(|v| v / count as f32).collect();
                maps.push(AttentionMap { point: point.clone(), reference, size, values });
            }
        }
        Ok(maps)
    }

    /// The weights on a layer's own grid, summing to 1.
    fn weights(&self, point: &CachePoint) -> Vec<f32> {
        let [height, width] = point.size(self.size);
        let mut weights = vec![0.0; height * width];
        for (i, w) in self.query.iter().enumerate() {
            let (row, column) = (i / self.size[1], i % self.size[1]);
            weights[(row >> point.level) * width + (column >> point.level)] += w;
        }
        let sum: f32 = self.query.iter().sum();
        weights.iter().map(|w| w / sum).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dreamcache::Placement;
    use crate::testing::{check_close, input, values};
    use crate::unet::UNetConfig;

    #[test]
    fn places_are_pooled_to_the_layers() {
        let points = Placement::default().points(&UNetConfig::sd15());
        let check = |maps: AttentionMaps, point: usize, expected: &[(usize, f32)]| {
            let weights = maps.weights(&points[point]);
            let mut all = vec![0.0; weights.len()];
            for (i, w) in expected {
                all[*i] = *w;
            }
            assert_eq!(weights, all);
        };
        check(AttentionMaps::at([16, 16], [9, 3]).expect("inside"), 0, &[(2, 1.0)]);
        check(AttentionMaps::at([16, 16], [9, 3]).expect("inside"), 4, &[(9 * 16 + 3, 1.0)]);
        check(AttentionMaps::at([9, 9], [8, 8]).expect("inside"), 0, &[(3, 1.0)]);
        check(AttentionMaps::everywhere([16, 16]), 0, &[(0, 0.25), (1, 0.25), (2, 0.25), (3, 0.25)]);
        let mut mask = vec![0.0; 256];
        (mask[0], mask[255]) = (1.0, 3.0);
        check(AttentionMaps::of([16, 16], mask).expect("valid"), 0, &[(0, 0.25), (3, 0.75)]);
    }

    #[test]
    fn bad_places_are_refused() {
        assert!(AttentionMaps::at([8, 8], [8, 0]).is_err());
        for query in [vec![1.0; 3], vec![0.0; 4], vec![-1.0, 1.0, 1.0, 1.0], vec![f32::NAN; 4]] {
            assert!(AttentionMaps::of([2, 2], query.clone()).is_err(), "{query:?}");
        }
    }

    /// Against softmax written out, with two steps of two rows of which the last is observed.
    #[test]
    fn maps_are_averaged_attention() {
        let point = CachePoint { num_heads: 2, d: 8, ..Placement::default().points(&UNetConfig::sd15())[4].clone() };
        let (size, references) = ([4, 4], [[3, 2], [1, 4]]);
        let key = input("key", [1, 2, 10, 4], 1.0);
        let mask: Vec<f32> = (0..16).map(|i| if i % 3 == 0 { 1.0 } else { 0.0 }).collect();
        let mut maps = AttentionMaps::of(size, mask.clone()).expect("valid");
        let mut expected = vec![0.0_f32; 10];
        for step in 0..2 {
            let queries = input(&format!("queries{step}"), [1, 2, 32, 4], 1.7);
            maps.record(&point, queries.clone(), &key, 2, 1);
            let (q, k) = (values(&queries), values(&key));
            for (head, token) in (0..2).flat_map(|h| (0..16).map(move |t| (h, t))).filter(|(_, t)| mask[*t] > 0.0) {
                let score = |j: usize| -> f32 {
                    (0..4).map(|i| q[(head * 32 + 16 + token) * 4 + i] * k[(head * 10 + j) * 4 + i]).sum::<f32>() / 2.0
                };
                let sum: f32 = (0..10).map(|j| score(j).exp()).sum();
                (0..10).for_each(|j| expected[j] += score(j).exp() / sum / (2 * 2 * 6) as f32);
            }
        }
        let found = maps.finish(&references).expect("the same references");
        let places: Vec<_> = found.iter().map(|m| (m.point.layer, m.reference, m.size)).collect();
        assert_eq!(places, [(14, 0, [3, 2]), (14, 1, [1, 4])]);
        let found: Vec<f32> = found.into_iter().flat_map(|m| m.values).collect();
        check_close("attention", &found, &expected, 1e-6);
        check_close("sum", &[found.iter().sum()], &[1.0], 1e-6);
    }

    #[test]
    fn other_references_are_refused() {
        let point = Placement::default().points(&UNetConfig::sd15())[4].clone();
        let mut maps = AttentionMaps::everywhere([2, 2]);
        maps.record(&point, input("queries", [1, 2, 4, 4], 1.0), &input("key", [1, 2, 6, 4], 1.0), 1, 1);
        assert!(maps.finish(&[[3, 3]]).is_err());
    }
}
