#!/usr/bin/env bash
# Calls that must not compile, each with the words that the compiler is to say.
#
#   check.sh COMPILER FLAG...
#
# A case is a line of cases.txt: the words, a tab, the statement. One that compiles, or fails
# without its words, fails the test; so does the first one, which is right, when it does not
# compile.
set -uo pipefail
cd "$(dirname "$0")"

failed=0 cases=0
while IFS=$'\t' read -r words statement; do
  [[ -n "$words" && "$words" != \#* ]] || continue
  cases=$((cases + 1))
  said=$("$@" -std=c++20 -fsyntax-only -x c++ - 2>&1 <<PROGRAM
#include "$PWD/functions.h"
void Calls() { $statement; }
PROGRAM
  )
  status=$?
  if [[ "$words" == compiles ]]; then
    ((status == 0)) || { echo "must compile: $statement"; echo "$said" | head -5; failed=1; }
  elif ((status == 0)); then
    echo "compiles, and must not: $statement"
    failed=1
  elif [[ "$said" != *"$words"* ]]; then
    echo "does not say '$words': $statement"
    echo "$said" | grep -m 3 error
    failed=1
  fi
done <cases.txt
echo "$cases cases"
((cases >= 8 && failed == 0))
