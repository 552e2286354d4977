#!/usr/bin/env bash
# Builds prompt-wildcards.wasm. Needs Node.js and `npm install --global @bytecodealliance/jco @bytecodealliance/componentize-js`.
set -euo pipefail
cd "$(dirname "$0")"
jco componentize plugin.js --wit ../../../nodes/api/wit/v0.1/node.wit --world-name plugin \
    --backend qjs --backend-qjs-stub-wasi --backend-qjs-disable-async -o prompt-wildcards.wasm
"${DC_GRAPH:-dc-graph}" plugin pack .
