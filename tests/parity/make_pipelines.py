#!/usr/bin/env python3
"""Goldens of whole tiny pipelines: tests/parity/pipeline_{sd15,sd21}.safetensors.

The weights are those of `random:sd15-tiny` and `random:sd21-tiny`: the recipe of make_fixtures.py at the configurations
below, so that nothing but inputs and outputs is stored. Run with PyTorch, diffusers and transformers installed:

    python tests/parity/make_pipelines.py tests/parity
"""
import gzip, math, sys
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import make_fixtures as base  # fill, gen, inp, Adapter, Hooked, SITES

torch.set_grad_enabled(False)
PROMPT = "a red fox in the snow"


def unet_config(kind):
    config = dict(sample_size=16, in_channels=4, out_channels=4, layers_per_block=2, norm_num_groups=32,
                  block_out_channels=(32, 64, 64, 64), cross_attention_dim=32,
                  down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
                  up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3)
    if kind == "sd15":
        return config | dict(attention_head_dim=8, use_linear_projection=False)
    return config | dict(attention_head_dim=[2, 4, 4, 4], use_linear_projection=True)


def text_config(kind):
    return CLIPTextConfig(vocab_size=49408, max_position_embeddings=77, hidden_size=32, intermediate_size=64,
                          num_attention_heads=4, num_hidden_layers=2, layer_norm_eps=1e-5,
                          hidden_act="quick_gelu" if kind == "sd15" else "gelu",
                          bos_token_id=49406, eos_token_id=49407, pad_token_id=49407 if kind == "sd15" else 0)


def vae_config():
    return dict(block_out_channels=(32, 32, 32, 64), layers_per_block=1, latent_channels=4, norm_num_groups=32,
                sample_size=128, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
                scaling_factor=0.18215)


def vocabulary(path):
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in printable]
    chars = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(other))]
    words = chars + [c + "</w>" for c in chars] + ["".join(line.split()) for line in gzip.open(path, "rt").read().split("\n") if line]
    return {word: i for i, word in enumerate(words)}


def main(out):
    words = vocabulary(f"{out}/../../nodes/diffusion/text/clip_merges.txt.gz")
    for kind in ("sd15", "sd21"):
        text = base.fill(CLIPTextModel(text_config(kind)), f"{kind}.text.")
        unet = base.fill(UNet2DConditionModel(**unet_config(kind)), f"{kind}.unet.")
        vae = base.fill(AutoencoderKL(**vae_config()), f"{kind}.vae.")
        adapters = {}
        for site in base.SITES:
            attention = unet.get_submodule(site).transformer_blocks[0].attn1
            adapters[site] = base.fill(base.Adapter(attention.to_q.in_features, attention.heads), f"{kind}.adapter.{site}.")
        keep = {}

        pad = 49407 if kind == "sd15" else 0
        prompt = [49406] + [words[w + "</w>"] for w in PROMPT.split()] + [49407]
        ids = torch.tensor([prompt + [pad] * (77 - len(prompt)), [49406, 49407] + [pad] * 75])
        context = text(ids).last_hidden_state
        cond, null = context[:1], context[1:]
        keep |= {"text.input_ids": ids.int(), "text.context": context}

        image = base.inp(f"pipeline.{kind}.image", 1, 3, 64, 64, amp=1.0)
        posterior = vae.encode(image).latent_dist
        keep |= {"vae.image": image, "vae.mean": posterior.mean, "vae.logvar": posterior.logvar}

        schedule = DDIMScheduler(beta_start=.00085, beta_end=.012, beta_schedule="scaled_linear", clip_sample=False,
                                 set_alpha_to_one=False, steps_offset=1)
        reference = 0.18215 * posterior.mean
        noise = base.inp(f"pipeline.{kind}.noise", 1, 4, 8, 8)
        noisy = schedule.alphas_cumprod[1].sqrt() * reference + (1 - schedule.alphas_cumprod[1]).sqrt() * noise
        net = base.Hooked(unet, adapters)
        net.run("save", noisy, torch.tensor(1.), null)
        cache = dict(net.cache)
        keep |= {"cache.reference_latents": reference, "cache.noise": noise, "cache.noisy_latents": noisy}
        keep |= {f"cache.features.{k}": v.flatten(2).transpose(1, 2) for k, v in cache.items()}

        start = base.inp(f"pipeline.{kind}.start", 1, 4, 16, 16)
        keep["sample.start"] = start
        schedule.set_timesteps(10)
        keep["sample.timesteps"] = schedule.timesteps.int()
        for rule in ("plain", "joint", "combined"):
            x = start
            for i, t in enumerate(schedule.timesteps):
                t = t.float()
                plain = net.run(None, x, t, null)
                if rule == "plain":
                    eps = plain + 7.5 * (net.run(None, x, t, cond) - plain)
                else:
                    full = net.run("use", x, t, cond, cache)
                    if rule == "joint":
                        eps = plain + 7.5 * (full - plain)
                    else:
                        some = net.run("use", x, t, null, cache)
                        eps = plain + 0.4 * (some - plain) + 7.5 * (full - some)
                x = schedule.step(eps, schedule.timesteps[i], x).prev_sample
            keep[f"sample.{rule}.latents"] = x
        keep["vae.decoded"] = vae.decode(keep["sample.combined.latents"][:, :, :8, :8] / 0.18215).sample
        save_file({k: v.contiguous() for k, v in keep.items()}, f"{out}/pipeline_{kind}.safetensors",
                  metadata={"prompt": PROMPT, "steps": "10", "joint": "7.5", "combined": "image 0.4, text 7.5"})


if __name__ == "__main__":
    main(sys.argv[1])
