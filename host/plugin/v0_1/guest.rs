//! The calls into a plugin.

use dc_graph_node_api::{ElementType, HookStep, Inputs, NodeError, NodeSpec, Outputs, PortType, RunContext, Tensor};
use wasmtime::Engine;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker, types::ComponentItem};

use super::super::call::{Call, Callee, NoRun};
use super::super::error::PluginProblem;
use super::super::fault::{Fault, plain};
use super::bindings::SamplerPlugin;
use super::bindings::dc_graph::node::types::Failure;
use super::bindings::exports::dc_graph::node::{nodes, step_hooks};
use super::value::{inputs_to_guest, outputs_from_guest, tensor_from_guest, tensor_to_guest};
use super::{VERSION, spec};

/// Describing takes no data and no time.
const DESCRIBE_SECONDS: u32 = 10;
const PACKAGE: &str = "dc-graph:node/";

/// Where a component's functions are.
pub(in super::super) struct Exports {
    nodes: nodes::GuestIndices,
    step_hooks: Option<step_hooks::GuestIndices>,
}

/// Everything that this version offers.
pub(in super::super) fn linker(engine: &Engine) -> Result<Linker<Call>, PluginProblem> {
    let mut linker = Linker::new(engine);
    SamplerPlugin::add_to_linker::<_, HasSelf<Call>>(&mut linker, |call| call)
        .map_err(|error| PluginProblem::Engine(format!("{error:#}")))?;
    Ok(linker)
}

/// Connects a component to what it imports, and looks up what it exports. WASI is what compilers of many languages
/// import whether a program uses it or not, so it is there; calling it ends the call.
pub(in super::super) fn exports(
    linker: &Linker<Call>,
    component: &Component,
) -> Result<(InstancePre<Call>, Exports), PluginProblem> {
    let mut stubs = None;
    for (name, _) in component.component_type().imports(linker.engine()) {
        check_version(name)?;
        if name.starts_with("wasi:") {
            stubs.get_or_insert_with(|| linker.clone());
        } else if !name.starts_with(PACKAGE) {
            return Err(PluginProblem::Import(plain(name, 200)));
        }
    }
    for (name, _) in component.component_type().exports(linker.engine()) {
        check_version(name)?;
    }
    let invalid =
        |error: wasmtime::Error| PluginProblem::Invalid(format!("it does not keep to the contract: {error:#}"));
    let linker = match &mut stubs {
        Some(stubs) => {
            stubs.define_unknown_imports_as_traps(component).map_err(invalid)?;
            stubs
        }
        None => linker,
    };
    let instance = linker.instantiate_pre(component).map_err(invalid)?;
    let nodes = nodes::GuestIndices::new(&instance).map_err(|_| {
        PluginProblem::Invalid(format!("it does not export `{PACKAGE}nodes@{VERSION}`, so it is no plugin"))
    })?;
    let step_hooks = match exports_interface(component, linker.engine(), "step-hooks") {
        true => Some(step_hooks::GuestIndices::new(&instance).map_err(invalid)?),
        false => None,
    };
    Ok((instance, Exports { nodes, step_hooks }))
}

fn exports_interface(component: &Component, engine: &Engine, interface: &str) -> bool {
    let wanted = format!("{PACKAGE}{interface}@");
    component
        .component_type()
        .exports(engine)
        .any(|(name, export)| name.starts_with(&wanted) && matches!(export.ty, ComponentItem::ComponentInstance(_)))
}

/// Versions that differ only in the last number have the same functions, perhaps more of them.
fn check_version(name: &str) -> Result<(), PluginProblem> {
    let Some((_, version)) = name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@')) else { return Ok(()) };
    let series = |version: &str| version.rsplit_once('.').map(|(series, _)| series.to_owned());
    if series(version) == series(VERSION) {
        return Ok(());
    }
    Err(PluginProblem::Contract { found: plain(version, 50), known: VERSION })
}

impl Exports {
    /// What the plugin says about its nodes. It is asked twice: what changes between two calls is no description.
    pub(in super::super) fn describe(&self, callee: &Callee) -> Result<Vec<NodeSpec>, PluginProblem> {
        let seconds = DESCRIBE_SECONDS.min(callee.terms.limits.seconds);
        let describe = || {
            let found = callee.call(&NoRun, 0, Some(seconds), |store, instance| {
                let guest = self.nodes.load(&mut *store, instance)?;
                let specs = guest.call_describe(&mut *store)?;
                // Defaults can hold handles, which mean nothing after the call.
                Ok(spec::specs(specs, self.step_hooks.is_some()))
            });
            found
                .map_err(|fault| PluginProblem::Describe(format!("it {}", fault.message)))?
                .map_err(PluginProblem::Spec)
        };
        let (first, second) = (describe()?, describe()?);
        if format!("{first:?}") != format!("{second:?}") {
            return Err(PluginProblem::Spec("it describes its nodes differently each time".into()));
        }
        Ok(first)
    }

    /// Runs a node.
    pub(in super::super) fn run(
        &self,
        callee: &Callee,
        node: &NodeSpec,
        inputs: &Inputs,
        seed: u64,
        context: &dyn RunContext,
    ) -> Result<Outputs, NodeError> {
        let expected = |name: &str| -> Option<PortType> {
            node.outputs.iter().find(|output| output.name == name).map(|output| output.ty.clone())
        };
        let result = callee.call(context, seed, None, |store, instance| {
            let guest = self.nodes.load(&mut *store, instance)?;
            let inputs = inputs_to_guest(store.data_mut(), inputs)?;
            match guest.call_run(&mut *store, &node.type_name, &inputs)? {
                Ok(outputs) => outputs_from_guest(store.data_mut(), outputs, expected).map(Ok),
                Err(failure) => Ok(Err(failure)),
            }
        });
        settled(result, callee, node)
    }

    /// Calls a step hook.
    #[allow(clippy::too_many_arguments)] // those of the export
    pub(in super::super) fn step(
        &self,
        callee: &Callee,
        node: &NodeSpec,
        inputs: &Inputs,
        seed: u64,
        step: &HookStep,
        latents: &Tensor,
        context: &dyn RunContext,
    ) -> Result<Tensor, NodeError> {
        let Some(step_hooks) = &self.step_hooks else {
            return Err(NodeError::failed("it exports no step hooks"));
        };
        let whole = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let info = step_hooks::StepInfo {
            step: whole(step.step),
            total: whole(step.total),
            timestep: step.timestep,
            sigma: step.sigma,
            sigma_next: step.sigma_next,
        };
        let result = callee.call(context, seed, None, |store, instance| {
            let guest = step_hooks.load(&mut *store, instance)?;
            let inputs = inputs_to_guest(store.data_mut(), inputs)?;
            let latents = tensor_to_guest(store.data_mut(), latents)?;
            match guest.call_step(&mut *store, &node.type_name, &inputs, info, &latents)? {
                Ok(tensor) => tensor_from_guest(store.data_mut(), tensor).map(Ok),
                Err(failure) => Ok(Err(failure)),
            }
        });
        let tensor = settled(result, callee, node)?;
        if tensor.shape() != latents.shape() || tensor.elements() != ElementType::F32 {
            return Err(NodeError::failed(format!(
                "plugin {} gave latents of shape {:?} and type {:?}, expected {:?} and F32",
                callee.terms.name,
                tensor.shape(),
                tensor.elements(),
                latents.shape()
            )));
        }
        Ok(tensor)
    }
}

/// A node's own failure, or a fault of the plugin, as the error of a node.
fn settled<T>(result: Result<Result<T, Failure>, Fault>, callee: &Callee, node: &NodeSpec) -> Result<T, NodeError> {
    let name = &callee.terms.name;
    let Failure { message, input, hint } = match result {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(failure)) => failure,
        Err(fault) => return Err(fault.into_node_error(name)),
    };
    let message = plain(&message, 2000);
    let input = input.filter(|input| node.inputs.iter().any(|port| port.name == *input));
    let error = match input {
        Some(input) => NodeError::input(&input, format!("{message} (plugin {name})")),
        None => NodeError::failed(format!("plugin {name}: {message}")),
    };
    Err(match hint {
        Some(hint) => error.with_hint(plain(&hint, 500)),
        None => error,
    })
}
