#!/usr/bin/env bash
# Installs Debian's OpenCL loader, and PoCL, an OpenCL driver for processors, for the tests when they are missing and may be installed
# (root and apt). Otherwise it says so and succeeds: the tests that need them are then skipped.
set -euo pipefail

# A loader with any driver will do.
if compgen -G '/etc/OpenCL/vendors/*.icd' >/dev/null && compgen -G '/usr/lib/*/libOpenCL.so.1' >/dev/null; then
	exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
	echo 'OpenCL is not installed, and only root can install it with apt-get: its tests are skipped.' >&2
	exit 0
fi
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends pocl-opencl-icd ocl-icd-libopencl1 >/dev/null; }; then
	echo 'apt-get could not install OpenCL: its tests are skipped.' >&2
fi
