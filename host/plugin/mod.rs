//! Node packs: the manifest that the built-in pack and third-party packs share.
