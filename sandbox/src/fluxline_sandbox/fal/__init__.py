"""Stand-in for fal: images from FLUX with a LoRA, through its queue."""
