#!/bin/sh
# Build our own packages, each into a folder of its own below /built.
set -eu
export PATH=/build/tools/bin:$PATH VIRTUAL_ENV=/build/tools
for member in shared sandbox cli services/gateway services/zipper services/trainer services/publisher services/generator \
    services/debug-collector; do
    name=${member#services/}
    uv pip install --quiet --no-cache --no-deps --no-sources --no-build-isolation --compile-bytecode --target "/built/${name#debug-}" "/members/$member"
done
