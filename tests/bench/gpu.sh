#!/bin/sh
# Everything to measure on a machine with a GPU, without a network once it is built.
#
#   tests/bench/gpu.sh [DEVICE]
#
# DEVICE is what `dc-graph devices` lists, `vulkan` by default. PEER_PYTHON names a Python with torch, diffusers and
# transformers, which then measures the same parts in float16 and, on the CPU, in float32. Results go to
# tests/bench/results/, named by date and device.
set -eu
cd "$(dirname "$0")/../.."
device=${1:-vulkan}
case $device in
    cuda*) features=cuda ;;
    metal*) features=metal ;;
    vulkan*) features=vulkan ;;
    *) features=wgpu ;;
esac
cargo build --release --offline --features "$features"
program=target/release/dc-graph
$program devices
results=tests/bench/results
name=$(date +%Y-%m-%d)-$(echo "$device" | tr -c 'a-zA-Z0-9\n' '-')
mkdir -p "$results"
peer() { # dtype, device
    if [ -n "${PEER_PYTHON:-}" ]; then
        echo "--peer=$PEER_PYTHON tests/bench/diffusers_peer.py --dtype $1 --device $2"
    else
        echo "--rounds=10"
    fi
}
# Kernels are right before they are fast.
DC_GRAPH_TEST_DEVICE=$device cargo test --release --offline --features "$features" --lib -p dc-diffusion -- dreamcache kernels_parity
$program bench --device "$device" --dtype f32 --write "$results/$name-tiny.md"
$program bench --device "$device" --dtype f16 --model random:sd15 --steps 20 --cold "$(peer f16 cuda)" --write "$results/$name-f16.md"
$program bench --device cpu --dtype f32 --model random:sd15 --rounds 3 "$(peer f32 cpu)" --write "$results/$name-cpu.md"
