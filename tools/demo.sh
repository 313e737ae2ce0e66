#!/usr/bin/env bash
# What ./run does after the build: the simulated press, Lotline, and the job once (--once).
set -euo pipefail

echo "demo not built yet" >&2
exit 1
