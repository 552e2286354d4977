//! `Load Triplets`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dc_diffusion::training::{Split, Triplets};
use dc_graph_node_api::{
    InputProblem, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value,
};

use super::folder::{Folder, list};
use super::values::{Dataset, TRIPLETS};

struct LoadTriplets {
    spec: NodeSpec,
}

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new(
        "Load Triplets",
        "training",
        "Opens a folder of pictures, masks and captions as a data set for training.",
    )
    .input(InputSpec::required(
        "folder",
        PortType::Path,
        "For each picture `NAME.png` (or .jpg, .webp) its caption `NAME.txt` and the mask of its subject `NAME.mask.png`, white where the subject is. The subject on white is the reference.",
    ))
    .input(InputSpec::with_default("size", 512_i64, "Side of the square that pictures become, in pixels: the model's native size.").range(8.0..=4096.0))
    .input(InputSpec::with_default("held_out", 20_i64, "Every so many triplets, one is kept from training for measurements; 0 keeps none.").range(0.0..=1e6))
    .output("triplets", TRIPLETS, "The data set.")
    .output("count", PortType::Integer, "Number of triplets to train on.");
    Arc::new(LoadTriplets { spec })
}

impl Node for LoadTriplets {
    fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    fn reads(&self, known: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
        let Some(Value::Path(path)) = known.get("folder") else { return Ok(Vec::new()) };
        match list(Path::new(&**path)) {
            Ok((_, files)) => Ok(files),
            Err(message) => Err(vec![InputProblem::new("folder", message)]),
        }
    }

    fn run(&self, inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
        let root = Path::new(inputs.path("folder")?);
        let (entries, _) = list(root).map_err(|message| NodeError::input("folder", message))?;
        let count = |name: &str| inputs.integer(name).map(|v| v.max(0) as usize);
        let data = Folder::new(entries, count("held_out")?, count("size")?.max(1), context.digest(root)?);
        let trained = data.len(Split::Train) as i64;
        Ok(Outputs::one("triplets", Value::native(Dataset(Arc::new(data)))).with("count", trained))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::testing::run;

    /// A red square in the left half of a blue picture, 40 x 20 pixels.
    fn write(folder: &Path, name: &str) {
        let red = |x: u32, y: u32| (4..14).contains(&x) && (5..15).contains(&y);
        image::RgbImage::from_fn(40, 20, |x, y| image::Rgb(if red(x, y) { [255, 0, 0] } else { [0, 0, 255] }))
            .save(folder.join(format!("{name}.png")))
            .unwrap();
        image::GrayImage::from_fn(40, 20, |x, y| image::Luma([if red(x, y) { 255 } else { 0 }]))
            .save(folder.join(format!("{name}.mask.png")))
            .unwrap();
        std::fs::write(folder.join(format!("{name}.txt")), format!("a {name} on Blue\n")).unwrap();
    }

    fn load(folder: &Path) -> Result<Arc<Dataset>, NodeError> {
        let inputs = Inputs::default().with("folder", Value::Path(folder.to_str().unwrap().into()));
        let outputs = run(&node(), inputs.with("size", 16_i64).with("held_out", 3_i64))?;
        Inputs::default().with("t", outputs.get("triplets").unwrap().clone()).native::<Dataset>("t")
    }

    #[test]
    fn folders_become_triplets() {
        let folder = tempfile::tempdir().unwrap();
        ["d", "a", "c", "b"].iter().for_each(|name| write(folder.path(), name));
        let data = &load(folder.path()).unwrap().0;
        assert_eq!((data.len(Split::Train), data.len(Split::HeldOut)), (3, 1));
        let held_out = data.get(Split::HeldOut, 0).unwrap();
        assert_eq!((held_out.caption.as_str(), held_out.subject), ("a c on Blue", 2));
        assert_eq!(data.words(), ["a", "b", "blue", "c", "d", "on"]);
        assert_eq!(data.get(Split::Train, 1).unwrap(), data.get(Split::Train, 1).unwrap());
        assert!(data.get(Split::Train, 3).is_err());
        let pixel =
            |p: &dc_diffusion::training::Picture, x: usize, y: usize| p.pixels[(y * 16 + x) * 3..][..3].to_vec();
        // The middle 20 x 20 pixels, of which the square covers the left 4.
        let near = |found: Vec<u8>, expected: [u8; 3]| {
            let differs = found.iter().zip(expected).any(|(a, b)| a.abs_diff(b) > 16);
            assert!(!differs, "{found:?}, expected {expected:?}");
        };
        near(pixel(&held_out.target, 1, 8), [255, 0, 0]);
        near(pixel(&held_out.target, 12, 8), [0, 0, 255]);
        near(pixel(&held_out.reference, 8, 8), [255, 0, 0]);
        // The margin, of which bounds that are no whole pixels leave only the right and lower part.
        assert_eq!(pixel(&held_out.reference, 15, 15), [255, 255, 255]);
        assert_eq!((held_out.mask[8 * 16 + 8], held_out.mask[255]), (255, 0));
    }

    #[test]
    fn incomplete_folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let check = |expected: &str| {
            let error = load(folder.path()).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("no pictures");
        write(folder.path(), "a");
        std::fs::remove_file(folder.path().join("a.mask.png")).unwrap();
        check("a.mask.png: no such file");
        std::fs::remove_file(folder.path().join("a.txt")).unwrap();
        check("a.txt");
    }
}
