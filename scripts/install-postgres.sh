#!/usr/bin/env bash
# Installs Debian's PostgreSQL for the tests when it is missing and may be installed (root and apt).
# Otherwise it says so and succeeds: the tests that need it are then skipped.
set -euo pipefail

if command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
	exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo 'PostgreSQL is not installed, and only root can install it with apt-get: its tests are skipped.' >&2
	exit 0
fi

# The package would make and start a cluster for the whole machine; the tests make their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql >/dev/null; }; then
	echo 'apt-get could not install PostgreSQL: its tests are skipped.' >&2
fi
