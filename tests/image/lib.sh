# Output, waiting and packages for the test of the container image. Source it in bash.
# shellcheck shell=bash

# Exit code if the image cannot be tested here.
readonly EXIT_CANNOT_RUN=77
# Seconds between two looks at a state.
readonly POLL_SECONDS=0.2

say() { printf 'image test: %s\n' "$*" >&2; }
ok() { printf 'image test: ok    %s\n' "$*" >&2; }
fail() {
  printf 'image test: FAILED %s\n' "$*" >&2
  exit 1
}

cannot_run() {
  {
    printf '%s\n' '##############################################################################'
    printf '## THE CONTAINER IMAGE WAS NOT TESTED: %s\n' "$*"
    printf '%s\n' '##############################################################################'
  } >&2
  exit "$EXIT_CANNOT_RUN"
}

# check WHAT COMMAND...: fails unless the command succeeds.
check() {
  local what=$1
  shift
  "$@" || fail "$what"
  ok "$what"
}

# equal WHAT GOT WANTED
equal() {
  [[ $2 == "$3" ]] || fail "$1: it is '$2' and not '$3'"
  ok "$1"
}

# wait_for SECONDS WHAT COMMAND...: repeats the command until it succeeds, for at most that time.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || fail "waited in vain: $what"
    sleep "$POLL_SECONDS"
  done
  ok "$what"
}

# Directory of the newest PostgreSQL server's programs, found like the ticker does on Debian.
postgres_bin_dir() {
  if [[ -n ${TICKER_PG_BIN_DIR:-} ]]; then
    printf '%s\n' "$TICKER_PG_BIN_DIR"
  else
    find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin | sort -V | tail -n 1
  fi
}
