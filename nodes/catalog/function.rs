//! Nodes that are nothing but a spec and a function.

use std::sync::Arc;

use dc_graph_node_api::{Inputs, Node, NodeError, NodeSpec, Outputs, RunContext};

type Run = fn(&Inputs, &dyn RunContext) -> Result<Outputs, NodeError>;

struct FunctionNode {
    spec: NodeSpec,
    run: Run,
}

impl Node for FunctionNode {
    fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    fn run(&self, inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
        (self.run)(inputs, context)
    }
}

/// A node without state.
pub(crate) fn function_node(spec: NodeSpec, run: Run) -> Arc<dyn Node> {
    Arc::new(FunctionNode { spec, run })
}

#[cfg(test)]
pub(crate) mod testing {
    //! Runs a node the way the host does: with defaults filled in, and outputs checked against the spec.

    use std::path::{Path, PathBuf};
    use std::sync::Mutex;

    use dc_graph_node_api::{Image, LogLevel};

    use super::*;

    /// A context that writes to one folder and keeps what nodes log.
    #[derive(Default)]
    pub(crate) struct TestContext {
        pub(crate) output_dir: PathBuf,
        pub(crate) log: Mutex<Vec<String>>,
        pub(crate) cancelled: bool,
        pub(crate) checkpoint: Mutex<Option<Vec<u8>>>,
    }

    impl RunContext for TestContext {
        fn is_cancelled(&self) -> bool {
            self.cancelled
        }

        fn progress(&self, _step: u64, _total: u64) {}

        fn preview(&self, _image: &Image) {}

        fn log(&self, _level: LogLevel, message: &str) {
            self.log.lock().unwrap().push(message.into());
        }

        fn output_dir(&self) -> &Path {
            &self.output_dir
        }

        fn digest(&self, path: &Path) -> Result<String, NodeError> {
            Ok(format!("digest of {}", path.display()))
        }

        fn checkpoint(&self, bytes: &[u8]) {
            *self.checkpoint.lock().unwrap() = Some(bytes.to_vec());
        }

        fn restore(&self) -> Option<Vec<u8>> {
            self.checkpoint.lock().unwrap().clone()
        }

        fn provenance(&self) -> String {
            r#"{"graph":"größer"}"#.into()
        }
    }

    pub(crate) fn run(node: &Arc<dyn Node>, inputs: Inputs) -> Result<Outputs, NodeError> {
        run_in(node, inputs, &TestContext::default())
    }

    pub(crate) fn run_in(node: &Arc<dyn Node>, inputs: Inputs, context: &TestContext) -> Result<Outputs, NodeError> {
        let spec = node.spec();
        for (name, _) in inputs.iter() {
            assert!(spec.inputs.iter().any(|i| i.name == name), "`{}` has no input `{name}`", spec.type_name);
        }
        let mut complete = Inputs::default();
        for input in &spec.inputs {
            let Some(value) = inputs.get(&input.name).or(input.default.as_ref()) else {
                assert!(!input.required, "`{}` needs `{}`", spec.type_name, input.name);
                continue;
            };
            let value = value.clone().coerce(&input.ty);
            complete.set(&input.name, value.unwrap_or_else(|| panic!("`{}` is of another type", input.name)));
        }
        let outputs = node.run(&complete, context)?;
        for output in &spec.outputs {
            let value = outputs.get(&output.name).unwrap_or_else(|| panic!("no output `{}`", output.name));
            assert_eq!(value.port_type(), output.ty, "`{}`", output.name);
        }
        assert_eq!(outputs.iter().count(), spec.outputs.len());
        Ok(outputs)
    }
}
