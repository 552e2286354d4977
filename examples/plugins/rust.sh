#!/usr/bin/env bash
# Builds the Rust plugin in the current folder: NAME.wasm from the package NAME.
# With RUST_SRC, the folder `library` of the Rust compiler's own source, the standard library is built along.
set -euo pipefail
flags=()
if [ -n "${RUST_SRC:-}" ]; then
    export RUSTC_BOOTSTRAP=1 __CARGO_TESTS_ONLY_SRC_ROOT=$RUST_SRC
    flags=(-Zbuild-std=std,panic_abort)
fi
cargo build --release --target wasm32-unknown-unknown "${flags[@]}"
"${DC_GRAPH:-dc-graph}" plugin pack . --from "${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/$1.wasm"
