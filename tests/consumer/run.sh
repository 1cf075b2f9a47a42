#!/usr/bin/env bash
# Installs a build into a temporary prefix, builds the consumer project against it as a
# stranger would, and runs its two programs: `consumer` beside the installed penstockd, and
# `tasks`, which finds that penstockd in PATH and starts it.
#
#   tests/consumer/run.sh BUILD_DIR   (ctest does; everything must be built)
set -euo pipefail

build=$(cd "${1:?usage: tests/consumer/run.sh BUILD_DIR}" && pwd)
source=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d /tmp/penstock-consumer.XXXXXX)
export PENSTOCK_DIR=$work/store
unset PENSTOCK_DAEMON  # the installed one is meant
daemon=""

# SIGTERM, and SIGKILL to what is still there after 10 s; its exit status in any case.
stop_daemon() {
  kill -TERM "$daemon" 2>/dev/null || true
  for ((tries = 0; tries < 100; ++tries)); do
    kill -0 "$daemon" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$daemon" 2>/dev/null || true
  local status=0
  wait "$daemon" || status=$?
  daemon=""
  return "$status"
}
clean_up() {
  [[ -z "$daemon" ]] || stop_daemon || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 143' TERM INT

fail() {
  echo "FAILED: $1" >&2
  [[ ! -f "${2:-}" ]] || tail -n 40 "$2" >&2
  exit 1
}

cmake --install "$build" --prefix "$work/usr" >"$work/log" 2>&1 ||
  fail "cmake --install" "$work/log"
for program in penstockd penstock penstock-bench; do
  "$work/usr/bin/$program" --help >"$work/log" 2>&1 ||
    fail "the installed $program --help" "$work/log"
done

# Nothing may point back into the checkout or the build folder.
if grep -rlF -e "$build" -e "$(dirname "$(dirname "$source")")/" "$work/usr/lib"/*/cmake \
     "$work/usr/lib/cmake" "$work/usr/include" 2>/dev/null; then
  fail "the installed files above name the folder that they were built in"
fi

cp -r "$source" "$work/consumer"
cmake -S "$work/consumer" -B "$work/consumer/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
      -DCMAKE_PREFIX_PATH="$work/usr" >"$work/log" 2>&1 ||
  fail "find_package(Penstock) in the consumer" "$work/log"
cmake --build "$work/consumer/build" >"$work/log" 2>&1 ||
  fail "the build of the consumer" "$work/log"

"$work/usr/bin/penstockd" --dir "$PENSTOCK_DIR" --memory 64MiB >"$work/daemon.log" 2>&1 &
daemon=$!
for ((tries = 0; ; ++tries)); do
  "$work/usr/bin/penstock" status >/dev/null 2>&1 && break
  kill -0 "$daemon" 2>/dev/null || fail "penstockd ended at once" "$work/daemon.log"
  ((tries < 100)) || fail "penstockd does not answer after 10 s" "$work/daemon.log"
  sleep 0.1
done

said=$(timeout 60 "$work/consumer/build/consumer") ||
  fail "the consumer's exit status is $?" "$work/daemon.log"
[[ "$said" =~ ^object\ [0-9a-f]{48}\ ends\ with\ 999999$ ]] ||
  fail "the consumer should say 'object ID ends with 999999' and said: $said"

tasks_said=$(PATH=$work/usr/bin:$PATH timeout 60 "$work/consumer/build/tasks" 2>&1) ||
  fail "the exit status of tasks is $?: $tasks_said"
[[ "$tasks_said" == "the sum is 1e+06, the total 3" ]] ||
  fail "tasks should say 'the sum is 1e+06, the total 3' and said: $tasks_said"

stop_daemon || fail "penstockd's exit status after SIGTERM is $?" "$work/daemon.log"
echo "The consumer said: $said"
echo "The tasks said: $tasks_said"
