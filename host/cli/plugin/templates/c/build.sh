#!/usr/bin/env bash
set -euo pipefail
cd "$(dirname "$0")"
python3 -m ziglang cc -target wasm32-wasi -O3 -msimd128 -mexec-model=reactor -I bindings \
    plugin.c brighten.c bindings/plugin.c bindings/plugin_component_type.o -o core.wasm
dc-graph plugin pack --from core.wasm
