#!/usr/bin/env bash
# Builds seamless-tile.wasm. Needs `pip install ziglang` and `cargo install wit-bindgen-cli`.
set -euo pipefail
cd "$(dirname "$0")"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
wit-bindgen c ../../../nodes/api/wit/v0.1 --world plugin --out-dir "$out" >/dev/null
python3 -m ziglang cc -target wasm32-wasi -O3 -msimd128 -mexec-model=reactor -s -I "$out" \
    src/plugin.c src/seam.c "$out/plugin.c" "$out/plugin_component_type.o" -o "$out/core.wasm"
"${DC_GRAPH:-dc-graph}" plugin pack . --from "$out/core.wasm"
