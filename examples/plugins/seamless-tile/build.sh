#!/usr/bin/env bash
# Builds seamless-tile.wasm. Needs `pip install ziglang`. The bindings are those of `dc-graph plugin new --lang c`.
set -euo pipefail
cd "$(dirname "$0")"
bindings=../../../host/cli/plugin/templates/c/bindings
core=$(mktemp)
trap 'rm -f "$core"' EXIT
python3 -m ziglang cc -target wasm32-wasi -O3 -msimd128 -mexec-model=reactor -I "$bindings" \
    src/plugin.c src/seam.c "$bindings/plugin.c" "$bindings/plugin_component_type.o" -o "$core"
"${DC_GRAPH:-dc-graph}" plugin pack . --from "$core"
