#!/usr/bin/env bash
# Every source file opens with its purpose and stays within its limits:
#   1. every .h and .cc starts with a comment, has at most 500 lines of at most 100
#      characters, and every TODO in it gives its reason: TODO(reason);
#   2. every header has an include guard of its own, PENSTOCK_..._H_;
#   3. outside tests/, raw atomics appear only in the files of raw_atomics.txt, and each
#      of its lines is still needed;
#   4. every link of a .md file to a file of the checkout leads somewhere.
# Prints each fault as file:line: what, and ends with status 1 when there is one.
#
#   tests/tidy/check.sh [ROOT]   (default: this checkout)
set -euo pipefail
export LC_ALL=C.UTF-8  # limits count characters, not bytes

here=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$here/../..}"
folders=()
for folder in store client runtime bench tools tests docs/examples; do
  [[ ! -d $folder ]] || folders+=("$folder")
done
mapfile -t files < <(find "${folders[@]}" -name '*.h' -o -name '*.cc' | sort)
if [[ ${#files[@]} -eq 0 ]]; then
  echo "$PWD holds no source file; give the root of a checkout" >&2
  exit 1
fi

faults=$(
  awk '
    function fault(file, line, what) { print file ":" line ": " what }
    function close_file() {
      if (name == "") return
      if (lines > 500) fault(name, lines, "more than 500 lines; give it a second room")
      if (name ~ /\.h$/) {
        if (guard == "" || guard != defined || last !~ /^#endif/)
          fault(name, 1, "no include guard (#ifndef, #define, #endif as the last line)")
        else if (guard !~ /^PENSTOCK_[A-Z0-9_]*_H_$/)
          fault(name, 1, "the include guard " guard " is not called PENSTOCK_..._H_")
        else if (guard in owner)
          fault(name, 1, "the include guard " guard " is also that of " owner[guard])
        owner[guard] = name
      }
    }
    FNR == 1 {
      close_file()
      name = FILENAME; guard = ""; defined = ""
      if ($0 !~ /^\/[\/*]/) fault(name, 1, "does not start with a comment on its purpose")
    }
    { lines = FNR }
    /./ { last = $0 }
    guard == "" && /^#if/ { guard = $1 == "#ifndef" ? $2 : "other" }
    defined == "" && $1 == "#define" { defined = $2 }
    /TODO/ && !/TODO\([^)]+\)/ { fault(name, FNR, "a TODO without a reason: TODO(reason)") }
    END { close_file() }' "${files[@]}"

  { grep -HnE '^.{101,}' "${files[@]}" || true; } |
    sed -E 's/^([^:]+:[0-9]+):.*/\1: more than 100 characters/'

  # Raw atomics. A line of the list is a path, in which * stands for anything, and why.
  allowed=()
  [[ ! -f tests/tidy/raw_atomics.txt ]] ||
    mapfile -t allowed < <(sed -E 's/ *#.*//; /^$/d' tests/tidy/raw_atomics.txt)
  mapfile -t users < <(
    grep -lE 'std::atomic|atomic_ref|__atomic_|__sync_' "${files[@]}" | grep -v '^tests/' || true)
  for file in "${users[@]}"; do
    for pattern in "${allowed[@]}"; do
      # shellcheck disable=SC2053  # the right side is a pattern
      [[ "$file" != $pattern ]] || continue 2
    done
    echo "$file:1: raw atomics; call a named operation, or add it to tests/tidy/raw_atomics.txt"
  done
  for pattern in "${allowed[@]}"; do
    for file in "${users[@]}"; do
      # shellcheck disable=SC2053
      [[ "$file" != $pattern ]] || continue 2
    done
    echo "tests/tidy/raw_atomics.txt:1: '$pattern' allows nothing any more; take it out"
  done

  # Links: [text](path) and [text](path#part); addresses with a scheme are left alone.
  while IFS=: read -r file line link; do
    link=${link#](} link=${link%)} link=${link%%#*}
    [[ -z "$link" || "$link" == *:* || -e "$(dirname "$file")/$link" ]] ||
      echo "$file:$line: the link to $link leads nowhere"
  done < <(find . -name build -prune -o -name .git -prune -o -name '*.md' -printf '%P\0' |
             xargs -0 -r grep -HnoE '\]\([^) ]+\)')
)
if [[ -n "$faults" ]]; then
  echo "$faults"
  echo "FAILED: $(wc -l <<<"$faults") faults in ${#files[@]} source files"
  exit 1
fi
echo "${#files[@]} source files are tidy"
