#!/usr/bin/env bash
# Builds film.wasm. Needs `rustup target add wasm32-unknown-unknown`, or the standard library's source (see ../README.md).
set -euo pipefail
cd "$(dirname "$0")"
../rust.sh film
