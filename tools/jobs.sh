# How many compilers at once: one a core, one for each GiB free. Sourced.
compile_jobs() {
  local free_gib jobs
  free_gib=$(awk '/^MemAvailable:/ { print int($2 / 1048576) }' /proc/meminfo)
  jobs=$(nproc)
  ((free_gib >= jobs)) || jobs=$((free_gib > 1 ? free_gib : 1))
  echo "$jobs"
}
