# Words, waiting and packages for the test of the container image. To be sourced by bash.
# shellcheck shell=bash

# The test could not be made here. Nothing is said about the image.
readonly EXIT_CANNOT_RUN=77
# How often a state is looked at.
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

# check WHAT COMMAND...: the command succeeds.
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

# wait_for SECONDS WHAT COMMAND...: the command succeeds before that time is over.
wait_for() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    ((SECONDS < deadline)) || fail "waited in vain: $what"
    sleep "$POLL_SECONDS"
  done
  ok "$what"
}

# The newest server's programs, where the ticker itself finds them on Debian.
postgres_bin_dir() {
  if [[ -n ${TICKER_PG_BIN_DIR:-} ]]; then
    printf '%s\n' "$TICKER_PG_BIN_DIR"
  else
    find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin | sort -V | tail -n 1
  fi
}
