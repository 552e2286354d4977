//! Made from the WIT; see there.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]

wasmtime::component::bindgen!({
    path: "nodes/api/wit/v0.1",
    world: "sampler-plugin",
    imports: { default: trappable },
    with: {
        "dc-graph:node/types.buffer": super::buffer::Buffer,
        "dc-graph:node/types.opaque": super::opaque::Opaque,
    },
});
