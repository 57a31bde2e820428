#!/usr/bin/env bash
# go-test.sh ARGUMENTS...: `go test -race ARGUMENTS`, or without the race detector where it cannot be had: it needs a
# C compiler with its headers.
set -euo pipefail

if why=$(CGO_ENABLED=1 go build -race runtime/cgo 2>&1); then
	exec go test -race "$@"
fi
echo "No race detector here, the tests run without it: $(tail -n 1 <<<"$why")"
echo '(It needs a C compiler; on Debian: apt-get install gcc libc6-dev)'
CGO_ENABLED=0 exec go test "$@"
