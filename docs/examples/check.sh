#!/usr/bin/env bash
# Runs an example and checks both its exit status and that it says a line.
#
#   docs/examples/check.sh STATUS PATTERN PROGRAM [ARGS...]
set -uo pipefail
expected=${1:?usage: docs/examples/check.sh STATUS PATTERN PROGRAM [ARGS...]} pattern=$2
shift 2
status=0
said=$("$@" 2>&1) || status=$?
echo "$said"
if [[ $status -ne $expected ]]; then
  echo "FAILED: the exit status is $status and should be $expected" >&2
  exit 1
fi
grep -qE -- "$pattern" <<<"$said" || { echo "FAILED: no line matches $pattern" >&2; exit 1; }
