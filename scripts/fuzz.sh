#!/usr/bin/env bash
# fuzz.sh DURATION: runs each fuzz target of the module for so long, one after the other. An input that fails is saved
# under the package's testdata/fuzz, and runs as a test from then on.
set -euo pipefail

duration=$1
list=$(go test -list '^Fuzz' ./...)
# "go test -list" prints a package's targets, then its line: ok <tab> package <tab> time.
targets=$(awk '/^Fuzz/ {found[++n] = $1} /^ok/ {for (i = 1; i <= n; i++) print $2, found[i]; n = 0}' <<<"$list")
if [ -z "$targets" ]; then
	echo 'There is no fuzz target.'
	exit 0
fi
while read -r package target; do
	echo "== $package $target"
	go test -run='^$' -fuzz="^$target\$" -fuzztime="$duration" "$package"
done <<<"$targets"
