"""stable-diffusion.cpp as a peer of `dc-graph bench`: see `diffusers_peer.py` for what a peer does.

It reads a diffusers folder of SD 1.5's structure:

    dc-graph model new-random sd15/ --kind sd15
    dc-graph bench --device cpu --dtype f32 --model sd15/ --adapters random:sd15 \\
        --peer "venv/bin/python tests/bench/stable_diffusion_cpp_peer.py --model sd15/"

It can only draw whole pictures, so a turn draws one and takes the time between the messages around the part: turns last
longer than they answer. What differs from our work: the weights of convolutions are float16 whatever `--dtype` says; a
step evaluates its two prompts one after the other; the first evaluation of a picture is taken, which also reserves its
memory; an image is drawn without a reference, as by the diffusers peer. Its threads wait busily, and `--processor-time`
counts that as well.

Needs stable-diffusion-cpp-python, built where it runs, with the processor's own instructions:
`pip install --no-binary stable-diffusion-cpp-python stable-diffusion-cpp-python`.
"""

import argparse
import os
import sys
import time

import stable_diffusion_cpp as sd
from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True, help="a folder")
parser.add_argument("--dtype", choices=["f32", "bf16", "f16"], default="f32")
parser.add_argument("--steps", type=int, default=4)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--processor-time", action="store_true")
parser.add_argument("--once", help="do this part once, and end")
args = parser.parse_args()

clock = time.process_time if args.processor_time else time.perf_counter
SMALL, WHOLE = 64, 512
MESSAGES = ["sampling using", "EDIT mode", "encode_first_stage completed", "get_learned_condition completed"]
MESSAGES += ["decoding 1 latents", "decode_first_stage completed"]
seen = {}
errors = []


@sd.sd_log_callback
def on_message(level, text, data):
    text = text.decode(errors="replace")
    seen.update({message: clock() for message in MESSAGES if message in text})
    if level == 3:
        errors.append(text)


def on_step(step, steps, seconds):
    seen[step] = clock()
    if step == 1 and args.once and args.once in STEP:
        # The decoder would follow.
        os._exit(0)


def draw(size, guidance=1.0, steps=1, encode=False):
    seen.clear()
    options = dict(width=size, height=size, cfg_scale=guidance, sample_steps=steps, sample_method="ddim_trailing")
    if encode:
        # A reference picture is encoded at its own size, and makes no difference to this model.
        options.update(ref_images=[Image.effect_noise((WHOLE, WHOLE), 50).convert("RGB")], auto_resize_ref_image=False)
    began = clock()
    try:
        model.generate_image("a toy on the beach", progress_callback=on_step, **options)
    finally:
        # While it draws, the package sends standard error nowhere.
        sys.stderr.write("".join(errors))
        errors.clear()
    return (clock() - began) * 1e3


def between(first, last, *how, **options):
    draw(*how, **options)
    return (seen[last] - seen[first]) * 1e3


def encode(size):
    return between("EDIT mode", "encode_first_stage completed", size, encode=True)


STEP = "step, joint, no cache"
parts = {
    "text encoder": lambda: between("sampling using", "get_learned_condition completed", SMALL),
    "VAE encode": lambda: encode(SMALL),
    "VAE decode": lambda: between("decoding 1 latents", "decode_first_stage completed", WHOLE),
    "UNet": lambda: between(0, 1, WHOLE),
    STEP: lambda: between(0, 1, WHOLE, guidance=7.5),
    "cache build": lambda: encode(WHOLE) + (seen[1] - seen[0]) * 1e3,
    f"image, {args.steps} steps": lambda: draw(WHOLE, guidance=7.5, steps=args.steps),
}

sd.sd_set_log_callback(on_message, None)
model = sd.StableDiffusion(model_path=args.model, n_threads=args.threads, wtype=args.dtype, verbose=False)
# It looks for files that this structure does not have.
errors.clear()

if args.once:
    parts[next(part for part in parts if args.once in part)]()
    sys.exit()

print(f"stable-diffusion.cpp {args.dtype}", flush=True)
for line in sys.stdin:
    part = line.strip()
    print(parts[part]() if part in parts else "-", flush=True)
