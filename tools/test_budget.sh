# What `tools/test --budget MINUTES` knows of time; sourced by tools/test and its own test.
#
# A part of the run is begun when it is expected to fit into what is left. What is expected
# follows from one reading of this host: how long it takes to compile the headers that nearly
# every file includes, a compiler a core. The table says how many times as long each part
# takes. Whatever was expected, nothing goes on past the end: a build is ended, and ctest
# begins no further test.

# Part, its build, its tests, both as times of the reading, and seconds that its tests take on
# any host. From a whole run on 2 cores (Xeon, Sapphire Rapids, 2026-11), where the reading was
# 2.0 s. The build shrinks with more cores; the tests mostly wait.
budget_parts='
release      185 100   0
fuzz-replay   72   1   0
asan         188  75   0
tsan         131 105   0
fuzz           1   0 220
'

budget_s=0          # 0: no end
budget_reading_ms=0

budget_begin() {  # MINUTES
  [[ "$1" =~ ^[1-9][0-9]{0,4}$ ]] || return 1
  budget_s=$((10#$1 * 60))
}

budget_left() { echo $((budget_s - SECONDS)); }

# Takes as long as compiling one large file.
budget_read_host() {
  local work started i
  work=$(mktemp -d)
  printf '#include <%s>\n' absl/container/flat_hash_map.h absl/status/statusor.h \
    absl/time/time.h fmt/format.h gtest/gtest.h >"$work/headers.cc"
  started=$(date +%s%N)
  for ((i = 0; i < $(nproc); ++i)); do
    "${CXX:-c++}" -std=c++20 -O2 -c "$work/headers.cc" -o "$work/$i.o" &
  done
  wait
  budget_reading_ms=$((($(date +%s%N) - started) / 1000000))
  rm -rf "$work"
}

# budget_expect build|tests PART: seconds on this host.
budget_expect() {
  awk -v what="$1" -v part="$2" -v reading_ms="$budget_reading_ms" -v cores="$(nproc)" '
    $1 == part {
      reading = reading_ms / 1000
      print int(what == "build" ? reading * $2 * 2 / cores : reading * $3 + $4) + 1
    }
    ' <<<"$budget_parts"
}

# Whether PART is to be begun. The first one is where its build leaves a minute: some of its
# tests are worth more than none.
budget_fits() {  # PART IS_FIRST
  local need
  ((budget_s > 0)) || return 0
  need=$(budget_expect build "$1")
  if (($2)); then need=$((need + 60)); else need=$((need + $(budget_expect tests "$1"))); fi
  ((need <= $(budget_left)))
}

# Runs a command that ends when the budget does; its status is then 124.
budget_child=""
budget_run() {
  if ((budget_s == 0)); then
    "$@"
    return
  fi
  local left status=0
  left=$(budget_left)
  ((left > 0)) || return 124
  timeout --kill-after=10 "$left" "$@" &
  budget_child=$!
  wait "$budget_child" || status=$?
  budget_child=""
  return "$status"
}

# What ctest is told, so that it begins nothing after the end and ends what runs then.
budget_ctest_arguments() {
  ((budget_s == 0)) || printf -- '--stop-time\n%s\n' "$(date -d "+$(budget_left) seconds" +%T)"
}

# Reads what ctest printed; prints the tests that it ended because the time was over: those
# that end its list with a time-out.
budget_cut_short() {
  ((budget_s > 0 && $(budget_left) <= 1)) || return 0
  sed -nE 's/^ *[0-9]+\/[0-9]+ Test +#[0-9]+: (.*)/\1/p' | tac |
    sed -nE '/\*\*\*Timeout +[0-9.]+ sec$/!q; s/ *\.*\*\*\*Timeout .*//p'
}
