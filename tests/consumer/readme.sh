#!/usr/bin/env bash
# The programs in README.md are tests/consumer/main.cc and tasks.cc, to the letter, in this
# order; run.sh builds and runs those. Repair: copy the one that is right over the other.
set -euo pipefail
cd "$(dirname "$0")/../.."

# program NUMBER: the block of C++ in README.md that is the first, the second, ...
program() {
  awk -v wanted="$1" '
    /^```cpp$/ { inside = 1; ++number; next }
    /^```$/ { inside = 0 }
    inside && number == wanted' README.md
}

number=0
for source in main.cc tasks.cc; do
  number=$((number + 1))
  if ! diff <(program $number) "tests/consumer/$source"; then
    echo "FAILED: README.md (<) and tests/consumer/$source (>) differ as shown" >&2
    exit 1
  fi
done
if [[ -n "$(program $((number + 1)))" ]]; then
  echo "FAILED: README.md has a program that nobody builds" >&2
  exit 1
fi
