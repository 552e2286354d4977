//! What other programs write: PyTorch's zip and pickle, and CompVis' single files.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, TensorData};

use crate::checkpoint::compvis::{Part, Place, text_places, unet_places, vae_places};
use crate::checkpoint::{Checkpoint, Family};
use crate::text::ClipTextModel;
use crate::unet::UNet;
use crate::vae::Vae;
use crate::weights::TensorSource;

/// A tensor as a pickle describes it.
pub(super) struct Pickled {
    pub(super) storage: &'static str,
    pub(super) key: String,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl Pickled {
    /// A contiguous float32 tensor at the start of its storage.
    pub(super) fn f32(key: &str, shape: &[usize]) -> Self {
        let mut strides: Vec<usize> = (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect();
        strides.iter_mut().for_each(|stride| *stride = (*stride).max(1));
        Self { storage: "FloatStorage", key: key.into(), offset: 0, shape: shape.into(), strides }
    }

    /// The instructions that rebuild it, as `torch.save` writes them.
    pub(super) fn code(&self) -> Vec<u8> {
        let ints = |values: &[usize]| {
            let items: Vec<u8> = values.iter().flat_map(|v| int(*v)).collect();
            [b"(".as_slice(), &items, b"t"].concat()
        };
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n((".as_slice(),
            &string("storage"),
            format!("ctorch\n{}\n", self.storage).as_bytes(),
            &string(&self.key),
            &string("cpu"),
            &int(self.shape.iter().product()),
            b"tQ",
            &int(self.offset),
            &ints(&self.shape),
            &ints(&self.strides),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
        .concat()
    }
}

pub(super) fn string(text: &str) -> Vec<u8> {
    [b"X".as_slice(), &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

fn int(value: usize) -> Vec<u8> {
    [b"J".as_slice(), &(value as i32).to_le_bytes()].concat()
}

/// A dictionary of values given as instructions.
pub(super) fn dict(items: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let items: Vec<u8> = items.iter().flat_map(|(key, code)| [string(key), code.clone()].concat()).collect();
    [b"}(".as_slice(), &items, b"u"].concat()
}

/// A whole program.
pub(super) fn program(code: &[u8]) -> Vec<u8> {
    [b"\x80\x02".as_slice(), code, b"."].concat()
}

/// A zip of stored entries with the 64-bit directory that PyTorch writes.
pub(super) fn zip(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, contents) in entries {
        let offset = file.len() as u32;
        let len = (contents.len() as u32).to_le_bytes();
        let name_len = (name.len() as u16).to_le_bytes();
        file.extend([b"PK\x03\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice(), &len, &len, &name_len, &[4, 0]].concat());
        file.extend([name.as_bytes(), b"FB\0\0", contents].concat());
        directory.extend([b"PK\x01\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice(), &len, &len, &name_len].concat());
        directory.extend([[0; 12].as_slice(), &offset.to_le_bytes(), name.as_bytes()].concat());
    }
    let (start, size, count) = (file.len() as u64, directory.len() as u64, entries.len() as u64);
    file.extend(&directory);
    let record = file.len() as u64;
    file.extend([b"PK\x06\x06\x2c\0\0\0\0\0\0\0".as_slice(), &[0; 12], &count.to_le_bytes()].concat());
    file.extend([count.to_le_bytes(), size.to_le_bytes(), start.to_le_bytes()].concat());
    file.extend([b"PK\x06\x07\0\0\0\0".as_slice(), &record.to_le_bytes(), &[1, 0, 0, 0]].concat());
    let count = (count as u16).to_le_bytes();
    file.extend([b"PK\x05\x06\0\0\0\0".as_slice(), &count, &count].concat());
    file.extend([(size as u32).to_le_bytes(), (start as u32).to_le_bytes()].concat());
    file.extend([0, 0]);
    file
}

/// The zip of `torch.save`: a program and its storages.
pub(super) fn torch_zip(program: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    let mut entries = vec![("archive/data.pkl".to_string(), program.to_vec())];
    entries.push(("archive/byteorder".to_string(), b"little".to_vec()));
    entries.extend(storages.iter().map(|(key, bytes)| (format!("archive/data/{key}"), bytes.to_vec())));
    zip(&entries)
}

/// Named float32 tensors.
pub(super) type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Writes tensors as `torch.save({"state_dict": .., ..})` does for a training checkpoint.
pub(super) fn write_ckpt(path: &Path, tensors: &Tensors) {
    let items: Vec<_> = tensors
        .iter()
        .enumerate()
        .map(|(i, (name, (shape, _)))| (name.as_str(), Pickled::f32(&i.to_string(), shape).code()))
        .collect();
    let callback = b"cpytorch_lightning.callbacks\nCheckpoint\n)R".to_vec();
    let code = dict(&[("callbacks", callback), ("epoch", int(3)), ("state_dict", dict(&items))]);
    let bytes: Vec<Vec<u8>> = tensors.values().map(|(_, values)| bytemuck::cast_slice(values).to_vec()).collect();
    let keys: Vec<String> = (0..bytes.len()).map(|i| i.to_string()).collect();
    let storages: Vec<_> = keys.iter().zip(&bytes).map(|(key, bytes)| (key.as_str(), bytes.as_slice())).collect();
    std::fs::write(path, torch_zip(&program(&code), &storages)).unwrap();
}

/// Writes tensors as float32 safetensors.
pub(super) fn write_f32(path: &Path, tensors: &Tensors) {
    let shapes = tensors.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect();
    crate::checkpoint::write_safetensors(path, &BTreeMap::new(), DType::F32, &shapes, |name, shape| {
        Ok(TensorData::new(tensors[name].1.clone(), shape.to_vec()))
    })
    .unwrap();
}

/// A model's tensors in CompVis' layout, and with them what such files hold besides.
pub(super) fn compvis_tensors(checkpoint: &Checkpoint) -> Tensors {
    let (unet, vae, text) = (&checkpoint.unet, &checkpoint.vae, &checkpoint.text);
    let mut tensors = Tensors::new();
    relay(&mut tensors, &*unet.source, unet.shapes(UNet::load).unwrap(), unet_places(&unet.config));
    relay(&mut tensors, &*vae.source, vae.shapes(Vae::load).unwrap(), vae_places(&vae.config));
    let places = text_places(checkpoint.family, &text.config);
    relay(&mut tensors, &*text.source, text.shapes(ClipTextModel::load).unwrap(), places);
    let mut extra = vec!["alphas_cumprod", "betas", "model_ema.decay", "model_ema.diffusion_modelout2bias"];
    let block = "cond_stage_model.model.transformer.resblocks";
    let last: Vec<_> = tensors.iter().filter(|(name, _)| name.starts_with(&format!("{block}.1."))).collect();
    let last: Tensors = last.into_iter().map(|(name, tensor)| (name.replace(".1.", ".2."), tensor.clone())).collect();
    tensors.extend(last);
    match checkpoint.family {
        Family::Sd1 => extra.push("cond_stage_model.transformer.text_model.embeddings.position_ids"),
        Family::Sd2 => extra.extend(["cond_stage_model.model.logit_scale", "cond_stage_model.model.text_projection"]),
    }
    tensors.extend(extra.into_iter().map(|name| (name.to_string(), (vec![2], vec![0.5, 0.25]))));
    tensors
}

fn relay(into: &mut Tensors, source: &dyn TensorSource, shapes: BTreeMap<String, Vec<usize>>, places: Vec<Place>) {
    let places: BTreeMap<_, _> = places.into_iter().map(|place| (place.name, (place.compvis, place.part))).collect();
    for (name, shape) in shapes {
        let (compvis, part) = places.get(&name).unwrap_or_else(|| panic!("`{name}` has no place")).clone();
        let values = source.read(&name, &shape).unwrap().try_to_vec::<f32>().unwrap();
        match part {
            Part::Whole => drop(into.insert(compvis, (shape, values))),
            Part::Squeezed => drop(into.insert(compvis, ([shape, vec![1, 1]].concat(), values))),
            Part::Third(third) => {
                let whole = [&[3 * shape[0]], &shape[1..]].concat();
                let len = values.len();
                let (_, tensor) = into.entry(compvis).or_insert_with(|| (whole, vec![0.0; 3 * len]));
                tensor[third * len..(third + 1) * len].copy_from_slice(&values);
            }
        }
    }
}
