//! Files that are wrong or mean harm: an error that says what and where, and nothing else.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};

use super::writing::{Pickled, Tensors, compvis_tensors, dict, program, string, torch_zip, write_f32, zip};
use crate::checkpoint::{Random, open_file};
use crate::error::Error;
use crate::model::BaseModel;
use crate::weights::Weights;

/// Reads the tensor `w`, `[2, 3]`, and nothing else, as a model would.
fn read_w(path: &Path) -> Result<(), Error> {
    let weights = Weights::new(open_file(path)?, &Device::flex(), DType::F32);
    weights.tensor("w", [2, 3])?;
    weights.finish(|_| false)
}

fn load(path: &Path) -> Result<(), Error> {
    BaseModel::load(path.to_str().unwrap(), &Device::flex(), DType::F32, None).map(drop)
}

fn expect(case: &str, result: Result<(), Error>, expected: &str) {
    match result {
        Ok(()) => panic!("{case}: passed, expected `{expected}`"),
        Err(error) => assert!(error.to_string().contains(expected), "{case}: `{error}` without `{expected}`"),
    }
}

fn safetensors(header: &str, data: usize) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; data]].concat()
}

#[test]
fn broken_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    let w = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#""w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let good = w("F32", "[2,3]", "[0,24]");
    let one = |entry: String, data: usize| safetensors(&format!("{{{entry}}}"), data);
    let nan = |value: f32| {
        let header = format!("{{{good}}}");
        let values = [0.0, value, 0.0, 0.0, 0.0, 0.0];
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), bytemuck::cast_slice::<f32, u8>(&values)].concat()
    };
    let huge = "[4294967296,4294967296,4294967296]";
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty file", Vec::new(), "the file is empty"),
        ("too short for a header", vec![1, 2, 3], "3 bytes are too few for a header"),
        ("truncated header", safetensors("{\"w\":", 0), "the header is not valid"),
        (
            "header longer than the file",
            [&[200, 0, 0, 0, 0, 0, 0, 0], b"{}".as_slice()].concat(),
            "truncated: the header claims 200 bytes, 2 follow",
        ),
        (
            "header of 10^18 bytes",
            [&10_u64.pow(18).to_le_bytes(), b"{}".as_slice()].concat(),
            "claims 1000000000000000000 bytes",
        ),
        ("bad JSON", safetensors("{\"w\": nonsense}", 0), "the header is not valid"),
        ("not UTF-8", [&[2, 0, 0, 0, 0, 0, 0, 0], [0xff, 0xfe].as_slice()].concat(), "the header is not valid"),
        ("deep nesting", safetensors(&"[".repeat(100_000), 0), "the header is not valid"),
        ("a tensor twice", one(format!("{good},{good}"), 24), "tensor `w` twice"),
        (
            "overlapping offsets",
            one(format!("{good},{}", good.replace("\"w\"", "\"v\"").replace("[0,24]", "[12,36]")), 36),
            "tensor `v` overlaps the tensor before it",
        ),
        ("a hole", one(w("F32", "[2,3]", "[8,32]"), 32), "leaves a hole before it"),
        (
            "offsets outside the file",
            one(w("F32", "[2,3]", "[0,24]"), 20),
            "`w` should lie at 0..24, but the file holds 20 bytes",
        ),
        ("offsets backwards", one(w("F32", "[2,3]", "[24,0]"), 24), "`w` should lie at 24..0"),
        ("negative offsets", one(w("F32", "[2,3]", "[-1,23]"), 24), "the header is not valid"),
        (
            "wrong size for the dtype",
            one(w("F16", "[2,3]", "[0,24]"), 24),
            "tensor `w`, f16 of the shape [2, 3], has 24 bytes",
        ),
        ("sizes that overflow", one(w("F32", huge, "[0,24]"), 24), "has 24 bytes"),
        ("unknown dtype", one(w("F8_E4M3", "[2,3]", "[0,6]"), 6), "unknown dtype `F8_E4M3`"),
        ("integers", one(w("I32", "[2,3]", "[0,24]"), 24), "tensor `w` holds i32, expected floating-point numbers"),
        ("trailing bytes", one(good.clone(), 30), "the tensors end at byte"),
        ("wrong shape", one(w("F32", "[3,2]", "[0,24]"), 24), "tensor `w` should have the shape [2, 3], found [3, 2]"),
        ("missing tensor", one(good.replace("\"w\"", "\"v\""), 24), "tensor `w` is missing"),
        (
            "unused tensor",
            one(format!("{good},{}", good.replace("\"w\"", "\"v\"").replace("[0,24]", "[24,48]")), 48),
            "1 tensors that the model does not have: `v`",
        ),
        (
            "control characters",
            one(w("F32", "[2,3]", "[0,9]").replace("\"w\"", "\"\\u001b[2J\""), 9),
            r"tensor `\u{1b}[2J`",
        ),
        ("NaN", nan(f32::NAN), "tensor `w` holds NaN or infinite values"),
        ("infinity", nan(f32::INFINITY), "tensor `w` holds NaN or infinite values"),
    ];
    for (case, bytes, expected) in cases {
        let path = folder.path().join("w.safetensors");
        std::fs::write(&path, bytes).unwrap();
        expect(case, read_w(&path), expected);
    }
    expect("a folder", read_w(folder.path()), "is not a file");
    expect("no such file", read_w(&folder.path().join("none.safetensors")), "No such file");
}

#[test]
fn broken_torch_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pt");
    let data = [0_u8; 24];
    let pack = |code: &[u8]| torch_zip(&program(code), &[("0", &data)]);
    let of = |tensor: Pickled| pack(&dict(&[("w", tensor.code())]));
    let w = || Pickled::f32("0", &[2, 3]);
    std::fs::write(&path, of(w())).unwrap();
    read_w(&path).unwrap();

    let good = of(w());
    let system = [b"cos\nsystem\n(".as_slice(), &string("echo"), b"tR"].concat();
    let setters: Vec<u8> = {
        // k: {k: {k: ...}}, by one key in front of each dictionary
        let mut code = b"}".to_vec();
        (0..40).for_each(|_| code.extend([string("k"), b"}".to_vec()].concat()));
        code.extend(b"s".repeat(40));
        code
    };
    // A dictionary that contains itself, by the memo.
    let memo_loop = [b"}q\x00".as_slice(), &string("k"), b"h\x00s"].concat();
    // Each dictionary holds the one before it sixteen times: 16^14 names from a kilobyte.
    let bomb = {
        let mut code = [b"}q\x00".as_slice(), b"0"].concat();
        for level in 1..15_u8 {
            code.extend([b"}", b"(".as_slice()].concat());
            (0..16).for_each(|i| code.extend([string(&format!("k{i}")), vec![b'h', level - 1]].concat()));
            code.extend([b'u', b'q', level, b'0']);
        }
        [code, vec![b'h', 14]].concat()
    };
    let mut big_endian = vec![("archive/data.pkl".to_string(), program(&dict(&[])))];
    big_endian.push(("archive/byteorder".into(), b"big".to_vec()));
    let mut compressed = good.clone();
    let at = compressed.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    compressed[at + 10] = 8;
    let strange = |storage| Pickled { storage, ..w() };
    let with = |change: fn(&mut Pickled)| {
        let mut tensor = w();
        change(&mut tensor);
        of(tensor)
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty file", Vec::new(), "the file is empty"),
        ("not a zip", b"\x80\x02}q\x00.".to_vec(), "not a zip file"),
        ("truncated zip", good[..good.len() - 30].to_vec(), "not a zip file"),
        (
            "directory outside the file",
            zip(&[]).iter().map(|b| if *b == 0x2c { 0x2c } else { *b }).chain([0]).collect(),
            "without `data.pkl`",
        ),
        ("a zip of something else", zip(&[("readme".into(), b"hello".to_vec())]), "without `data.pkl`"),
        ("compressed", compressed, "is compressed"),
        ("big-endian", zip(&big_endian), "big-endian"),
        (
            "missing storage",
            torch_zip(&program(&dict(&[("w", w().code())])), &[]),
            "tensor `w` needs the storage `data/0`",
        ),
        (
            "storage too short",
            torch_zip(&program(&dict(&[("w", w().code())])), &[("0", &data[..20])]),
            "reaches beyond its storage of 20 bytes",
        ),
        ("offset outside the storage", with(|t| t.offset = 1), "reaches beyond its storage"),
        ("strides outside the storage", with(|t| t.strides = vec![1000, 1]), "reaches beyond its storage"),
        ("negative strides", with(|t| t.strides = vec![usize::MAX, 1]), "sizes that are no numbers"),
        ("strides of another rank", with(|t| t.strides = vec![1]), "has the shape [2, 3] and the strides [1]"),
        (
            "huge tensor of one number",
            with(|t| (t.shape, t.strides) = (vec![1 << 30, 1 << 30], vec![0, 0])),
            "should have the shape [2, 3]",
        ),
        ("quantized storage", of(strange("QInt8Storage")), "lies in a `torch.QInt8Storage`, which is not read"),
        (
            "a tensor made by os.system",
            pack(&dict(&[("w", system.clone())])),
            "tensor `w` is made by `os.system`, which is not called",
        ),
        ("os.system alone", pack(&system), "the object in the file is made by `os.system`"),
        ("a class", pack(b"cbuiltins\neval\n"), "`builtins.eval`"),
        ("a list", pack(b"]"), "the object in the file is no dictionary"),
        ("truncated pickle", torch_zip(&program(&dict(&[("w", w().code())]))[..60], &[("0", &data)]), "truncated"),
        ("empty pickle", torch_zip(b"", &[]), "truncated: 1 bytes expected, 0 left"),
        ("nothing on the stack", pack(b"0"), "the stack is empty"),
        ("no mark", pack(b"t"), "no mark on the stack"),
        ("a key without a value", pack(&[b"}(".as_slice(), &string("k"), b"u"].concat()), "a key without a value"),
        ("an unset memo", pack(b"h\x05"), "nothing was put at memo 5"),
        ("protocol 0", pack(b"(dp0\n"), "instruction 0x70 has no place"),
        ("a string of 4 GB", pack(b"X\xff\xff\xff\xff"), "truncated: 4294967295 bytes expected"),
        (
            "bytes of 2^63",
            pack(b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f"),
            "truncated: 9223372036854775807 bytes expected",
        ),
        ("a string that is not UTF-8", pack(b"X\x01\0\0\0\xff"), "is not UTF-8"),
        ("dictionaries 40 deep", pack(&setters), "dictionaries more than 16 deep"),
        ("a dictionary in itself", pack(&memo_loop), "dictionaries more than 16 deep"),
        ("a bomb of shared dictionaries", pack(&bomb), "more than 262144 entries"),
        (
            "a name of 10,000 characters",
            pack(&dict(&[(&"n".repeat(10_000), w().code())])),
            "a name of 10000 characters",
        ),
        ("a tensor twice", pack(&dict(&[("w", w().code()), ("w", w().code())])), "tensor `w` twice"),
        ("a missing tensor", pack(&dict(&[("v", w().code())])), "tensor `w` is missing"),
        ("an unused tensor", pack(&dict(&[("v", w().code()), ("w", w().code())])), "does not have: `v`"),
        ("NaN", torch_zip(&program(&dict(&[("w", w().code())])), &[("0", &[0xff; 24])]), "tensor `w` holds NaN"),
    ];
    for (case, bytes, expected) in cases {
        std::fs::write(&path, bytes).unwrap();
        expect(case, read_w(&path), expected);
    }
}

/// Any prefix, and any single byte changed, of a good file: an error or the tensor, never a panic.
#[test]
fn damaged_files_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let values = [0_u8; 24];
    let files = [
        ("w.pt", torch_zip(&program(&dict(&[("w", Pickled::f32("0", &[2, 3]).code())])), &[("0", &values)])),
        ("w.safetensors", safetensors(r#"{"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#, 24)),
    ];
    for (name, good) in files {
        let path = folder.path().join(name);
        for len in 0..good.len() {
            std::fs::write(&path, &good[..len]).unwrap();
            assert!(read_w(&path).is_err(), "{name}: {len} bytes");
        }
        for at in 0..good.len() {
            for value in [0, 0x7f, 0xff, good[at] ^ 1, b'(', b'.'] {
                let mut bytes = good.clone();
                bytes[at] = value;
                std::fs::write(&path, bytes).unwrap();
                // Whatever it is: some changes are to numbers, or to nothing that is read.
                let _ = read_w(&path);
            }
        }
    }
}

/// Each tensor of a non-contiguous view, read as Python would.
#[test]
fn strides_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pt");
    let values: Vec<f32> = (0..12_u8).map(f32::from).collect();
    let read = |offset, strides: [usize; 2]| {
        let tensor = Pickled { offset, strides: strides.into(), ..Pickled::f32("0", &[2, 3]) };
        let file = torch_zip(&program(&dict(&[("w", tensor.code())])), &[("0", bytemuck::cast_slice(&values))]);
        std::fs::write(&path, file).unwrap();
        open_file(&path).unwrap().read("w", &[2, 3]).unwrap().try_to_vec::<f32>().unwrap()
    };
    assert_eq!(read(0, [3, 1]), [0., 1., 2., 3., 4., 5.]);
    assert_eq!(read(4, [3, 1]), [4., 5., 6., 7., 8., 9.]);
    assert_eq!(read(0, [1, 2]), [0., 2., 4., 1., 3., 5.], "transposed");
    assert_eq!(read(1, [0, 1]), [1., 2., 3., 1., 2., 3.], "expanded");
    assert_eq!(read(0, [6, 2]), [0., 2., 4., 6., 8., 10.], "every second");
}

#[test]
fn broken_models() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("model");
    let fresh = || {
        let _ = std::fs::remove_dir_all(&root);
        Random::Sd15Tiny.write(&root, DType::F16).unwrap();
        root.clone()
    };
    let edit = |file: &str, from: &str, to: &str| {
        let path = fresh().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}: {text}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        root.clone()
    };
    let remove = |file: &str| {
        std::fs::remove_file(fresh().join(file)).unwrap();
        root.clone()
    };
    type Case<'a> = (&'a str, &'a dyn Fn() -> PathBuf, &'a str);
    let cases: [Case<'_>; 11] = [
        ("no model_index.json", &|| remove("model_index.json"), "a diffusers folder has a `model_index.json`"),
        (
            "no weights",
            &|| remove("vae/diffusion_pytorch_model.safetensors"),
            "lacks `vae/diffusion_pytorch_model.safetensors`",
        ),
        ("no configuration", &|| remove("unet/config.json"), "the model lacks `unet/config.json`"),
        ("no scheduler", &|| remove("scheduler/scheduler_config.json"), "lacks `scheduler/scheduler_config.json`"),
        (
            "another architecture",
            &|| edit("unet/config.json", "UNet2DConditionModel", "FluxTransformer2DModel"),
            "expected a `UNet2DConditionModel`, found a `FluxTransformer2DModel`",
        ),
        (
            "a feature that is not implemented",
            &|| edit("unet/config.json", "\"sample_size\"", "\"addition_embed_type\": \"text_time\", \"sample_size\""),
            "addition_embed_type",
        ),
        (
            "a configuration of other widths",
            &|| edit("unet/config.json", "\"cross_attention_dim\": 32", "\"cross_attention_dim\": 48"),
            "should have the shape [32, 48], found [32, 32]",
        ),
        (
            "more layers than tensors",
            &|| edit("text_encoder/config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3"),
            "16 tensors are missing: `text_model.encoder.layers.2.",
        ),
        (
            "fewer layers than tensors",
            &|| edit("text_encoder/config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1"),
            "16 tensors that the model does not have: `text_model.encoder.layers.1.",
        ),
        (
            "an inpainting model",
            &|| edit("unet/config.json", "\"in_channels\": 4", "\"in_channels\": 9"),
            "inpainting and depth models are not supported",
        ),
        ("a damaged configuration", &|| edit("vae/config.json", "{", "{{"), "vae/config.json"),
    ];
    for (case, make, expected) in cases {
        expect(case, load(&make()), expected);
    }
    expect("an unknown random model", load(Path::new("random:sd99")), "there are `sd15-tiny`, `sd21-tiny`");
    expect("no such path", load(&folder.path().join("none.safetensors")), "No such file");
}

#[test]
fn broken_single_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let good = compvis_tensors(&Random::Sd15Tiny.checkpoint());
    let check = |case: &str, change: &dyn Fn(&mut Tensors), expected: &str| {
        let mut tensors = good.clone();
        change(&mut tensors);
        write_f32(&path, &tensors);
        expect(case, load(&path), expected);
    };
    let out = "model.diffusion_model.out.2.bias";
    let (context, to_k) = ("context", "model.diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight");
    check(
        "an unknown tensor",
        &|t| drop(t.insert("lora.up".into(), (vec![1], vec![0.0]))),
        "1 tensors that the model does not have: `lora.up`",
    );
    check("a missing tensor", &|t| drop(t.remove(out)), "1 tensors are missing: `conv_out.bias`");
    check("no denoiser", &|t| t.retain(|name, _| !name.starts_with("model.diffusion_model.")), "not a base model");
    check(
        "no text encoder",
        &|t| t.retain(|name, _| !name.starts_with("cond_stage_model.")),
        "token_embedding.weight` is missing",
    );
    check(
        context,
        &|t| drop(t.insert(to_k.into(), (vec![64, 16], vec![0.0; 1024]))),
        "expects a text context 16 wide, the text encoder makes 32",
    );
    check(
        "a tensor without axes",
        &|t| drop(t.insert(to_k.into(), (vec![], vec![0.0]))),
        "should have more than 1 axes",
    );
    // The writer refuses what is not finite, so it is made of a number that nothing else has.
    let (name, mark) = ("cond_stage_model.transformer.text_model.final_layer_norm.bias", 12_345.678_f32);
    let mut tensors = good.clone();
    tensors.get_mut(name).unwrap().1[3] = mark;
    write_f32(&path, &tensors);
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(4).rposition(|w| w == mark.to_le_bytes()).unwrap();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    expect("not finite", load(&path), "tensor `final_layer_norm.bias` holds NaN or infinite values");
}
