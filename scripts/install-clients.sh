#!/usr/bin/env bash
# Installs what the tests of other people's clients need: Debian's Node where it is missing and may be installed (root and
# apt), and the clients that e2e/clients/package-lock.json pins. Where that cannot be had it says so and succeeds: the tests
# that need it are then skipped.
set -euo pipefail

if ! command -v npm >/dev/null; then
	if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
		echo 'Node and npm are not installed, and only root can install them with apt-get: the tests of npm clients are skipped.' >&2
		exit 0
	fi
	export DEBIAN_FRONTEND=noninteractive
	if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null; }; then
		echo 'apt-get could not install Node: the tests of npm clients are skipped.' >&2
		exit 0
	fi
fi

cd "$(dirname "$0")/../e2e/clients"
# npm leaves a copy of the lock file in what it has installed.
if [ node_modules/.package-lock.json -nt package-lock.json ]; then
	exit 0
fi
if ! npm ci --no-audit --no-fund --loglevel=error >/dev/null; then
	rm -rf node_modules
	echo 'npm could not install the clients of e2e/clients: their tests are skipped.' >&2
fi
