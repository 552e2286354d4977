#!/usr/bin/env bash
# Builds histogram-match.wasm (18 MB, not kept in the repository). Needs `pip install componentize-py`.
set -euo pipefail
cd "$(dirname "$0")"
componentize-py -d ../../../nodes/api/wit/v0.1 -w plugin componentize --stub-wasi app -o histogram-match.wasm
"${DC_GRAPH:-dc-graph}" plugin pack .
