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

# make_tree BUILD_SECONDS TEST_SECONDS QUICK: twelve tests in each of release and asan, behind QUICK
# that end at once. The release ones are expected to take no time and those of asan hours,
# however fast this host is.
make_tree() {
  rm -rf "$work/tree"
  mkdir -p "$work/tree/tools"
  cd "$work/tree"
  cp "$root/tools/test" "$root/tools/test_budget.sh" "$root/tools/jobs.sh" tools/
  cp "$root/CMakePresets.json" .
  sed -i -e 's/^release .*/release 0 0 0/' -e 's/^asan .*/asan 9999 9999 0/' \
    -e 's/need + 60/need + 1/' tools/test_budget.sh
  printf '#!/bin/sh\nexec sleep %s\n' "$1" >tools/compile
  printf '#!/bin/sh\n' >tools/dependencies
  printf '#!/bin/sh\nexec sleep 1\n' >tools/compiler  # what reading the host takes
  chmod +x tools/*
  cat >CMakeLists.txt <<LIST
cmake_minimum_required(VERSION 3.25)
project(tree NONE)
enable_testing()
foreach(i RANGE 1 $3)
  add_test(NAME "quick \${i}, whose name is as long as a test's name that is a sentence" COMMAND true)
endforeach()
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

make_tree 0 0 1
for value in 0 -3 1.5 ten "" 1440 99999; do
  status=0
  run_tests 0 --budget "$value" || status=$?
  ((status == 2)) || fail "--budget '$value' ends with $status, not 2"
  expect "--budget takes a whole number of minutes from 1 to 1439, not '$value'"
done

run_tests 0 --budget 1439 --preset release --preset asan || fail "a long budget: status $?"
expect '^26 passed, 0 failed, 0 skipped$'
expect_not 'NOT RUN'

# What is not expected to fit is not begun.
run_tests 0 --budget 60 --preset release --preset asan || fail "a short budget: status $?"
expect '^NOT RUN ON THIS HOST: \[asan\] its build and all of its tests: they are expected'
expect '^13 passed, 0 failed, 1 skipped$'

# Nothing goes on past the end: a test that runs is ended, those behind it are not begun.
make_tree 0 4 1
status=0
run_tests 0 --budget 1 --preset release --jobs 2 --filter nothing || status=$?
((status == 1)) || fail "no test at all ends with $status, not 1"
started=$SECONDS
run_tests 48 --budget 1 --preset release --jobs 2 || fail "the end of the budget: status $?"
((SECONDS - started <= 20)) || fail "it took $((SECONDS - started)) s of the 12 that were left"
expect '^  \[release\] sleeper [0-9]+: the time was over while it ran$'
expect '^  \[release\] [0-9]+ of its 13 tests: the time was over before they began$'
counts=$(sed -nE 's/^([0-9]+) passed, 0 failed, ([0-9]+) skipped$/\1 + \2/p' "$work/said")
(($counts == 13)) || fail "passed and skipped are '$counts', not the 13 tests"

# As many tests as this project has say more than a pipe holds.
make_tree 0 60 1000
run_tests 35 --budget 1 --preset release --jobs 4 || fail "the end among many tests: status $?"
expect '^  \[release\] sleeper [0-9]+: the time was over while it ran$'
counts=$(sed -nE 's/^([0-9]+) passed, 0 failed, ([0-9]+) skipped$/\1 + \2/p' "$work/said")
((${counts:-0} == 1012)) || fail "passed and skipped are '$counts', not the 1012 tests"

# A host that cannot be read, a preset of which nothing is known.
status=0
env CXX=/bin/false tools/test --budget 5 --preset release >"$work/said" 2>&1 || status=$?
((status == 1)) || fail "a compiler that fails ends with $status, not 1"
expect "'/bin/false' does not compile what reading this host takes"
status=0
run_tests 0 --budget 5 --preset crash || status=$?
((status == 2)) || fail "--budget with preset crash ends with $status, not 2"
(cd tools && ./test --help) | grep -q -- '--budget 75' || fail "--help from another folder"

# A build is ended as well.
make_tree 30 0 1
status=0
run_tests 48 --budget 1 --preset release || status=$?
expect '^  \[release\] all of its tests: the time was over in the middle of its build$'
expect '^No test ran: nothing fits into the budget.$'
((status == 1)) || fail "no test at all ends with $status, not 1"
echo "tools/test --budget keeps its word"
