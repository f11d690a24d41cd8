#!/bin/sh
# Install the packages of one service into /opt/fluxline, which the image takes over: install.sh NAME
set -eu
python -m venv --without-pip /opt/fluxline
/build/tools/bin/uv pip install --quiet --no-cache --compile-bytecode --require-hashes --python /opt/fluxline/bin/python \
    --requirement "/build/$1.txt"
