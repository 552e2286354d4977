//! `Load Image`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dc_graph_node_api::{
    InputProblem, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value,
};

use super::convert;

struct LoadImage {
    spec: NodeSpec,
}

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Load Image",
        "image",
        "Reads a picture from a PNG, JPEG or WebP file, upright as its EXIF orientation says.",
    )
    .input(InputSpec::required("path", PortType::Path, "The file; at most 16384 pixels a side."))
    .output(
        "image",
        PortType::Image,
        "The picture as RGB, or as RGBA when the file has alpha; u8, or f32 when the file has 16 bits a sample.",
    )
    .output("mask", PortType::Mask, "The file's alpha; 1 everywhere when it has none.")
    .output("width", PortType::Integer, "In pixels.")
    .output("height", PortType::Integer, "In pixels.");
    Arc::new(LoadImage { spec })
}

impl Node for LoadImage {
    fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    fn reads(&self, known: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
        let Some(Value::Path(path)) = known.get("path") else { return Ok(Vec::new()) };
        let path = PathBuf::from(&**path);
        if path.is_dir() {
            return Err(vec![InputProblem::new("path", format!("is a folder, not a file: {}", path.display()))]);
        }
        if !path.exists() {
            return Err(vec![InputProblem::new("path", format!("no such file: {}", path.display()))]);
        }
        match convert::sniff(&path) {
            Ok(_) => Ok(vec![path]),
            Err(NodeError::Input { input, message, hint }) => Err(vec![InputProblem { input, message, hint }]),
            Err(other) => Err(vec![InputProblem::new("path", other.to_string())]),
        }
    }

    fn run(&self, inputs: &Inputs, _context: &dyn RunContext) -> Result<Outputs, NodeError> {
        let (image, mask) = convert::read(Path::new(inputs.path("path")?))?;
        let (width, height) = (i64::from(image.width()), i64::from(image.height()));
        Ok(Outputs::one("image", image).with("mask", mask).with("width", width).with("height", height))
    }
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Image, Pixels};
    use image::{DynamicImage, ImageFormat};

    use super::*;
    use crate::function::testing;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn put(&self, name: &str, bytes: &[u8]) -> String {
            let path = self.0.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().into()
        }
    }

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    type Loaded = (Arc<Image>, Vec<f32>, [i64; 2]);

    fn load(path: &str) -> Result<Loaded, String> {
        let inputs = Inputs::default().with("path", Value::Path(path.into()));
        let outputs = testing::run(&node(), inputs).map_err(|e| e.to_string())?;
        let side = |name| match outputs.get(name) {
            Some(Value::Integer(i)) => *i,
            _ => panic!(),
        };
        match (outputs.get("image"), outputs.get("mask")) {
            (Some(Value::Image(i)), Some(Value::Mask(m))) => {
                Ok((i.clone(), m.values().to_vec(), [side("width"), side("height")]))
            }
            _ => panic!(),
        }
    }

    #[test]
    fn depths_and_alpha() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let rgb = image::RgbImage::from_raw(2, 1, vec![1, 2, 3, 4, 5, 6]).unwrap();
        let path = folder.put("rgb.png", &encoded(&rgb.into(), ImageFormat::Png));
        let (found, mask, sides) = load(&path).unwrap();
        assert_eq!(*found, Image::new(2, 1, 3, Pixels::U8(vec![1, 2, 3, 4, 5, 6])).unwrap());
        assert_eq!((mask, sides), (vec![1.0; 2], [2, 1]));

        let grey_alpha = image::GrayAlphaImage::from_raw(1, 1, vec![9, 51]).unwrap();
        let path = folder.put("la.webp.png", &encoded(&grey_alpha.into(), ImageFormat::Png));
        let (found, mask, _) = load(&path).unwrap();
        assert_eq!((found.to_u8(), mask), (vec![9, 9, 9, 51], vec![0.2]));

        let deep = image::ImageBuffer::<image::Rgb<u16>, _>::from_raw(1, 1, vec![0, 257, 65535]).unwrap();
        let path = folder.put("deep.png", &encoded(&deep.into(), ImageFormat::Png));
        let (found, _, _) = load(&path).unwrap();
        assert_eq!(*found.pixels(), Pixels::F32(vec![0.0, 257.0 / 65535.0, 1.0]));
    }

    /// A JPEG of a dark left and a bright right half with an EXIF block that holds nothing but the orientation.
    fn oriented_jpeg(orientation: u8) -> Vec<u8> {
        let picture = image::GrayImage::from_fn(16, 8, |x, _| image::Luma([if x < 8 { 20 } else { 230 }]));
        let jpeg = encoded(&picture.into(), ImageFormat::Jpeg);
        let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        let mut file = jpeg[..2].to_vec();
        file.extend([0xff, 0xe1]);
        file.extend((exif.len() as u16 + 2).to_be_bytes());
        file.extend(exif);
        file.extend(&jpeg[2..]);
        file
    }

    #[test]
    fn exif_orientation() {
        let folder = Folder(tempfile::tempdir().unwrap());
        // The corners that are bright: upper left, upper right, lower left, lower right.
        let cases = [
            (1, [16, 8], [false, true, false, true]),
            (2, [16, 8], [true, false, true, false]),
            (3, [16, 8], [true, false, true, false]),
            (6, [8, 16], [false, false, true, true]),
            (8, [8, 16], [true, true, false, false]),
        ];
        for (orientation, size, bright) in cases {
            let path = folder.put("a.jpg", &oriented_jpeg(orientation));
            let (found, _, sides) = load(&path).unwrap();
            let (w, h) = (found.width() as usize, found.height() as usize);
            let pixels = found.to_u8();
            let corners = [0, w - 1, w * (h - 1), w * h - 1].map(|i| pixels[i * 3] > 128);
            assert_eq!((sides, corners), (size, bright), "orientation {orientation}");
        }
    }

    #[test]
    fn broken_files() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let noise = image::RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x * y) as u8, (x * 7) as u8, (y * 5) as u8]));
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
            let whole = encoded(&noise.clone().into(), format);
            assert!(load(&folder.put("whole", &whole)).is_ok());
            for part in [16, whole.len() / 3, whole.len() * 3 / 4] {
                let error = load(&folder.put("part", &whole[..part])).unwrap_err();
                assert!(error.starts_with("`path`: cannot read "), "{format:?}: {error}");
            }
        }
        let error = load(&folder.put("text.png", b"no picture at all")).unwrap_err();
        assert!(error.starts_with("`path`: not a picture: "), "{error}");

        // A PNG header that promises 60,000 x 60,000 pixels.
        let mut huge = encoded(&noise.into(), ImageFormat::Png);
        huge[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
        let crc = huge[12..29].iter().fold(!0_u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 })
        });
        huge[29..33].copy_from_slice(&(!crc).to_be_bytes());
        let error = load(&folder.put("huge.png", &huge)).unwrap_err();
        assert!(error.contains("at most 16384 pixels a side"), "{error}");
    }

    #[test]
    fn problems_before_the_run() {
        let folder = Folder(tempfile::tempdir().unwrap());
        let node = node();
        let reads = |path: &str| node.reads(&Inputs::default().with("path", Value::Path(path.into())));
        let problem = |path: &str| reads(path).unwrap_err().remove(0).message;
        let png = folder.put("a.png", &encoded(&image::RgbImage::new(1, 1).into(), ImageFormat::Png));
        assert_eq!(reads(&png), Ok(vec![PathBuf::from(&png)]));
        assert_eq!(node.reads(&Inputs::default()), Ok(vec![]));
        assert!(problem(&folder.put("b.png", b"hello")).starts_with("not a picture: "));
        assert!(problem(&format!("{png}.gone")).starts_with("no such file: "));
        assert!(problem(folder.0.path().to_str().unwrap()).starts_with("is a folder"));
    }
}
