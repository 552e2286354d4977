//! `Save Image`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dc_graph_node_api::{InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext, Value};

use super::convert::{self, Format};
use super::path_pattern::{Placeholders, expand, inside, place};
use crate::function::function_node;

pub(crate) fn node() -> Arc<dyn Node> {
    let spec = NodeSpec::new("Save Image", "image", "Writes pictures to PNG, JPEG or WebP files in the output folder.")
        .with_effect()
        .input(InputSpec::required("images", PortType::Image.list(), "The pictures; 8 bits a sample are written."))
        .input(InputSpec::with_default(
            "path",
            "{prefix}-{index:03}.png",
            "Where to, below the output folder; folders are made. {prefix}, {index} (from 0; {index:03} with three digits), {width} and {height} are filled in, {{ and }} are braces. The extension chooses the format: .png, .jpg, .jpeg or .webp (lossless).",
        ))
        .input(InputSpec::with_default("prefix", "image", "What {prefix} in the path stands for."))
        .input(InputSpec::with_default("quality", 92_i64, "Of JPEG files, 1 to 100 (largest files).").range(1.0..=100.0))
        .input(InputSpec::with_default(
            "metadata",
            true,
            "Whether PNG files carry the graph that made them, its inputs and the digests of the files it read, in a text chunk named `dc-graph`.",
        ))
        .input(InputSpec::with_default("overwrite", true, "Whether a file that is there is replaced; else it is an error."))
        .output("paths", PortType::Text.list(), "The written files, in the order of the pictures.");
    function_node(spec, run)
}

fn run(inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
    let images = inputs.images("images")?;
    let (pattern, prefix) = (inputs.text("path")?, inputs.text("prefix")?);
    let mut targets = Vec::new();
    for (index, image) in images.iter().enumerate() {
        let values = Placeholders { prefix, index, width: image.width(), height: image.height() };
        let path = expand(pattern, &values).map_err(|e| NodeError::input("path", format!("`{pattern}`: {e}")))?;
        let path = inside(&path)?;
        let format = Format::of(&path).ok_or_else(|| {
            NodeError::input("path", format!("`{}` has no extension that names a format", path.display()))
                .with_hint("end it in `.png`, `.jpg`, `.jpeg` or `.webp`")
        })?;
        targets.push((path, format));
    }
    if targets.iter().map(|(path, _)| path).collect::<BTreeSet<_>>().len() < targets.len() {
        return Err(NodeError::input("path", format!("`{pattern}` gives several pictures one name"))
            .with_hint("put `{index}` into it"));
    }
    let quality = inputs.integer("quality")?.clamp(1, 100) as u8;
    let provenance = inputs.boolean("metadata")?.then(|| context.provenance());
    let overwrite = inputs.boolean("overwrite")?;
    let mut paths = Vec::new();
    for (done, (image, (path, format))) in images.iter().zip(targets).enumerate() {
        context.check_cancelled()?;
        let mut bytes = Vec::new();
        convert::write(image, format, quality, provenance.as_deref(), &mut bytes)?;
        let path = put(context.output_dir(), &path, &bytes, overwrite)?;
        context.wrote(&path);
        paths.push(Value::text(path.display().to_string()));
        context.progress(done as u64 + 1, images.len() as u64);
    }
    Ok(Outputs::one("paths", Value::list(PortType::Text, paths)))
}

/// Writes a file below `folder` in one step: a reader sees all of it or nothing.
fn put(folder: &Path, relative: &Path, bytes: &[u8], overwrite: bool) -> Result<PathBuf, NodeError> {
    let path = place(folder, relative)?;
    let file_error = |source| NodeError::File { path: path.clone(), source };
    let parent = path.parent().unwrap_or(folder);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".dc-graph-").suffix(".tmp");
    #[cfg(unix)]
    {
        // Temporary files are private by default; the process's umask decides about pictures.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(parent).map_err(file_error)?;
    std::io::Write::write_all(&mut file, bytes).map_err(file_error)?;
    let persisted = if overwrite { file.persist(&path) } else { file.persist_noclobber(&path) };
    match persisted {
        Ok(_) => Ok(path),
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(NodeError::input("overwrite", format!("{} is there already", path.display()))
                .with_hint("set `overwrite` to true, or choose another `path`"))
        }
        Err(e) => Err(file_error(e.error)),
    }
}

#[cfg(test)]
mod tests {
    use dc_graph_node_api::{Image, Pixels};

    use super::*;
    use crate::function::testing::{self, TestContext};
    use crate::read_provenance;

    fn save(folder: &Path, inputs: Inputs, count: u8) -> Result<Vec<String>, NodeError> {
        let image = |v| Value::from(Image::new(2, 1, 1, Pixels::U8(vec![v, 100])).unwrap());
        let images = Value::list(PortType::Image, (0..count).map(image).collect::<Vec<_>>());
        let context = TestContext { output_dir: folder.into(), ..Default::default() };
        let outputs = testing::run_in(&node(), inputs.with("images", images), &context)?;
        let Some(Value::List(_, paths)) = outputs.get("paths") else { panic!() };
        let text = |v: &Value| match v {
            Value::Text(t) => Path::new(&**t).strip_prefix(folder).unwrap().display().to_string(),
            _ => panic!(),
        };
        Ok(paths.iter().map(text).collect())
    }

    fn files(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn names_and_formats() {
        let folder = tempfile::tempdir().unwrap();
        let path = |p: &str| Inputs::default().with("path", p);
        let names = save(folder.path(), Inputs::default().with("prefix", "sub/cat"), 2).unwrap();
        assert_eq!(names, ["sub/cat-000.png", "sub/cat-001.png"]);
        for (index, name) in names.iter().enumerate() {
            let (image, _) = convert::read(&folder.path().join(name)).unwrap();
            assert_eq!(image.to_u8(), [[index as u8; 3], [100; 3]].concat());
        }
        assert_eq!(save(folder.path(), path("{width}x{height}.webp"), 1).unwrap(), ["2x1.webp"]);
        assert_eq!(save(folder.path(), path("a.JPG").with("quality", 1_i64), 1).unwrap(), ["a.JPG"]);
        assert_eq!(save(folder.path(), path("none.png"), 0).unwrap(), [""; 0]);
        assert_eq!(files(folder.path()), ["2x1.webp", "a.JPG", "sub"]);
        let starts = |name: &str, magic: &[u8]| std::fs::read(folder.path().join(name)).unwrap().starts_with(magic);
        assert!(starts("2x1.webp", b"RIFF") && starts("a.JPG", &[0xff, 0xd8]) && starts(&names[0], b"\x89PNG"));
    }

    #[test]
    fn provenance_can_be_switched_off() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("image-000.png");
        save(folder.path(), Inputs::default(), 1).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!(read_provenance(&file).unwrap().as_deref(), Some(r#"{"graph":"größer"}"#));
        save(folder.path(), Inputs::default(), 1).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "a second run gives the same bytes");
        save(folder.path(), Inputs::default().with("metadata", false), 1).unwrap();
        assert_eq!(read_provenance(&file).unwrap(), None);
    }

    #[test]
    fn refusals() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out");
        for path in ["../a.png", "/tmp/a.png", "a/../../b.png", "a.gif", "a", "{seed}.png", "a/"] {
            let error = save(&output, Inputs::default().with("path", path), 1).unwrap_err();
            assert!(matches!(&error, NodeError::Input { input, .. } if input == "path"), "{path}: {error}");
        }
        let error = save(&output, Inputs::default().with("path", "a.png"), 2).unwrap_err();
        assert!(error.to_string().contains("several pictures"));
        let error = save(&output, Inputs::default().with("prefix", "../x"), 1).unwrap_err();
        assert!(error.to_string().contains("leads out"), "{error}");
        assert!(files(folder.path()).is_empty());

        save(&output, Inputs::default(), 1).unwrap();
        let error = save(&output, Inputs::default().with("overwrite", false), 1).unwrap_err();
        assert!(error.to_string().contains("is there already"), "{error}");
        assert_eq!(files(&output), ["image-000.png"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out() {
        let folder = tempfile::tempdir().unwrap();
        let (output, outside) = (folder.path().join("out"), folder.path().join("outside"));
        std::fs::create_dir_all(&output).unwrap();
        std::fs::create_dir_all(&outside).unwrap();
        std::os::unix::fs::symlink(&outside, output.join("link")).unwrap();
        for path in ["link/a.png", "link/new/a.png"] {
            let error = save(&output, Inputs::default().with("path", path), 1).unwrap_err();
            assert!(error.to_string().contains("leads out"), "{error}");
        }
        assert!(files(&outside).is_empty());
    }

    #[test]
    fn cancelled_runs_write_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let context = TestContext { output_dir: folder.path().into(), cancelled: true, ..Default::default() };
        let image = Image::new(1, 1, 1, Pixels::U8(vec![0])).unwrap();
        let result = testing::run_in(&node(), Inputs::default().with("images", image), &context);
        assert!(matches!(result, Err(NodeError::Cancelled)));
        assert!(files(folder.path()).is_empty());
    }
}
