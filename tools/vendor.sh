#!/bin/sh
# Put one file of an npm package, with its licence and version, among the static files of the pages; again to update it:
#     tools/vendor.sh htmx.org 2.0.8 dist/htmx.min.js
set -eu

[ $# -eq 3 ] || { sed -n '2,3s/^# *//p' "$0" >&2; exit 2; }
name=$1 version=$2 file=$3
target=$(cd "$(dirname "$0")/.." && pwd)/cashman/dashboard/static/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

# The npm client checks what it fetches against the hash that the registry gives.
packed=$(cd "$work" && npm pack --silent "$name@$version")
tar -xzf "$work/$packed" -C "$work"
licence=$(find "$work/package" -maxdepth 1 -iname 'licen[sc]e*' -type f | head -n 1)
[ -n "$licence" ] || { echo "$name $version has no licence" >&2; exit 1; }

mkdir -p "$target"
base=$(basename "$file")
cp "$work/package/$file" "$target/$base"
cp "$licence" "$target/$base.LICENSE"
printf '%s %s %s sha256:%s\n' "$name" "$version" "$file" "$(sha256sum "$target/$base" | cut -d ' ' -f 1)" >"$target/$base.version"
cat "$target/$base.version"
