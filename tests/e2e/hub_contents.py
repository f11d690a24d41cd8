"""Prints, as JSON, what a repository of the hub holds, as the unmodified clients see it: `REPO TOKEN FOLDER`.

A process of its own, because huggingface_hub reads HF_ENDPOINT when it is imported.
"""

import json
import sys

from huggingface_hub import HfApi, ModelCard, hf_hub_download
from safetensors import safe_open


def main() -> None:
    repo, token, folder = sys.argv[1:]
    files = HfApi(token=token).list_repo_files(repo)
    [weights] = [name for name in files if name.endswith(".safetensors")]
    paths = {name: hf_hub_download(repo, name, token=token, cache_dir=folder) for name in files}
    with safe_open(paths[weights], framework="numpy") as tensors:
        names, metadata = list(tensors.keys()), tensors.metadata()
    card = ModelCard.load(paths["README.md"])
    card.validate()
    print(
        json.dumps(
            {"files": files, "tensors": names, "metadata": metadata, "card": card.data.to_dict(), "text": card.text}
        )
    )


if __name__ == "__main__":
    main()
