#!/usr/bin/env bash
# phase.sh NAME COMMAND...: runs the command between two lines that say what runs, how it ended and how long it took.
set -uo pipefail

name=$1
shift
echo "== $name"
SECONDS=0
"$@"
status=$?
if [ "$status" -eq 0 ]; then
	echo "== $name: done in $SECONDS s"
else
	echo "== $name: FAILED after $SECONDS s"
fi
exit "$status"
