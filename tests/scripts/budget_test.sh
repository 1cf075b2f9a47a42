#!/usr/bin/env bash
# tools/test --budget, in a small checkout of its own whose tests sleep. SECONDS, which bash
# takes from its environment, stands for what is already over of the budget.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "FAILED: $1" >&2
  [[ ! -f "$work/said" ]] || sed 's/^/  | /' "$work/said" >&2
  exit 1
}
expect() { grep -qE -- "$1" "$work/said" || fail "no line like: $1"; }
expect_not() { ! grep -qE -- "$1" "$work/said" || fail "a line like: $1"; }

# make_tree BUILD_SECONDS TEST_SECONDS: twelve tests in each of release and asan. The release ones
# are expected to take no time and those of asan to take for ever, however fast this host is.
make_tree() {
  rm -rf "$work/tree"
  mkdir -p "$work/tree/tools"
  cd "$work/tree"
  cp "$root/tools/test" "$root/tools/test_budget.sh" tools/
  cp "$root/CMakePresets.json" .
  sed -i -e 's/^release .*/release 0 0 0/' -e 's/^asan .*/asan 99999 99999 0/' \
    -e 's/need + 60/need + 1/' tools/test_budget.sh
  printf '#!/bin/sh\nexec sleep %s\n' "$1" >tools/compile
  printf '#!/bin/sh\n' >tools/dependencies
  printf '#!/bin/sh\nexec sleep 1\n' >tools/compiler  # what reading the host takes
  chmod +x tools/*
  cat >CMakeLists.txt <<LIST
cmake_minimum_required(VERSION 3.25)
project(tree NONE)
enable_testing()
foreach(i RANGE 1 12)
  add_test(NAME "sleeper \${i}" COMMAND sleep $2)
endforeach()
LIST
  for preset in release asan; do cmake -S . -B "build/$preset" -G Ninja >/dev/null; done
}
# run_tests SECONDS_OVER [ARGUMENT ...]
run_tests() {
  local over=$1 status=0
  shift
  env SECONDS="$over" CXX="$work/tree/tools/compiler" tools/test "$@" >"$work/said" 2>&1 || status=$?
  return "$status"
}

make_tree 0 0
for value in 0 -3 1.5 ten ""; do
  status=0
  run_tests 0 --budget "$value" || status=$?
  ((status == 2)) || fail "--budget '$value' ends with $status, not 2"
  expect "--budget takes a whole number of minutes from 1 to 99999, not '$value'"
done

run_tests 0 --budget 99999 --preset release --preset asan || fail "a long budget: status $?"
expect '^24 passed, 0 failed, 0 skipped$'
expect_not 'NOT RUN'

# What is not expected to fit is not begun.
run_tests 0 --budget 60 --preset release --preset asan || fail "a short budget: status $?"
expect '^NOT RUN ON THIS HOST: \[asan\] its build and all of its tests: they are expected'
expect '^12 passed, 0 failed, 1 skipped$'

# Nothing goes on past the end: a test that runs is ended, those behind it are not begun.
make_tree 0 4
status=0
run_tests 0 --budget 1 --preset release --jobs 2 --filter nothing || status=$?
((status == 1)) || fail "no test at all ends with $status, not 1"
started=$SECONDS
run_tests 48 --budget 1 --preset release --jobs 2 || fail "the end of the budget: status $?"
((SECONDS - started <= 20)) || fail "it took $((SECONDS - started)) s of the 12 that were left"
expect '^  \[release\] sleeper [0-9]+: the time was over while it ran$'
expect '^  \[release\] [0-9]+ of its 12 tests: the time was over before they began$'
counts=$(sed -nE 's/^([0-9]+) passed, 0 failed, ([0-9]+) skipped$/\1 + \2/p' "$work/said")
(($counts == 12)) || fail "passed and skipped are '$counts', not the 12 tests"

# A build is ended as well.
make_tree 30 0
status=0
run_tests 48 --budget 1 --preset release || status=$?
expect '^  \[release\] all of its tests: the time was over in the middle of its build$'
expect '^No test ran: nothing fits into the budget.$'
((status == 1)) || fail "no test at all ends with $status, not 1"
echo "tools/test --budget keeps its word"
