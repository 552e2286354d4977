//! The node types that make up graphs from graphs: `Graph`, `For Each` and `Switch`.
//!
//! No registry holds them, for their ports are those of the graph at hand. Validation puts the nodes of included
//! documents among the others, so that what plans, runs, keeps and locks nodes needs to know nothing of them; what stays
//! of them are nodes that hand values on.

use std::path::PathBuf;

use dc_graph_node_api::{InputProblem, InputSpec, Inputs, Node, NodeError, NodeSpec, Outputs, PortType, RunContext};

/// The input of a `Switch` that says which branch.
pub(super) const CHOICE: &str = "choice";
/// The branch of a `Switch` that is taken when none has the name.
pub(super) const DEFAULT: &str = "default";
/// The output of a `Switch`.
pub(super) const VALUE: &str = "value";

/// Such a node type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Composite {
    /// The nodes of another document.
    Graph,
    /// The nodes of another document, once for each element of a list.
    ForEach,
    /// One of several values.
    Switch,
}

impl Composite {
    const ALL: [Self; 3] = [Self::Graph, Self::ForEach, Self::Switch];

    /// The one of a name.
    pub(crate) fn of(type_name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.type_name() == type_name)
    }

    /// As documents write it.
    pub(crate) fn type_name(self) -> &'static str {
        match self {
            Self::Graph => "Graph",
            Self::ForEach => "For Each",
            Self::Switch => "Switch",
        }
    }

    fn spec(self) -> NodeSpec {
        let about = match self {
            Self::Graph => {
                "Runs the nodes of another document. `path`, beside `type`, names its file, counted from this document's \
                 folder; its inputs and outputs are the ports."
            }
            Self::ForEach => {
                "Runs the nodes of another document once for each element of a list. `path`, beside `type`, names its \
                 file and `each` the inputs that get one element at a time; several lists go side by side. The outputs \
                 are lists."
            }
            Self::Switch => {
                "Hands one of several values on; what only the others need does not run. The inputs are the branches, by \
                 any names; the one called `default` is taken when none has the name."
            }
        };
        NodeSpec::new(self.type_name(), "graph", about)
    }
}

/// What listings tell of the node types that make up graphs from graphs. The ports that every node of a type has are in
/// it; the others are those of the graph at hand.
pub fn composite_specs() -> Vec<NodeSpec> {
    let spec = |one: Composite| match one {
        Composite::Switch => one.spec().input(choice(PortType::Text)),
        _ => one.spec(),
    };
    Composite::ALL.into_iter().map(spec).collect()
}

/// The input of a `Switch` that says which branch.
pub(super) fn choice(ty: PortType) -> InputSpec {
    InputSpec::required(CHOICE, ty, "The name of a branch; `true` and `false` or a whole number do, too.")
}

/// A node that gives what it gets: its first output its first input, and so on.
pub(super) struct Pass(NodeSpec);

impl Pass {
    /// Hands one value on, which has to be what `input` accepts.
    pub(super) fn one(kind: Composite, input: InputSpec) -> Self {
        let spec = NodeSpec { inputs: Vec::new(), ..kind.spec() };
        let ty = input.ty.clone();
        Self(spec.input(InputSpec { name: VALUE.into(), required: true, ..input }).output(VALUE, ty, "The same."))
    }

    /// Gathers lists of these types.
    pub(super) fn lists(elements: &[(String, PortType)]) -> Self {
        let add = |spec: NodeSpec, (name, of): &(String, PortType)| {
            let list = of.clone().list();
            spec.input(InputSpec::required(name, list.clone(), "The elements.")).output(name, list, "The list.")
        };
        Self(elements.iter().fold(Composite::ForEach.spec(), add))
    }
}

impl Node for Pass {
    fn spec(&self) -> &NodeSpec {
        &self.0
    }

    fn reads(&self, _: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
        Ok(Vec::new())
    }

    fn run(&self, inputs: &Inputs, _: &dyn RunContext) -> Result<Outputs, NodeError> {
        let mut outputs = Outputs::default();
        for (input, output) in self.0.inputs.iter().zip(&self.0.outputs) {
            let value = inputs.get(&input.name).ok_or_else(|| NodeError::input(&input.name, "no value given"))?;
            outputs = outputs.with(&output.name, value.clone());
        }
        Ok(outputs)
    }
}

/// Stands for one element of the lists of a `For Each` until these are known; never runs.
pub(super) struct Element(NodeSpec);

impl Element {
    /// Takes lists of what these accept.
    pub(super) fn of(inputs: impl IntoIterator<Item = InputSpec>) -> Self {
        let add = |spec: NodeSpec, input: InputSpec| {
            let (name, of) = (input.name.clone(), input.ty.clone());
            let list = InputSpec { ty: of.clone().list(), required: true, ..input };
            spec.input(list).output(&name, of, "One of them.")
        };
        Self(inputs.into_iter().fold(Composite::ForEach.spec(), add))
    }
}

impl Node for Element {
    fn spec(&self) -> &NodeSpec {
        &self.0
    }

    fn reads(&self, _: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
        Ok(Vec::new())
    }

    fn run(&self, _: &Inputs, _: &dyn RunContext) -> Result<Outputs, NodeError> {
        Err(NodeError::failed("its list is not known"))
    }
}

/// Gives what the one branch brings that was chosen.
pub(super) struct Switch(NodeSpec);

impl Switch {
    /// Between values of one type.
    pub(super) fn between<'a>(choice: InputSpec, branches: impl IntoIterator<Item = &'a str>, ty: PortType) -> Self {
        let add = |spec: NodeSpec, name: &str| spec.input(InputSpec::optional(name, ty.clone(), "A branch."));
        let spec = branches.into_iter().fold(Composite::Switch.spec().input(choice), add);
        Self(spec.output(VALUE, ty, "The value of the branch."))
    }
}

impl Node for Switch {
    fn spec(&self) -> &NodeSpec {
        &self.0
    }

    fn reads(&self, _: &Inputs) -> Result<Vec<PathBuf>, Vec<InputProblem>> {
        Ok(Vec::new())
    }

    fn run(&self, inputs: &Inputs, _: &dyn RunContext) -> Result<Outputs, NodeError> {
        let chosen = inputs.iter().find(|(name, _)| *name != CHOICE).map(|(_, value)| value.clone());
        chosen.map(|value| Outputs::one(VALUE, value)).ok_or_else(|| NodeError::failed("no branch was chosen"))
    }
}
