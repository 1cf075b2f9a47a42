#!/usr/bin/env bash
# The tidy check finds each kind of fault: a tree with one fault of each kind gets exactly
# those complaints, and without them none.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/store/shm" "$tree/tests/tidy"

expect() {  # expect STATUS SAID...: the check's exit status and each line it must print
  local status=0 said
  said=$("$here/check.sh" "$tree" 2>&1) || status=$?
  if [[ $status -ne $1 ]]; then
    printf 'FAILED: status %d instead of %d; the check said:\n%s\n' "$status" "$1" "$said"
    exit 1
  fi
  shift
  for line in "$@"; do
    if ! grep -qF -- "$line" <<<"$said"; then
      printf 'FAILED: the check should say "%s" and said:\n%s\n' "$line" "$said"
      exit 1
    fi
  done
}

header() { printf '// Purpose.\n#ifndef %s\n#define %s\n%s\n#endif\n' "$2" "$2" "${3:-}" >"$tree/$1"; }
mark=TODO  # so that this file has no bare one

expect 1 "holds no source file"
header store/good.h PENSTOCK_GOOD_H_ "// $mark(waits for a wider word): later"
header store/shm/ring.h PENSTOCK_RING_H_ "std::atomic<int> tail;"
echo 'store/shm/*  # primitives' >"$tree/tests/tidy/raw_atomics.txt"
printf '// Purpose.\n// %s\n' "$(printf 'ü%.0s' {1..97})" >"$tree/store/umlauts.cc"
printf '[a](store/good.h#x) [b](https://example.org)\n' >"$tree/README.md"
expect 0 "3 source files are tidy"

printf 'int x;\n' >"$tree/store/no_purpose.cc"
{ echo "// Purpose."; printf '\n%.0s' {1..500}; } >"$tree/store/long.cc"
printf '// Purpose.\n// %s\n' "$(printf 'x%.0s' {1..98})" >"$tree/store/wide.cc"
printf '// Purpose.\n// %s later\n' "$mark" >"$tree/store/todo.cc"
printf '// Purpose.\nstd::atomic<int> x;\n' >"$tree/store/atomic.cc"
printf '// Purpose.\nint x;\n' >"$tree/store/unguarded.h"
header store/named.h NAMED_H_
header store/twice.h PENSTOCK_GOOD_H_
echo 'client/*  # nothing there' >>"$tree/tests/tidy/raw_atomics.txt"
echo '[c](store/gone.h)' >>"$tree/README.md"
expect 1 "store/no_purpose.cc:1: does not start with a comment" \
  "store/long.cc:501: more than 500 lines" \
  "store/wide.cc:2: more than 100 characters" \
  "store/todo.cc:2: a TODO without a reason" \
  "store/atomic.cc:1: raw atomics" \
  "store/unguarded.h:1: no include guard" \
  "store/named.h:1: the include guard NAMED_H_" \
  "store/twice.h:1: the include guard PENSTOCK_GOOD_H_ is also that of store/good.h" \
  "raw_atomics.txt:1: 'client/*' allows nothing" \
  "README.md:2: the link to store/gone.h leads nowhere" \
  "FAILED: 10 faults in 11 source files"
echo "each kind of fault is found"
