//! DreamCache against the numbers of an independent implementation, and its properties.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{DType, Tensor};

use super::cache::CacheConfig;
use super::*;
use crate::error::Error;
use crate::schedulers::{PredictionType, SchedulerConfig};
use crate::testing::{check_close, check_fixture, device, fixture, input, tolerance, values};
use crate::unet::{UNet, UNetConfig};
use crate::weights::{Recipe, Weights};

struct Setup {
    unet: UNet,
    adapters: Adapters,
    cond: Tensor<3>,
    uncond: Tensor<3>,
    latents: Tensor<4>,
}

fn recipe(prefix: &str, dtype: DType) -> Weights {
    Weights::new(Arc::new(Recipe::new(prefix)), &device(), dtype)
}

fn setup(family: &str, config: AdapterConfig) -> Setup {
    setup_in(DType::F32, family, config)
}

fn setup_in(dtype: DType, family: &str, config: AdapterConfig) -> Setup {
    let structure = match family {
        "sd15" => UNetConfig::sd15_tiny(),
        _ => UNetConfig::sd21_tiny(),
    };
    let structure = UNetConfig { upcast_attention: family == "sd21", ..structure };
    let unet = UNet::load(&recipe(&format!("{family}.unet."), dtype), &structure).expect("a recipe makes anything");
    let adapters = Adapters::load(&recipe(&format!("{family}.adapter."), dtype), &structure, config)
        .expect("a recipe makes anything");
    let contexts = fixture::<3>(&format!("{family}.text/last"));
    Setup {
        unet,
        adapters,
        cond: contexts.clone().narrow(0, 0, 1),
        uncond: contexts.narrow(0, 1, 1),
        latents: input("gen", [1, 4, 16, 16], 1.7),
    }
}

impl Setup {
    fn cache(&self, reference: &str) -> ReferenceCache {
        let config = CacheConfig { placement: self.adapters.config().placement, timestep: 1 };
        let noisy = input(reference, [1, 4, 16, 16], 1.7);
        ReferenceCache::of_noisy(&self.unet, noisy, self.uncond.clone(), config).expect("they fit")
    }

    fn projected(&self) -> ProjectedCache {
        ProjectedCache::new(&self.adapters, &self.cache("ref")).expect("of the same denoiser")
    }

    fn denoiser<'a>(&'a self, cache: Option<&'a ProjectedCache>, strength: f64, guidance: Guidance) -> Denoiser<'a> {
        Denoiser {
            unet: &self.unet,
            cond: self.cond.clone(),
            uncond: self.uncond.clone(),
            guidance,
            personalisation: cache.map(|cache| Personalisation {
                adapters: &self.adapters,
                cache,
                folded: None,
                strength,
            }),
        }
    }

    fn predict(&self, cache: Option<&ProjectedCache>, strength: f64, guidance: Guidance) -> Vec<f32> {
        values(&self.denoiser(cache, strength, guidance).predict(&self.latents, 501.0, true, None).expect("they fit"))
    }
}

const JOINT: Guidance = Guidance::Joint { scale: 7.5 };
const COMBINED: Guidance = Guidance::Combined { image_scale: 0.4, text_scale: 7.5 };
const TEXT_FIRST: Guidance = Guidance::TextFirst { image_scale: 0.4, text_scale: 7.5 };
/// The prompted prediction alone.
const UNGUIDED: Guidance = Guidance::Joint { scale: 1.0 };
const VARIANTS: [Variant; 4] =
    [Variant::SpatialConcat, Variant::SpatialSum, Variant::TextualSum, Variant::DecoupledBlocks];

/// Features and predictions of one row: the least shapes that a GPU has to be tuned for.
#[test]
fn caches_and_predictions_are_those_of_the_method_sd15() {
    check_single("sd15");
}

#[test]
fn caches_and_predictions_are_those_of_the_method_sd21() {
    check_single("sd21");
}

#[test]
fn guided_predictions_are_those_of_the_method_sd15() {
    check_guided("sd15");
}

#[test]
fn guided_predictions_are_those_of_the_method_sd21() {
    check_guided("sd21");
}

fn check_single(family: &str) {
    let setup = setup(family, AdapterConfig::default());
    let cache = setup.cache("ref");
    for (point, feature) in cache.points().iter().zip(cache.features()) {
        // The fixtures hold feature maps.
        let [_, tokens, d] = feature.dims();
        let [height, width] = point.size([16, 16]);
        assert_eq!(height * width, tokens);
        let map = feature.clone().swap_dims(1, 2).reshape([1, d, height, width]);
        check_fixture(&format!("{family}.dreamcache/cache.{}", point.name), &map, tolerance(1e-5));
    }
    let projected = setup.projected();
    for (name, cache, context) in [
        ("e_u", None, &setup.uncond),
        ("e_i", Some(&projected), &setup.uncond),
        ("e_it", Some(&projected), &setup.cond),
    ] {
        let denoiser = Denoiser { cond: context.clone(), ..setup.denoiser(cache, 1.0, UNGUIDED) };
        let output = denoiser.predict(&setup.latents, 501.0, true, None).expect("they fit");
        check_fixture(&format!("{family}.dreamcache/{name}"), &output, tolerance(1e-5));
    }
}

fn check_guided(family: &str) {
    let setup = setup(family, AdapterConfig::default());
    let one = setup.projected();
    let two = ReferenceCache::concat(&[&setup.cache("ref"), &setup.cache("ref2")]).expect("made in the same way");
    let two = ProjectedCache::new(&setup.adapters, &two).expect("of the same denoiser");
    for (name, cache, guidance, limit) in
        [("two_ref", &two, UNGUIDED, 1e-5), ("joint", &one, JOINT, 5e-5), ("combined", &one, COMBINED, 5e-5)]
    {
        let output = setup.denoiser(Some(cache), 1.0, guidance).predict(&setup.latents, 501.0, true, None);
        check_fixture(&format!("{family}.dreamcache/{name}"), &output.expect("they fit"), tolerance(limit));
    }
}

/// Predictions leave in the latents' float32. The tolerances are ten times the number types' resolution at 1.
#[test]
fn half_precision_is_close() {
    let computed = |(dtype, _): &(DType, f32)| device().supports_dtype(*dtype);
    for (dtype, limit) in [(DType::F16, 1e-2), (DType::BF16, 8e-2)].into_iter().filter(computed) {
        for family in ["sd15", "sd21"] {
            let setup = setup_in(dtype, family, AdapterConfig::default());
            let cache = setup.projected();
            let output = setup.denoiser(Some(&cache), 1.0, UNGUIDED).predict(&setup.latents, 501.0, true, None);
            let output = output.expect("they fit");
            assert_eq!(output.dtype(), DType::F32);
            check_fixture(&format!("{family}.dreamcache/e_it"), &output, limit);
        }
    }
}

#[test]
fn references_are_noised_to_their_timestep() {
    let Setup { unet, uncond, .. } = setup("sd15", AdapterConfig::default());
    let alphas = SchedulerConfig::stable_diffusion(PredictionType::Epsilon).alphas_cumprod().expect("valid");
    let (latents, noise) = (input("ref", [1, 4, 16, 16], 1.7), input("noise", [1, 4, 16, 16], 1.7));
    for timestep in [1, 300] {
        let config = CacheConfig { timestep, ..CacheConfig::default() };
        let built = ReferenceCache::build(&unet, &latents, &noise, &alphas, uncond.clone(), config).expect("they fit");
        let alpha = alphas[timestep];
        let noisy = latents.clone() * alpha.sqrt() + noise.clone() * (1.0 - alpha).sqrt();
        let inputs = unet.transformer_inputs(noisy, &[timestep as f32], uncond.clone(), &[6]).expect("they fit");
        let middle = crate::unet::transformer::flatten(inputs[0].clone());
        assert_eq!(values(&built.features()[0]), values(&middle), "timestep {timestep}");
        assert_eq!(built.config(), config);
    }
    let config = CacheConfig { timestep: 1000, ..CacheConfig::default() };
    assert!(ReferenceCache::build(&unet, &latents, &noise, &alphas, uncond, config).is_err());
}

/// Stopping after the last point, and not at any other, changes nothing.
#[test]
fn features_do_not_depend_on_the_other_points() {
    let setup = setup("sd15", AdapterConfig::default());
    let all = setup.cache("ref");
    let noisy = input("ref", [1, 4, 16, 16], 1.7);
    let config = CacheConfig { placement: "middle".parse().expect("valid"), timestep: 1 };
    let middle = ReferenceCache::of_noisy(&setup.unet, noisy, setup.uncond.clone(), config).expect("they fit");
    assert_eq!(middle.points(), &all.points()[..1]);
    assert_eq!(values(&middle.features()[0]), values(&all.features()[0]));
}

/// Every variant: without a cache, at strength 0 and outside the active steps the prediction is the backbone's, bit by
/// bit; with the cache it is not.
#[test]
fn without_a_cache_it_is_the_backbone() {
    for variant in VARIANTS {
        let placement = "encoder+middle+decoder".parse().expect("valid");
        let setup = setup("sd15", AdapterConfig { variant, placement });
        let cache = setup.projected();
        for guidance in [JOINT, COMBINED, TEXT_FIRST, UNGUIDED] {
            let without_cache = match guidance {
                Guidance::Combined { text_scale, .. } | Guidance::TextFirst { text_scale, .. } => {
                    Guidance::Joint { scale: text_scale }
                }
                joint => joint,
            };
            let plain = setup.predict(None, 1.0, without_cache);
            let name = format!("{variant:?}, {guidance:?}");
            assert_eq!(setup.predict(None, 1.0, guidance), plain, "{name}: no cache");
            assert_eq!(setup.predict(Some(&cache), 0.0, guidance), plain, "{name}: strength 0");
            let inactive = setup.denoiser(Some(&cache), 1.0, guidance).predict(&setup.latents, 501.0, false, None);
            assert_eq!(values(&inactive.expect("they fit")), plain, "{name}: inactive step");
            let cached = setup.predict(Some(&cache), 1.0, guidance);
            let half = setup.predict(Some(&cache), 0.5, guidance);
            let distance = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(distance(&cached, &plain) > 1e-2, "{name}: the cache changes the prediction");
            assert!(distance(&half, &plain) > 1e-3 && distance(&half, &cached) > 1e-3, "{name}: strength counts");
        }
    }
}

/// In one batch, rows without the cache are those of a batch without any cache, bit by bit, and rows with it are those
/// that they would be alone, up to rounding.
#[test]
fn rows_are_independent() {
    for variant in VARIANTS {
        let setup = setup("sd15", AdapterConfig { variant, placement: Placement::default() });
        let cache = setup.projected();
        let latents = Tensor::cat(vec![setup.latents.clone(); 3], 0);
        let context = Tensor::cat(vec![setup.uncond.clone(), setup.uncond.clone(), setup.cond.clone()], 0);
        let plain = setup.unet.forward(latents.clone(), &[501.0; 3], context.clone()).expect("they fit");
        let personalisation = Personalisation { adapters: &setup.adapters, cache: &cache, folded: None, strength: 1.0 };
        let mut hook = conditioning::Conditioning { personalisation, first_row: 1, maps: None };
        let mixed = setup.unet.forward_with(latents, &[501.0; 3], context, &mut hook).expect("they fit");
        let row = |x: &Tensor<4>, i: usize| values(&x.clone().narrow(0, i, 1));
        assert_eq!(row(&mixed, 0), row(&plain, 0), "{variant:?}");
        assert_ne!(row(&mixed, 1), row(&plain, 1), "{variant:?}");
        let alone = setup.predict(Some(&cache), 1.0, UNGUIDED);
        check_close(&format!("{variant:?}"), &row(&mixed, 2), &alone, tolerance(1e-5));
    }
}

/// Folded projections are the same rule at every strength, and leave rows without the cache alone, bit by bit.
#[test]
fn folded_projections_change_nothing() {
    for family in ["sd15", "sd21"] {
        let setup = setup(family, AdapterConfig::default());
        let cache = setup.projected();
        let folded = FoldedProjections::new(&setup.adapters, &setup.unet);
        for (guidance, strength, limit) in [
            (UNGUIDED, 1.0, 1e-5),
            (UNGUIDED, 0.5, 1e-5),
            (JOINT, 1.0, 5e-5),
            (COMBINED, 1.0, 5e-5),
            (COMBINED, 0.7, 5e-5),
        ] {
            let mut denoiser = setup.denoiser(Some(&cache), strength, guidance);
            let plain = denoiser.predict(&setup.latents, 501.0, true, None).expect("they fit");
            denoiser.personalisation = denoiser.personalisation.map(|p| Personalisation { folded: Some(&folded), ..p });
            let found = denoiser.predict(&setup.latents, 501.0, true, None).expect("they fit");
            let name = format!("{family}, {guidance:?}, strength {strength}");
            check_close(&name, &values(&found), &values(&plain), tolerance(limit));
            assert_ne!(values(&found), values(&plain), "{name}: the folded layers are used");
        }
        let latents = Tensor::cat(vec![setup.latents.clone(); 2], 0);
        let context = Tensor::cat(vec![setup.uncond.clone(), setup.cond.clone()], 0);
        let plain = setup.unet.forward(latents.clone(), &[501.0; 2], context.clone()).expect("they fit");
        let personalisation =
            Personalisation { adapters: &setup.adapters, cache: &cache, folded: Some(&folded), strength: 1.0 };
        let mut hook = conditioning::Conditioning { personalisation, first_row: 1, maps: None };
        let mixed = setup.unet.forward_with(latents, &[501.0; 2], context, &mut hook).expect("they fit");
        assert_eq!(values(&mixed.narrow(0, 0, 1)), values(&plain.narrow(0, 0, 1)), "{family}");
    }
}

/// Texts and timesteps made ready once give what each step makes of them.
#[test]
fn steps_are_predictions() {
    let timesteps = [801.0, 501.0, 333.25];
    for family in ["sd15", "sd21"] {
        let setup = setup(family, AdapterConfig::default());
        let cache = setup.projected();
        let latents = Tensor::cat(vec![setup.latents.clone(), input("other", [1, 4, 16, 16], 1.7)], 0);
        for (cache, guidance) in [
            (None, JOINT),
            (Some(&cache), JOINT),
            (Some(&cache), COMBINED),
            (Some(&cache), TEXT_FIRST),
            (None, UNGUIDED),
        ] {
            let denoiser = setup.denoiser(cache, 1.0, guidance);
            let mut steps = Steps::new(denoiser.clone(), &timesteps);
            // The second step is one of plain sampling.
            for (step, (timestep, active)) in timesteps.into_iter().zip([true, false, true]).enumerate() {
                let expected = denoiser.predict(&latents, timestep, active, None).expect("they fit");
                let found = steps.predict(&latents, step, active, None).expect("they fit");
                let name = format!("{family}, {guidance:?}, step {step}");
                check_close(&name, &values(&found), &values(&expected), tolerance(1e-5));
            }
            assert!(steps.predict(&latents, timesteps.len(), true, None).is_err());
        }
        // Bit by bit the plain sampler: no cache, strength 0, a step that does not use it.
        let mut plain = Steps::new(setup.denoiser(None, 1.0, JOINT), &timesteps);
        let expected = values(&plain.predict(&latents, 1, true, None).expect("they fit"));
        for (strength, active) in [(0.0, true), (1.0, false)] {
            let mut steps = Steps::new(setup.denoiser(Some(&cache), strength, JOINT), &timesteps);
            assert_eq!(values(&steps.predict(&latents, 1, active, None).expect("they fit")), expected, "{family}");
        }
    }
}

/// Where memory is short a batch is evaluated in portions, with the same result.
#[test]
fn portions_of_a_batch_are_the_batch() {
    let setup = setup("sd15", AdapterConfig::default());
    let cache = setup.projected();
    let latents = Tensor::cat(vec![setup.latents.clone(), input("others", [4, 4, 16, 16], 1.7)], 0);
    // A prompt for each picture.
    let cond = Tensor::cat((0..5).map(|i| setup.cond.clone() * (1.0 + 0.1 * f64::from(i))).collect(), 0);
    for (guidance, every) in [(JOINT, 1), (COMBINED, 1), (COMBINED, 2)] {
        let denoiser = Denoiser { cond: cond.clone(), ..setup.denoiser(Some(&cache), 1.0, guidance) };
        let steps = Steps::new(denoiser, &[801.0, 501.0]).sharing(every);
        let mut whole = steps.clone();
        for (at_once, portions) in [(9, 1), (5, 1), (2, 3), (1, 5), (0, 5)] {
            let mut parts = Portions::new(&steps, 5, at_once).expect("as many contexts as pictures");
            assert_eq!(parts.portions.len(), portions, "{at_once} at once");
            for step in 0..2 {
                let expected = whole.predict(&latents, step, true, None).expect("they fit");
                let found = parts.predict(&latents, step, true, None).expect("they fit");
                let name = format!("{guidance:?}, {at_once} at once, step {step}");
                check_close(&name, &values(&found), &values(&expected), tolerance(5e-5));
            }
        }
        assert!(Portions::new(&steps, 4, 2).is_err());
    }
}

/// Between the steps that look at the cache alone, what it changed there counts.
#[test]
fn guidance_can_share_the_third_evaluation() {
    let setup = setup("sd15", AdapterConfig::default());
    let cache = setup.projected();
    let timesteps = [801.0, 781.0, 761.0, 741.0];
    let of = |cache: Option<&ProjectedCache>, context: &Tensor<3>, timestep: f64| {
        let denoiser = Denoiser { cond: context.clone(), ..setup.denoiser(cache, 1.0, UNGUIDED) };
        denoiser.predict(&setup.latents, timestep, true, None).expect("they fit")
    };
    for (guidance, third) in [(COMBINED, (Some(&cache), &setup.uncond)), (TEXT_FIRST, (None, &setup.cond))] {
        let denoiser = setup.denoiser(Some(&cache), 1.0, guidance);
        let mut steps = Steps::new(denoiser, &timesteps).sharing(3);
        let mut change = None;
        for (step, timestep) in timesteps.into_iter().enumerate() {
            let found = steps.predict(&setup.latents, step, true, None).expect("they fit");
            let (nothing, both) = (of(None, &setup.uncond, timestep), of(Some(&cache), &setup.cond, timestep));
            if step % 3 == 0 {
                change = Some(of(third.0, third.1, timestep) - nothing.clone());
            }
            let middle = nothing.clone() + change.clone().expect("looked at in the first step");
            let expected = guidance.combine(true, vec![nothing, middle, both]).expect("three");
            let name = format!("{guidance:?}, step {step}");
            check_close(&name, &values(&found), &values(&expected), tolerance(5e-5));
        }
    }
}

#[test]
fn several_images_are_one_batch() {
    let setup = setup("sd15", AdapterConfig::default());
    let cache = setup.projected();
    let denoiser = setup.denoiser(Some(&cache), 1.0, COMBINED);
    let other = input("other", [1, 4, 16, 16], 1.7);
    let both = Tensor::cat(vec![setup.latents.clone(), other.clone()], 0);
    let both = denoiser.predict(&both, 501.0, true, None).expect("they fit");
    for (i, latents) in [&setup.latents, &other].into_iter().enumerate() {
        let alone = denoiser.predict(latents, 501.0, true, None).expect("they fit");
        check_close(&format!("image {i}"), &values(&both.clone().narrow(0, i, 1)), &values(&alone), tolerance(5e-5));
    }
    let three = Denoiser { cond: Tensor::cat(vec![setup.cond.clone(); 3], 0), ..denoiser };
    assert!(matches!(three.predict(&setup.latents, 501.0, true, None), Err(Error::Argument(_))));
}

#[test]
fn neutral_adapters_change_nothing() {
    for variant in VARIANTS {
        let mut setup = setup("sd15", AdapterConfig { variant, placement: Placement::default() });
        setup.adapters = Adapters::neutral(&setup.unet, setup.adapters.config());
        assert_eq!(setup.adapters.num_params(), setup.adapters.config().num_params(setup.unet.config()));
        let cache = setup.projected();
        let plain = setup.predict(None, 1.0, UNGUIDED);
        let cached = setup.predict(Some(&cache), 1.0, UNGUIDED);
        check_close(&format!("{variant:?}"), &cached, &plain, tolerance(1e-5));
    }
}

#[test]
fn maps_do_not_change_the_prediction() {
    let setup = setup("sd15", AdapterConfig::default());
    let cache = setup.projected();
    let denoiser = setup.denoiser(Some(&cache), 1.0, COMBINED);
    let mut maps = AttentionMaps::everywhere([16, 16]);
    let mut noted = Vec::new();
    for timestep in [501.0, 481.0] {
        noted.push(values(&denoiser.predict(&setup.latents, timestep, true, Some(&mut maps)).expect("they fit")));
    }
    assert_eq!(noted[0], setup.predict(Some(&cache), 1.0, COMBINED));
    let maps = maps.finish(cache.references()).expect("the same reference");
    let points: Vec<_> = maps.iter().map(|m| m.point.clone()).collect();
    assert_eq!(points, setup.adapters.points());
    for map in maps {
        assert_eq!(map.size, map.point.size([16, 16]));
        check_close(&map.point.name, &[map.values.iter().sum()], &[1.0], 1e-5);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let sd15 = setup("sd15", AdapterConfig::default());
    let sd21 = setup("sd21", AdapterConfig::default());
    let middle = setup("sd15", AdapterConfig { placement: "middle".parse().expect("valid"), ..Default::default() });
    let check = |adapters: &Adapters, cache: &ReferenceCache, expected: &str| {
        let error = ProjectedCache::new(adapters, cache).expect_err(expected).to_string();
        assert!(error.contains(expected), "`{error}` without `{expected}`");
    };
    check(&sd15.adapters, &middle.cache("ref"), "`up_blocks.1.attentions.1`, which the cache (middle)");
    check(&sd15.adapters, &sd21.cache("ref"), "different models");
    assert!(ReferenceCache::concat(&[]).is_err());
    assert!(ReferenceCache::concat(&[&sd15.cache("ref"), &middle.cache("ref")]).is_err());

    let cache = sd15.cache("ref");
    let parts = |references: Vec<[usize; 2]>, features: &[Tensor<3>]| {
        ReferenceCache::from_parts(sd15.unet.config(), cache.config(), references, features.to_vec()).is_ok()
    };
    assert!(parts(cache.references().to_vec(), cache.features()));
    assert!(!parts(vec![[16, 8]], cache.features()));
    assert!(!parts(cache.references().to_vec(), &cache.features()[1..]));
}

/// The true size: 859,520,964 parameters of 3.4 GB made from their names. Runs when `DC_GRAPH_FULL=1`.
#[test]
fn the_full_model_is_upstreams() {
    if std::env::var("DC_GRAPH_FULL").as_deref() != Ok("1") {
        eprintln!("skipped: set DC_GRAPH_FULL=1 to run the model at its true size");
        return;
    }
    let config = UNetConfig::sd15();
    let unet = UNet::load(&recipe("sd15.unet.", DType::F32), &config).expect("a recipe makes anything");
    assert_eq!(unet.num_params(), 859_520_964);
    let adapters = Adapters::load(&recipe("sd15.adapter.", DType::F32), &config, AdapterConfig::default())
        .expect("a recipe makes anything");
    assert_eq!(adapters.num_params(), 25_207_040);

    let latents = input("full", [1, 4, 8, 8], 1.7);
    let (cond, uncond) = (input("fullctx", [1, 77, 768], 1.0), input("fullnull", [1, 77, 768], 1.0));
    let plain = unet.forward(latents.clone(), &[500.0], cond.clone()).expect("they fit");
    check_fixture("full_sd15.unet/out", &plain, tolerance(1e-5));

    let noisy = input("fullref", [1, 4, 8, 8], 1.7);
    let cache = ReferenceCache::of_noisy(&unet, noisy, uncond.clone(), CacheConfig::default()).expect("they fit");
    let cache = ProjectedCache::new(&adapters, &cache).expect("of the same denoiser");
    let personalisation = Some(Personalisation { adapters: &adapters, cache: &cache, folded: None, strength: 1.0 });
    let denoiser = Denoiser { unet: &unet, cond, uncond, guidance: UNGUIDED, personalisation };
    let cached = denoiser.predict(&latents, 500.0, true, None).expect("they fit");
    check_fixture("full_sd15.dreamcache/out", &cached, tolerance(1e-5));
}
