#!/usr/bin/env bash
# The program in README.md is tests/consumer/main.cc, to the letter; run.sh builds and
# runs that one. Repair: copy the one that is right over the other.
set -euo pipefail
cd "$(dirname "$0")/../.."
fence='```'
if ! diff <(sed -n "/^${fence}cpp\$/,/^${fence}\$/p" README.md | sed '1d;$d') \
          tests/consumer/main.cc; then
  echo "FAILED: README.md (<) and tests/consumer/main.cc (>) differ as shown" >&2
  exit 1
fi
