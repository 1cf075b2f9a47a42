#!/usr/bin/env bash
# The pages on formats and the layout headers name their proofs: every test file and every
# test case that they name is there. `a/{b,c}_test.cc` counts as two files; `Suite.Case` in
# backticks is a case. Prints each that is missing and ends with status 1.
#
#   tests/integration/docs_test.sh [ROOT]   (default: this checkout)
set -euo pipefail

cd "${1:-$(dirname "$0")/../..}"
sources=(docs/formats/*.md docs/decisions/*.md docs/architecture.md docs/limits.md store/shm/*_layout.h
         store/spill/*_layout.h)

missing=0
complain() {
  echo "$1: names $2, which does not exist"
  missing=$((missing + 1))
}

files=0
while IFS=: read -r source path; do
  # Braces are those of the shell, around nothing but letters, digits, _ and commas.
  eval "names=($path)"
  for name in "${names[@]}"; do
    files=$((files + 1))
    [[ -e "$name" ]] || complain "$source" "$name"
  done
done < <(grep -oHE 'tests/[A-Za-z0-9_/]*(\{[A-Za-z0-9_,]+\})?[A-Za-z0-9_]*\.(cc|h|pml|sh|md)' \
           "${sources[@]}")

cases=0
known=$(grep -rhoE '^TEST(_F|_P)?\([A-Za-z0-9]+, *[A-Za-z0-9_]+\)' tests --include='*.cc' |
          sed -E 's/^TEST(_F|_P)?\(([A-Za-z0-9]+), *([A-Za-z0-9_]+)\)/\2.\3/')
while IFS=: read -r source name; do
  cases=$((cases + 1))
  grep -qxF "$name" <<<"$known" || complain "$source" "$name"
done < <(grep -oHE '`[A-Z][A-Za-z0-9]+\.[A-Z][A-Za-z0-9]+`' "${sources[@]}" | tr -d '`')

if ((files == 0 || cases == 0)); then
  echo "$PWD holds no page on formats that names a test; give the root of a checkout"
  exit 1
fi
((missing == 0)) || { echo "FAILED: $missing missing"; exit 1; }
echo "$files test files and $cases test cases are named, and all are there"
