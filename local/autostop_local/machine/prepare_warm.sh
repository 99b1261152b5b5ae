#!/bin/sh
# Fetch what the boot script asks the registries for: machines on this desk find it in their place. Needs uv and pip.
# usage: prepare_warm.sh FOLDER PYTHON
set -eu
new=$1.new python=$2
repository=$(dirname "$0")/../../..
environments=$repository/workstation/boot/environments
rm -rf "$new"
"$python" -m pip download --quiet --disable-pip-version-check --require-hashes --only-binary=:all: \
    --dest "$new/wheels" --requirement "$repository/requirements/uv.txt"
export UV_CACHE_DIR="$new/uv"
for lock in "$environments"/*.txt; do
    grep -v '^ ' "$lock" | sed 's/ \\$//' |
        uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
            --no-annotate --no-deps --exclude-newer "$(cat "$environments/newest")" - >/dev/null
    # As the boot script does.
    uv pip install --quiet --require-hashes --no-deps --python-version 3.11 --target "$new/unused" \
        --requirements "$lock"
    rm -rf "$new/unused"
done
chmod -R a+rwX "$new"
rm -rf "$1"
mv "$new" "$1"
