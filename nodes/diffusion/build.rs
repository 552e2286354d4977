//! Tells the crate whether the pocket model's weights lie in `pocket/`: the feature `pocket` embeds them where they do, and
//! builds without them where they do not.

use std::path::Path;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(pocket_weights)");
    println!("cargo::rerun-if-changed=pocket");
    if Path::new("pocket/unet/diffusion_pytorch_model.safetensors").is_file() {
        println!("cargo::rustc-cfg=pocket_weights");
    }
}
