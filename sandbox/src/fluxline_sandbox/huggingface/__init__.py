"""Stand-in for Hugging Face Hub: repositories, LFS, commits and downloads."""
