"""diffusers as a peer of `dc-graph bench`: reads the name of a part, does it once, answers with milliseconds.

It says its name first. Parts that it does not have are answered with `-`. Weights are random, or those of a folder:

    dc-graph bench --model random:sd15 --peer "venv/bin/python tests/bench/diffusers_peer.py --dtype bf16"

Needs torch, diffusers and transformers.
"""

import argparse
import sys
import time

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="sd15", help="`sd15` (random weights), or a folder")
parser.add_argument("--dtype", choices=["f32", "bf16", "f16"], default="f32")
parser.add_argument("--device", default="cpu")
parser.add_argument("--steps", type=int, default=4)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--processor-time", action="store_true")
parser.add_argument("--once", help="do this part once, and end")
args = parser.parse_args()

torch.set_num_threads(args.threads)
dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}[args.dtype]
clock = time.process_time if args.processor_time else time.perf_counter


def load():
    if args.model != "sd15":
        parts = [("unet", UNet2DConditionModel), ("vae", AutoencoderKL), ("text_encoder", CLIPTextModel)]
        return [model.from_pretrained(args.model, subfolder=name, torch_dtype=dtype) for name, model in parts]
    torch.set_default_dtype(dtype)
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
    widths = dict(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[128, 256, 512, 512],
        layers_per_block=2,
    )
    vae = AutoencoderKL(**widths)
    text = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12))
    return [unet, vae, text]


unet, vae, text = [model.to(args.device).eval() for model in load()]
side = unet.config.sample_size
pixels = side * 2 ** (len(vae.config.block_out_channels) - 1)
tokens = text.config.max_position_embeddings
latents = torch.randn(1, unet.config.in_channels, side, side, dtype=dtype, device=args.device)
image = torch.randn(1, 3, pixels, pixels, dtype=dtype, device=args.device).clamp(-1, 1)
context = torch.randn(1, tokens, unet.config.cross_attention_dim, dtype=dtype, device=args.device)
ids = torch.randint(0, text.config.vocab_size, (1, tokens), device=args.device)


def evaluate(rows):
    return unet(torch.cat([latents] * rows), 501, torch.cat([context] * rows)).sample


def build():
    found = vae.encode(image).latent_dist.mean
    return unet(found * 0.18215, 1, context).sample


def draw():
    contexts = torch.cat([text(ids)[0] for _ in range(2)])
    scheduler = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
    scheduler.set_timesteps(args.steps)
    x = torch.randn_like(latents)
    for t in scheduler.timesteps:
        plain, prompted = unet(torch.cat([x] * 2), t.to(args.device), contexts).sample.chunk(2)
        x = scheduler.step(plain + 7.5 * (prompted - plain), t, x).prev_sample
    return vae.decode(x / 0.18215).sample


parts = {
    "text encoder": lambda: text(ids)[0],
    "VAE encode": lambda: vae.encode(image).latent_dist.mean,
    "VAE decode": lambda: vae.decode(latents).sample,
    "UNet": lambda: evaluate(1),
    "step, joint, no cache": lambda: evaluate(2),
    "cache build": build,
    f"image, {args.steps} steps": draw,
}


def run(part):
    began = clock()
    with torch.no_grad():
        parts[part]()
    if args.device != "cpu":
        torch.cuda.synchronize()
    return (clock() - began) * 1e3


if args.once:
    run(next(part for part in parts if args.once in part))
    sys.exit()

print(f"diffusers {args.dtype}", flush=True)
for line in sys.stdin:
    part = line.strip()
    print(run(part) if part in parts else "-", flush=True)
