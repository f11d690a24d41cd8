"""Stand-ins for Replicate, Hugging Face Hub and Together that the unmodified clients talk to."""
