# What `tools/test --budget MINUTES` knows of time; sourced by tools/test and its own test.
#
# A part of the run is begun when it is expected to fit into what is left. What is expected
# follows from one reading of this host: how long it takes to compile the headers that nearly
# every file includes, with as many compilers at once as a build starts. The table says how many
# times as long each part takes. Whatever was expected, nothing goes on past the end: a build is ended, and ctest
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
  [[ "$1" =~ ^[1-9][0-9]{0,3}$ ]] && (($1 <= 1439)) || return 1  # ctest ends within a day
  budget_s=$(($1 * 60))
}

budget_knows() { grep -q "^$1 " <<<"$budget_parts"; }  # PART

budget_left() { echo $((budget_s - SECONDS)); }

# Takes as long as compiling one large file.
budget_jobs=1
budget_read_host() {  # JOBS
  local work started i compiler pid compilers=() status=0
  budget_jobs=$1
  read -ra compiler <<<"${CXX:-c++}"  # may be a launcher and a compiler
  work=$(mktemp -d)
  printf '#include <%s>\n' absl/container/flat_hash_map.h absl/status/statusor.h \
    absl/time/time.h fmt/format.h gtest/gtest.h >"$work/headers.cc"
  started=$(date +%s%N)
  for ((i = 0; i < budget_jobs; ++i)); do
    "${compiler[@]}" -std=c++20 -O2 -c "$work/headers.cc" -o "$work/$i.o" &
    compilers+=($!)
  done
  for pid in "${compilers[@]}"; do wait "$pid" || status=1; done
  budget_reading_ms=$((($(date +%s%N) - started) / 1000000))
  rm -rf "$work"
  ((status == 0)) || echo "tools/test: '${compiler[*]}' does not compile what reading this host" \
    "takes: set CXX to a compiler of C++20, and see what it said above" >&2
  return "$status"
}

# budget_expect build|tests PART: seconds on this host.
budget_expect() {
  awk -v what="$1" -v part="$2" -v reading_ms="$budget_reading_ms" -v jobs="$budget_jobs" '
    $1 == part {
      reading = reading_ms / 1000
      print int(what == "build" ? reading * $2 * 2 / jobs : reading * $3 + $4) + 1
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
  ((status == 137 && $(budget_left) <= 0)) && status=124  # it took the second signal
  return "$status"
}

# Runs a command that is a ctest, which begins nothing after the end and ends what runs then. It
# takes a time of day, and knows time zones of whole hours only.
budget_ctest() {
  if ((budget_s == 0)); then
    "$@"
  else
    TZ=UTC0 "$@" --stop-time "$(TZ=UTC0 date -d "+$(budget_left) seconds" +%T)"
  fi
}

# Reads what ctest printed; prints the tests that it ended because the time was over: those with
# a time-out among the last that it speaks of, as many as ran at once and as many that ended
# just then. Reads to the end, or the writer before it in a pipe would fail.
budget_cut_short() {  # TESTS_AT_ONCE
  local is_over=$((budget_s > 0 && $(budget_left) <= 1))
  awk -v is_over="$is_over" -v most="$((2 * $1))" '
    match($0, /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: /) { last[++lines] = substr($0, RLENGTH + 1) }
    END {
      for (i = lines > most ? lines - most + 1 : 1; is_over && i <= lines; ++i) {
        if (sub(/ *\.*\*\*\*Timeout +[0-9.]+ sec$/, "", last[i])) print last[i]
      }
    }'
}
