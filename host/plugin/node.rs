//! A plugin's node, as the host sees every node.

use std::path::PathBuf;
use std::sync::Arc;

use dc_graph_node_api::{
    ElementType, HookStep, InputProblem, Inputs, Node, NodeError, NodeSpec, Origin, Outputs, PortType, RunContext,
    StepHook, StepHookValue, Tensor, Value,
};

use super::call::Callee;
use super::v0_1::Exports;

/// What the nodes of one plugin share.
pub(super) struct Plugin {
    pub(super) callee: Callee,
    pub(super) exports: Exports,
    pub(super) origin: Origin,
}

/// A node type of a plugin.
pub(super) struct PluginNode {
    plugin: Arc<Plugin>,
    spec: Arc<NodeSpec>,
}

impl PluginNode {
    pub(super) fn new(plugin: &Arc<Plugin>, mut spec: NodeSpec) -> Self {
        let granted = &plugin.callee.terms.granted;
        // Whatever its author says: time and the network give other answers each time.
        if granted.clock || !granted.http.is_empty() {
            spec.deterministic = false;
        }
        Self { plugin: plugin.clone(), spec: Arc::new(spec) }
    }

    /// The output of a step hook, if the node is one.
    fn hook_output(&self) -> Option<&str> {
        let hook = PortType::native(StepHookValue::TYPE_NAME);
        self.spec.outputs.iter().find(|output| output.ty == hook).map(|output| output.name.as_str())
    }
}

impl Node for PluginNode {
    fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    /// The files that path inputs name, as for every node, and the folder that was granted.
    fn reads(&self, known: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
        let mut files = Vec::new();
        let mut problems = Vec::new();
        for (name, value) in known.iter() {
            let Value::Path(path) = value else { continue };
            let path = PathBuf::from(&**path);
            match path.exists() {
                true => files.push(path),
                false => problems.push(InputProblem::new(name, format!("no such file: {}", path.display()))),
            }
        }
        if problems.is_empty() {
            files.extend(self.plugin.callee.terms.granted.read_folder.clone().filter(|folder| folder.is_dir()));
            Ok(files)
        } else {
            Err(problems)
        }
    }

    fn key_salt(&self) -> String {
        let Origin { blake3, contract, .. } = &self.plugin.origin;
        let granted = &self.plugin.callee.terms.granted;
        // What it may reach can change what it does.
        let reach = (granted.read_folder.is_some(), granted.write_folder.is_some());
        format!("plugin {blake3} under {contract}, {reach:?}")
    }

    fn origin(&self) -> Option<&Origin> {
        Some(&self.plugin.origin)
    }

    fn run(&self, inputs: &Inputs, context: &dyn RunContext) -> Result<Outputs, NodeError> {
        let seed = seed(inputs, context);
        if let Some(output) = self.hook_output() {
            let (plugin, spec, inputs) = (self.plugin.clone(), self.spec.clone(), inputs.clone());
            return Ok(Outputs::one(output, Value::native(StepHookValue::new(Hook { plugin, spec, inputs, seed }))));
        }
        let Plugin { callee, exports, .. } = &*self.plugin;
        exports.run(callee, &self.spec, inputs, seed, context)
    }
}

/// The node's own seed, else one that follows from all that its outputs depend on.
fn seed(inputs: &Inputs, context: &dyn RunContext) -> u64 {
    match inputs.get("seed") {
        Some(Value::Integer(seed)) => seed.cast_unsigned(),
        _ => u64::from_le_bytes(*context.key().first_chunk().unwrap_or(&[0; 8])),
    }
}

/// A step hook: a node of a plugin with its inputs.
struct Hook {
    plugin: Arc<Plugin>,
    spec: Arc<NodeSpec>,
    inputs: Inputs,
    seed: u64,
}

impl StepHook for Hook {
    fn summary(&self) -> String {
        format!("{} of plugin {}", self.spec.type_name, self.plugin.callee.terms.name)
    }

    fn step(
        &self,
        step: &HookStep,
        shape: [usize; 4],
        latents: Vec<f32>,
        context: &dyn RunContext,
    ) -> Result<Vec<f32>, NodeError> {
        let bytes: &[u8] = bytemuck::cast_slice(&latents);
        let latents = Tensor::new(shape.to_vec(), ElementType::F32, bytes)?;
        let Plugin { callee, exports, .. } = &*self.plugin;
        // Another stream of random numbers in every step.
        let seed = self.seed.wrapping_add((step.step as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let result = exports.step(callee, &self.spec, &self.inputs, seed, step, &latents, context)?;
        let floats: Vec<f32> = bytemuck::pod_collect_to_vec(result.bytes());
        match floats.iter().position(|number| !number.is_finite()) {
            None => Ok(floats),
            Some(place) => Err(NodeError::failed(format!(
                "plugin {} gave latents that are {} at element {place}",
                callee.terms.name, floats[place]
            ))),
        }
    }
}
